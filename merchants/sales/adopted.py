"""Which sale or refund does a command of ours belong to that these rows do not know?

Every order is stored before it is placed, so the log has one that is not here only where the rows
are an older copy: it was placed after that. Signed by a session key of ours, in the name of an
invoice or a pot, it sold what is still to be sold by these rows; whoever did not count it would
try to sell that again. So it is with withdrawals that paid refunds, which would be paid twice.
"""

from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from merchants.documents.sums import sums_of
from merchants.records import terms
from merchants.records.grants import Grant
from merchants.records.options import option_of
from merchants.records.others import other_of
from merchants.records.pots import pot_ref
from merchants.records.refunds import Refund, RefundKey, RefundState, RefundWithdrawal
from merchants.records.states import CONVERSION_EDGES, ConversionState, moved
from merchants.records.tables import Conversion, Invoice, Order, Store
from merchants.sales.pots import Pots, new_conversion
from merchants.sales.refund_parts import split
from settlement.orders.catalog import Catalog, Market
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal, encode

SALES_MAX: Final = 1_000
"""Most open sales of one invoice or one store's pot in which an order is looked for."""


def granting_wallets(session: Session) -> set[bytes]:
    """Return the wallets that were ever asked for a grant: whose orders may be ours."""
    return set(session.scalars(select(Grant.wallet).distinct()))


def adopt(
    session: Session,
    catalog: Catalog,
    pots: Pots,
    signed: SignedOrder,
    market: Market,
    now_ns: int,
) -> Order | None:
    """Return a row for an order of the log, with the sale that it was an attempt of; None if it is
    none of ours, or of an invoice that was made after the copy.

    A sale that waits takes it, of several the one that is as large as the order; if there is none,
    one is made of what is in none.
    """
    of_key = select(Grant.store_id).where(
        Grant.wallet == signed.account, Grant.key_address == signed.signer
    )
    store_id = session.scalar(of_key.limit(1))
    lots = signed.base_amount // market.lot_pips
    if store_id is None or lots == 0:
        return None
    if signed.ref == pot_ref(store_id):
        of_pot = (Conversion.store_id == store_id, Conversion.from_pot.is_(True))
        conversion = _waiting(session, market, signed.base_amount, *of_pot)
        conversion = conversion or pots.open_sold(session, store_id, market, lots, now_ns)
    else:
        invoice = session.scalar(
            select(Invoice).where(Invoice.ref == signed.ref, Invoice.store_id == store_id)
        )
        if invoice is None:
            return None
        alone = (Conversion.invoice_id == invoice.id, Conversion.from_pot.is_(False))
        conversion = _waiting(session, market, signed.base_amount, *alone)
        conversion = conversion or _unjudged(session, catalog, invoice, market, lots, now_ns)
    if conversion is None or conversion.invoice.wallet != signed.account:
        return None
    if terms.unsold_pips(market, conversion) < signed.base_amount:
        return None
    conversion.attempts += 1
    conversion.state = moved(CONVERSION_EDGES, conversion.state, ConversionState.EXECUTING)
    order = Order(
        digest=signed.digest,
        conversion_id=conversion.id,
        wallet=signed.account,
        lots=lots,
        limit_ticks=signed.quote_amount // market.quote_pips(lots, 1),
        body=encode(signed),
    )
    session.add(order)
    session.flush()
    return order


def _waiting(
    session: Session, market: Market, base_pips: int, *whose: ColumnElement[bool]
) -> Conversion | None:
    waits = (Conversion.state == ConversionState.PENDING, Conversion.market == market.symbol)
    rows = select(Conversion).where(*waits, *whose).order_by(Conversion.number).limit(SALES_MAX)
    large = [
        (terms.unsold_pips(market, row) != base_pips, row.number, row)
        for row in session.scalars(rows)
        if terms.unsold_pips(market, row) >= base_pips
    ]
    return min(large, key=lambda one: one[:2])[2] if large else None


def _unjudged(
    session: Session, catalog: Catalog, invoice: Invoice, market: Market, lots: int, now_ns: int
) -> Conversion | None:
    """Open the sale of late money: it was weighed after the copy, and these rows have yet to."""
    token = market.base.address
    option = option_of(invoice, token) or other_of(invoice, token)
    if option is None:
        return None
    sums = sums_of(session, catalog, (invoice.id,))[invoice.id]
    given = sum(one.pips for one in sums.given if one.token == option.token)
    rest = option.credited_pips - sums.base_pips.get(market.symbol, 0) - given
    if rest < market.base_pips(lots):
        return None
    conversion = new_conversion(invoice, market, lots, None, sums.number + 1, now_ns)
    session.add(conversion)
    session.flush()
    return conversion


def was_sold(session: Session, invoice: Invoice) -> bool:
    """Return whether what came late was found enough and sold in its own name, before the rows
    were set back to a copy: nothing else is sold of what is not settled."""
    sales = select(Conversion.id).where(
        Conversion.invoice_id == invoice.id, Conversion.from_pot.is_(False)
    )
    return session.scalar(sales.limit(1)) is not None


def paying_accounts(session: Session) -> set[bytes]:
    """Return the accounts out of which a refund may have been paid."""
    keys = session.scalars(select(RefundKey.key_address)).all()
    return {*keys, *session.scalars(select(Store.wallet).distinct())}


def adopt_withdrawal(session: Session, signed: SignedWithdrawal) -> RefundWithdrawal | None:
    """Return a row for a withdrawal of the log, with the refund that it paid; None if it paid none
    that these rows know.

    Of a wallet it must say what, how much and to whom, for its owner takes out what he likes. A
    refund account pays nothing but refunds and its owner, so the customer may have said to whom
    after the copy: then he is believed to have said this.
    """
    key = session.get(RefundKey, signed.account)
    stores = (
        select(Store.id).where(Store.wallet == signed.account)
        if key is None
        else select(RefundKey.store_id).where(RefundKey.key_address == signed.account)
    )
    receivers = (signed.to,) if key is None else (signed.to, b"")
    refund = session.scalar(
        select(Refund)
        .where(
            Refund.store_id.in_(stores),
            Refund.state == RefundState.AWAITING_PAYMENT,
            Refund.token == signed.token,
            Refund.pips == signed.amount,
            Refund.receiver.in_(receivers),
        )
        .order_by((Refund.receiver == signed.to).desc(), Refund.created_ns, Refund.id)
        .limit(1)
    )
    if refund is None and key is not None:
        refund = _claimed_part(session, key.store_id, signed)
    if refund is None:
        return None
    refund.receiver = signed.to
    row = RefundWithdrawal(
        digest=signed.digest,
        refund_id=refund.id,
        store_id=refund.store_id,
        account=signed.account,
        token=signed.token,
        pips=signed.amount,
        receiver=signed.to,
        nonce=signed.nonce,
        expiry=signed.expiry,
        signature=signed.signature,
        outcome=None,
        next_ns=0,
    )
    session.add(row)
    session.flush()
    return row


def _claimed_part(session: Session, store_id: str, signed: SignedWithdrawal) -> Refund | None:
    """Return the part of a refund that a refund account has paid: who claimed it did so after the
    copy. Whichever it was of, so much less is given back in all."""
    whole = session.scalar(
        select(Refund)
        .where(
            Refund.store_id == store_id,
            Refund.state == RefundState.AWAITING_PAYMENT,
            Refund.token == signed.token,
            Refund.pips > signed.amount,
            Refund.receiver == b"",
        )
        .order_by(Refund.created_ns, Refund.id)
        .limit(1)
    )
    if whole is None:
        return None
    return split(session, whole, signed.amount, "rfd_" + signed.digest[:16].hex())
