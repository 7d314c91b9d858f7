"""How does an order get a slot, a place in its queue, and out again?

Each price has one queue, linked through the rows of its orders, oldest first. Slots are reused
last in, first out, because the slot just freed is the one still in the cache.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.bits import clear_bit, next_above, next_below, set_bit
from engine.core.jit import i64, kernel
from engine.core.layout import NO_ASK, NO_BID, NO_SLOT, State
from engine.types import Side

SLOT_BITS = 32
SLOT_MASK = (1 << SLOT_BITS) - 1
ORDERS_MAX, GENERATIONS = 3, 4  # Places in State.bounds.


@kernel
def slot_is_free(state: State) -> bool:
    """Return whether one more order can be taken."""
    counters = state.counters[0]
    return counters["slot_free"] != NO_SLOT or counters["slots_used"] < state.bounds[ORDERS_MAX]


@kernel
def take_slot(state: State) -> int:
    """Return a slot for a new order; the caller has seen that there is one."""
    counters = state.counters[0]
    slot = counters["slot_free"]
    if slot != NO_SLOT:
        counters["slot_free"] = state.orders[slot]["next"]
        return slot
    counters["slots_used"] += 1
    assert counters["slots_used"] < state.orders.size
    return counters["slots_used"]


@kernel
def give_slot(state: State, slot: int) -> None:
    """Free ``slot`` for the next order, or retire it when its ids are used up."""
    order = state.orders[slot]
    order["lots"] = 0
    order["prev"] = NO_SLOT
    order["generation"] += 1
    if order["generation"] < state.bounds[GENERATIONS]:
        order["next"] = state.counters[0]["slot_free"]
        state.counters[0]["slot_free"] = slot


@kernel
def id_of(state: State, slot: int) -> int:
    """Return the order id that ``slot`` answers to now."""
    return (i64(state.orders[slot]["generation"]) << SLOT_BITS) | slot


@kernel
def slot_of(state: State, order_id: int) -> int:
    """Return the slot of a resting order, or NO_SLOT; ``order_id`` may be anything."""
    slot = order_id & SLOT_MASK
    if order_id < 0 or slot > state.counters[0]["slots_used"]:
        return NO_SLOT
    order = state.orders[slot]
    if order["lots"] == 0 or order["generation"] != order_id >> SLOT_BITS:
        return NO_SLOT
    return slot


@kernel
def link(state: State, slot: int) -> None:
    """Put the order in ``slot`` at the end of the queue of its price."""
    order = state.orders[slot]
    market, price = i64(order["market"]), i64(order["price"])
    level = state.levels[market, price]
    youngest = level["tail"]
    order["prev"] = youngest
    order["next"] = NO_SLOT
    level["tail"] = slot
    state.counters[0]["orders_live"] += 1

    if youngest != NO_SLOT:
        state.orders[youngest]["next"] = slot
        return
    level["head"] = slot
    set_bit(state, market, price)
    if order["side"] == Side.BUY:
        state.markets[market]["best_bid"] = max(state.markets[market]["best_bid"], price)
    else:
        state.markets[market]["best_ask"] = min(state.markets[market]["best_ask"], price)


@kernel
def unlink(state: State, slot: int) -> None:
    """Take the order in ``slot`` out of its queue; its neighbours keep their places."""
    order = state.orders[slot]
    market, price = i64(order["market"]), i64(order["price"])
    level = state.levels[market, price]
    older, younger = order["prev"], order["next"]
    state.counters[0]["orders_live"] -= 1

    if older != NO_SLOT:
        state.orders[older]["next"] = younger
    else:
        level["head"] = younger
    if younger != NO_SLOT:
        state.orders[younger]["prev"] = older
    else:
        level["tail"] = older

    if level["head"] == NO_SLOT:
        clear_bit(state, market, price)
        if order["side"] == Side.BUY:
            if state.markets[market]["best_bid"] == price:
                state.markets[market]["best_bid"] = next_below(state, market, price)
        elif state.markets[market]["best_ask"] == price:
            state.markets[market]["best_ask"] = next_above(state, market, price)


@kernel
def best_against(state: State, market: int, side: int) -> int:
    """Return the best price an incoming order of ``side`` can meet, or NO_ASK or NO_BID."""
    if side == Side.BUY:
        return state.markets[market]["best_ask"]
    return state.markets[market]["best_bid"]


@kernel
def crosses(side: int, price_ticks: int, against_ticks: int) -> bool:
    """Return whether an order limited to ``price_ticks`` accepts the opposite price.

    NO_ASK and NO_BID are crossed by no limit, so an empty side needs no test of its own.
    """
    if side == Side.BUY:
        return against_ticks <= price_ticks
    return against_ticks >= price_ticks


assert NO_BID < 1 <= NO_ASK
