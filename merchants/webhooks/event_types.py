"""What can a shop be told?"""

from enum import StrEnum
from typing import Final


class EventType(StrEnum):
    """Everything a shop can be told: of its invoices, and of itself (``OF_STORE``)."""

    INVOICE_CREATED = "invoice.created"
    INVOICE_RECEIVED_PAYMENT = "invoice.received_payment"
    INVOICE_PROCESSING = "invoice.processing"
    INVOICE_REOPENED = "invoice.reopened"
    """A transfer it counted on has left the chain; it waits for payment again."""
    INVOICE_SETTLED = "invoice.settled"
    INVOICE_PAID_OVER = "invoice.paid_over"
    """More came after it was settled."""
    INVOICE_SHORT = "invoice.short"
    """What came late or in part was weighed and is worth too little; ``short`` says by how much."""
    INVOICE_OTHER_TOKEN = "invoice.other_token"
    """Tokens that it did not ask for are booked to the shop's account with its reference, whichever
    way they came: they pay nothing of it, and giving them back is between shop and payer."""
    INVOICE_EXPIRED = "invoice.expired"
    INVOICE_REQUOTED = "invoice.requoted"
    """It had expired, and may be paid at new quotes until it expires again; what came counts at
    them."""
    INVOICE_INVALID = "invoice.invalid"
    INVOICE_REVERSED = "invoice.reversed"
    """It was settled, and a reorganisation of the chain has taken away so much of what had paid it
    that it is not paid. If that comes back it is settled again, and told so."""
    CONVERSION_WAITING = "conversion.waiting"
    """It could not be sold just now, ``reason`` says why; it is tried again."""
    CONVERSION_FILLED = "conversion.filled"
    CONVERSION_BATCHED = "conversion.batched"
    CONVERSION_FINAL = "conversion.final"
    CONVERSION_HELD = "conversion.held"
    CONVERSION_BUSTED = "conversion.busted"
    """The chain refused trades of it and they were undone: it is sold again, or more of it held."""
    REFUND_OPENED = "refund.opened"
    REFUND_APPROVED = "refund.approved"
    REFUND_CLAIMED = "refund.claimed"
    """The customer has said where it goes, or has said so anew before it was approved."""
    REFUND_IN_PROGRESS = "refund.in_progress"
    REFUND_WAITING = "refund.waiting"
    """It could not be paid just now, ``note`` says why; nobody has been paid by it."""
    REFUND_COMPLETED = "refund.completed"
    REFUND_CANCELLED = "refund.cancelled"
    PAYOUT_CHANGE_ASKED = "payout_change.asked"
    """Somebody wants the store's money to go to another wallet, from ``due_at`` on."""
    PAYOUT_CHANGE_CANCELLED = "payout_change.cancelled"
    PAYOUT_CHANGE_DONE = "payout_change.done"
    PAYOUT_CHANGE_REFUSED = "payout_change.refused"
    API_KEY_MADE = "api_key.made"
    API_KEY_ROTATED = "api_key.rotated"
    """It works until ``ends_at``; the one in its place was made with it."""
    API_KEY_REVOKED = "api_key.revoked"
    ENDPOINT_MADE = "endpoint.made"
    """There is one more place where the shop is told; the others are."""
    ENDPOINT_CHANGED = "endpoint.changed"
    """It is told elsewhere, of other events, in other words or with another secret, ``why`` says
    which; other endpoints are told."""
    ENDPOINT_DISABLED = "endpoint.disabled"
    """Nothing more is sent there, ``why`` says why; other endpoints are told."""
    REFUND_ACCOUNT_MADE = "refund_account.made"
    """From now on refunds are paid out of this one without the wallet; the one before has ended."""
    REFUND_ACCOUNT_ENDED = "refund_account.ended"
    STORE_CLOSED = "store.closed"
    """It sells nothing more. The last event that is sent."""


OF_STORE: Final = frozenset(
    kind
    for kind in EventType
    if kind.startswith(("payout_change.", "api_key.", "endpoint.", "refund_account.", "store."))
)
"""What is of no invoice."""
