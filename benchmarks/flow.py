"""What does an ordinary day of orders look like, as an array of commands?

Everything follows from a seed. Prices wander, orders come in around them with a power-law distance,
most are cancelled, some take. A cancel must name an id that the engine gave, so the flow is made by
running an engine beside it in slices; the array that comes out is fixed and can be replayed on a
new engine of either kind, which gives the same ids again.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.core import Engine
from engine.events import EventKind, Events
from engine.types import Limits, OrderFlag, Side, TimeInForce

SLICE: Final = 1024
STEP_NS: Final = 1000
FEE_CAP_PPM: Final = 1000
FOREVER_NS: Final = 2**62
FUNDS_PIPS: Final = 10**14


class Shape(NamedTuple):
    """What kind of day it is."""

    markets: int = 8
    accounts: int = 10_000
    orders_resting: int = 10_000
    """About how many orders the book is kept at."""
    cancel_share: float = 0.4
    take_share: float = 0.15
    mid_ticks: int = 40_000
    drift_ticks: int = 3
    """How far the middle of a market moves at most from one slice of the day to the next."""
    lots_max: int = 100


class Flow(NamedTuple):
    """A day: first the listing and funding, then the prefilled book, then the part to measure."""

    limits: Limits
    opening: Commands
    prefill: Commands
    main: Commands


def limits_for(shape: Shape) -> Limits:
    """Return limits with enough room for ``shape`` and no more than that."""
    return Limits(
        tokens=shape.markets + 1,
        markets=shape.markets,
        accounts=shape.accounts,
        orders=4 * shape.orders_resting + 4096,
        ladder_ticks=4 * shape.mid_ticks,
    )


def make_flow(seed: int, count: int, shape: Shape) -> Flow:
    """Return a flow whose main part has ``count`` commands."""
    maker = _Maker(np.random.default_rng(seed), shape)
    opening = maker.send(_opening(shape))
    prefill = maker.fill()
    return Flow(limits_for(shape), opening, prefill, maker.day(count))


def _opening(shape: Shape) -> Commands:
    """Return listings, accounts and deposits; token 0 is the quote of every market."""
    rows = [command(Kind.LIST_TOKEN, token=token) for token in range(shape.markets + 1)]
    rows += [
        list_market(
            market,
            market + 1,
            0,
            lot_pips=10_000,
            tick_pips=100,
            maker_fee_ppm=100,
            taker_fee_ppm=FEE_CAP_PPM,
        )
        for market in range(shape.markets)
    ]
    accounts = np.zeros(shape.accounts * (shape.markets + 2), COMMAND)
    accounts["kind"] = Kind.DEPOSIT
    accounts["amount"] = FUNDS_PIPS
    numbers = np.arange(accounts.size)
    accounts["account"] = numbers // (shape.markets + 2)
    opens = numbers % (shape.markets + 2) == 0
    accounts["token"] = np.where(opens, 0, numbers % (shape.markets + 2) - 1)
    accounts["kind"][opens] = Kind.OPEN_ACCOUNT
    accounts["amount"][opens] = 0
    return np.concatenate([batch_of(rows), accounts])


class _Maker:
    """Draws slices of commands and keeps the ids that can still be cancelled."""

    def __init__(self, random: np.random.Generator, shape: Shape) -> None:
        self.random = random
        self.shape = shape
        self.engine = Engine(limits_for(shape))
        self.mids = np.full(shape.markets, shape.mid_ticks, np.int64)
        self.resting = np.zeros(0, np.int64)
        self.owners = np.zeros(0, np.int64)

    def send(self, commands: Commands) -> Commands:
        """Stamp ``commands``, apply them, learn which orders rest; return them."""
        start = self.engine.sequence + 1
        commands["sequence"] = np.arange(start, start + commands.size)
        commands["time_ns"] = commands["sequence"] * STEP_NS
        self._learn(self.engine.apply(commands))
        return commands

    def fill(self) -> Commands:
        """Return post-only orders until as many rest as the day is to have; the middle rests."""
        parts = []
        while self.resting.size < self.shape.orders_resting:
            missing = self.shape.orders_resting - self.resting.size
            rows = self._orders(min(max(missing, SLICE), 64 * SLICE), np.zeros_like(self.mids))
            rows["flags"] = OrderFlag.POST_ONLY
            rows["tif"] = TimeInForce.GTC
            parts.append(self.send(rows))
        return np.concatenate(parts)

    def day(self, count: int) -> Commands:
        """Return ``count`` commands, drawn slice by slice."""
        parts = []
        while count > 0:
            parts.append(self.send(self._slice(min(count, SLICE))))
            count -= parts[-1].size
        return np.concatenate(parts)

    def _learn(self, events: Events) -> None:
        kinds = events["kind"]
        rested = events[kinds == EventKind.RESTED]
        gone = events["order_id"][kinds == EventKind.CANCELLED]
        filled = events["maker_id"][(kinds == EventKind.TRADE) & (events["maker_left"] == 0)]
        ids = np.concatenate([self.resting, rested["order_id"]])
        owners = np.concatenate([self.owners, rested["account"].astype(np.int64)])
        stays = ~np.isin(ids, np.concatenate([gone, filled]))
        self.resting, self.owners = ids[stays], owners[stays]

    def _slice(self, size: int) -> Commands:
        """Draw one slice; a few cancels more or less keep the book near its intended size."""
        shape, random = self.shape, self.random
        most = shape.drift_ticks
        rows = self._orders(size, random.integers(-most, most + 1, shape.markets))
        surplus = (self.resting.size - shape.orders_resting) / shape.orders_resting
        share = shape.cancel_share + min(max(surplus, -0.1), 0.1)
        cancels = np.flatnonzero(random.random(size) < share)[: self.resting.size]
        picked = random.choice(self.resting.size, cancels.size, replace=False, shuffle=False)
        rows[cancels] = 0
        rows["kind"][cancels] = Kind.CANCEL
        rows["order_id"][cancels] = self.resting[picked]
        rows["account"][cancels] = self.owners[picked]
        return rows

    def _orders(self, size: int, drift: NDArray[np.int64]) -> Commands:
        """Draw ``size`` orders around the middle of each market, which moves by ``drift`` first."""
        shape, random = self.shape, self.random
        self.mids += drift
        rows = np.zeros(size, COMMAND)
        rows["kind"] = Kind.PLACE
        rows["market"] = random.integers(0, shape.markets, size)
        rows["account"] = random.integers(0, shape.accounts, size)
        rows["side"] = random.integers(0, 2, size)
        rows["amount"] = random.integers(1, shape.lots_max + 1, size)
        rows["fee_cap_ppm"] = FEE_CAP_PPM
        rows["expiry_ns"] = FOREVER_NS
        takes = random.random(size) < shape.take_share
        rows["tif"][takes & (random.random(size) < 0.5)] = TimeInForce.IOC
        away = np.where(takes, -5, self._distances(size))
        outward = np.where(rows["side"] == Side.BUY, -1, 1)
        rows["price_ticks"] = self.mids[rows["market"]] + outward * away
        return rows

    def _distances(self, size: int) -> NDArray[np.int64]:
        """Draw distances from the middle in ticks: a power law with a hump about 8 ticks out."""
        tail = (self.random.pareto(1.23, size) * 4).astype(np.int64)
        hump = np.abs(self.random.normal(8, 3, size)).astype(np.int64)
        far = np.where(self.random.random(size) < 0.5, tail, hump)
        near: NDArray[np.int64] = np.clip(far + 1, 1, self.shape.mid_ticks // 2)
        return near
