"""Are commands and events numbered without a gap, and do batches make no difference?"""

import numpy as np
import pytest

from engine.commands import COMMAND, Kind, batch_of, command
from tests.ladder import Desk


@pytest.mark.parametrize("wrong", [-1, 0, 2, 3])
def test_a_missing_sequence_is_our_bug_and_nothing_happens(desk: Desk, wrong: int) -> None:
    before = desk.engine.state_hash()
    row = command(Kind.CLOCK)
    row["sequence"] = desk.sequence + wrong

    with pytest.raises(AssertionError):
        desk.engine.apply(batch_of([row]))

    assert desk.engine.state_hash() == before


def test_a_gap_inside_a_batch_is_seen_before_anything_is_done(desk: Desk) -> None:
    before = desk.engine.state_hash()
    rows = [command(Kind.CLOCK), command(Kind.CLOCK)]
    for row in rows:
        row["sequence"] = desk.sequence + 1

    with pytest.raises(AssertionError):
        desk.engine.apply(batch_of(rows))

    assert desk.engine.state_hash() == before


def test_events_are_numbered_without_a_gap_over_batches(desk: Desk) -> None:
    first = desk.send(desk.place("Alice", "sell", 1, 101), desk.place("Bob", "buy", 1, 101))
    second = desk.send(command(Kind.DEPOSIT, account=0, token=0, amount=1))

    numbers = [*first["index"].tolist(), *second["index"].tolist()]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert first["sequence"].tolist() == [desk.sequence - 2] * 2 + [desk.sequence - 1] * 2


def test_read_only_commands_are_taken(desk: Desk) -> None:
    commands = batch_of([desk.place("Alice", "buy", 1, 5)])
    commands["sequence"] = desk.sequence + 1

    events = desk.engine.apply(np.frombuffer(commands.tobytes(), COMMAND))

    assert events["order_id"].tolist() == [1, 1]
    desk.sequence += 1
    desk.learn(events)
