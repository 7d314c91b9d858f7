"""Are commands and events numbered without a gap, and do batches make no difference?"""

import numpy as np
import pytest

from engine.commands import COMMAND, Kind, batch_of, command
from tests.ladder import Driver


@pytest.mark.parametrize("wrong", [-1, 0, 2, 3])
def test_a_missing_sequence_is_our_bug_and_nothing_happens(driver: Driver, wrong: int) -> None:
    before = driver.engine.state_hash()
    row = command(Kind.CLOCK)
    row["sequence"] = driver.sequence + wrong

    with pytest.raises(AssertionError):
        driver.engine.apply(batch_of([row]))

    assert driver.engine.state_hash() == before


def test_a_gap_inside_a_batch_is_seen_before_anything_is_done(driver: Driver) -> None:
    before = driver.engine.state_hash()
    rows = [command(Kind.CLOCK), command(Kind.CLOCK)]
    for row in rows:
        row["sequence"] = driver.sequence + 1

    with pytest.raises(AssertionError):
        driver.engine.apply(batch_of(rows))

    assert driver.engine.state_hash() == before


def test_events_are_numbered_without_a_gap_over_batches(driver: Driver) -> None:
    first = driver.send(driver.place("Alice", "sell", 1, 101), driver.place("Bob", "buy", 1, 101))
    second = driver.send(command(Kind.DEPOSIT, account=0, token=0, amount=1))

    numbers = [*first["index"].tolist(), *second["index"].tolist()]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert first["sequence"].tolist() == [driver.sequence - 2] * 2 + [driver.sequence - 1] * 2


def test_read_only_commands_are_taken(driver: Driver) -> None:
    commands = batch_of([driver.place("Alice", "buy", 1, 5)])
    commands["sequence"] = driver.sequence + 1

    events = driver.engine.apply(np.frombuffer(commands.tobytes(), COMMAND))

    assert events["order_id"].tolist() == [1, 1]
    driver.sequence += 1
    driver.learn(events)
