"""In which order do commands happen?

One writer. A batch is stamped with dense sequences and a clock that never runs backwards, written
to the journal, synced, and only then applied: ``write`` may run on a thread of its own (it waits
for the disk), ``apply`` belongs to the thread that owns the engine.

A command whose application fails an assertion is *poison*: it is put on a list, the engine is made
anew from what is on disk, and in the command's place its market is halted.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from engine.commands import COMMAND, Commands
from engine.events import Events
from engine.frames import Committed
from engine.journal.format import Batch, Heads
from engine.journal.journal import Journal
from engine.journal.poison import PoisonList
from engine.journal.reader import Position, Reader
from engine.journal.snapshot import Columns, Snapshot, SnapshotDamaged, SnapshotFiles, sequence_of
from engine.types import Limits

REPLAY_BATCH: Final = 4096


class Machine(Protocol):
    """The engine, core or reference."""

    @property
    def sequence(self) -> int:
        """Return the sequence of the last command begun."""

    def apply(self, commands: Commands) -> Events:
        """Apply stamped commands in order and return their events.

        After an AssertionError the machine is good for nothing but its ``sequence``.
        """

    def columns(self) -> Columns:
        """Return all of the state as arrays."""

    def state_hash(self) -> bytes:
        """Return 32 bytes that stand for the whole state."""


M = TypeVar("M", bound=Machine)
M_co = TypeVar("M_co", bound=Machine, covariant=True)


class MachineType(Protocol[M_co]):
    """How a machine begins; the class of an engine is one."""

    def __call__(self, limits: Limits) -> M_co:
        """Return the machine before the first command."""

    def restore(self, limits: Limits, columns: Columns, /) -> M_co:
        """Return the machine whose ``columns`` these were."""


class Submission(NamedTuple):
    """A command before it has a place in history, with its encoded attachment."""

    command: np.void
    attachment: bytes = b""


class Written(NamedTuple):
    """A batch that is on disk and not applied yet."""

    commands: Commands
    attachments: Sequence[bytes]
    heads: Heads


class Sequencer(Generic[M]):
    """Stamps, journals and applies."""

    def __init__(
        self,
        machine_type: MachineType[M],
        journal: Journal,
        now_ns: Callable[[], int],
        snapshots: SnapshotFiles | None = None,
    ) -> None:
        """Without ``snapshots`` every start and every poisoned command replays all history."""
        self._machine_type = machine_type
        self._journal = journal
        self._now_ns = now_ns
        self._snapshots = snapshots
        self._time_ns = 0
        self._poison = PoisonList(journal.storage)
        self._applied: Position | None = None
        self.machine = machine_type(journal.limits)
        """The engine as it is now; another object after a start or a poisoned command."""
        self.resumed_at = 0
        """The sequence of the snapshot that ``resume`` has found."""
        self.snapshots_refused: list[str] = []
        """Why ``resume`` has passed over a snapshot, in words."""

    @property
    def sequence(self) -> int:
        """Return the last sequence written."""
        return self._journal.sequence

    @property
    def applied(self) -> int:
        """Return the last sequence the engine has carried out."""
        return self._applied.sequence if self._applied else 0

    @property
    def poisoned(self) -> list[int]:
        """Return the sequences that the engine could not carry out."""
        return self._poison.sequences

    @property
    def is_low(self) -> bool:
        """Return whether the disk is nearly full: then no new orders should be written."""
        return self._journal.is_low

    @property
    def ambiguous(self) -> list[str]:
        """Return the files of batches that may have been acknowledged and cannot be read."""
        return self._journal.ambiguous_names()

    def resume(self, consumers: Collection[str]) -> Snapshot | None:
        """Go on from the newest sound snapshot that remembers exactly ``consumers``, if any.

        Call it before ``recover``, which then gives only what came after.
        """
        for name in self._snapshots.names() if self._snapshots else ():
            assert self._snapshots is not None
            try:
                snapshot = self._snapshots.read(name)
                if set(snapshot.consumers) != set(consumers):
                    raise SnapshotDamaged(f"{name} remembers {sorted(snapshot.consumers)}")
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
        for batches in _gathered(self._journal.recover(self._applied)):
            written = _joined(batches)
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
        first = self._journal.sequence + 1
        commands["sequence"] = np.arange(first, first + len(commands))
        heads = self._journal.append(commands, attachments)
        self._time_ns = time_ns
        self._journal.sync()
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
            except AssertionError:
                failed = self.machine.sequence
                if not first <= failed <= last or failed in self._poison.sequences:
                    raise
                self._poison.add(self._journal.storage, written.commands[failed - first])
                commands = self._poison.applied_to(written.commands)
                self.machine = self._machine_before(first)
        self._applied = Position(last, written.heads[-1])
        return Committed(first, commands, written.attachments, events, written.heads)

    def commit(self, submissions: Iterable[Submission]) -> Committed:
        """Write and apply in one go, for callers without a second thread."""
        batch = list(submissions)
        commands = np.array([submission.command for submission in batch], COMMAND)
        return self.apply(self.write(commands, [submission.attachment for submission in batch]))

    def snapshot(self, consumers: Mapping[str, bytes]) -> Snapshot:
        """Return all that is in memory now; ``consumers`` is what they remember now."""
        assert self._applied is not None, "there is nothing to keep yet"
        return Snapshot(
            self._applied.sequence,
            self._time_ns,
            self._applied.head,
            self._journal.limits,
            self.machine.state_hash(),
            self.machine.columns(),
            consumers,
        )

    def _restored(self, snapshot: Snapshot) -> M:
        if snapshot.limits != self._journal.limits:
            raise SnapshotDamaged(f"a snapshot of {snapshot.limits} is not of this journal")
        machine = self._machine_type.restore(snapshot.limits, snapshot.columns)
        if machine.state_hash() != snapshot.state_hash:
            raise SnapshotDamaged(f"the state after {snapshot.sequence} has another hash")
        return machine

    def _machine_before(self, first: int) -> M:
        """Return the engine as it was before ``first``, made from what is on disk alone."""
        machine, start = self._machine_type(self._journal.limits), None
        for name in self._snapshots.names() if self._snapshots else ():
            assert self._snapshots is not None
            if sequence_of(name) < first:
                try:
                    snapshot = self._snapshots.read(name)
                    machine, start = self._restored(snapshot), snapshot.position
                    break
                except SnapshotDamaged as refused:
                    self.snapshots_refused.append(str(refused))
        for batches in _gathered(_before(first, self._journal, start)):
            machine.apply(self._poison.applied_to(_joined(batches).commands))
        return machine


def _before(first: int, journal: Journal, start: Position | None) -> Iterator[Batch]:
    """Yield the batches past ``start`` that end before ``first``."""
    if first == 1 or (start is not None and start.sequence == first - 1):
        return
    for batch in Reader(journal.storage).batches(start):
        yield batch
        if batch.header.last_sequence == first - 1:
            return


def _gathered(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Yield batches in runs of some thousand commands: small ones cost as much as large ones."""
    run: list[Batch] = []
    count = 0
    for batch in batches:
        run.append(batch)
        count += batch.header.record_count
        if count >= REPLAY_BATCH:
            yield run
            run, count = [], 0
    if run:
        yield run


def _joined(batches: list[Batch]) -> Written:
    """Return consecutive batches as one."""
    if len(batches) == 1:
        return Written(batches[0].commands, batches[0].attachments, batches[0].heads)
    return Written(
        np.concatenate([batch.commands for batch in batches]),
        [attachment for batch in batches for attachment in batch.attachments],
        Heads.joined([batch.heads for batch in batches]),
    )
