"""What an attack on the engine has found around its rules: memory, indices, and what check() says.

Each was a fault of the compiled engine or of what checks it; no rule was broken.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import core, reference
from engine.commands import Kind, batch_of, command
from engine.core.event_capacity import capacity_for_anything
from engine.core.prefetch import is_large
from engine.events import EVENT
from engine.types import Limits, OrderFlag, Side
from tests.ladder import FOREVER_NS, NAMES, SMALL, TAKER_PPM, Driver
from tests.property.workload import WORLD, Traders

ROOT = Path(__file__).parents[2]
BUFFER_MAX = 16 << 20
"""Bytes of events that one buffer may have, whatever there is in the book."""


def live_in_a_large_state(seed: int, count: int) -> None:
    """Let a traders live among so many accounts that the engine looks ahead; both must agree."""
    limits = WORLD._replace(accounts=6_000)
    kernel, oracle, traders = core.Engine(limits), reference.Engine(limits), Traders(seed)
    accounts = [command(Kind.OPEN_ACCOUNT, account=account) for account in range(10, 5_000)]
    batches = iter([traders.opening(), traders.stamp(batch_of(accounts))])
    while traders.sequence < count + len(accounts):
        commands = next(batches, None)
        commands = traders.batch(60) if commands is None else commands
        events = kernel.apply(commands)
        assert np.array_equal(events, oracle.apply(commands))
        traders.learn(commands, events)
    assert is_large(kernel._state)
    assert kernel.state_hash() == oracle.state_hash()
    kernel.check()


@pytest.mark.parametrize("seed", range(4))
def test_found_looking_ahead_stays_within_the_arrays(seed: int) -> None:
    # The best price of an empty side names a level that points to itself. Compiled, only the leg of
    # `make soak` with every index checked could see it read beyond the orders; see the next test.
    live_in_a_large_state(seed, 2_000)


@pytest.mark.parametrize(
    "work",
    ["live_in_a_large_state(1, 1_500)", "check_a_book_with_the_last_bit_of_a_word()"],
)
def test_found_without_the_compiler_nothing_is_out_of_range(work: str) -> None:
    """Python checks every index, and its numbers have other bounds than the compiler's."""
    code = f"from tests.property.{Path(__file__).stem} import *; {work}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def check_a_book_with_the_last_bit_of_a_word() -> None:
    """Let one bid rest at each price of a window of 128; a sound book passes its check."""
    for price in range(1, 128):
        driver = Driver(core.Engine(SMALL._replace(ladder_ticks=128)))
        driver.buy("Alice", 1, price)
        driver.engine.check()


def test_found_icebergs_do_not_make_every_command_ask_for_memory() -> None:
    count = 20_000
    driver = Driver(core.Engine(SMALL._replace(orders=count + 10)))
    flags = int(OrderFlag.ICEBERG)
    driver.send(*[driver.place("Alice", "sell", 2, 200, flags=flags, order_id=1)] * count)

    driver.buy("Tara", 1, 200)
    driver.send(command(Kind.WITHDRAW, account=0, token=1, amount=1))
    driver.phase(0)  # type: ignore[arg-type]  # Anything about a market.

    assert driver.engine._large.nbytes <= BUFFER_MAX


def test_found_a_full_engine_of_default_limits_asks_for_little() -> None:
    kernel = core.Engine(Limits(accounts=4, tokens=2, markets=1, ladder_ticks=64))
    counters = kernel._state.counters[0]
    counters["orders_live"] = counters["icebergs_live"] = Limits().orders  # All there may be.

    assert capacity_for_anything(kernel._state) * EVENT.itemsize <= BUFFER_MAX


@pytest.mark.parametrize("side", Side)
def test_found_one_far_order_does_not_pin_the_window(side: Side) -> None:
    engine = core.Engine(SMALL._replace(ladder_ticks=4096, orders=2_000))
    driver, plain = Driver(engine), Driver(reference.Engine(SMALL._replace(orders=2_000)))
    name, far = ("buy", 1) if side == Side.BUY else ("sell", 2**31 - 1)

    def place(price: int, lots: int = 1) -> None:
        row = driver.place("Alice", name, lots, price)
        assert np.array_equal(driver.send(row), plain.send(row))

    place(far)
    for i in range(400):
        place(100_000 + 7 * i % 300, 1 + i % 3)

    low = int(engine._state.best_prices[side]["low"])
    assert low <= 100_000 and low + 4096 > 100_300, "the window stands where the book is"
    assert engine.depth(0, side, 1000) == plain.engine.depth(0, side, 1000)
    engine.check()
    for order_id in list(driver.live):
        row = command(Kind.CANCEL, account=NAMES.index("Alice"), order_id=order_id)
        assert np.array_equal(driver.send(row), plain.send(row))
    assert engine.state_hash() == plain.engine.state_hash()


def test_a_window_comes_back_with_the_book() -> None:
    engine = core.Engine(SMALL._replace(ladder_ticks=64, orders=4_000))
    driver, plain = Driver(engine), Driver(reference.Engine(SMALL._replace(orders=4_000)))
    for middle in (1_000, 50_000, 2_000, 1_000, 50_000, 2**31 - 70):
        rows = [
            driver.place("Bob", "sell", 1, middle + 5 * i % 64, expiry_ns=FOREVER_NS)
            for i in range(150)
        ]
        assert np.array_equal(driver.send(*rows), plain.send(*rows))
        engine.check()
    assert engine.state_hash() == plain.engine.state_hash()
    said = driver.buy("Tara", 64, 2**31 - 1, fee_cap_ppm=TAKER_PPM)
    assert said == plain.buy("Tara", 64, 2**31 - 1, fee_cap_ppm=TAKER_PPM)
    engine.check()
