"""How is one event written?

Rows of the buffer hold garbage before, so each writer fills every field. Room was checked before
the command began (``rows_worst`` in ``run.py``); the assertion is there because numba would
otherwise write past the end without a word.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import id_of
from engine.core.jit import i64, kernel
from engine.core.layout import State
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
    outcome: Outcome,
    market: int,
    token: int,
    account: int,
    side: int,
    order_id: int,
    price_ticks: int,
    amount: int,
) -> None:
    """Write an event that is not a trade; fields that do not apply are 0."""
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
    row["order_left"] = 0
    row["maker_left"] = 0
    row["trade_id"] = 0
    row["fee_pips"] = 0
    row["maker_fee_pips"] = 0


@kernel
def emit_order(
    state: State,
    out: Events,
    kind: EventKind,
    outcome: Outcome,
    slot: int,
    order_id: int,
    lots: int,
) -> None:
    """Write an event about the order in ``slot``, whose row still describes it."""
    order = state.orders[slot]
    emit(
        state,
        out,
        kind,
        outcome,
        i64(order["market"]),
        0,
        i64(order["account"]),
        i64(order["side"]),
        order_id,
        i64(order["price"]),
        lots,
    )


@kernel
def emit_amended(
    state: State, out: Events, outcome: Outcome, slot: int, order_id: int, lots: int, gone: int
) -> None:
    """Write that the order in ``slot`` has ``lots`` open now and ``gone`` lots left the book."""
    emit_order(state, out, EventKind.AMENDED, outcome, slot, order_id, lots)
    out[state.counters[0]["out_row"] - 1]["order_left"] = gone


@kernel
def emit_trade(
    state: State,
    out: Events,
    slot: int,
    account: int,
    side: int,
    order_id: int,
    lots: int,
    order_left: int,
    fee_pips: int,
    maker_fee_pips: int,
) -> None:
    """Write the trade of ``lots`` with the maker in ``slot``, whose lots are still the old ones."""
    maker = state.orders[slot]
    state.counters[0]["trade_id"] += 1
    row = out[next_row(state, out)]
    row["kind"] = EventKind.TRADE
    row["side"] = side
    row["outcome"] = Outcome.ACCEPTED
    row["market"] = maker["market"]
    row["token"] = 0
    row["account"] = account
    row["maker_account"] = maker["account"]
    row["order_id"] = order_id
    row["maker_id"] = id_of(state, slot)
    row["price_ticks"] = maker["price"]
    row["amount"] = lots
    row["order_left"] = order_left
    row["maker_left"] = maker["lots"] - lots
    row["trade_id"] = state.counters[0]["trade_id"]
    row["fee_pips"] = fee_pips
    row["maker_fee_pips"] = maker_fee_pips


@kernel
def refuse(state: State, out: Events, outcome: Outcome, account: int, order_id: int) -> None:
    """Write that the command changed nothing, and why."""
    emit(state, out, EventKind.REJECTED, outcome, 0, 0, account, 0, order_id, 0, 0)
