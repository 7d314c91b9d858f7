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
from tests.property.crowd import WORLD, Crowd

COMMANDS = 200_000
AUDITED = 20_000
"""The audit looks at the whole book for each trade, so it follows only the first part."""

LIVES = 100
"""How many lives the soak lives: twenty million commands."""
SEEN_MIN = 1_000
"""How often everything must occur in the soak; in one life, its share."""


def batches(crowd: Crowd, count: int) -> Iterator[Commands]:
    """Yield the opening, then batches of many sizes until ``count`` commands were drawn."""
    sizes = Random(count)
    yield crowd.opening()
    while crowd.sequence < count:
        yield crowd.batch(min(sizes.choice((1, 7, 100, 900)), count - crowd.sequence))


def live_through(limits: Limits, crowd: Crowd, count: int) -> None:
    """Send the crowd to both engines; they must agree after every batch."""
    kernel, oracle, audit = core.Engine(limits), reference.Engine(limits), Audit(limits)
    for number, commands in enumerate(batches(crowd, count)):
        events, expected = kernel.apply(commands), oracle.apply(commands)
        assert np.array_equal(events, expected), f"events from {commands['sequence'][0]} on"
        assert kernel.state_hash() == oracle.state_hash(), f"state at {commands['sequence'][-1]}"
        crowd.learn(commands, events)
        if crowd.sequence <= AUDITED:
            audit.follow(commands, events)
            audit.agree(kernel, crowd.accounts, crowd.tokens)
        if number % 50 == 0:
            kernel.check()
            oracle.check()
    kernel.check()
    oracle.check()


def seldom(coverage: dict[str, int], least: int) -> dict[str, int]:
    """Return what occurred less often than ``least`` times."""
    return {name: count for name, count in coverage.items() if count < least}


def test_both_engines_tell_the_same_story_and_it_has_everything_in_it() -> None:
    crowd = Crowd(seed=2)

    live_through(WORLD, crowd, COMMANDS)

    assert not seldom(crowd.coverage(), SEEN_MIN // LIVES), "what the crowd hardly caused"


@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_when_slots_wear_out(seed: int) -> None:
    live_through(WORLD._replace(generations=4, orders=300), Crowd(seed), 4_000)


@pytest.mark.parametrize("ticks", [64, 65, 4097])
def test_engines_agree_on_windows_of_odd_sizes(ticks: int) -> None:
    live_through(WORLD._replace(ladder_ticks=ticks), Crowd(ticks), 3_000)


@pytest.mark.soak
def test_engines_agree_for_twenty_million_commands_and_everything_occurs() -> None:
    total: Counter[str] = Counter()
    for seed in range(100, 100 + LIVES):
        crowd = Crowd(seed)
        live_through(WORLD, crowd, COMMANDS)
        total.update(crowd.coverage())

    assert not seldom(total, SEEN_MIN), "what the crowd hardly caused"
