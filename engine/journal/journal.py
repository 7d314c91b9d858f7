"""How does a command become history that survives a crash?

Append a whole batch, sync once, acknowledge after. A file is made aside with its header and room
for the first batches, synced and only then given its name, so a file that has a name is whole.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from engine.commands import Commands
from engine.journal.format import (
    FILE_START,
    Batch,
    FileHeader,
    Heads,
    file_name,
    genesis,
    pack_batch,
)
from engine.journal.mark import MARK_NAME, Mark, create_mark, read_mark, write_mark
from engine.journal.poison import PoisonList
from engine.journal.reader import (
    Damage,
    Position,
    Reader,
    Tail,
    first_sequence_of,
    journal_names,
    limits_of,
    unproven_end,
)
from engine.journal.storage import Storage, StorageFull
from engine.types import Limits

FILE_SIZE_MAX: Final = 64 << 20
FILE_AGE_MAX_NS: Final = 24 * 3600 * 10**9
ASIDE: Final = ".new"
AMBIGUOUS: Final = ".ambiguous"
REVIEWED: Final = ".reviewed"

ROOM_STEP: Final = 8 << 20
"""How much room a file is given at a time. A quarter of it is kept ahead of the last batch: when
the disk is full, cancels still fit in there."""

FREE_MIN_PPM: Final = 50_000
"""Below this much free disk (5 %) no new orders are taken; cancels go on."""


def truncate(storage: Storage, upto: int) -> list[str]:
    """Delete the files of a journal that end at or before ``upto``, the oldest first; return their
    names. The newest file stays."""
    names = [
        name
        for name, following in pairwise(journal_names(storage))
        if first_sequence_of(following) - 1 <= upto
    ]
    for name in names:
        storage.remove(name)
    return names


class Journal:
    """The log of one shard. Call ``recover`` to its end once, then ``append`` and ``sync``."""

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        file_size_max: int = FILE_SIZE_MAX,
        file_age_max_ns: int = FILE_AGE_MAX_NS,
        room_step: int = ROOM_STEP,
    ) -> None:
        """``limits`` are those of a new journal; one that exists has its own for ever, because
        what an engine refuses for want of room is part of history."""
        self.limits = limits_of(storage) or limits
        self._storage = storage
        self.poison = PoisonList(storage)
        self._file_size_max = file_size_max
        self._file_age_max_ns = file_age_max_ns
        self._room_step = room_step
        self._name = ""
        self._size = 0
        self._room = 0
        self._file_time_ns = 0
        self._recovered = False
        self.epoch = 1
        self.sequence = 0
        self.durable = 0
        self.head = genesis(self.limits)
        self.is_low = False
        """Whether the disk is nearly full: take cancels, refuse new orders."""
        self.repaired: Tail | None = None
        """The unfinished last batch that ``recover`` has cut off; nobody was answered for it."""

    @property
    def storage(self) -> Storage:
        """Return where the files are, for those who read what is on disk."""
        return self._storage

    def recover(self, after: Position | None = None) -> Iterator[Batch]:
        """Yield every batch on disk past ``after``, verified; mend a torn tail at the very end.

        An ambiguous last batch is set aside in a file of its own, see ``ambiguous_names``.
        Raises ``JournalCorrupt`` for any other damage.
        """
        # Synced before it is read, names too: what a crash left in the page cache alone must not be
        # acknowledged today and be gone tomorrow.
        self._storage.sync_names()
        for name in self._storage.names():
            if name.endswith(ASIDE):
                self._storage.remove(name)  # It had not got its name: nothing in it counts.
            else:
                self._storage.sync(name)
        self._write_again()
        reader = Reader(self._storage)
        yield from reader.batches(after)
        if reader.name:
            self.epoch, self.sequence, self.head = reader.epoch, reader.sequence, reader.head
            self._name, self._size = reader.name, reader.end
            self._room = self._storage.size(reader.name)
            self._file_time_ns = reader.file_time_ns
        if reader.tail is not None:
            self._mend(reader.tail)
        self._begin_epoch()
        if MARK_NAME not in self._storage.names():
            create_mark(self._storage)
        self.durable = self.sequence
        if self.durable > read_mark(self._storage).sequence:
            # What was found beyond the mark has been synced just now, and will be answered for.
            write_mark(self._storage, Mark(self.durable, self.head))
        self._recovered = True

    def ambiguous_names(self) -> list[str]:
        """Return the last batches that were set aside and that no operator has reviewed."""
        return [name for name in self._storage.names() if name.endswith(AMBIGUOUS)]

    def read(self, after: Position | None = None) -> Iterator[Batch]:
        """Yield the batches past ``after`` as they are on disk now."""
        return Reader(self._storage).batches(after)

    def add_poison(self, row: np.void) -> None:
        """Remember for ever that the engine could not carry out ``row``; durable on return."""
        self.poison.add(self._storage, row)

    def truncate(self, upto: int) -> list[str]:
        """Delete the files that end at or before ``upto``, but not the newest; return their
        names."""
        return truncate(self._storage, upto)

    def append(self, commands: Commands, attachments: Sequence[bytes]) -> Heads:
        """Write a batch of stamped commands; return the head after each. Durable after ``sync``.

        Raises ``StorageFull``, with nothing written, when there is no room for it.
        """
        assert self._recovered, "read the journal to its end before writing"
        assert self.durable == self.sequence, "sync a batch before the next"
        assert int(commands["sequence"][0]) == self.sequence + 1, "sequences are dense"
        self._make_room(commands)
        chunk, heads = pack_batch(self.epoch, self.durable, self.head, commands, attachments)
        self._reserve(self._size + len(chunk))
        self._storage.write(self._name, self._size, chunk)
        self._size += len(chunk)
        self._file_time_ns = self._file_time_ns or int(commands["time_ns"][0])
        self.sequence += len(commands)
        self.head = heads[-1]
        return heads

    def sync(self) -> None:
        """Return when all that was appended is on disk. An OSError must end the process."""
        self._storage.sync(self._name)
        self.durable = self.sequence
        write_mark(self._storage, Mark(self.durable, self.head))

    def close(self) -> None:
        """Make the mark durable, so that nothing is ambiguous at the next start."""
        if self._recovered:
            self._storage.sync(MARK_NAME)

    def watch_room(self) -> None:
        """Look whether the disk is nearly full; call it every second or so."""
        self.is_low = self._storage.free_ppm() < FREE_MIN_PPM

    def _make_room(self, commands: Commands) -> None:
        """Begin the next file if this one is full, old or missing."""
        age_ns = int(commands["time_ns"][0]) - self._file_time_ns if self._file_time_ns else 0
        is_done = self._size > self._file_size_max or age_ns > self._file_age_max_ns
        if not self._name:
            self._start_file()
        elif is_done and self._size > FILE_START and not self.is_low:
            name, size = self._name, self._size
            try:
                self._start_file()
            except StorageFull:
                self.is_low = True  # Go on in the old file: it has room kept for cancels.
            else:
                self._storage.truncate(name, size)

    def _reserve(self, end: int) -> None:
        """See that the file has room up to ``end`` and, while the disk lasts, well beyond."""
        wanted = end + self._room_step // 4
        if wanted <= self._room:
            return
        room = -(-wanted // self._room_step) * self._room_step
        try:
            self._storage.allocate(self._name, room)
            self._room = room
        except StorageFull:
            self.is_low = True
            if end > self._room:
                raise

    def _start_file(self) -> None:
        name = file_name(self.sequence + 1)
        aside = name + ASIDE
        header = FileHeader(self.epoch, self.sequence + 1, self.head, self.limits)
        self._storage.create(aside)
        try:
            self._storage.allocate(aside, self._room_step)
            self._storage.write(aside, 0, header.pack())
            self._storage.sync(aside)
            self._storage.rename(aside, name)
        except StorageFull:
            self._storage.remove(aside)
            raise
        self._name, self._size, self._room = name, FILE_START, self._room_step
        self._file_time_ns = 0

    def _write_again(self) -> None:
        """Put once more on disk what no mark proves to be there, before anybody is shown it.

        After a sync that failed, the kernel calls pages clean that the disk never got, and goes on
        showing them: the next process would sync, read and acknowledge what a power cut takes away.
        Written again they are dirty, and this sync tells the truth.
        """
        unproven = unproven_end(self._storage)
        if unproven is not None:
            name, offset, rest = unproven
            self._storage.write(name, offset, rest)
            self._storage.sync(name)

    def _mend(self, tail: Tail) -> None:
        """Take the damaged last batch out of the way; keep it if it may have been answered."""
        if tail.damage is Damage.AMBIGUOUS:
            aside = f"{tail.first_sequence:016d}-{self.epoch}{AMBIGUOUS}"
            self._storage.create(aside + ASIDE)
            self._storage.allocate(aside + ASIDE, len(tail.raw))
            self._storage.write(aside + ASIDE, 0, tail.raw)
            self._storage.sync(aside + ASIDE)
            self._storage.rename(aside + ASIDE, aside)
        self.repaired = tail
        self._storage.truncate(tail.name, tail.offset)
        self._room = tail.offset

    def _begin_epoch(self) -> None:
        """Let sequences that an ambiguous batch had, and that are given out again, differ by epoch.

        Decided by the files' names alone, so a crash between setting aside and this is no matter.
        """
        aside = [n for n in self._storage.names() if n.endswith((AMBIGUOUS, REVIEWED))]
        taken = max((int(name.partition(".")[0].split("-")[1]) for name in aside), default=0)
        if taken >= self.epoch:
            self.epoch = taken + 1
            self._start_file()
