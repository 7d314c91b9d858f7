"""How far was the journal synced, as far as a cheap note can tell?

One sector beside the journal, written after each sync and not synced itself: a second sync would
double every acknowledgement's wait. It can be late, never early. After an orderly stop and after
a killed process it is exact; then the last batch is not ambiguous either. After a power cut it is
a few seconds old at worst, and what it says still holds.
"""

import struct
from hashlib import blake2b
from typing import Final, NamedTuple

from engine.journal.format import SECTOR
from engine.journal.storage import ReadStorage, Storage

MARK_NAME: Final = "durable"
_MARK: Final = struct.Struct("<8sQ32s")
_MAGIC: Final = b"TILLMARK"
_CHECK_SIZE: Final = 16


class Mark(NamedTuple):
    """Everything up to ``sequence`` was synced, and ``head`` was the chained hash after it."""

    sequence: int
    head: bytes


def read_mark(storage: ReadStorage) -> Mark:
    """Return what the note says; sequence 0 when there is none that can be read."""
    raw = storage.read(MARK_NAME) if MARK_NAME in storage.names() else b""
    body = raw[: _MARK.size]
    check = raw[_MARK.size : _MARK.size + _CHECK_SIZE]
    if len(body) < _MARK.size or blake2b(body, digest_size=_CHECK_SIZE).digest() != check:
        return Mark(0, b"")
    _, sequence, head = _MARK.unpack(body)
    return Mark(sequence, head)


def create_mark(storage: Storage) -> None:
    """Make room for the note."""
    storage.create(MARK_NAME)
    storage.allocate(MARK_NAME, SECTOR)


def write_mark(storage: Storage, mark: Mark) -> None:
    """Write the note over the one before."""
    body = _MARK.pack(_MAGIC, mark.sequence, mark.head)
    storage.write(MARK_NAME, 0, body + blake2b(body, digest_size=_CHECK_SIZE).digest())
