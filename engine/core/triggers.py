"""Which stops have the trades of a command triggered, and when do they come in?

After the order that came in is finished, one after the other, while the command has room. Which
prices have been reached is forgotten with the command, unless it could not wake all they reach.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Kind
from engine.core.book import first_of
from engine.core.cancel import remove
from engine.core.emit import emit_order
from engine.core.far_levels import NO_LEAF, leaf_edge
from engine.core.incoming import carry_out
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import count_order, release_all
from engine.core.slots import slot_of
from engine.core.state import (
    FAR_START,
    FILLS,
    NO_ASK,
    NO_BID,
    NO_SLOT,
    PASSES,
    PLAIN,
    TRADES,
    TREE_ARMED,
    WORK,
    State,
)
from engine.core.stops import disarm
from engine.core.validate import STOP
from engine.events import EventKind, Events
from engine.types import Outcome, Phase, Side


@rare
def first_triggered(state: State, market: int) -> int:
    """Return the slot of the stop whose turn it is after these trades, or NO_SLOT."""
    counters = state.counters[0]
    for side in (Side.BUY, Side.SELL):
        tree = state.bounds[TREE_ARMED] + 2 * market + side
        leaf = leaf_edge(state, tree, i64(1) if side == Side.BUY else i64(0))
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
def next_stop(state: State, out: Events, market: int) -> int:
    """Return the slot of the next stop that trades have triggered and that may come in now.

    NO_SLOT if there is none, or if this command may let no more orders come in.
    """
    while has_room(state):
        slot = first_triggered(state, market)
        if slot == NO_SLOT:
            return slot
        state.counters[0]["work_left"] -= 1
        if state.expiry_ns[slot] <= state.counters[0]["time_ns"]:
            remove(state, out, slot, Outcome.EXPIRED)
            continue
        order, trigger = state.orders[slot], state.order_extras[slot]["trigger"]
        lots = order["lots"]
        emit_order(
            state, out, EventKind.TRIGGERED, Outcome.ACCEPTED, slot, lots, order_left=trigger
        )
        release_all(state, slot)
        disarm(state, slot)
        state.counters[0]["orders_live"] -= 1
        count_order(state, i64(order["account"]), i64(-1))
        order["kind"] = PLAIN
        return slot
    return i64(NO_SLOT)


@rare
def wake_stops(state: State, out: Events, market: int) -> None:
    """Carry out every stop that trades, and those of stops, have triggered, while there is room.

    Whose turn does not come is woken by a later command, before anything else trades there.
    """
    if state.markets[market]["phase"] != Phase.OPEN:
        return
    while True:
        slot = next_stop(state, out, market)
        if slot == NO_SLOT:
            keep_reach(state, market)
            return
        terms, lots = state.order_extras[slot]["terms"], state.orders[slot]["lots"]
        state.orders[slot]["lots"] = 0
        carry_out(state, out, slot, lots, terms & 255, terms >> 8, i64(0))


@rare
def may_come_in(state: State, market: int, is_stop: bool) -> bool:
    """Return whether an order may come in, now that the stops of ``market`` have had their turn.

    None overtakes a stop that a trade has reached before it came; and no new stop is armed while
    the prices that wake the old ones are still remembered.
    """
    if state.pending[market]["high"] != 0:
        return state.markets[market]["phase"] != Phase.OPEN and not is_stop
    return has_room(state)


@rare
def resume_stops(state: State, out: Events, row: Any, kind: int) -> bool:
    """Wake stops that no command could wake so far; return whether this one may go on.

    An order that comes in lets those of its own market go first, a CLOCK those of every market.
    """
    counters = state.counters[0]
    if kind == Kind.PLACE:
        market = i64(row["market"])
        if market >= counters["markets"] or state.pending[market]["high"] == 0:
            return True
        resume_market(state, out, market)
        return may_come_in(state, market, i64(row["flags"]) & STOP != 0)
    if kind == Kind.REPLACE:
        slot = slot_of(state, row["order_id"])
        market = i64(state.orders[slot]["ladder"]) >> 1
        if slot == NO_SLOT or state.pending[market]["high"] == 0:
            return True
        resume_market(state, out, market)
        return may_come_in(state, market, False)
    if kind == Kind.CLOCK:
        for market in range(counters["markets"]):
            if state.pending[market]["high"] != 0:
                resume_market(state, out, i64(market))
        counters["work_left"] = state.bounds[WORK]  # What has expired is another matter.
    return True


@rare
def resume_market(state: State, out: Events, market: int) -> None:
    """Let the stops of one market have their turn, if it is open."""
    recall_reach(state, market)
    if state.markets[market]["phase"] == Phase.OPEN:
        wake_stops(state, out, market)
    else:
        keep_reach(state, market)  # Those it was kept for may have been cancelled.
