"""Which requests are there, who may ask them, and what do they weigh?

One table for REST and for the WebSocket API: the same function answers both.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from gateway.api.binance import account_calls, market_calls, order_calls, signed_json
from gateway.api.binance.desk import Call, Caller, Desk
from gateway.api.binance.errors import BAD_KEY, Code, Refused, refused
from gateway.api.binance.params import Params, missing
from gateway.api.binance.signing import SIGNATURE, require_signature, require_timely
from gateway.trading.budgets import Charge

Answer = Any
Run = Callable[[Call], Answer | Awaitable[Answer]]


class Access(IntEnum):
    """Who may ask."""

    ALL = 0
    READ = 1
    """Whose API key it is, of either scope."""
    TRADE = 2
    """Whose API key may trade."""
    ORDER = 3
    """As ``TRADE``; or anybody who has an order that its account has signed."""


class Budget(IntEnum):
    """Which of an address's budgets is charged."""

    REQUEST = 0
    ORDER = 1
    CANCEL = 2


class Operation(NamedTuple):
    """One request. ``method`` and ``path`` over REST, ``frame`` over WebSocket, where it is."""

    method: str
    path: str
    frame: str
    run: Run
    access: Access = Access.ALL
    weight: int | Callable[[Params], int] = 1
    budget: Budget = Budget.REQUEST


V3: Final = "/api/v3/"
SAPI: Final = "/sapi/v1/"

_READ, _TRADE, _ORDER = Access.READ, Access.TRADE, Access.ORDER

OPERATIONS: Final = (
    Operation("POST", V3 + "order", "order.place", order_calls.place, _ORDER, 1, Budget.ORDER),
    Operation("DELETE", V3 + "order", "order.cancel", order_calls.cancel, _TRADE, 1, Budget.CANCEL),
    Operation("GET", V3 + "order", "order.status", order_calls.read, _READ, 4),
    Operation("POST", V3 + "order/test", "order.test", order_calls.test, _ORDER, 1, Budget.ORDER),
    Operation(
        "POST",
        V3 + "order/cancelReplace",
        "order.cancelReplace",
        order_calls.replace,
        _TRADE,
        1,
        Budget.ORDER,
    ),
    Operation(
        "PUT",
        V3 + "order/amend/keepPriority",
        "order.amend.keepPriority",
        order_calls.amend,
        _TRADE,
        1,
        Budget.CANCEL,
    ),
    Operation("GET", V3 + "openOrders", "openOrders.status", account_calls.open_orders, _READ, 6),
    Operation(
        "DELETE",
        V3 + "openOrders",
        "openOrders.cancelAll",
        order_calls.cancel_all,
        _TRADE,
        1,
        Budget.CANCEL,
    ),
    Operation("GET", V3 + "allOrders", "allOrders", account_calls.all_orders, _READ, 20),
    Operation("GET", V3 + "myTrades", "myTrades", account_calls.my_trades, _READ, 20),
    Operation("GET", V3 + "account", "account.status", account_calls.account, _READ, 20),
    Operation(
        "GET",
        V3 + "account/commission",
        "account.commission",
        account_calls.commission,
        _READ,
        20,
    ),
    Operation(
        "GET",
        V3 + "rateLimit/order",
        "account.rateLimits.orders",
        account_calls.order_count,
        _READ,
        40,
    ),
    Operation(
        "GET",
        V3 + "myPreventedMatches",
        "myPreventedMatches",
        account_calls.nothing,
        _READ,
        20,
    ),
    Operation(
        "GET", V3 + "openOrderList", "openOrderLists.status", account_calls.nothing, _READ, 6
    ),
    Operation("GET", V3 + "allOrderList", "allOrderLists", account_calls.nothing, _READ, 20),
    Operation("GET", V3 + "ping", "ping", market_calls.ping),
    Operation("GET", V3 + "time", "time", market_calls.time),
    Operation(
        "GET", V3 + "exchangeInfo", "exchangeInfo", market_calls.exchange_info, Access.ALL, 20
    ),
    Operation(
        "GET", V3 + "depth", "depth", market_calls.depth, Access.ALL, market_calls.depth_weight
    ),
    Operation("GET", V3 + "trades", "trades.recent", market_calls.trades, Access.ALL, 25),
    Operation(
        "GET",
        V3 + "historicalTrades",
        "trades.historical",
        market_calls.historical_trades,
        Access.ALL,
        25,
    ),
    Operation(
        "GET",
        V3 + "aggTrades",
        "trades.aggregate",
        market_calls.aggregate_trades,
        Access.ALL,
        4,
    ),
    Operation(
        "GET",
        V3 + "klines",
        "klines",
        market_calls.candles,
        Access.ALL,
        market_calls.candles_weight,
    ),
    Operation(
        "GET",
        V3 + "uiKlines",
        "uiKlines",
        market_calls.candles,
        Access.ALL,
        market_calls.candles_weight,
    ),
    Operation("GET", V3 + "avgPrice", "avgPrice", market_calls.average_price, Access.ALL, 2),
    Operation(
        "GET",
        V3 + "ticker/24hr",
        "ticker.24hr",
        market_calls.day,
        Access.ALL,
        market_calls.ticker_weight,
    ),
    Operation("GET", V3 + "ticker/price", "ticker.price", market_calls.price, Access.ALL, 2),
    Operation(
        "GET", V3 + "ticker/bookTicker", "ticker.book", market_calls.book_ticker, Access.ALL, 2
    ),
    Operation("GET", SAPI + "system/status", "", account_calls.system_status),
    Operation("GET", SAPI + "margin/allPairs", "", account_calls.nothing),
    Operation("GET", SAPI + "margin/isolated/allPairs", "", account_calls.nothing),
    Operation("GET", SAPI + "capital/config/getall", "", account_calls.assets, _READ, 10),
    Operation("GET", SAPI + "asset/tradeFee", "", account_calls.trade_fees, _READ, 1),
)

BY_PATH: Final[Mapping[tuple[str, str], Operation]] = {
    (operation.method, operation.path): operation for operation in OPERATIONS
}
BY_FRAME: Final[Mapping[str, Operation]] = {
    operation.frame: operation for operation in OPERATIONS if operation.frame
}


def charge(desk: Desk, operation: Operation, params: Params, client: str) -> Charge:
    """Charge what a request costs before anything is done for it."""
    if operation.budget is Budget.ORDER:
        return desk.limits.order_request(client)
    if operation.budget is Budget.CANCEL:
        return desk.limits.cancel_request(client)
    weight = operation.weight
    return desk.limits.request(client, weight if isinstance(weight, int) else weight(params))


class Sealed(NamedTuple):
    """An API key as it was sent, and what its owner may have signed."""

    key: str
    payloads: tuple[str, ...]


def caller_of(desk: Desk, sealed: Sealed, params: Params) -> Caller:
    """Return whose request it is; refused where the signature is not good."""
    if not sealed.key:
        raise refused(Code.BAD_API_KEY_FORMAT, "API-key format invalid.", 401)
    found = desk.keys.read(sealed.key)
    if found is None:
        raise Refused(BAD_KEY)
    require_signature(found.secret, params.text(SIGNATURE), *sealed.payloads)
    return Caller(found)


def require_live(desk: Desk, logged_on: Caller) -> None:
    """Refuse who has logged on with a key that has ended since, however long he stays."""
    if not desk.keys.is_live(logged_on.key):
        raise Refused(BAD_KEY)


def admit(
    operation: Operation,
    desk: Desk,
    params: Params,
    client: str,
    sealed: Sealed,
    logged_on: Caller | None = None,
) -> Call:
    """Return a request that may be answered; refused where its asker may not ask."""
    call = Call(desk, params, client)
    access = operation.access
    if access is Access.ALL:
        return call
    is_proven = access is Access.ORDER and bool(params.text(signed_json.PARAMETER))
    if is_proven and not sealed.key and logged_on is None:
        return call
    if logged_on is not None and not sealed.key:
        require_live(desk, logged_on)
        call.caller = logged_on
    else:
        call.caller = caller_of(desk, sealed, params)
    if not params.text("timestamp"):
        raise missing("timestamp")
    call.window = require_timely(params, desk.now_ms)
    if access is not Access.READ and call.caller.session is None:
        raise Refused(BAD_KEY, {"x_why": "this key may only read"})
    return call
