"""How is one journal file laid out, byte by byte?

    file header, 64 bytes   magic 8s, format u16, engine u16, epoch u32, first sequence u64,
                            8 zero bytes, hash before the first record 32s
    record                  payload size u32, epoch u32, sequence u64, durable u64,
                            payload = command row (64 bytes) + attachment, hash 32s

All little endian. ``hash`` is blake2b-256 over the previous record's hash, this record's head and
its payload, so that a stale, swapped, edited or misplaced record cannot verify. ``durable`` is the
last sequence known to be synced when the record was written: what it covers was acknowledged.
"""

import struct
from hashlib import blake2b
from typing import Final, NamedTuple

MAGIC: Final = b"TILLBOOK"
FORMAT_VERSION: Final = 1
ENGINE_VERSION: Final = 1
HASH_SIZE: Final = 32
GENESIS: Final = bytes(HASH_SIZE)

FILE_HEADER: Final = struct.Struct("<8sHHIQ8x32s")
RECORD_HEAD: Final = struct.Struct("<IIQQ")
ATTACHMENT_SIZE_MAX: Final = 1 << 16
COMMAND_SIZE: Final = 64
assert FILE_HEADER.size == 64


class JournalCorrupt(Exception):
    """The journal is damaged where acknowledged commands may stand; we refuse to start."""

    def __init__(self, name: str, offset: int, reason: str) -> None:
        super().__init__(f"{name} at byte {offset}: {reason}")
        self.name, self.offset, self.reason = name, offset, reason


class FileHeader(NamedTuple):
    """What a file says of itself."""

    epoch: int
    first_sequence: int
    hash_before: bytes

    def pack(self) -> bytes:
        """Return the 64 header bytes."""
        return FILE_HEADER.pack(
            MAGIC, FORMAT_VERSION, ENGINE_VERSION, self.epoch, self.first_sequence, self.hash_before
        )


class Record(NamedTuple):
    """One command as it stands on disk; ``head`` is the chained hash that includes it."""

    sequence: int
    command: bytes
    attachment: bytes
    head: bytes


def unpack_header(raw: bytes, name: str) -> FileHeader:
    """Read a file's header. Raises ``JournalCorrupt`` for any other kind or version of file."""
    magic, version, engine, epoch, first_sequence, hash_before = FILE_HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise JournalCorrupt(name, 0, "this is not a Tillbook journal")
    if (version, engine) != (FORMAT_VERSION, ENGINE_VERSION):
        raise JournalCorrupt(
            name,
            8,
            f"written by format {version}, engine {engine}; this is format {FORMAT_VERSION}, "
            f"engine {ENGINE_VERSION}",
        )
    return FileHeader(epoch, first_sequence, hash_before)


def pack_record(
    epoch: int, sequence: int, durable: int, payload: bytes, hash_before: bytes
) -> tuple[bytes, bytes]:
    """Return (record bytes, its hash)."""
    record_head = RECORD_HEAD.pack(len(payload), epoch, sequence, durable)
    digest = blake2b(hash_before + record_head + payload, digest_size=HASH_SIZE).digest()
    return record_head + payload + digest, digest


def record_size(raw: bytes, offset: int, name: str) -> int | None:
    """Return the whole size of the record at ``offset``; None when the file ends inside it.

    Raises ``JournalCorrupt`` for a size that no record of ours has: a torn write does not do that.
    """
    if len(raw) - offset < RECORD_HEAD.size:
        return None
    payload_size = RECORD_HEAD.unpack_from(raw, offset)[0]
    if payload_size > COMMAND_SIZE + ATTACHMENT_SIZE_MAX or 0 < payload_size < COMMAND_SIZE:
        raise JournalCorrupt(name, offset, f"no record has a payload of {payload_size} bytes")
    size: int = RECORD_HEAD.size + payload_size + HASH_SIZE
    return size if len(raw) - offset >= size else None


def is_acknowledged(raw: bytes, offset: int, epoch: int, sequence: int) -> bool:
    """Return whether a later record proves that ``sequence``, damaged at ``offset``, was synced.

    The record after it is found by its head; the 32 bytes before any record are the hash that it
    continues, so it verifies without the damaged one.
    """
    pattern = struct.pack("<IQ", epoch, sequence + 1)
    found = raw.find(pattern, offset + HASH_SIZE)
    while found != -1:
        start = found - 4
        size = RECORD_HEAD.size + RECORD_HEAD.unpack_from(raw, start)[0] + HASH_SIZE
        if start + size <= len(raw):
            record = unpack_record(raw, start, size, raw[start - HASH_SIZE : start])
            if record is not None and record[2] >= sequence:
                return True
        found = raw.find(pattern, found + 1)
    return False


def unpack_record(
    raw: bytes, offset: int, size: int, hash_before: bytes
) -> tuple[Record, int, int] | None:
    """Return (record, epoch, durable) at ``offset``; None when its hash does not verify."""
    end = offset + size - HASH_SIZE
    digest = raw[end : end + HASH_SIZE]
    if blake2b(hash_before + raw[offset:end], digest_size=HASH_SIZE).digest() != digest:
        return None
    _, epoch, sequence, durable = RECORD_HEAD.unpack_from(raw, offset)
    start = offset + RECORD_HEAD.size
    command = raw[start : start + COMMAND_SIZE]
    return Record(sequence, command, raw[start + COMMAND_SIZE : end], digest), epoch, durable
