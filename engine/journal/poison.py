"""Which commands stopped the engine, and are passed over for ever?

A short list beside the journal, each entry with the hash of its command, all of it hashed. It is
written aside, synced and renamed before anything that follows from it happens, because history
means something else without it: it belongs to every copy of the journal.
"""

import struct
from hashlib import blake2b
from typing import Final

import numpy as np

from engine.commands import Commands, Kind
from engine.journal.format import HASH_SIZE, JournalCorrupt
from engine.journal.storage import ReadStorage, Storage

POISON_NAME: Final = "poisoned"
_ASIDE: Final = POISON_NAME + ".new"
_MAGIC: Final = b"TILLPOIS"
_ENTRY: Final = struct.Struct(f"<Q{HASH_SIZE}s")


class PoisonList:
    """The sequences whose commands the engine could not carry out."""

    def __init__(self, storage: ReadStorage) -> None:
        """Read the list. Raises ``JournalCorrupt`` when it is damaged."""
        self._hashes: dict[int, bytes] = {}
        if POISON_NAME in storage.names():
            self._unpack(storage.read(POISON_NAME))

    @property
    def sequences(self) -> list[int]:
        """Return all poisoned sequences, oldest first."""
        return sorted(self._hashes)

    def add(self, storage: Storage, row: np.void) -> None:
        """Remember one more command for ever; durable on return."""
        self._hashes[int(row["sequence"])] = _hash_of(row)
        packed = self._pack()
        storage.create(_ASIDE)
        storage.allocate(_ASIDE, len(packed))
        storage.write(_ASIDE, 0, packed)
        storage.sync(_ASIDE)
        storage.rename(_ASIDE, POISON_NAME)

    def applied_to(self, commands: Commands) -> Commands:
        """Return ``commands`` with the poisoned ones turned into ``POISON``.

        Raises ``JournalCorrupt`` when the list was made for another command of that sequence.
        """
        first, last = int(commands["sequence"][0]), int(commands["sequence"][-1])
        found = [sequence for sequence in self._hashes if first <= sequence <= last]
        if not found:
            return commands
        changed = commands.copy()
        for sequence in found:
            row = changed[sequence - first]
            if _hash_of(row) != self._hashes[sequence]:
                raise JournalCorrupt(POISON_NAME, 0, f"sequence {sequence} is another command")
            row["kind"] = Kind.POISON
        return changed

    def _pack(self) -> bytes:
        entries = (_ENTRY.pack(sequence, self._hashes[sequence]) for sequence in self.sequences)
        body = _MAGIC + b"".join(entries)
        return body + blake2b(body, digest_size=HASH_SIZE).digest()

    def _unpack(self, raw: bytes) -> None:
        body, check = raw[:-HASH_SIZE], raw[-HASH_SIZE:]
        if not body.startswith(_MAGIC) or blake2b(body, digest_size=HASH_SIZE).digest() != check:
            raise JournalCorrupt(POISON_NAME, 0, "the list of poisoned commands does not verify")
        self._hashes.update(_ENTRY.iter_unpack(body[len(_MAGIC) :]))


def _hash_of(row: np.void) -> bytes:
    return blake2b(row.tobytes(), digest_size=HASH_SIZE).digest()
