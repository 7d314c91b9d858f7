"""Where does a stop wait for a trade to reach its trigger?

Armed stops are outside the book: each ladder has a crit-bit tree of triggers, each trigger a queue,
oldest first. Buys are triggered from below, lowest trigger first; sells from above, highest first.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import detach, join
from engine.core.emit import emit_order
from engine.core.far_levels import NO_LEAF, find_leaf, insert_leaf, remove_leaf
from engine.core.jit import i64, rare
from engine.core.state import ARMED, FAR_START, TREE_ARMED, State
from engine.events import EventKind, Events
from engine.types import Outcome


@rare
def arm(state: State, out: Events, slot: int, lots: int, trigger: int, terms: int) -> None:
    """Make an armed stop of the accepted order in ``slot``."""
    order, extra = state.orders[slot], state.order_extras[slot]
    order["lots"] = lots
    order["kind"] = ARMED
    extra["trigger"] = trigger
    extra["terms"] = terms
    wait(state, slot)
    emit_order(state, out, EventKind.ARMED, Outcome.ACCEPTED, slot, lots, order_left=trigger)


@rare
def wait(state: State, slot: int) -> None:
    """Put the armed stop in ``slot`` at the end of the queue of its trigger."""
    order, trigger = state.orders[slot], state.order_extras[slot]["trigger"]
    tree = state.bounds[TREE_ARMED] + i64(order["ladder"])
    leaf = find_leaf(state, tree, trigger)
    if leaf == NO_LEAF:
        leaf = insert_leaf(state, tree, trigger)
    join(state, state.bounds[FAR_START] + leaf, slot)
    state.markets[order["ladder"] >> 1]["armed"] += 1


@rare
def disarm(state: State, slot: int) -> None:
    """Take the stop in ``slot`` out of its queue."""
    order = state.orders[slot]
    trigger = state.order_extras[slot]["trigger"]
    tree = state.bounds[TREE_ARMED] + i64(order["ladder"])
    if detach(state, slot):
        level = state.links[state.bounds[FAR_START] + find_leaf(state, tree, trigger)]
        level["next"] = 0
        level["prev"] = 0
        remove_leaf(state, tree, trigger)
    state.markets[order["ladder"] >> 1]["armed"] -= 1
