"""What does the shared library call?

It imports this module once, opens a book with ``OpenBook`` and asks the constants below where the
native entry points are. From then on it calls these, and Python is not there any more. All take the
address of a book's table of two addresses first, and an address for every pointer.
"""

from typing import Any, Final

import numpy as np
from numba import types

from benchmarks.challenge.layout import (
    BEST_PRICE,
    BEST_PRICES_AT,
    BITS_AT,
    BOUNDS,
    BRANCHES,
    COUNTERS,
    COUNTERS_AT,
    DEPTHS_AT,
    LADDER_WORDS,
    LEAF_PRICE_AT,
    LINK,
    LINKS,
    LINKS_AT,
    MESSAGE_WORDS,
    NAME,
    NODES_AT,
    ORDER,
    REPORT_WORDS,
    ROOTS_AT,
    SLOTS,
    WINDOW_TICKS,
)
from benchmarks.challenge.memory import BookMemory, reserve
from benchmarks.challenge.names import widen
from benchmarks.challenge.native import native, rows_at
from benchmarks.challenge.play import depth_at, echo, play
from engine.core.jit import kernel
from engine.core.solo_book import SoloBook

_types: Any = types
_ADDRESS: Any = _types.int64
_TABLE: Any = _types.CPointer(_types.int64)
_INT32 = np.dtype(np.int32)
_INT64 = np.dtype(np.int64)


@kernel
def _book_at(table: Any) -> SoloBook:
    """Return the book whose arena and names lie where ``table`` says."""
    arena = table[0]
    counters = rows_at(arena + COUNTERS_AT, 1, COUNTERS)
    return SoloBook(
        counters,
        rows_at(arena + BEST_PRICES_AT, 2, BEST_PRICE),
        rows_at(arena + ROOTS_AT, 2, _INT64),
        rows_at(arena + BITS_AT, 2 * LADDER_WORDS, _INT64),
        rows_at(arena + DEPTHS_AT, 2 * WINDOW_TICKS, _INT64),
        rows_at(arena + LINKS_AT, SLOTS, ORDER),
        rows_at(arena + LINKS_AT, LINKS, LINK),
        rows_at(arena + LEAF_PRICE_AT, SLOTS, _INT64),
        rows_at(arena + NODES_AT, 4 * SLOTS, _INT32),
        rows_at(table[1], counters[0]["name_mask"] + 1, NAME),
        BOUNDS,
        BRANCHES,
    )


@native(_TABLE, _ADDRESS, types.int64, _ADDRESS, types.int64)
def _play(table: Any, messages: int, count: int, rows: int, room: int) -> int:
    came, given = rows_at(messages, count, MESSAGE_WORDS), rows_at(rows, room, REPORT_WORDS)
    return play(_book_at(table), came, count, given, room)


@native(_TABLE, _ADDRESS, types.int64, _ADDRESS, types.int64)
def _echo(table: Any, messages: int, count: int, rows: int, room: int) -> int:
    counters = _book_at(table).counters[0]
    came, given = rows_at(messages, count, MESSAGE_WORDS), rows_at(rows, room, REPORT_WORDS)
    done = echo(came, count, given, room)
    counters["rows_used"] = done
    counters["rows_wanted"] = 1
    return done


@native(_TABLE, types.int64)
def _best(table: Any, side: int) -> Any:
    return _book_at(table).best_prices[side]["best"]


@native(_TABLE, types.int64, types.int64)
def _depth_at(table: Any, price: int, side: int) -> int:
    return depth_at(_book_at(table), price, side)


@native(_TABLE, _ADDRESS, types.int64)
def _widen(table: Any, wider: int, count: int) -> int:
    widen(_book_at(table), rows_at(wider, count, NAME), count)
    return count


PLAY: Final = int(_play.address)
"""(table, messages, count, rows, room) -> messages carried out"""
ECHO: Final = int(_echo.address)
"""The same, but only acknowledges: the floor of what is measured"""
BEST: Final = int(_best.address)
"""(table, side) -> best price, or INT64_MIN or INT64_MAX"""
DEPTH_AT: Final = int(_depth_at.address)
"""(table, price, side) -> open lots"""

_COUNTER_PLACES: Any = COUNTERS.fields
ROWS_USED, ROWS_WANTED, NAMES_WANTED = (
    int(_COUNTER_PLACES[name][1]) for name in ("rows_used", "rows_wanted", "names_wanted")
)
"""Where in the counters, in bytes, a call of ``PLAY`` leaves these."""


class OpenBook(BookMemory):
    """A book that the shared library plays messages to."""

    def grow(self) -> None:
        """Make room for twice as many ids that have no slot of their own."""
        wider = reserve(2 * self.names.nbytes).view(NAME)
        _widen.ctypes(self.table, wider.ctypes.data, wider.size)
        self.adopt_names(wider)
