"""How many events can a command cause at most?

A command that might need more rows than the buffer has left is not begun: the caller brings a new
buffer, so a sweep of any size works and nothing in the kernels ever allocates.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Kind
from engine.core.book import crosses
from engine.core.jit import i64, kernel, rare
from engine.core.judge import SELF_MODES
from engine.core.layout import State
from engine.types import ICEBERG_PARTS_MAX


@kernel
def room_for(state: State, row: Any) -> int:
    """Return the most events that this command can cause."""
    counters = state.counters[0]
    kind = row["kind"]
    now_ns = max(counters["time_ns"], row["time_ns"])
    if now_ns >= counters["deadline_soonest_ns"]:
        return room_for_anything(state)
    if kind == Kind.PLACE:
        return _room_for_place(state, row, now_ns)
    if kind == Kind.CANCEL or kind == Kind.AMEND or kind == Kind.DEPOSIT:
        return 1
    if kind == Kind.CLOCK:
        return counters["orders_live"] if now_ns >= counters["expiry_soonest_ns"] else i64(0)
    return room_for_anything(state)


@kernel
def _room_for_place(state: State, row: Any, now_ns: int) -> int:
    counters = state.counters[0]
    market, side = i64(row["market"]), i64(row["side"])
    if market >= counters["markets"] or side > 1:
        return 1
    ladder = 2 * market + side
    if not crosses(side, row["price_ticks"], state.tops[ladder ^ 1]["best"]):
        return 2
    is_plain = i64(row["flags"]) & SELF_MODES == 0 and now_ns < counters["expiry_soonest_ns"]
    if is_plain and counters["icebergs_live"] == 0 and state.markets[market]["armed"] == 0:
        # Each maker it meets takes at least one of its lots.
        return min(max(row["amount"], 0), counters["orders_live"]) + 2
    return room_for_anything(state)


@rare
def room_for_anything(state: State) -> int:
    """Return a bound for every command, however its orders meet and trigger each other.

    Two orders that meet exhaust one of them, or a part of an iceberg, and cause at most four
    events; a stop adds three of its own, an account's switch one, the command itself four.
    """
    counters = state.counters[0]
    orders = counters["orders_live"] + 1
    parts = counters["icebergs_live"] * ICEBERG_PARTS_MAX
    return 7 * orders + 4 * (parts + ICEBERG_PARTS_MAX) + counters["accounts"] + 4
