"""Do 200,000 hostile commands leave both engines equal, and did they reach everything?"""

from random import Random
from typing import Any

import numpy as np
import pytest

from engine import core, reference
from engine.events import EventKind
from engine.types import Limits, Outcome
from tests.property.audit import Audit
from tests.property.crowd import WORLD, Crowd

COMMANDS = 200_000
SEEN_MIN = 25
AUDITED = 20_000
"""The audit looks at the whole book for each trade, so it follows only the first part."""

SOAK_COMMANDS = 2_000_000


def batches(crowd: Crowd, count: int) -> Any:
    """Yield the opening, then batches of many sizes until ``count`` commands were drawn."""
    sizes = Random(count)
    yield crowd.opening()
    while crowd.sequence < count:
        yield crowd.batch(min(sizes.choice((1, 7, 100, 900)), count - crowd.sequence))


def live_through(limits: Limits, crowd: Crowd, count: int) -> tuple[core.Engine, reference.Engine]:
    """Send the crowd to both engines; they must agree after every batch."""
    kernel, oracle, audit = core.Engine(limits), reference.Engine(limits), Audit()
    for number, commands in enumerate(batches(crowd, count)):
        events, expected = kernel.apply(commands), oracle.apply(commands)
        assert np.array_equal(events, expected), f"events from {commands['sequence'][0]} on"
        assert kernel.state_hash() == oracle.state_hash(), f"state at {commands['sequence'][-1]}"
        if crowd.sequence <= AUDITED:
            audit.follow(commands, events)
            audit.agree(kernel, WORLD.accounts, 3)
        if number % 50 == 0:
            kernel.check()
            oracle.check()
        crowd.learn(events)
    kernel.check()
    oracle.check()
    return kernel, oracle


def test_both_engines_tell_the_same_story_and_it_has_everything_in_it() -> None:
    crowd = Crowd(seed=2)

    live_through(WORLD, crowd, COMMANDS)

    never = [kind.name for kind in EventKind if crowd.events_seen[kind] == 0]
    assert not never, "events the crowd did not cause"
    reachable = [outcome for outcome in Outcome if outcome < 200]
    counts = {outcome.name: crowd.outcomes_seen[outcome] for outcome in reachable}
    seldom = {name: count for name, count in counts.items() if count < SEEN_MIN}
    assert not seldom, "outcomes the crowd hardly caused"


@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_when_slots_wear_out(seed: int) -> None:
    live_through(WORLD._replace(generations=4, orders=300), Crowd(seed), 4_000)


@pytest.mark.parametrize("ticks", [64, 65, 4097])
def test_engines_agree_on_ladders_of_odd_sizes(ticks: int) -> None:
    crowd = Crowd(ticks)
    crowd.middle = min(350, ticks // 2)

    live_through(WORLD._replace(ladder_ticks=ticks), crowd, 3_000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 110))
def test_engines_agree_on_a_long_week(seed: int) -> None:
    live_through(WORLD, Crowd(seed), SOAK_COMMANDS)
