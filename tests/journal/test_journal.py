"""Does the journal give back exactly what was acknowledged, and refuse everything else?"""

from hashlib import blake2b

import pytest

from engine.commands import Kind, command
from engine.journal import Journal, JournalCorrupt
from engine.journal.format import FILE_HEADER
from engine.journal.storage import DirectoryStorage, StorageInUse
from engine.sequencer import Sequencer, Submission
from tests.journal.rig import Echo, MemoryStorage


def sequencer_on(storage, file_size_max=1 << 20, now_ns=lambda: 7):
    return Sequencer(Echo(), Journal(storage, file_size_max), now_ns)


def written(counts, file_size_max=1 << 20):
    """Return storage after committing batches of ``counts`` commands."""
    storage = MemoryStorage()
    sequencer = sequencer_on(storage, file_size_max)
    assert list(sequencer.recover()) == []
    serial = 0
    for count in counts:
        batch = []
        for _ in range(count):
            serial += 1
            batch.append(Submission(command(Kind.CLOCK, amount=serial), b"note %d" % serial))
        sequencer.commit(batch)
    return storage


def recovered(storage):
    return [frame for batch in sequencer_on(storage).recover() for frame in batch.frames()]


def test_what_was_committed_comes_back_in_order_with_its_attachments():
    frames = recovered(written([3, 1, 5]))

    assert [frame.sequence for frame in frames] == list(range(1, 10))
    assert [frame.attachment for frame in frames] == [b"note %d" % i for i in range(1, 10)]
    assert [int(frame.command["amount"]) for frame in frames] == list(range(1, 10))


def test_history_continues_over_files_with_one_hash_chain():
    storage = written([2] * 6, file_size_max=300)

    assert len(storage.names()) > 1, "the bound must have been reached"
    assert len(recovered(storage)) == 12


def test_the_clock_never_runs_backwards():
    times = iter([100, 50, 120])
    sequencer = sequencer_on(MemoryStorage(), now_ns=lambda: next(times))
    assert list(sequencer.recover()) == []

    stamps = [
        int(sequencer.commit([Submission(command(Kind.CLOCK))]).commands["time_ns"][0])
        for _ in range(3)
    ]

    assert stamps == [100, 100, 120]


def test_every_truncation_of_the_last_record_is_repaired_and_nothing_else_is_lost():
    whole = written([4])
    name = whole.names()[0]
    size = len(whole.files[name])
    last = (size - FILE_HEADER.size) // 4

    for cut in range(1, last + 1):
        storage = written([4])
        del storage.files[name][size - cut :]
        assert [frame.sequence for frame in recovered(storage)] == [1, 2, 3], f"cut {cut}"
        assert len(recovered(storage)) == 3, "the repair itself must be clean"


def test_a_commit_after_a_repair_continues_the_sequence():
    storage = written([4])
    name = storage.names()[0]
    del storage.files[name][-10:]
    sequencer = sequencer_on(storage)
    assert sum(len(batch.commands) for batch in sequencer.recover()) == 3

    sequencer.commit([Submission(command(Kind.CLOCK, amount=99))])

    assert [int(f.command["amount"]) for f in recovered(storage)] == [1, 2, 3, 99]


@pytest.mark.parametrize("stride_start", range(7))
def test_a_flipped_bit_in_acknowledged_records_refuses_to_start(stride_start):
    pristine = written([1, 1, 1])
    name = pristine.names()[0]
    size = len(pristine.files[name])
    record = (size - FILE_HEADER.size) // 3
    acknowledged = FILE_HEADER.size + 2 * record  # The third record proves the first two.

    for bit in range(stride_start, acknowledged * 8, 7):
        storage = written([1, 1, 1])
        storage.files[name][bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(JournalCorrupt) as found:
            recovered(storage)
        assert found.value.name == name


def test_swapped_records_refuse_to_start():
    storage = written([1, 1, 1])
    name = storage.names()[0]
    raw = storage.files[name]
    record = (len(raw) - FILE_HEADER.size) // 3
    a, b = FILE_HEADER.size, FILE_HEADER.size + record
    raw[a : a + record], raw[b : b + record] = raw[b : b + record], raw[a : a + record]

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_a_missing_file_in_the_middle_refuses_to_start():
    storage = written([2] * 6, file_size_max=300)
    del storage.files[storage.names()[1]]

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_heads_chain_from_genesis():
    storage = MemoryStorage()
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    committed = sequencer.commit([Submission(command(Kind.CLOCK))])

    raw = bytes(storage.files[storage.names()[0]])[FILE_HEADER.size :]
    assert committed.heads[-1] == blake2b(bytes(32) + raw[:-32], digest_size=32).digest()


def test_nothing_is_applied_before_it_is_synced():
    storage = MemoryStorage()
    order = []

    class Watching(Echo):
        def apply(self, commands):
            name = storage.names()[-1]
            order.append(storage.synced[name] == len(storage.files[name]))
            return super().apply(commands)

    sequencer = Sequencer(Watching(), Journal(storage), lambda: 1)
    assert list(sequencer.recover()) == []
    sequencer.commit([Submission(command(Kind.CLOCK))])

    assert order == [True]


def test_real_files_hold_a_journal_and_admit_one_writer(tmp_path):
    storage = DirectoryStorage(tmp_path)
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    sequencer.commit([Submission(command(Kind.CLOCK, amount=5))])

    with pytest.raises(StorageInUse):
        DirectoryStorage(tmp_path)
    storage.close()

    again = DirectoryStorage(tmp_path)
    assert len(recovered(again)) == 1
    assert (tmp_path / again.names()[0]).stat().st_mode & 0o077 == 0, "orders are private"
    again.close()
