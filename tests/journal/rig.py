"""What do tests put under a journal and behind it? A disk in memory, a machine without rules."""

import numpy as np

from engine.events import EVENT


class MemoryStorage:
    """A disk in memory that remembers how much of each file was synced."""

    def __init__(self):
        self.files, self.synced = {}, {}

    def names(self):
        return sorted(self.files)

    def read(self, name):
        return bytes(self.files[name])

    def append(self, name, chunk):
        self.files.setdefault(name, bytearray()).extend(chunk)

    def sync(self, name):
        self.synced[name] = len(self.files[name])

    def truncate(self, name, size):
        del self.files[name][size:]
        self.synced[name] = size


class Echo:
    """A machine without rules: one event row a command."""

    def apply(self, commands):
        events = np.zeros(len(commands), EVENT)
        events["sequence"] = commands["sequence"]
        return events
