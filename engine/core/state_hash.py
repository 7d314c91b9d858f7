"""Which bytes stand for the whole state, the same in the kernel and in the reference?

The order of the dump is described in ``engine/README.md``; all numbers are little-endian int64.
Derived fields (best prices, counts, bounds on expiry, windows) are left out: they follow from the
rest.
"""

# mypy: disable-error-code="no-any-return"
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from engine.core.book import level_of, next_worse
from engine.core.far_levels import NO_LEAF, leaf_beyond, leaf_edge
from engine.core.jit import i64, kernel
from engine.core.state import (
    ACCOUNT_BALANCES,
    ARMED,
    BARS_MASK,
    FAR_START,
    ICEBERG,
    NO_ASK,
    NO_BID,
    NO_SLOT,
    SLOT_LINKS,
    TREE_ARMED,
    State,
)

DUMP_VERSION = 3


@kernel
def list_queues(state: State, slots: NDArray[np.int64]) -> int:
    """Write the slots of each market's bids, asks, armed buys and armed sells, 0 after each.

    First to trade or trigger first, at one price the oldest first. Return how many numbers were
    written; ``slots`` has orders_live + 4 * markets places.
    """
    count = i64(0)
    for market in range(state.counters[0]["markets"]):
        for ladder in range(2 * market, 2 * market + 2):
            price = i64(state.best_prices[ladder]["best"])
            while price != NO_BID and price != NO_ASK:
                at = level_of(state, ladder, price)
                count = _list_level(state, at, slots, count)
                price = next_worse(state, ladder, price)
            slots[count] = NO_SLOT
            count += 1
        for side in range(2):
            tree = state.bounds[TREE_ARMED] + 2 * market + side
            leaf = leaf_edge(state, tree, 1 - side)
            while leaf != NO_LEAF:
                count = _list_level(state, state.bounds[FAR_START] + leaf, slots, count)
                leaf = leaf_beyond(state, tree, state.leaf_price[leaf], 1 - side)
            slots[count] = NO_SLOT
            count += 1
    return count


@kernel
def _list_level(state: State, at: int, slots: NDArray[np.int64], count: int) -> int:
    """Append the slots of one queue, oldest first; return the new count."""
    link = i64(state.links[at]["next"])
    while link != at:
        assert count < slots.size
        slots[count] = link >> SLOT_LINKS
        count += 1
        link = i64(state.links[link]["next"])
    return count


@kernel
def list_free(state: State, slots: NDArray[np.int64]) -> int:
    """Write the free list from the top; return its length. ``slots`` has slots_used places."""
    count = i64(0)
    slot = state.counters[0]["slot_free"]
    while slot != NO_SLOT:
        assert count < slots.size
        slots[count] = slot
        count += 1
        slot = i64(state.orders[slot]["next"])
    return count


def queued_slots(state: State) -> NDArray[np.int64]:
    """Return what ``list_queues`` writes."""
    counters = state.counters[0]
    slots = np.zeros(counters["orders_live"] + 4 * counters["markets"], np.int64)
    count = list_queues(state, slots)
    assert count == slots.size, "a queue and the count of live orders disagree"
    return slots


def free_slots(state: State) -> NDArray[np.int64]:
    """Return the free list from the top."""
    slots = np.zeros(state.counters[0]["slots_used"], np.int64)
    return slots[: list_free(state, slots)]


def dump(state: State) -> bytes:
    """Return the canonical bytes of the state."""
    counters = state.counters[0]
    names = ["sequence", "time_ns", "event_index", "trade_id"]
    names += ["tokens", "markets", "accounts", "slots_used"]
    tokens = state.tokens[: counters["tokens"]]
    sections = [
        np.array([DUMP_VERSION, *(counters[name] for name in names)], np.int64),
        _side_by_side([tokens[name] for name in ("supply", "fees")]),
        _markets(state),
        _accounts(state),
        _orders(state),
        queued_slots(state),
        free_slots(state),
        np.zeros(1, np.int64),
        _least(state),
        _pending(state),
    ]
    return b"".join(section.tobytes() for section in sections)


def _pending(state: State) -> NDArray[np.int64]:
    """Return -1 and a row per market that has something left to do; nearly always nothing."""
    pending = state.pending[: state.counters[0]["markets"]]
    rows = _side_by_side([np.arange(pending.size), *(pending[n] for n in ("low", "high", "price"))])
    busy = rows[rows[:, 1:].any(axis=1)].reshape(-1)
    return np.concatenate([[-1], busy]) if busy.size else busy


def _markets(state: State) -> NDArray[np.int64]:
    """Return one row per market."""
    markets = state.markets[: state.counters[0]["markets"]]
    names = ("base", "quote", "lot_pips", "tick_pips", "maker_ppm", "taker_ppm", "phase")
    columns = [markets[name] for name in (*names, "last_ticks", "band_low")]
    return _side_by_side([*columns, markets["band_high"] * (markets["band_low"] != 0)])


def _least(state: State) -> NDArray[np.int64]:
    """Return one row per market that has a least notional: its number and the least area."""
    numbers = np.flatnonzero(state.area_min[: state.counters[0]["markets"]])
    return _side_by_side([numbers, state.area_min[numbers]])


def _accounts(state: State) -> NDArray[np.int64]:
    """Return one row per account: exits, deadline, then available and held of each token."""
    accounts, tokens = int(state.counters[0]["accounts"]), int(state.counters[0]["tokens"])
    by_account = state.balances.reshape(-1, int(state.bounds[ACCOUNT_BALANCES]))[:accounts]
    rows = np.zeros((accounts, 2 + 2 * tokens), np.int64)
    balances = by_account["available"][:, 1 : tokens + 1]
    # What bars an account are its exits and the tokens it owes.
    rows[:, 0] = (by_account["held"][:, 0] & BARS_MASK) - (balances < 0).sum(axis=1)
    rows[:, 1] = by_account["available"][:, 0]
    rows[:, 2::2] = balances
    rows[:, 3::2] = by_account["held"][:, 1 : tokens + 1]
    return rows


def _orders(state: State) -> NDArray[np.int64]:
    """Return one row per slot ever used: its generation, then the order in it or zeros."""
    used = slice(1, int(state.counters[0]["slots_used"]) + 1)
    orders, order_extras = state.orders[used], state.order_extras[used]
    live = (orders["lots"] != 0).astype(np.int64)
    is_iceberg, is_armed = live * (orders["kind"] == ICEBERG), live * (orders["kind"] == ARMED)
    return _side_by_side(
        [
            orders["generation"],
            (orders["ladder"] >> 1) * live,
            (orders["ladder"] & 1) * live,
            orders["account"] * live,
            orders["price"] * live,
            orders["lots"],
            order_extras["hidden"] * is_iceberg,
            order_extras["display"] * is_iceberg,
            state.expiry_ns[used] * live,
            order_extras["trigger"] * is_armed,
            order_extras["terms"] * is_armed,
        ]
    )


def _side_by_side(columns: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the columns side by side as int64."""
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def state_hash(state: State) -> bytes:
    """Return the 32-byte blake2b of ``dump``."""
    return blake2b(dump(state), digest_size=32).digest()
