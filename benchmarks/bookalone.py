"""What does the order book cost without accounts, money and events?

The engine's own primitives (``engine.core.book``, ``slots``) under a loop that knows nothing else:
new, immediate-or-cancel, cancel and replace over one market. Ids are the engine's. Each command has
an answer: the id it was given, or 0. ``dispatch`` is the floor: the same array, read, told apart,
and nothing done.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.commands import Commands, Kind
from engine.core.book import crosses, level_of, link, unlink, vacate
from engine.core.jit import i64, kernel, u64
from engine.core.prefetch import (
    FIRST,
    SECOND,
    orders_are_many,
    prefetch_best,
    prefetch_named,
    prefetch_neighbours,
)
from engine.core.slots import SLOT_BITS, SLOT_MASK, give_slot, id_of, slot_of, take_slot
from engine.core.state import NO_SLOT, SLOT_LINKS, State, new_state
from engine.core.state_pointer import opener_of, pointer_of
from engine.types import Limits, TimeInForce

TRADES, LOTS, NOTIONAL, HASH, RESTING, TAKERS = range(6)
NO_ORDER = -1
open_book = opener_of(new_state(Limits(1, 1, 1, 1, 64)))


class Tally(NamedTuple):
    """What came out: what two engines must agree on."""

    trades: int
    lots: int
    notional: int
    trade_hash: int
    resting: int
    takers: int
    """How many orders traded when they came in."""


class Book:
    """One market's book and nothing else."""

    def __init__(self, orders: int, ladder_ticks: int) -> None:
        limits = Limits(tokens=1, markets=1, accounts=1, orders=orders, ladder_ticks=ladder_ticks)
        self.state = new_state(limits)
        for array in self.state:
            raw = array.view(np.uint8)
            raw |= 0  # The first touch of a page is the operating system's time, not the book's.
        self.pointer = pointer_of(self.state)
        self.sums = np.zeros(len(Tally._fields), np.int64)

    def play(self, commands: Commands, answers: NDArray[np.int64], *, hashing: bool = True) -> None:
        """Carry out ``commands``; ``answers[i]`` becomes the id given to the order of row i."""
        play(self.pointer, commands, answers, self.sums, hashing)

    def rests(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each id whether its order rests now."""
        slots, orders = ids & SLOT_MASK, self.state.orders
        is_same = orders["generation"][slots] == ids >> SLOT_BITS
        resting: NDArray[np.bool_] = is_same & (orders["lots"][slots] > 0)
        return resting

    def sides(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the side of each of these orders, which rest."""
        sides: NDArray[np.int64] = self.state.orders["ladder"][ids & SLOT_MASK].astype(np.int64)
        return sides

    @property
    def slots_used(self) -> int:
        """Return the most orders there have been at a time, the incoming one included."""
        return int(self.state.counters[0]["slots_used"])

    def tally(self) -> Tally:
        """Return the sums since the beginning."""
        return Tally(*self.sums.tolist())


@kernel
def play(
    pointer: Any,
    commands: Commands,
    answers: NDArray[np.int64],
    sums: NDArray[np.int64],
    hashing: bool,
) -> None:
    """Carry out every command."""
    book = open_book(pointer)
    resting = sums[RESTING]
    for i in range(commands.size):
        if orders_are_many(book):
            peek(book, commands, i)
        row = commands[i]
        kind = row["kind"]
        if kind == Kind.PLACE:
            side = i64(row["side"])
        elif kind == Kind.REPLACE:
            side = remove(book, row["order_id"])
            if side == NO_ORDER:
                answers[i] = 0
                continue
            resting -= 1
        else:
            answers[i] = 0
            if kind == Kind.CANCEL and remove(book, row["order_id"]) != NO_ORDER:
                resting -= 1
            continue
        slot = take_slot(book)
        order_id = id_of(book, slot)
        answers[i] = order_id
        lots, price = row["amount"], row["price_ticks"]
        if crosses(side, price, book.best_prices[u64(side ^ 1)]["best"]):
            lots, gone = take(book, sums, side, price, lots, order_id, hashing)
            resting -= gone
        if lots == 0 or row["tif"] != TimeInForce.GTC:
            give_slot(book, slot)
            continue
        order = book.orders[u64(slot)]
        order["ladder"] = side
        order["price"] = price
        order["lots"] = lots
        link(book, slot)
        resting += 1
    sums[RESTING] = resting


@kernel
def remove(book: State, order_id: int) -> int:
    """Take the order of this id out of the book; return its side, or NO_ORDER if none rests."""
    slot = slot_of(book, order_id)
    if slot == NO_SLOT:
        return NO_ORDER
    side: int = i64(book.orders[u64(slot)]["ladder"])
    unlink(book, slot)
    give_slot(book, slot)
    return side


@kernel
def peek(book: State, commands: Commands, i: int) -> None:
    """Ask for the memory of commands to come, as ``engine.core.prefetch`` does."""
    if i + FIRST >= commands.size:
        return
    row = commands[i + FIRST]
    prefetch_named(book, i64(row["side"]), row["price_ticks"], row["order_id"])
    row = commands[i + SECOND]
    prefetch_neighbours(book, i64(row["side"]), row["price_ticks"], row["order_id"])


@kernel
def take(
    book: State,
    sums: NDArray[np.int64],
    side: int,
    limit: int,
    lots: int,
    taker_id: int,
    hashing: bool,
) -> tuple[int, int]:
    """Fill what can be filled of an order that crosses; return the lots left and makers gone."""
    against = side ^ 1
    price = book.best_prices[u64(against)]["best"]
    fills, gone, notional, lots_before = i64(0), i64(0), i64(0), lots
    while lots > 0 and crosses(side, limit, price):
        at = level_of(book, against, price)
        oldest = i64(book.links[u64(at)]["next"])
        lots_here = lots
        while oldest != at:
            slot = oldest >> SLOT_LINKS
            maker = book.orders[u64(slot)]
            open_lots = maker["lots"]
            fills += 1
            if hashing:
                note_trade(sums, id_of(book, slot), taker_id, price, min(lots, open_lots))
            if open_lots > lots:
                maker["lots"] = open_lots - lots
                lots = i64(0)
                break
            lots -= open_lots
            oldest = i64(maker["next"])
            give_slot(book, slot)
            gone += 1
            if lots == 0:
                break
        notional += (lots_here - lots) * price
        book.links[u64(at)]["next"] = oldest
        book.links[u64(oldest)]["prev"] = at
        if oldest == at:
            vacate(book, against, price)
            price = book.best_prices[u64(against)]["best"]
    prefetch_best(book, against, price)
    sums[TRADES] += fills
    sums[LOTS] += lots_before - lots
    sums[NOTIONAL] += notional
    sums[TAKERS] += 1
    return lots, gone


@kernel
def note_trade(
    sums: NDArray[np.int64], maker_id: int, taker_id: int, price: int, lots: int
) -> None:
    """Mix one trade into a hash that depends on the order of all of them."""
    mixed = (sums[HASH] * 1_000_003 ^ maker_id) * 1_000_003 ^ taker_id
    sums[HASH] = mixed * 1_000_003 ^ (price << 20) ^ lots


@kernel
def dispatch(commands: Commands, sums: NDArray[np.int64]) -> None:
    """Read each command and tell the kinds apart; a sum for each keeps the reading real."""
    for i in range(commands.size):
        row = commands[i]
        kind = row["kind"]
        if kind == Kind.PLACE:
            if row["tif"] == TimeInForce.GTC:
                sums[0] += row["price_ticks"] ^ row["amount"]
            else:
                sums[1] += row["price_ticks"] ^ row["amount"]
        elif kind == Kind.CANCEL:
            sums[2] += row["order_id"]
        elif kind == Kind.REPLACE:
            sums[3] += row["order_id"] ^ row["price_ticks"]
        else:
            sums[4] += 1
