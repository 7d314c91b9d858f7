"""What do tests put under a journal and behind it? A disk in memory, a machine without rules."""

import numpy as np

from engine.commands import Kind, command
from engine.events import EVENT
from engine.journal import Journal, StorageFull
from engine.journal.format import FILE_START, unpack_batch_header
from engine.journal.mark import MARK_NAME
from engine.journal.reader import journal_names
from engine.sequencer.sequencer import Sequencer, Submission
from engine.types import Limits


class MemoryStorage:
    """A disk in memory that remembers each file as it was when it was last synced."""

    def __init__(self):
        self.files, self.synced = {}, {}
        self.free = 500_000
        self.room = 1 << 40
        """How many bytes all files may have."""

    def copy(self):
        """Return another disk with what is on this one now."""
        other = MemoryStorage()
        other.files = {name: bytearray(raw) for name, raw in self.files.items()}
        other.synced = dict(self.synced)
        return other

    def names(self):
        return sorted(self.files)

    def size(self, name):
        return len(self.files[name])

    def read(self, name):
        return bytes(self.files[name])

    def create(self, name):
        self.files[name], self.synced[name] = bytearray(), b""

    def allocate(self, name, size):
        grows = max(0, size - len(self.files[name]))
        if grows and sum(map(len, self.files.values())) + grows > self.room:
            raise StorageFull(f"no room for {name}")
        self.files[name].extend(bytes(grows))

    def write(self, name, offset, chunk):
        self.allocate(name, offset + len(chunk))
        self.files[name][offset : offset + len(chunk)] = chunk

    def sync(self, name):
        self.synced[name] = bytes(self.files[name])

    def truncate(self, name, size):
        del self.files[name][size:]
        self.sync(name)

    def rename(self, name, new_name):
        self.files[new_name], self.synced[new_name] = self.files.pop(name), self.synced.pop(name)

    def remove(self, name):
        del self.files[name], self.synced[name]

    def sync_names(self):
        """Names here are never lost."""

    def free_ppm(self):
        return self.free


class Echo:
    """A machine without rules: one event row a command, and the last sequence for a state."""

    def __init__(self, limits):
        self.sequence = 0

    @classmethod
    def restore(cls, limits, image):
        machine = cls(limits)
        machine.sequence = int(image["sequence"][0])
        return machine

    def apply(self, commands):
        self.sequence = int(commands["sequence"][-1])
        events = np.zeros(len(commands), EVENT)
        events["sequence"] = commands["sequence"]
        return events

    def image(self):
        return {"sequence": np.array([self.sequence])}

    def state_hash(self):
        return self.sequence.to_bytes(32, "little")


LIMITS = Limits(tokens=2, markets=1, accounts=4, orders=16, ladder_ticks=128, generations=5)
ROOM_STEP = 4096
"""Little room at a time, so that a test's disk stays small."""


def sequencer_on(storage, machine_type=Echo, now_ns=lambda: 7, snapshots=None, **bounds):
    """Return a sequencer over ``storage``; ``recover`` has not been called."""
    journal = Journal(storage, LIMITS, room_step=ROOM_STEP, **bounds)
    return Sequencer(machine_type, journal, now_ns, snapshots)


def batch_from(serial, count):
    """Return ``count`` submissions that differ by their number, from ``serial`` on."""
    return [
        Submission(command(Kind.CLOCK, amount=number), b"note %d" % number)
        for number in range(serial, serial + count)
    ]


def written(counts, storage=None, **bounds):
    """Return storage after committing batches of ``counts`` commands."""
    storage = storage or MemoryStorage()
    sequencer = sequencer_on(storage, **bounds)
    assert list(sequencer.recover()) == []
    for count in counts:
        sequencer.commit(batch_from(sequencer.sequence + 1, count))
    return storage


def recovered(storage, **bounds):
    """Return every entry on ``storage``, read by a new sequencer."""
    return [entry for batch in sequencer_on(storage, **bounds).recover() for entry in batch.entries]


def without_mark(storage):
    """Forget how far the journal was synced, as a power cut may."""
    storage.files.pop(MARK_NAME, None)
    return storage


def batches_of(storage):
    """Return (name, offset, header) of every batch on ``storage``."""
    found = []
    for name in journal_names(storage):
        raw, offset = storage.read(name), FILE_START
        while (header := unpack_batch_header(raw, offset)) is not None:
            found.append((name, offset, header))
            offset += header.size
    return found
