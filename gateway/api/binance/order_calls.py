"""How does a client place, cancel and replace orders?

A request is authorised by its API key; an order is proven by the signature that it carries, or is
signed here by a session key that its trader has given into our keeping. Without one of the two
nothing can be placed: HMAC settles nothing on chain.
"""

import re
from typing import Any, Final

import msgspec

from engine.command_result import CommandResult
from engine.events import EventKind
from engine.types import Outcome, Side
from gateway.api.binance import signed_json
from gateway.api.binance.desk import Call
from gateway.api.binance.errors import (
    CONFLICT,
    LOT_SIZE,
    NO_SUCH_ORDER,
    Code,
    Refused,
    Saying,
    document_of,
    of_rejection,
    refused,
)
from gateway.api.binance.fates import fate_of
from gateway.api.binance.params import Params, invalid, missing
from gateway.api.binance.rows import (
    Row,
    acknowledged_row,
    amended_row,
    canceled_row,
    fill_rows,
    order_row,
    rate_rows,
    result_row,
)
from gateway.api.binance.wanted import (
    LEVELS_READ,
    LIMIT,
    MARKET,
    SIDES,
    Wanted,
    needs_book,
    wanted_of,
)
from gateway.trading.rejection import Rejection
from gateway.views.order_history import Order
from settlement.orders.catalog import Market
from settlement.ports import awaited
from settlement.protocol.eip712 import DOMAIN_NAME, DOMAIN_VERSION, ORDER_TYPE
from settlement.protocol.evidence import SignedOrder

NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,36}")
NAME_DIGITS: Final = 22
ACK, RESULT, FULL = "ACK", "RESULT", "FULL"
ANSWERS: Final = (ACK, RESULT, FULL)
PAGE: Final = 64
CANCELLED_ALL: Final = int(EventKind.CANCELLED_ALL)
WRONG_SIGNER: Final = (Outcome.BAD_SIGNATURE, Outcome.UNKNOWN_KEY)
RESTRICTIONS: Final = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
STOP_ON_FAILURE, ALLOW_FAILURE = "STOP_ON_FAILURE", "ALLOW_FAILURE"
UNKNOWN_ORDER: Final = Saying(Code.CANCEL_REJECTED, "Unknown order sent.")


async def place(call: Call) -> Row:
    """Place one order; the answer comes after the journal has it, never before."""
    market = call.market()
    answer_as = _answer_as(call.params)
    order = await _signed(call, market)
    return await _placed(call, market, order, answer_as)


async def test(call: Call) -> Row:
    """Judge an order as ``place`` would before it reaches the engine; nothing is placed."""
    market = call.market()
    _answer_as(call.params)
    if not call.params.text(signed_json.PARAMETER):
        wanted_of(call.params, market, _opposite(call, market))
    else:
        await _signed(call, market)
    if not call.params.boolean("computeCommissionRates"):
        return {}
    rates = rate_rows(market.maker_fee_ppm, market.taker_fee_ppm)
    return {"standardCommissionForOrder": rates, "taxCommissionForOrder": rate_rows(0, 0)}


async def cancel(call: Call) -> Row:
    """Take one order off the book."""
    market = call.market()
    order = find(call, market, "orderId", "origClientOrderId", UNKNOWN_ORDER)
    return await _canceled(call, market, order)


async def cancel_all(call: Call) -> list[Row]:
    """Take all orders of a market off the book."""
    desk, market = call.desk, call.market()
    found: list[Order] = []
    after = 0
    while True:
        page = desk.user_stream.open_orders(call.account, after, PAGE)
        found += [order for order in page if order.market == market.number]
        if len(page) < PAGE:
            break
        after = page[-1].sequence
        await desk.turn()
    if not found:
        raise Refused(UNKNOWN_ORDER)
    is_more = True
    while is_more:  # One command cancels so many at most.
        result = await awaited(desk.entry.offer_cancel_all(call.session, market, call.window))
        require(result)
        is_more = any(
            event.kind == CANCELLED_ALL and event.order_left for event in result.events or ()
        )
    rows, name = [], desk.symbols.name(market)
    for number, order in enumerate(found, 1):
        left = desk.user_stream.order(call.account, order.order_id)
        if left is not None and left.reason == Outcome.CANCELLED_BY_OWNER:
            rows.append(canceled_row(name, market, left, "", result.time_ns))
        if number % PAGE == 0:
            await desk.turn()
    return rows


async def amend(call: Call) -> Row:
    """Make an order smaller; it keeps its place in the queue."""
    desk, market = call.desk, call.market()
    call.params.need("newQty")
    order = find(call, market, "orderId", "origClientOrderId", NO_SUCH_ORDER)
    lots, rest = divmod(call.params.pips("newQty"), market.lot_pips)
    if rest:
        raise Refused(LOT_SIZE)
    lots_open = lots - order.lots_filled
    if lots_open < 1:
        raise refused(Code.AMEND_REJECTED, "The new quantity is not above what was filled.")
    try:
        result = await awaited(
            desk.entry.offer_amend(call.session, order.order_id, lots_open, call.window)
        )
        require(result)
    except Rejection as rejection:
        raise of_rejection(rejection, Code.AMEND_REJECTED) from None
    left = desk.user_stream.order(call.account, order.order_id) or order
    event = desk.user_stream.event_index
    return amended_row(desk.symbols.name(market), market, left, event, result.time_ns)


async def replace(call: Call) -> Row:
    """Cancel an order and place another one."""
    params = call.params
    mode = params.choice("cancelReplaceMode", (STOP_ON_FAILURE, ALLOW_FAILURE))
    market = call.market()
    answer_as = _answer_as(params)
    call.desk.lifecycle.require_open()
    # What cannot be an order takes none off the book. Ours is signed when its turn has come, for
    # until then another one could be given its place.
    order_sent = None
    if params.text(signed_json.PARAMETER):
        order_sent = await _signed(call, market)
    else:
        _wanted(call, market)
    outcome: dict[str, Any] = {
        "cancelResult": "SUCCESS",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": None,
        "newOrderResponse": None,
    }
    try:
        names = ("cancelOrderId", "cancelOrigClientOrderId")
        order = find(call, market, *names, UNKNOWN_ORDER)
        outcome["cancelResponse"] = await _canceled(call, market, order)
    except Refused as problem:
        outcome |= {"cancelResult": "FAILURE", "cancelResponse": document_of(problem)}
        if mode == STOP_ON_FAILURE:
            raise _half(outcome) from None
    try:
        new = order_sent or await _signed(call, market)
        outcome["newOrderResponse"] = await _placed(call, market, new, answer_as)
        outcome["newOrderResult"] = "SUCCESS"
    except (Refused, Rejection) as problem:
        told = problem if isinstance(problem, Refused) else of_rejection(problem)
        outcome |= {"newOrderResult": "FAILURE", "newOrderResponse": document_of(told)}
    if "FAILURE" in (outcome["cancelResult"], outcome["newOrderResult"]):
        raise _half(outcome)
    return outcome


def _half(outcome: dict[str, Any]) -> Refused:
    """Return what is told of a replacement of which not all has happened."""
    if "SUCCESS" in (outcome["cancelResult"], outcome["newOrderResult"]):
        words = "Order cancel-replace partially failed."
        saying = Saying(Code.CANCEL_REPLACE_PARTLY_FAILED, words, CONFLICT)
    else:
        saying = Saying(Code.CANCEL_REPLACE_FAILED, "Order cancel-replace failed.")
    return Refused(saying, {"data": outcome})


def read(call: Call) -> Row:
    """Return one order, open or among the last that ended."""
    market = call.market()
    order = find(call, market, "orderId", "origClientOrderId", NO_SUCH_ORDER)
    return order_row(call.params.need("symbol"), market, order)


def find(call: Call, market: Market, by_id: str, by_name: str, absent: Saying) -> Order:
    """Return the order that the request names; refused with ``absent`` where there is none."""
    params, users = call.params, call.desk.user_stream
    if params.text(by_id):
        order = users.order(call.account, params.integer(by_id, 1))
    elif params.text(by_name):
        order = users.order(call.account, params.text(by_name))
    else:
        raise refused(
            Code.MANDATORY_PARAM_EMPTY_OR_MALFORMED,
            f"Param '{by_name}' or '{by_id}' must be sent, but both were empty/null!",
        )
    if order is None or order.market != market.number:
        raise Refused(absent)
    if params.text(by_id) and params.text(by_name, order.client_id) != order.client_id:
        raise Refused(absent)
    return order


# A cancel


async def _canceled(call: Call, market: Market, order: Order) -> Row:
    desk, params = call.desk, call.params
    asked_as = params.text("newClientOrderId") if by_one(params) else ""
    if asked_as and not NAME.fullmatch(asked_as):
        raise invalid("newClientOrderId")
    if order.ended_event:
        raise Refused(UNKNOWN_ORDER)
    _require_unrestricted(params, order)
    try:
        result = await awaited(desk.entry.offer_cancel(call.session, order.order_id, call.window))
        require(result)
    except Rejection as rejection:
        raise of_rejection(rejection, Code.CANCEL_REJECTED) from None
    name = desk.symbols.name(market)
    left = desk.user_stream.order(call.account, order.order_id) or order
    return canceled_row(name, market, left, asked_as, result.time_ns)


def by_one(params: Params) -> bool:
    """Return whether ``newClientOrderId`` is a name for the cancel and not for an order."""
    return not params.text("type")


def _require_unrestricted(params: Params, order: Order) -> None:
    asked = params.text("cancelRestrictions")
    if not asked:
        return
    if asked not in RESTRICTIONS:
        raise invalid("cancelRestrictions")
    state = "PARTIALLY_FILLED" if order.lots_filled else "NEW"
    if RESTRICTIONS[asked] != state:
        words = "Order was not canceled due to cancel restrictions."
        raise refused(Code.CANCEL_REJECTED, words)


# An order


def _answer_as(params: Params) -> str:
    kind = params.text("type").upper()
    default = FULL if kind in (LIMIT, MARKET) else ACK
    return params.choice("newOrderRespType", ANSWERS, default)


def _name(params: Params) -> str:
    name = params.text("newClientOrderId")
    if name and not NAME.fullmatch(name):
        raise refused(
            Code.ILLEGAL_CHARS,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is "
            "'^[a-zA-Z0-9-_.:]{1,36}$'.",
        )
    return name


async def _signed(call: Call, market: Market) -> SignedOrder:
    """Return the order with its signer, signed by whoever may."""
    desk, params = call.desk, call.params
    name = _name(params)
    text = params.text(signed_json.PARAMETER)
    if text:
        order = signed_json.order_of(text, name)
        signed_json.require_agreement(order, params, market)
        if call.caller is not None and call.caller.account != order.account:
            raise signed_json.disagrees("account")
        order = await desk.entry.verify(order)
    else:
        order = desk.managed.signed(call.account, market, _wanted(call, market), name)
    if name:
        return order
    return _with_name(order)


def _wanted(call: Call, market: Market) -> Wanted:
    """Return the order that the request describes; refused where nobody here may sign it."""
    _name(call.params)
    if call.caller is None:
        raise missing("timestamp")
    wanted = wanted_of(call.params, market, _opposite(call, market))
    if not call.desk.managed.holds(call.account):
        raise Refused(
            Saying(Code.REJECTED_KEY, "Invalid API-key, IP, or permissions for action.", 401),
            {"x_why": "an order needs its wallet's signature: trade through `tillbook bridge`"},
        )
    return wanted


def _with_name(order: SignedOrder) -> SignedOrder:
    """Return an order under a name that follows from what was signed: the same whoever sends it
    again."""
    return msgspec.structs.replace(order, client_id=order.digest.hex()[:NAME_DIGITS])


def _opposite(call: Call, market: Market) -> list[tuple[int, int]]:
    """Return the best levels of the other side, for an order whose price is to be found there."""
    params = call.params
    side = SIDES.get(params.text("side").upper())
    if side is None or not needs_book(params):
        return []
    other = Side.SELL if side == Side.BUY else Side.BUY
    return call.desk.market_data.levels(market, other, LEVELS_READ)


async def _placed(call: Call, market: Market, order: SignedOrder, answer_as: str) -> Row:
    desk = call.desk
    desk.lifecycle.require_open()
    result = await desk.entry.place(order, call.window)
    call.charged.append(desk.limits.orders_left(order.account))
    if result.outcome in WRONG_SIGNER:
        raise _wrong_signer(call, order, result)
    require(result)
    name = desk.symbols.name(market)
    row = acknowledged_row(name, order, result.order_id, result.time_ns, result.sequence)
    if answer_as == ACK or result.events is None:
        return row
    lots = order.base_amount // market.lot_pips
    fate = fate_of(result.order_id, lots, result.events)
    row |= result_row(market, order, fate, result.time_ns, call.params.text("type").upper())
    if answer_as == FULL:
        row["fills"] = fill_rows(market, fate)
    return row


def require(result: CommandResult) -> None:
    """Raise ``Rejection`` unless it happened."""
    if not result.accepted:
        figures: dict[str, object] = dict(result.detail)
        raise Rejection(result.outcome, result.detail.get("why", ""), figures)


def _wrong_signer(call: Call, order: SignedOrder, result: CommandResult) -> Refused:
    domain = call.desk.exchange.domain
    told = {
        "name": DOMAIN_NAME,
        "version": DOMAIN_VERSION,
        "chainId": domain.chain_id,
        "verifyingContract": f"0x{domain.contract.hex()}",
    }
    problem = of_rejection(Rejection(result.outcome))
    problem.more |= signed_json.figures_of(order, told, ORDER_TYPE)
    return problem
