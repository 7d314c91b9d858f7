"""What was given back?"""

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from merchants.records.amounts import decimal_of_pips, hex_of
from merchants.records.refunds import Refund
from merchants.records.tables import Invoice, Store
from merchants.reports.page import Asked, BadCursor, House, Page
from merchants.reports.rows import RefundRow
from merchants.reports.written import moment


def refunds(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return refunds in the order in which they were made."""
    query = (
        select(Refund, Invoice.order_id)
        .join(Invoice, Invoice.id == Refund.invoice_id)
        .where(
            Refund.store_id == store.id,
            Refund.created_ns >= asked.from_ns,
            Refund.created_ns < asked.to_ns,
        )
        .order_by(Refund.created_ns, Refund.id)
    )
    if asked.cursor:
        created_ns, _, name = asked.cursor.partition(".")
        if not (created_ns.isascii() and created_ns.isdigit() and len(created_ns) < 19):
            raise BadCursor(asked.cursor)
        query = query.where(tuple_(Refund.created_ns, Refund.id) > tuple_(int(created_ns), name))
    found = session.execute(query.limit(asked.limit)).all()
    rows = [
        RefundRow(
            time_utc=moment(row.created_ns),
            time_local=moment(row.created_ns, asked.zone),
            refund=row.id,
            invoice=row.invoice_id,
            order_id=order_id,
            variant=row.variant,
            status=row.state,
            token=house.symbol_of(row.token),
            amount=decimal_of_pips(row.pips),
            currency=house.symbol_of(store.settle),
            worth_at_sale=decimal_of_pips(row.worth_pips),
            receiver=hex_of(row.receiver) if row.receiver else "",
            payout=str(row.sequence) if row.sequence else "",
            tx_hash="" if row.tx_hash is None else hex_of(row.tx_hash),
        )
        for row, order_id in found
    ]
    is_last = len(found) < asked.limit
    return Page(rows, "" if is_last else f"{found[-1][0].created_ns}.{found[-1][0].id}")
