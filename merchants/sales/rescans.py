"""How is money found that was paid to an address after nobody looked there any more?

A shop asks; then the chain says what lies there, and what is worth its gas is swept. Dust stays: it
is swept with what comes on top of it, when the shop asks again.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Engine

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.rejection import Rejection
from merchants.records.tables import Invoice
from merchants.sales.invoices import WATCHED_NS
from merchants.sales.sweeps import Sweeps
from settlement.ports import SettlementPort


class OldAddress(NamedTuple):
    """Where an old invoice was paid, and in which tokens it could have been."""

    invoice_id: str
    address: bytes
    tokens: tuple[bytes, ...]


class Rescans:
    """Looks again at old addresses, when a shop asks."""

    def __init__(
        self,
        database: Engine,
        settlement: SettlementPort,
        sweeps: Sweeps,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._settlement = settlement
        self._sweeps = sweeps
        self._clock = clock

    def ask(self, store_id: str, invoice_id: str) -> OldAddress | Rejection:
        """Return where to look for what was paid for an invoice that is so old that nobody looks
        there any more. Rejects NOT_FOUND, and INVOICE_CLOSED for one that is still watched."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            if invoice.created_ns >= self._clock() - WATCHED_NS:
                why = "its address is watched: what is paid there is seen by itself"
                return Rejection(Outcome.INVOICE_CLOSED, {"invoice": invoice_id, "why": why})
            tokens = self._sweeps.tokens_at(invoice)
            return OldAddress(invoice_id, invoice.deposit_address, tuple(tokens))

    def lying(self, old: OldAddress) -> dict[bytes, int] | Rejection:
        """Return the raw units that lie there by token. Rejects OVERLOADED where no node says. Asks
        the chain, so on a thread."""
        found = self._settlement.lying(old.address, old.tokens)
        if found is None:
            return Rejection(Outcome.OVERLOADED, {"why": "the chain does not answer"})
        return found

    def fetch(self, old: OldAddress, lying: Mapping[bytes, int]) -> None:
        """Sweep what is worth it of what lies there."""
        with transaction(self._database) as session:
            self._sweeps.fetch(session.get_one(Invoice, old.invoice_id), lying)
