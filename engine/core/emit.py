"""How is one event written?

Rows of the buffer hold garbage before, so each writer fills every field. ``event_capacity.py``
has looked before the command began; the assertion is there because numba would otherwise write
past the end without a word.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.jit import i64, kernel
from engine.core.slots import id_of
from engine.core.state import ARMED, ICEBERG, State
from engine.events import EventKind, Events
from engine.types import Outcome


@kernel
def next_row(state: State, out: Events) -> int:
    """Return the index of a fresh row that carries its number and its command's sequence."""
    counters = state.counters[0]
    i = counters["out_row"]
    assert i < out.size
    counters["out_row"] = i + 1
    counters["event_index"] += 1
    row = out[i]
    row["sequence"] = counters["sequence"]
    row["index"] = counters["event_index"]
    return i


@kernel
def emit(
    state: State,
    out: Events,
    kind: EventKind,
    outcome: Outcome = Outcome.ACCEPTED,
    market: int = 0,
    token: int = 0,
    account: int = 0,
    side: int = 0,
    order_id: int = 0,
    price_ticks: int = 0,
    amount: int = 0,
    order_left: int = 0,
    maker_left: int = 0,
) -> None:
    """Write an event that is not a trade; fields that do not apply are left out."""
    row = out[next_row(state, out)]
    row["kind"] = kind
    row["side"] = side
    row["outcome"] = outcome
    row["market"] = market
    row["token"] = token
    row["account"] = account
    row["maker_account"] = 0
    row["order_id"] = order_id
    row["maker_id"] = 0
    row["price_ticks"] = price_ticks
    row["amount"] = amount
    row["order_left"] = order_left
    row["maker_left"] = maker_left
    row["trade_id"] = 0
    row["fee_pips"] = 0
    row["maker_fee_pips"] = 0


@kernel
def emit_account(
    state: State, out: Events, kind: EventKind, token: int, account: int, amount: int
) -> None:
    """Write an event about an account or a token; no order is involved."""
    emit(state, out, kind, token=token, account=account, amount=amount)


@kernel
def emit_market(
    state: State, out: Events, kind: EventKind, market: int, price_ticks: int, amount: int
) -> None:
    """Write an event about a whole market; no single order is involved."""
    emit(state, out, kind, market=market, price_ticks=price_ticks, amount=amount)


@kernel
def emit_cancelled_all(
    state: State, out: Events, outcome: Outcome, account: int, market: int, count: int, left: int
) -> None:
    """Write that ``count`` orders of ``account`` have left ``market`` or all, and ``left`` not."""
    emit(
        state,
        out,
        EventKind.CANCELLED_ALL,
        outcome,
        market=market,
        account=account,
        amount=count,
        order_left=left,
    )


@kernel
def emit_order(
    state: State,
    out: Events,
    kind: EventKind,
    outcome: Outcome,
    slot: int,
    lots: int,
    order_left: int = 0,
    hidden: int = 0,
) -> None:
    """Write an event about the order in ``slot``, whose row still describes it."""
    order = state.orders[slot]
    ladder = i64(order["ladder"])
    emit(
        state,
        out,
        kind,
        outcome,
        market=ladder >> 1,
        account=i64(order["account"]),
        side=ladder & 1,
        order_id=id_of(state, slot),
        price_ticks=i64(order["price"]),
        amount=lots,
        order_left=order_left,
        maker_left=hidden,
    )


@kernel
def emit_leaving(state: State, out: Events, outcome: Outcome, slot: int) -> None:
    """Write CANCELLED of the live order in ``slot``: lots shown and hidden, or the trigger."""
    kind = state.orders[slot]["kind"]
    trigger = state.order_extras[slot]["trigger"] if kind == ARMED else i64(0)
    hidden = state.order_extras[slot]["hidden"] if kind == ICEBERG else i64(0)
    lots = state.orders[slot]["lots"]
    emit_order(state, out, EventKind.CANCELLED, outcome, slot, lots, trigger, hidden)


@kernel
def emit_trade(
    state: State,
    out: Events,
    outcome: Outcome,
    slot: int,
    price_ticks: int,
    account: int,
    side: int,
    order_id: int,
    lots: int,
    order_left: int,
    maker_left: int,
    fee_pips: int,
    maker_fee_pips: int,
) -> None:
    """Write the trade of ``lots`` with the maker in ``slot``."""
    maker = state.orders[slot]
    state.counters[0]["trade_id"] += 1
    row = out[next_row(state, out)]
    row["kind"] = EventKind.TRADE
    row["side"] = side
    row["outcome"] = outcome
    row["market"] = maker["ladder"] >> 1
    row["token"] = 0
    row["account"] = account
    row["maker_account"] = maker["account"]
    row["order_id"] = order_id
    row["maker_id"] = id_of(state, slot)
    row["price_ticks"] = price_ticks
    row["amount"] = lots
    row["order_left"] = order_left
    row["maker_left"] = maker_left
    row["trade_id"] = state.counters[0]["trade_id"]
    row["fee_pips"] = fee_pips
    row["maker_fee_pips"] = maker_fee_pips


@kernel
def reject(state: State, out: Events, outcome: Outcome, account: int, order_id: int) -> None:
    """Write that the command changed nothing, and why."""
    emit(state, out, EventKind.REJECTED, outcome, account=account, order_id=order_id)
