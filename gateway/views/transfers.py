"""What has an account paid in, and taken out?

A consumer like ``UserStream``: rebuilt by replay, bounded. How far a withdrawal is on its way to
the chain the log does not say; settlement is asked.
"""

from collections import OrderedDict
from itertools import islice
from typing import Final, Generic, TypeVar

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from settlement.orders.catalog import Catalog, Token
from settlement.protocol.evidence import (
    DepositEvidence,
    SignedWithdrawal,
    WithdrawalReturned,
    evidence_of,
)

OF_ACCOUNT_MAX: Final = 500
"""Deposits, and withdrawals, kept an account."""

TOTAL_MAX: Final = 100_000
"""And of all accounts together, so that many accounts are no way to fill the memory."""

_KINDS: Final = (int(Kind.DEPOSIT), int(Kind.WITHDRAW))
_REJECTED: Final = int(EventKind.REJECTED)


class Deposit(msgspec.Struct, gc=False):
    """Money that was credited because the chain says so; ``sequence`` is its command."""

    sequence: int
    account: int
    token: int
    amount: int
    time_ns: int
    tx_hash: bytes
    log_index: int
    block_number: int
    ref: bytes


class Withdrawal(msgspec.Struct, gc=False):
    """Money that was debited because its owner signed for it; ``sequence`` is its command."""

    sequence: int
    account: int
    token: int
    amount: int
    time_ns: int
    to: bytes
    nonce: int
    expiry: int
    digest: bytes
    returned: int = 0
    """Pips that were given back; 0 while it is on its way or was paid."""
    returned_sequence: int = 0
    reason: str = ""
    """Why it was given back."""


Row = TypeVar("Row", Deposit, Withdrawal)


class _Kept(Generic[Row]):
    """The last rows of each account, by sequence."""

    def __init__(self, of_account_max: int, total_max: int) -> None:
        self._of_account_max, self._total_max = of_account_max, total_max
        self.rows: OrderedDict[int, Row] = OrderedDict()
        """Its front is found at once however many have left it: see ``OrderHistory``."""
        self._of: dict[int, OrderedDict[int, Row]] = {}

    def add(self, row: Row) -> None:
        mine = self._of.setdefault(row.account, OrderedDict())
        mine[row.sequence] = self.rows[row.sequence] = row
        if len(mine) > self._of_account_max:
            self._forget(next(iter(mine.values())))
        if len(self.rows) > self._total_max:
            self._forget(next(iter(self.rows.values())))

    def before(self, account: int, sequence: int, limit: int) -> list[Row]:
        """Return the last rows of an account before ``sequence``, newest first."""
        mine = reversed(self._of.get(account, OrderedDict()).values())
        return list(islice((row for row in mine if row.sequence < sequence), limit))

    def _forget(self, row: Row) -> None:
        del self.rows[row.sequence]
        mine = self._of[row.account]
        del mine[row.sequence]
        if not mine:
            del self._of[row.account]


class _Memory(msgspec.Struct):
    deposits: list[Deposit]
    withdrawals: list[Withdrawal]


class Transfers:
    """Deposits and withdrawals of all accounts."""

    checkpoint_name = "transfers/1"

    def __init__(
        self, catalog: Catalog, of_account_max: int = OF_ACCOUNT_MAX, total_max: int = TOTAL_MAX
    ) -> None:
        self._catalog = catalog
        self._deposits: _Kept[Deposit] = _Kept(of_account_max, total_max)
        self._withdrawals: _Kept[Withdrawal] = _Kept(of_account_max, total_max)

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        deposits, withdrawals = self._deposits.rows.values(), self._withdrawals.rows.values()
        return msgspec.msgpack.encode(_Memory(list(deposits), list(withdrawals)))

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        for deposit in saved.deposits:
            self._deposits.add(deposit)
        for withdrawal in saved.withdrawals:
            self._withdrawals.add(withdrawal)

    def consume(self, batch: Committed) -> None:
        """Take one committed batch."""
        for entry in batch.entries:
            is_told = entry.command.kind in _KINDS and bool(entry.answer)
            if is_told and entry.answer[0].kind != _REJECTED:
                self._take(entry)

    def _take(self, entry: LogEntry) -> None:
        row, attachment = entry.command, evidence_of(entry)
        told = entry.sequence, row.account, row.token, row.amount, row.time_ns
        match attachment:
            case DepositEvidence(tx_hash, log_index, block_number, ref):
                self._deposits.add(Deposit(*told, tx_hash, log_index, block_number, ref))
            case SignedWithdrawal():
                signed = attachment.to, attachment.nonce, attachment.expiry, attachment.digest
                self._withdrawals.add(Withdrawal(*told, *signed))
            case WithdrawalReturned(sequence=sequence, reason=reason):
                found = self._withdrawals.rows.get(sequence)
                if found is not None:
                    found.returned, found.returned_sequence = row.amount, entry.sequence
                    found.reason = reason

    def deposits(self, account: bytes, before: int, limit: int) -> list[Deposit]:
        """Return the last deposits of an address before command ``before``, newest first."""
        number = self._catalog.account_number(account)
        return [] if number is None else self._deposits.before(number, before, limit)

    def withdrawals(self, account: bytes, before: int, limit: int) -> list[Withdrawal]:
        """Return the last withdrawals of an address before command ``before``, newest first."""
        number = self._catalog.account_number(account)
        return [] if number is None else self._withdrawals.before(number, before, limit)

    def token_of(self, row: Deposit | Withdrawal) -> Token:
        """Return what was moved."""
        return self._catalog.tokens[row.token]
