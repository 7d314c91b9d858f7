"""What becomes of an order that comes in, or comes back as a triggered stop?

It trades what it may; the rest goes into the book or is dropped.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import link
from engine.core.emit import emit_order
from engine.core.fill_or_kill import is_fillable
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import hold_for
from engine.core.match import match
from engine.core.slots import give_slot
from engine.core.state import FILLS, ICEBERG, PASSES, State
from engine.core.validate import SELF_MODES, SHOWS_SLICE, SINGLE_SHOT
from engine.events import EventKind, Events
from engine.types import FILLS_MAX, Outcome, Phase, TimeInForce


@kernel
def carry_out(
    state: State, out: Events, slot: int, lots: int, tif: int, flags: int, display: int
) -> None:
    """Match the order in ``slot`` and let what is left of it rest or go."""
    market = state.orders[slot]["ladder"] >> 1
    why = i64(Outcome.ACCEPTED)
    if state.markets[market]["phase"] != Phase.AUCTION:
        lots, why = trade_or_not(state, out, slot, lots, tif, flags)
    if lots == 0:
        give_slot(state, slot)
    elif why != Outcome.ACCEPTED or tif == TimeInForce.IOC:
        if why == Outcome.ACCEPTED:
            why = i64(Outcome.IMMEDIATE_REMAINDER)
        emit_order(state, out, EventKind.UNFILLED, why, slot, lots)
        give_slot(state, slot)
    else:
        hold_for(state, slot, lots)
        hidden = i64(0)
        if flags & SHOWS_SLICE != 0:
            hidden = hide(state, slot, lots, display)
        state.orders[slot]["lots"] = lots - hidden
        link(state, slot)
        emit_order(
            state, out, EventKind.RESTED, Outcome.ACCEPTED, slot, lots - hidden, hidden=hidden
        )


@kernel
def trade_or_not(
    state: State, out: Events, slot: int, lots: int, tif: int, flags: int
) -> tuple[int, Outcome]:
    """Match the order in ``slot``, a FOK only if that fills it; return lots left and why."""
    counters, bounds = state.counters[0], state.bounds
    fills_max = bounds[FILLS]
    if flags & SINGLE_SHOT != 0:
        fills_max = min(fills_max, i64(FILLS_MAX))
    counters["passes_left"] = bounds[PASSES]
    why = i64(Outcome.NOT_FILLABLE_WHOLE)
    may_fill = True
    if tif == TimeInForce.FOK:
        counters["work_left"] -= FILLS_MAX  # It has looked at so many, even if it takes none.
        may_fill = is_fillable(state, slot, lots, flags, fills_max)
    if may_fill:
        counters["passes_left"] = bounds[PASSES]
        lots, why = match(state, out, slot, lots, flags & SELF_MODES, fills_max)
        assert lots == 0 or tif != TimeInForce.FOK
    counters["work_left"] -= bounds[PASSES] - counters["passes_left"]
    return lots, why


@rare
def hide(state: State, slot: int, lots: int, display: int) -> int:
    """Make an iceberg of the order in ``slot``; return how many of its ``lots`` are hidden."""
    extra = state.order_extras[slot]
    extra["display"] = display
    extra["hidden"] = lots - min(lots, display)
    state.orders[slot]["kind"] = ICEBERG
    state.counters[0]["icebergs_live"] += 1
    return extra["hidden"]
