"""What does one message do to the book, and what is reported?

The book is the engine's own: ``link``, ``unlink`` and the search for the next price are those of
``engine.core.book``. New here are the words of the challenge: ids that the caller names, no owners,
no ledger, and a modify that is a cancel and a new order.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from benchmarks.challenge.layout import WINDOW_TICKS
from benchmarks.challenge.names import leave, leave_slot, place_of, slot_at, take_slot
from benchmarks.challenge.native import claim, natural
from benchmarks.challenge.words import MessageType, ReportType
from engine.core.book import (
    NO_LEVEL,
    crosses,
    first_of,
    level_of,
    link,
    next_worse,
    unlink,
)
from engine.core.jit import i64, kernel, rare, u64
from engine.core.solo_book import SoloBook
from engine.core.state import NEAR_START, SLOT_LINKS

ROWS_AHEAD = 16
"""How many reports ahead the next lines of the queue are asked for."""
ROWS_SURE = 2
"""Reports of a message that trades with nobody, at most."""
LOTS_FEW = 256
"""So few lots may fill as many orders; of more it is counted how many orders they would meet."""
SIDES = 1
"""Mask: a caller's side is 0 or 1, and the compiler may know it."""


@kernel
def play(book: SoloBook, messages: Any, count: int, rows: Any, room: int) -> int:
    """Carry out up to ``count`` messages, reporting into ``rows``; return how many were.

    ``counters.rows_used`` says how many rows were written. It stops early before a message that
    might need more than ``room`` has left, and says in ``rows_wanted`` how much that is.
    """
    counters = book.counters[0]
    wanted = i64(ROWS_SURE)
    used, done = i64(0), i64(0)
    while done < count and used + ROWS_SURE <= room:
        message = messages[natural(done)]
        kind = message["type"]
        if kind == MessageType.CANCEL:
            after = cancel(book, message, rows, natural(used))
        elif kind == MessageType.NEW:
            after = enter(book, message, rows, natural(used), room)
        else:
            after = modify(book, message, rows, natural(used), room)
        if after < 0:
            wanted = -after
            break
        used = after
        done += 1
    counters["rows_used"] = used
    counters["rows_wanted"] = wanted
    return done


@kernel
def rows_worst(book: SoloBook, message: Any, side: int) -> int:
    """Return the most reports of an order that trades."""
    lots = i64(message["lots"])
    if lots > LOTS_FEW:
        lots = orders_met(book, message["price"], side, lots)
    return lots + ROWS_SURE


@rare
def orders_met(book: SoloBook, limit: int, side: int, lots: int) -> int:
    """Return how many resting orders ``lots`` would meet; looks only."""
    met = i64(0)
    price = book.best_prices[1 - side]["best"]
    while crosses(side, limit, price):
        at = level_of(book, 1 - side, price)
        if at == NO_LEVEL:
            break
        place = i64(book.links[at]["next"])
        while place != at:
            lots -= book.orders[place >> SLOT_LINKS]["lots"]
            met += 1
            if lots <= 0:
                return met
            place = i64(book.links[place]["next"])
        price = next_worse(book, 1 - side, price)
    return met


@kernel
def cancel(book: SoloBook, message: Any, rows: Any, used: int) -> int:
    """Carry out a cancel and report it; return how many rows are used then."""
    place = place_of(book, message["order_id"])
    if place < 0:
        put(rows, used, ReportType.CANCEL_REJECT, 0, message, 0, 0)
        return used + 1
    slot = slot_at(book, place)
    order = book.orders[u64(slot)]
    side, price, lots = i64(order["ladder"]) & SIDES, order["price"], i64(order["lots"])
    put(rows, used, ReportType.CANCEL_ACK, side, message, price, lots)
    unlink(book, slot)
    order["lots"] = 0
    leave(book, place, slot)
    return used + 1


@kernel
def enter(book: SoloBook, message: Any, rows: Any, used: int, room: int) -> int:
    """Carry out a new order and report it.

    Return how many rows are used then, or how many it wants, negative, if there is no room.
    """
    side = i64(message["side"]) & SIDES
    price, lots = message["price"], i64(message["lots"])
    claim(book.links, natural(level_near(book, side, price)))
    rests = place_of(book, message["order_id"]) >= 0
    meets = crosses(side, price, book.best_prices[u64(1 - side)]["best"])
    if meets:
        wanted = rows_worst(book, message, side)
        if used + wanted > room:
            return -wanted
    put(rows, used, ReportType.ORDER_ACK, side, message, price, lots)
    used += 1
    if rests:  # The interface has no word for refusing an id that is in use.
        put(rows, used, ReportType.CANCEL_ACK, side, message, price, lots)
        return used + 1
    if meets:
        lots, used = fill(book, message, side, rows, used)
    if lots == 0:
        return used
    if message["ioc"] != 0:
        put(rows, used, ReportType.CANCEL_ACK, side, message, price, lots)
        return used + 1
    slot = take_slot(book, message["order_id"])
    order = book.orders[u64(slot)]
    order["ladder"] = side
    order["order_id"] = message["order_id"]
    rest(book, slot, side, price, lots)
    return used


@kernel
def modify(book: SoloBook, message: Any, rows: Any, used: int, room: int) -> int:
    """Carry out a modify, a cancel and a new order of the same side; return as ``enter`` does."""
    place = place_of(book, message["order_id"])
    if place < 0:
        put(rows, used, ReportType.MODIFY_REJECT, 0, message, 0, 0)
        return used + 1
    slot = slot_at(book, place)
    order = book.orders[u64(slot)]
    side = i64(order["ladder"]) & SIDES
    price, lots = message["price"], i64(message["lots"])
    meets = crosses(side, price, book.best_prices[u64(1 - side)]["best"])
    if meets:
        wanted = rows_worst(book, message, side)
        if used + wanted > room:
            return -wanted
    put(rows, used, ReportType.MODIFY_ACK, side, message, price, lots)
    used += 1
    unlink(book, slot)
    if meets:
        lots, used = fill(book, message, side, rows, used)
    if lots == 0:
        order["lots"] = 0
        leave_slot(book, slot)  # Others that left meanwhile may have moved its name.
        return used
    rest(book, slot, side, price, lots)
    return used


@kernel
def level_near(book: SoloBook, side: int, price: int) -> int:
    """Return where the level of a price is if a window covers it, else where some other is."""
    tick = (price - book.best_prices[u64(side)]["low"]) & i64(WINDOW_TICKS - 1)
    return book.bounds[NEAR_START] + side * WINDOW_TICKS + tick


@kernel
def rest(book: SoloBook, slot: int, side: int, price: int, lots: int) -> None:
    """Put the order in ``slot`` into the queue of its price."""
    order = book.orders[u64(slot)]
    order["lots"] = lots
    order["price"] = price
    link(book, slot)


@kernel
def fill(book: SoloBook, message: Any, side: int, rows: Any, used: int) -> tuple[int, int]:
    """Fill the incoming order, oldest of the best price first; return lots left and reports."""
    price, lots = message["price"], i64(message["lots"])
    taker, sequence = message["order_id"], message["sequence"]
    while lots > 0:
        against = i64(book.best_prices[u64(1 - side)]["best"])
        if not crosses(side, price, against):
            break
        at = level_of(book, 1 - side, against)
        if at == NO_LEVEL:
            break  # The highest and the lowest price of all stand for an empty side, too.
        slot = natural(first_of(book, at))
        maker = book.orders[u64(slot)]
        resting = i64(maker["lots"])
        traded = min(lots, resting)
        row = rows[natural(used)]
        row["head"] = ReportType.TRADE | (side << 8)
        row["sequence"] = sequence
        row["order_id"] = taker
        row["price"] = against
        row["lots"] = traded
        row["maker"] = maker["order_id"]
        row["taker"] = taker
        row["end"] = 0
        used += 1
        lots -= traded
        maker["lots"] = resting - traded
        if traded == resting:
            unlink(book, slot)
            leave_slot(book, slot)
    return lots, used


@kernel
def put(rows: Any, at: int, kind: int, side: int, message: Any, price: int, lots: int) -> None:
    """Write a report that is not a trade."""
    row = rows[at]
    claim(rows, at + ROWS_AHEAD)
    row["head"] = kind | (side << 8)
    row["sequence"] = message["sequence"]
    row["order_id"] = message["order_id"]
    row["price"] = price
    row["lots"] = lots
    row["maker"] = 0
    row["taker"] = 0
    row["end"] = 0


@kernel
def echo(messages: Any, count: int, rows: Any, room: int) -> int:
    """Acknowledge messages without a book; return how many. What no engine here can be below."""
    count = min(count, room)
    for at in range(count):
        message = messages[natural(at)]
        kind = message["type"]
        if kind == MessageType.NEW:
            put(rows, at, ReportType.ORDER_ACK, i64(message["side"]), message, message["price"], 1)
        elif kind == MessageType.CANCEL:
            put(rows, at, ReportType.CANCEL_ACK, 0, message, 0, 0)
        else:
            put(rows, at, ReportType.MODIFY_ACK, i64(message["side"]), message, message["price"], 1)
    return count


@kernel
def depth_at(book: SoloBook, price: int, side: int) -> int:
    """Return the open lots of all orders of ``side`` at one price; walks its queue."""
    lots = i64(0)
    at = level_of(book, side, price)
    if at == NO_LEVEL:
        return lots
    place = i64(book.links[u64(at)]["next"])
    if place == 0:
        return lots  # A level never used.
    while place != at:
        lots += book.orders[u64(place >> SLOT_LINKS)]["lots"]
        place = i64(book.links[u64(place)]["next"])
    return lots
