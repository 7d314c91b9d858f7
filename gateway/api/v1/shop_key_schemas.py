"""What does a shop send about its API keys, and what is it answered?"""

from typing import Annotated

import msgspec

Label = Annotated[str, msgspec.Meta(max_length=80)]
Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

DAY_S = 86_400


class CreateKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new API key. ``scopes`` are BTCPay's names of permissions; nobody gives what his own key
    has not got."""

    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=32)]
    label: Label = ""


class RotateKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How long the former key works beside the new one, in seconds."""

    former_lifetime_s: Annotated[int, msgspec.Meta(ge=0, le=7 * DAY_S)] = DAY_S


class ApiKeyReply(msgspec.Struct, frozen=True):
    """An API key, but for the key itself: ``hint`` is how it begins. Times are unix seconds;
    ``used_at`` is exact to a minute, null for never; at ``ends_at`` it stops to work."""

    id: str
    label: str
    hint: str
    scopes: list[str]
    created_at: int
    used_at: int | None
    ends_at: int | None
    works: bool


class ApiKeyMade(ApiKeyReply, frozen=True):
    """A new API key; ``api_key`` is in this answer only."""

    api_key: str


class ApiKeysReply(msgspec.Struct, frozen=True):
    """API keys, the newest first; ask again with ``before`` set to ``next``, null at the end."""

    api_keys: list[ApiKeyReply]
    next: str | None
