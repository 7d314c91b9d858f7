"""Where does a stop wait, and whose turn is it when a trade has reached its trigger?

Armed stops are outside the book: each ladder has a shelf of triggers, each trigger a queue, oldest
first. Buys are triggered from below, lowest trigger first; sells from above, highest first.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import first_of, join, part
from engine.core.emit import emit_order
from engine.core.jit import i64, rare
from engine.core.layout import ARMED, FAR_START, NO_SLOT, SHELF_ARMED, State
from engine.core.shelf import NO_LEAF, find_leaf, leaf_edge, plant_leaf, pluck_leaf
from engine.events import EventKind, Events
from engine.types import Outcome, Side


@rare
def arm(state: State, out: Events, slot: int, lots: int, trigger: int, terms: int) -> None:
    """Make an armed stop of the accepted order in ``slot``."""
    order, extra = state.orders[slot], state.extras[slot]
    order["lots"] = lots
    order["kind"] = ARMED
    extra["trigger"] = trigger
    extra["terms"] = terms
    wait(state, slot)
    emit_order(state, out, EventKind.ARMED, Outcome.ACCEPTED, slot, lots, trigger, 0)


@rare
def wait(state: State, slot: int) -> None:
    """Put the armed stop in ``slot`` at the end of the queue of its trigger."""
    order, trigger = state.orders[slot], state.extras[slot]["trigger"]
    shelf = state.bounds[SHELF_ARMED] + i64(order["ladder"])
    leaf = find_leaf(state, shelf, trigger)
    if leaf == NO_LEAF:
        leaf = plant_leaf(state, shelf, trigger)
    join(state, state.bounds[FAR_START] + leaf, slot)
    state.markets[order["ladder"] >> 1]["armed"] += 1


@rare
def disarm(state: State, slot: int) -> None:
    """Take the stop in ``slot`` out of its queue."""
    order = state.orders[slot]
    trigger = state.extras[slot]["trigger"]
    shelf = state.bounds[SHELF_ARMED] + i64(order["ladder"])
    if part(state, slot):
        level = state.links[state.bounds[FAR_START] + find_leaf(state, shelf, trigger)]
        level["next"] = 0
        level["prev"] = 0
        pluck_leaf(state, shelf, trigger)
    state.markets[order["ladder"] >> 1]["armed"] -= 1


@rare
def first_triggered(state: State, market: int) -> int:
    """Return the slot of the stop whose turn it is after this command's trades, or NO_SLOT."""
    counters = state.counters[0]
    for side in (Side.BUY, Side.SELL):
        shelf = state.bounds[SHELF_ARMED] + 2 * market + side
        leaf = leaf_edge(state, shelf, i64(1) if side == Side.BUY else i64(0))
        if leaf == NO_LEAF:
            continue
        trigger = state.leaf_price[leaf]
        reached = (
            trigger <= counters["trade_high"]
            if side == Side.BUY
            else trigger >= counters["trade_low"]
        )
        if reached:
            return first_of(state, state.bounds[FAR_START] + leaf)
    return i64(NO_SLOT)
