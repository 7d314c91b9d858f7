"""Which messages does the challenge play? Five scenarios, made from a seed.

One symbol. A mid price wanders, each new order is passive on its own side of it, most are cancelled
soon; what is never cancelled stays until the price comes back. The numbers are those that the
challenge publishes; where it leaves a choice (how long a day is, how far out a price can lie, which
path the mid takes) it is named here and was made so that the published statistics come out.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.challenge.layout import MESSAGE
from benchmarks.challenge.words import MessageType


class Scenario(NamedTuple):
    """How much the mid price moves."""

    volatility: float
    swing: float
    """Standard deviation of the whole path, as a part of the price."""
    path_seed: int
    """Of the paths this one gives the published standing book, whatever else is drawn."""


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "static": Scenario(0.0, 0.0, 1),
    "normal": Scenario(0.15, 0.02, 468),
    "swing-25": Scenario(0.50, 0.25, 452),
    "swing-40": Scenario(0.50, 0.40, 205),
    "flash-crash": Scenario(0.50, 0.60, 129),
}
START_TICKS: Final = 33_504
PATH_STEPS: Final = 1_000_000
ALPHA: Final = 2.23
HUMP_TICKS: Final = (8.0, 2.5)
HUMP_SHARE: Final = 0.6
DISTANCE_MAX: Final = 40
QUANTITY_MAX: Final = 100
IOC_SHARE: Final = 0.15
MODIFY_SHARE: Final = 0.20
TICK_TOO_SHARE: Final = 0.80
CANCEL_SHARE: Final = 0.95
DUPLICATE_SHARE: Final = 0.02
STALE_SHARE: Final = 0.02
DAY_MS: Final = 23_400_000.0
"""All orders arrive within one trading day of 6.5 hours, however many there are."""
SCATTERING: Final = 0x9E3779B97F4A7C15
"""Odd, so that no two ids become one."""
LIFETIME_MS: Final = 0.431
"""Half of the cancelled orders at the mid live shorter than this, so most cancels come next."""


class Orders(NamedTuple):
    """Every new order of a scenario, one row each, in order of arrival."""

    arrival_ms: NDArray[np.float64]
    side: NDArray[np.int64]
    price: NDArray[np.int64]
    distance: NDArray[np.int64]
    quantity: NDArray[np.int64]
    ioc: NDArray[np.bool_]


def messages_of(name: str, orders: int, seed: int) -> NDArray[Any]:
    """Return the messages of a scenario with ``orders`` new orders, about twice as many in all.

    The ids of the orders are a random permutation of 1 .. ``orders``, as the challenge's are.
    """
    random = np.random.default_rng(seed)
    messages = _in_time(random, _new_orders(random, _path(SCENARIOS[name], orders)))
    return _renamed(messages, random.permutation(orders) + 1)


def with_ids_in_sequence(messages: NDArray[Any]) -> NDArray[Any]:
    """Return the same messages with ids that count the new orders from 1, as nobody promises."""
    new = messages["order_id"][messages["type"] == MessageType.NEW]
    ranks = np.empty(new.size, np.int64)
    ranks[new.astype(np.int64) - 1] = np.arange(1, new.size + 1)
    return _renamed(messages, ranks)


def with_scattered_ids(messages: NDArray[Any]) -> NDArray[Any]:
    """Return the same messages with ids from all of 64 bits."""
    changed = messages.copy()
    changed["order_id"] *= np.uint64(SCATTERING)
    return changed


def _renamed(messages: NDArray[Any], names: NDArray[np.int64]) -> NDArray[Any]:
    """Return ``messages`` with ``names[i - 1]`` in the place of id ``i``."""
    changed = messages.copy()
    changed["order_id"] = names[messages["order_id"].astype(np.int64) - 1]
    return changed


def _path(scenario: Scenario, steps: int) -> NDArray[np.float64]:
    """Return the mid price in ticks at each step: a geometric Brownian motion.

    It is drawn at one fineness and read at ``steps`` places, so that a smaller number of orders
    sees the same path and a scenario keeps its character.
    """
    if scenario.volatility == 0:
        return np.full(steps, float(START_TICKS))
    shocks = np.random.default_rng(scenario.path_seed).standard_normal(PATH_STEPS)
    dt = (scenario.swing / scenario.volatility) ** 2 / PATH_STEPS
    moves = shocks * scenario.volatility * np.sqrt(dt) - 0.5 * scenario.volatility**2 * dt
    path: NDArray[np.float64] = START_TICKS * np.exp(np.cumsum(moves))
    return path[np.arange(steps) * PATH_STEPS // steps]


def _new_orders(random: np.random.Generator, mids: NDArray[np.float64]) -> Orders:
    """Return one order for each step: buys along the first half of the path, sells the second.

    Their arrivals are shuffled into one day, so the sides meet wherever a price of the later half
    comes below one of the earlier.
    """
    count = mids.size
    side = np.repeat([0, 1], [count - count // 2, count // 2])
    arrival_ms = random.random(count) * DAY_MS
    distance = _distances(random, count)
    mid = np.where(side == 0, np.floor(mids), np.ceil(mids)).astype(np.int64)
    price = np.maximum(np.where(side == 0, mid - distance, mid + distance), 1)
    quantity = random.integers(1, QUANTITY_MAX + 1, count)
    ioc = random.random(count) < IOC_SHARE
    at = np.argsort(arrival_ms, kind="stable")
    return Orders(arrival_ms[at], side[at], price[at], distance[at], quantity[at], ioc[at])


def _distances(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Draw distances from the mid in ticks, from 1: a power law and a hump."""
    tail = np.floor((1 - random.random(count)) ** (-1 / (ALPHA - 1)))
    hump = np.round(random.normal(*HUMP_TICKS, count))
    drawn = np.where(random.random(count) < HUMP_SHARE, hump, tail)
    return np.where(drawn > DISTANCE_MAX, hump, drawn).clip(1, DISTANCE_MAX).astype(np.int64)


def _in_time(random: np.random.Generator, new: Orders) -> NDArray[Any]:
    """Return the orders with the modifies and cancels that follow them, in order of time."""
    count = new.side.size
    stays = ~new.ioc
    life_ms = random.exponential(LIFETIME_MS / np.log(2), count) * (1 + new.distance / DISTANCE_MAX)
    modified = np.flatnonzero(stays & (random.random(count) < MODIFY_SHARE))
    cancelled = np.flatnonzero(stays & (random.random(count) < CANCEL_SHARE))
    again = cancelled[random.random(cancelled.size) < DUPLICATE_SHARE]
    stale = cancelled[random.random(cancelled.size) < STALE_SHARE]
    gone_ms = new.arrival_ms + life_ms

    rows = np.zeros(count + modified.size + cancelled.size + again.size + stale.size, MESSAGE)
    which = np.concatenate([np.arange(count), modified, cancelled, again, stale])
    kinds = [MessageType.NEW, *[MessageType.MODIFY], *[MessageType.CANCEL] * 2, MessageType.MODIFY]
    sizes = [count, modified.size, cancelled.size, again.size, stale.size]
    time_ms = np.concatenate(
        [
            new.arrival_ms,
            new.arrival_ms[modified] + life_ms[modified] * random.random(modified.size),
            gone_ms[cancelled],
            gone_ms[again] + random.exponential(LIFETIME_MS, again.size),
            gone_ms[stale] + random.exponential(LIFETIME_MS, stale.size),
        ]
    )
    rows["type"] = np.repeat(kinds, sizes)
    rows["order_id"] = which + 1
    rows["quantity"] = new.quantity[which]
    rows["side"] = new.side[which]
    rows["price_ticks"] = new.price[which]
    rows["ioc"] = new.ioc[which]
    is_modify = rows["type"] == MessageType.MODIFY
    is_cancel = rows["type"] == MessageType.CANCEL
    rows["quantity"] += is_modify
    moves = is_modify & (random.random(rows.size) < TICK_TOO_SHARE)
    rows["price_ticks"] += np.where(moves, random.choice([-1, 1], rows.size), 0)
    for name in ("quantity", "side", "price_ticks"):
        rows[name][is_cancel] = 0

    rows = rows[np.argsort(time_ms, kind="stable")]
    rows["sequence"] = np.arange(1, rows.size + 1)
    return rows
