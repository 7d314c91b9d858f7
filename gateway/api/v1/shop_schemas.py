"""What does a shop send, and what is it answered?

Structs: they validate what comes, write what goes, and describe both for OpenAPI.
"""

from typing import Annotated, Final

import msgspec

from engine.types import PPM
from gateway.api.v1.encoding import END, Address, Signature
from merchants.documents.native import ConversionDocument, EventDocument, InvoiceDocument
from merchants.records.states import DeliveryState
from merchants.sales.offers import OPTIONS_MAX
from merchants.stores.stores import TypedGrant
from settlement.audit.proofs import TradeProof

TOLERANCE_PPM_MAX: Final = 100_000

Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Amount = Annotated[str, msgspec.Meta(max_length=32)]
Url = Annotated[str, msgspec.Meta(max_length=2048, pattern="^(https?://[!-~]+)?" + END)]


class CreateStore(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new store. Amounts are decimal strings in the quote token; ``floor_price`` a base token.

    Without a ``floor_price`` it is half the present price. A payment may be short of its invoice by
    ``tolerance_ppm`` of it or by ``tolerance``, whichever is more.
    """

    wallet: Address
    market: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    webhook_url: Url = ""
    slippage_ppm: Annotated[int, msgspec.Meta(ge=0, lt=PPM)] = 5_000
    invoice_lifetime_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900
    key_lifetime_s: Annotated[int, msgspec.Meta(ge=3600, le=366 * 86_400)] = 90 * 86_400
    notional_cap: Amount = "1000000"
    floor_price: Amount = ""
    tolerance_ppm: Annotated[int, msgspec.Meta(ge=0, le=TOLERANCE_PPM_MAX)] = 1_000
    tolerance: Amount = "0"


class ApproveGrant(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet's signature over the store's grant: r, s, v as hex."""

    signature: Signature


class CreateInvoice(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new invoice of ``amount`` in ``currency``, which is the store's stablecoin unless it is
    given: that, or a token that has a market with it. ``tokens`` are what the customer may pay
    with, none for all that the store accepts. With ``unique_order_id`` another invoice of the same
    order is refused; null leaves it to the store's setting. ``metadata`` comes back as sent.
    """

    amount: Amount
    currency: Annotated[str, msgspec.Meta(max_length=16)] = ""
    tokens: Annotated[list[Symbol], msgspec.Meta(max_length=OPTIONS_MAX)] = []
    order_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    metadata: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    redirect_url: Url = ""
    unique_order_id: bool | None = None


class StoreReply(msgspec.Struct, frozen=True):
    """A store, and the grant its wallet has to sign (``approved`` when it has)."""

    id: str
    name: str
    wallet: str
    session_key: str
    approved: bool
    webhook_url: str
    webhook_enabled: bool
    floor_price: str
    slippage_ppm: int
    tolerance_ppm: int
    tolerance: str
    notional_left: str | None
    """What the session key may still sell; null until the chain has shown its grant."""

    grant: TypedGrant


class ReceiptsReply(msgspec.Struct, frozen=True):
    """One receipt a trade, in the order of the batches."""

    receipts: list[TradeProof]


class StoreCreatedReply(msgspec.Struct, frozen=True):
    """A new store with what is shown once only."""

    id: str
    api_key: str
    webhook_secret: str
    floor_price: str
    grant: TypedGrant


class InvoiceReply(InvoiceDocument, frozen=True):
    """An invoice and the page to send its customer to."""

    checkout_url: str


class InvoicesReply(msgspec.Struct, frozen=True):
    """Invoices, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    invoices: list[InvoiceReply]
    next: str | None


class ConversionsReply(msgspec.Struct, frozen=True):
    """Conversions, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    conversions: list[ConversionDocument]
    next: str | None


class EventsReply(msgspec.Struct, frozen=True):
    """Events, the oldest first; ask again with ``after`` set to ``next``."""

    events: list[EventDocument]
    next: int


class DeliveryReply(msgspec.Struct, frozen=True):
    """How the sending of one event goes. Times are unix seconds."""

    event_id: int
    webhook_id: str
    type: str
    invoice_id: str
    status: DeliveryState
    attempts: int
    next_attempt_at: int
    last_status: int
    last_error: str


class DeliveriesReply(msgspec.Struct, frozen=True):
    """Deliveries, the newest first."""

    deliveries: list[DeliveryReply]


class SecretReply(msgspec.Struct, frozen=True):
    """A new webhook secret; the one before stays valid until the next rotation."""

    webhook_secret: str
