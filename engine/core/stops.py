"""Where does a stop wait, and whose turn is it when a trade has reached its trigger?

Armed stops are outside the book: each ladder has a shelf of triggers, each trigger a queue, oldest
first. Buys are triggered from below, lowest trigger first; sells from above, highest first. Which
prices have been reached is forgotten with the command, unless it could not wake all they reach.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import first_of, join, part
from engine.core.emit import emit_order
from engine.core.jit import i64, kernel, rare
from engine.core.layout import (
    ARMED,
    FAR_START,
    FILLS,
    NO_ASK,
    NO_BID,
    NO_SLOT,
    PASSES,
    SHELF_ARMED,
    TRADES,
    State,
)
from engine.core.shelf import NO_LEAF, find_leaf, leaf_edge, plant_leaf, pluck_leaf
from engine.events import EventKind, Events
from engine.types import Outcome, Phase, Side


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
    """Return the slot of the stop whose turn it is after these trades, or NO_SLOT."""
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


@kernel
def trades_left(state: State) -> int:
    """Return how many more trades this command may cause."""
    counters = state.counters[0]
    return state.bounds[TRADES] - (counters["trade_id"] - counters["trade_id_before"])


@kernel
def has_room(state: State) -> bool:
    """Return whether this command may let one more order come in, whatever that one does."""
    bounds, work_left = state.bounds, state.counters[0]["work_left"]
    return trades_left(state) >= bounds[FILLS] and work_left > bounds[PASSES]


@kernel
def no_reach(state: State) -> None:
    """Begin with no price traded at."""
    state.counters[0]["trade_low"] = NO_ASK
    state.counters[0]["trade_high"] = NO_BID


@rare
def recall_reach(state: State, market: int) -> None:
    """Begin with the prices that have reached stops which no command could wake so far."""
    no_reach(state)
    pending = state.pending[market]
    if pending["high"] != 0:
        state.counters[0]["trade_low"] = pending["low"]
        state.counters[0]["trade_high"] = pending["high"]


@rare
def keep_reach(state: State, market: int) -> None:
    """Keep the prices traded at for the next command if they reach a stop that still waits."""
    counters, pending = state.counters[0], state.pending[market]
    if pending["high"] != 0:
        counters["markets_pending"] -= 1
    waits = first_triggered(state, market) != NO_SLOT
    pending["low"] = counters["trade_low"] if waits else i64(0)
    pending["high"] = counters["trade_high"] if waits else i64(0)
    if waits:
        counters["markets_pending"] += 1


@rare
def forget_pending(state: State, market: int) -> None:
    """Forget what a market, which has no orders any more, had still to do."""
    pending = state.pending[market]
    if pending["high"] != 0:
        state.counters[0]["markets_pending"] -= 1
    pending["low"] = 0
    pending["high"] = 0
    pending["price"] = 0


@rare
def may_come_in(state: State, market: int, is_stop: bool) -> bool:
    """Return whether an order may come in, now that the stops of ``market`` have had their turn.

    None overtakes a stop that a trade has reached before it came; and no new stop is armed while
    the prices that wake the old ones are still remembered.
    """
    if state.pending[market]["high"] != 0:
        return state.markets[market]["phase"] != Phase.OPEN and not is_stop
    return has_room(state)
