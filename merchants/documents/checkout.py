"""What does the customer need to read right now?

One phase of the sale at a time, and what is to be said of it: a key of the catalogue of words and
the facts that go into it, never a sentence, for it is read in many languages. The page that shows
them is ``gateway.pages.checkout``; nothing here knows HTML.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from merchants.documents.native import InvoiceDocument
from merchants.documents.refunds import RefundDocument
from merchants.documents.sums import Sums
from merchants.records.amounts import DUST_SHARE, pips_of_decimal
from merchants.records.refunds import RefundState
from merchants.records.states import InvoiceException, InvoiceState, PaymentState

TRADES_SHOWN: Final = 20
"""Most trades of all sales together that a customer is shown: anybody may ask for a checkout."""


class Phase(StrEnum):
    """Where the customer is: finer than the invoice's state before, coarser after."""

    WAITING = "waiting"
    PARTIAL = "partial"
    SEEN = "seen"
    CONVERTING = "converting"
    UNSOLD = "unsold"
    """The shop has it, and something keeps it from being sold just now."""
    SETTLED = "settled"
    LATE = "late"
    """Something came late or in part, and was not weighed yet."""
    SHORT = "short"
    """It was weighed, and is not enough."""
    RETURNED = "returned"
    """It did not pay, and all of it is given back."""
    EXPIRED = "expired"
    INVALID = "invalid"
    REVERSED = "reversed"
    """It had paid, and a reorganisation has taken it away; it may come back."""


ENDED: Final = (Phase.SETTLED, Phase.INVALID)
"""Nothing more is expected. An expired invoice still waits for a late payment."""

GIVEN_BACK: Final = (RefundState.AWAITING_PAYMENT, RefundState.IN_PROGRESS, RefundState.COMPLETED)
"""States of a refund that the shop has agreed to."""

PAYABLE: Final = (Phase.WAITING, Phase.PARTIAL)
"""While there is an address to pay to."""


OPEN: Final = (RefundState.AWAITING_APPROVAL, RefundState.AWAITING_PAYMENT)
"""States of a refund of which its customer may still say where it goes."""


class Money(NamedTuple):
    """A decimal string of a token, or of the currency that the shop ``is_price``d in."""

    amount: str
    unit: str
    is_price: bool = False


Fact = str | Money | tuple[str | Money, ...]


class Saying(NamedTuple):
    """A sentence of the catalogue, and what goes into it beside ``amount``, which is what is due in
    the token that its reader has chosen."""

    key: str
    values: Mapping[str, Fact]


class Offer(NamedTuple):
    """One token in which an invoice may be paid. ``remaining`` is what lacks of ``due``."""

    token: str
    token_address: str
    decimals: int
    due: str
    received: str
    remaining: str
    remaining_raw: int
    rate: Money


class Checkout(NamedTuple):
    """One invoice as its customer sees it; ``sayings`` say what happens next. ``account`` is the
    shop's, in hex; what is paid there for the invoice's ref pays for it. ``price`` is as the shop
    has stated it, ``received`` in the tokens that came; ``claimable`` are refunds that wait for the
    customer's address. ``embedders`` are the shop's own sites, whose pages may show it in a
    frame."""

    invoice: InvoiceDocument
    shop: str
    account: str
    phase: Phase
    sayings: tuple[Saying, ...]
    price: Money
    received: tuple[Money, ...]
    offers: tuple[Offer, ...]
    claimable: tuple[RefundDocument, ...]
    confirmations: int
    confirmations_required: int
    is_closed: bool = False
    """Whether the shop is: it answers nobody and makes no new price."""
    embedders: tuple[str, ...] = ()


def said(key: str, **values: Fact) -> Saying:
    """Return a saying with its facts by name."""
    return Saying(key, values)


def checkout_of(
    invoice: InvoiceDocument,
    sums: Sums,
    shop: str,
    account: str,
    confirmations_required: int,
    *,
    closed_ns: int | None = None,
    embedders: tuple[str, ...] = (),
) -> Checkout:
    """Return what to show for ``invoice``; ``sums`` are of all its conversions, of which the
    document has the newest only. ``closed_ns`` is when the shop was closed."""
    phase, is_closed = phase_of(invoice, sums), closed_ns is not None
    confirmations_required = max(confirmations_required, invoice.confirmations)
    confirmations = min(
        (p.confirmations for p in invoice.payments if p.status is not PaymentState.ORPHANED),
        default=0,
    )
    return Checkout(
        invoice=invoice,
        shop=shop,
        account=account,
        phase=phase,
        sayings=(
            *_sayings(invoice, sums, phase, is_closed=is_closed),
            *_strays(invoice, phase),
            *_returns(invoice),
            *_too_late(invoice, phase, closed_ns),
        ),
        price=_price(invoice),
        received=_received(invoice),
        offers=offers_of(invoice),
        claimable=tuple(r for r in invoice.refunds if r.receiver is None and r.status in OPEN),
        confirmations=min(confirmations, confirmations_required),
        confirmations_required=confirmations_required,
        is_closed=is_closed,
        embedders=embedders,
    )


def offers_of(invoice: InvoiceDocument) -> tuple[Offer, ...]:
    """Return in what an invoice may be paid."""
    return tuple(
        Offer(
            token=option.token,
            token_address=option.token_address,
            decimals=option.decimals,
            due=option.amount_due,
            received=option.received,
            remaining=option.remaining,
            remaining_raw=int(option.remaining_raw),
            rate=Money(option.rate, invoice.settle_token, is_price=True),
        )
        for option in invoice.options
    )


def phase_of(invoice: InvoiceDocument, sums: Sums) -> Phase:
    """Return the phase of an invoice; ``sums`` as in ``checkout_of``."""
    match invoice.status:
        case InvoiceState.NEW:
            return Phase.WAITING if invoice.received == "0" else Phase.PARTIAL
        case InvoiceState.PROCESSING:
            return Phase.SEEN
        case InvoiceState.EXPIRED if _given_back(invoice) and _is_dust(invoice):
            return Phase.RETURNED
        case InvoiceState.EXPIRED if invoice.received == "0":
            return Phase.EXPIRED
        case InvoiceState.EXPIRED:
            return Phase.LATE if invoice.short == "0" else Phase.SHORT
        case InvoiceState.INVALID if invoice.exception is InvoiceException.REVERSED:
            return Phase.REVERSED
        case InvoiceState.INVALID:
            return Phase.INVALID
        case InvoiceState.SETTLED if sums.going:
            return Phase.UNSOLD if sums.waiting else Phase.CONVERTING
        case InvoiceState.SETTLED:
            return Phase.SETTLED


def _sayings(
    invoice: InvoiceDocument, sums: Sums, phase: Phase, *, is_closed: bool
) -> tuple[Saying, ...]:
    received = _received(invoice)
    match phase:
        case Phase.WAITING:
            return (said("say_waiting"),)
        case Phase.PARTIAL:
            return (said("say_partial", received=received),)
        case Phase.SEEN:
            return (said("say_seen"),)
        case Phase.CONVERTING:
            return (said("say_converting"), *_beside(invoice))
        case Phase.UNSOLD:
            return (said("say_unsold"), *_beside(invoice))
        case Phase.SETTLED:
            return (_thanks(sums), *_beside(invoice))
        case Phase.LATE:
            return (said("say_late", received=received),)
        case Phase.SHORT:
            short = Money(invoice.short, invoice.settle_token, is_price=True)
            weighed = said("say_short", received=received, short=short)
            return (weighed, said("say_shop_closed" if is_closed else "say_short_keep"))
        case Phase.RETURNED:
            return (said("say_returned", received=_given_back(invoice)),)
        case Phase.EXPIRED if is_closed:
            return (said("say_shop_closed"),)
        case Phase.EXPIRED:
            return (said("say_expired"), said("say_ask_shop"))
        case Phase.INVALID:
            return (said("say_invalid"),)
        case Phase.REVERSED:
            return (said("say_reversed"),)


def _price(invoice: InvoiceDocument) -> Money:
    return Money(invoice.amount, invoice.currency, is_price=True)


def _received(invoice: InvoiceDocument) -> tuple[Money, ...]:
    """Return what came, in the tokens that it came in."""
    came = [Money(one.received, one.token) for one in invoice.options if one.received != "0"]
    came += [Money(one.counted, one.token) for one in invoice.others if one.counted != "0"]
    return tuple(came) or (Money("0", invoice.options[0].token),)


def _thanks(sums: Sums) -> Saying:
    if sums.held:
        return said("say_held_part" if sums.is_sold else "say_held_all")
    return said("say_settled")


def _beside(invoice: InvoiceDocument) -> tuple[Saying, ...]:
    """Say how what came differs from what was asked, where it was enough."""
    if invoice.exception is InvoiceException.PAID_OVER:
        return (said("say_over", over=Money(invoice.over, invoice.settle_token, is_price=True)),)
    if invoice.exception is InvoiceException.PAID_LATE:
        return (said("say_paid_late"),)
    return ()


def _given_back(invoice: InvoiceDocument) -> tuple[Money, ...]:
    """Return what goes back of what was to pay, by the store's policy or by its word."""
    options = {option.token for option in invoice.options}
    given = [one for one in invoice.refunds if one.status in GIVEN_BACK]
    return tuple(Money(one.of_amount, one.of_token) for one in given if one.of_token in options)


def _is_dust(invoice: InvoiceDocument) -> bool:
    """Return whether what came and does not go back is next to nothing."""
    received, price = pips_of_decimal(invoice.received), pips_of_decimal(invoice.price)
    return received is not None and price is not None and received * DUST_SHARE <= price


def _returns(invoice: InvoiceDocument) -> tuple[Saying, ...]:
    """Say what goes back, and what has gone."""
    given = [one for one in invoice.refunds if one.status in GIVEN_BACK]
    gone = [one for one in given if one.status is RefundState.COMPLETED]
    going = [one for one in given if one.status is not RefundState.COMPLETED]
    return tuple(
        said(key, back=tuple(Money(one.amount, one.token) for one in some))
        for key, some in (("say_giving_back", going), ("say_gave_back", gone))
        if some
    )


def _too_late(invoice: InvoiceDocument, phase: Phase, closed_ns: int | None) -> tuple[Saying, ...]:
    """Say that the shop had closed before something came: paid or not, nothing comes of it."""
    if closed_ns is None or phase in (Phase.SHORT, Phase.EXPIRED):
        return ()
    is_late = any(one.received_at * 10**9 > closed_ns for one in invoice.payments)
    return (said("say_shop_closed"),) if is_late else ()


def _strays(invoice: InvoiceDocument, phase: Phase) -> tuple[Saying, ...]:
    """Say that another token came, what it counts or that it does not, or that something left."""
    if phase not in (*PAYABLE, Phase.LATE, Phase.SHORT, Phase.RETURNED, Phase.EXPIRED):
        return ()
    strays, accepted = [], tuple(option.token for option in invoice.options)
    gone = [p for p in invoice.payments if p.status is PaymentState.ORPHANED]
    counted = [one for one in invoice.others if one.counted != "0"]
    others = {p.token for p in invoice.payments if p not in gone} - set(accepted)
    others -= {one.token for one in counted}
    back = others & {one.of_token for one in invoice.refunds if one.status in GIVEN_BACK}
    if gone:
        strays.append(said("say_lost_part"))
    for one in counted:
        worth = Money(one.worth, invoice.settle_token, is_price=True)
        strays.append(said("say_other_counted", came=Money(one.counted, one.token), worth=worth))
    for key, tokens in (("say_other_token", others - back), ("say_other_token_back", back)):
        if tokens:
            strays.append(said(key, tokens=tuple(sorted(tokens)), accepted=accepted))
    return tuple(strays)
