"""Whatever keeps the promise of ``engine.sequencer.log.Log`` passes these: files today."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.commands import COMMAND, Kind, command
from engine.journal import DirectoryStorage, Journal
from engine.journal.format import genesis
from engine.journal.reader import Position
from engine.sequencer.log import Log
from tests.journal.fixtures import LIMITS, ROOM_STEP, MemoryStorage

FILE_SIZE_MAX = 1


@pytest.fixture(params=["memory", "directory"])
def opened(request, tmp_path) -> Callable[[], Log]:
    """Open the same log again and again; each file of it takes one batch."""
    memory = MemoryStorage()

    def again() -> Log:
        storage = memory
        if request.param == "directory":
            if opened_storages:
                opened_storages.pop().close()
            storage = DirectoryStorage(tmp_path / "log")
            opened_storages.append(storage)
        return Journal(storage, LIMITS, room_step=ROOM_STEP, file_size_max=FILE_SIZE_MAX)

    opened_storages = []
    yield again
    for storage in opened_storages:
        storage.close()


def rows(first, count):
    stamped = np.array(
        [command(Kind.CLOCK, amount=n) for n in range(first, first + count)], COMMAND
    )
    stamped["sequence"] = np.arange(first, first + count)
    return stamped


def with_batches(log, *counts):
    """Append and sync batches of ``counts`` commands; return the head after each command."""
    assert list(log.recover()) == []
    heads = [genesis(LIMITS)]
    for count in counts:
        batch = rows(log.sequence + 1, count)
        heads += log.append(batch, [b"%d" % n for n in batch["amount"]])
        log.sync()
    return heads


def test_what_was_synced_is_there_again_in_order_with_its_evidence(opened):
    with_batches(opened(), 2, 1, 3)
    again = opened()
    found = list(again.recover())
    assert [len(batch.commands) for batch in found] == [2, 1, 3]
    assert [bytes(a) for batch in found for a in batch.attachments] == [
        b"%d" % n for n in range(1, 7)
    ]
    assert (again.sequence, again.durable, again.limits) == (6, 6, LIMITS)


def test_durable_says_how_far_and_a_batch_is_synced_before_the_next(opened):
    log = opened()
    with_batches(log, 1)
    log.append(rows(2, 1), [b""])
    assert (log.sequence, log.durable) == (2, 1)
    with pytest.raises(AssertionError):
        log.append(rows(3, 1), [b""])
    log.sync()
    assert log.durable == 2


def test_reading_goes_on_behind_a_position(opened):
    log = opened()
    heads = with_batches(log, 2, 1, 3)
    behind = list(log.read(Position(2, heads[2])))
    assert [int(batch.commands["sequence"][0]) for batch in behind] == [3, 4]
    assert [len(list(log.read())), len(list(opened().recover(Position(3, heads[3]))))] == [3, 1]


def test_poison_is_remembered(opened):
    log = opened()
    with_batches(log, 2)
    log.add_poison(rows(2, 1)[0])
    assert log.poison.sequences == [2]
    assert opened().poison.sequences == [2]


def test_what_is_truncated_is_whole_pieces_and_never_the_newest(opened):
    log = opened()
    heads = with_batches(log, 2, 1, 3)
    assert log.truncate(1) == [], "the first piece ends at 2"
    assert len(log.truncate(2)) == 1
    assert len(log.truncate(10**6)) == 1, "the newest stays"
    again = opened()
    assert [len(batch.commands) for batch in again.recover(Position(3, heads[3]))] == [3]
    assert again.sequence == 6
