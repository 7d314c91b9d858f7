"""Which price of a window comes next? A tree of 64-way bitmaps answers in a few words.

Level 0 has one bit per tick, each bit of the level above says whether a word below is not zero.
Each ladder has a tree of its own. Ticks count from the window's first price.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.jit import i64, kernel
from engine.core.layout import LADDER_WORDS, TREE_DEPTH
from engine.core.machinecode import highest_bit, lowest_bit

NO_TICK = -1


@kernel
def set_bit(book: Any, ladder: int, tick: int) -> None:
    """Note that ``tick`` has orders now."""
    start = ladder * book.bounds[LADDER_WORDS]
    for level in range(TREE_DEPTH):
        word = start + book.branches[level] + (tick >> 6)
        before = book.bits[word]
        book.bits[word] = before | (i64(1) << i64(tick & 63))
        if before != 0:
            return  # The levels above know this word already.
        tick >>= 6


@kernel
def clear_bit(book: Any, ladder: int, tick: int) -> None:
    """Note that ``tick`` has no orders any more."""
    start = ladder * book.bounds[LADDER_WORDS]
    for level in range(TREE_DEPTH):
        word = start + book.branches[level] + (tick >> 6)
        left = book.bits[word] & ~(i64(1) << i64(tick & 63))
        book.bits[word] = left
        if left != 0:
            return
        tick >>= 6


@kernel
def tick_above(book: Any, ladder: int, tick: int) -> int:
    """Return the lowest tick with orders above ``tick``, or NO_TICK."""
    start = ladder * book.bounds[LADDER_WORDS]
    for level in range(TREE_DEPTH):
        above = i64(-2) << i64(tick & 63)
        word = book.bits[start + book.branches[level] + (tick >> 6)] & above
        tick >>= 6
        if word != 0:
            tick = (tick << 6) | lowest_bit(word)
            for down in range(level - 1, -1, -1):
                word = book.bits[start + book.branches[down] + tick]
                tick = (tick << 6) | lowest_bit(word)
            return tick
    return NO_TICK


@kernel
def tick_below(book: Any, ladder: int, tick: int) -> int:
    """Return the highest tick with orders below ``tick``, or NO_TICK."""
    start = ladder * book.bounds[LADDER_WORDS]
    for level in range(TREE_DEPTH):
        below = ~(i64(-1) << i64(tick & 63))
        word = book.bits[start + book.branches[level] + (tick >> 6)] & below
        tick >>= 6
        if word != 0:
            tick = (tick << 6) | highest_bit(word)
            for down in range(level - 1, -1, -1):
                word = book.bits[start + book.branches[down] + tick]
                tick = (tick << 6) | highest_bit(word)
            return tick
    return NO_TICK


@kernel
def tick_edge(book: Any, ladder: int, upward: int) -> int:
    """Return the lowest tick with orders if ``upward``, else the highest; NO_TICK for none."""
    start = ladder * book.bounds[LADDER_WORDS]
    tick = i64(0)
    for level in range(TREE_DEPTH - 1, -1, -1):
        word = book.bits[start + book.branches[level] + tick]
        if word == 0:
            return NO_TICK
        tick = (tick << 6) | (lowest_bit(word) if upward else highest_bit(word))
    return tick
