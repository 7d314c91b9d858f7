"""How does a command become history that survives a crash?

Append a whole batch, sync once, acknowledge after. Reading checks every hash: a torn tail that was
never acknowledged is cut, anything else refuses to start and names file and offset.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.journal.format import (
    ATTACHMENT_SIZE_MAX,
    COMMAND_SIZE,
    FILE_HEADER,
    GENESIS,
    FileHeader,
    JournalCorrupt,
    Record,
    is_acknowledged,
    pack_record,
    record_size,
    unpack_header,
    unpack_record,
)
from engine.journal.storage import Storage

FILE_SIZE_MAX: Final = 256 << 20


class Journal:
    """The log of one shard. Call ``recover`` to its end once, then ``append`` and ``sync``."""

    def __init__(self, storage: Storage, file_size_max: int = FILE_SIZE_MAX) -> None:
        self._storage = storage
        self._file_size_max = file_size_max
        self._name = ""
        self._size = 0
        self._recovered = False
        self.epoch = 1
        self.sequence = 0
        self.durable = 0
        self.head = GENESIS

    def recover(self) -> Iterator[Record]:
        """Yield every record on disk in order, verified; cut a torn tail at the very end.

        Raises ``JournalCorrupt`` for damage that cannot be an unacknowledged torn write.
        """
        names = self._storage.names()
        for name in names:
            # Synced before it is read: what a crash left in the page cache alone must not be
            # acknowledged today and be gone tomorrow.
            self._storage.sync(name)
            yield from self._recover_file(name, is_last=name == names[-1])
        self.durable = self.sequence
        self._recovered = True

    def append(self, commands: Sequence[bytes], attachments: Sequence[bytes]) -> list[bytes]:
        """Write a batch; return the chained hash after each record. Not durable before ``sync``."""
        assert self._recovered, "read the journal to its end before writing"
        assert len(commands) == len(attachments)
        if not self._name or self._size > self._file_size_max:
            self._start_file()
        chunks, heads, head = [], [], self.head
        for i, (row, attachment) in enumerate(zip(commands, attachments, strict=True)):
            assert len(row) == COMMAND_SIZE and len(attachment) <= ATTACHMENT_SIZE_MAX
            chunk, head = pack_record(
                self.epoch, self.sequence + 1 + i, self.durable, row + attachment, head
            )
            chunks.append(chunk)
            heads.append(head)
        whole = b"".join(chunks)
        self._storage.append(self._name, whole)
        self._size += len(whole)
        self.sequence += len(commands)
        self.head = head
        return heads

    def sync(self) -> None:
        """Return when all that was appended is on disk. An OSError must end the process."""
        self._storage.sync(self._name)
        self.durable = self.sequence

    def _start_file(self) -> None:
        if self._name:
            self._storage.sync(self._name)
        self._name = f"{self.sequence + 1:016d}.journal"
        header = FileHeader(self.epoch, self.sequence + 1, self.head).pack()
        self._storage.append(self._name, header)
        self._size = len(header)

    def _recover_file(self, name: str, is_last: bool) -> Iterator[Record]:
        raw = self._storage.read(name)
        self._name, self._size = name, len(raw)
        if len(raw) < FILE_HEADER.size:
            if not is_last:
                raise JournalCorrupt(name, 0, "the file header is cut off")
            # The file was made, its first batch was not: start it again.
            self._storage.truncate(name, 0)
            header = FileHeader(self.epoch, self.sequence + 1, self.head).pack()
            self._storage.append(name, header)
            self._size = len(header)
            return
        header_found = unpack_header(raw, name)
        expected = FileHeader(header_found.epoch, self.sequence + 1, self.head)
        if raw[: FILE_HEADER.size] != expected.pack() or header_found.epoch < self.epoch:
            raise JournalCorrupt(name, 16, "the file does not continue the one before it")
        self.epoch = header_found.epoch
        yield from self._recover_records(raw, name, is_last)

    def _recover_records(self, raw: bytes, name: str, is_last: bool) -> Iterator[Record]:
        offset = FILE_HEADER.size
        while offset < len(raw):
            size = record_size(raw, offset, name)
            if size is None or not raw[offset:].strip(b"\0"):
                if not is_last or is_acknowledged(raw, offset, self.epoch, self.sequence + 1):
                    raise JournalCorrupt(name, offset, "a record is cut off before the end")
                self._storage.truncate(name, offset)
                self._size = offset
                return
            found = unpack_record(raw, offset, size, self.head)
            if found is None:
                raise JournalCorrupt(name, offset, "the record's hash does not verify")
            record, epoch, durable = found
            in_place = record.sequence == self.sequence + 1 and durable <= self.sequence
            if not in_place or epoch != self.epoch:
                raise JournalCorrupt(name, offset, f"sequence {record.sequence} is out of place")
            self.sequence, self.head = record.sequence, record.head
            offset += size
            yield record
