"""What does a batch say about the engine's log? One hash for each command with its events.

    record   = keccak256(command row (64 bytes) ++ attachment)
    events   = keccak256(event rows of that command (104 bytes each))
    item     = keccak256(abi.encode(uint64 sequence, bytes32 record, bytes32 events))
    log root = Merkle root (``settlement.protocol.merkle``) over the items of the batch's commands

So a batch names what came in and what came out, command by command, and one item can be proven
without the rest. An operator cannot publish another history than the one it settled.
"""

import threading

from engine.events import Events
from engine.log_entries import Committed, LogEntry
from settlement.protocol import merkle
from settlement.protocol.eip712 import HASH_SIZE, keccak256


def leaf_of(entry: LogEntry) -> bytes:
    """Return the item of one command."""
    if entry.leaf is None:
        record = entry.row.tobytes() + entry.attachment
        entry.leaf = leaf_hash(entry.sequence, record, entry.event_rows)
    return entry.leaf


def leaf_hash(sequence: int, record: bytes, events: Events) -> bytes:
    """Return the item of command ``sequence``; ``record`` is its row and attachment."""
    return keccak256(sequence.to_bytes(32, "big") + keccak256(record) + keccak256(events.tobytes()))


class LogLeaves:
    """Items of the commands that no batch covers for good. A consumer; any thread may ask."""

    def __init__(self, first_sequence: int) -> None:
        """Keep items from ``first_sequence`` on."""
        self._first = first_sequence
        self._items = bytearray()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items) // HASH_SIZE

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        if batch.last_sequence < self._first:
            return
        items = b"".join(leaf_of(f) for f in batch.entries if f.sequence >= self._first)
        with self._lock:
            self._items += items

    def lock(self) -> threading.Lock:
        """Return what keeps everybody else out, as a context: to fork while nothing changes."""
        return self._lock

    def kept(self) -> tuple[int, bytes]:
        """Return the first sequence kept and all items from there on, for a snapshot."""
        with self._lock:
            return self._first, bytes(self._items)

    def resume(self, first_sequence: int, items: bytes) -> None:
        """Go on from what was ``kept``. Only what is not forgotten since is taken."""
        # What is forgotten was written down before: only an older copy of the outbox knows less.
        assert first_sequence <= self._first, "the snapshot is ahead of the outbox"
        with self._lock:
            self._items = bytearray(items[(self._first - first_sequence) * HASH_SIZE :])

    def root(self, first_sequence: int, last_sequence: int) -> bytes:
        """Return the root over commands ``first_sequence`` to ``last_sequence``, both included.

        All of them must be kept here.
        """
        start = (first_sequence - self._first) * HASH_SIZE
        end = (last_sequence + 1 - self._first) * HASH_SIZE
        with self._lock:
            assert 0 <= start <= end <= len(self._items), (
                "items are kept until they are covered for good"
            )
            chosen = bytes(self._items[start:end])
        return merkle.root([chosen[i : i + HASH_SIZE] for i in range(0, len(chosen), HASH_SIZE)])

    def forget(self, last_sequence: int) -> None:
        """Everything up to ``last_sequence`` is covered for good."""
        count = last_sequence + 1 - self._first
        if count <= 0:
            return
        with self._lock:
            del self._items[: count * HASH_SIZE]
            self._first = last_sequence + 1
