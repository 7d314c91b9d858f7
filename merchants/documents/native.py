"""In what shape do shops see their invoices?

The same documents leave by REST and by webhook. Every amount is a decimal string; every status is
a word of ``merchants.records.states``. Webhooks carry summaries, whose size does not grow with the
number of transfers and fills.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.types import MONEY_MAX
from merchants.documents.refunds import (
    REFUNDS_SHOWN,
    RefundDocument,
    refund_document,
    refunded_worth,
)
from merchants.documents.sums import Sums
from merchants.records import terms
from merchants.records.amounts import decimal_of, decimal_of_pips, hex_of
from merchants.records.pots import Given
from merchants.records.refunds import Refund
from merchants.records.states import ConversionState, InvoiceException, InvoiceState, PaymentState
from merchants.records.tables import Conversion, Credit, Event, Fill, Invoice, Payment
from settlement.orders.catalog import Catalog, Market, Token
from settlement.protocol.checksum import checksum_address

PAYMENTS_SHOWN: Final = 256
"""Most payments in one document."""


class PaymentDocument(msgspec.Struct, frozen=True):
    """One transfer to the invoice's address."""

    tx_hash: str
    log_index: int
    status: PaymentState
    token: str
    amount: str
    block_number: int
    confirmations: int
    received_at: int
    """When its block was made, or when it was seen where that is not known; unix seconds."""


class DepositDocument(msgspec.Struct, frozen=True):
    """What was booked to the shop's account with the invoice's reference."""

    tx_hash: str
    log_index: int
    token: str
    amount: str


class FillDocument(msgspec.Struct, frozen=True):
    """One trade: ``proceeds`` in the quote token before ``fee``; ``status`` as ``TradeState``."""

    trade_id: int
    amount: str
    price: str
    proceeds: str
    fee: str
    status: str
    batch: int | None
    tx_hash: str | None


class ConversionSummary(msgspec.Struct, frozen=True):
    """One sale: of ``amount`` tokens ``sold`` brought ``proceeds``, of which ``net`` remains.

    ``gathered`` of it were too little for an order and wait to be sold with others. A sale
    ``from_pot`` is one of what several invoices gave; ``net`` is shared over them.
    """

    id: str
    status: ConversionState
    market: str
    amount: str
    sold: str
    unsold: str
    gathered: str
    from_pot: bool
    proceeds: str
    fee: str
    net: str
    attempts: int
    reason: str


class ConversionDocument(ConversionSummary, frozen=True):
    """A conversion with its fills."""

    fills: list[FillDocument]


class Expected(msgspec.Struct, frozen=True):
    """What the conversion brings at the quoted prices; the fee is the most, the net the least."""

    proceeds: str
    fee: str
    net: str


class GivenDocument(msgspec.Struct, frozen=True):
    """What is sold together with other invoices' rests: ``amount`` in all, of which ``waiting`` is
    in no sale yet; ``kept`` of it stays as it came, as the store's policy says."""

    token: str
    amount: str
    waiting: str
    kept: str


class InvoiceSummary(msgspec.Struct, frozen=True):
    """An invoice without the lists that grow.

    ``credited`` is in ``token``; ``gathered`` is what is less than a lot, or than the market's
    least order; ``net`` is the stablecoin that conversions, and shares of them, have brought so far
    after fees. ``over`` is what came on top of what is due, in
    ``token``; ``short`` is in USD how much too little it was worth when it was weighed, if it came
    late or in part. Times are unix seconds.
    """

    id: str
    store_id: str
    order_id: str
    status: InvoiceState
    exception: InvoiceException
    amount_usd: str
    token: str
    token_address: str
    lots: int
    rate: str
    amount_due: str
    amount_due_raw: str
    expected: Expected
    deposit_address: str
    ref: str
    received: str
    remaining: str
    credited: str
    over: str
    short: str
    gathered: list[GivenDocument]
    net: str
    created_at: int
    expires_at: int
    redirect_url: str
    metadata: msgspec.Raw


class InvoiceDocument(InvoiceSummary, frozen=True):
    """An invoice with all that happened to it. Of ``conversion_count`` conversions the newest are
    in ``conversions``, the oldest of them first."""

    payments: list[PaymentDocument]
    conversions: list[ConversionDocument]
    conversion_count: int
    refunds: list[RefundDocument]
    """The newest of them, the oldest of these first."""

    refunded: str
    """What all that is given back was worth, in the stablecoin at the invoice's rate."""


class EventDocument(msgspec.Struct, frozen=True):
    """An event in the list of events: ``body`` is exactly what the webhook carries."""

    id: int
    webhook_id: str
    sequence: int
    body: msgspec.Raw


def listed(token: Token | None) -> Token:
    """Return ``token``, which is in our rows and so must be in the catalog."""
    assert token is not None, "a listed token is never delisted"
    return token


def received_pips(invoice: Invoice) -> int:
    """Return what came in: what is booked, and what lies at the address and is not swept yet."""
    return min(invoice.seen_pips + invoice.credited_pips, MONEY_MAX)


def payment_document(catalog: Catalog, payment: Payment, head: int = 0) -> PaymentDocument:
    """Return one transfer as shops see it; ``head`` is the newest block known, 0 for none."""
    token = listed(catalog.token_by_address(payment.token))
    is_mined = payment.confirmations > 0
    return PaymentDocument(
        tx_hash=hex_of(payment.tx_hash),
        log_index=payment.log_index,
        status=payment.state,
        token=token.symbol,
        amount=decimal_of(int(payment.raw), token.decimals),
        block_number=payment.block_number,
        confirmations=max(payment.confirmations, is_mined * (head - payment.block_number + 1)),
        received_at=payment.block_time_s or payment.seen_ns // 10**9,
    )


def deposit_document(catalog: Catalog, credit: Credit) -> DepositDocument:
    """Return one booking as shops see it."""
    return DepositDocument(
        tx_hash=hex_of(credit.tx_hash),
        log_index=credit.log_index,
        token=listed(catalog.token_by_address(credit.token)).symbol,
        amount=decimal_of_pips(credit.amount_pips),
    )


def fill_document(market: Market, fill: Fill) -> FillDocument:
    """Return one trade as shops see it."""
    return FillDocument(
        trade_id=fill.trade_id,
        amount=decimal_of_pips(terms.pips_of(market, fill)),
        price=decimal_of_pips(terms.price_of(market, fill)),
        proceeds=decimal_of_pips(fill.proceeds_pips),
        fee=decimal_of_pips(fill.fee_pips),
        status=fill.state,
        batch=fill.batch,
        tx_hash=None if fill.tx_hash is None else hex_of(fill.tx_hash),
    )


def given_document(catalog: Catalog, given: Given) -> GivenDocument:
    """Return what an invoice gave of one token as shops see it."""
    return GivenDocument(
        token=listed(catalog.token_by_address(given.token)).symbol,
        amount=decimal_of_pips(given.pips),
        waiting=decimal_of_pips(given.waiting_pips),
        kept=decimal_of_pips(given.kept_pips),
    )


def conversion_summary(catalog: Catalog, conversion: Conversion) -> ConversionSummary:
    """Return a conversion without its fills."""
    market = terms.market_of(catalog, conversion.market)
    proceeds, fee = conversion.proceeds_pips, conversion.fee_pips
    return ConversionSummary(
        id=conversion.id,
        status=conversion.state,
        market=conversion.market,
        amount=decimal_of_pips(terms.pips_of(market, conversion)),
        sold=decimal_of_pips(terms.sold_pips(market, conversion)),
        unsold=decimal_of_pips(terms.unsold_pips(market, conversion)),
        gathered=decimal_of_pips(conversion.to_pot_pips),
        from_pot=conversion.from_pot,
        proceeds=decimal_of_pips(proceeds),
        fee=decimal_of_pips(fee),
        net=decimal_of_pips(proceeds - fee),
        attempts=conversion.attempts,
        reason=conversion.reason,
    )


def conversion_document(
    catalog: Catalog, conversion: Conversion, fills: Sequence[Fill]
) -> ConversionDocument:
    """Return a conversion with those of its ``fills`` that are shown."""
    market = terms.market_of(catalog, conversion.market)
    return ConversionDocument(
        **msgspec.structs.asdict(conversion_summary(catalog, conversion)),
        fills=[fill_document(market, fill) for fill in fills],
    )


def invoice_summary(catalog: Catalog, invoice: Invoice, sums: Sums) -> InvoiceSummary:
    """Return an invoice without its payments and conversions; ``sums`` are of all of these."""
    token = listed(catalog.token_by_address(invoice.token))
    received = received_pips(invoice)
    is_settled = invoice.state is InvoiceState.SETTLED
    return InvoiceSummary(
        id=invoice.id,
        store_id=invoice.store_id,
        order_id=invoice.order_id,
        status=invoice.state,
        exception=invoice.exception,
        amount_usd=decimal_of_pips(invoice.amount_pips),
        token=token.symbol,
        token_address=hex_of(token.address),
        lots=invoice.lots,
        rate=decimal_of_pips(invoice.rate_pips),
        amount_due=decimal_of(int(invoice.due_raw), token.decimals),
        amount_due_raw=invoice.due_raw,
        expected=Expected(
            proceeds=decimal_of_pips(invoice.proceeds_pips),
            fee=decimal_of_pips(invoice.fee_pips),
            net=decimal_of_pips(invoice.proceeds_pips - invoice.fee_pips),
        ),
        deposit_address=checksum_address(invoice.deposit_address),
        ref=hex_of(invoice.ref),
        received=decimal_of_pips(received),
        remaining=decimal_of_pips(0 if is_settled else max(0, invoice.due_pips - received)),
        credited=decimal_of_pips(invoice.credited_pips),
        over=decimal_of_pips(max(0, received - invoice.due_pips)),
        short=decimal_of_pips(invoice.short_pips),
        gathered=[given_document(catalog, given) for given in sums.given],
        net=decimal_of_pips(invoice.net_pips),
        created_at=invoice.created_ns // 10**9,
        expires_at=invoice.expires_ns // 10**9,
        redirect_url=invoice.redirect_url,
        metadata=msgspec.Raw(invoice.details.encode()),
    )


def invoice_document(
    catalog: Catalog,
    invoice: Invoice,
    sums: Sums,
    newest: Sequence[Conversion],
    fills: Mapping[str, Sequence[Fill]],
    head: int = 0,
    refunds: Sequence[Refund] = (),
) -> InvoiceDocument:
    """Return an invoice with its payments and ``newest`` conversions, with ``fills`` by conversion;
    ``sums`` are of all conversions, ``head`` as in ``payment_document``; ``refunds`` are all."""
    return InvoiceDocument(
        **msgspec.structs.asdict(invoice_summary(catalog, invoice, sums)),
        payments=[
            payment_document(catalog, row, head) for row in invoice.payments[:PAYMENTS_SHOWN]
        ],
        conversions=[conversion_document(catalog, row, fills[row.id]) for row in newest],
        conversion_count=sums.number,
        refunds=[refund_document(catalog, one) for one in refunds[-REFUNDS_SHOWN:]],
        refunded=decimal_of_pips(refunded_worth(refunds)),
    )


def event_document(event: Event) -> EventDocument:
    """Return an event for the list of events."""
    return EventDocument(
        event.id, event.webhook_id, event.sequence, msgspec.Raw(event.body.encode())
    )
