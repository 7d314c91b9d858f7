"""Which slot belongs to an id that the caller chose?

An id from 1 to ID_SLOTS *is* its slot. Any other is looked up in a hash table with linear probing,
at most half full, whose entries close up when one leaves: no tombstones, so it never decays.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from benchmarks.challenge.layout import ID_SLOTS, SLOTS
from engine.core.jit import i64, kernel, rare
from engine.core.solo_book import SoloBook
from engine.core.state import NO_SLOT

SPREAD = -7046029254386353131
"""2**64 divided by the golden ratio, odd: multiplying by it spreads ids that lie close."""


@kernel
def slot_of(book: SoloBook, order_id: int) -> int:
    """Return the slot that answers to ``order_id``; NO_SLOT, where nothing rests, if none does."""
    if order_id > 0 and order_id <= ID_SLOTS:
        return order_id
    return _named_slot(book, order_id)


@kernel
def slot_for(book: SoloBook, order_id: int) -> int:
    """Return the slot for a new order; the caller has seen ``name_fits``."""
    if order_id > 0 and order_id <= ID_SLOTS:
        return order_id
    return _name(book, order_id)


@kernel
def name_fits(book: SoloBook, order_id: int) -> bool:
    """Return whether a new order with this id can have a slot now."""
    if order_id > 0 and order_id <= ID_SLOTS:
        return True
    counters = book.counters[0]
    return 2 * (counters["named_live"] + 1) <= counters["name_mask"] + 1


@kernel
def forget(book: SoloBook, slot: int) -> None:
    """Note that the order in ``slot`` is gone, so that its id may be used for another."""
    if slot > ID_SLOTS:
        _unname(book, slot)


@kernel
def _home(book: SoloBook, order_id: int) -> int:
    """Return the place in the table where the search for an id begins."""
    mixed = order_id * i64(SPREAD)
    return ((mixed >> 32) ^ mixed) & book.counters[0]["name_mask"]


@rare
def _named_slot(book: SoloBook, order_id: int) -> int:
    mask = book.counters[0]["name_mask"]
    place = _home(book, order_id)
    while book.names[place]["slot"] != NO_SLOT:
        if book.names[place]["order_id"] == order_id:
            return book.names[place]["slot"]
        place = (place + 1) & mask
    return NO_SLOT


@rare
def _name(book: SoloBook, order_id: int) -> int:
    """Give an id without a slot one, the last one freed first."""
    counters = book.counters[0]
    slot = i64(counters["named_free"])
    if slot != NO_SLOT:
        counters["named_free"] = book.orders[slot]["next"]
    else:
        counters["named_used"] += 1
        slot = ID_SLOTS + counters["named_used"]
        assert slot < SLOTS  # More orders at once than a slot's number can tell apart.
    counters["named_live"] += 1
    enter_name(book, order_id, slot)
    return slot


@kernel
def enter_name(book: SoloBook, order_id: int, slot: int) -> None:
    """Enter an id into the table, which has room."""
    mask = book.counters[0]["name_mask"]
    place = _home(book, order_id)
    while book.names[place]["slot"] != NO_SLOT:
        place = (place + 1) & mask
    book.names[place]["order_id"] = order_id
    book.names[place]["slot"] = slot


@rare
def _unname(book: SoloBook, slot: int) -> None:
    """Take the id of ``slot`` out of the table and move up what it had pushed away."""
    counters = book.counters[0]
    mask = counters["name_mask"]
    hole = _home(book, book.orders[slot]["order_id"])
    while book.names[hole]["slot"] != slot:
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    while book.names[place]["slot"] != NO_SLOT:
        home = _home(book, book.names[place]["order_id"])
        if ((place - home) & mask) >= ((place - hole) & mask):
            book.names[hole]["order_id"] = book.names[place]["order_id"]
            book.names[hole]["slot"] = book.names[place]["slot"]
            hole = place
        place = (place + 1) & mask
    book.names[hole]["slot"] = NO_SLOT
    book.orders[slot]["next"] = counters["named_free"]
    counters["named_free"] = slot
    counters["named_live"] -= 1


@kernel
def widen(book: SoloBook, wider: Any, count: int) -> None:
    """Copy every name into ``wider``, which has ``count`` empty places."""
    for place in range(book.counters[0]["name_mask"] + 1):
        slot = book.names[place]["slot"]
        if slot == NO_SLOT:
            continue
        order_id = book.names[place]["order_id"]
        mixed = order_id * i64(SPREAD)
        goal = ((mixed >> 32) ^ mixed) & (count - 1)
        while wider[goal]["slot"] != NO_SLOT:
            goal = (goal + 1) & (count - 1)
        wider[goal]["order_id"] = order_id
        wider[goal]["slot"] = slot
