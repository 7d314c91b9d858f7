"""What does the customer need to read right now?

One phase of the sale at a time, in words that say what happens next. The page that shows them is
``gateway.pages.checkout``; nothing here knows HTML.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from merchants.documents.native import InvoiceDocument
from merchants.documents.sums import Sums
from merchants.records.states import InvoiceException, InvoiceState, PaymentState

TRADES_SHOWN: Final = 20
"""Most trades of all sales together that a customer is shown: anybody may ask for a checkout."""


class Phase(StrEnum):
    """Where the customer is: finer than the invoice's state before, coarser after."""

    WAITING = "waiting"
    PARTIAL = "partial"
    SEEN = "seen"
    CONVERTING = "converting"
    SETTLED = "settled"
    EXPIRED = "expired"
    INVALID = "invalid"


ENDED: Final = (Phase.SETTLED, Phase.INVALID)
"""Nothing more is expected. An expired invoice still waits for a late payment."""

HEADLINES: Final[Mapping[Phase, str]] = {
    Phase.WAITING: "Waiting for your payment",
    Phase.PARTIAL: "Part of your payment has arrived",
    Phase.SEEN: "Payment seen",
    Phase.CONVERTING: "Payment received",
    Phase.SETTLED: "Paid",
    Phase.EXPIRED: "This price has expired",
    Phase.INVALID: "This payment was not confirmed",
}


class Checkout(NamedTuple):
    """One invoice as its customer sees it; ``sentence`` says what happens next."""

    invoice: InvoiceDocument
    shop: str
    phase: Phase
    headline: str
    sentence: str
    confirmations: int
    confirmations_required: int


def checkout_of(
    invoice: InvoiceDocument, sums: Sums, shop: str, confirmations_required: int
) -> Checkout:
    """Return what to show for ``invoice``; ``sums`` are of all its conversions, of which the
    document has the newest only."""
    phase = phase_of(invoice, sums)
    confirmations = min(
        (p.confirmations for p in invoice.payments if p.status is not PaymentState.ORPHANED),
        default=0,
    )
    return Checkout(
        invoice=invoice,
        shop=shop,
        phase=phase,
        headline=HEADLINES[phase],
        sentence=_sentence(invoice, sums, phase) + _stray(invoice, phase),
        confirmations=min(confirmations, confirmations_required),
        confirmations_required=confirmations_required,
    )


def phase_of(invoice: InvoiceDocument, sums: Sums) -> Phase:
    """Return the phase of an invoice; ``sums`` as in ``checkout_of``."""
    match invoice.status:
        case InvoiceState.NEW:
            return Phase.WAITING if invoice.received == "0" else Phase.PARTIAL
        case InvoiceState.PROCESSING:
            return Phase.SEEN
        case InvoiceState.EXPIRED:
            return Phase.EXPIRED
        case InvoiceState.INVALID:
            return Phase.INVALID
        case InvoiceState.SETTLED:
            return Phase.CONVERTING if sums.going else Phase.SETTLED


def _sentence(invoice: InvoiceDocument, sums: Sums, phase: Phase) -> str:
    match phase:
        case Phase.WAITING:
            return (
                f"Send exactly {_either(invoice, 'amount_due')} to the address below, from a "
                "wallet or straight from an exchange."
            )
        case Phase.PARTIAL:
            return (
                f"{_arrived(invoice)} arrived. Send the remaining "
                f"{_either(invoice, 'remaining')} to the same address."
            )
        case Phase.SEEN:
            return "You are done. The chain is confirming your payment; this page follows it."
        case Phase.CONVERTING:
            return _converting_sentence(sums)
        case Phase.SETTLED:
            return _settled_sentence(invoice, sums)
        case Phase.EXPIRED if invoice.exception is InvoiceException.PAID_PARTIAL:
            return (
                f"{invoice.received} of {invoice.price} {invoice.settle_token} arrived, not all of "
                f"it in time. {_weighed(invoice)} Please contact the shop, or send the rest: it is "
                "counted at the price of the moment when it is final."
            )
        case Phase.EXPIRED:
            return (
                "Do not send anything to this address any more; ask the shop for a new price. "
                "Sent already? It is not lost: it is counted at the price of the moment when it is "
                "final, and pays for your order if it is worth enough then."
            )
        case Phase.INVALID:
            return "The transfer never became final on chain. Please contact the shop."


def _arrived(invoice: InvoiceDocument) -> str:
    """Return what came, in the tokens that it came in."""
    came = (f"{option.received} {option.token}" for option in invoice.options)
    return " and ".join(amount for amount in came if not amount.startswith("0 "))


def _either(invoice: InvoiceDocument, field: Literal["amount_due", "remaining"]) -> str:
    """Return an amount in each token that it may be sent in."""
    return " or ".join(f"{getattr(option, field)} {option.token}" for option in invoice.options)


def _stray(invoice: InvoiceDocument, phase: Phase) -> str:
    """Say that another token came: it does not pay, and is not lost."""
    asked = [option.token for option in invoice.options]
    tokens = sorted(
        {
            payment.token
            for payment in invoice.payments
            if payment.token not in asked and payment.status is not PaymentState.ORPHANED
        }
    )
    if not tokens or phase not in (Phase.WAITING, Phase.PARTIAL, Phase.EXPIRED):
        return ""
    return (
        f" What you sent in {' and '.join(tokens)} is not counted: this address is paid in "
        f"{' or '.join(asked)}. The shop gets it; please contact the shop."
    )


def _weighed(invoice: InvoiceDocument) -> str:
    if invoice.short == "0":
        return "The shop has it, or will when it is final."
    return (
        "The shop has it; at the price of its moment it was short by "
        f"{invoice.short} {invoice.settle_token}."
    )


def _converting_sentence(sums: Sums) -> str:
    """Say that it is being sold only while nothing has kept it from being sold."""
    if sums.waiting:
        return (
            "You are done: the shop has your payment. It cannot be sold at its price just now; the "
            "sale is tried again by itself, and that is the shop's business."
        )
    return "You are done: the shop has your payment. It is being sold on the order book."


def _settled_sentence(invoice: InvoiceDocument, sums: Sums) -> str:
    if sums.held:
        kept = "part of it" if sums.is_sold else "all of it"
        return f"Thank you. The shop has your payment and keeps {kept} as it came."
    if invoice.exception is InvoiceException.PAID_OVER:
        return "Thank you. More than the amount due arrived; the shop can see the difference."
    if invoice.exception is InvoiceException.PAID_LATE:
        return (
            "Thank you. It came after the price expired and was counted at the price of its moment."
        )
    return "Thank you. The shop has its money, and the chain has the proof."
