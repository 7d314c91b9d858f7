"""What does the operator sign when it accepts an order?

That this command, with these events, is number ``sequence`` of its log. Whoever holds the signature
can take the operator's bond if a batch says otherwise, or if somebody else was promised another
command in that place (``Bond.sol``). Only what is on disk and carried out is signed, so a log that
is honest never contradicts it.
"""

from collections import OrderedDict, deque
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed
from settlement.batches.log_leaves import leaf_of
from settlement.chain.signer import Signer
from settlement.protocol.eip712 import Domain, acknowledgement_digest

KEPT_MAX: Final = 1 << 17
"""Most accepted orders whose acknowledgement can be given again, about thirty megabytes; the
pipeline's queue must fit into it, so that every answer under way can be signed."""

HASH_SIZE: Final = 32


class Acknowledgement(NamedTuple):
    """The operator's word on one command; ``signature`` is over the EIP-712 struct of the rest."""

    sequence: int
    item: bytes
    head: bytes
    signer: bytes
    signature: bytes


class _Memory(msgspec.Struct):
    sequences: list[int]
    words: bytes
    """Of each sequence its item and its head."""


class Acknowledger:
    """A consumer that remembers the orders accepted last, and signs for one when it is asked.

    A signature is made from the key and what is signed alone: whoever asks again, after a restart
    too, gets the same bytes.
    """

    checkpoint_name = "acknowledgements/1"

    def __init__(self, domain: Domain, signer: Signer, kept_max: int = KEPT_MAX) -> None:
        """``signer`` has a key of its own: the one that ``Bond.signer`` names."""
        self._domain = domain
        self._signer = signer
        self._kept_max = kept_max
        self._accepted: OrderedDict[int, bytes] = OrderedDict()
        self._unread: deque[tuple[Committed, int]] = deque()
        """Batches as they came, each with the count of its accepted orders: hashing an order costs
        fifteen microseconds, and of a long history only the last are ever asked for."""
        self._unread_count = 0

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        self.read()
        words = b"".join(self._accepted.values())
        return msgspec.msgpack.encode(_Memory(list(self._accepted), words))

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved, size = msgspec.msgpack.decode(memory, type=_Memory), 2 * HASH_SIZE
        self._accepted = OrderedDict(
            (sequence, saved.words[size * i : size * (i + 1)])
            for i, sequence in enumerate(saved.sequences)
        )

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        count = int(np.count_nonzero(batch.events["kind"] == EventKind.ACCEPTED))
        if not count:
            return
        self._unread.append((batch, count))
        self._unread_count += count
        while self._unread_count - self._unread[0][1] >= self._kept_max:
            self._unread_count -= self._unread.popleft()[1]

    def read(self) -> None:
        """Read what came: after history once, so that the first order does not wait for it."""
        for batch, _ in self._unread:
            for i, entry in enumerate(batch.entries):
                if entry.command.kind not in (Kind.PLACE, Kind.REPLACE):
                    continue
                if any(event.kind == EventKind.ACCEPTED for event in entry.events):
                    self._accepted[entry.sequence] = leaf_of(entry) + batch.heads[i]
        self._unread.clear()
        self._unread_count = 0
        while len(self._accepted) > self._kept_max:
            self._accepted.popitem(last=False)

    def of(self, sequence: int) -> Acknowledgement | None:
        """Return the acknowledgement of an accepted order; None for one of long ago."""
        self.read()
        word = self._accepted.get(sequence)
        if word is None:
            return None
        item, head = word[:HASH_SIZE], word[HASH_SIZE:]
        digest = acknowledgement_digest(self._domain, sequence, item, head)
        address, signature = self._signer.address, self._signer.sign_digest(digest)
        return Acknowledgement(sequence, item, head, address, signature)
