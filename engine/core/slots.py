"""Which slot does the next order get, and which order does an id name?

An id is ``(generation << 32) | slot``. Slots are reused last in, first out, because the slot just
freed is the one still in the cache.
"""

# mypy: disable-error-code="no-any-return"

from engine.core.jit import i64, kernel, u64
from engine.core.state import GENERATIONS, NO_SLOT, ORDERS_MAX, PLAIN, State

SLOT_BITS = 32
SLOT_MASK = (1 << SLOT_BITS) - 1


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
        counters["slot_free"] = state.orders[u64(slot)]["next"]
        return slot
    counters["slots_used"] += 1
    assert counters["slots_used"] < state.orders.size
    return counters["slots_used"]


@kernel
def give_slot(state: State, slot: int) -> None:
    """Free ``slot`` for the next order, or retire it when its ids are used up."""
    order = state.orders[u64(slot)]
    order["lots"] = 0
    order["kind"] = PLAIN
    order["generation"] += 1
    if order["generation"] < state.bounds[GENERATIONS]:
        order["next"] = state.counters[0]["slot_free"]
        state.counters[0]["slot_free"] = slot


@kernel
def id_of(state: State, slot: int) -> int:
    """Return the order id that ``slot`` answers to now."""
    return (i64(state.orders[u64(slot)]["generation"]) << SLOT_BITS) | slot


@kernel
def slot_of(state: State, order_id: int) -> int:
    """Return the slot of a live order, or NO_SLOT; ``order_id`` may be anything."""
    slot = order_id & SLOT_MASK
    if order_id < 0 or slot > state.counters[0]["slots_used"]:
        return NO_SLOT
    order = state.orders[u64(slot)]
    if order["lots"] == 0 or order["generation"] != order_id >> SLOT_BITS:
        return NO_SLOT
    return slot
