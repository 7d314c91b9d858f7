"""Where does each field of a message, a report and the book lie?

Messages and reports are the challenge's own structs (``challenge.h``). One message type serves all
three: a cancel ends before ``price_ticks``, a modify before ``ioc``. Ids and sequences are unsigned
there and only carried around here, so the kernels read the same bytes as int64: numba would turn
uint64 mixed with int64 into float64.
"""

from itertools import accumulate
from typing import Final

import numpy as np

from engine.core import state as engine_state

WINDOW_BITS: Final = 24
WINDOW_TICKS: Final = 1 << WINDOW_BITS
"""Prices of a side's dense window. It lies around the first price of an empty side."""

SLOTS: Final = 2**28
"""How many orders can rest at once. Address space only, until they do."""

LINE_NAMES: Final = 16
NAMES_FIRST: Final = 2**10
NAMES_MOST: Final = 2 * SLOTS
"""Entries of the table of names: of one line, in the beginning, and of the largest table."""

MESSAGE = np.dtype(
    [
        ("type", "u1"),
        ("pad_type", "u1", 7),
        ("order_id", "<u8"),
        ("sequence", "<u8"),
        ("price_ticks", "<i8"),
        ("quantity", "<u4"),
        ("side", "u1"),
        ("ioc", "u1"),
        ("pad_end", "u1", 2),
    ]
)

REPORT = np.dtype(
    [
        ("type", "u1"),
        ("side", "u1"),
        ("pad_side", "u1", 6),
        ("sequence", "<u8"),
        ("order_id", "<u8"),
        ("price_ticks", "<i8"),
        ("quantity", "<u4"),
        ("pad_quantity", "<u4"),
        ("maker_order_id", "<u8"),
        ("taker_order_id", "<u8"),
        ("pad_end", "<u8"),
    ]
)

MESSAGE_WORDS = np.dtype(
    {
        "names": ["type", "order_id", "sequence", "price", "lots", "side", "ioc"],
        "formats": ["u1", "<i8", "<i8", "<i8", "<u4", "u1", "u1"],
        "offsets": [0, 8, 16, 24, 32, 36, 37],
        "itemsize": 40,
    }
)
"""MESSAGE as the kernels read it."""

REPORT_WORDS = np.dtype(
    [
        *(("head", "<i8"), ("sequence", "<i8"), ("order_id", "<i8"), ("price", "<i8")),
        *(("lots", "<i8"), ("maker", "<i8"), ("taker", "<i8"), ("end", "<i8")),
    ]
)
"""REPORT as the kernels write it; ``head`` is the type and, eight bits up, the side."""

assert MESSAGE.itemsize == MESSAGE_WORDS.itemsize == 40
assert REPORT.itemsize == REPORT_WORDS.itemsize == 64

ORDER = np.dtype(
    [
        ("next", "<u4"),  # The order's link, as in the engine's own rows.
        ("prev", "<u4"),
        ("lots", "<u4"),  # Lots open; 0 exactly when no order rests in this slot.
        ("ladder", "<u2"),  # The side: there is one market.
        ("spare", "<u2"),
        ("price", "<i8"),
        ("order_id", "<i8"),
    ]
)
"""Half a cache line. Links are unsigned, so that numba need not think of indices below 0."""

LINK = np.dtype([("next", "<u4"), ("prev", "<u4")])
assert ORDER.itemsize == LINK.itemsize << engine_state.SLOT_LINKS

BEST_PRICE = engine_state.BEST_PRICE

COUNTERS = np.dtype(
    [
        ("leaf_free", "<i8"),  # As the engine's own counters of these names.
        ("leaves_used", "<i8"),
        ("node_free", "<i8"),
        ("nodes_used", "<i8"),
        ("orders_live", "<i8"),  # Resting orders, each with a slot and a name.
        ("orders_most", "<i8"),  # More than that, and the table of names is doubled.
        ("slots_used", "<i8"),  # Slots 1 .. slots_used were given out.
        ("slot_free", "<i8"),  # Top of their free list; linked through ``ORDER.next``.
        ("slot_mask", "<i8"),  # Entries of the table in use, minus 1; all slots are less.
        ("line_mask", "<i8"),  # Its lines, minus 1.
        ("rows_used", "<i8"),  # What the last call of ``play`` wrote, and what stopped it.
        ("rows_wanted", "<i8"),
    ]
)

NAME = np.dtype(np.uint32)
"""One entry of the table of names: the slot, bits of the id's hash above it, a bit for taken."""

TREE_WORDS: Final = tuple(
    WINDOW_TICKS // 64 ** (level + 1) for level in range(engine_state.TREE_DEPTH)
)
BRANCHES: Final = tuple(sum(TREE_WORDS[:level]) for level in range(len(TREE_WORDS)))
LADDER_WORDS: Final = sum(TREE_WORDS)
NEAR_START: Final = SLOTS << engine_state.SLOT_LINKS
FAR_START: Final = NEAR_START + 2 * WINDOW_TICKS
LINKS: Final = FAR_START + SLOTS
assert LINKS < 2**32

_GEOMETRY = {
    engine_state.WINDOW_BITS: WINDOW_BITS,
    engine_state.LADDER_WORDS: LADDER_WORDS,
    engine_state.NEAR_START: NEAR_START,
    engine_state.FAR_START: FAR_START,
}
BOUNDS: Final = tuple(_GEOMETRY.get(place, 0) for place in range(max(_GEOMETRY) + 1))
"""What the engine's queues ask of ``bounds``. Constants here, so they are none of the memory's."""


HUGE_PAGE_BYTES: Final = 2**21
"""Every array begins at such a boundary, so that no small page is left at its ends."""

_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
_PARTS: Final = (
    (COUNTERS, 1),
    (BEST_PRICE, 2),
    (_INT64, 2),
    (_INT64, 2 * LADDER_WORDS),
    (NAME, NAMES_MOST),
    (LINK, LINKS),
    (_INT64, SLOTS),
    (_INT32, 4 * SLOTS),
)
"""The arrays of a book in the order of ``COUNTERS_AT`` and so on."""

_OFFSETS = accumulate(
    (-(-kind.itemsize * count // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES for kind, count in _PARTS),
    initial=0,
)
COUNTERS_AT, BEST_PRICES_AT, ROOTS_AT, BITS_AT, NAMES_AT, *_FURTHER = _OFFSETS
LINKS_AT, LEAF_PRICE_AT, NODES_AT, ARENA_BYTES = _FURTHER
"""All arrays lie in one arena, so that the machine needs one register for what would be seven."""
