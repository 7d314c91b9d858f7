"""Do 200,000 hostile commands leave both engines equal, and did they reach everything?"""

from collections import Counter
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from engine import core, reference
from engine.commands import Commands
from engine.types import Limits
from tests.property.audit import Audit
from tests.property.workload import WORLD, Traders

COMMANDS = 200_000
AUDITED = 20_000
"""The audit looks at the whole book for each trade, so it follows only the first part."""

LIVES = 100
"""How many lives the soak lives: twenty million commands."""
SEEN_MIN = 1_000
"""How often everything must occur in the soak; in one life, its share."""


def batches(traders: Traders, count: int) -> Iterator[Commands]:
    """Yield the opening, then batches of many sizes until ``count`` commands were drawn."""
    sizes = Random(count)
    yield traders.opening()
    while traders.sequence < count:
        yield traders.batch(min(sizes.choice((1, 7, 100, 900)), count - traders.sequence))


def live_through(limits: Limits, traders: Traders, count: int) -> None:
    """Send the traders to both engines; they must agree after every batch."""
    kernel, oracle, audit = core.Engine(limits), reference.Engine(limits), Audit(limits)
    for number, commands in enumerate(batches(traders, count)):
        events, expected = kernel.apply(commands), oracle.apply(commands)
        assert np.array_equal(events, expected), f"events from {commands['sequence'][0]} on"
        assert kernel.state_hash() == oracle.state_hash(), f"state at {commands['sequence'][-1]}"
        traders.learn(commands, events)
        if traders.sequence <= AUDITED:
            audit.follow(commands, events)
            audit.agree(kernel, traders.accounts, traders.tokens)
        if number % 50 == 0:
            kernel.check()
            oracle.check()
    kernel.check()
    oracle.check()


def seldom(coverage: dict[str, int], least: int) -> dict[str, int]:
    """Return what occurred less often than ``least`` times."""
    return {name: count for name, count in coverage.items() if count < least}


def test_both_engines_tell_the_same_story_and_it_has_everything_in_it() -> None:
    traders = Traders(seed=2)

    live_through(WORLD, traders, COMMANDS)

    assert not seldom(traders.coverage(), SEEN_MIN // LIVES), "what traders hardly caused"


@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_when_slots_wear_out(seed: int) -> None:
    live_through(WORLD._replace(generations=4, orders=300), Traders(seed), 4_000)


@pytest.mark.parametrize("ticks", [64, 65, 4097])
def test_engines_agree_on_windows_of_odd_sizes(ticks: int) -> None:
    live_through(WORLD._replace(ladder_ticks=ticks), Traders(ticks), 3_000)


@pytest.mark.soak
def test_engines_agree_for_twenty_million_commands_and_everything_occurs() -> None:
    total: Counter[str] = Counter()
    for seed in range(100, 100 + LIVES):
        traders = Traders(seed)
        live_through(WORLD, traders, COMMANDS)
        total.update(traders.coverage())

    assert not seldom(total, SEEN_MIN), "what traders hardly caused"
