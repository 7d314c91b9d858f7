"""Write the golden journal of a release: ``python -m tests.journal.makegolden DIRECTORY``.

Once for each released version, never again: what it wrote then must be read and mean the same for
ever. A traders's hostile day over several files, with attachments and a poisoned command.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from engine.commands import Kind
from engine.core import Engine
from engine.journal import DirectoryStorage, Journal
from engine.sequencer.sequencer import Sequencer
from settlement.audit.export import export
from tests.property.workload import WORLD, Traders

SEED = 5
COMMANDS = 1_500
FILE_SIZE_MAX = 40_000
POISONED = 900


class Allergic(Engine):
    """An engine that fails an assertion on one sequence."""

    failed = None

    @property
    def sequence(self):
        return super().sequence if self.failed is None else self.failed

    def apply(self, commands):
        bad = np.flatnonzero((commands["sequence"] == POISONED) & (commands["kind"] != Kind.POISON))
        if bad.size:
            super().apply(commands[: bad[0]])
            self.failed = POISONED
            raise AssertionError("a bug of the engine")
        return super().apply(commands)


def live(directory):
    """Write a traders's day into a new journal in ``directory``."""
    traders, now = Traders(SEED), [0]
    storage = DirectoryStorage(directory)
    journal = Journal(storage, WORLD, FILE_SIZE_MAX)
    sequencer = Sequencer(Allergic, journal, lambda: now[0])
    assert list(sequencer.recover()) == []
    batch = traders.opening()
    while True:
        now[0] = max(now[0], int(batch["time_ns"].max()))
        notes = [b"%d" % n * (n % 7) for n in batch["sequence"].tolist()]
        committed = sequencer.apply(sequencer.write(batch, notes))
        traders.learn(committed.commands, committed.events)
        if traders.sequence >= COMMANDS:
            break
        batch = traders.batch(37)
    assert sequencer.poisoned == [POISONED]
    journal.close()
    storage.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as aside:
        live(Path(aside))
        export(Path(aside), Path(sys.argv[1]), sys.stdout.write)
