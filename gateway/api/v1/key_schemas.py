"""What is asked and answered about session keys?"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.api.v1.encoding import UINT32_MAX, Address, Digits, Signature

_RENAMED: Final = {"notional_cap": "notionalCap", "floor_price": "floorPrice"}


class GrantKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename=_RENAMED):
    """The EIP-712 ``KeyGrant`` and the wallet's signature.

    ``sides``: 1 may buy, 2 may sell, 3 both. ``notionalCap`` in quote pips over the key's life,
    ``floorPrice`` in quote pips a whole base token; ``nonce`` above that of the last grant.
    """

    account: Address
    key: Address
    base: Address
    quote: Address
    sides: Annotated[int, Meta(ge=1, le=3)]
    expiry: Annotated[int, Meta(ge=0, le=UINT32_MAX)]
    notional_cap: Digits
    floor_price: Digits
    nonce: Digits
    signature: Signature


class RevokeKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The EIP-712 ``KeyRevocation`` of the key in the path, and the wallet's signature."""

    account: Address
    nonce: Digits
    signature: Signature


class GrantRelayed(msgspec.Struct, frozen=True):
    """How far the transaction is that brings a grant, or a revocation, to the contract: sealed,
    signed, broadcast, mined, final; or failed, and why: then it has cost nobody anything."""

    digest: str
    state: str
    error: str | None


class KeyRow(msgspec.Struct, frozen=True):
    """A session key: ``live``, ``revoked`` or ``expired``. ``notional_left`` in quote pips is what
    neither trades nor open orders of it have used; ``sides`` 1 buy, 2 sell, 3 both."""

    key: str
    state: str
    market: str | None
    base: str
    quote: str
    sides: int
    expiry: int
    notional_cap: str
    notional_left: str
    floor_price: str


class Keys(msgspec.Struct, frozen=True):
    """All session keys of the account that the contract has seen, the first granted first."""

    keys: list[KeyRow]
