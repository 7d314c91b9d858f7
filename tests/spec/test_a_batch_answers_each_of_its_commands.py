"""Has each command of a batch an outcome of its own, as if it had been sent alone?"""

import numpy as np

from engine.commands import Kind, command
from engine.events import EventKind, Events
from engine.types import OrderFlag, Outcome
from tests.ladder import SMALL, Driver
from tests.spec.conftest import Build

SIZE = 50


def fifty(driver: Driver) -> list[np.void]:
    """Return fifty commands of many kinds, a good part of them to be refused."""
    rows = [driver.place("Alice", "sell", 2, 101 + i) for i in range(12)]
    rows += [driver.place("Bob", "buy", 0, 100), driver.place("Bob", "buy", 1, 0)]
    rows += [driver.place("Bob", "buy", 3, 101 + i) for i in range(8)]
    rows += [command(Kind.CANCEL, account=1, order_id=77) for _ in range(4)]
    stop = int(OrderFlag.STOP)
    rows += [
        driver.place("Carol", "buy", 1, 120, order_id=trigger, flags=stop)
        for trigger in (1, 110, 112, 0)
    ]
    rows += [command(Kind.CANCEL_AFTER, account=2, expiry_ns=at) for at in (-1, 5)]
    rows += [
        driver.place("Dave", "buy", 1, 130, tif=2),
        driver.place("Dave", "buy", 99, 130, tif=2),
    ]
    rows += [command(Kind.CANCEL_ALL, account=account) for account in (0, 9)]
    rows += [driver.place("Dave", "sell", 1, 140 + i) for i in range(SIZE - len(rows))]
    return rows


def outcomes(events: Events) -> dict[int, Outcome]:
    """Return the outcome of each sequence."""
    found = dict.fromkeys(events["sequence"].tolist(), Outcome.ACCEPTED)
    for event in events[events["kind"] == EventKind.REJECTED]:
        found[int(event["sequence"])] = Outcome(event["outcome"])
    return found


def test_fifty_commands_get_fifty_answers_in_one_call(driver: Driver) -> None:
    rows = fifty(driver)
    first = driver.sequence + 1

    answers = outcomes(driver.send(*rows))

    assert list(answers) == list(range(first, first + SIZE))
    refused = [outcome for outcome in answers.values() if outcome]
    assert sorted(set(refused)) == [
        Outcome.UNKNOWN_ACCOUNT,
        Outcome.QUANTITY_OUT_OF_RANGE,
        Outcome.PRICE_OUT_OF_RANGE,
        Outcome.NOT_RESTING,
        Outcome.DEADLINE_PASSED,
        Outcome.STOP_WOULD_TRIGGER,
        Outcome.TRIGGER_OUT_OF_RANGE,
    ]


def test_one_by_one_they_would_have_had_the_same(build: Build) -> None:
    together, alone = Driver(build(SMALL)), Driver(build(SMALL))

    events = together.send(*fifty(together))
    each = [alone.send(row) for row in fifty(alone)]

    assert np.array_equal(events, np.concatenate(each))
    assert together.engine.state_hash() == alone.engine.state_hash()


def test_a_refusal_in_the_middle_holds_nobody_up(driver: Driver) -> None:
    events = driver.send(
        driver.place("Alice", "sell", 2, 101),
        driver.place("Alice", "sell", -1, 101),
        driver.place("Bob", "buy", 2, 101),
    )

    assert driver.words(events) == [
        "rests 2 at 101",
        "refused: QUANTITY_OUT_OF_RANGE",
        "2 at 101 with Alice",
    ]
