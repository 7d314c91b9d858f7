"""Where should a ladder's window stand while it is not empty?

Where the book is. Whoever rests one lot far away before the first real order must not decide for
everybody else. So each time some dozen far levels were made, it is counted whether the
prices around the last one have more levels there than the window has; if so, the window moves, and
levels change places. A level is a ring: it goes as a whole, and no order notices. Both counts are
bounded, so a move is, and results never depend on it.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.bits import NO_TICK, clear_bit, set_bit, tick_edge, tick_worse
from engine.core.far_levels import NO_LEAF, insert_leaf, leaf_beyond, remove_leaf
from engine.core.jit import i64, kernel, rare, u64
from engine.core.state import FAR_START, NEAR_START, WINDOW_BITS

PATIENCE = 64
"""How many far levels are made before it is asked whether the window should move."""

LEVELS_MOVED_MAX = 256
"""A window with more levels stays: there are few such prices that an outsider has made up."""


@rare
def follow_the_book(book: Any, ladder: int, low: int) -> None:
    """Move the window to ``low`` if it is time to ask and more levels are there than here."""
    top = book.best_prices[u64(ladder)]
    top["inserted"] += 1
    if top["inserted"] < PATIENCE:
        return
    top["inserted"] = 0
    wanted, bits = i64(0), book.bounds[WINDOW_BITS]
    leaf = leaf_beyond(book, ladder, low - 1, 1)
    while leaf != NO_LEAF and (book.leaf_price[leaf] - low) >> bits == 0:
        wanted += 1
        if wanted > LEVELS_MOVED_MAX:
            return
        leaf = leaf_beyond(book, ladder, book.leaf_price[leaf], 1)
    if is_sparser_than(book, ladder, wanted):
        move_window(book, ladder, low)


@kernel
def is_sparser_than(book: Any, ladder: int, levels: int) -> bool:
    """Return whether the window has fewer levels than that."""
    tick = tick_edge(book, ladder, i64(ladder & 1))
    while tick != NO_TICK and levels > 0:
        levels -= 1
        tick = tick_worse(book, ladder, tick)
    return levels > 0


@rare
def move_window(book: Any, ladder: int, low: int) -> None:
    """Put what is in the window among the far levels, and those from ``low`` on in it."""
    top, bits = book.best_prices[u64(ladder)], book.bounds[WINDOW_BITS]
    start = book.bounds[NEAR_START] + (ladder << bits)
    tick = tick_edge(book, ladder, i64(1))
    while tick != NO_TICK:
        leaf = insert_leaf(book, ladder, top["low"] + tick)
        move_queue(book, start + tick, book.bounds[FAR_START] + leaf)
        clear_bit(book, ladder, tick)
        tick = tick_edge(book, ladder, i64(1))
    top["low"] = low
    leaf = leaf_beyond(book, ladder, low - 1, 1)
    while leaf != NO_LEAF and (book.leaf_price[leaf] - low) >> bits == 0:
        price = i64(book.leaf_price[leaf])
        move_queue(book, book.bounds[FAR_START] + leaf, start + price - low)
        remove_leaf(book, ladder, price)
        set_bit(book, ladder, price - low)
        leaf = leaf_beyond(book, ladder, price, 1)


@kernel
def move_queue(book: Any, at: int, to: int) -> None:
    """Give the level ``to``, which is empty, the queue of the level ``at``."""
    old, new = book.links[u64(at)], book.links[u64(to)]
    oldest, youngest = i64(old["next"]), i64(old["prev"])
    new["next"] = oldest
    new["prev"] = youngest
    book.links[u64(oldest)]["prev"] = to
    book.links[u64(youngest)]["next"] = to
    old["next"] = 0
    old["prev"] = 0
