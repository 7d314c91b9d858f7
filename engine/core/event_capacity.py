"""How many events can a command cause at most?

A command that might need more rows than the buffer has left is not begun: the caller brings a new
buffer, so nothing in the kernels ever allocates. What one command may do is bounded (``Limits``),
and so are its events; only an account that leaves takes all its orders with it at once.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Kind
from engine.core.book import crosses
from engine.core.jit import i64, kernel, rare
from engine.core.state import ACCOUNT_ORDERS, FILLS, ROWS, WORK, State
from engine.core.validate import SELF_MODES
from engine.types import ICEBERG_SLICES_MAX


@kernel
def event_capacity(state: State, row: Any) -> int:
    """Return the most events that this command can cause."""
    counters = state.counters[0]
    now_ns = max(counters["time_ns"], row["time_ns"])
    if now_ns >= counters["deadline_soonest_ns"] or counters["markets_pending"] != 0:
        return _capacity_with_debts(state, row, now_ns)
    return _capacity_for_kind(state, row, now_ns)


@rare
def _capacity_with_debts(state: State, row: Any, now_ns: int) -> int:
    """Count also what comes before the command: switches that go off, stops that were left."""
    counters, work = state.counters[0], state.bounds[WORK]
    wanted = _capacity_for_kind(state, row, now_ns)
    if now_ns >= counters["deadline_soonest_ns"]:
        wanted += min(counters["orders_live"], work) + min(counters["accounts"], work)
    if counters["markets_pending"] != 0:
        wanted += capacity_for_anything(state) + 1
    return wanted


@kernel
def _capacity_for_kind(state: State, row: Any, now_ns: int) -> int:
    counters, kind = state.counters[0], row["kind"]
    if kind == Kind.PLACE:
        return _capacity_for_place(state, row, now_ns)
    if kind == Kind.CANCEL or kind == Kind.AMEND or kind == Kind.DEPOSIT:
        return 1
    if kind == Kind.CLOCK:
        if now_ns < counters["expiry_soonest_ns"]:
            return i64(0)
        return min(counters["orders_live"], state.bounds[WORK])
    if kind == Kind.EXIT_BEGIN or kind == Kind.EXIT_END or kind == Kind.BUST:
        return _capacity_for_owners(state)
    if kind == Kind.WITHDRAW:
        return _capacity_for_owners(state) if row["flags"] != 0 else i64(1)
    if is_told_at_once(kind):
        return 1
    return capacity_for_anything(state)


@kernel
def _capacity_for_owners(state: State) -> int:
    """Return the most events of a command that may cancel all orders of the two it is about."""
    owned = min(state.bounds[ACCOUNT_ORDERS], state.counters[0]["orders_live"])
    return min(2 * owned, state.counters[0]["orders_live"]) + 2


@kernel
def is_told_at_once(kind: int) -> bool:
    """Return whether a command of this kind causes one event, whatever there is."""
    if kind == Kind.LIST_TOKEN or kind == Kind.LIST_MARKET or kind == Kind.OPEN_ACCOUNT:
        return True
    return kind == Kind.CANCEL_AFTER or kind == Kind.POISON


@kernel
def _capacity_for_place(state: State, row: Any, now_ns: int) -> int:
    counters = state.counters[0]
    market, side = i64(row["market"]), i64(row["side"])
    if market >= counters["markets"] or side > 1:
        return 1
    ladder = 2 * market + side
    if not crosses(side, row["price_ticks"], state.best_prices[ladder ^ 1]["best"]):
        return 2
    is_plain = i64(row["flags"]) & SELF_MODES == 0 and now_ns < counters["expiry_soonest_ns"]
    if is_plain and counters["icebergs_live"] == 0 and state.markets[market]["armed"] == 0:
        # Each maker it meets takes at least one of its lots.
        makers = min(max(row["amount"], 0), counters["orders_live"])
        return min(makers, state.bounds[FILLS]) + 2
    return capacity_for_anything(state)


@rare
def capacity_for_anything(state: State) -> int:
    """Return a bound for every command, however its orders meet and trigger each other.

    Two orders that meet exhaust one of them, or a slice of an iceberg, and cause at most four
    events; a stop adds three of its own, the command itself four.
    """
    counters = state.counters[0]
    orders = counters["orders_live"] + 1
    slices = counters["icebergs_live"] * ICEBERG_SLICES_MAX
    return min(7 * orders + 4 * (slices + ICEBERG_SLICES_MAX) + 4, state.bounds[ROWS])
