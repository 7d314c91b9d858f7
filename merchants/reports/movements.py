"""Which deposits and withdrawals of shops' wallets and refund accounts are written down?"""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import LogEntry
from merchants.records.database import reading
from merchants.records.movements import Movement, MovementKind
from merchants.records.refunds import RefundKey
from merchants.records.tables import Store
from settlement.orders.catalog import Catalog
from settlement.protocol.evidence import (
    DepositEvidence,
    SignedWithdrawal,
    WithdrawalReturned,
    evidence_of,
)


class Movements:
    """Writes them, in the transaction in which the log is read."""

    def __init__(self, database: Engine, catalog: Catalog) -> None:
        self._catalog = catalog
        with reading(database) as session:
            wallets = session.scalars(select(Store.wallet))
            self._wallets = {*wallets, *session.scalars(select(RefundKey.key_address))}

    def follow(self, wallet: bytes) -> None:
        """Write down what moves for ``wallet`` too: it has a store now, or is a refund account."""
        self._wallets.add(wallet)

    def concerns(self, entry: LogEntry) -> bool:
        """Return whether a command moves money of a wallet that has a store."""
        is_kind = entry.command.kind in (Kind.DEPOSIT, Kind.WITHDRAW)
        return is_kind and self._catalog.address_of(entry.command.account) in self._wallets

    def take(self, session: Session, entry: LogEntry) -> None:
        """Write down what ``entry`` moved, unless it was refused; it paid no invoice. What is shown
        again is written already."""
        if entry.answer[0].kind not in (EventKind.DEPOSITED, EventKind.WITHDRAWN):
            return
        if session.get(Movement, entry.sequence) is not None:
            return
        row, evidence = entry.command, evidence_of(entry)
        token = self._catalog.tokens[row.token].address
        wallet = self._catalog.address_of(row.account)
        moved = Movement(
            sequence=entry.sequence,
            wallet=wallet,
            token=token,
            pips=entry.answer[0].amount,
            returned_pips=0,
            returned_at=0,
            time_ns=row.time_ns,
            receiver=b"",
            tx_hash=b"",
        )
        match evidence:
            case WithdrawalReturned(sequence=sequence):
                found = session.get(Movement, sequence)
                if found is not None:
                    if found.returned_at < entry.sequence:
                        found.returned_pips += entry.answer[0].amount
                        found.returned_at = entry.sequence
                    return
                moved.kind = MovementKind.DEPOSIT  # Taken out before it had a store.
            case SignedWithdrawal():
                moved.kind, moved.receiver = MovementKind.WITHDRAWAL, evidence.to
            case DepositEvidence():
                moved.kind, moved.tx_hash = MovementKind.DEPOSIT, evidence.tx_hash
            case _:
                is_deposit = row.kind == Kind.DEPOSIT
                moved.kind = MovementKind.DEPOSIT if is_deposit else MovementKind.WITHDRAWAL
        session.add(moved)
