"""Which of the things that happened on chain are in the journal?"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed
from settlement.orders.catalog import Catalog
from settlement.protocol.evidence import (
    DepositEvidence,
    ExitEvidence,
    WithdrawalReturned,
    evidence_of,
)
from settlement.watching.watcher import (
    ChainEvent,
    Deposited,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
)

Money = Deposited | ExitRequested | ExitCancelled | ExitFinished
"""What the journal has to have."""


class Ranked(NamedTuple):
    """Money that moved on chain. A transaction may say the same more than once: ``rank`` counts
    from 1, so that one of them being booked does not pass for the other."""

    value: Money
    rank: int


Likeness = tuple[bytes, int, bytes, bytes, int]
"""(transaction, kind of command, account's and token's address, amount)."""


def likeness(value: Money) -> Likeness:
    """Return what two values share that are booked alike, wherever their logs are."""
    tx_hash, account = value.at.tx_hash, value.account
    match value:
        case ExitRequested():
            return tx_hash, Kind.EXIT_BEGIN, account, b"", 0
        case ExitCancelled(_, _, token):
            return tx_hash, Kind.EXIT_END, account, token, 0
        case ExitFinished(_, _, token, amount):
            return tx_hash, Kind.EXIT_END, account, token, amount
        case Deposited(_, _, token, amount):
            return tx_hash, Kind.DEPOSIT, account, token, amount


def ranked(values: Iterable[ChainEvent]) -> list[Ranked]:
    """Return the money in ``values``, each with its rank among those like it."""
    seen: Counter[Likeness] = Counter()
    found = []
    for value in values:
        if isinstance(value, Money):
            seen[likeness(value)] += 1
            found.append(Ranked(value, seen[likeness(value)]))
    return found


Entry = tuple[bytes, int, int, int, int]
"""(transaction, kind of command, account, token, amount): what is booked, wherever its log is. A
reorganisation may put a transaction into another block, and its log at another index."""


BOOKING: Final = frozenset(map(int, (Kind.DEPOSIT, Kind.EXIT_BEGIN, Kind.EXIT_END, Kind.POISON)))
"""Commands by which something on chain may be booked."""


class CreditedDeposits:
    """A consumer that knows which log entries are in the journal already."""

    checkpoint_name = "deposits/1"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._booked: Counter[Entry] = Counter()

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(sorted(self._booked.items()))

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        self._booked = Counter(dict(msgspec.msgpack.decode(memory, type=list[tuple[Entry, int]])))

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        if not batch.has(BOOKING):
            return
        for entry in batch.entries:
            row = entry.command
            if row.kind not in BOOKING:
                continue
            if entry.answer[0].kind == EventKind.REJECTED:
                continue
            evidence = evidence_of(entry)
            if isinstance(evidence, WithdrawalReturned):
                continue
            is_poison = row.kind == Kind.POISON
            if is_poison and not isinstance(evidence, DepositEvidence | ExitEvidence):
                continue
            assert isinstance(evidence, DepositEvidence | ExitEvidence), "money needs evidence"
            booked_as = [row.kind]
            if is_poison:
                # It counts too, as what it was: sent again it would stop the engine again.
                # Reconciliation shows what it has not moved.
                is_deposit = isinstance(evidence, DepositEvidence)
                booked_as = [Kind.DEPOSIT] if is_deposit else [Kind.EXIT_BEGIN, Kind.EXIT_END]
            for kind in booked_as:
                self._booked[evidence.tx_hash, kind, row.account, row.token, row.amount] += 1

    def unbooked(self, values: Iterable[ChainEvent]) -> list[Ranked]:
        """Return the money in ``values`` that the journal lacks. All of a block, or none, are
        here."""
        return [one for one in ranked(values) if not self.is_booked(one)]

    def is_booked(self, one: Ranked) -> bool:
        """Return whether the journal has ``one``."""
        entry = self._entry(one.value)
        return entry is not None and self._booked[entry] >= one.rank

    def _entry(self, value: Money) -> Entry | None:
        """Return how ``value`` would be booked; None if it cannot have been."""
        tx_hash, kind, owner, address, amount = likeness(value)
        account = self._catalog.account_number(owner)
        token = self._catalog.token_by_address(address) if address else None
        if account is None or (address and token is None):
            return None
        return tx_hash, kind, account, 0 if token is None else token.number, amount
