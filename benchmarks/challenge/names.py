"""Which slot belongs to an id that the caller chose?

A hash table of lines of 16 four-byte entries answers with one load. It holds live orders only and
is at most half full, so it stays as small as the book: whatever ids a caller draws, and whatever he
drew before, what is looked up lies in the innermost caches. An entry is a slot and, above it, bits
of the id's hash; all of a line are compared at once, without a branch on where the entry stands.
A line that is full overflows into the next. When an entry leaves a full line, one that had to go
further comes back: no tombstones, so the table never decays.

Slots are dense, and the one freed last is given out first: the next order gets a row that is warm.
"""

# mypy: disable-error-code="no-any-return"
from benchmarks.challenge.layout import LINE_NAMES, NAMES_FIRST, SLOTS
from benchmarks.challenge.native import line_matches, natural
from engine.core.jit import i64, kernel, rare, u64
from engine.core.machinecode import lowest_bit
from engine.core.solo_book import SoloBook
from engine.core.state import NO_SLOT

SPREAD = -7046029254386353131
"""2**64 divided by the golden ratio, odd: multiplying by it spreads ids that lie close."""
TAKEN = 1 << 31
"""The bit that every entry in use has, so that a free one, 0, matches no id."""
LINE_BITS = 4
assert LINE_NAMES == 1 << LINE_BITS


@kernel
def hash_of(order_id: int) -> int:
    """Return an id's hash: its upper half tells names of a line apart, both together the line."""
    return order_id * i64(SPREAD)


@kernel
def home_of(book: SoloBook, mixed: int) -> int:
    """Return the line where the search for an id of this hash begins."""
    return ((mixed >> 32) ^ mixed) & book.counters[0]["line_mask"]


@kernel
def tag_of(book: SoloBook, mixed: int) -> int:
    """Return the entry of an id of this hash, all but the slot."""
    return ((mixed >> 33) & ~book.counters[0]["slot_mask"] & i64(TAKEN - 1)) | i64(TAKEN)


@kernel
def matches(book: SoloBook, line: int, tag: int) -> int:
    """Return which entries of a line, as bits, could be the one with this tag."""
    return line_matches(book.names, line, tag, ~book.counters[0]["slot_mask"])


@kernel
def free_places(book: SoloBook, line: int) -> int:
    """Return which entries of a line, as bits, are free."""
    return line_matches(book.names, line, 0, i64(TAKEN))


@kernel
def slot_at(book: SoloBook, place: int) -> int:
    """Return the slot that an entry names."""
    return natural(i64(book.names[u64(place)]) & book.counters[0]["slot_mask"])


@kernel
def place_of(book: SoloBook, order_id: int) -> int:
    """Return where in the table ``order_id`` stands, or -1 when no such order rests."""
    mixed = hash_of(order_id)
    line, tag = home_of(book, mixed), tag_of(book, mixed)
    found = matches(book, line, tag)
    if found != 0:
        place = (line << LINE_BITS) + lowest_bit(found)
        if book.orders[u64(slot_at(book, place))]["order_id"] == order_id:
            return place
        return _search(book, order_id)
    if free_places(book, line) == 0:
        return _search(book, order_id)
    return i64(-1)


@rare
def _search(book: SoloBook, order_id: int) -> int:
    """Return the place of ``order_id`` or -1; looks at every entry that could be it."""
    mixed = hash_of(order_id)
    line, tag = home_of(book, mixed), tag_of(book, mixed)
    while True:
        found = matches(book, line, tag)
        while found != 0:
            place = (line << LINE_BITS) + lowest_bit(found)
            if book.orders[slot_at(book, place)]["order_id"] == order_id:
                return place
            found &= found - 1
        if free_places(book, line) != 0:
            return -1
        line = (line + 1) & book.counters[0]["line_mask"]


@kernel
def take_slot(book: SoloBook, order_id: int) -> int:
    """Return a slot for a new order with this id, which no order that rests has."""
    counters = book.counters[0]
    if counters["orders_live"] >= counters["orders_most"]:
        widen(book)
    slot = i64(counters["slot_free"])
    if slot != NO_SLOT:
        counters["slot_free"] = book.orders[u64(slot)]["next"]
    else:
        slot = counters["slots_used"] + 1
        assert slot < SLOTS  # More orders at once than a slot's number can tell apart.
        counters["slots_used"] = slot
    counters["orders_live"] += 1
    enter_name(book, order_id, slot)
    return natural(slot)


@kernel
def enter_name(book: SoloBook, order_id: int, slot: int) -> None:
    """Enter an id into the table, which has room."""
    mixed = hash_of(order_id)
    line = home_of(book, mixed)
    free = free_places(book, line)
    if free == 0:
        line, free = _line_with_room(book, line)
    book.names[u64((line << LINE_BITS) + lowest_bit(free))] = tag_of(book, mixed) | slot


@rare
def _line_with_room(book: SoloBook, line: int) -> tuple[int, int]:
    """Return the next line that is not full, and what is free there."""
    free = i64(0)
    while free == 0:
        line = (line + 1) & book.counters[0]["line_mask"]
        free = free_places(book, line)
    return line, free


@kernel
def leave(book: SoloBook, place: int, slot: int) -> None:
    """Note that the order in ``slot``, whose name stands at ``place``, is gone."""
    counters = book.counters[0]
    if free_places(book, place >> LINE_BITS) == 0:
        _close_up(book, place)
    else:
        book.names[u64(place)] = 0
    book.orders[u64(slot)]["next"] = counters["slot_free"]
    counters["slot_free"] = slot
    counters["orders_live"] -= 1


@kernel
def leave_slot(book: SoloBook, slot: int) -> None:
    """Note that the order in ``slot`` is gone, wherever its name stands."""
    line = home_of(book, hash_of(book.orders[u64(slot)]["order_id"]))
    exact = book.counters[0]["slot_mask"] | i64(TAKEN)
    found = line_matches(book.names, line, slot | i64(TAKEN), exact)
    if found != 0:
        leave(book, (line << LINE_BITS) + lowest_bit(found), slot)
    else:
        leave(book, _search(book, book.orders[slot]["order_id"]), slot)


@rare
def _close_up(book: SoloBook, hole: int) -> None:
    """Free a place of a full line, and let come back whom that line had sent further."""
    mask = book.counters[0]["line_mask"]
    book.names[hole] = 0
    line = hole >> LINE_BITS
    beyond, was_full = line, True
    while was_full:
        beyond = (beyond + 1) & mask
        was_full = free_places(book, beyond) == 0
        for place in range(beyond << LINE_BITS, (beyond + 1) << LINE_BITS):
            entry = i64(book.names[place])
            if entry == 0:
                continue
            home = home_of(book, hash_of(book.orders[slot_at(book, place)]["order_id"]))
            if ((beyond - home) & mask) >= ((beyond - line) & mask):
                book.names[hole] = entry
                book.names[place] = 0
                hole, line = place, beyond
                break


@rare
def widen(book: SoloBook) -> None:
    """Double the table; the rows of the orders themselves say what stands in it."""
    counters = book.counters[0]
    size = 2 * (counters["slot_mask"] + 1)
    assert size <= book.names.size
    counters["slot_mask"] = size - 1
    counters["line_mask"] = (size >> LINE_BITS) - 1
    counters["orders_most"] = size >> 1
    for place in range(size):
        book.names[place] = 0
    for slot in range(1, counters["slots_used"] + 1):
        if book.orders[slot]["lots"] != 0:
            enter_name(book, book.orders[slot]["order_id"], slot)


assert NAMES_FIRST % LINE_NAMES == 0
