"""A snapshot that the disk cannot read is passed over like one that was damaged.

Found by strace: EIO while the newest snapshot was read ended every start, with two older ones and
the whole journal at hand.
"""

import errno

from engine.journal import SnapshotFiles
from engine.journal.snapshot import write_snapshot
from tests.journal.fixtures import MemoryStorage, batch_from, sequencer_on


class BadSector(MemoryStorage):
    """A disk that cannot read one of its files."""

    bad = ""

    def read(self, name):
        if name == self.bad:
            raise OSError(errno.EIO, "Input/output error", name)
        return super().read(name)


def test_the_next_older_one_takes_its_place():
    storage, kept = MemoryStorage(), BadSector()
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    for count in (2, 3):
        sequencer.commit(batch_from(sequencer.sequence + 1, count))
        newest = write_snapshot(kept, sequencer.snapshot({}))
    kept.bad = newest

    again = sequencer_on(storage, snapshots=SnapshotFiles(kept))
    assert again.resume(()).sequence == 2
    assert [why for why in again.snapshots_refused if newest in why and "Input" in why]
    assert [batch.last_sequence for batch in again.recover()] == [5]
