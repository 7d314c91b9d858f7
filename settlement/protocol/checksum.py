"""Is an address spelt as its owner meant it?

EIP-55: the mixed case of an address is a checksum over its digits. Text in one case carries none
and is taken as it is.
"""

from functools import lru_cache

from settlement.protocol.eip712 import keccak256

ADDRESS_SIZE = 20
ADDRESSES_KEPT = 4_096
"""Written addresses: lists show the same ones again, and each is a hash and forty letters."""


@lru_cache(ADDRESSES_KEPT)
def checksum_address(address: bytes) -> str:
    """Return an address in EIP-55 form, whose mixed case lets a wallet notice a wrong letter."""
    digits = address.hex()
    check = keccak256(digits.encode()).hex()
    pairs = zip(digits, check, strict=False)  # The hash is longer than the address.
    return "0x" + "".join(d.upper() if c >= "8" else d for d, c in pairs)


@lru_cache(ADDRESSES_KEPT)
def address_of_text(text: str) -> bytes | None:
    """Return the address behind 0x-hex; None where it is none or its checksum is wrong."""
    digits = text[2:]
    try:
        address = bytes.fromhex(digits)
    except ValueError:
        return None
    if text[:2] != "0x" or len(digits) != 2 * ADDRESS_SIZE or len(address) != ADDRESS_SIZE:
        return None
    is_mixed = digits not in (digits.lower(), digits.upper())
    return None if is_mixed and text != checksum_address(address) else address
