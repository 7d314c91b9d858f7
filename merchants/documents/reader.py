"""What do shops and customers see of the rows?

Everything here reads and changes nothing, and may be asked on any thread.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
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
from merchants.documents.payable import Payable, payable_at
from merchants.documents.refunds import (
    REFUNDS_SHOWN,
    RefundDocument,
    refund_document,
    refunds_of,
)
from merchants.documents.sums import (
    CONVERSIONS_SHOWN,
    Sums,
    first_fills,
    newest_conversions,
    sums_of,
    sums_of_one,
)
from merchants.records.amounts import hex_of
from merchants.records.database import is_there, reading
from merchants.records.embedding import embedders_of
from merchants.records.endpoints import Delivery
from merchants.records.pots import Gift, pot_ref
from merchants.records.refunds import Refund, RefundState
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

    def payable_at(self, store_id: str, address: bytes) -> Payable | None:
        """Return what the store's invoice at a deposit address waits for."""
        return payable_at(self._database, store_id, address)

    def invoice(self, invoice_id: str, store_id: str | None = None) -> InvoiceDocument | None:
        """Return an invoice; None if there is none or it is not ``store_id``'s."""
        with reading(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or store_id not in (None, invoice.store_id):
                return None
            return self.document(session, invoice)

    def sales(self, invoice_id: str, store_id: str | None = None) -> list[Sales] | None:
        """Return what an invoice's tokens were sold in, alone and with others' rests; None as
        ``invoice``."""
        return sales_of(self._database, invoice_id, store_id)

    def receipts(self, sales: Sequence[Sales]) -> list[TradeProof]:
        """Return proofs of all ``sales`` that are in a batch."""
        return [proof for one in sales for proof in self._settlement.receipts(*one)]

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
                document,
                sums[invoice.id],
                invoice.store.name,
                hex_of(invoice.wallet),
                self._confirmations_required,
                closed_ns=invoice.store.closed_ns,
                embedders=embedders_of(session, invoice.store_id),
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
        # All of their rows in some queries, not in some for each; the store is in none of them,
        # and their options come by themselves.
        rows_too = (
            selectinload(Invoice.payments),
            selectinload(Invoice.others),
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

    def invoices_at(
        self,
        store_id: str,
        *,
        order_ids: Sequence[str] | None,
        states: Collection[InvoiceState],
        skip: int,
        take: int,
    ) -> list[InvoiceDocument]:
        """Return a store's invoices by number, the newest first, at most ``INVOICES_MAX``: those of
        some orders, or in some states, where any are named."""
        query = (
            select(Invoice)
            .options(
                selectinload(Invoice.payments),
                selectinload(Invoice.others),
                lazyload(Invoice.store),
            )
            .where(Invoice.store_id == store_id)
            .order_by(Invoice.created_ns.desc(), Invoice.id)
        )
        if order_ids:
            query = query.where(Invoice.order_id.in_(order_ids))
        if states:
            query = query.where(Invoice.state.in_(states))
        with reading(self._database) as session:
            rows = session.scalars(query.offset(skip).limit(min(take, INVOICES_MAX))).all()
            names = [row.id for row in rows]
            return self._documents(session, rows, sums_of(session, self._catalog, names))

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

    def refund(self, store_id: str, refund_id: str) -> RefundDocument | None:
        """Return a store's refund; None if it has no such refund."""
        with reading(self._database) as session:
            refund = session.get(Refund, refund_id)
            if refund is None or refund.store_id != store_id:
                return None
            return refund_document(self._catalog, refund)

    def list_refunds(
        self,
        store_id: str,
        *,
        invoice_id: str | None = None,
        state: RefundState | None = None,
        before: str | None = None,
        limit: int = REFUNDS_SHOWN,
        with_parts: bool = True,
    ) -> list[RefundDocument] | None:
        """Return a store's refunds, the newest first, at most ``REFUNDS_SHOWN``: those that come
        behind its refund ``before``. None if it has no such refund."""
        query = select(Refund).where(Refund.store_id == store_id)
        if not with_parts:
            query = query.where(Refund.part_of.is_(None))
        if invoice_id is not None:
            query = query.where(Refund.invoice_id == invoice_id)
        if state is not None:
            query = query.where(Refund.state == state)
        query = query.order_by(Refund.created_ns.desc(), Refund.id)
        with reading(self._database) as session:
            if before is not None:
                own = (Refund.id == before, Refund.store_id == store_id)
                created_ns = session.scalar(select(Refund.created_ns).where(*own))
                if created_ns is None:
                    return None
                older, twin = Refund.created_ns < created_ns, Refund.created_ns == created_ns
                query = query.where(or_(older, and_(twin, Refund.id > before)))
            rows = session.scalars(query.limit(min(limit, REFUNDS_SHOWN)))
            return [refund_document(self._catalog, row) for row in rows]

    def events_after(
        self,
        store_id: str,
        after: int,
        limit: int = PAGE_MAX,
        *,
        of_invoices: bool = False,
    ) -> list[EventDocument]:
        """Return a store's events with ids above the cursor ``after``, oldest first; only those
        ``of_invoices``, where who asks may not see what is done to the store itself."""
        query = select(Event).where(Event.store_id == store_id, Event.id > after)
        if of_invoices:
            query = query.where(Event.invoice_id.is_not(None))
        query = query.order_by(Event.id).limit(min(limit, PAGE_MAX))
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
        sums = sums_of_one(session, self._catalog, invoice)
        (document,) = self._documents(session, (invoice,), {invoice.id: sums})
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
        newest = newest_conversions(session, invoices)
        sales = [conversion.id for rows in newest.values() for conversion in rows]
        fills, head = first_fills(session, sales, fills_max), self._head()
        refunds = refunds_of(session, names)
        return [
            invoice_document(
                catalog,
                row,
                sums[row.id],
                newest[row.id],
                fills,
                self._head_for(row, head),
                refunds[row.id],
            )
            for row in invoices
        ]

    def _head_for(self, invoice: Invoice, head: int) -> int:
        """Return the newest block as far as ``invoice`` needs it: one that waits for more blocks
        than the exchange shows each of them."""
        waits = invoice.state is InvoiceState.PROCESSING and invoice.confirmations > 0
        return max(head, self._settlement.newest_block()) if waits else head


def sales_of(database: Engine, invoice_id: str, store_id: str | None = None) -> list[Sales] | None:
    """Return what an invoice's tokens were sold in; None as ``Merchants.invoice``.

    Sales of the store's pot name the store's own reference: they are of several invoices.
    """
    with reading(database) as session:
        invoice = session.get(Invoice, invoice_id)
        if invoice is None or store_id not in (None, invoice.store_id):
            return None
        given = select(Gift.conversion_id).where(Gift.invoice_id == invoice_id)
        sold = (
            select(Fill.trade_id)
            .join(Conversion, Conversion.id == Fill.conversion_id)
            .order_by(Conversion.number, Fill.trade_id)
        )
        alone = sold.where(Conversion.invoice_id == invoice_id, Conversion.from_pot.is_(False))
        together = sold.where(Conversion.id.in_(given.distinct()))
        wallet = invoice.wallet
        found = (
            Sales(wallet, invoice.ref, list(session.scalars(alone))),
            Sales(wallet, pot_ref(invoice.store_id), list(session.scalars(together))),
        )
        return [sales for sales in found if sales.trade_ids]
