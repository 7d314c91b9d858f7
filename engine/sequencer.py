"""In which order do commands happen?

One writer. A batch is stamped with dense sequences and a clock that never runs backwards, written
to the journal, synced, and only then applied: ``write`` may run on a thread of its own (it waits
for the disk), ``apply`` belongs to the thread that owns the engine.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np

from engine.commands import COMMAND, Commands
from engine.events import Events
from engine.frames import Committed
from engine.journal import Journal, Record

REPLAY_BATCH: Final = 4096


class Machine(Protocol):
    """The engine, core or reference."""

    def apply(self, commands: Commands) -> Events:
        """Apply stamped commands in order and return their events."""


class Submission(NamedTuple):
    """A command before it has a place in history, with its encoded attachment."""

    command: np.void
    attachment: bytes = b""


class Written(NamedTuple):
    """A batch that is on disk and not applied yet."""

    commands: Commands
    attachments: list[bytes]
    heads: list[bytes]


class Sequencer:
    """Stamps, journals and applies."""

    def __init__(self, machine: Machine, journal: Journal, now_ns: Callable[[], int]) -> None:
        self._machine = machine
        self._journal = journal
        self._now_ns = now_ns
        self._time_ns = 0

    @property
    def sequence(self) -> int:
        """Return the last sequence written."""
        return self._journal.sequence

    def recover(self) -> Iterator[Committed]:
        """Replay the journal through the engine, batch by batch, oldest first."""
        records: list[Record] = []
        for record in self._journal.recover():
            records.append(record)
            if len(records) == REPLAY_BATCH:
                yield self._replay(records)
                records = []
        if records:
            yield self._replay(records)

    def write(self, submissions: Iterable[Submission]) -> Written:
        """Give a batch its place in history; return when it is on disk.

        Raises OSError when the disk fails: what was acknowledged before stands, nothing of this
        batch may be acknowledged, and the process must end.
        """
        batch = list(submissions)
        commands = np.array([submission.command for submission in batch], COMMAND)
        self._time_ns = max(self._time_ns, self._now_ns())
        commands["time_ns"] = self._time_ns
        first = self._journal.sequence + 1
        commands["sequence"] = np.arange(first, first + len(batch))
        attachments = [submission.attachment for submission in batch]
        raw = commands.tobytes()
        rows = [raw[i : i + COMMAND.itemsize] for i in range(0, len(raw), COMMAND.itemsize)]
        heads = self._journal.append(rows, attachments)
        self._journal.sync()
        return Written(commands, attachments, heads)

    def apply(self, written: Written) -> Committed:
        """Let the engine carry out what ``write`` has put on disk."""
        return Committed(
            int(written.commands["sequence"][0]),
            written.commands,
            written.attachments,
            self._machine.apply(written.commands),
            written.heads,
        )

    def commit(self, submissions: Iterable[Submission]) -> Committed:
        """Write and apply in one go, for callers without a second thread."""
        return self.apply(self.write(submissions))

    def _replay(self, records: list[Record]) -> Committed:
        commands = np.frombuffer(b"".join(record.command for record in records), COMMAND).copy()
        self._time_ns = max(self._time_ns, int(commands["time_ns"].max()))
        return self.apply(
            Written(
                commands,
                [record.attachment for record in records],
                [record.head for record in records],
            )
        )
