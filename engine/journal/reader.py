"""What does the journal say, and how does it end?

Reading verifies everything it passes. A fault raises ``JournalCorrupt`` with file and offset, with
one exception: the very last batch of the very last file may be *torn* (the write did not finish,
so nobody was answered) or *ambiguous* (it is whole in length and wrong in content: it may have
been answered). Any sign that it was synced, a later batch or the mark, makes it a fault too.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from engine.journal.format import (
    BATCH_HEAD_SIZE,
    BATCH_MAGIC,
    END_MARK,
    FILE_START,
    GENESIS_SEQUENCE,
    SECTOR,
    SUFFIX,
    Batch,
    BatchHeader,
    FileHeader,
    JournalCorrupt,
    blank_sectors,
    file_name,
    genesis,
    unpack_batch,
    unpack_batch_header,
    unpack_file_header,
)
from engine.journal.mark import read_mark
from engine.journal.storage import ReadStorage
from engine.types import Limits


class Damage(Enum):
    """What is wrong with the last batch."""

    TORN = "torn"
    AMBIGUOUS = "ambiguous"


class Tail(NamedTuple):
    """A last batch that cannot be read: where, why, and the bytes from there to the last one."""

    damage: Damage
    name: str
    offset: int
    first_sequence: int
    raw: bytes


class Position(NamedTuple):
    """A place between two batches: the sequence before it and the chained hash there."""

    sequence: int
    head: bytes


def journal_names(storage: ReadStorage) -> list[str]:
    """Return the journal's files, oldest first."""
    return [name for name in storage.names() if name.endswith(SUFFIX)]


def first_sequence_of(name: str) -> int:
    """Return the first sequence of a journal file from its name."""
    digits = name.removesuffix(SUFFIX)
    if not digits.isdecimal():
        raise JournalCorrupt(name, 0, "this is no journal file's name")
    return int(digits)


def limits_of(storage: ReadStorage) -> Limits | None:
    """Return the engine limits that the journal was begun with; None when it is empty."""
    names = journal_names(storage)
    return unpack_file_header(storage.read(names[0]), names[0]).limits if names else None


def about_last_sequence(storage: ReadStorage) -> int:
    """Return about how far the journal goes, from its files' names: to show progress."""
    starts = [first_sequence_of(name) for name in journal_names(storage)]
    if len(starts) < 2:
        return starts[0] if starts else 0
    return starts[-1] + (starts[-1] - starts[0]) // (len(starts) - 1)


def unproven_end(storage: ReadStorage) -> tuple[str, int, bytes] | None:
    """Return (file, offset, bytes) of all that no mark proves to be on disk; None for nothing."""
    names = journal_names(storage)
    if not names:
        return None
    raw, proven = storage.read(names[-1]), read_mark(storage).sequence
    offset = FILE_START
    while (header := unpack_batch_header(raw, offset)) and header.last_sequence <= proven:
        offset += header.size
    rest = raw[offset:].rstrip(b"\0")
    return (names[-1], offset, rest) if rest else None


class Reader:
    """Reads a journal once. After ``batches`` has ended, the fields tell where it ended."""

    def __init__(self, storage: ReadStorage) -> None:
        self._storage = storage
        self._mark = read_mark(storage)
        self.sequence = GENESIS_SEQUENCE
        self.head = b""
        self.epoch = 0
        self.name = ""
        self.end = 0
        """Where the next batch goes in the file ``name``."""
        self.file_time_ns = 0
        """The time of the first command in the file ``name``; 0 if it has none."""
        self.tail: Tail | None = None

    def batches(self, after: Position | None = None) -> Iterator[Batch]:
        """Yield all batches past ``after`` (a batch's end; None for the beginning), oldest first.

        Raises ``JournalCorrupt`` for any damage but an unfinished or ambiguous last batch.
        """
        names = self._names_past(after)
        if names:
            first = unpack_file_header(self._storage.read(names[0]), names[0])
            self.sequence, self.head = first.first_sequence - 1, first.head_before
            if self.sequence == GENESIS_SEQUENCE and self.head != genesis(first.limits):
                raise JournalCorrupt(names[0], 24, "the first head does not stand for its limits")
        for name in names:
            yield from self._file(name, is_last=name == names[-1], after=after)
        reached = self.sequence if after is None else max(after.sequence, self.sequence)
        if after is not None and self.sequence < after.sequence:
            raise JournalCorrupt(
                self.name, self.end, f"a snapshot of sequence {after.sequence} is past the end"
            )
        if self._mark.sequence > reached:
            raise JournalCorrupt(
                self.name or file_name(1),
                self.end,
                f"everything up to sequence {self._mark.sequence} was synced, "
                f"but nothing can be read after {reached}",
            )

    def _names_past(self, after: Position | None) -> list[str]:
        """Return the files to read; the first holds or precedes the first sequence wanted."""
        names = journal_names(self._storage)
        wanted = (after.sequence if after else GENESIS_SEQUENCE) + 1
        starts = [first_sequence_of(name) for name in names]
        if names and starts[0] > wanted:
            raise JournalCorrupt(
                names[0], 0, f"it begins after sequence {wanted}, which no snapshot covers"
            )
        if not names and after is not None:
            raise JournalCorrupt(file_name(wanted), 0, "there is a snapshot and no journal")
        skipped = max((i for i, start in enumerate(starts) if start <= wanted), default=0)
        # The file that ends at ``after`` is read too: it proves that the snapshot belongs here.
        if after is not None and skipped and starts[skipped] == wanted:
            skipped -= 1
        return names[skipped:]

    def _file(self, name: str, is_last: bool, after: Position | None) -> Iterator[Batch]:
        raw = self._storage.read(name)
        header = unpack_file_header(raw, name)
        self._check_file(name, header)
        self.name, self.end, self.epoch, self.file_time_ns = name, FILE_START, header.epoch, 0
        while self.end < len(raw):
            batch = self._batch(raw, is_last)
            if batch is None:
                break
            self.sequence, self.head = batch.header.last_sequence, batch.header.head
            self.end += batch.header.size
            self.file_time_ns = self.file_time_ns or int(batch.commands["time_ns"][0])
            self._check_place(name, after)
            if after is None or batch.header.first_sequence > after.sequence:
                yield batch

    def _check_file(self, name: str, header: FileHeader) -> None:
        in_place = (header.first_sequence, header.head_before) == (self.sequence + 1, self.head)
        if not in_place or name != file_name(header.first_sequence) or header.epoch < self.epoch:
            raise JournalCorrupt(name, 16, "the file does not continue the one before it")

    def _check_place(self, name: str, after: Position | None) -> None:
        """Hold the chain to what snapshot and mark say about this very place."""
        for known, whose in ((after, "snapshot"), (self._mark, "mark")):
            if known is not None and known.sequence == self.sequence and known.head != self.head:
                raise JournalCorrupt(name, self.end, f"the {whose} there has another head")

    def _batch(self, raw: bytes, is_last: bool) -> Batch | None:
        """Return the batch at ``end``; None when the journal ends there, ``tail`` says how."""
        offset = self.end
        header = unpack_batch_header(raw, offset)
        if header is not None:
            in_place = header.first_sequence == self.sequence + 1 and header.record_count > 0
            if not in_place or header.epoch != self.epoch or header.durable > self.sequence:
                raise JournalCorrupt(
                    self.name, offset, f"the batch of {header.first_sequence} is out of place"
                )
            batch = unpack_batch(raw, offset, header, self.head)
            if batch is not None:
                return batch
        if not is_last and raw[offset:].strip(b"\0"):
            raise JournalCorrupt(self.name, offset, "a batch does not verify")
        self.tail = self._judged(raw, header)
        return None

    def _judged(self, raw: bytes, header: BatchHeader | None) -> Tail | None:
        """Return what the bytes from ``end`` on are; None for room that nobody has used."""
        offset, rest = self.end, raw[self.end :].rstrip(b"\0")
        if not rest:
            return None
        found = raw.find(BATCH_MAGIC, offset + SECTOR)
        while found != -1:
            later = unpack_batch_header(raw, found) if found % SECTOR == 0 else None
            if later is not None and later.first_sequence > self.sequence:
                raise JournalCorrupt(
                    self.name,
                    offset,
                    f"a batch does not verify, and the one of sequence {later.first_sequence} "
                    f"stands at byte {found}",
                )
            found = raw.find(BATCH_MAGIC, found + 1)
        if self._mark.sequence > self.sequence:
            raise JournalCorrupt(
                self.name,
                offset,
                f"a synced batch does not verify ({self._mark.sequence})",
            )
        damage = Damage.TORN if _is_unfinished(raw, offset, header) else Damage.AMBIGUOUS
        return Tail(damage, self.name, offset, self.sequence + 1, rest)


def _is_unfinished(raw: bytes, offset: int, header: BatchHeader | None) -> bool:
    """Return whether a write that a crash cut short can explain the damaged batch.

    Such a write leaves whole sectors out, in any order, or stops at one byte. What it has not
    written is zeros or past the end of the file; a whole batch never looks like that.
    """
    if header is None:
        first = raw[offset : offset + SECTOR]
        stopped_inside_header = not raw[offset + BATCH_HEAD_SIZE :].strip(b"\0")
        return not first.strip(b"\0") or stopped_inside_header
    chunk = raw[offset : offset + header.size]
    if len(chunk) < header.size or not chunk[-len(END_MARK) :].strip(b"\0"):
        return True
    return blank_sectors(chunk) > header.blank_sectors
