"""How are BTCPay's plugins told what happened?

In their words, signed by ``BTCPay-Sig``: HMAC-SHA256 of the body by the endpoint's newest secret,
as the plugin was given it. What they have no word for they are not told.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from merchants.webhooks.event_types import EventType

WORDS: Final[Mapping[EventType, str]] = {
    EventType.INVOICE_CREATED: "InvoiceCreated",
    EventType.INVOICE_RECEIVED_PAYMENT: "InvoiceReceivedPayment",
    EventType.INVOICE_PROCESSING: "InvoiceProcessing",
    EventType.INVOICE_EXPIRED: "InvoiceExpired",
    EventType.INVOICE_SETTLED: "InvoiceSettled",
    EventType.INVOICE_INVALID: "InvoiceInvalid",
    EventType.INVOICE_REVERSED: "InvoiceInvalid",
    # What came besides, and is booked: on top of a settled invoice, or too little of one.
    EventType.INVOICE_PAID_OVER: "InvoicePaymentSettled",
    EventType.INVOICE_SHORT: "InvoicePaymentSettled",
    EventType.REFUND_CLAIMED: "PayoutCreated",
    EventType.REFUND_APPROVED: "PayoutApproved",
    EventType.REFUND_IN_PROGRESS: "PayoutUpdated",
    EventType.REFUND_WAITING: "PayoutUpdated",
    EventType.REFUND_COMPLETED: "PayoutUpdated",
    EventType.REFUND_CANCELLED: "PayoutUpdated",
}
NETWORK: Final = "CHAIN"
"""What stands behind the token in the id of a payment method."""

PAYOUTS: Final = {
    "awaiting_approval": "AwaitingApproval",
    "awaiting_payment": "AwaitingPayment",
    "in_progress": "InProgress",
    "completed": "Completed",
    "cancelled": "Cancelled",
}


class Told(Protocol):
    """One event on its way to one endpoint; ``body`` is its own JSON, times are unix seconds."""

    @property
    def type(self) -> str:
        """Return the event's type."""
        ...

    @property
    def body(self) -> str:
        """Return the event as JSON."""
        ...

    @property
    def store_id(self) -> str:
        """Return whose it is."""
        ...

    @property
    def invoice_id(self) -> str:
        """Return which invoice's it is."""
        ...

    @property
    def endpoint_id(self) -> str:
        """Return where it goes."""
        ...

    @property
    def delivery_id(self) -> str:
        """Return which sending it is."""
        ...

    @property
    def first_delivery_id(self) -> str:
        """Return which sending it repeats, or itself."""
        ...

    @property
    def created_at(self) -> int:
        """Return when it happened."""
        ...


class _Invoice(msgspec.Struct, frozen=True):
    status: str
    exception: str
    expires_at: int
    deposit_address: str
    metadata: msgspec.Raw
    """The shop's own, as it came: what is in it is never read here."""


class _Data(msgspec.Struct, frozen=True):
    invoice: _Invoice
    payment: dict[str, Any] = {}
    refund: dict[str, Any] = {}


class _Event(msgspec.Struct, frozen=True):
    data: _Data


def has_words(kind: str) -> bool:
    """Return whether an event type of ours is told at all."""
    return kind in WORDS


def types_named(names: Iterable[str]) -> tuple[str, ...]:
    """Return our event types for theirs; none for names that we have nothing for."""
    wanted = set(names)
    return tuple(str(ours) for ours, theirs in WORDS.items() if theirs in wanted)


def names_of(types: Iterable[str]) -> list[str]:
    """Return their names for event types of ours."""
    return sorted({WORDS[EventType(one)] for one in types if EventType(one) in WORDS})


def body_of(message: Told) -> bytes:
    """Return an event in their shape."""
    data = msgspec.json.decode(message.body, type=_Event).data
    told = {
        "deliveryId": message.delivery_id,
        "webhookId": message.endpoint_id,
        "originalDeliveryId": message.first_delivery_id,
        "isRedelivery": message.delivery_id != message.first_delivery_id,
        "type": WORDS[EventType(message.type)],
        "timestamp": message.created_at,
        "storeId": message.store_id,
        "invoiceId": message.invoice_id,
        "metadata": data.invoice.metadata,
    }
    return msgspec.json.encode(told | _more(message.type, data))


def _more(kind: str, data: _Data) -> dict[str, Any]:
    """Return what an event of this kind has besides."""
    invoice = data.invoice
    is_over, is_late = invoice.exception == "paid_over", invoice.exception == "paid_late"
    match EventType(kind):
        case EventType.INVOICE_RECEIVED_PAYMENT:
            payment = data.payment
            is_late = payment["received_at"] > invoice.expires_at
            return {
                "afterExpiration": is_late,
                "paymentMethodId": f"{payment['token']}-{NETWORK}",
                "paymentMethod": f"{payment['token']}-{NETWORK}",
                "payment": {
                    "id": f"{payment['tx_hash']}-{payment['log_index']}",
                    "receivedDate": payment["received_at"],
                    "value": payment["amount"],
                    "fee": "0",
                    "status": "Processing",
                    "destination": invoice.deposit_address,
                },
            }
        case EventType.INVOICE_PAID_OVER | EventType.INVOICE_SHORT:
            is_late = invoice.status == "expired"
            return {"afterExpiration": is_late, "overPaid": is_over, "paymentMethodId": None}
        case EventType.INVOICE_PROCESSING:
            return {"overPaid": is_over}
        case EventType.INVOICE_EXPIRED:
            return {"partiallyPaid": invoice.exception == "paid_partial"}
        case EventType.INVOICE_SETTLED:
            return {"manuallyMarked": False, "overPaid": is_over, "afterExpiration": is_late}
        case EventType.INVOICE_INVALID | EventType.INVOICE_REVERSED:
            return {"manuallyMarked": False}
        case EventType.INVOICE_CREATED:
            return {}
    refund = data.refund
    return {
        "payoutId": refund["id"],
        "pullPaymentId": refund["id"],
        "payoutState": PAYOUTS[refund["status"]],
    }


def headers_of(secret: str, body: bytes) -> dict[str, str]:
    """Return the header that proves a body: the secret is taken letter for letter."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"BTCPay-Sig": f"sha256={signature}"}
