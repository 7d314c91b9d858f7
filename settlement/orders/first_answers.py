"""What became of this very order when it came first?

Idempotency: the same digest again gets the same answer. What its trader calls it is in
``settlement.orders.client_ids``.
"""

from collections import OrderedDict
from typing import Final

import numpy as np

from engine.events import EVENT, EventKind
from engine.kept import Kept
from engine.log_entries import EventRow, LogEntry, event_rows
from engine.types import Outcome
from settlement.orders.client_ids import ClientIds, Ended, SavedIds
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


class FirstAnswers:
    """Answers by digest, and the orders' names."""

    def __init__(self, standing: StandingOrders, answers_max: int) -> None:
        self._standing = standing
        self._answers_max = answers_max
        self._answers: OrderedDict[bytes, First] = OrderedDict()
        self.client_ids = ClientIds()

    def copy(self) -> "FirstAnswers":
        """Return one whose client ids can be changed apart; the answers are the same."""
        twin = FirstAnswers(self._standing, self._answers_max)
        twin._answers, twin.client_ids = self._answers, self.client_ids.copy()
        return twin

    def save(self) -> tuple[list[tuple[bytes, First]], SavedIds]:
        """Return what a snapshot keeps."""
        return list(self._answers.items()), self.client_ids.save()

    def load(self, answers: list[tuple[bytes, First]], client_ids: SavedIds) -> None:
        """Take what ``save`` returned."""
        self._answers = OrderedDict(answers)
        self.client_ids.load(client_ids)

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

    def named_otherwise(self, order: SignedOrder, now_ns: int) -> dict[str, str] | None:
        """Return which other order has its client id; None if it may have it."""
        account, client_id = order.account, order.client_id
        other = self.client_ids.other(account, client_id, order.digest, now_ns)
        if other is None:
            return None
        first = self._answers.get(other)
        ended = self.client_ids.ended_of(account, client_id)
        order_id = first.order_id if first is not None else 0
        if not order_id and ended is not None and ended.digest == other:
            order_id = ended.order_id
        found = {"client_id": client_id, "digest": "0x" + other.hex()}
        return found | {"order_id": str(order_id)} if order_id else found

    def spend(self, order: SignedOrder) -> None:
        """Give the order its client id."""
        self.client_ids.take(order.account, order.client_id, order.digest)

    def undo(self, order: SignedOrder) -> None:
        """The order was refused, or never was: another may have its name now."""
        self.client_ids.free(order.account, order.client_id, order.digest)

    def ended(self, account: bytes, client_id: str, digest: bytes, now_ns: int) -> None:
        """An order that was taken is over, at ``now_ns`` of the log."""
        if client_id:
            first = self._answers[digest]
            ended = Ended(digest, first.order_id, first.time_ns)
            self.client_ids.end(account, client_id, ended, now_ns)

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
        # The newest, also of an order that was refused before: what is forgotten first stood here
        # longest, and an order that stands from now on is not known as one yet.
        self._answers.pop(order.digest, None)
        self._answers[order.digest] = answer
        self._forget()
        return order_id

    def _forget(self) -> None:
        """Drop the oldest answers above the bound, but none to an order that stands."""
        while len(self._answers) > self._answers_max + len(self._standing):
            digest, oldest = self._answers.popitem(last=False)
            if oldest.order_id in self._standing:
                self._answers[digest] = oldest
