"""Which 32 bytes does a wallet sign?

EIP-712 (https://eips.ethereum.org/EIPS/eip-712). Each type is written once, as its type string; a
struct is hashed by walking that string, so a field cannot be signed under another's name. Keys stay
in this process.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import coincurve
import sha3

DOMAIN_TYPE: Final = (
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
ORDER_TYPE: Final = (
    "Order(address account,uint64 nonce,uint16 flags,uint16 lane,address base,address quote,"
    "uint64 baseAmount,uint64 quoteAmount,uint64 triggerOrDisplay,uint32 expiry,uint16 maxFeePpm,"
    "bytes32 ref)"
)
WITHDRAWAL_TYPE: Final = (
    "Withdrawal(address account,address token,uint64 amount,address to,uint64 nonce,uint32 expiry)"
)
GRANT_TYPE: Final = (
    "KeyGrant(address account,address key,address base,address quote,uint8 sides,uint32 expiry,"
    "uint64 notionalCap,uint64 floorPrice,uint64 nonce)"
)
LOGIN_TYPE: Final = "Login(address account,uint64 issuedAt)"

_MEMBER: Final = re.compile(r"(\w+) (\w+)")


class Domain(NamedTuple):
    """The chain and contract that a signature is good for; ``contract`` as 0x-hex."""

    chain_id: int
    contract: str


def keccak256(message: bytes) -> bytes:
    """Return Ethereum's keccak-256 of ``message`` (32 bytes)."""
    digest: bytes = sha3.keccak_256(message).digest()
    return digest


@lru_cache(maxsize=32)
def _members(type_string: str) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    inner = type_string[type_string.index("(") + 1 : -1]
    return keccak256(type_string.encode()), tuple(
        (match[1], match[2]) for match in _MEMBER.finditer(inner)
    )


def _word(kind: str, value: int | str) -> bytes:
    if kind == "string":
        return keccak256(str(value).encode())
    if kind in ("address", "bytes32"):
        return bytes.fromhex(str(value).removeprefix("0x")).rjust(32, b"\0")
    bits = int(kind.removeprefix("uint"))
    number = int(value)
    if not 0 <= number < 2**bits:
        raise ValueError(f"{number} is no {kind}")
    return number.to_bytes(32, "big")


def struct_hash(type_string: str, message: Mapping[str, int | str]) -> bytes:
    """Return the hash of a struct: addresses and hashes as 0x-hex, numbers as int or digits."""
    type_hash, members = _members(type_string)
    return keccak256(type_hash + b"".join(_word(kind, message[name]) for kind, name in members))


@lru_cache(maxsize=16)
def domain_separator(domain: Domain) -> bytes:
    """Return the EIP-712 domain separator of an exchange."""
    return struct_hash(
        DOMAIN_TYPE,
        {
            "name": "Tillbook",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
    )


def digest(domain: Domain, type_string: str, message: Mapping[str, int | str]) -> bytes:
    """Return the 32 bytes that are signed."""
    return keccak256(b"\x19\x01" + domain_separator(domain) + struct_hash(type_string, message))


class Wallet:
    """A private key: of the account itself, or a session key of it.

    ``account`` is whose money is traded; left out, it is the key's own address.
    """

    def __init__(self, secret: str | bytes, account: str | None = None) -> None:
        """``secret`` is 32 bytes or their hex. Raises ValueError for anything else."""
        raw = bytes.fromhex(secret.removeprefix("0x")) if isinstance(secret, str) else secret
        if len(raw) != 32:
            raise ValueError("a private key is 32 bytes")
        self._key = coincurve.PrivateKey(raw)
        public = self._key.public_key.format(compressed=False)
        self.address = "0x" + keccak256(public[1:])[12:].hex()
        self.account = self.address if account is None else account.lower()

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"Wallet({self.address})"

    def sign(self, digest_: bytes) -> str:
        """Return r, s, v over ``digest_`` as 0x-hex (65 bytes, low s, v 27 or 28)."""
        signature = self._key.sign_recoverable(digest_, hasher=None)
        return "0x" + signature[:64].hex() + f"{signature[64] + 27:02x}"
