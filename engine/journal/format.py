"""How is one journal file laid out, byte by byte?

    file header   256 bytes in a sector of its own: magic 8s, format u16, engine u16, epoch u32,
                  first sequence u64, head before the first record 32s, the engine's limits,
                  checksum of all this 32s
    batch         starts at a multiple of 512: batch header, records, padding, end mark
    batch header  80 bytes: magic 4s, epoch u32, count u32, body size u32, first sequence u64,
                  durable u64, blank sectors u32, 4 zero bytes, head after the last record 32s,
                  checksum of all this 8s
    record        attachment size u32, epoch u32, command row (64 bytes, with its sequence and
                  time), attachment

All little endian. ``head`` is sha256 over the head before the batch and the records' bytes,
so that a stale, swapped, edited or misplaced record cannot verify; the head after record i is the
same hash ended there (sha256, because processors have instructions for it and contracts a
precompile). The first head of all stands for the engine's version and limits.
``durable`` is the last sequence known to be synced when the batch was written: what it covers was
acknowledged. Padding and end mark are 0xFF, and ``blank sectors`` counts the sectors that are
nothing but zeros as written (inside a long attachment), so what a torn write leaves out is seen.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Final, NamedTuple, overload

import numpy as np

from engine.commands import COMMAND, Commands
from engine.types import Limits

MAGIC: Final = b"TILLBOOK"
BATCH_MAGIC: Final = b"TBAT"
FORMAT_VERSION: Final = 2
ENGINE_VERSION: Final = 1
SECTOR: Final = 512
HASH_SIZE: Final = 32
CHECK_SIZE: Final = 8
LIMIT_COUNT: Final = 16
END_MARK: Final = b"\xff" * 8
ATTACHMENT_SIZE_MAX: Final = 1 << 16
SUFFIX: Final = ".journal"
GENESIS_SEQUENCE: Final = 0

_FILE_HEAD: Final = struct.Struct(f"<8sHHIQ32sI4x{LIMIT_COUNT}q32x")
_SIZE: Final = struct.Struct("<I")
_BATCH_HEAD: Final = struct.Struct("<4sIIIQQI4x32s")
RECORD: Final = np.dtype([("size", "<u4"), ("epoch", "<u4"), ("command", COMMAND)])
BATCH_HEAD_SIZE: Final = _BATCH_HEAD.size + CHECK_SIZE
FILE_HEAD_SIZE: Final = _FILE_HEAD.size + HASH_SIZE
assert FILE_HEAD_SIZE == 256 and BATCH_HEAD_SIZE == 80 and RECORD.itemsize == 72
FILE_START: Final = SECTOR
"""Where the first batch of a file begins."""

_QUIET_ATTACHMENT: Final = SECTOR - RECORD.itemsize
"""No sector of records with attachments below this size can be nothing but zeros."""


class JournalCorrupt(Exception):
    """The journal is damaged where acknowledged commands may stand; we refuse to start."""

    def __init__(self, name: str, offset: int, reason: str) -> None:
        super().__init__(f"{name} at byte {offset}: {reason}")
        self.name, self.offset, self.reason = name, offset, reason


class FileHeader(NamedTuple):
    """What a file says of itself."""

    epoch: int
    first_sequence: int
    head_before: bytes
    limits: Limits

    def pack(self) -> bytes:
        """Return the file's first sector."""
        limits = self.limits.written()
        values = [*limits, *[0] * (LIMIT_COUNT - len(limits))]
        raw = _FILE_HEAD.pack(
            MAGIC,
            FORMAT_VERSION,
            ENGINE_VERSION,
            self.epoch,
            self.first_sequence,
            self.head_before,
            len(limits),
            *values,
        )
        return (raw + blake2b(raw, digest_size=HASH_SIZE).digest()).ljust(SECTOR, b"\xff")


class BatchHeader(NamedTuple):
    """What a batch says of itself."""

    epoch: int
    record_count: int
    body_size: int
    first_sequence: int
    durable: int
    blank_sectors: int
    head: bytes

    @property
    def last_sequence(self) -> int:
        """Return the sequence of the last record."""
        return self.first_sequence + self.record_count - 1

    @property
    def size(self) -> int:
        """Return how many bytes the batch takes up, header and padding included."""
        return batch_size(self.body_size)

    def pack(self) -> bytes:
        """Return the 80 header bytes."""
        raw = _BATCH_HEAD.pack(BATCH_MAGIC, *self)
        return raw + blake2b(raw, digest_size=CHECK_SIZE).digest()


class Batch(NamedTuple):
    """One batch as it stands on disk, verified."""

    header: BatchHeader
    commands: Commands
    attachments: list[bytes]
    heads: "Heads"


class Heads(Sequence[bytes]):
    """The chained hash after each record of a run of commands; worked out when asked for.

    Settlement asks for few of them, most batches are asked for none but the last, and a hash for
    each record would cost more than everything else in the journal.
    """

    def __init__(
        self, head_before: bytes, body: bytes | memoryview, count: int, last: bytes
    ) -> None:
        self._parts = [(head_before, body, count, last)]
        self._all: list[bytes] | None = None

    @classmethod
    def joined(cls, runs: Sequence["Heads"]) -> "Heads":
        """Return the heads of several batches that follow each other."""
        whole = cls(b"", b"", 0, b"")
        whole._parts = [part for run in runs for part in run._parts]
        return whole

    def __len__(self) -> int:
        return sum(part[2] for part in self._parts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if index == -1:
            return self._parts[-1][3]
        if self._all is None:
            self._all = [head for part in self._parts for head in heads_of(*part[:3])]
        return self._all[index]


def batch_size(body_size: int) -> int:
    """Return how many bytes a batch with ``body_size`` bytes of records takes up."""
    return -(-(BATCH_HEAD_SIZE + body_size + len(END_MARK)) // SECTOR) * SECTOR


def file_name(first_sequence: int) -> str:
    """Return the name of the file that begins with ``first_sequence``."""
    return f"{first_sequence:016d}{SUFFIX}"


def genesis(limits: Limits) -> bytes:
    """Return the head before the first record; it stands for the engine and its limits."""
    values = limits.written()
    numbers = np.array([ENGINE_VERSION, len(values), *values], "<i8")
    return blake2b(MAGIC + numbers.tobytes(), digest_size=HASH_SIZE).digest()


def pack_records(commands: Commands, attachments: Sequence[bytes], epoch: int) -> bytes:
    """Return the records' bytes, one after the other."""
    count = len(commands)
    # As words: copying a structured array goes field by field and takes ten times as long.
    words = np.empty((count, RECORD.itemsize // 8), np.uint64)
    words[:, 0] = epoch << 32
    words[:, 1:] = np.ascontiguousarray(commands).view(np.uint64).reshape(count, -1)
    if not any(attachments):
        return words.tobytes()
    sizes = [len(attachment) for attachment in attachments]
    assert len(sizes) == count and max(sizes) <= ATTACHMENT_SIZE_MAX
    words[:, 0] |= np.array(sizes, np.uint64)
    raw, step = words.tobytes(), RECORD.itemsize
    pieces = [b""] * (2 * count)
    pieces[::2] = [raw[i : i + step] for i in range(0, len(raw), step)]
    pieces[1::2] = attachments
    return b"".join(pieces)


def pack_batch(
    epoch: int,
    durable: int,
    head_before: bytes,
    commands: Commands,
    attachments: Sequence[bytes],
) -> tuple[bytes, Heads]:
    """Return (the batch's bytes, the heads after its records)."""
    body = pack_records(commands, attachments, epoch)
    head = head_after(head_before, body)
    first = int(commands["sequence"][0])
    header = BatchHeader(epoch, len(commands), len(body), first, durable, 0, head)
    padding = b"\xff" * (header.size - BATCH_HEAD_SIZE - len(body))
    chunk = b"".join((header.pack(), body, padding))
    if max(map(len, attachments)) >= _QUIET_ATTACHMENT:
        header = header._replace(blank_sectors=blank_sectors(chunk))
        chunk = header.pack() + chunk[BATCH_HEAD_SIZE:]
    return chunk, Heads(head_before, body, len(commands), head)


def head_after(head_before: bytes, body: bytes | memoryview) -> bytes:
    """Return the chained hash after the records in ``body``."""
    chain = sha256(head_before)
    chain.update(body)
    return chain.digest()


def blank_sectors(chunk: bytes) -> int:
    """Return how many whole sectors of ``chunk`` are nothing but zeros."""
    sectors = np.frombuffer(chunk, np.uint64, len(chunk) // SECTOR * (SECTOR // 8))
    return int((~sectors.reshape(-1, SECTOR // 8).any(axis=1)).sum())


def unpack_file_header(raw: bytes, name: str) -> FileHeader:
    """Read a file's header. Raises ``JournalCorrupt`` for any other kind or version of file."""
    if len(raw) < FILE_START:
        raise JournalCorrupt(name, 0, "the file header is cut off")
    magic, version, engine, epoch, first, head, count, *limits = _FILE_HEAD.unpack_from(raw)
    if magic != MAGIC:
        raise JournalCorrupt(name, 0, "this is not a Tillbook journal")
    if (version, engine) != (FORMAT_VERSION, ENGINE_VERSION):
        raise JournalCorrupt(
            name,
            8,
            f"written by format {version}, engine {engine}; this is format {FORMAT_VERSION}, "
            f"engine {ENGINE_VERSION}",
        )
    if count > len(Limits._fields):
        raise JournalCorrupt(name, 56, f"it names {count} limits; this engine knows fewer")
    header = FileHeader(epoch, first, head, Limits.read(limits[:count]))
    if header.pack() != raw[:FILE_START]:
        raise JournalCorrupt(name, 0, "the file header's checksum does not verify")
    return header


def unpack_batch_header(raw: bytes, offset: int) -> BatchHeader | None:
    """Return the batch header at ``offset``; None when there is no sound one."""
    end = offset + BATCH_HEAD_SIZE
    if raw[offset : offset + len(BATCH_MAGIC)] != BATCH_MAGIC or end > len(raw):
        return None
    head = raw[offset : end - CHECK_SIZE]
    if blake2b(head, digest_size=CHECK_SIZE).digest() != raw[end - CHECK_SIZE : end]:
        return None
    return BatchHeader(*_BATCH_HEAD.unpack(head)[1:])


def unpack_batch(raw: bytes, offset: int, header: BatchHeader, head_before: bytes) -> Batch | None:
    """Return the batch at ``offset``; None when anything in it is not as it was written."""
    start, end = offset + BATCH_HEAD_SIZE, offset + header.size
    body = memoryview(raw)[start : start + header.body_size]
    if head_after(head_before, body) != header.head:
        return None
    if end > len(raw) or raw[start + header.body_size : end].strip(b"\xff"):
        return None
    count = header.record_count
    rows: bytes | memoryview = body
    attachments = [b""] * count
    if header.body_size != count * RECORD.itemsize:
        rows, attachments = _split(bytes(body))
    assert len(rows) == count * RECORD.itemsize, "a verified batch was written by us"
    words = np.frombuffer(rows, np.uint64).reshape(count, -1)
    commands = np.ascontiguousarray(words[:, 1:]).view(COMMAND).reshape(count)
    return Batch(header, commands, attachments, Heads(head_before, body, count, header.head))


def _split(body: bytes) -> tuple[bytes, list[bytes]]:
    """Return the rows, joined, and the attachments of records of unequal length."""
    size_at, step = _SIZE.unpack_from, RECORD.itemsize
    rows, attachments, offset = [], [], 0
    while offset < len(body):
        start = offset + step
        rows.append(body[offset:start])
        offset = start + size_at(body, offset)[0]
        attachments.append(body[start:offset])
    return b"".join(rows), attachments


def heads_of(head_before: bytes, body: bytes | memoryview, count: int) -> list[bytes]:
    """Return the chained hash after each record of one batch."""
    chain = sha256(head_before)
    heads: list[bytes] = []
    offset = 0
    for _ in range(count):
        end = offset + RECORD.itemsize + _SIZE.unpack_from(body, offset)[0]
        chain.update(body[offset:end])
        heads.append(chain.digest())
        offset = end
    return heads
