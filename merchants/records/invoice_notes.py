"""What does a shop say about its invoices that changes nothing of their money?"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class InvoiceNote(Table):
    """The shop's own view of an invoice: whether it is put away, and what it was marked as.

    ``marked`` is empty, ``settled`` or ``invalid``; ``marked_by`` is who said so, by the id of his
    key, at ``marked_ns``. What the invoice itself is stays what its money says.
    """

    __tablename__ = "invoice_notes"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    archived: Mapped[bool]
    marked: Mapped[str]
    marked_by: Mapped[str]
    marked_ns: Mapped[int]
