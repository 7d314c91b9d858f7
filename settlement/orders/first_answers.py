"""What became of this very order when it came first?

Idempotency: the same digest again gets the same answer, and a client id names one order for as
long as that is on its way or stands.
"""

from collections import OrderedDict
from typing import Final

import numpy as np

from engine.events import EVENT, EventKind
from engine.kept import Kept
from engine.log_entries import EventRow, LogEntry, event_rows
from engine.types import Outcome
from settlement.orders.nonces import NS
from settlement.orders.standing import StandingOrders
from settlement.protocol.evidence import SignedOrder

AGAIN_NS: Final = 600 * NS
"""How long after its first refusal a signed order may still be tried again. Not for ever: whoever
holds a copy of it may do so too."""

ANSWERS_MAX: Final = 1 << 17
"""Answers kept for those who send an order again, beside those to orders that stand. Older ones
are answered by their nonce: it is spent."""

ACCEPTED: Final = Outcome.ACCEPTED
ACCEPTED_EVENT: Final = int(EventKind.ACCEPTED)
NOT_AGAIN: Final = (Outcome.ACCEPTED, Outcome.POISONED)
ANSWERS: Final = frozenset(map(int, (EventKind.ACCEPTED, EventKind.REJECTED, EventKind.POISONED)))


class First(Kept, frozen=True):
    """What became of an order the first time its digest was seen, or the last time it was refused.

    ``rows`` are the events about the order itself, as bytes; ``refused_ns`` is when it was refused
    first, 0 for an order that was taken.
    """

    outcome: Outcome
    sequence: int
    time_ns: int
    order_id: int
    rows: bytes = b""
    refused_ns: int = 0

    def events(self) -> list[EventRow] | None:
        """Return what the order led to when it came in; None if it was not taken."""
        return event_rows(np.frombuffer(self.rows, EVENT)) if self.rows else None


ClientIds = dict[tuple[bytes, str], bytes]
"""Names of orders that are on their way or stand, with their digests."""


class FirstAnswers:
    """Answers by digest, and digests by client id."""

    def __init__(self, standing: StandingOrders, answers_max: int) -> None:
        self._standing = standing
        self._answers_max = answers_max
        self._answers: OrderedDict[bytes, First] = OrderedDict()
        self._client_ids: ClientIds = {}

    def copy(self) -> "FirstAnswers":
        """Return one whose client ids can be changed apart; the answers are the same."""
        twin = FirstAnswers(self._standing, self._answers_max)
        twin._answers, twin._client_ids = self._answers, dict(self._client_ids)
        return twin

    def save(self) -> tuple[list[tuple[bytes, First]], ClientIds]:
        """Return what a snapshot keeps."""
        return list(self._answers.items()), self._client_ids

    def load(self, answers: list[tuple[bytes, First]], client_ids: ClientIds) -> None:
        """Take what ``save`` returned."""
        self._answers, self._client_ids = OrderedDict(answers), client_ids

    def of(self, digest: bytes) -> First | None:
        """Return the first answer to this very order; None if it is not known."""
        return self._answers.get(digest)

    def may_try_again(self, digest: bytes, now_ns: int) -> bool:
        """Return whether it was refused, not long ago and not for breaking an assertion of ours:
        that it would do again."""
        first = self._answers.get(digest)
        return (
            first is not None
            and first.outcome not in NOT_AGAIN
            and now_ns - first.refused_ns <= AGAIN_NS
        )

    def is_named_otherwise(self, order: SignedOrder) -> bool:
        """Return whether another order has its client id."""
        digest = self._client_ids.get((order.account, order.client_id))
        return bool(order.client_id) and digest is not None and digest != order.digest

    def spend(self, order: SignedOrder) -> None:
        """Give the order its client id."""
        if order.client_id:
            self._client_ids[order.account, order.client_id] = order.digest

    def undo(self, order: SignedOrder) -> None:
        """The order is over, or was never: another may have its name now."""
        self.free(order.account, order.client_id, order.digest)

    def free(self, account: bytes, client_id: str, digest: bytes) -> None:
        """As ``undo``, by what is known of an order that left the book."""
        if self._client_ids.get((account, client_id)) == digest:
            del self._client_ids[account, client_id]

    def answered(self, order: SignedOrder, entry: LogEntry) -> int:
        """Keep what became of ``order``; return the engine's id, 0 if it was not taken."""
        own = next(event for event in entry.answer if event.kind in ANSWERS)
        time_ns = entry.command.time_ns
        if own.kind == ACCEPTED_EVENT:
            order_id = own.order_id
            about = [order_id in (event.order_id, event.maker_id) for event in entry.events]
            events = entry.event_rows
            rows = (events if all(about) else events[about]).tobytes()
            answer = First(ACCEPTED, entry.sequence, time_ns, order_id, rows)
        else:
            order_id, before = 0, self._answers.get(order.digest)
            since = time_ns if before is None else before.refused_ns
            outcome = Outcome(own.outcome)
            answer = First(outcome, entry.sequence, time_ns, 0, refused_ns=since)
        self._answers[order.digest] = answer
        self._forget()
        return order_id

    def _forget(self) -> None:
        """Drop the oldest answers above the bound, but none to an order that stands."""
        while len(self._answers) > self._answers_max + len(self._standing):
            digest, oldest = self._answers.popitem(last=False)
            if oldest.order_id in self._standing:
                self._answers[digest] = oldest
