"""Is any damage to a journal of two hundred records ever taken for the truth?

Bits flipped, ends cut off; records, batches, sectors and files swapped, doubled, zeroed, written
elsewhere or from another history. For each the one right verdict is stated: refused by name and
offset; harmless where nothing stands; and for the very last batch, only while no mark proves that
it was synced, torn (cut off), ambiguous (set aside, cancels only) or gone (it looks unwritten).
"""

from itertools import combinations, permutations
from random import Random
from typing import NamedTuple

import pytest

from engine.journal import JournalCorrupt
from engine.journal.format import (
    BATCH_HEAD_SIZE,
    END_MARK,
    FILE_START,
    RECORD,
    SECTOR,
    unpack_batch_header,
)
from engine.journal.mark import MARK_NAME
from engine.journal.reader import Damage, Reader
from tests.journal.fixtures import MemoryStorage, batch_from, batches_of, sequencer_on

RECORDS = 200
FILE_SIZE = 6_000
FLIPS = 4_000
REFUSED, HARMLESS, GONE = "refused", "harmless", "gone"
TORN, AMBIGUOUS = Damage.TORN, Damage.AMBIGUOUS


class Snap(NamedTuple):
    """Files to read, as ``engine.journal.storage.ReadStorage``."""

    files: dict[str, bytes]

    def names(self):
        return sorted(self.files)

    def size(self, name):
        return len(self.files[name])

    def read(self, name):
        return self.files[name]

    def __contains__(self, name):
        return name in self.files

    def but(self, name, raw):
        return Snap(self.files | {name: bytes(raw)})

    def without(self, name):
        return Snap({each: raw for each, raw in self.files.items() if each != name})


def history(salt):
    """Return a journal of ``RECORDS`` records in batches of one to twelve, in several files."""
    dice = Random("sizes")
    storage = MemoryStorage()
    sequencer = sequencer_on(storage, file_size_max=FILE_SIZE)
    assert list(sequencer.recover()) == []
    while sequencer.sequence < RECORDS:
        mark_before = bytes(storage.files[MARK_NAME])
        count = min(dice.randrange(1, 13), RECORDS - sequencer.sequence)
        batch = batch_from(sequencer.sequence + 1, count)
        sequencer.commit([one._replace(attachment=one.attachment + salt) for one in batch])
    return Snap({name: bytes(raw) for name, raw in storage.files.items()}), mark_before


def fingerprint(batch):
    return batch.header.last_sequence, batch.commands.tobytes(), tuple(batch.attachments)


class Found(NamedTuple):
    """What a reader makes of it: where it refuses, or what it read and how it ended."""

    refused: JournalCorrupt | None
    batches: list
    tail: object


def look(snap):
    reader, batches = None, []
    try:
        reader = Reader(snap)
        batches += map(fingerprint, reader.batches())
    except JournalCorrupt as corrupt:
        return Found(corrupt, batches, None)
    return Found(None, batches, reader.tail)


def judge(snap, truth):
    """Return how the damage was taken; AssertionError when it was taken for the truth."""
    found = look(snap)
    if found.refused is not None:
        assert found.refused.name and found.refused.offset >= 0
        return REFUSED
    assert found.batches == truth[: len(found.batches)], "something else than was written"
    if len(found.batches) == len(truth):
        return HARMLESS
    assert len(found.batches) == len(truth) - 1, "more than the last batch is silently gone"
    return found.tail.damage if found.tail is not None else GONE


class Journal(NamedTuple):
    """A sound journal, and whether the mark proves that its last batch was synced."""

    snap: Snap
    is_proven: bool

    @property
    def names(self):
        return [name for name in self.snap.names() if name != MARK_NAME]

    @property
    def spans(self):
        """Return (name, start, end) of every batch."""
        return [(name, at, at + header.size) for name, at, header in batches_of(self.snap)]

    def expected(self, place, if_last):
        """Return the verdict on damage in the batch at ``place``: ``if_last`` while unproven."""
        return if_last if place == self.spans[-1] and not self.is_proven else REFUSED


@pytest.fixture(scope="module", params=[True, False], ids=["proven", "unproven"])
def journal(request):
    """After a killed process the mark is exact, after a power cut it may be a batch old."""
    snap, mark_before = history(b"")
    if not request.param:
        snap = snap.but(MARK_NAME, mark_before)
    return Journal(snap, request.param)


@pytest.fixture(scope="module")
def truth(journal):
    return [fingerprint(batch) for batch in Reader(journal.snap).batches()]


def flipped(snap, name, bit):
    raw = bytearray(snap.read(name))
    raw[bit >> 3] ^= 1 << (bit & 7)
    return snap.but(name, raw)


def used(snap, name):
    """Return how many bytes of a file hold something."""
    return len(snap.read(name).rstrip(b"\0"))


def spliced(snap, place, chunk):
    name, start, end = place
    raw = snap.read(name)
    return snap.but(name, raw[:start] + chunk + raw[end:])


def chunk_of(snap, place):
    name, start, end = place
    return snap.read(name)[start:end]


def places(snap):
    """Return every (file, bit), of room that nobody has used too."""
    return [(name, bit) for name in snap.names() for bit in range(8 * len(snap.read(name)))]


def check_flips(journal, truth, chosen):
    """Every flipped bit is refused; in an unproven last batch it is ambiguous, never torn."""
    last_name, last_start, last_end = journal.spans[-1]
    for name, bit in chosen:
        at = bit >> 3
        if name == MARK_NAME or (name == last_name and at >= last_end):
            expected = HARMLESS
        else:
            is_last = name == last_name and at >= last_start
            expected = AMBIGUOUS if is_last and not journal.is_proven else REFUSED
        verdict = judge(flipped(journal.snap, name, bit), truth)
        assert verdict == expected, f"{name}, bit {bit}: {verdict}"


def test_some_bits_flipped(journal, truth):
    chosen = Random(1).sample(places(journal.snap), FLIPS // 2)
    name, start, end = journal.spans[-1]
    check_flips(journal, truth, chosen + [(name, bit) for bit in range(8 * start, 8 * end, 13)])


@pytest.mark.soak
def test_every_bit_flipped(journal, truth):
    check_flips(journal, truth, places(journal.snap))


def check_truncations(journal, truth, step):
    """Only the last file may end early, in its last batch, and only if nothing proves it."""
    last_name, last_start, _ = journal.spans[-1]
    for name in journal.snap.names():
        raw = journal.snap.read(name)
        for size in range(0, len(raw), step):
            if name == MARK_NAME or size >= used(journal.snap, name):
                expected = HARMLESS
            elif name == last_name and size >= last_start and not journal.is_proven:
                expected = TORN if size > last_start else GONE
            else:
                expected = REFUSED
            verdict = judge(journal.snap.but(name, raw[:size]), truth)
            assert verdict == expected, f"{name} cut to {size}: {verdict}"


def test_some_ends_cut_off(journal, truth):
    check_truncations(journal, truth, 23)


@pytest.mark.soak
def test_every_end_cut_off(journal, truth):
    check_truncations(journal, truth, 1)


def check_batches(journal, truth, taken):
    """Put another batch in the place of each; leave each out, zero it, write it twice."""
    snap = journal.snap
    for here, there in permutations(taken, 2):
        verdict = judge(spliced(snap, here, chunk_of(snap, there)), truth)
        assert verdict == REFUSED, f"{there} in place of {here}: {verdict}"
    for here, there in combinations(taken, 2):
        swapped = spliced(snap, there, chunk_of(snap, here))
        verdict = judge(spliced(swapped, here, chunk_of(snap, there)), truth)
        assert verdict == REFUSED, f"{here} and {there} swapped: {verdict}"
    for here in journal.spans:
        chunk = chunk_of(snap, here)
        for damage, if_last in ((b"", GONE), (bytes(len(chunk)), GONE), (2 * chunk, REFUSED)):
            verdict = judge(spliced(snap, here, damage), truth)
            assert verdict == journal.expected(here, if_last), f"{here}: {verdict}"


def test_some_batches_swapped_doubled_left_out_and_zeroed(journal, truth):
    check_batches(journal, truth, journal.spans[-10:] + journal.spans[:5])


@pytest.mark.soak
def test_all_batches_swapped_doubled_left_out_and_zeroed(journal, truth):
    check_batches(journal, truth, journal.spans)


def records_of(snap):
    """Return (the batch, the record in it) as places, of every record."""
    found = []
    for name, at, header in batches_of(snap):
        batch, start = (name, at, at + header.size), at + BATCH_HEAD_SIZE
        for _ in range(header.record_count):
            size = RECORD.itemsize + int.from_bytes(snap.read(name)[start : start + 4], "little")
            found.append((batch, (name, start, start + size)))
            start += size
    return found


def check_records(journal, truth, pairs):
    """One record in another's place, both swapped, and each zeroed or of another history."""
    snap, records = journal.snap, records_of(journal.snap)
    other = history(b"!")[0]
    for i, j in pairs:
        (batch, here), (its_batch, there) = records[i], records[j]
        verdict = judge(spliced(snap, here, chunk_of(snap, there)), truth)
        # Of another length it moves the end of its batch, where the next one must begin.
        assert verdict == journal.expected(batch, AMBIGUOUS), f"{there} over {here}: {verdict}"
        if i < j:
            swapped = spliced(snap, there, chunk_of(snap, here))
            verdict = judge(spliced(swapped, here, chunk_of(snap, there)), truth)
            is_last = batch == its_batch == journal.spans[-1]
            expected = journal.expected(batch, AMBIGUOUS) if is_last else REFUSED
            assert verdict == expected, f"{here} and {there} swapped: {verdict}"
    for (batch, here), (_, stale) in zip(records, records_of(other), strict=True):
        for damage in (bytes(here[2] - here[1]), chunk_of(other, stale)):
            verdict = judge(spliced(snap, here, damage), truth)
            assert verdict == journal.expected(batch, AMBIGUOUS), f"{here}: {verdict}"


def test_some_records_swapped_doubled_zeroed_and_stale(journal, truth):
    neighbours = [(i, i + 1) for i in range(RECORDS - 1)]
    check_records(journal, truth, neighbours + [(j, i) for i, j in neighbours])


@pytest.mark.soak
def test_all_records_swapped_doubled_zeroed_and_stale(journal, truth):
    check_records(journal, truth, permutations(range(RECORDS), 2))


def misplaced(journal, source, target, touched):
    """Return the verdict when the sector at ``source`` stands at ``target`` too, or only there."""
    last, chunk = journal.spans[-1], chunk_of(journal.snap, source)
    in_last = [place[0] == last[0] and last[1] <= place[1] < last[2] for place in touched]
    if journal.is_proven or not all(in_last):
        return REFUSED
    if source[:2] == last[:2]:
        return REFUSED  # The head of a batch that has not been read stands where none begins.
    if target[1] == last[1]:  # Either another batch's head, which is out of place, or none.
        return REFUSED if unpack_batch_header(chunk, 0) else AMBIGUOUS
    # A hole is what a cut-off write leaves. So is an end of zeros, though another sector's chance
    # end is taken for it: what stands before it cannot be told from what should.
    looks_stopped = target[2] == last[2] and chunk.endswith(bytes(len(END_MARK)))
    return TORN if source in touched or looks_stopped else AMBIGUOUS


def check_sectors(journal, truth, moves):
    """A sector lands in another's place; in its own the old one stays, or zeros do."""
    for source, target in moves:
        damaged = spliced(journal.snap, target, chunk_of(journal.snap, source))
        lost = spliced(damaged, source, bytes(SECTOR))
        for each, touched in ((damaged, [target]), (lost, [target, source])):
            expected = misplaced(journal, source, target, touched)
            verdict = judge(each, truth)
            assert verdict == expected, f"{source} to {target}: {verdict}"


def sectors_of(journal):
    return [
        (name, at, at + SECTOR)
        for name in journal.names
        for at in range(0, used(journal.snap, name), SECTOR)
    ]


def test_some_sectors_written_elsewhere(journal, truth):
    sectors, dice = sectors_of(journal), Random(3)
    moves = [dice.sample(sectors, 2) for _ in range(600)]
    last = [place for place in sectors if place[0] == journal.spans[-1][0]][-6:]
    check_sectors(journal, truth, [*moves, *permutations(last, 2)])


@pytest.mark.soak
def test_all_sectors_written_elsewhere(journal, truth):
    check_sectors(journal, truth, permutations(sectors_of(journal), 2))


def test_batches_and_files_of_another_history(journal, truth):
    other, _ = history(b"!")
    for here, (_, at, header) in zip(journal.spans, batches_of(other), strict=True):
        stale = other.read(here[0])[at : at + header.size]
        verdict = judge(spliced(journal.snap, here, stale), truth)
        assert verdict == journal.expected(here, AMBIGUOUS), f"a stale batch at {here}: {verdict}"
    for name in journal.names:
        assert judge(journal.snap.but(name, other.read(name)), truth) == REFUSED, name


def test_files_missing_renamed_and_doubled(journal, truth):
    snap, names = journal.snap, journal.names
    assert len(names) >= 4, "several files are needed"
    for name in names:
        assert judge(snap.without(name), truth) == REFUSED, f"{name} is missing"
        for other in names:
            if other != name:
                assert judge(snap.but(other, snap.read(name)), truth) == REFUSED
    later = f"{RECORDS + 1:016d}.journal"
    assert judge(snap.but(later, snap.read(names[-1])), truth) == REFUSED
    assert judge(snap.but(later, b""), truth) == REFUSED


def test_the_sound_journal_is_read_whole(journal, truth):
    assert judge(journal.snap, truth) == HARMLESS
    assert truth[-1][0] == RECORDS and FILE_START == SECTOR
    before, last = journal.spans[-2:]
    assert len(journal.spans) > 25 and last[2] - last[1] > SECTOR and before[0] == last[0]
