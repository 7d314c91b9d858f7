"""What does a shop send about its pay buttons and its till, and what is it answered?"""

from typing import Annotated

import msgspec

from gateway.api.v1.grant_schemas import Amount, Symbol
from gateway.api.v1.shop_schemas import Url

Currency = Annotated[str, msgspec.Meta(max_length=16)]
Tokens = Annotated[list[Symbol], msgspec.Meta(max_length=16)]


class CreatePayButton(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One thing at one price; ``tokens`` are those it may be paid in, none for all that the store
    takes; ``redirect_url`` is where the customer goes then."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    amount: Amount
    currency: Currency = "USD"
    tokens: Tokens = []
    redirect_url: Url = ""


class PayButtonReply(msgspec.Struct, frozen=True):
    """A pay button. ``url`` is its page; a form of the shop's own may post to it, without a field.
    ``ended_at`` is null while it sells. Times are unix seconds."""

    id: str
    name: str
    amount: str
    currency: str
    tokens: list[str]
    redirect_url: str
    url: str
    created_at: int
    ended_at: int | None


class PayButtonsReply(msgspec.Struct, frozen=True):
    """A store's buttons that sell, the newest first."""

    pay_buttons: list[PayButtonReply]


class TillSale(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a clerk has typed."""

    amount: Amount
    currency: Currency = "USD"
    tokens: Tokens = []
    order_id: Annotated[str, msgspec.Meta(max_length=128)] = ""


class TillSaleReply(msgspec.Struct, frozen=True):
    """Where the customer pays."""

    invoice_id: str
    checkout_url: str
