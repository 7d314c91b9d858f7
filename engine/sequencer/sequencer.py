"""In which order do commands happen?

One writer. A batch is stamped with dense sequences and a clock that never runs backwards, written
to the journal, synced, and only then applied: ``write`` may run on a thread of its own (it waits
for the disk), ``apply`` belongs to the thread that owns the engine.

A command whose application ends in a bug of the engine is *poison*: it is put on a list, the engine
is made anew from what is on disk, and in the command's place its market is halted.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from engine.commands import Commands, batch_of
from engine.journal.format import Batch
from engine.journal.reader import Position
from engine.journal.snapshot import (
    Snapshot,
    SnapshotDamaged,
    SnapshotFiles,
    StateImage,
    sequence_of,
)
from engine.log_entries import Committed
from engine.sequencer.log import Log
from engine.sequencer.replay import Machine, MachineType, Written, gathered_batches, joined_batches
from engine.types import Limits

BUGS: Final = (AssertionError, ArithmeticError, LookupError)
"""What a command that the engine cannot carry out may end in: an assertion, or Python's own."""


class OutOfMemory(Exception):
    """A command that is on disk needs more memory than there is; no start gets past it without."""

    def __init__(self, sequence: int, lack: MemoryError) -> None:
        super().__init__(f"sequence {sequence} needs more memory than there is: {lack}")
        self.sequence = sequence


class LastingMachine(Machine, Protocol):
    """An engine whose state can be kept."""

    def image(self) -> StateImage:
        """Return all of the state as arrays."""


L = TypeVar("L", bound=LastingMachine)
L_co = TypeVar("L_co", bound=LastingMachine, covariant=True)


class LastingMachineType(MachineType[L_co], Protocol[L_co]):
    """How a machine begins or goes on; the class of an engine is one."""

    def restore(self, limits: Limits, image: StateImage, /) -> L_co:
        """Return the machine whose ``image`` this was."""


class Submission(NamedTuple):
    """A command before it has a place in history, with its encoded attachment."""

    command: np.void
    attachment: bytes = b""


def _all_fit(_position: Position) -> None:
    """No snapshot comes too late for anybody."""


class Sequencer(Generic[L]):
    """Stamps, journals and applies."""

    def __init__(
        self,
        machine_type: LastingMachineType[L],
        log: Log,
        now_ns: Callable[[], int],
        snapshots: SnapshotFiles | None = None,
    ) -> None:
        """Without ``snapshots`` every start and every poisoned command replays all history."""
        self._machine_type = machine_type
        self._log = log
        self._now_ns = now_ns
        self._snapshots = snapshots
        self._time_ns = 0
        self._poison = log.poison
        self._applied: Position | None = None
        self.machine = machine_type(log.limits)
        """The engine as it is now; another object after a start or a poisoned command."""
        self.resumed_at = 0
        """The sequence of the snapshot that ``resume`` has found."""
        self.snapshots_refused: list[str] = []
        """Why ``resume`` has passed over a snapshot, in words."""

    @property
    def sequence(self) -> int:
        """Return the last sequence written."""
        return self._log.sequence

    @property
    def applied(self) -> int:
        """Return the last sequence the engine has carried out."""
        return self._applied.sequence if self._applied else 0

    @property
    def position(self) -> Position | None:
        """Return where that is in the log; None before the first command."""
        return self._applied

    @property
    def poisoned(self) -> list[int]:
        """Return the sequences that the engine could not carry out."""
        return self._poison.sequences

    @property
    def is_low(self) -> bool:
        """Return whether the disk is nearly full: then no new orders should be written."""
        return self._log.is_low

    @property
    def ahead_ns(self) -> int:
        """Return how far the last stamp is ahead of the clock: it was put back by then."""
        return max(0, self._time_ns - self._now_ns())

    @property
    def ambiguous(self) -> list[str]:
        """Return the files of batches that may have been acknowledged and cannot be read."""
        return self._log.ambiguous_names()

    def resume(
        self, consumers: Collection[str], why_not: Callable[[Position], str | None] = _all_fit
    ) -> Snapshot | None:
        """Go on from the newest sound snapshot that remembers exactly ``consumers``, if any.

        One that ``why_not`` has a reason against is passed over. Call it before ``recover``, which
        then gives only what came after.
        """
        for name in self._snapshots.names() if self._snapshots else ():
            assert self._snapshots is not None
            try:
                snapshot = self._snapshots.read(name)
                if set(snapshot.consumers) != set(consumers):
                    raise SnapshotDamaged(f"{name} remembers {sorted(snapshot.consumers)}")
                if (why := why_not(snapshot.position)) is not None:
                    self.snapshots_refused.append(f"{name}: {why}")
                    continue
                self.machine = self._restored(snapshot)
            except SnapshotDamaged as refused:
                self.snapshots_refused.append(str(refused))
                continue
            self._applied, self._time_ns = snapshot.position, snapshot.time_ns
            self.resumed_at = snapshot.sequence
            return snapshot
        return None

    def recover(self) -> Iterator[Committed]:
        """Replay the journal through the engine, batch by batch, oldest first."""
        for batches in gathered_batches(self._log.recover(self._applied)):
            written = joined_batches(batches)
            self._time_ns = max(self._time_ns, int(written.commands["time_ns"].max()))
            yield self.apply(written)

    def write(self, commands: Commands, attachments: Sequence[bytes]) -> Written:
        """Give a batch its place in history; return when it is on disk. Stamps ``commands``.

        Raises StorageFull, with nothing done, when there is no room, and any other OSError when
        the disk fails: what was acknowledged before stands, nothing of this batch may be
        acknowledged, and the process must end.
        """
        time_ns = max(self._time_ns, self._now_ns())
        commands["time_ns"] = time_ns
        first = self._log.sequence + 1
        commands["sequence"] = np.arange(first, first + len(commands))
        heads = self._log.append(commands, attachments)
        self._time_ns = time_ns
        self._log.sync()
        return Written(commands, attachments, heads)

    def apply(self, written: Written) -> Committed:
        """Let the engine carry out what ``write`` has put on disk."""
        commands = self._poison.applied_to(written.commands)
        first, last = int(commands["sequence"][0]), int(commands["sequence"][-1])
        assert self.machine.sequence == first - 1, "batches must start where the last one ended"
        while True:
            try:
                events = self.machine.apply(commands)
                break
            except MemoryError as lack:
                raise OutOfMemory(self.machine.sequence + 1, lack) from lack
            except BUGS:
                failed = self.machine.sequence
                if not first <= failed <= last or failed in self._poison.sequences:
                    raise
                self._log.add_poison(written.commands[failed - first])
                commands = self._poison.applied_to(written.commands)
                self.machine = self._machine_before(first)
        self._applied = Position(last, written.heads[-1])
        return Committed(first, commands, written.attachments, events, written.heads)

    def commit(self, submissions: Iterable[Submission]) -> Committed:
        """Write and apply in one go, for callers without a second thread."""
        batch = list(submissions)
        commands = batch_of([submission.command for submission in batch])
        return self.apply(self.write(commands, [submission.attachment for submission in batch]))

    def snapshot(self, consumers: Mapping[str, bytes]) -> Snapshot:
        """Return all that is in memory now; ``consumers`` is what they remember now."""
        assert self._applied is not None, "there is nothing to keep yet"
        return Snapshot(
            self._applied.sequence,
            self._time_ns,
            self._applied.head,
            self._log.limits,
            self.machine.state_hash(),
            self.machine.image(),
            consumers,
        )

    def _restored(self, snapshot: Snapshot) -> L:
        if snapshot.limits != self._log.limits:
            raise SnapshotDamaged(f"a snapshot of {snapshot.limits} is not of this journal")
        machine = self._machine_type.restore(snapshot.limits, snapshot.image)
        if machine.state_hash() != snapshot.state_hash:
            raise SnapshotDamaged(f"the state after {snapshot.sequence} has another hash")
        return machine

    def _machine_before(self, first: int) -> L:
        """Return the engine as it was before ``first``, made from what is on disk alone."""
        machine, start = self._machine_type(self._log.limits), None
        for name in self._snapshots.names() if self._snapshots else ():
            assert self._snapshots is not None
            if sequence_of(name) < first:
                try:
                    snapshot = self._snapshots.read(name)
                    machine, start = self._restored(snapshot), snapshot.position
                    break
                except SnapshotDamaged as refused:
                    self.snapshots_refused.append(str(refused))
        for batches in gathered_batches(_before(first, self._log, start)):
            machine.apply(self._poison.applied_to(joined_batches(batches).commands))
        return machine


def _before(first: int, log: Log, start: Position | None) -> Iterator[Batch]:
    """Yield the batches past ``start`` that end before ``first``."""
    if first == 1 or (start is not None and start.sequence == first - 1):
        return
    for batch in log.read(start):
        yield batch
        if batch.header.last_sequence == first - 1:
            return
