"""Where does the memory of a book come from, and how does the shared library find it?

Everything is reserved at its greatest size as address space; the system gives a page when it is
first touched. Only the table of names, which must stay dense, grows by moving.
"""

import ctypes
import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.layout import (
    ARENA_BYTES,
    BEST_PRICE,
    BEST_PRICES_AT,
    COUNTERS,
    COUNTERS_AT,
    LINKS_AT,
    NAME,
    ORDER,
)
from engine.core.state import NO_ASK, NO_BID

NAMES_FIRST: Final = 2**12
ORDERS_TOUCHED: Final = 2**21
"""Rows whose pages are had before the first message, because a page fault costs more than one."""


def reserve(size: int) -> NDArray[np.uint8]:
    """Return ``size`` zeroed bytes of which only those touched will cost memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    area = mmap.mmap(-1, size, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(area, np.uint8)


class BookMemory:
    """The arena of one book, its table of names, and where both are."""

    def __init__(self) -> None:
        """Begin empty."""
        self._arena = reserve(ARENA_BYTES)
        self.names = reserve(NAMES_FIRST * NAME.itemsize).view(NAME)
        self.counters = self._rows(COUNTERS_AT, 1, COUNTERS)
        self.counters["name_mask"] = NAMES_FIRST - 1
        self._rows(BEST_PRICES_AT, 2, BEST_PRICE)["best"] = NO_BID, NO_ASK
        self._rows(LINKS_AT, ORDERS_TOUCHED, ORDER)["lots"] = 0
        self._addresses = np.array([self._arena.ctypes.data, self.names.ctypes.data], np.int64)

    def _rows(self, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        return self._arena[start : start + count * dtype.itemsize].view(dtype)

    @property
    def table(self) -> Any:
        """Return a pointer to the two addresses: of the arena and of the names."""
        return self._addresses.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))

    @property
    def address(self) -> int:
        """Return where the two addresses are."""
        return int(self._addresses.ctypes.data)

    def adopt_names(self, wider: NDArray[Any]) -> None:
        """Put a larger table, filled already, in the place of the table of names."""
        self.names = wider
        self.counters["name_mask"] = wider.size - 1
        self._addresses[1] = wider.ctypes.data
