"""In which shape do BTCPay's clients see what is ours?

Amounts are decimal strings, times unix seconds, states their words. A payment method is called
``TOKEN-NETWORK``: their clients take what stands before the first hyphen for the coin.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.types import PIPS_PER_TOKEN, PPM
from merchants.documents.native import InvoiceDocument, PaymentDocument
from merchants.documents.refunds import RefundDocument
from merchants.records.amounts import PIPS_DECIMALS, decimal_of_pips
from merchants.records.refunds import RefundState
from merchants.records.states import InvoiceException, InvoiceState, PaymentState
from merchants.sales.refund_amounts import Preview
from merchants.stores.invoice_notes import Noted

STATUS: Final[Mapping[InvoiceState, str]] = {
    InvoiceState.NEW: "New",
    InvoiceState.PROCESSING: "Processing",
    InvoiceState.SETTLED: "Settled",
    InvoiceState.EXPIRED: "Expired",
    InvoiceState.INVALID: "Invalid",
}
EXCEPTION: Final[Mapping[InvoiceException, str]] = {
    InvoiceException.NONE: "None",
    InvoiceException.PAID_PARTIAL: "PaidPartial",
    InvoiceException.PAID_OVER: "PaidOver",
    InvoiceException.PAID_LATE: "PaidLate",
    # They have no word for it; the status says that it is invalid.
    InvoiceException.REVERSED: "None",
}
MARKED: Final = {"settled": "Settled", "invalid": "Invalid"}
PAYMENT: Final[Mapping[PaymentState, str]] = {
    PaymentState.DETECTED: "Processing",
    PaymentState.CONFIRMING: "Processing",
    PaymentState.FINAL: "Settled",
    PaymentState.ORPHANED: "Invalid",
}
PAYOUT: Final[Mapping[RefundState, str]] = {
    RefundState.AWAITING_APPROVAL: "AwaitingApproval",
    RefundState.AWAITING_PAYMENT: "AwaitingPayment",
    RefundState.IN_PROGRESS: "InProgress",
    RefundState.COMPLETED: "Completed",
    RefundState.CANCELLED: "Cancelled",
}

PIPS_A_PPM: Final = PIPS_PER_TOKEN * 100 // PPM
"""A percentage that comes in is read as an amount; so many of its pips are a millionth."""

WATCHED_S: Final = 30 * 24 * 3600
"""How long after it was made a payment to an invoice is noticed by itself."""

Shape = dict[str, Any]


def method_of(token: str, network: str) -> str:
    """Return what a token is called as a payment method."""
    return f"{token}-{network}"


def token_of(method: str) -> str:
    """Return the token of a payment method; old clients name the bare coin."""
    return method.partition("-")[0]


def invoice_shape(invoice: InvoiceDocument, noted: Noted, public_url: str) -> Shape:
    """Return an invoice."""
    is_marked = bool(noted.marked)
    status = MARKED[noted.marked] if is_marked else STATUS[invoice.status]
    marks = [word for word in ("Settled", "Invalid") if word != status]
    until = invoice.created_at + WATCHED_S
    return {
        "id": invoice.id,
        "storeId": invoice.store_id,
        "amount": invoice.amount,
        "currency": invoice.currency,
        "type": "Standard",
        "checkoutLink": f"{public_url}/checkout/{invoice.id}",
        "createdTime": invoice.created_at,
        "expirationTime": invoice.expires_at,
        "monitoringExpiration": until,
        "monitoringTime": until,
        "archived": noted.archived,
        "status": status,
        "additionalStatus": "Marked" if is_marked else EXCEPTION[invoice.exception],
        "availableStatusesForManualMarking": marks,
        "metadata": invoice.metadata,
        "checkout": {
            "expirationMinutes": (invoice.expires_at - invoice.created_at) // 60,
            "redirectURL": invoice.redirect_url or None,
            "redirectAutomatically": False,
            "paymentMethods": None,
            "speedPolicy": "MediumSpeed",
        },
    }


def payment_methods(invoice: InvoiceDocument, network: str) -> list[Shape]:
    """Return how an invoice may be paid, and was."""
    return [
        {
            "paymentMethodId": method_of(option.token, network),
            "paymentMethod": method_of(option.token, network),
            "cryptoCode": option.token,
            "currency": option.token,
            "activated": True,
            "destination": invoice.deposit_address,
            "paymentLink": None,
            "rate": option.rate,
            "amount": option.amount_due,
            "due": option.remaining,
            "totalPaid": option.received,
            "paymentMethodPaid": option.received,
            "paymentMethodFee": "0",
            "networkFee": "0",
            "payments": [
                _payment(payment, invoice)
                for payment in invoice.payments
                if payment.token == option.token
            ],
            "additionalData": {"tokenAddress": option.token_address},
        }
        for option in invoice.options
    ]


def _payment(payment: PaymentDocument, invoice: InvoiceDocument) -> Shape:
    return {
        "id": f"{payment.tx_hash}-{payment.log_index}",
        "receivedDate": payment.received_at,
        "value": payment.amount,
        "fee": "0",
        "status": PAYMENT[payment.status],
        "destination": invoice.deposit_address,
    }


def pull_payment_shape(refund: RefundDocument, key: str, public_url: str) -> Shape:
    """Return a refund as the pull payment that it is. Its id carries the ``key`` of its link: who
    knows one of theirs may claim it, and so it is here. Who may only look gets none."""
    return {
        "id": f"{refund.id}.{key}" if key else refund.id,
        "name": f"Refund {refund.invoice_id}",
        "description": refund.reason,
        "currency": refund.token,
        "amount": refund.opened,
        "autoApproveClaims": refund.status is not RefundState.AWAITING_APPROVAL,
        "archived": refund.status is RefundState.CANCELLED,
        "viewLink": f"{public_url}/claim/{refund.id}?key={key}" if key else public_url,
        "startsAt": refund.created_at,
        "expiresAt": refund.claim_until,
        "period": None,
        "BOLT11Expiration": "0",
    }


def refund_preview_shape(found: Preview) -> Shape:
    """Return what a refund would come to. Its worth is in the store's stablecoin, whatever the
    invoice's price was in: that is what is paid out of it."""
    token, settle, now = found.token, found.settle, found.now_rate_pips
    return {
        "paymentAmountNow": decimal_of_pips(found.now_pips),
        "currentRateText": f"{decimal_of_pips(now)} {settle.symbol}" if now else "",
        "paymentAmountThen": decimal_of_pips(found.then_pips),
        "invoiceAmount": decimal_of_pips(found.worth_pips),
        "overpaidPaymentAmount": decimal_of_pips(found.over_pips) if found.over_pips else None,
        "invoiceCurrency": settle.symbol,
        "paymentCurrency": token.symbol,
        "paymentCurrencyDivisibility": min(token.decimals, PIPS_DECIMALS),
        "invoiceCurrencyDivisibility": min(settle.decimals, PIPS_DECIMALS),
    }


def payout_shape(refund: RefundDocument, key: str, network: str) -> Shape:
    """Return a refund that was claimed as the payout that it is; ``key`` is that of the pull
    payment's link."""
    method = method_of(refund.token, network)
    pull_payment = refund.part_of or refund.id
    return {
        "id": refund.id,
        "revision": refund.revision,
        "pullPaymentId": f"{pull_payment}.{key}" if key else pull_payment,
        "date": refund.created_at,
        "destination": refund.receiver,
        "originalCurrency": refund.token,
        "originalAmount": refund.amount,
        "payoutCurrency": refund.token,
        "payoutAmount": refund.amount,
        "amount": refund.amount,
        "payoutMethodId": method,
        "paymentMethod": method,
        "paymentMethodAmount": refund.amount,
        "state": PAYOUT[refund.status],
        "paymentProof": None
        if refund.tx_hash is None
        else {"proofType": "PayoutTransactionOnChainBlob", "id": refund.tx_hash},
        "metadata": {},
    }


def text_of(raw: msgspec.Raw) -> str:
    """Return a decimal amount that came as a JSON string or as a JSON number, digit by digit."""
    written = bytes(raw).decode().strip()
    if written.startswith('"'):
        decoded: object = msgspec.json.decode(written)
        return decoded.strip() if isinstance(decoded, str) else ""
    return written
