"""What does a process of its own cost: until its first command, idle, and with orders resting?

``python -m benchmarks.fresh start|idle|orders`` does the work and prints one number: nothing but 0
(whoever asks holds the watch), resident bytes, resident bytes that each resting order added.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.core import Engine
from engine.types import Limits

MARKETS_IDLE: Final = 64
ORDERS: Final = 1_000_000
ORDERS_WARM: Final = 100_000
"""Placed before counting begins, so that buffers and balances are there already."""
BATCH: Final = 4096
REACH_TICKS: Final = 20_000
MID_TICKS: Final = 1 << 20


def main() -> None:
    """Do one of the three and print its number."""
    work = {"start": start, "idle": idle_bytes, "orders": bytes_per_order}[sys.argv[1]]
    print(work())


def start() -> int:
    """Carry out a first command; the time until here is what is asked for."""
    events = send(Engine(Limits()), batch_of([command(Kind.LIST_TOKEN, token=0)]))
    assert events == 1
    return 0


def idle_bytes() -> int:
    """Return the resident bytes of a process in which 64 markets are listed and nothing rests."""
    engine = Engine(Limits(markets=MARKETS_IDLE, tokens=MARKETS_IDLE + 1))
    assert send(engine, listings(MARKETS_IDLE)) == 2 * MARKETS_IDLE + 1
    return resident_bytes()


def bytes_per_order() -> int:
    """Return by how many resident bytes each of a million resting orders let the process grow."""
    engine = Engine(Limits(orders=2 * ORDERS))
    accounts = [command(Kind.OPEN_ACCOUNT, account=0)]
    funds = [command(Kind.DEPOSIT, account=0, token=token, amount=10**17) for token in (0, 1)]
    send(engine, np.concatenate([listings(1), batch_of(accounts + funds)]))
    orders = passive_orders(ORDERS_WARM + ORDERS)
    send(engine, orders[:ORDERS_WARM])
    before = resident_bytes()
    send(engine, orders[ORDERS_WARM:])
    assert engine.orders_live == orders.size
    return -(-(resident_bytes() - before) // ORDERS)


def passive_orders(count: int) -> Commands:
    """Return orders of one account on both sides that meet nobody."""
    random = np.random.default_rng(1)
    rows = np.zeros(count, COMMAND)
    rows["kind"] = Kind.PLACE
    rows["side"] = random.integers(0, 2, count)
    away = random.integers(1, REACH_TICKS, count)
    rows["price_ticks"] = MID_TICKS + np.where(rows["side"] == 0, -away, away)
    rows["amount"] = 1
    rows["expiry_ns"] = 2**62
    return rows


def listings(markets: int) -> Commands:
    """Return what lists so many markets, all quoted in token 0."""
    rows = [command(Kind.LIST_TOKEN, token=token) for token in range(markets + 1)]
    terms = {"lot_pips": 100, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    return batch_of(rows + [list_market(i, i + 1, 0, **terms) for i in range(markets)])


def send(engine: Engine, commands: Commands) -> int:
    """Stamp and apply ``commands`` in batches; return how many events there were."""
    commands["sequence"] = np.arange(engine.sequence + 1, engine.sequence + 1 + commands.size)
    batches = range(0, commands.size, BATCH)
    return sum(engine.apply(commands[first : first + BATCH]).size for first in batches)


def resident_bytes() -> int:
    """Return how much memory this process has, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main()
