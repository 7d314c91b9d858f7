"""When is the state kept, and how without stopping for it?

A fork: the child has all of memory as it was between two batches, engine and consumers alike, and
as much time as it needs; the parent is held up for as long as the kernel copies page tables. The
child writes the snapshot, reads it back, makes an engine of it and compares the state hash, and
only then deletes what is more than needed.
"""

import gc
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Generic, Protocol

import structlog

from engine.journal import DirectoryStorage, SnapshotFiles
from engine.journal.snapshot import SnapshotDamaged, prune_snapshots, write_snapshot
from engine.sequencer.sequencer import L, LastingMachineType, Sequencer

PERIOD_NS: Final = 60 * 10**9
COMMANDS_MAX: Final = 2_000_000
"""A snapshot is due after so long, or after so many commands, if anything has happened."""

CHILD_SECONDS_MAX: Final = 600
"""What the child has for its work. A child of a process with threads can stand still for ever, on
a lock that one of them held; nothing else would end it, and whoever closes waits for it."""

_NS_PER_US: Final = 1_000
_NICE: Final = 19
_DESCRIPTORS_MAX: Final = 1 << 16


class Readers(Protocol):
    """Whoever knows the consumers of the log; the pipeline."""

    def prepare(self) -> None:
        """Show every consumer what it has not seen of what is applied, and have it noted in what
        they keep outside."""

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return what the checkpointed consumers remember, by name."""


class Snapshotter(Generic[L]):
    """Keeps the state of one sequencer and its consumers; call ``turn`` between batches."""

    def __init__(
        self,
        sequencer: Sequencer[L],
        readers: Readers,
        quiet: Callable[[], AbstractContextManager[None]],
        directory: Path,
        machine_type: LastingMachineType[L],
        now_ns: Callable[[], int],
        child_seconds_max: int = CHILD_SECONDS_MAX,
    ) -> None:
        """``quiet`` holds every lock that ``readers.checkpoints`` needs and another thread may
        hold."""
        self._sequencer = sequencer
        self._readers = readers
        self._quiet = quiet
        self._directory = directory
        self._machine_type = machine_type
        self._now_ns = now_ns
        self._child_seconds_max = child_seconds_max
        self._last_ns = now_ns()
        self._child: int | None = None
        self._child_sequence = 0
        self._log = structlog.get_logger("snapshots")
        self.sequence = 0
        """The sequence of the newest sound snapshot, as far as we know."""
        self.pause_ns = 0
        """How long the last fork held everything up."""
        self.failures = 0

    @property
    def is_busy(self) -> bool:
        """Return whether a child is at work."""
        return self._child is not None

    def turn(self) -> None:
        """Take a snapshot if one is due; see what became of the last. Never waits."""
        if self._child is not None:
            self._reap(os.WNOHANG)
        commands = self._sequencer.applied - self.sequence
        is_old = self._now_ns() - self._last_ns >= PERIOD_NS
        if self._child is None and (commands >= COMMANDS_MAX or (commands and is_old)):
            self.begin()

    def begin_if_idle(self) -> bool:
        """Begin a snapshot of this very moment unless a child is at work; return whether it was."""
        if self._child is not None:
            self._reap(os.WNOHANG)
        if self._child is not None:
            return False
        self.begin()
        return True

    def begin(self) -> None:
        """Begin a snapshot of this very moment."""
        assert self._child is None, "one at a time"
        self._last_ns, self._child_sequence = self._now_ns(), self._sequencer.applied
        self._readers.prepare()
        began_ns = time.perf_counter_ns()
        with self._quiet(), warnings.catch_warnings():
            # Python warns of forks beside threads, for what they may have locked: the child below
            # takes no lock that a thread of ours holds, and ends without returning.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            self._keep_and_exit()
        self.pause_ns = time.perf_counter_ns() - began_ns
        self._child = child

    def last(self) -> None:
        """Keep the state as it ends, if anything has happened since the newest snapshot: then the
        next start has nothing to replay. Waits for the child, at most ``CHILD_SECONDS_MAX``."""
        self.close()
        if self._sequencer.applied > self.sequence:
            self.begin()
            self.close()

    def close(self) -> None:
        """Wait for a snapshot that is under way."""
        if self._child is not None:
            self._reap(0)

    def _reap(self, options: int) -> None:
        assert self._child is not None
        child, status = os.waitpid(self._child, options)
        if child == 0:
            return
        self._child = None
        if status == 0:
            self.sequence = self._child_sequence
            self._log.info("snapshot", sequence=self.sequence, pause_us=self.pause_ns // _NS_PER_US)
        else:
            self.failures += 1
            self._log.error("no snapshot", sequence=self._child_sequence, status=status)

    def _keep_and_exit(self) -> None:
        """In the child: keep everything, check it, end. Nothing may return from here."""
        status = 1
        try:
            # With the default action the kernel ends us, whatever we stand still on.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(self._child_seconds_max)
            os.nice(_NICE)
            gc.disable()
            # Above all the journal's lock, which must end with the parent, and every socket.
            os.closerange(3, _DESCRIPTORS_MAX)
            keep(self._sequencer, self._readers.checkpoints(), self._directory, self._machine_type)
            status = 0
        finally:
            # Whatever it was, it must not run on as a second us.
            if status:
                os.write(2, traceback.format_exc().encode())
            os._exit(status)


def keep(
    sequencer: Sequencer[L],
    memories: Mapping[str, bytes],
    directory: Path,
    machine_type: LastingMachineType[L],
) -> str:
    """Write a snapshot of now into ``directory``, prove it by restoring it; return its name.

    Raises ``SnapshotDamaged`` when what was read back makes another state.
    """
    storage = DirectoryStorage(directory)
    try:
        snapshot = sequencer.snapshot(memories)
        name = write_snapshot(storage, snapshot)
        again = SnapshotFiles(storage).read(name)
        state_hash = machine_type.restore(again.limits, again.image).state_hash()
        if state_hash != snapshot.state_hash:
            storage.remove(name)
            raise SnapshotDamaged(f"{name} restores to another state")
        prune_snapshots(storage)
    finally:
        storage.close()
    return name
