"""How does a change of state become something the shop is told, exactly once in our rows?

The event, its place in the sequence of its invoice, or of its store (``store_events.py``), and the
promise to deliver it are written in the transaction of the change. What was committed will be sent;
what was not never happened.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from merchants.documents.native import (
    ConversionSummary,
    DepositDocument,
    InvoiceSummary,
    PaymentDocument,
    conversion_summary,
    deposit_document,
    invoice_summary,
    payment_document,
)
from merchants.documents.refunds import RefundDocument, refund_document
from merchants.documents.sums import Sums
from merchants.records.endpoints import Delivery, Endpoint
from merchants.records.pots import given_by
from merchants.records.refunds import Refund
from merchants.records.states import DeliveryState
from merchants.records.tables import Conversion, Credit, Event, Invoice, Payment
from merchants.records.together import has_none, once
from merchants.webhooks.event_types import EventType
from merchants.webhooks.formats import FORMATS
from settlement.orders.catalog import Catalog
from settlement.protocol.eip712 import keccak256


class _Contents(msgspec.Struct, frozen=True, omit_defaults=True):
    sequence: int
    invoice: InvoiceSummary
    payment: PaymentDocument | None = None
    conversion: ConversionSummary | None = None
    deposit: DepositDocument | None = None
    refund: RefundDocument | None = None


class _Body(msgspec.Struct, frozen=True, rename={"contents": "data"}):
    type: EventType
    timestamp: str
    contents: msgspec.Raw


class Place(NamedTuple):
    """Of what an event is, and which of its events."""

    store_id: str
    invoice_id: str | None
    sequence: int

    @property
    def subject_id(self) -> str:
        """Return what no two events are in the air of at a time."""
        return self.invoice_id or self.store_id


def record(
    session: Session,
    catalog: Catalog,
    invoice: Invoice,
    kind: EventType,
    now_ns: int,
    *,
    payment: Payment | None = None,
    conversion: Conversion | None = None,
    deposit: Credit | None = None,
    refund: Refund | None = None,
) -> None:
    """Append one event of ``invoice``, and its delivery to each endpoint that wants it."""
    invoice.event_count += 1
    given = () if has_none(invoice, "gifts") else given_by(session, (invoice.id,))[invoice.id]
    contents = _Contents(
        invoice.event_count,
        invoice_summary(catalog, invoice, Sums(given=given)),
        None if payment is None else payment_document(catalog, payment),
        None if conversion is None else conversion_summary(catalog, conversion),
        None if deposit is None else deposit_document(catalog, deposit),
        None if refund is None else refund_document(catalog, refund),
    )
    place = Place(invoice.store_id, invoice.id, invoice.event_count)
    # So that a new invoice is written before what is told of it.
    append(session, place, kind, contents, now_ns).invoice = invoice


def append(
    session: Session,
    place: Place,
    kind: EventType,
    contents: msgspec.Struct,
    now_ns: int,
    but: str = "",
) -> Event:
    """Write an event down, and its delivery to each endpoint of the store that wants it, ``but``
    not to that one."""
    told = _told(session, place.store_id)
    timestamp = datetime.fromtimestamp(now_ns // 10**9, UTC).isoformat()
    # Of what is told, and not of its number alone: where these rows are set back to an older copy,
    # the same event is told under the same id, and another in its place under another.
    written = msgspec.json.encode(contents)
    event = Event(
        store_id=place.store_id,
        invoice_id=place.invoice_id,
        sequence=place.sequence,
        type=kind,
        webhook_id="msg_" + keccak256(f"{kind}:".encode() + written)[:16].hex(),
        created_ns=now_ns,
        body=msgspec.json.encode(_Body(kind, timestamp, msgspec.Raw(written))).decode(),
    )
    session.add(event)
    for endpoint in told:
        if endpoint.id != but and _is_wanted(endpoint, kind):
            session.add(
                Delivery(
                    event=event,
                    endpoint_id=endpoint.id,
                    store_id=place.store_id,
                    subject_id=place.subject_id,
                    state=DeliveryState.PENDING,
                    created_ns=now_ns,
                    next_attempt_ns=now_ns,
                )
            )
    return event


_TOLD: Final = (
    select(Endpoint)
    .where(
        Endpoint.store_id == bindparam("store_id"),
        Endpoint.enabled,
        Endpoint.deleted_ns.is_(None),
    )
    .order_by(Endpoint.created_ns, Endpoint.id)
)


def _told(session: Session, store_id: str) -> Sequence[Endpoint]:
    """Return where a store is told."""
    mine = {"store_id": store_id}
    return once(session, ("told", store_id), lambda: session.scalars(_TOLD, mine).all())


def _is_wanted(endpoint: Endpoint, kind: EventType) -> bool:
    """Return whether an endpoint asked for events of ``kind`` and has words for them."""
    asked = not endpoint.types or kind in endpoint.types.split(" ")
    return asked and FORMATS[endpoint.format].tells(kind)


def ping_body(endpoint_id: str, now_ns: int) -> str:
    """Return the body of an event that means nothing."""
    timestamp = datetime.fromtimestamp(now_ns // 10**9, UTC).isoformat()
    ping = {"type": "ping", "timestamp": timestamp, "data": {"endpoint": endpoint_id}}
    return msgspec.json.encode(ping).decode()
