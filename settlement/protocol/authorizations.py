"""How does a transfer by signature look (ERC-3009), and how is it called?

The token checks the signature, the times and that the nonce is new; anybody may send it. Beside the
form with v, r and s there is one with the signature as bytes, for contracts that sign.
"""

from typing import Final, NamedTuple

from eth_abi.abi import encode

from settlement.protocol.eip712 import keccak256

SIGNATURE_SIZE: Final = 65
SIGNATURE_SIZE_MAX: Final = 4_096
"""What a contract that signs may need; more is not sent for anybody."""

_FIELDS: Final = ["address", "address", "uint256", "uint256", "uint256", "bytes32"]


def _selector(*last: str) -> bytes:
    types = ",".join([*_FIELDS, *last])
    return keccak256(f"transferWithAuthorization({types})".encode())[:4]


_BY_PARTS: Final = _selector("uint8", "bytes32", "bytes32")
_BY_BYTES: Final = _selector("bytes")
_STATE: Final = keccak256(b"authorizationState(address,bytes32)")[:4]


class TransferAuthorization(NamedTuple):
    """``payer`` lets ``value`` raw units of ``token`` go to ``payee``, once and between two times
    (unix seconds, both excluded)."""

    token: bytes
    payer: bytes
    payee: bytes
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes
    signature: bytes

    def calldata(self) -> bytes:
        """Return the call of the token that carries it out."""
        fields = tuple(self[1:7])
        if len(self.signature) != SIGNATURE_SIZE:
            return _BY_BYTES + encode([*_FIELDS, "bytes"], (*fields, self.signature))
        r, s, v = self.signature[:32], self.signature[32:64], self.signature[64]
        # Wallets of old write 0 and 1.
        return _BY_PARTS + encode(
            [*_FIELDS, "uint8", "bytes32", "bytes32"], (*fields, v + 27 if v < 2 else v, r, s)
        )


def state_call(payer: bytes, nonce: bytes) -> bytes:
    """Return the call that answers whether a nonce is used."""
    return _STATE + bytes(12) + payer + nonce
