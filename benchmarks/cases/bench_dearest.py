"""What is the dearest that one command of each kind can be, with a million orders in the engine?

Each state is the worst that the reviews of this engine have thought of for that command. Time is
that of the processor, not of the wall: on a busy machine one command of a millisecond would else
be what the others did meanwhile. Each command runs once a round, on an engine restored from the
same columns.
"""

from collections.abc import Callable
from time import process_time_ns
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.harness import median_figure
from engine.commands import COMMAND, Commands, Kind
from engine.core import Engine
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Limits, OrderFlag, Phase, Side, TimeInForce

ORDERS: Final = 1_000_000
ROUNDS: Final = 3
SLICE: Final = 50_000
FOREVER_NS: Final = 2**62
LIMITS: Final = Limits(tokens=2, markets=1, accounts=1 << 20, orders=1 << 21)
MAKER, OTHER, TAKER, IDLE = range(4)
MIDDLE: Final = 10_000_000
FOK, IOC = int(TimeInForce.FOK), int(TimeInForce.IOC)
STOP, ICEBERG = int(OrderFlag.STOP), int(OrderFlag.ICEBERG)
EXPIRE_MAKER: Final = int(OrderFlag.SELF_EXPIRE_MAKER)


class Bench:
    """An engine with one market and rich accounts."""

    def __init__(self) -> None:
        self.engine, self.sequence, self.now_ns = Engine(LIMITS), 0, 0
        self.send(kind=np.full(2, Kind.LIST_TOKEN), token=np.arange(2))
        self.send(kind=Kind.LIST_MARKET, token=1, order_id=1, price_ticks=1)
        self.send(kind=np.full(1024, Kind.OPEN_ACCOUNT), account=np.arange(1024))
        for token in range(2):
            self.send(
                kind=np.full(4, Kind.DEPOSIT), account=np.arange(4), token=token, amount=2**58
            )

    def rows(self, **fields: Any) -> Commands:
        """Return commands whose fields are numbers or arrays of one length."""
        size = max(np.size(column) for column in fields.values())
        commands = np.zeros(size, COMMAND)
        for name, column in fields.items():
            commands[name] = column
        commands["sequence"] = np.arange(self.sequence + 1, self.sequence + 1 + size)
        commands["time_ns"] = self.now_ns
        return commands

    def send(self, **fields: Any) -> None:
        """Apply commands and let their events go."""
        commands = self.rows(**fields)
        self.sequence += commands.size
        self.engine.apply(commands)

    def place(self, count: int, price: Any = MIDDLE, **fields: Any) -> None:
        """Place orders of one lot to sell, unless ``fields`` say otherwise."""
        terms = {"account": MAKER, "side": Side.SELL, "amount": 1, "expiry_ns": FOREVER_NS}
        prices = np.broadcast_to(np.asarray(price), count)
        for start in range(0, count, SLICE):
            here = prices[start : start + SLICE]
            kinds = np.full(here.size, Kind.PLACE)
            self.send(kind=kinds, price_ticks=here, fee_cap_ppm=10_000, **(terms | fields))


def scattered(low: int, count: int) -> np.ndarray:
    """Return ``count`` prices from ``low`` on, in random order."""
    return low + np.random.default_rng(1).permutation(count)


def order(**fields: Any) -> dict[str, Any]:
    """Return an order of the taker to buy at the middle."""
    terms = {"kind": Kind.PLACE, "account": TAKER, "price_ticks": MIDDLE, "amount": ORDERS}
    return terms | {"fee_cap_ppm": 10_000, "expiry_ns": FOREVER_NS} | fields


def sweep_far(bench: Bench) -> dict[str, Any]:
    """An order that takes from a million prices all over the range."""
    bench.place(ORDERS, np.random.default_rng(1).choice(2**31 - 2, ORDERS, replace=False) + 1)
    return order(price_ticks=2**31 - 1)


def dead_in_the_way(bench: Bench) -> dict[str, Any]:
    """An order that meets a million expired makers."""
    bench.place(ORDERS, expiry_ns=1000)
    bench.now_ns = 2000
    return order()


def whole_or_nothing(bench: Bench) -> dict[str, Any]:
    """A FOK that would pass over its own orders, and behind them an iceberg of 64 parts."""
    bench.place(ORDERS)
    bench.place(1, account=OTHER, amount=64, flags=ICEBERG, order_id=1)
    return order(account=MAKER, amount=65, tif=FOK, flags=EXPIRE_MAKER)


def whole_stops(bench: Bench) -> dict[str, Any]:
    """An order of one lot that wakes ten thousand such FOK stops."""
    bench.place(ORDERS - 10_000, account=OTHER)
    bench.place(1, account=TAKER, amount=64, flags=ICEBERG, order_id=1)
    stop = {"tif": FOK, "flags": STOP | EXPIRE_MAKER, "order_id": MIDDLE - 1, "amount": 65}
    bench.place(10_000, account=OTHER, side=Side.BUY, **stop)
    bench.place(1, MIDDLE - 1)
    return order(account=IDLE, price_ticks=MIDDLE - 1, amount=1)


def stops_far(bench: Bench) -> dict[str, Any]:
    """An order of one lot that wakes stops of a million triggers."""
    bench.place(1, 2**30)
    triggers = np.random.default_rng(1).choice(2**30 - 2, ORDERS, replace=False) + 1
    for start in range(0, ORDERS, SLICE):
        here = triggers[start : start + SLICE]
        bench.place(here.size, 1, side=Side.BUY, tif=IOC, flags=STOP, order_id=here)
    return order(price_ticks=2**30, amount=1)


def clock(bench: Bench) -> dict[str, Any]:
    """A CLOCK after a million orders have expired."""
    dead_in_the_way(bench)
    return {"kind": Kind.CLOCK}


def cancel_everybody(bench: Bench) -> dict[str, Any]:
    """A CANCEL_ALL of a million orders."""
    bench.place(ORDERS, scattered(MIDDLE, ORDERS))
    return {"kind": Kind.CANCEL_ALL, "account": ALL_ACCOUNTS, "market": ALL_MARKETS}


def exit_of_many(bench: Bench) -> dict[str, Any]:
    """An EXIT_BEGIN of an account with 4,096 of a million orders."""
    bench.place(ORDERS - 4096, scattered(MIDDLE, ORDERS - 4096))
    bench.place(4096, scattered(MIDDLE, 4096), account=OTHER)
    return {"kind": Kind.EXIT_BEGIN, "account": OTHER}


def band_refused(bench: Bench) -> dict[str, Any]:
    """A SET_BAND that would cancel a million orders, and is refused."""
    bench.place(ORDERS, scattered(MIDDLE, ORDERS))
    return {"kind": Kind.SET_BAND, "price_ticks": 2**31 - 1, "amount": 2**31 - 1}


def auction_at_one_price(bench: Bench) -> dict[str, Any]:
    """The first portion of an auction of a million orders who agree on one price."""
    bench.send(kind=Kind.SET_PHASE, amount=Phase.AUCTION)
    bench.place(ORDERS // 2)
    bench.place(ORDERS // 2, account=OTHER, side=Side.BUY)
    return {"kind": Kind.SET_PHASE, "amount": Phase.OPEN}


def auction_at_many_prices(bench: Bench) -> dict[str, Any]:
    """The first portion of an auction whose price is one of a million, which is not bounded."""
    bench.send(kind=Kind.SET_PHASE, amount=Phase.AUCTION)
    bench.place(ORDERS // 2, scattered(MIDDLE, ORDERS // 2))
    bench.place(ORDERS // 2, scattered(MIDDLE, ORDERS // 2), account=OTHER, side=Side.BUY)
    return {"kind": Kind.SET_PHASE, "amount": Phase.OPEN}


def auction_with_oneself(bench: Bench) -> dict[str, Any]:
    """A portion of an auction in which one account meets itself, part by part."""
    bench.send(kind=Kind.SET_PHASE, amount=Phase.AUCTION)
    for side in Side:
        terms = {"amount": 64, "flags": ICEBERG, "order_id": 1}
        bench.place(ORDERS // 128, side=side, **terms)
    return {"kind": Kind.SET_PHASE, "amount": Phase.OPEN}


def switch(bench: Bench) -> dict[str, Any]:
    """Any command when dead man's switches of a million orders go off."""
    bench.place(ORDERS, scattered(MIDDLE, ORDERS))
    bench.send(kind=Kind.CANCEL_AFTER, account=MAKER, expiry_ns=5)
    bench.now_ns = 5
    return {"kind": Kind.DEPOSIT, "amount": 1}


CASES: Final = (
    sweep_far,
    dead_in_the_way,
    whole_or_nothing,
    whole_stops,
    stops_far,
    clock,
    cancel_everybody,
    exit_of_many,
    band_refused,
    auction_at_one_price,
    auction_at_many_prices,
    auction_with_oneself,
    switch,
)


@pytest.mark.parametrize("prepare", CASES, ids=lambda prepare: prepare.__name__)
def test_dearest(benchmark: Any, prepare: Callable[[Bench], dict[str, Any]]) -> None:
    bench = Bench()
    commands = bench.rows(**prepare(bench))
    saved, took_ms = bench.engine.image(), []

    def one_command() -> None:
        engine = Engine.restore(LIMITS, saved)
        start = process_time_ns()
        engine.apply(commands)
        took_ms.append((process_time_ns() - start) / 1e6)

    benchmark.pedantic(one_command, rounds=ROUNDS)

    name = f"engine.dearest.{prepare.__name__}_ms"
    benchmark.extra_info["figures"] = {name: median_figure(took_ms, "ms")}
