"""In what shape do shops see their invoices?

The same documents leave by REST and by webhook. Every amount is a decimal string; every status is
a word of ``merchants.records.states``. Webhooks carry summaries, whose size does not grow with the
number of transfers and fills.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from merchants.documents.refunds import (
    REFUNDS_SHOWN,
    RefundDocument,
    refund_document,
    refunded_worth,
)
from merchants.documents.sums import Sums
from merchants.records import shares, terms
from merchants.records.amounts import decimal_of, decimal_of_pips, hex_of, raw_covering
from merchants.records.options import Option
from merchants.records.others import Other, others_of
from merchants.records.pots import Given
from merchants.records.refunds import Refund
from merchants.records.spread import spread_ppm
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

    ``gathered`` of it were too little for an order and wait to be sold with others; ``reversed``
    were of money that a reorganisation took away before they were sold. A sale
    ``from_pot`` is one of what several invoices gave; ``net`` is shared over them. ``at_middle`` is
    what ``sold`` would have brought at the middle of the book when it was sold, ``spread_ppm`` by
    how many millionths it brought less (negative: more); both null where the book had no two sides.
    """

    id: str
    status: ConversionState
    market: str
    amount: str
    sold: str
    unsold: str
    gathered: str
    reversed: str
    from_pot: bool
    proceeds: str
    fee: str
    net: str
    attempts: int
    reason: str
    at_middle: str | None
    spread_ppm: int | None


class ConversionDocument(ConversionSummary, frozen=True):
    """A conversion with its fills."""

    fills: list[FillDocument]


class Expected(msgspec.Struct, frozen=True):
    """What the conversion brings at the quoted prices; the fee is the most, the net the least."""

    proceeds: str
    fee: str
    net: str


class OptionDocument(msgspec.Struct, frozen=True):
    """One token that the invoice may be paid in.

    ``rate`` and ``expected`` are in the invoice's ``settle_token``, all other amounts in ``token``.
    What is ``remaining`` of it, or of any other option, pays the rest.
    """

    token: str
    token_address: str
    decimals: int
    rate: str
    amount_due: str
    amount_due_raw: str
    received: str
    remaining: str
    remaining_raw: str
    credited: str
    expected: Expected


class OtherDocument(msgspec.Struct, frozen=True):
    """A token that the invoice was not offered in, and that came.

    ``received`` and ``counted`` are in ``token``; ``worth`` is what so much of it as counts pays of
    the price, in the invoice's ``settle_token``: what it sold for when it was seen final. ``why``
    says why the rest pays nothing; it is empty while that waits for its confirmations.
    """

    token: str
    token_address: str
    received: str
    counted: str
    worth: str
    why: str


class Exchanged(msgspec.Struct, frozen=True):
    """What one of ``currency`` was worth in the settle token, by whom, when in unix seconds."""

    currency: str
    rate: str
    source: str
    as_of: int


class LeftOut(msgspec.Struct, frozen=True):
    """A token that could not be offered: ``outcome`` as in a rejection, ``why`` in words."""

    token: str
    outcome: str
    why: str


class GivenDocument(msgspec.Struct, frozen=True):
    """What is sold together with other invoices' rests: ``amount`` in all, of which ``waiting`` is
    in no sale yet; ``kept`` of it stays as it came, as the store's policy says."""

    token: str
    amount: str
    waiting: str
    kept: str


class InvoiceSummary(msgspec.Struct, frozen=True):
    """An invoice without the lists that grow.

    The shop asked for ``amount`` of ``currency``; that is ``price`` in ``settle_token``, by ``fx``
    where the two differ. ``received``, ``remaining``, ``over``, ``short`` and ``net`` are in
    ``settle_token``: ``received`` is how much of the price is paid, by the options' own rates and
    by what ``others`` are worth;
    ``over`` what came on top; ``short`` how much too little it was worth when it was weighed, if it
    came late or in part; ``net`` what conversions, and shares of them, have brought so far after
    fees. ``confirmations`` are those that the store wants besides the exchange's own before it is
    settled, 0 for none. ``gathered`` is what is less than a lot, or than the market's least
    order. Times are unix seconds.
    """

    id: str
    store_id: str
    order_id: str
    status: InvoiceState
    exception: InvoiceException
    amount: str
    currency: str
    settle_token: str
    price: str
    fx: Exchanged | None
    options: list[OptionDocument]
    others: list[OtherDocument]
    deposit_address: str
    ref: str
    confirmations: int
    received: str
    remaining: str
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

    options_left_out: list[LeftOut]
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
    is_compared = 0 < conversion.compared_pips == proceeds
    return ConversionSummary(
        id=conversion.id,
        status=conversion.state,
        market=conversion.market,
        amount=decimal_of_pips(terms.pips_of(market, conversion)),
        sold=decimal_of_pips(terms.sold_pips(market, conversion)),
        unsold=decimal_of_pips(terms.unsold_pips(market, conversion)),
        gathered=decimal_of_pips(conversion.to_pot_pips),
        reversed=decimal_of_pips(conversion.reversed_pips),
        from_pot=conversion.from_pot,
        proceeds=decimal_of_pips(proceeds),
        fee=decimal_of_pips(fee),
        net=decimal_of_pips(proceeds - fee),
        attempts=conversion.attempts,
        reason=conversion.reason,
        at_middle=decimal_of_pips(conversion.at_middle_pips) if is_compared else None,
        spread_ppm=spread_ppm(conversion.at_middle_pips, proceeds) if is_compared else None,
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


def option_document(catalog: Catalog, invoice: Invoice, option: Option) -> OptionDocument:
    """Return one option of ``invoice`` as shops see it."""
    token = listed(catalog.token_by_address(option.token))
    is_settled = invoice.state is InvoiceState.SETTLED
    remaining = raw_covering(token, 0 if is_settled else shares.missing_pips(invoice, option))
    return OptionDocument(
        token=token.symbol,
        token_address=hex_of(token.address),
        decimals=token.decimals,
        rate=decimal_of_pips(option.rate_pips),
        amount_due=decimal_of(int(option.due_raw), token.decimals),
        amount_due_raw=option.due_raw,
        received=decimal_of_pips(shares.came_pips(option)),
        remaining=decimal_of(remaining, token.decimals),
        remaining_raw=str(remaining),
        credited=decimal_of_pips(option.credited_pips),
        expected=Expected(
            proceeds=decimal_of_pips(option.proceeds_pips),
            fee=decimal_of_pips(option.fee_pips),
            net=decimal_of_pips(option.proceeds_pips - option.fee_pips),
        ),
    )


def other_document(catalog: Catalog, other: Other) -> OtherDocument:
    """Return what came of a token that was not offered as shops see it."""
    token = listed(catalog.token_by_address(other.token))
    counted = shares.counted_pips(other)
    return OtherDocument(
        token=token.symbol,
        token_address=hex_of(token.address),
        received=decimal_of_pips(other.came_pips),
        counted=decimal_of_pips(counted),
        worth=decimal_of_pips(other.worth_of(counted)),
        why=other.why,
    )


def _remaining(invoice: Invoice) -> int:
    if invoice.state is InvoiceState.SETTLED:
        return 0
    return max(0, invoice.amount_pips - shares.received_pips(invoice))


def _exchanged(invoice: Invoice) -> Exchanged | None:
    if not invoice.fx_rate:
        return None
    return Exchanged(invoice.currency, invoice.fx_rate, invoice.fx_source, invoice.fx_as_of_s)


def invoice_summary(catalog: Catalog, invoice: Invoice, sums: Sums) -> InvoiceSummary:
    """Return an invoice without its payments and conversions; ``sums`` are of all of these."""
    settle = listed(catalog.token_by_address(invoice.settle))
    received = shares.received_pips(invoice)
    return InvoiceSummary(
        id=invoice.id,
        store_id=invoice.store_id,
        order_id=invoice.order_id,
        status=invoice.state,
        exception=invoice.exception,
        amount=invoice.amount or decimal_of_pips(invoice.amount_pips),
        currency=invoice.currency or settle.symbol,
        settle_token=settle.symbol,
        price=decimal_of_pips(invoice.amount_pips),
        fx=_exchanged(invoice),
        options=[option_document(catalog, invoice, option) for option in invoice.options],
        others=[other_document(catalog, other) for other in others_of(invoice)],
        deposit_address=checksum_address(invoice.deposit_address),
        ref=hex_of(invoice.ref),
        confirmations=invoice.confirmations,
        received=decimal_of_pips(received),
        remaining=decimal_of_pips(_remaining(invoice)),
        over=decimal_of_pips(max(0, received - invoice.amount_pips)),
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
        options_left_out=msgspec.json.decode(invoice.left_out, type=list[LeftOut]),
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
