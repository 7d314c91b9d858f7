"""Where does a customer pay an invoice? Compute the address without asking the chain.

The address is CREATE2 of a minimal proxy (EIP-1167) that carries account and reference behind its
code, as OpenZeppelin's ``Clones`` builds it with immutable arguments, with a salt of zero.
"""

from typing import Final, NamedTuple

from settlement.protocol.eip712 import keccak256

_SALT: Final = bytes(32)
_PROXY_HEAD: Final = bytes.fromhex("3d81600a3d39f3363d3d373d3d3d363d73")
_PROXY_TAIL: Final = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")
_PROXY_SIZE: Final = 45
_PUSH2: Final = b"\x61"


class SweepPlace(NamedTuple):
    """A token at the deposit address of ``account``'s invoice ``ref``."""

    account: bytes
    ref: bytes
    token: bytes


def deposit_address(factory: bytes, implementation: bytes, account: bytes, ref: bytes) -> bytes:
    """Return the 20-byte address at which ``account`` is paid for ``ref`` (32 bytes).

    ``factory`` is the InvoiceDeposits contract, ``implementation`` what it says its clones share.
    """
    assert len(factory) == len(implementation) == len(account) == 20, "addresses are 20 bytes"
    assert len(ref) == 32, "a reference is 32 bytes"
    arguments = bytes(12) + account + ref
    size = (_PROXY_SIZE + len(arguments)).to_bytes(2, "big")
    code = _PUSH2 + size + _PROXY_HEAD + implementation + _PROXY_TAIL + arguments
    return keccak256(b"\xff" + factory + _SALT + keccak256(code))[12:]
