"""Would the tests notice? The bugs of ``catalogue.py``, planted in the reference one at a time.

Each is found twice: by comparing with the kernels, and by the audit alone, which has nothing to
compare with. Only in which order free slots are given again is nothing to it.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from engine import core, reference
from tests.bugs.catalogue import BUGS, Bug, with_bug
from tests.bugs.in_orders import SlotsReusedOldestFirst
from tests.property.audit import Audit
from tests.property.workload import WORLD, Traders

SEEDS_MAX = 1_000
COMMANDS_EACH = 2_000
FINDERS = {
    "StopsThatWereLeftWakeNewcomers": 106,
    "AuctionForgetsTheLastPrice": 35,
    "AuctionGoesOnAtAnotherPrice": 30,
    "AuctionTakesNoRest": 19,
    "OrdersComeIntoAnAuctionThatGoesOn": 19,
    "ExpiryIsOneTickLate": 18,
    "WholeCountsOneFillTooMany": 8,
    "TheDeadInTheWayAreNotCounted": 7,
    "DeadMansSwitchIsCutShort": 6,
    "TermsKeepTheLastPrice": 5,
    "CancelAllHasNoEnd": 3,
    "ClockRemovesAllTheDead": 3,
    "OperatorForgetsStops": 3,
    "WholeCountsExpiredOrders": 2,
}
"""The first seed that has found a rare bug is tried first: where the traders change, all are."""

COUNT_MIN = 45
TOLD_BY_EVENTS = [bug for bug in BUGS if bug is not SlotsReusedOldestFirst]


def seeds_for(bug: Bug) -> Iterator[int]:
    """Yield the seeds that may find a bug."""
    first = FINDERS.get(bug.__name__, 0)
    yield first
    yield from (seed for seed in range(SEEDS_MAX) if seed != first)


def is_found(suspect: reference.Engine, seed: int) -> bool:
    """Return whether one traders makes the suspect differ, or fail its own assertions."""
    kernel, traders = core.Engine(WORLD), Traders(seed)
    commands = traders.opening()
    while traders.sequence < COMMANDS_EACH:
        events = kernel.apply(commands)
        try:
            found = suspect.apply(commands)
            suspect.check()
        except (AssertionError, KeyError, IndexError, StopIteration):
            return True
        if not np.array_equal(events, found) or kernel.state_hash() != suspect.state_hash():
            return True
        traders.learn(commands, events)
        commands = traders.batch(50)
    return False


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_is_found(bug: Bug) -> None:
    assert any(is_found(with_bug(bug, WORLD), seed) for seed in seeds_for(bug)), bug.__doc__


def audit_objects(suspect: reference.Engine, seed: int) -> bool:
    """Return whether the audit, which knows no right engine, calls the suspect's story unlawful."""
    traders, audit = Traders(seed), Audit(WORLD)
    commands = traders.opening()
    while traders.sequence < COMMANDS_EACH:
        try:
            events = suspect.apply(commands)
            traders.learn(commands, events)
            audit.follow(commands, events)
            audit.agree(suspect, traders.accounts, traders.tokens)
        except (AssertionError, KeyError, IndexError, StopIteration, ValueError):
            return True
        commands = traders.batch(50)
    return False


@pytest.mark.parametrize("bug", TOLD_BY_EVENTS, ids=lambda bug: bug.__name__)
def test_the_audit_alone_objects_to_a_bug(bug: Bug) -> None:
    objections = (audit_objects(with_bug(bug, WORLD), seed) for seed in seeds_for(bug))
    assert any(objections), bug.__doc__


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_nothing_was_planted(seed: int) -> None:
    assert not is_found(reference.Engine(WORLD), seed)
    assert not audit_objects(reference.Engine(WORLD), seed)


def test_the_catalogue_is_long_and_says_what_each_bug_does() -> None:
    assert len({bug.__doc__ for bug in BUGS}) == len(BUGS) >= COUNT_MIN
