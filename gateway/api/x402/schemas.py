"""What does x402 send, and what is it answered? Version 2, scheme ``exact``, names as on the wire.

Fields that we do not know are let through: extensions are others' to add. What we act on is
bounded.
"""

from typing import Annotated, Any, Final

import msgspec

VERSION: Final = 2
SCHEME: Final = "exact"

_END: Final = r"$(?!\n)"
Address = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{40}" + _END, max_length=42)]
Nonce = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{64}" + _END, max_length=66)]
Number = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,77})" + _END, max_length=78)]
Signature = Annotated[
    str, msgspec.Meta(pattern="^0x([0-9a-fA-F]{2}){1,4096}" + _END, max_length=8_194)
]
Text = Annotated[str, msgspec.Meta(max_length=256)]


class Requirements(msgspec.Struct, frozen=True, rename="camel"):
    """What a resource costs. ``amount`` in atomic units, ``network`` as in CAIP-2."""

    scheme: Text
    network: Text
    asset: Text
    amount: Text
    pay_to: Text
    max_timeout_seconds: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    extra: dict[str, Any] = {}


class Authorization(msgspec.Struct, frozen=True, rename={"payer": "from"}):
    """An ERC-3009 transfer; ``Exact`` has the signature."""

    payer: Address
    to: Address
    value: Number
    validAfter: Number  # noqa: N815
    validBefore: Number  # noqa: N815
    nonce: Nonce


class Exact(msgspec.Struct, frozen=True):
    """The payload of scheme ``exact``."""

    authorization: Authorization
    signature: Signature


class Payload(msgspec.Struct, frozen=True, rename="camel"):
    """What a buyer sends: which of the offers he takes, and what he has signed."""

    x402_version: int = msgspec.field(name="x402Version")
    accepted: Requirements
    payload: msgspec.Raw


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """A question to ``/verify`` or ``/settle``."""

    x402_version: int = msgspec.field(name="x402Version")
    payment_payload: Payload
    payment_requirements: Requirements


class Verified(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Whether a payment would be taken, and from whom."""

    is_valid: bool
    invalid_reason: str = ""
    invalid_message: str = ""
    payer: str = ""


class Settled(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What became of a payment; ``settlement_pending`` is no end: ask again with the same."""

    success: bool
    transaction: str
    network: str
    error_reason: str = ""
    error_message: str = ""
    payer: str = ""
    amount: str = ""


class MakeOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price for a resource: an invoice is made for it, paid in ``token``."""

    amount: Annotated[str, msgspec.Meta(max_length=32)]
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    resource: Annotated[str, msgspec.Meta(max_length=2_048)] = ""


class Offer(msgspec.Struct, frozen=True):
    """An entry of ``accepts``; only one buyer can take it. Of no use after ``expires_at``."""

    invoice_id: str
    expires_at: int
    requirements: Requirements
