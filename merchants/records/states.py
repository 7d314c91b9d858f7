"""Which moves may an invoice, a payment, a booking, a conversion and a webhook delivery make?

Five small machines instead of one large one: each has few states, and what they mean together
(paid but late, settled but not yet converted) follows from their product. An edge that is not
declared here is our bug wherever it is asked for, never something that came from outside.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar


class InvoiceState(StrEnum):
    """What the shop should know: may it ship?"""

    NEW = "new"
    PROCESSING = "processing"
    """All of it was seen on chain and is not final yet."""
    SETTLED = "settled"
    """All of it is in the merchant's vault account."""
    EXPIRED = "expired"
    INVALID = "invalid"
    """It was seen in full and never became final, or was settled until a reorganisation took the
    money away."""


class InvoiceException(StrEnum):
    """How what came in differs from what was asked."""

    NONE = "none"
    PAID_PARTIAL = "paid_partial"
    PAID_OVER = "paid_over"
    PAID_LATE = "paid_late"
    """It was not full in time; it was worth the price when all of it had come."""
    REVERSED = "reversed"
    """It was settled, and a reorganisation has taken away so much of it that it is not paid."""


class PaymentState(StrEnum):
    """One transfer on chain, known by transaction hash and log index."""

    DETECTED = "detected"
    CONFIRMING = "confirming"
    FINAL = "final"
    ORPHANED = "orphaned"


class CreditState(StrEnum):
    """A deposit that the engine has booked, and where it is on chain. The ledger keeps it whatever
    becomes of it there."""

    BOOKED = "booked"
    """In a block that is deep enough, as far as anybody knows."""
    MOVED = "moved"
    """A reorganisation has put it into a block that is not deep enough yet."""
    MISSING = "missing"
    """It is in no block; there is still time for it to come back."""
    GONE = "gone"
    """It has not come back in time."""


class ConversionState(StrEnum):
    """One amount of tokens on its way through the book to stablecoin on chain."""

    PENDING = "pending"
    """Waits for its next order."""
    EXECUTING = "executing"
    """A signed order is stored; the journal has not told its fate yet."""
    FILLED = "filled"
    BATCHED = "batched"
    FINAL = "final"
    HELD = "held"
    """Attempts are spent, or the chain has taken back what was to be sold; what is left stays as
    token in the merchant's account."""


class DeliveryState(StrEnum):
    """One webhook message to one endpoint."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD = "dead"


ON_CHAIN: Final = (CreditState.BOOKED, CreditState.MOVED)
"""While a booking counts."""

UNSURE: Final = (CreditState.MOVED, CreditState.MISSING)
"""While nothing is decided: nothing of its invoice is sold, settled or swept."""

NOT_GONE: Final = (*ON_CHAIN, CreditState.MISSING)
"""While a booking may still come to be worth something by itself."""

State = TypeVar("State", bound=StrEnum)
Edges = Mapping[State, frozenset[State]]

INVOICE_EDGES: Final[Edges[InvoiceState]] = {
    InvoiceState.NEW: frozenset({InvoiceState.PROCESSING, InvoiceState.EXPIRED}),
    InvoiceState.PROCESSING: frozenset(
        {InvoiceState.SETTLED, InvoiceState.INVALID, InvoiceState.NEW, InvoiceState.EXPIRED}
    ),
    # A reorganisation has taken the money away.
    InvoiceState.SETTLED: frozenset({InvoiceState.INVALID}),
    # Back to NEW by a new price.
    InvoiceState.EXPIRED: frozenset({InvoiceState.PROCESSING, InvoiceState.NEW}),
    InvoiceState.INVALID: frozenset({InvoiceState.PROCESSING}),
}

EXCEPTION_EDGES: Final[Edges[InvoiceException]] = {
    InvoiceException.NONE: frozenset(
        {
            InvoiceException.PAID_PARTIAL,
            InvoiceException.PAID_OVER,
            InvoiceException.PAID_LATE,
            InvoiceException.REVERSED,
        }
    ),
    InvoiceException.PAID_PARTIAL: frozenset(
        {InvoiceException.NONE, InvoiceException.PAID_OVER, InvoiceException.PAID_LATE}
    ),
    InvoiceException.PAID_OVER: frozenset(
        {InvoiceException.NONE, InvoiceException.PAID_PARTIAL, InvoiceException.REVERSED}
    ),
    # A part of it has left the chain before it was settled.
    InvoiceException.PAID_LATE: frozenset(
        {InvoiceException.NONE, InvoiceException.PAID_PARTIAL, InvoiceException.REVERSED}
    ),
    # It has come back, or was paid anew.
    InvoiceException.REVERSED: frozenset(
        {InvoiceException.NONE, InvoiceException.PAID_OVER, InvoiceException.PAID_LATE}
    ),
}

PAYMENT_EDGES: Final[Edges[PaymentState]] = {
    PaymentState.DETECTED: frozenset(
        {PaymentState.CONFIRMING, PaymentState.FINAL, PaymentState.ORPHANED}
    ),
    PaymentState.CONFIRMING: frozenset({PaymentState.FINAL, PaymentState.ORPHANED}),
    # By a reorganisation deeper than the confirmations.
    PaymentState.FINAL: frozenset({PaymentState.ORPHANED}),
    PaymentState.ORPHANED: frozenset(
        {PaymentState.DETECTED, PaymentState.CONFIRMING, PaymentState.FINAL}
    ),
}

CREDIT_EDGES: Final[Edges[CreditState]] = {
    CreditState.BOOKED: frozenset({CreditState.MOVED, CreditState.MISSING}),
    CreditState.MOVED: frozenset({CreditState.BOOKED, CreditState.MISSING}),
    CreditState.MISSING: frozenset({CreditState.BOOKED, CreditState.MOVED, CreditState.GONE}),
    CreditState.GONE: frozenset({CreditState.BOOKED, CreditState.MOVED}),
}

CONVERSION_EDGES: Final[Edges[ConversionState]] = {
    ConversionState.PENDING: frozenset({ConversionState.EXECUTING, ConversionState.HELD}),
    ConversionState.EXECUTING: frozenset(
        {ConversionState.PENDING, ConversionState.FILLED, ConversionState.HELD}
    ),
    # Back to PENDING when a trade of it is busted: what it sold is to be sold again.
    ConversionState.FILLED: frozenset({ConversionState.BATCHED, ConversionState.PENDING}),
    ConversionState.BATCHED: frozenset({ConversionState.FINAL, ConversionState.PENDING}),
    # A reorganisation may take back what was final, and what it took back may be busted then.
    ConversionState.FINAL: frozenset({ConversionState.BATCHED, ConversionState.PENDING}),
    ConversionState.HELD: frozenset(),
}

DELIVERY_EDGES: Final[Edges[DeliveryState]] = {
    DeliveryState.PENDING: frozenset(
        {DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD}
    ),
    DeliveryState.RETRYING: frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD}),
    DeliveryState.DELIVERED: frozenset(),
    # What was in the air when its endpoint was given up may still arrive.
    DeliveryState.DEAD: frozenset({DeliveryState.DELIVERED}),
}


def moved(edges: Edges[State], now: State, then: State) -> State:
    """Return ``then``, having asserted that the edge from ``now`` is declared."""
    assert then in edges[now], f"no edge from {now} to {then}"
    return then
