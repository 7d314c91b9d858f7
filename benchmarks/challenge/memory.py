"""Where does the memory of a book come from, and how does the shared library find it?

Everything is reserved at its greatest size as address space; the system gives a page when it is
first touched. That costs more than many messages, so what a book of ordinary size will touch is
touched before the first one: the first rows and names, and those parts of the ladders where a
window has its prices.
"""

import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.layout import (
    ARENA_BYTES,
    BEST_PRICE,
    BEST_PRICES_AT,
    BITS_AT,
    COUNTERS,
    COUNTERS_AT,
    HUGE_PAGE_BYTES,
    LADDER_WORDS,
    LINE_NAMES,
    LINK,
    LINKS_AT,
    NAME,
    NAMES_AT,
    NAMES_FIRST,
    NEAR_START,
    ORDER,
    ROOTS_AT,
    WINDOW_TICKS,
)
from engine.core.state import NO_ASK, NO_BID

ORDERS_TOUCHED: Final = 2**17
TICKS_TOUCHED: Final = 2**18
"""So many orders at once, and so many prices, find their pages there already."""
SMALL_PAGE_BYTES: Final = 4096


def reserve(size: int) -> NDArray[np.uint8]:
    """Return ``size`` zeroed bytes of which only those touched will cost memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    area = mmap.mmap(-1, size + HUGE_PAGE_BYTES, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(area, np.uint8)
    skip = -whole.ctypes.data % HUGE_PAGE_BYTES
    return whole[skip : skip + size]


class BookMemory:
    """The arena of one book, and where it is."""

    def __init__(self) -> None:
        """Begin empty."""
        self._arena = reserve(ARENA_BYTES)
        self._touch_what_will_be_used()
        self.counters = self._rows(COUNTERS_AT, 1, COUNTERS)
        self.counters["orders_most"] = NAMES_FIRST // 2
        self.counters["slot_mask"] = NAMES_FIRST - 1
        self.counters["line_mask"] = NAMES_FIRST // LINE_NAMES - 1
        self._rows(BEST_PRICES_AT, 2, BEST_PRICE)["best"] = NO_BID, NO_ASK

    def _rows(self, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        return self._arena[start : start + count * dtype.itemsize].view(dtype)

    def _touch_what_will_be_used(self) -> None:
        """Have the pages of a book of ordinary size.

        A window begins at price 0 unless its first price is higher than half of it; then that price
        lies in its middle.
        """
        self._touch(COUNTERS_AT, 1)
        self._touch(BEST_PRICES_AT, 1)
        self._touch(ROOTS_AT, 1)
        self._touch(BITS_AT, 2 * LADDER_WORDS * 8)
        self._touch(NAMES_AT, 4 * ORDERS_TOUCHED * NAME.itemsize)
        self._touch(LINKS_AT, ORDERS_TOUCHED * ORDER.itemsize)
        for side in range(2):
            for tick in (0, WINDOW_TICKS // 2 - TICKS_TOUCHED // 2):
                at = side * WINDOW_TICKS + tick
                self._touch(
                    LINKS_AT + (NEAR_START + at) * LINK.itemsize, TICKS_TOUCHED * LINK.itemsize
                )

    def _touch(self, start: int, size: int) -> None:
        self._arena[start : start + size : SMALL_PAGE_BYTES] = 0

    @property
    def address(self) -> int:
        """Return where the arena begins."""
        return int(self._arena.ctypes.data)
