"""What does a shop send, and what is it answered?

Structs: they validate what comes, write what goes, and describe both for OpenAPI.
"""

from typing import Annotated, Final

import msgspec

from engine.types import PPM
from gateway.api.v1.encoding import END, Address
from gateway.api.v1.grant_schemas import Amount, GrantReply, KeyLifetime, Symbol
from merchants.documents.native import ConversionDocument, EventDocument, InvoiceDocument
from merchants.sales.offers import OPTIONS_MAX
from merchants.stores.bounds import LIFETIME_S_LEAST, LIFETIME_S_MOST, TOLERANCE_PPM_MAX
from merchants.stores.grants import KEY_LIFETIME_S
from merchants.stores.typed import TypedMessage
from settlement.audit.proofs import TradeProof

TOKENS_MAX: Final = 32
"""Tokens that a store can ask for at once; more with one request each."""

Lifetime = Annotated[int, msgspec.Meta(ge=LIFETIME_S_LEAST, le=LIFETIME_S_MOST)]
Url = Annotated[str, msgspec.Meta(max_length=2048, pattern="^(https?://[!-~]+)?" + END)]


class CreateStore(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new store. ``settle`` is the stablecoin of its prices and proceeds, ``tokens`` are what
    customers may pay with besides: each needs a grant of the wallet.

    Amounts are decimal strings in ``settle``. Without a ``notional_cap`` a session key may sell for
    a million in all, without a ``floor_price``, which may be stated for one token, never under half
    the present price. A payment may be short of its invoice by ``tolerance_ppm`` of it or by
    ``tolerance``, whichever is more.
    """

    wallet: Address
    settle: Symbol
    tokens: Annotated[list[Symbol], msgspec.Meta(max_length=TOKENS_MAX)] = []
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    webhook_url: Url = ""
    slippage_ppm: Annotated[int, msgspec.Meta(ge=0, lt=PPM)] = 5_000
    invoice_lifetime_s: Lifetime = 900
    key_lifetime_s: KeyLifetime = KEY_LIFETIME_S
    notional_cap: Amount = ""
    floor_price: Amount = ""
    tolerance_ppm: Annotated[int, msgspec.Meta(ge=0, le=TOLERANCE_PPM_MAX)] = 1_000
    tolerance: Amount = "0"
    unique_order_ids: bool = False


class ChangeStore(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings that are to be another way, within the bounds of ``CreateStore``; the rest stays.
    A store that accepts no invoices makes no new ones and no new prices; what is open ends."""

    name: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    slippage_ppm: Annotated[int, msgspec.Meta(ge=0, lt=PPM)] | None = None
    invoice_lifetime_s: Lifetime | None = None
    tolerance_ppm: Annotated[int, msgspec.Meta(ge=0, le=TOLERANCE_PPM_MAX)] | None = None
    tolerance: Amount | None = None
    unique_order_ids: bool | None = None
    accepts_invoices: bool | None = None


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
    """A store; ``tokens`` is what its customers may pay with now, its stablecoin first."""

    id: str
    name: str
    wallet: str
    settle: str
    tokens: list[str]
    slippage_ppm: int
    invoice_lifetime_s: int
    tolerance_ppm: int
    tolerance: str
    unique_order_ids: bool
    """Whether a second invoice of an order is refused where its request does not say."""

    accepts_invoices: bool
    closed_at: int | None
    """Unix seconds; null for a store that is open."""

    grants: list[GrantReply]
    """Newest first."""


class ReceiptsReply(msgspec.Struct, frozen=True):
    """One receipt a trade, in the order of the batches."""

    receipts: list[TradeProof]


class GrantToSign(msgspec.Struct, frozen=True):
    """What the wallet has to sign; then ``POST /v1/stores/{id}/grants/{grant_id}/approval``."""

    id: str
    floor_price: str
    grant: TypedMessage


class StoreCreatedReply(msgspec.Struct, frozen=True):
    """A new store with what is shown once only."""

    id: str
    api_key: str
    webhook_secret: str | None
    """Of the endpoint at ``webhook_url``; null where there is none."""

    grants: list[GrantToSign]
    """For the wallet to sign, and to be sent in this order: their nonces rise."""


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
