"""What do tests put under a journal and behind it? A disk in memory, a machine without rules."""

import numpy as np

from engine.events import EVENT


class MemoryStorage:
    """A disk in memory that remembers each file as it was when it was last synced."""

    def __init__(self):
        self.files, self.synced = {}, {}
        self.free = 500_000

    def names(self):
        return sorted(self.files)

    def size(self, name):
        return len(self.files[name])

    def read(self, name):
        return bytes(self.files[name])

    def create(self, name):
        self.files[name] = bytearray()
        self.sync(name)

    def allocate(self, name, size):
        self.files[name].extend(bytes(max(0, size - len(self.files[name]))))

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

    def free_ppm(self):
        return self.free


class Echo:
    """A machine without rules: one event row a command, and the last sequence for a state."""

    def __init__(self, limits):
        self.sequence = 0

    @classmethod
    def restore(cls, limits, columns):
        machine = cls(limits)
        machine.sequence = int(columns["sequence"][0])
        return machine

    def apply(self, commands):
        self.sequence = int(commands["sequence"][-1])
        events = np.zeros(len(commands), EVENT)
        events["sequence"] = commands["sequence"]
        return events

    def columns(self):
        return {"sequence": np.array([self.sequence])}

    def state_hash(self):
        return self.sequence.to_bytes(32, "little")
