"""Is what an operator says of a token's signatures what the chain says?

A wallet that signs under another domain than the token's pays gas for a call that fails. So what
was configured is held against the token's own ``DOMAIN_SEPARATOR`` before anybody is asked to sign.
"""

from collections.abc import Mapping
from typing import Final

from eth_abi.abi import encode

from settlement.chain.chain import CallRevertedError, Chain
from settlement.chain.deploy import DeploymentError
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import DOMAIN_TYPE, keccak256
from settlement.protocol.payer_roads import PERMIT2, SigningDomain, TokenRoads

_DOMAIN_TYPE_HASH: Final = keccak256(DOMAIN_TYPE.encode())


def check_roads(chain: Chain, roads: Mapping[bytes, TokenRoads]) -> None:
    """Raise ``DeploymentError`` where a token, by its address, does not sign as ``roads`` say, or
    where one is to be paid by Permit2 on a chain that has none."""
    for token, known in roads.items():
        for domain in (known.permit, known.authorization):
            if domain is not None and _separator(chain, token) != _expected(chain, token, domain):
                raise DeploymentError(
                    f"the token at 0x{token.hex()} does not sign as {domain.name!r}, version "
                    f"{domain.version!r}"
                )
    if any(known.permit2 for known in roads.values()) and not chain.code(PERMIT2):
        raise DeploymentError(f"there is no Permit2 at 0x{PERMIT2.hex()} on this chain")


def _separator(chain: Chain, token: bytes) -> bytes:
    try:
        return chain.call(token, encode_call("DOMAIN_SEPARATOR", contract="TestToken"))
    except CallRevertedError:
        return b""


def _expected(chain: Chain, token: bytes, domain: SigningDomain) -> bytes:
    words = encode(
        ("bytes32", "bytes32", "bytes32", "uint256", "address"),
        (
            _DOMAIN_TYPE_HASH,
            keccak256(domain.name.encode()),
            keccak256(domain.version.encode()),
            chain.chain_id,
            token,
        ),
    )
    return keccak256(words)
