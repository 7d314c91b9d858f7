"""How long from the start of a process to its first accepted order? Run by ``bench_recovery``.

``python -m benchmarks.recoverybench DIRECTORY``: everything a start does, imports and kernels
included, then one order, written, synced and applied. Prints seconds and commands replayed.
"""

import json
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()


def main() -> None:
    """Start, replay, accept one order, print."""
    from engine.commands import Kind, command
    from engine.core import Engine
    from engine.events import EventKind
    from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
    from engine.sequencer.sequencer import Sequencer, Submission
    from engine.types import Limits

    directory = Path(sys.argv[1])
    storage = DirectoryStorage(directory / "journal")
    snapshots = SnapshotFiles(DirectoryReader(directory / "snapshots"))
    sequencer = Sequencer(Engine, Journal(storage, Limits()), lambda: 1, snapshots)
    snapshot = sequencer.resume([])
    assert snapshot is not None, sequencer.snapshots_refused
    replayed = sum(len(batch.commands) for batch in sequencer.recover())
    order = command(
        Kind.PLACE, price_ticks=1, amount=1, fee_cap_ppm=10_000, expiry_ns=2**62, account=1
    )
    committed = sequencer.commit([Submission(order)])
    seconds = time.perf_counter() - BEGAN
    assert committed.events[0]["kind"] == EventKind.ACCEPTED, committed.events
    sys.stdout.write(json.dumps({"seconds": seconds, "replayed": replayed}) + "\n")


if __name__ == "__main__":
    main()
