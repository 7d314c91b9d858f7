"""Does the journal give back exactly what was acknowledged, and refuse everything else?"""

from hashlib import sha256

import numpy as np
import pytest

from engine.commands import COMMAND, Kind, command
from engine.journal import Journal, JournalCorrupt
from engine.journal.format import BATCH_HEAD_SIZE, SECTOR, genesis, pack_batch
from engine.journal.storage import DirectoryStorage, StorageInUse
from engine.sequencer.sequencer import Submission
from engine.types import Limits
from tests.journal.fixtures import (
    LIMITS,
    Echo,
    MemoryStorage,
    batch_from,
    batches_of,
    recovered,
    sequencer_on,
    without_mark,
    written,
)


def test_what_was_committed_comes_back_in_order_with_its_attachments():
    entries = recovered(written([3, 1, 5]))

    assert [entry.sequence for entry in entries] == list(range(1, 10))
    assert [entry.attachment for entry in entries] == [b"note %d" % i for i in range(1, 10)]
    assert [entry.command.amount for entry in entries] == list(range(1, 10))


def test_records_with_and_without_attachments_share_a_batch():
    storage = MemoryStorage()
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    notes = [b"", b"\0" * 4000, b"", b"x", b"\0" * 512]
    sequencer.commit([Submission(command(Kind.CLOCK), note) for note in notes])
    sequencer.commit([Submission(command(Kind.CLOCK)) for _ in range(3)])

    assert [entry.attachment for entry in recovered(storage)] == [*notes, b"", b"", b""]


def test_history_continues_over_files_with_one_hash_chain():
    storage = written([2] * 6, file_size_max=600)

    assert len(batches_of(storage)) == 6
    assert len({name for name, _, _ in batches_of(storage)}) > 1, "the bound must have been reached"
    assert len(recovered(storage)) == 12


def test_a_file_is_closed_when_it_is_old():
    times = iter([10, 20, 31, 32])
    storage = MemoryStorage()
    sequencer = sequencer_on(storage, now_ns=lambda: next(times), file_age_max_ns=20)
    assert list(sequencer.recover()) == []
    for number in range(1, 5):
        sequencer.commit(batch_from(number, 1))

    assert [len(name) and int(name[:16]) for name, _, _ in batches_of(storage)] == [1, 1, 3, 3]


def test_a_closed_file_has_no_unused_room():
    storage = written([2] * 6, file_size_max=600)

    first, *_, last = sorted({name for name, _, _ in batches_of(storage)})
    ends = {name: offset + header.size for name, offset, header in batches_of(storage)}
    assert storage.size(first) == ends[first]
    assert storage.size(last) > ends[last], "the open one has room ahead"


def test_the_clock_never_runs_backwards():
    times = iter([100, 50, 120])
    sequencer = sequencer_on(MemoryStorage(), now_ns=lambda: next(times))
    assert list(sequencer.recover()) == []

    stamps = [
        int(sequencer.commit([Submission(command(Kind.CLOCK))]).commands["time_ns"][0])
        for _ in range(3)
    ]

    assert stamps == [100, 100, 120]


def test_the_clock_goes_on_from_the_journal_after_a_restart():
    storage = MemoryStorage()
    first = sequencer_on(storage, now_ns=lambda: 500)
    assert list(first.recover()) == []
    first.commit(batch_from(1, 1))
    again = sequencer_on(storage, now_ns=lambda: 400)
    assert len(list(again.recover())) == 1

    assert int(again.commit(batch_from(2, 1)).commands["time_ns"][0]) == 500


def test_heads_chain_from_the_limits():
    storage = written([1])
    name, offset, header = batches_of(storage)[0]
    body = storage.read(name)[offset + BATCH_HEAD_SIZE :][: header.body_size]

    assert header.head == sha256(genesis(LIMITS) + body).digest()
    assert genesis(LIMITS) != genesis(LIMITS._replace(orders=17))


def test_the_head_after_a_record_is_what_a_batch_ending_there_would_have():
    sequencer = sequencer_on(MemoryStorage())
    assert list(sequencer.recover()) == []
    whole = sequencer.commit(batch_from(1, 7))

    for count in range(1, 8):
        shorter = sequencer_on(MemoryStorage())
        assert list(shorter.recover()) == []
        assert shorter.commit(batch_from(1, count)).heads[-1] == whole.heads[count - 1]
    assert len(set(whole.heads)) == len(whole.heads) == 7


def test_heads_are_the_same_after_a_restart():
    storage = MemoryStorage()
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    heads = [head for n in (1, 4, 7) for head in sequencer.commit(batch_from(n, 3)).heads]

    assert [h for batch in sequencer_on(storage).recover() for h in batch.heads] == heads


def test_the_limits_of_a_journal_are_its_own_for_ever():
    storage = written([1])

    assert Journal(storage, Limits()).limits == LIMITS
    assert Journal(MemoryStorage(), Limits()).limits == Limits()


def test_a_sector_of_zeros_is_counted_only_where_one_can_be():
    rows = np.zeros(2, COMMAND)
    rows["sequence"] = 1, 2

    plain, _ = pack_batch(1, 0, bytes(32), rows, [b"", b""])
    holed, _ = pack_batch(1, 0, bytes(32), rows, [b"\0" * 2048, b""])

    assert len(plain) == SECTOR and len(holed) == 5 * SECTOR
    assert int.from_bytes(holed[32:36], "little") == 3


def test_nothing_is_applied_before_it_is_synced():
    storage = MemoryStorage()
    order = []

    class Watching(Echo):
        def apply(self, commands):
            name = batches_of(storage)[-1][0]
            order.append(storage.synced[name] == bytes(storage.files[name]))
            return super().apply(commands)

    sequencer = sequencer_on(storage, Watching)
    assert list(sequencer.recover()) == []
    sequencer.commit(batch_from(1, 1))

    assert order == [True]


def test_a_file_gets_its_name_only_when_its_header_is_on_disk():
    storage = MemoryStorage()
    named = []
    rename = storage.rename

    class Watched(MemoryStorage):
        def rename(self, name, new_name):
            named.append((new_name, self.synced[name] == bytes(self.files[name])))
            super().rename(name, new_name)

    assert rename
    storage = written([2] * 6, Watched(), file_size_max=600)

    assert len(named) > 1 and all(synced for _, synced in named)
    assert all(len(storage.synced[name]) >= SECTOR for name, _ in named)


def test_what_a_crash_left_without_a_name_is_removed():
    storage = written([2])
    storage.create("0000000000000003.journal.new")

    assert len(recovered(storage)) == 2
    assert not any(name.endswith(".new") for name in storage.names())


def test_a_missing_file_in_the_middle_refuses_to_start():
    storage = written([2] * 6, file_size_max=600)
    names = sorted({name for name, _, _ in batches_of(storage)})
    storage.remove(names[1])

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_a_missing_last_file_is_noticed_by_the_mark():
    storage = written([2] * 6, file_size_max=600)
    storage.remove(batches_of(storage)[-1][0])

    with pytest.raises(JournalCorrupt):
        recovered(storage)


def test_a_file_of_another_journal_refuses_to_start():
    ours, theirs = written([2] * 6, file_size_max=600), MemoryStorage()
    other = sequencer_on(theirs, file_size_max=600)
    assert list(other.recover()) == []
    for number in range(6):
        other.commit(batch_from(100 + number, 2))
    name = batches_of(ours)[2][0]
    ours.files[name] = theirs.files[name]

    with pytest.raises(JournalCorrupt):
        recovered(ours)


def test_a_damaged_mark_is_no_mark():
    storage = written([2])
    storage.files["durable"][9] ^= 1

    assert len(recovered(storage)) == 2
    assert len(recovered(without_mark(storage))) == 2


def test_real_files_hold_a_journal_and_admit_one_writer(tmp_path):
    storage = DirectoryStorage(tmp_path)
    written([1], storage)

    with pytest.raises(StorageInUse):
        DirectoryStorage(tmp_path)
    storage.close()

    again = DirectoryStorage(tmp_path)
    assert len(recovered(again)) == 1
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in again.names()), "private"
    again.close()
