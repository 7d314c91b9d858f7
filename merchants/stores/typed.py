"""What does a shop's wallet show and sign?

EIP-712 JSON as ``eth_signTypedData_v4`` takes it, made of the very types that the contract hashes.
"""

import msgspec

from settlement.protocol.eip712 import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    GRANT_TYPE,
    REVOCATION_TYPE,
    Domain,
    KeyGrant,
    KeyRevocation,
)

TypedFields = list[dict[str, str]]


class TypedMessage(msgspec.Struct, frozen=True):
    """EIP-712 JSON; integers of the message are decimal strings."""

    types: dict[str, TypedFields]
    primaryType: str  # noqa: N815 -- the name that wallets expect
    domain: dict[str, str | int]
    message: dict[str, str]


def typed_grant(domain: Domain, grant: KeyGrant) -> TypedMessage:
    """Return what the wallet signs to let a session key sell."""
    return _typed(domain, GRANT_TYPE, grant)


def typed_revocation(domain: Domain, revocation: KeyRevocation) -> TypedMessage:
    """Return what the wallet signs to take a session key back."""
    return _typed(domain, REVOCATION_TYPE, revocation)


def _typed(domain: Domain, kind: str, values: tuple[bytes | int, ...]) -> TypedMessage:
    name, _, rest = kind.partition("(")
    fields = [field.split(" ") for field in rest.rstrip(")").split(",")]
    shown = ("0x" + v.hex() if isinstance(v, bytes) else str(v) for v in values)
    return TypedMessage(
        types={
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": kind} for kind, field in fields],
        },
        primaryType=name,
        domain={
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": "0x" + domain.contract.hex(),
        },
        message=dict(zip((field for _, field in fields), shown, strict=True)),
    )
