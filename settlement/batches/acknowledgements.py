"""What does the operator sign when it accepts an order?

That this command, with these events, is number ``sequence`` of its log. Whoever holds the signature
can take the operator's bond if a batch says otherwise, or if somebody else was promised another
command in that place (``Bond.sol``). Only what is on disk and carried out is signed, so a log that
is honest never contradicts it.

A signature costs more than all else here, so it is over the root of a tree of acknowledgements, and
each of them is answered with its path. All accepted orders of a batch of the journal are one tree;
of long ago, and after a restart, an order is a tree of its own. Both are the same promise.
"""

from collections import OrderedDict, deque
from functools import cached_property
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed
from settlement.batches.log_leaves import leaf_of
from settlement.chain.signer import Signer
from settlement.protocol import merkle
from settlement.protocol.eip712 import (
    HASH_SIZE,
    Domain,
    acknowledgement_leaf,
    acknowledgements_digest,
)

KEPT_MAX: Final = 1 << 17
"""Most accepted orders whose acknowledgement can be given again, about thirty megabytes; the
pipeline's queue must fit into it, so that every answer under way can be signed."""

TREES_MAX: Final = 1 << 13
"""Most accepted orders that are still answered with the others of their batch; the largest batch
must fit into it. Who asks later costs a signature of his own, so it is about memory alone."""


UINT32_MAX: Final = 2**32 - 1
UINT64_MAX: Final = 2**64 - 1
"""What the contract takes for a place in a tree, and for one in the log."""

# As plain numbers: reading a member of an enum costs Python 3.11 more than all else there.
_ORDERS: Final = frozenset({int(Kind.PLACE), int(Kind.REPLACE)})
_ACCEPTED: Final = int(EventKind.ACCEPTED)


class Acknowledgement(NamedTuple):
    """The operator's word on one command, and how it is signed.

    ``signature`` is over the root of a tree in which the word is leaf ``leaf_index`` of
    ``leaf_count``; ``siblings`` are its path, bottom up. Place and count are nobody's word: they
    say how the path turns, and whatever they are, the leaf names its sequence itself.
    """

    sequence: int
    item: bytes
    head: bytes
    signer: bytes
    leaf_index: int
    leaf_count: int
    siblings: tuple[bytes, ...]
    signature: bytes

    def signed_digest(self, domain: Domain) -> bytes | None:
        """Return what the signature must be over; None if the contract could take no such word.

        Any figures may stand here: a liar could have signed what only we can read.
        """
        hashes = (self.item, self.head, *self.siblings)
        if self.leaf_count > UINT32_MAX or not 0 <= self.sequence <= UINT64_MAX:
            return None
        if any(len(part) != HASH_SIZE for part in hashes):
            return None
        leaf = acknowledgement_leaf(self.sequence, self.item, self.head)
        root = merkle.root_from(leaf, self.leaf_index, self.leaf_count, list(self.siblings))
        return None if root is None else acknowledgements_digest(domain, root)


class _SignedTree:
    """Words of accepted orders under one signature, which is made when the first is asked for."""

    def __init__(self, domain: Domain, signer: Signer, words: dict[int, bytes]) -> None:
        """``words`` are, by their sequence, item and head of each order."""
        self._domain = domain
        self._signer = signer
        self._words = words

    def at(self, index: int, sequence: int) -> Acknowledgement:
        """Return the word on ``sequence``, which is leaf ``index``."""
        word, siblings = self._words[sequence], tuple(self._tree.path(index))
        return Acknowledgement(
            sequence,
            word[:HASH_SIZE],
            word[HASH_SIZE:],
            self._signer.address,
            index,
            len(self._words),
            siblings,
            self._signature,
        )

    @cached_property
    def _tree(self) -> merkle.Tree:
        return merkle.Tree(
            [
                acknowledgement_leaf(sequence, word[:HASH_SIZE], word[HASH_SIZE:])
                for sequence, word in self._words.items()
            ]
        )

    @cached_property
    def _signature(self) -> bytes:
        return self._signer.sign_digest(acknowledgements_digest(self._domain, self._tree.root))


class _Memory(msgspec.Struct):
    sequences: list[int]
    words: bytes
    """Of each sequence its item and its head."""


class Acknowledger:
    """A consumer that remembers the orders accepted last, and signs for them when it is asked.

    Whoever asks again, after a restart too, gets the same word; it may be signed in a tree of its
    own, for which orders came in one batch is soon forgotten.
    """

    checkpoint_name = "acknowledgements/1"

    def __init__(self, domain: Domain, signer: Signer, kept_max: int = KEPT_MAX) -> None:
        """``signer`` has a key of its own: the one that ``Bond.signer`` names."""
        self._domain = domain
        self._signer = signer
        self._kept_max = kept_max
        self._accepted: OrderedDict[int, bytes] = OrderedDict()
        self._trees: OrderedDict[int, tuple[_SignedTree, int]] = OrderedDict()
        """Of the newest of them the tree and the place in it."""
        self._unread: deque[tuple[Committed, NDArray[np.uint64]]] = deque()
        """Batches as they came, each with what was accepted in it: hashing an order costs fifteen
        microseconds, and of a long history only the last are ever asked for."""
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
        accepted = batch.events["sequence"][batch.events["kind"] == _ACCEPTED]
        if not len(accepted):
            return
        self._unread.append((batch, accepted))
        self._unread_count += len(accepted)
        while self._unread_count - len(self._unread[0][1]) >= self._kept_max:
            self._unread_count -= len(self._unread.popleft()[1])

    def read(self) -> None:
        """Read what came: after history once, so that the first order does not wait for it.

        Nobody waits for an answer to history, so none of it shares a tree: replayed batches are
        larger than those that came.
        """
        self._read(is_live=False)

    def of(self, sequence: int) -> Acknowledgement | None:
        """Return the acknowledgement of an accepted order; None for one of long ago."""
        self._read(is_live=True)
        word = self._accepted.get(sequence)
        if word is None:
            return None
        tree, index = self._trees.get(sequence) or (self._signed({sequence: word}), 0)
        return tree.at(index, sequence)

    def _read(self, *, is_live: bool) -> None:
        for batch, accepted in self._unread:
            kinds, words = batch.kinds, {}
            for sequence in accepted.tolist():
                i = sequence - batch.first_sequence
                if kinds[i] in _ORDERS:
                    words[sequence] = leaf_of(batch.entries[i]) + batch.heads[i]
            self._accepted |= words
            if is_live:
                tree = self._signed(words)
                self._trees |= {sequence: (tree, index) for index, sequence in enumerate(words)}
            while len(self._trees) > TREES_MAX:
                self._trees.popitem(last=False)
        self._unread.clear()
        self._unread_count = 0
        while len(self._accepted) > self._kept_max:
            self._accepted.popitem(last=False)

    def _signed(self, words: dict[int, bytes]) -> _SignedTree:
        return _SignedTree(self._domain, self._signer, words)
