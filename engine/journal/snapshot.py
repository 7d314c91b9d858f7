"""How is the state after one sequence kept, so that a start need not replay everything?

    "TILLSNAP", version u16, engine u16, size of the table u32
    table          msgpack: sequence, time, head, limits, state hash, names and sizes of the parts
    parts          each array of the engine as .npy, each consumer's memory as it wrote it
    checksum       blake2b-256 over all of this

Written aside, synced, renamed, read back. Three are kept: a damaged one is passed over for the
next older, and without any the whole journal is replayed.
"""

import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from io import BytesIO
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.journal.format import ENGINE_VERSION, HASH_SIZE
from engine.journal.reader import Position
from engine.journal.storage import ReadStorage, Storage
from engine.types import Limits

SNAPSHOTS_KEPT: Final = 3
SUFFIX: Final = ".snapshot"
ASIDE: Final = SUFFIX + ".new"
_MAGIC: Final = b"TILLSNAP"
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<8sHHI")

StateImage = dict[str, NDArray[Any]]
"""The arrays of an engine by name."""


class SnapshotDamaged(Exception):
    """This file is not what was written; an older snapshot or the journal takes its place."""


class Snapshot(NamedTuple):
    """Everything in memory after ``sequence``, at the end of a journal batch."""

    sequence: int
    time_ns: int
    head: bytes
    limits: Limits
    state_hash: bytes
    image: StateImage
    consumers: Mapping[str, bytes]
    """What each consumer remembers, by its name with its version."""

    @property
    def position(self) -> Position:
        """Return where the journal goes on."""
        return Position(self.sequence, self.head)


class _Table(msgspec.Struct):
    sequence: int
    time_ns: int
    head: bytes
    limits: list[int]
    state_hash: bytes
    columns: list[tuple[str, int]]
    consumers: list[tuple[str, int]]


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return the file's bytes."""
    arrays = {name: _npy(array) for name, array in snapshot.image.items()}
    table = msgspec.msgpack.encode(
        _Table(
            snapshot.sequence,
            snapshot.time_ns,
            snapshot.head,
            list(snapshot.limits.written()),
            snapshot.state_hash,
            [(name, len(raw)) for name, raw in arrays.items()],
            [(name, len(raw)) for name, raw in snapshot.consumers.items()],
        )
    )
    head = _HEAD.pack(_MAGIC, _VERSION, ENGINE_VERSION, len(table))
    body = b"".join([head, table, *arrays.values(), *snapshot.consumers.values()])
    return body + blake2b(body, digest_size=HASH_SIZE).digest()


def unpack_snapshot(raw: bytes, name: str) -> Snapshot:
    """Read a file's bytes. Raises ``SnapshotDamaged`` for anything but what was written."""
    body = memoryview(raw)[:-HASH_SIZE]
    if len(raw) < _HEAD.size + HASH_SIZE or raw[: len(_MAGIC)] != _MAGIC:
        raise SnapshotDamaged(f"{name} is not a snapshot")
    if blake2b(body, digest_size=HASH_SIZE).digest() != raw[-HASH_SIZE:]:
        raise SnapshotDamaged(f"{name}: the checksum does not verify")
    _, version, engine, size = _HEAD.unpack_from(raw)
    if (version, engine) != (_VERSION, ENGINE_VERSION):
        raise SnapshotDamaged(f"{name} was written by version {version}, engine {engine}")
    start = _HEAD.size + size
    table = msgspec.msgpack.decode(body[_HEAD.size : start], type=_Table)
    parts = _parts(body[start:], [*table.columns, *table.consumers])
    image = {key: _array(next(parts)) for key, _ in table.columns}
    consumers = {key: bytes(next(parts)) for key, _ in table.consumers}
    return Snapshot(
        table.sequence,
        table.time_ns,
        table.head,
        Limits.read(table.limits),
        table.state_hash,
        image,
        consumers,
    )


class SnapshotFiles:
    """The snapshots in one directory, for those who go on from them."""

    def __init__(self, storage: ReadStorage) -> None:
        self._storage = storage

    def names(self) -> list[str]:
        """Return all snapshots, newest first."""
        names = (name for name in self._storage.names() if name.endswith(SUFFIX))
        return sorted(names, reverse=True)

    def read(self, name: str) -> Snapshot:
        """Return one snapshot. Raises ``SnapshotDamaged``, also where the disk cannot read it."""
        try:
            raw = self._storage.read(name)
        except OSError as error:
            raise SnapshotDamaged(f"{name} cannot be read: {error}") from error
        return unpack_snapshot(raw, name)


def write_snapshot(storage: Storage, snapshot: Snapshot) -> str:
    """Keep ``snapshot`` durably and read it back; return its name.

    Raises ``SnapshotDamaged`` if it reads back as something else, and StorageFull or OSError; the
    older ones are untouched then.
    """
    name = f"{snapshot.sequence:016d}{SUFFIX}"
    aside = f"{snapshot.sequence:016d}{ASIDE}"
    raw = pack_snapshot(snapshot)
    storage.create(aside)
    storage.allocate(aside, len(raw))
    storage.write(aside, 0, raw)
    storage.sync(aside)
    if storage.read(aside) != raw:
        raise SnapshotDamaged(f"{aside} reads back as something else")
    storage.rename(aside, name)
    return name


def prune_snapshots(storage: Storage) -> None:
    """Delete all but the newest three, and what a crash has left half written."""
    for name in storage.names():
        if name.endswith(ASIDE):
            storage.remove(name)
    for name in SnapshotFiles(storage).names()[SNAPSHOTS_KEPT:]:
        storage.remove(name)


def sequence_of(name: str) -> int:
    """Return the sequence of a snapshot from its name."""
    return int(name.removesuffix(SUFFIX))


def _npy(array: NDArray[Any]) -> bytes:
    out = BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _array(part: memoryview) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(BytesIO(part), allow_pickle=False)
    return array


def _parts(body: memoryview, sizes: list[tuple[str, int]]) -> Iterator[memoryview]:
    start = 0
    for _, size in sizes:
        yield body[start : start + size]
        start += size
