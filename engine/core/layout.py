"""Where does each field of the engine's state live, and why there?

Columns and packed rows, not objects. What one command touches together lies together: an order's
row is half a cache line, a market's row one line, an account's balance of one token a quarter.
Everything starts as zeros from the operating system, so a page nobody touched costs nothing; that
is why slot 0 and price 0 mean "none" in here.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.types import ALL_MARKETS, FEE_MAX_PPM, PRICE_MAX, Limits

LINE_BYTES: Final = 64
NO_SLOT: Final = 0
NO_BID: Final = 0
NO_ASK: Final = PRICE_MAX + 1
"""Below every price and above every price: an empty side needs no branch of its own."""

TREE_DEPTH: Final = 4
"""Levels of 64-way bitmaps; 64**4 ticks are the most one ladder can hold."""

NEVER: Final = 2**63 - 1

COUNTERS = np.dtype(
    [
        ("sequence", "<i8"),
        ("time_ns", "<i8"),
        ("event_index", "<i8"),
        ("trade_id", "<i8"),
        ("tokens", "<i8"),
        ("markets", "<i8"),
        ("accounts", "<i8"),
        ("slots_used", "<i8"),  # Slots 1..slots_used have been given out at least once.
        ("slot_free", "<i8"),  # Top of the free list; linked through ``Order.next``.
        ("orders_live", "<i8"),
        ("expiry_soonest_ns", "<i8"),  # No live order expires before this.
        ("out_row", "<i8"),  # Next free row of the event buffer.
        ("rows_wanted", "<i8"),  # How many free rows the command needs that was not begun.
    ]
)

ORDER = np.dtype(
    [
        ("next", "<i4"),
        ("prev", "<i4"),
        ("lots", "<i8"),  # Lots open; 0 exactly when the slot is free.
        ("price", "<i4"),
        ("account", "<i4"),
        ("generation", "<i4"),  # How many orders this slot has held before.
        ("market", "<u2"),
        ("side", "u1"),
        ("spare", "u1"),
    ]
)
assert ORDER.itemsize == 32

LEVEL = np.dtype([("head", "<i4"), ("tail", "<i4")])

MARKET = np.dtype(
    [
        ("base", "<i4"),
        ("quote", "<i4"),
        ("maker_ppm", "<i2"),
        ("taker_ppm", "<i2"),
        ("phase", "<i4"),
        ("lot_pips", "<i8"),
        ("tick_pips", "<i8"),
        ("lots_max", "<i8"),  # More lots than this are more base pips than MONEY_MAX.
        ("area_max", "<i8"),  # Largest lots * price_ticks whose quote pips leave room for the fee.
        ("best_bid", "<i8"),
        ("best_ask", "<i8"),
    ]
)
assert MARKET.itemsize == LINE_BYTES
assert FEE_MAX_PPM < 2**15  # Fees are two bytes wide, so that the phase is in the same line.

BALANCE = np.dtype([("available", "<i8"), ("held", "<i8")])
TOKEN = np.dtype([("supply", "<i8"), ("fees", "<i8")])


class State(NamedTuple):
    """All there is; each row is described by the dtype of the same name."""

    counters: NDArray[Any]
    """(1,) COUNTERS"""
    orders: NDArray[Any]
    """(orders + 1,) ORDER, addressed by slot: what matching reads and writes"""
    expiry_ns: NDArray[np.int64]
    """(orders + 1,) by slot: cold, read only when some order may have expired"""
    levels: NDArray[Any]
    """(markets, ladder_ticks) LEVEL: oldest and youngest order of each price"""
    bits: NDArray[np.int64]
    """(markets, words) bitmap tree over the prices that have orders"""
    branches: NDArray[np.int64]
    """(TREE_DEPTH,) where each level of the tree starts in ``bits``"""
    markets: NDArray[Any]
    """(markets,) MARKET"""
    balances: NDArray[Any]
    """(accounts, tokens) BALANCE"""
    exits: NDArray[np.int64]
    """(accounts,) exits begun and not ended; orders are refused while it is not 0"""
    tokens: NDArray[Any]
    """(tokens,) TOKEN: supply = deposits - withdrawals"""
    bounds: NDArray[np.int64]
    """(5,) room for tokens, markets, accounts, orders; generations of a slot"""


def new_state(limits: Limits) -> State:
    """Return the state before the first command."""
    assert 2 <= limits.ladder_ticks <= 64**TREE_DEPTH, limits.ladder_ticks
    assert limits.markets <= ALL_MARKETS, "that number names no market"
    assert limits.orders < 2**31 and limits.accounts < 2**31, "slots and accounts are int32"
    assert 1 <= limits.generations < 2**31, "an order id keeps 31 bits for the generation"

    words = [-(-limits.ladder_ticks // 64 ** (level + 1)) for level in range(TREE_DEPTH)]
    state = State(
        counters=_zeros(1, COUNTERS),
        orders=_zeros(limits.orders + 1, ORDER),
        expiry_ns=np.zeros(limits.orders + 1, np.int64),
        levels=_zeros(limits.markets * limits.ladder_ticks, LEVEL).reshape(limits.markets, -1),
        bits=np.zeros((limits.markets, sum(words)), np.int64),
        branches=np.cumsum([0, *words[:-1]], dtype=np.int64),
        markets=_zeros(limits.markets, MARKET),
        balances=_zeros(limits.accounts * limits.tokens, BALANCE).reshape(limits.accounts, -1),
        exits=np.zeros(limits.accounts, np.int64),
        tokens=_zeros(limits.tokens, TOKEN),
        bounds=np.array(
            [limits.tokens, limits.markets, limits.accounts, limits.orders, limits.generations],
            np.int64,
        ),
    )
    state.markets["best_ask"] = NO_ASK
    state.counters["expiry_soonest_ns"] = NEVER
    return state


def _zeros(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``count`` zeroed rows whose first byte starts a cache line."""
    raw = np.zeros(count * dtype.itemsize + LINE_BYTES, np.uint8)
    skip = -raw.ctypes.data % LINE_BYTES
    return raw[skip : skip + count * dtype.itemsize].view(dtype)
