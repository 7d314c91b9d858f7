"""The last batch may be torn or ambiguous; whatever was surely acknowledged refuses to start."""

import random

import pytest

from engine.journal import JournalCorrupt
from engine.journal.format import BATCH_HEAD_SIZE, FILE_START, SECTOR
from engine.journal.reader import Damage, Reader
from tests.journal.fixtures import (
    MemoryStorage,
    batch_from,
    batches_of,
    recovered,
    sequencer_on,
    without_mark,
    written,
)


class Stopped(Exception):
    """The process died here."""


class Fragile(MemoryStorage):
    """The same files as ``storage``, for as many changes as ``steps``."""

    def __init__(self, storage, steps):
        super().__init__()
        self.files, self.synced = storage.files, storage.synced
        self.steps = steps

    def __getattribute__(self, name):
        if name in ("create", "allocate", "write", "sync", "truncate", "rename", "remove"):
            self.steps -= 1
            if self.steps < 0:
                raise Stopped
        return super().__getattribute__(name)


def cut_short(counts=(3, 40)):
    """Return storage after a power cut: the mark is gone, the last batch may be damaged."""
    return without_mark(written(counts))


def tail_of(storage):
    reader = Reader(storage)
    assert len(list(reader.batches())) >= 0
    return reader.tail


@pytest.fixture(scope="module")
def whole():
    storage = cut_short()
    (_, _, _), (name, offset, header) = batches_of(storage)
    assert header.size > 4 * SECTOR, "the test needs a batch of several sectors"
    return storage.files, name, offset, header


def damaged(whole, change):
    """Return storage like ``whole`` after ``change(raw, offset, header)``."""
    files, name, offset, header = whole
    storage = cut_short(())
    storage.files = {each: bytearray(raw) for each, raw in files.items()}
    storage.synced = {each: bytes(raw) for each, raw in files.items()}
    change(storage.files[name], offset, header)
    return storage


def test_every_truncation_of_the_last_batch_is_repaired_and_nothing_else_is_lost(whole):
    _, _, offset, header = whole
    for size in [*range(offset + 1, offset + 200), *range(offset + 200, offset + header.size, 7)]:
        storage = damaged(whole, lambda raw, *_, size=size: raw.__delitem__(slice(size, None)))
        assert tail_of(storage).damage is Damage.TORN, size
        assert [entry.sequence for entry in recovered(storage)] == [1, 2, 3], f"cut {size}"
        assert len(recovered(storage)) == 3, "the repair itself must be clean"


def test_every_write_that_stopped_at_a_byte_is_repaired(whole):
    header = whole[-1]
    for size in [*range(1, 200), *range(200, header.size, 7)]:

        def stop(raw, offset, header, size=size):
            raw[offset + size : offset + header.size] = bytes(header.size - size)

        storage = damaged(whole, stop)
        assert [entry.sequence for entry in recovered(storage)] == [1, 2, 3], f"stopped at {size}"


def test_every_set_of_sectors_left_out_is_repaired(whole):
    _, _, _, header = whole
    count = header.size // SECTOR
    for lost in range(1, 1 << count):

        def leave_out(raw, offset, _, lost=lost):
            for sector in range(count):
                if lost >> sector & 1:
                    start = offset + sector * SECTOR
                    raw[start : start + SECTOR] = bytes(SECTOR)

        storage = damaged(whole, leave_out)
        assert [entry.sequence for entry in recovered(storage)] == [1, 2, 3], f"lost {lost:b}"


def test_a_flipped_bit_in_the_last_batch_is_ambiguous(whole):
    _, _, _, header = whole
    rng = random.Random(5)
    for bit in rng.sample(range(header.size * 8), 300):

        def flip(raw, offset, _, bit=bit):
            raw[offset + bit // 8] ^= 1 << bit % 8

        storage = damaged(whole, flip)
        assert tail_of(storage).damage is Damage.AMBIGUOUS, bit


def test_an_ambiguous_batch_is_set_aside_whole_and_a_new_epoch_begins(whole):
    _, name, offset, header = whole

    def flip(raw, offset, _):
        raw[offset + BATCH_HEAD_SIZE + 3] ^= 4

    storage = damaged(whole, flip)
    kept = bytes(storage.files[name][offset : offset + header.size])
    sequencer = sequencer_on(storage)
    assert sum(len(batch.commands) for batch in sequencer.recover()) == 3
    [aside] = sequencer.ambiguous
    assert storage.read(aside) == kept
    sequencer.commit(batch_from(90, 1))

    again = sequencer_on(storage)
    notes = [entry.attachment for batch in again.recover() for entry in batch.entries]
    assert notes == [b"note 1", b"note 2", b"note 3", b"note 90"]
    assert again.ambiguous == [aside], "until an operator has looked at it"
    assert [h.epoch for _, _, h in batches_of(storage)] == [1, 2]


def test_a_crash_while_setting_aside_is_made_up_for(whole):
    """Wherever it stops, the next start ends in the same place."""

    def flip(raw, offset, _):
        raw[offset + BATCH_HEAD_SIZE + 3] ^= 4

    for steps in range(60):
        storage = damaged(whole, flip)
        fragile = Fragile(storage, steps)
        try:
            assert len(recovered(fragile)) == 3
        except Stopped:
            assert fragile.steps < 0
        sequencer = sequencer_on(storage)
        assert sum(len(batch.commands) for batch in sequencer.recover()) == 3, steps
        assert len(sequencer.ambiguous) == 1, steps
        sequencer.commit(batch_from(90, 1))
        assert batches_of(storage)[-1][2].epoch == 2, steps
    assert fragile.steps > 0, "the last round went through"


def test_with_the_mark_a_damaged_last_batch_was_acknowledged():
    storage = written([3, 40])
    name, offset, _ = batches_of(storage)[-1]
    storage.files[name][offset + 300] ^= 1

    with pytest.raises(JournalCorrupt) as found:
        recovered(storage)
    assert (found.value.name, found.value.offset) == (name, offset)


def test_with_the_mark_a_last_batch_of_zeros_is_missed():
    storage = written([3, 40])
    name, offset, header = batches_of(storage)[-1]
    storage.files[name][offset : offset + header.size] = bytes(header.size)

    with pytest.raises(JournalCorrupt):
        recovered(storage)


@pytest.mark.parametrize("with_mark", [True, False])
def test_any_flipped_bit_before_the_last_batch_refuses_to_start(with_mark):
    pristine = written([2, 1, 3, 1])
    name, offset, _ = batches_of(pristine)[-1]
    rng = random.Random(7)
    for bit in rng.sample(range(offset * 8), 400):
        storage = written([2, 1, 3, 1])
        if not with_mark:
            without_mark(storage)
        storage.files[name][bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalCorrupt) as found:
            recovered(storage)
        assert found.value.name == name
        assert found.value.offset <= bit // 8


@pytest.mark.parametrize("damage", ["swapped", "doubled", "zeroed", "stale"])
def test_batches_moved_about_refuse_to_start(damage):
    storage = cut_short([1, 1, 1, 1])
    name, first, header = batches_of(storage)[0]
    raw, size = storage.files[name], header.size
    a, b = slice(first, first + size), slice(first + size, first + 2 * size)
    match damage:
        case "swapped":
            raw[a], raw[b] = raw[b], raw[a]
        case "doubled":
            raw[b] = raw[a]
        case "zeroed":
            raw[b] = bytes(size)
        case "stale":
            other = cut_short([1, 2])
            raw[b] = other.files[name][b]

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_a_batch_that_landed_in_the_wrong_place_refuses_to_start():
    """The disk wrote the last batch elsewhere: its own place is empty, like unused room."""
    storage = cut_short([1, 1])
    name, offset, header = batches_of(storage)[-1]
    raw = storage.files[name]
    batch = raw[offset : offset + header.size]
    raw[offset : offset + header.size] = bytes(header.size)
    raw[offset + 2 * SECTOR : offset + 2 * SECTOR + header.size] = batch

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_damage_in_a_file_that_is_not_the_last_refuses_to_start():
    storage = without_mark(written([2] * 6, file_size_max=600))
    first = batches_of(storage)[0][0]
    size = len(storage.files[first])
    for cut in (1, SECTOR, size - FILE_START):
        again = without_mark(written([2] * 6, file_size_max=600))
        del again.files[first][size - cut :]
        with pytest.raises(JournalCorrupt):
            recovered(again)


def test_a_commit_after_a_repair_continues_the_sequence():
    storage = cut_short()
    name, offset, header = batches_of(storage)[-1]
    del storage.files[name][offset + header.size - 10 :]
    sequencer = sequencer_on(storage)
    assert sum(len(batch.commands) for batch in sequencer.recover()) == 3

    sequencer.commit(batch_from(99, 1))

    assert [f.command.amount for f in recovered(storage)] == [1, 2, 3, 99]
