"""Which bytes stand for the whole state, the same in the kernel and in the reference?

The order of the dump is described in ``engine/README.md``; all numbers are little-endian int64.
Derived fields (best prices, counts, bounds on expiry) are left out: they follow from the rest.
"""

# mypy: disable-error-code="no-any-return"
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from engine.core.bits import next_above, next_below
from engine.core.jit import i64, kernel
from engine.core.layout import NO_ASK, NO_BID, NO_SLOT, State

DUMP_VERSION = 2


@kernel
def list_queues(state: State, slots: NDArray[np.int64]) -> int:
    """Write the slots of each market's bids, then asks, best and oldest first, 0 after each side.

    Return how many numbers were written; ``slots`` has orders_live + 2 * markets places.
    """
    count = 0
    for market in range(state.counters[0]["markets"]):
        price = i64(state.markets[market]["best_bid"])
        while price != NO_BID:
            count = _list_level(state, market, price, slots, count)
            price = next_below(state, market, price)
        slots[count] = NO_SLOT
        price = i64(state.markets[market]["best_ask"])
        count += 1
        while price != NO_ASK:
            count = _list_level(state, market, price, slots, count)
            price = next_above(state, market, price)
        slots[count] = NO_SLOT
        count += 1
    return count


@kernel
def _list_level(state: State, market: int, price: int, slots: NDArray[np.int64], count: int) -> int:
    """Append the slots of one price, oldest first; return the new count."""
    slot = i64(state.levels[market, price]["head"])
    while slot != NO_SLOT:
        assert count < slots.size
        slots[count] = slot
        count += 1
        slot = i64(state.orders[slot]["next"])
    return count


@kernel
def list_free(state: State, slots: NDArray[np.int64]) -> int:
    """Write the free list from the top; return its length. ``slots`` has slots_used places."""
    count = 0
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
    slots = np.zeros(counters["orders_live"] + 2 * counters["markets"], np.int64)
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
    tokens, markets = int(counters["tokens"]), int(counters["markets"])
    accounts, used = int(counters["accounts"]), int(counters["slots_used"])
    names = ["sequence", "time_ns", "event_index", "trade_id"]
    names += ["tokens", "markets", "accounts", "slots_used"]
    balances = state.balances[:accounts, :tokens]
    by_account = np.zeros((accounts, 1 + 2 * tokens), np.int64)
    by_account[:, 0] = state.exits[:accounts]
    by_account[:, 1::2] = balances["available"]
    by_account[:, 2::2] = balances["held"]
    sections = [
        np.array([DUMP_VERSION, *(counters[name] for name in names)], np.int64),
        _columns([state.tokens[:tokens][name] for name in ("supply", "fees")]),
        _columns(
            [
                state.markets[:markets][name]
                for name in (
                    *("base", "quote", "lot_pips", "tick_pips"),
                    *("maker_ppm", "taker_ppm", "phase"),
                )
            ]
        ),
        by_account,
        _orders(state, used),
        queued_slots(state),
        free_slots(state),
        np.zeros(1, np.int64),
    ]
    return b"".join(section.tobytes() for section in sections)


def _orders(state: State, used: int) -> NDArray[np.int64]:
    """Return one row per slot ever used: its generation, then the order in it or zeros."""
    orders = state.orders[1 : used + 1]
    live = (orders["lots"] != 0).astype(np.int64)
    return _columns(
        [
            orders["generation"],
            orders["market"] * live,
            orders["side"] * live,
            orders["account"] * live,
            orders["price"] * live,
            orders["lots"],
            state.expiry_ns[1 : used + 1] * live,
        ]
    )


def _columns(columns: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the columns side by side as int64."""
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def state_hash(state: State) -> bytes:
    """Return the 32-byte blake2b of ``dump``."""
    return blake2b(dump(state), digest_size=32).digest()
