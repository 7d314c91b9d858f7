"""What does the shared library call?

It imports this module once, opens a book with ``OpenBook`` and asks the constants below where the
native entry points are. From then on it calls these, and Python is not there any more. All take the
address of a book's arena first, and an address for every pointer.
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
    LADDER_WORDS,
    LEAF_PRICE_AT,
    LINK,
    LINKS,
    LINKS_AT,
    MESSAGE_WORDS,
    NAME,
    NAMES_AT,
    NAMES_MOST,
    NODES_AT,
    ORDER,
    REPORT_WORDS,
    ROOTS_AT,
    SLOTS,
)
from benchmarks.challenge.memory import BookMemory
from benchmarks.challenge.native import native, rows_at
from benchmarks.challenge.play import cancel, depth_at, echo, enter, modify, play
from engine.core.jit import kernel
from engine.core.solo_book import SoloBook

_types: Any = types
_ADDRESS: Any = _types.int64
_INT32 = np.dtype(np.int32)
_INT64 = np.dtype(np.int64)

_BODY_AT = 8
"""Where in a message its body begins. The calls for one message get the body alone."""


@kernel
def _book_at(arena: int) -> SoloBook:
    """Return the book whose arrays lie from ``arena`` on."""
    return SoloBook(
        rows_at(arena + COUNTERS_AT, 1, COUNTERS),
        rows_at(arena + BEST_PRICES_AT, 2, BEST_PRICE),
        rows_at(arena + ROOTS_AT, 2, _INT64),
        rows_at(arena + BITS_AT, 2 * LADDER_WORDS, _INT64),
        rows_at(arena + LINKS_AT, SLOTS, ORDER),
        rows_at(arena + LINKS_AT, LINKS, LINK),
        rows_at(arena + LEAF_PRICE_AT, SLOTS, _INT64),
        rows_at(arena + NODES_AT, 4 * SLOTS, _INT32),
        rows_at(arena + NAMES_AT, NAMES_MOST, NAME),
        BOUNDS,
        BRANCHES,
    )


@native(_ADDRESS, _ADDRESS, types.int64, _ADDRESS, types.int64)
def _play(arena: int, messages: int, count: int, rows: int, room: int) -> int:
    came, given = rows_at(messages, count, MESSAGE_WORDS), rows_at(rows, room, REPORT_WORDS)
    return play(_book_at(arena), came, count, given, room)


@native(_ADDRESS, _ADDRESS, _ADDRESS, types.int64)
def _enter(arena: int, body: int, rows: int, room: int) -> int:
    message = rows_at(body - _BODY_AT, 1, MESSAGE_WORDS)[0]
    return enter(_book_at(arena), message, rows_at(rows, room, REPORT_WORDS), 0, room)


@native(_ADDRESS, _ADDRESS, _ADDRESS, types.int64)
def _cancel(arena: int, body: int, rows: int, room: int) -> int:
    message = rows_at(body - _BODY_AT, 1, MESSAGE_WORDS)[0]
    return cancel(_book_at(arena), message, rows_at(rows, room, REPORT_WORDS), 0)


@native(_ADDRESS, _ADDRESS, _ADDRESS, types.int64)
def _modify(arena: int, body: int, rows: int, room: int) -> int:
    message = rows_at(body - _BODY_AT, 1, MESSAGE_WORDS)[0]
    return modify(_book_at(arena), message, rows_at(rows, room, REPORT_WORDS), 0, room)


@native(_ADDRESS, _ADDRESS, types.int64, _ADDRESS, types.int64)
def _echo(arena: int, messages: int, count: int, rows: int, room: int) -> int:
    counters = _book_at(arena).counters[0]
    came, given = rows_at(messages, count, MESSAGE_WORDS), rows_at(rows, room, REPORT_WORDS)
    done = echo(came, count, given, room)
    counters["rows_used"] = done
    counters["rows_wanted"] = 1
    return done


@native(_ADDRESS, types.int64)
def _best(arena: int, side: int) -> Any:
    return _book_at(arena).best_prices[side]["best"]


@native(_ADDRESS, types.int64, types.int64)
def _depth_at(arena: int, price: int, side: int) -> int:
    return depth_at(_book_at(arena), price, side)


PLAY: Final = int(_play.address)
"""(arena, messages, count, rows, room) -> messages carried out"""
ECHO: Final = int(_echo.address)
"""The same, but only acknowledges: the floor of what is measured"""
ENTER, CANCEL, MODIFY = (int(each.address) for each in (_enter, _cancel, _modify))
"""(arena, body, rows, room) -> rows written, or how many are wanted, negative, if there is no room
for what this message may report; it was not begun then"""
BEST: Final = int(_best.address)
"""(arena, side) -> best price, or INT64_MIN or INT64_MAX"""
DEPTH_AT: Final = int(_depth_at.address)
"""(arena, price, side) -> open lots"""

_COUNTER_PLACES: Any = COUNTERS.fields
ROWS_USED, ROWS_WANTED = (int(_COUNTER_PLACES[name][1]) for name in ("rows_used", "rows_wanted"))
"""Where in the arena, which begins with the counters, a call of ``PLAY`` leaves these."""
assert COUNTERS_AT == 0


class OpenBook(BookMemory):
    """A book that the shared library plays messages to."""
