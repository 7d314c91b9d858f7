"""Where does each field of the engine's state live, and why there?

Columns and packed rows, not objects. What one command touches together lies together: an order's
row is half a cache line, a market's row one line, an account with its first three tokens one line.
Everything starts as zeros from the operating system, so a page nobody touched costs nothing; that
is why slot 0 and price 0 mean "none" in here.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.types import FEE_MAX_PPM, FILLS_MAX, LOTS_MAX, PRICE_MAX, Limits

LINE_BYTES: Final = 64
NO_SLOT: Final = 0
NO_BID: Final = -(2**63)
NO_ASK: Final = 2**63 - 1
"""Below every price and above every price: an empty side needs no branch of its own."""

TREE_DEPTH: Final = 4
"""Levels of 64-way bitmaps; 64**4 ticks are the most one window can hold."""

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
        ("orders_live", "<i8"),  # Resting and armed.
        ("icebergs_live", "<i8"),
        ("expiry_soonest_ns", "<i8"),  # No live order expires before this.
        ("deadline_soonest_ns", "<i8"),  # No dead man's switch goes off before this.
        ("trade_low", "<i8"),  # Lowest and highest price that this command has traded at.
        ("trade_high", "<i8"),
        ("trade_id_before", "<i8"),  # The last trade before this command.
        ("work_left", "<i8"),  # How many more orders this command may cancel, pass over or wake.
        ("passes_left", "<i8"),  # How many more orders the incoming one may pass over.
        ("markets_pending", "<i8"),  # How many markets have stops whose turn is still to come.
        ("out_row", "<i8"),  # Next free row of the event buffer.
        ("rows_wanted", "<i8"),  # How many free rows the command needs that was not begun.
        ("leaf_free", "<i8"),  # As for slots, of the leaves and nodes of ``far_levels.py``.
        ("leaves_used", "<i8"),
        ("node_free", "<i8"),
        ("nodes_used", "<i8"),
    ]
)

ORDER = np.dtype(
    [
        ("next", "<u4"),  # The order's link: the next younger and next older in its queue.
        ("prev", "<u4"),
        ("lots", "<i8"),  # Lots open, of an iceberg those shown; 0 exactly when the slot is free.
        ("price", "<i4"),
        ("account", "<i4"),
        ("generation", "<i4"),  # How many orders this slot has held before.
        ("ladder", "<u2"),  # 2 * market + side.
        ("kind", "u1"),  # PLAIN, ICEBERG or ARMED.
        ("spare", "u1"),
    ]
)
assert ORDER.itemsize == 32
PLAIN, ICEBERG, ARMED = 0, 1, 2

ORDER_EXTRA = np.dtype(
    [
        ("hidden", "<i8"),  # Of an iceberg: lots that wait behind those shown.
        ("display", "<i8"),  # Of an iceberg: lots shown at a time.
        ("trigger", "<i8"),  # Of an armed stop: its trigger price in ticks.
        ("terms", "<i8"),  # Of an armed stop: time in force | flags << 8.
    ]
)

LINK = np.dtype([("next", "<u4"), ("prev", "<u4")])
"""A queue is a ring of links: one of its level, one in each order's row. A level's ``next`` is the
oldest order and ``prev`` the youngest. A level never used is 0, 0 and means the same as one that
points to itself."""

SLOT_LINKS: Final = 2
assert ORDER.itemsize == LINK.itemsize << SLOT_LINKS  # An order's row starts with its link.

BEST_PRICE = np.dtype(
    [
        ("best", "<i8"),  # NO_BID or NO_ASK when the side is empty.
        ("low", "<i8"),  # The first price of the window.
        ("inserted", "<i8"),  # Far levels since it was last asked whether to move it.
        ("spare", "<i8"),
    ]
)
assert BEST_PRICE.itemsize * 2 == LINE_BYTES  # Both sides of a market share a line.

MARKET = np.dtype(
    [
        ("base", "<u2"),
        ("quote", "<u2"),
        ("maker_ppm", "<i2"),
        ("taker_ppm", "<i2"),
        ("phase", "<i4"),
        ("armed", "<i4"),  # How many stops wait.
        ("lot_pips", "<i8"),
        ("tick_pips", "<i8"),
        ("lots_max", "<i8"),  # More lots than this are more base pips than MONEY_MAX.
        ("area_max", "<i8"),  # Largest lots * price_ticks whose quote pips leave room for the fee.
        ("band_low", "<i4"),  # 0 and PRICE_MAX when there is no band.
        ("band_high", "<i4"),
        ("last_ticks", "<i4"),  # Price of the last trade; 0 before the first.
        ("spare", "<i4"),
    ]
)
assert MARKET.itemsize == LINE_BYTES
assert FEE_MAX_PPM < 2**15  # Fees are two bytes wide, so that all this is in one line.

PENDING = np.dtype(
    [
        ("low", "<i8"),  # Between which prices trades have reached stops that are still to wake;
        ("high", "<i8"),  # both 0 if there are none.
        ("price", "<i8"),  # At which price an auction goes on that was too long for one command.
        ("spare", "<i8"),
    ]
)
"""What a market has to do that was too much for the command that caused it; nearly always zeros."""

BALANCE = np.dtype([("available", "<i8"), ("held", "<i8")])
"""An account is a row of balances: its head, then one for each token. In the head
``available`` is the deadline of the dead man's switch (0 for none). ``held`` has two counts: below
``ORDERS_SHIFT`` what bars it, which is its open exits and the tokens it owes; above, its orders."""

ORDERS_SHIFT: Final = 32
BARS_MASK: Final = (1 << ORDERS_SHIFT) - 1

TOKEN = np.dtype([("supply", "<i8"), ("fees", "<i8")])

# Places in State.bounds.
(
    TOKENS_MAX,
    MARKETS_MAX,
    ACCOUNTS_MAX,
    ORDERS_MAX,
    GENERATIONS,
    ACCOUNT_BALANCES,
    WINDOW_BITS,
    LADDER_WORDS,
    NEAR_START,
    FAR_START,
    TREE_ARMED,
    ACCOUNT_ORDERS,
    FILLS,
    TRADES,
    PASSES,
    WORK,
    ROWS,
) = range(17)


class State(NamedTuple):
    """All there is. Every array has one dimension; a row is described by the dtype named."""

    counters: NDArray[Any]
    """(1,) COUNTERS"""
    bounds: NDArray[np.int64]
    """(17,) room for tokens, markets, accounts, orders; generations of a slot; then geometry:
    balances an account, log2 of a window's ticks, words of a ladder's bitmaps, where the levels of
    the windows and the far ones start in ``links``, which tree is the first for stops; then how
    many orders an account may have, how much an order and a command may do, and how many events
    that can be"""
    orders: NDArray[Any]
    """(orders + 1,) ORDER, addressed by slot: what matching reads and writes"""
    expiry_ns: NDArray[np.int64]
    """(orders + 1,) by slot: cold, read only when some order may have expired"""
    order_extras: NDArray[Any]
    """(orders + 1,) ORDER_EXTRA by slot: touched only by icebergs and armed stops"""
    best_prices: NDArray[Any]
    """(2 * markets,) BEST_PRICE by ladder"""
    links: NDArray[Any]
    """LINK: the rows of ``orders`` seen as links, four each and the first one true; then, in the
    same block of memory, the levels of every window; then those of the leaves of the trees"""
    bits: NDArray[np.int64]
    """(ladders * LADDER_WORDS,) bitmap tree over the prices of each window that have orders"""
    branches: NDArray[np.int64]
    """(TREE_DEPTH,) where each level of the tree starts within one ladder's words"""
    roots: NDArray[np.int64]
    """(4 * markets,) by tree: far prices of each ladder, then the triggers of its armed stops"""
    leaf_price: NDArray[np.int64]
    """(orders + 1,) by leaf"""
    nodes: NDArray[np.int32]
    """(4 * (orders + 1),) by node: bit, left child, right child, 0"""
    markets: NDArray[Any]
    """(markets,) MARKET"""
    balances: NDArray[Any]
    """(accounts * ACCOUNT_BALANCES,) BALANCE"""
    tokens: NDArray[Any]
    """(tokens,) TOKEN: supply = deposits - withdrawals"""
    pending: NDArray[Any]
    """(markets,) PENDING"""
    slices: NDArray[np.int64]
    """(2 * FILLS_MAX,) scratch of ``fill_or_kill.py``: slots of icebergs, and lots they hide"""
    owed: NDArray[np.int64]
    """(tokens,) what all negative balances of a token come to"""
    area_min: NDArray[np.int64]
    """(markets,) least lots * price_ticks of an order: a market's own line is full"""


def new_state(limits: Limits) -> State:
    """Return the state before the first command."""
    assert 2 <= limits.ladder_ticks <= 64**TREE_DEPTH, limits.ladder_ticks
    assert limits.markets < 2**15, "a ladder's number is two bytes wide"
    assert limits.tokens < 2**16, "a token's number is two bytes wide"
    assert limits.orders < 2**31 and limits.accounts < 2**31, "slots and accounts are int32"
    assert 1 <= limits.generations < 2**31, "an order id keeps 31 bits for the generation"
    # More fills than lots and more passes than orders cannot be: as good as no bound.
    fills, passes = min(limits.fills, LOTS_MAX), min(limits.passes, 2**31)
    assert 1 <= fills <= FILLS_MAX or fills == LOTS_MAX, "what counts fills has room for FILLS_MAX"
    assert limits.trades >= fills and limits.work > passes >= 1, "room for one order at least"

    window_bits = max(6, (limits.ladder_ticks - 1).bit_length())
    words = [-(-(1 << window_bits) // 64 ** (level + 1)) for level in range(TREE_DEPTH)]
    ladders, account_balances = 2 * limits.markets, -(-(limits.tokens + 1) // 4) * 4
    near_start = (limits.orders + 1) << SLOT_LINKS
    far_start = near_start + (ladders << window_bits)
    links = _zeros(far_start + limits.orders + 1, LINK)
    assert links.size < 2**31, "a link is int32"
    bounds = [*limits[:4], limits.generations, account_balances, window_bits]
    bounds += [sum(words), near_start, far_start, ladders]
    rows = min(4 * limits.work + 3 * limits.trades + 16, 2**40)
    bounds += [limits.account_orders, fills, limits.trades, passes, limits.work, rows]
    state = State(
        counters=_zeros(1, COUNTERS),
        bounds=np.array(bounds, np.int64),
        orders=links[:near_start].view(ORDER),
        expiry_ns=np.zeros(limits.orders + 1, np.int64),
        order_extras=_zeros(limits.orders + 1, ORDER_EXTRA),
        best_prices=_zeros(ladders, BEST_PRICE),
        links=links,
        bits=np.zeros(ladders * sum(words), np.int64),
        branches=np.cumsum([0, *words[:-1]], dtype=np.int64),
        roots=np.zeros(2 * ladders, np.int64),
        leaf_price=np.zeros(limits.orders + 1, np.int64),
        nodes=np.zeros(4 * (limits.orders + 1), np.int32),
        markets=_zeros(limits.markets, MARKET),
        balances=_zeros(limits.accounts * account_balances, BALANCE),
        tokens=_zeros(limits.tokens, TOKEN),
        pending=_zeros(limits.markets, PENDING),
        slices=np.zeros(2 * FILLS_MAX, np.int64),
        owed=np.zeros(limits.tokens, np.int64),
        area_min=np.zeros(limits.markets, np.int64),
    )
    state.best_prices["best"][::2] = NO_BID
    state.best_prices["best"][1::2] = NO_ASK
    state.markets["band_high"] = PRICE_MAX
    state.counters["expiry_soonest_ns"] = NEVER
    state.counters["deadline_soonest_ns"] = NEVER
    return state


def _zeros(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``count`` zeroed rows whose first byte starts a cache line."""
    raw = np.zeros(count * dtype.itemsize + LINE_BYTES, np.uint8)
    skip = -raw.ctypes.data % LINE_BYTES
    return raw[skip : skip + count * dtype.itemsize].view(dtype)
