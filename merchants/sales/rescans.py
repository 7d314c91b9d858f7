"""How is money found that was paid to an address after nobody looked there any more?"""

from collections.abc import Callable

from sqlalchemy import Engine

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.rejection import Rejection
from merchants.records.tables import Invoice
from merchants.sales.invoices import WATCHED_NS
from merchants.sales.sweeps import Sweeps


class Rescans:
    """Looks again at old addresses, when a shop asks."""

    def __init__(self, database: Engine, sweeps: Sweeps, clock: Callable[[], int]) -> None:
        self._database = database
        self._sweeps = sweeps
        self._clock = clock

    def ask(self, store_id: str, invoice_id: str) -> Rejection | None:
        """Fetch what was paid to the address of an invoice that is so old that nobody looks there
        any more. Rejects NOT_FOUND, and INVOICE_CLOSED for one that is still watched."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            if invoice.created_ns >= self._clock() - WATCHED_NS:
                why = "its address is watched: what is paid there is seen by itself"
                return Rejection(Outcome.INVOICE_CLOSED, {"invoice": invoice_id, "why": why})
            self._sweeps.look_again(invoice)
        return None
