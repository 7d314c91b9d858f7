"""What does a shop send about its grants, and what is it answered?"""

from typing import Annotated

import msgspec

from gateway.api.v1.encoding import Digits, WalletSignature
from merchants.stores.grants import KEY_LIFETIME_S
from merchants.stores.typed import TypedMessage

Amount = Annotated[str, msgspec.Meta(max_length=32)]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
KeyLifetime = Annotated[int, msgspec.Meta(ge=3600, le=366 * 86_400)]


class AskGrant(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A grant to ask the wallet for: the store will take ``token``, or goes on to.

    ``same_key`` widens the key that the store sells with; else there will be a new one. Amounts are
    decimal strings in the store's stablecoin. ``notional_cap`` counts over the key's whole life;
    without one the key may sell for a million more. Without a ``floor_price`` it is half the
    present price.
    """

    token: Symbol
    key_lifetime_s: KeyLifetime = KEY_LIFETIME_S
    notional_cap: Amount = ""
    floor_price: Amount = ""
    same_key: bool = False


class ApproveGrant(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet's signature over the grant: r, s, v as hex."""

    signature: WalletSignature


class TakeBackGrant(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The wallet's signature over the grant's ``revocation``, and the nonce in it. A grant that was
    never approved needs neither."""

    nonce: Digits = "0"
    signature: WalletSignature = "0x" + "0" * 130


class GrantReply(msgspec.Struct, frozen=True):
    """What one session key may sell.

    ``status`` is ``unsigned`` (the wallet has to sign ``grant``), ``approved`` (the contract gets
    it next), ``live``, ``replaced`` by a later one for the same token, ``expired`` or ``revoked``.
    ``notional_left`` is what the key may still sell; null until the chain has shown a grant of it.
    To take the key back the wallet signs ``revocation``, null where there is nothing to take back.
    Times are unix seconds.
    """

    id: str
    token: str
    market: str
    session_key: str
    status: str
    floor_price: str
    notional_cap: str
    notional_left: str | None
    expires_at: int
    created_at: int
    grant: TypedMessage
    revocation: TypedMessage | None


class GrantsReply(msgspec.Struct, frozen=True):
    """A store's grants, the newest first."""

    grants: list[GrantReply]
