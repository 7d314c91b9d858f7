"""Is the record of what happened in good order, and who is told if it is not?

Looks twice a second: room on the disk, snapshots, poisoned commands, a last batch to review. What
it finds goes to the log once, and to ``/readyz`` and the metrics for as long as it lasts.
"""

from typing import Any, Final

import structlog

from engine.journal import Journal
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import Snapshotter
from gateway.http.metrics import Metrics

SNAPSHOT_FAILURES_MAX: Final = 3


class Keeper:
    """Watches one journal."""

    def __init__(
        self,
        sequencer: Sequencer[Any],
        journal: Journal,
        snapshotter: Snapshotter[Any],
        metrics: Metrics,
    ) -> None:
        self._sequencer = sequencer
        self._journal = journal
        self._snapshotter = snapshotter
        self._metrics = metrics
        self._log = structlog.get_logger("keeper")
        self._poisoned_known = 0
        self._was_low = False
        self._ambiguous: list[str] = []

    def started(self) -> None:
        """Say what recovery has found; call it once after it."""
        for refused in self._sequencer.snapshots_refused:
            self._log.error("snapshot passed over", why=refused)
        tail = self._journal.repaired
        if tail is not None:
            self._log.warning(
                "last batch was damaged",
                damage=tail.damage.value,
                file=tail.name,
                offset=tail.offset,
                first_sequence=tail.first_sequence,
                size=len(tail.raw),
            )
        self._ambiguous = self._sequencer.ambiguous
        for name in self._ambiguous:
            self._log.critical("acknowledged or not? only cancels are taken", file=name)
        self._snapshotter.sequence = self._sequencer.resumed_at
        self._look()

    async def turn(self) -> None:
        """Look at everything once."""
        self._journal.watch_room()
        self._snapshotter.turn()
        self._look()

    def restrictions(self) -> list[str]:
        """Return in plain words what is not taken now, and what an operator must know."""
        found = []
        if self._journal.is_low:
            found.append("the disk is nearly full: no new orders, cancels only")
        found += [
            f"{name}: the last batch before the crash may have been acknowledged: cancels only; "
            "see `tillbook journal repair-tail`"
            for name in self._ambiguous
        ]
        found += [
            f"command {sequence} stopped the engine and was passed over; its market is halted"
            for sequence in self._sequencer.poisoned
        ]
        if self._snapshotter.failures >= SNAPSHOT_FAILURES_MAX:
            found.append(f"{self._snapshotter.failures} snapshots have failed; see the log")
        return found

    def _look(self) -> None:
        poisoned = self._sequencer.poisoned
        for sequence in poisoned[self._poisoned_known :]:
            self._log.critical("command stopped the engine, market halted", sequence=sequence)
        self._poisoned_known = len(poisoned)
        if self._journal.is_low != self._was_low:
            self._was_low = self._journal.is_low
            self._log.error("disk is nearly full" if self._was_low else "disk has room again")
        self._metrics.poisoned.set(len(poisoned))
        self._metrics.disk_low.set(self._journal.is_low)
        self._metrics.snapshot_sequence.set(self._snapshotter.sequence)
        self._metrics.snapshot_pause.set(self._snapshotter.pause_ns / 10**9)
        self._metrics.snapshot_failures.set(self._snapshotter.failures)
