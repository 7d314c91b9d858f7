"""Which price of a window comes next? A tree of 64-way bitmaps answers in a few words.

Level 0 has one bit per tick, each bit of the level above says whether a word below is not zero.
Each ladder has a tree of its own. Ticks count from the window's first price, but the bits of a buy
ladder stand in reverse: the next worse price is then upward on both sides, and no branch asks which
it is.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.jit import i64, kernel, rare, u64
from engine.core.machinecode import highest_bit, lowest_bit
from engine.core.state import LADDER_WORDS, TREE_DEPTH, WINDOW_BITS

NO_TICK = -1


@kernel
def place_of(book: Any, ladder: int, tick: int) -> int:
    """Return which bit stands for ``tick``, and which tick a bit stands for."""
    mask = (i64(1) << book.bounds[WINDOW_BITS]) - 1
    return tick ^ (((ladder & 1) - 1) & mask)


@kernel
def set_bit(book: Any, ladder: int, tick: int) -> None:
    """Note that ``tick`` has orders now."""
    bit = place_of(book, ladder, tick)
    start = ladder * book.bounds[LADDER_WORDS]
    book.bits[u64(start + (bit >> 6))] |= i64(1) << i64(bit & 63)
    # Whether that word was empty is hard to guess, so the level above is written in any case.
    for level in range(1, TREE_DEPTH):
        bit >>= 6
        word = start + book.branches[level] + (bit >> 6)
        before = book.bits[u64(word)]
        book.bits[u64(word)] = before | (i64(1) << i64(bit & 63))
        if before != 0:
            return  # The levels above know this word already.


@kernel
def clear_bit(book: Any, ladder: int, tick: int) -> None:
    """Note that ``tick`` has no orders any more."""
    bit = place_of(book, ladder, tick)
    start = ladder * book.bounds[LADDER_WORDS]
    word = start + (bit >> 6)
    left = book.bits[u64(word)] & ~(i64(1) << i64(bit & 63))
    book.bits[u64(word)] = left
    for level in range(1, TREE_DEPTH):
        bit >>= 6
        word = start + book.branches[level] + (bit >> 6)
        left = book.bits[u64(word)] & ~(i64(left == 0) << i64(bit & 63))
        book.bits[u64(word)] = left
        if left != 0:
            return


@kernel
def tick_worse(book: Any, ladder: int, tick: int) -> int:
    """Return the next tick with orders that is worse than ``tick``, or NO_TICK."""
    start = ladder * book.bounds[LADDER_WORDS]
    bit = place_of(book, ladder, tick)
    for level in range(TREE_DEPTH):
        above = i64(-2) << i64(bit & 63)
        word = book.bits[u64(start + book.branches[level] + (bit >> 6))] & above
        bit >>= 6
        if word != 0:
            bit = (bit << 6) | lowest_bit(word)
            for down in range(level - 1, -1, -1):
                word = book.bits[u64(start + book.branches[down] + bit)]
                bit = (bit << 6) | lowest_bit(word)
            return place_of(book, ladder, bit)
    return NO_TICK


@rare
def tick_better(book: Any, ladder: int, tick: int) -> int:
    """Return the next tick with orders that is better than ``tick``, or NO_TICK."""
    start = ladder * book.bounds[LADDER_WORDS]
    bit = place_of(book, ladder, tick)
    for level in range(TREE_DEPTH):
        below = ~(i64(-1) << i64(bit & 63))
        word = book.bits[u64(start + book.branches[level] + (bit >> 6))] & below
        bit >>= 6
        if word != 0:
            bit = (bit << 6) | highest_bit(word)
            for down in range(level - 1, -1, -1):
                word = book.bits[u64(start + book.branches[down] + bit)]
                bit = (bit << 6) | highest_bit(word)
            return place_of(book, ladder, bit)
    return NO_TICK


@rare
def tick_edge(book: Any, ladder: int, upward: int) -> int:
    """Return the lowest tick with orders if ``upward``, else the highest; NO_TICK for none."""
    start = ladder * book.bounds[LADDER_WORDS]
    wants_lowest = upward == ladder & 1
    bit = i64(0)
    for level in range(TREE_DEPTH - 1, -1, -1):
        word = book.bits[u64(start + book.branches[level] + bit)]
        if word == 0:
            return NO_TICK
        bit = (bit << 6) | (lowest_bit(word) if wants_lowest else highest_bit(word))
    return place_of(book, ladder, bit)
