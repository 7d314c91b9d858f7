"""Which transfers came to a store's invoices?"""

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from merchants.records.amounts import decimal_of, hex_of
from merchants.records.tables import Invoice, Payment, Store
from merchants.reports.page import Asked, BadCursor, House, Page
from merchants.reports.rows import PaymentRow
from merchants.reports.written import moment


def payments(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return transfers in the order in which they were seen first."""
    place = tuple_(Payment.seen_ns, Payment.tx_hash, Payment.log_index)
    query = (
        select(Payment, Invoice.order_id)
        .join(Invoice, Invoice.id == Payment.invoice_id)
        .where(
            Payment.store_id == store.id,
            Payment.seen_ns >= asked.from_ns,
            Payment.seen_ns < asked.to_ns,
        )
        .order_by(Payment.seen_ns, Payment.tx_hash, Payment.log_index)
    )
    if asked.cursor:
        query = query.where(place > tuple_(*_place_of(asked.cursor)))
    found = session.execute(query.limit(asked.limit)).all()
    rows = [_row(house, asked, payment, order_id) for payment, order_id in found]
    if len(found) < asked.limit:
        return Page(rows, "")
    last = found[-1][0]
    return Page(rows, f"{last.seen_ns}.{last.tx_hash.hex()}.{last.log_index}")


def _place_of(cursor: str) -> tuple[int, bytes, int]:
    try:
        seen_ns, tx_hash, log_index = cursor.split(".")
        place = int(seen_ns), bytes.fromhex(tx_hash), int(log_index)
    except ValueError:
        raise BadCursor(cursor) from None
    if not all(0 <= number < 2**63 for number in (place[0], place[2])):
        raise BadCursor(cursor)
    return place


def _row(house: House, asked: Asked, payment: Payment, order_id: str) -> PaymentRow:
    token = house.exchange.catalog.token_by_address(payment.token)
    decimals = 0 if token is None else token.decimals
    return PaymentRow(
        time_utc=moment(payment.seen_ns),
        time_local=moment(payment.seen_ns, asked.zone),
        invoice=payment.invoice_id,
        order_id=order_id,
        status=payment.state,
        token=house.symbol_of(payment.token),
        amount=decimal_of(int(payment.raw), decimals),
        sender=hex_of(payment.sender),
        tx_hash=hex_of(payment.tx_hash),
        log_index=payment.log_index,
        block=payment.block_number,
    )
