"""What does the operator sign when it accepts an order?

That this command, with these events, is number ``sequence`` of its log. Whoever holds the signature
can take the operator's bond if a batch says otherwise, or if somebody else was promised another
command in that place (``Bond.sol``). Only what is on disk and carried out is signed, so a log that
is honest never contradicts it.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from engine.commands import Kind
from engine.events import EventKind
from engine.frames import Committed
from settlement.eip712 import Domain, acknowledgement_digest
from settlement.itemlog import item_of
from settlement.signer import Signer

KEPT_MAX: Final = 1 << 16
"""Most accepted orders whose answer is still on its way."""


class Acknowledgement(NamedTuple):
    """The operator's word on one command; ``signature`` is over the EIP-712 struct of the rest."""

    sequence: int
    item: bytes
    head: bytes
    signer: bytes
    signature: bytes


class Acknowledger:
    """A consumer that remembers what was accepted a moment ago, and signs it when it is asked."""

    def __init__(self, domain: Domain, signer: Signer) -> None:
        """``signer`` has a key of its own: the one that ``Bond.signer`` names."""
        self._domain = domain
        self._signer = signer
        self._is_open = False
        self._accepted: OrderedDict[int, tuple[bytes, bytes]] = OrderedDict()

    def open(self) -> None:
        """History is read; what comes now is answered to somebody."""
        self._is_open = True

    def consume(self, batch: Committed) -> None:
        """See ``engine.frames.Consumer``."""
        if not self._is_open:
            return
        for i, frame in enumerate(batch.frames()):
            if frame.command["kind"] not in (Kind.PLACE, Kind.REPLACE):
                continue
            if (frame.events["kind"] == EventKind.ACCEPTED).any():
                self._accepted[frame.sequence] = (item_of(frame), batch.heads[i])
        while len(self._accepted) > KEPT_MAX:
            self._accepted.popitem(last=False)

    def of(self, sequence: int) -> Acknowledgement | None:
        """Return the acknowledgement of an order just accepted; None for what is long ago."""
        found = self._accepted.get(sequence)
        if found is None:
            return None
        item, head = found
        digest = acknowledgement_digest(self._domain, sequence, item, head)
        address, signature = self._signer.address, self._signer.sign_digest(digest)
        return Acknowledgement(sequence, item, head, address, signature)
