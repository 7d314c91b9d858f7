"""What do shops and customers see of the rows?

Everything here reads and changes nothing, and may be asked on any thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session, lazyload, selectinload

from merchants.documents.checkout import TRADES_SHOWN, Checkout, checkout_of
from merchants.documents.native import (
    ConversionDocument,
    EventDocument,
    InvoiceDocument,
    conversion_document,
    event_document,
    invoice_document,
)
from merchants.documents.sums import (
    CONVERSIONS_SHOWN,
    Sums,
    first_fills,
    newest_conversions,
    sums_of,
)
from merchants.records.database import is_there, reading
from merchants.records.endpoints import Delivery
from merchants.records.states import InvoiceState
from merchants.records.tables import Conversion, Event, Fill, Invoice
from settlement.audit.proofs import TradeProof
from settlement.orders.catalog import Catalog
from settlement.ports import SettlementPort

PAGE_MAX: Final = 100

INVOICES_MAX: Final = 25
"""In one answer: some milliseconds of a thread, and more for each payment and fill."""

INVOICE_OF_ID: Final = "SELECT 1 FROM invoices WHERE id = ?"


class Sales(NamedTuple):
    """The trades in which ``account`` sold what was paid for ``ref``."""

    account: bytes
    ref: bytes
    trade_ids: list[int]


class Reader:
    """Answers what is asked of the rows."""

    def __init__(
        self,
        database: Engine,
        catalog: Catalog,
        settlement: SettlementPort,
        confirmations_required: int,
        head: Callable[[], int],
    ) -> None:
        """``confirmations_required`` is how many customers are told of, ``head`` gives the newest
        block known, 0 for none."""
        self._database = database
        self._catalog = catalog
        self._settlement = settlement
        self._confirmations_required = confirmations_required
        self._head = head

    def invoice(self, invoice_id: str, store_id: str | None = None) -> InvoiceDocument | None:
        """Return an invoice; None if there is none or it is not ``store_id``'s."""
        with reading(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or store_id not in (None, invoice.store_id):
                return None
            return self.document(session, invoice)

    def sales(self, invoice_id: str, store_id: str | None = None) -> Sales | None:
        """Return what an invoice's tokens were sold in; None as ``invoice``."""
        return sales_of(self._database, invoice_id, store_id)

    def receipts(self, sales: Sales) -> list[TradeProof]:
        """Return proofs of all ``sales`` that are in a batch."""
        return self._settlement.receipts(*sales)

    def checkout(self, invoice_id: str) -> Checkout | None:
        """Return what the customer of an invoice sees; None if there is no such invoice."""
        if not is_there(self._database, INVOICE_OF_ID, invoice_id):
            return None
        with reading(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None:
                return None
            # One trade more than is shown: so the page can say that there are more.
            sums = sums_of(session, self._catalog, (invoice.id,))
            (document,) = self._documents(session, (invoice,), sums, TRADES_SHOWN + 1)
            return checkout_of(
                document, sums[invoice.id], invoice.store.name, self._confirmations_required
            )

    def list_invoices(
        self,
        store_id: str,
        *,
        order_id: str | None = None,
        state: InvoiceState | None = None,
        before: str | None = None,
        limit: int = INVOICES_MAX,
    ) -> list[InvoiceDocument] | None:
        """Return a store's invoices, the newest first, at most ``INVOICES_MAX``: those that come
        behind its invoice ``before``. None if it has no such invoice."""
        # All of their rows in some queries, not in some for each; the store is in none of them.
        rows_too = (
            selectinload(Invoice.payments),
            lazyload(Invoice.store),
        )
        query = select(Invoice).options(*rows_too).where(Invoice.store_id == store_id)
        if order_id is not None:
            query = query.where(Invoice.order_id == order_id)
        if state is not None:
            query = query.where(Invoice.state == state)
        query = query.order_by(Invoice.created_ns.desc(), Invoice.id)
        with reading(self._database) as session:
            if before is not None:
                own = (Invoice.id == before, Invoice.store_id == store_id)
                created_ns = session.scalar(select(Invoice.created_ns).where(*own))
                if created_ns is None:
                    return None
                older, twin = Invoice.created_ns < created_ns, Invoice.created_ns == created_ns
                query = query.where(or_(older, and_(twin, Invoice.id > before)))
            rows = session.scalars(query.limit(min(limit, INVOICES_MAX))).all()
            catalog, names = self._catalog, [row.id for row in rows]
            return self._documents(session, rows, sums_of(session, catalog, names))

    def list_conversions(
        self,
        store_id: str,
        invoice_id: str,
        *,
        before: str | None = None,
        limit: int = CONVERSIONS_SHOWN,
    ) -> list[ConversionDocument] | None:
        """Return the conversions of a store's invoice, the newest first, at most
        ``CONVERSIONS_SHOWN``: those that come behind the conversion ``before``. None if there is no
        such invoice, or it has no such conversion."""
        query = (
            select(Conversion)
            .where(Conversion.invoice_id == invoice_id)
            .order_by(Conversion.number.desc())
        )
        with reading(self._database) as session:
            own = (Invoice.id == invoice_id, Invoice.store_id == store_id)
            if session.scalar(select(Invoice.id).where(*own)) is None:
                return None
            if before is not None:
                its = (Conversion.id == before, Conversion.invoice_id == invoice_id)
                number = session.scalar(select(Conversion.number).where(*its))
                if number is None:
                    return None
                query = query.where(Conversion.number < number)
            rows = session.scalars(query.limit(min(limit, CONVERSIONS_SHOWN))).all()
            fills = first_fills(session, [row.id for row in rows])
            catalog = self._catalog
            return [conversion_document(catalog, row, fills[row.id]) for row in rows]

    def events_after(self, store_id: str, after: int, limit: int = PAGE_MAX) -> list[EventDocument]:
        """Return a store's events with ids above the cursor ``after``, oldest first."""
        query = (
            select(Event)
            .where(Event.store_id == store_id, Event.id > after)
            .order_by(Event.id)
            .limit(min(limit, PAGE_MAX))
        )
        with reading(self._database) as session:
            return [event_document(row) for row in session.scalars(query)]

    def webhook_deliveries(
        self,
        store_id: str,
        limit: int = PAGE_MAX,
        *,
        endpoint_id: str | None = None,
        before: int | None = None,
    ) -> list[Delivery]:
        """Return a store's deliveries, or those to one endpoint of it, the newest first: those
        behind the delivery ``before``."""
        query = select(Delivery).where(Delivery.store_id == store_id)
        if endpoint_id is not None:
            query = query.where(Delivery.endpoint_id == endpoint_id)
        if before is not None:
            query = query.where(Delivery.id < before)
        query = query.order_by(Delivery.id.desc()).limit(min(limit, PAGE_MAX))
        with reading(self._database) as session:
            return list(session.scalars(query))

    def document(self, session: Session, invoice: Invoice) -> InvoiceDocument:
        """Return one invoice, in the caller's transaction."""
        sums = sums_of(session, self._catalog, (invoice.id,))
        (document,) = self._documents(session, (invoice,), sums)
        return document

    def _documents(
        self,
        session: Session,
        invoices: Sequence[Invoice],
        sums: Mapping[str, Sums],
        fills_max: int | None = None,
    ) -> list[InvoiceDocument]:
        """Return some invoices with ``fills_max`` fills of all their conversions at most."""
        catalog, names = self._catalog, [invoice.id for invoice in invoices]
        newest = newest_conversions(session, names)
        sales = [conversion.id for rows in newest.values() for conversion in rows]
        fills = first_fills(session, sales, fills_max)
        return [
            invoice_document(catalog, row, sums[row.id], newest[row.id], fills, self._head())
            for row in invoices
        ]


def sales_of(database: Engine, invoice_id: str, store_id: str | None = None) -> Sales | None:
    """Return what an invoice's tokens were sold in; None as ``Merchants.invoice``."""
    with reading(database) as session:
        invoice = session.get(Invoice, invoice_id)
        if invoice is None or store_id not in (None, invoice.store_id):
            return None
        trade_ids = (
            select(Fill.trade_id)
            .join(Conversion, Conversion.id == Fill.conversion_id)
            .where(Conversion.invoice_id == invoice_id)
            .order_by(Conversion.number, Fill.trade_id)
        )
        return Sales(invoice.store.wallet, invoice.ref, list(session.scalars(trade_ids)))
