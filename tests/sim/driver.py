"""What does a small exchange do between two crashes? It rotates, keeps snapshots, recovers.

The real journal and sequencer with a machine without rules, over any ``Storage``. ``Driver`` notes
what it has shown; a test ends it anywhere and asks the next one what is left.
"""

from typing import Any

from engine.journal import Journal, SnapshotFiles
from engine.journal.snapshot import prune_snapshots, write_snapshot
from engine.sequencer.sequencer import Sequencer
from tests.journal.fixtures import LIMITS, Echo, batch_from

ROOM_STEP = 1024
"""So little that a file is one batch long and every second batch rotates."""

Entries = list[tuple[int, int, bytes]]
"""(sequence, amount, attachment) of every command, oldest first."""


class Driver:
    """One process."""

    def __init__(
        self,
        storage: Any,
        snapshots: Any = None,
        *,
        file_size: int = 1,
        room_step: int = ROOM_STEP,
        journal: type[Journal] = Journal,
        sequencer: type[Sequencer[Any]] = Sequencer,
    ) -> None:
        self.journal = journal(storage, LIMITS, file_size, room_step=room_step)
        files = None if snapshots is None else SnapshotFiles(snapshots)
        self.sequencer = sequencer(Echo, self.journal, lambda: 7, files)
        self.snapshots = snapshots
        self.entries: Entries = []
        """All that this process has shown; what a snapshot covers is not shown again."""

    def start(self) -> "Driver":
        """Recover; return itself."""
        snapshot = self.sequencer.resume(()) if self.snapshots is not None else None
        self.first = 1 if snapshot is None else snapshot.sequence + 1
        for committed in self.sequencer.recover():
            self._show(committed)
        return self

    def commit(self, count: int) -> None:
        """One batch: when this returns, all of it was acknowledged."""
        batch = batch_from(self.sequencer.sequence + 1, count)
        self._show(self.sequencer.commit(batch))

    def keep(self) -> None:
        """Write a snapshot."""
        write_snapshot(self.snapshots, self.sequencer.snapshot({}))
        prune_snapshots(self.snapshots)

    def _show(self, committed: Any) -> None:
        self.entries += [
            (entry.sequence, entry.command.amount, bytes(entry.attachment))
            for entry in committed.entries
        ]


def expected(first: int, last: int) -> Entries:
    """Return what ``Driver.entries`` must be for sequences ``first`` to ``last``."""
    return [(number, number, b"note %d" % number) for number in range(first, last + 1)]
