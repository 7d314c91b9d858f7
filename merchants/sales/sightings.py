"""Which of the transfers that the chain shows are our invoices', and is there anything new in them?

A poll shows what is unconfirmed again and again. What was taken as it is shown costs nothing more.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from sqlalchemy import Engine, select

from merchants.records.database import reading, transaction
from merchants.records.states import PaymentState
from merchants.records.tables import Invoice, Payment, Sweep
from merchants.records.together import Place, read_invoices, read_places
from merchants.sales.invoices import Invoices
from merchants.sales.refund_keys import RefundKeys
from settlement.orders.catalog import Catalog
from settlement.ports import Transfer

SHOWN_MAX: Final = 100_000
"""Transfers of which it is remembered that they were taken; older ones are looked at again."""


class Sightings:
    """Takes transfers. Use it from the event loop; ``settlement.ports.PaymentListener`` says what
    is asked of it."""

    def __init__(
        self,
        database: Engine,
        catalog: Catalog,
        invoices: Invoices,
        refund_keys: RefundKeys,
        clock: Callable[[], int],
        confirmations_required: int,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._invoices = invoices
        self._refund_keys = refund_keys
        self._clock = clock
        self._confirmations_required = confirmations_required
        self._taken: dict[Place, tuple[int, int]] = {}
        """How each transfer was taken last: its block, and 0 in none, 1 in one, 2 deep enough."""
        self.head = 0
        """The newest block of which a transfer told."""

    def payments_seen(self, transfers: Sequence[Transfer]) -> list[bool]:
        """Take what a poll of the chain saw; return which move money of our invoices, in or out.

        One transaction for all of them, and none at all for those that only gained confirmations.
        A token that is not listed is ignored: anybody can make one and send it anywhere. So is a
        transfer of nothing: anybody can write one, from any address to any other.
        """
        fresh = []
        for transfer in transfers:
            self.head = max(self.head, transfer.block_number + transfer.confirmations - 1)
            if transfer.raw_amount and self._taken.get(_place(transfer)) != self._depth(transfer):
                fresh.append(transfer)
        self._refund_keys.take_transfers(fresh, self._confirmations_required)
        ours = self._take(fresh) if fresh else set()
        return [
            _place(transfer) in ours or _place(transfer) in self._taken for transfer in transfers
        ]

    def _depth(self, transfer: Transfer) -> tuple[int, int]:
        is_deep = transfer.confirmations >= self._confirmations_required
        return transfer.block_number, (transfer.confirmations > 0) + is_deep

    def _take(self, transfers: list[Transfer]) -> set[Place]:
        known = self._catalog.token_by_address
        with transaction(self._database) as session:
            ends = {end for t in transfers for end in (t.to, t.sender)}
            ours = {
                invoice.deposit_address: invoice
                for invoice in read_invoices(session, Invoice.deposit_address, ends)
            }
            if ours:
                places = {_place(transfer) for transfer in transfers}
                read_places(session, Payment, places)
                read_places(session, Sweep, places)
            by_invoice: dict[bytes, list[Transfer]] = {}
            for transfer in transfers:
                for address in (transfer.to, transfer.sender):
                    if address in ours and known(transfer.token) is not None:
                        by_invoice.setdefault(address, []).append(transfer)
                        break
            for address, moves in by_invoice.items():
                self._invoices.transfers(session, ours[address], moves, self._clock())
        taken = {_place(t): self._depth(t) for moves in by_invoice.values() for t in moves}
        self._taken.update(taken)
        for place in list(islice(self._taken, max(0, len(self._taken) - SHOWN_MAX))):
            del self._taken[place]
        return set(taken)

    def unconfirmed_payments(self) -> dict[Place, int]:
        """Return the block of each transfer that is counted and not booked, by hash and index."""
        payments = select(Payment).where(Payment.state == PaymentState.CONFIRMING)
        sweeps = select(Sweep).where(Sweep.is_booked.is_(False))
        with reading(self._database) as session:
            found: list[Payment | Sweep] = [*session.scalars(payments), *session.scalars(sweeps)]
            return {(row.tx_hash, row.log_index): row.block_number for row in found}

    def payment_orphaned(self, tx_hash: bytes, log_index: int) -> bool:
        """Take back a transfer that left the chain; return whether it was one of ours."""
        self._taken.pop((tx_hash, log_index), None)
        with transaction(self._database) as session:
            return self._invoices.payment_orphaned(session, tx_hash, log_index, self._clock())

    def forget(self, places: Iterable[Place]) -> None:
        """Take transfers that have left the chain as new ones if they are shown again."""
        for place in places:
            self._taken.pop(place, None)


def _place(transfer: Transfer) -> Place:
    return transfer.tx_hash, transfer.log_index
