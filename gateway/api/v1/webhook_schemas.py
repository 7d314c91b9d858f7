"""What does a shop send about where it is told, and what is it answered?"""

from typing import Annotated

import msgspec

from gateway.api.v1.encoding import END
from merchants.records.states import DeliveryState

Url = Annotated[str, msgspec.Meta(max_length=2048, pattern="^https?://[!-~]+" + END)]
EventTypes = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]], msgspec.Meta(max_length=64)
]
Format = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]


class CreateWebhook(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new endpoint. Without ``event_types`` it is told everything. The ``format`` ``standard`` is
    ours, after Standard Webhooks."""

    url: Url
    event_types: EventTypes = []
    format: Format = "standard"
    enabled: bool = True


class ChangeWebhook(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is to be another way; what is not named stays as it is."""

    url: Url | None = None
    event_types: EventTypes | None = None
    format: Format | None = None
    enabled: bool | None = None


class WebhookReply(msgspec.Struct, frozen=True):
    """An endpoint. ``why`` says why it is not enabled. ``last_status`` is what it answered last, 0
    for nothing or no answer, which ``last_error`` tells. Times are unix seconds, null for never."""

    id: str
    url: str
    event_types: list[str]
    format: str
    enabled: bool
    why: str
    created_at: int
    last_answer_at: int | None
    last_status: int
    last_error: str


class WebhookMade(WebhookReply, frozen=True):
    """A new endpoint; ``secret``, with which all is signed, is in this answer only."""

    secret: str


class WebhooksReply(msgspec.Struct, frozen=True):
    """Endpoints, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    webhooks: list[WebhookReply]
    next: str | None


class SecretReply(msgspec.Struct, frozen=True):
    """A new webhook secret; the one before stays valid until the next rotation."""

    webhook_secret: str


class PingReply(msgspec.Struct, frozen=True):
    """What the endpoint answered; ``status`` is 0 where nothing did, and ``error`` says why."""

    status: int
    error: str


class DeliveryReply(msgspec.Struct, frozen=True):
    """How the sending of one event to one endpoint goes; ``first_id`` is the delivery that it
    repeats, null where it repeats none. Times are unix seconds."""

    id: int
    endpoint_id: str
    first_id: int | None
    event_id: int
    webhook_id: str
    type: str
    invoice_id: str | None
    """Null for what is of the store itself."""

    status: DeliveryState
    attempts: int
    created_at: int
    next_attempt_at: int
    last_status: int
    last_error: str


class DeliveriesReply(msgspec.Struct, frozen=True):
    """Deliveries, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    deliveries: list[DeliveryReply]
    next: int | None
