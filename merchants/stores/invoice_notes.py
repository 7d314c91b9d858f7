"""How does a shop put an invoice away, or mark it by hand?

Beside the invoice, never in it: what it is stays what its money says, and who marked it when is
kept with the mark.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sqlalchemy import Engine, select

from engine.types import Outcome
from merchants.records.database import reading, transaction
from merchants.records.invoice_notes import InvoiceNote
from merchants.records.rejection import Rejection
from merchants.records.tables import Invoice

MARKS: Final = ("settled", "invalid")


class Noted(NamedTuple):
    """What a shop has said about one invoice."""

    archived: bool = False
    marked: str = ""


class InvoiceNotes:
    """Keeps what shops say about their invoices."""

    def __init__(self, database: Engine, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def of(self, invoice_ids: Iterable[str]) -> dict[str, Noted]:
        """Return what was said about some invoices; any thread may ask."""
        names = list(invoice_ids)
        with reading(self._database) as session:
            rows = session.scalars(select(InvoiceNote).where(InvoiceNote.invoice_id.in_(names)))
            said = {row.invoice_id: Noted(row.archived, row.marked) for row in rows}
        return {name: said.get(name, Noted()) for name in names}

    def say(
        self,
        store_id: str,
        invoice_id: str,
        by: str,
        *,
        archived: bool | None = None,
        marked: str | None = None,
    ) -> Noted | Rejection:
        """Put an invoice away or back, or mark it; None is as it was. Rejects NOT_FOUND."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            note = session.get(InvoiceNote, invoice_id)
            if note is None:
                note = InvoiceNote(
                    invoice_id=invoice_id, archived=False, marked="", marked_by="", marked_ns=0
                )
                session.add(note)
            if archived is not None:
                note.archived = archived
            if marked is not None:
                assert marked in MARKS, "there are two marks"
                note.marked, note.marked_by, note.marked_ns = marked, by, self._clock()
            return Noted(note.archived, note.marked)

    def describe(self, store_id: str, invoice_id: str, metadata: str) -> bool:
        """Replace an invoice's metadata, a JSON object; return whether there is such an invoice."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return False
            invoice.details = metadata
            return True
