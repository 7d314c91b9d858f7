"""Is the code on chain the code that we compiled?

What a compiler writes has zeros where the constructor puts an immutable, behind a PUSH32 each. So
both are the same everywhere else; and what stands there is asked of the contract itself.
"""

from typing import Final

from settlement.chain.chain import Chain
from settlement.protocol.abi import artifact
from settlement.protocol.eip712 import keccak256

PUSH32: Final = 0x7F
WORD: Final = 32
PREFIX: Final = 8
"""So many bytes of code stand before the first immutable."""


def code_hash(chain: Chain, address: bytes) -> bytes:
    """Return keccak256 of the code at ``address``."""
    return keccak256(chain.code(address))


def is_code_of(contract: str, code: bytes) -> bool:
    """Return whether ``code`` is that of ``contract``, with any immutables."""
    known, start = artifact(contract), -1
    if len(code) != known.code_size:
        return False
    while (start := known.bytecode.find(code[:PREFIX], start + 1)) >= 0:
        template = known.bytecode[start : start + len(code)]
        if len(template) == len(code) and _without_immutables(template, code) == template:
            return True
    return False


def _without_immutables(template: bytes, code: bytes) -> bytes:
    """Return ``code`` with zeros where ``template`` has a word of zeros behind a PUSH32."""
    plain, at = bytearray(code), 0
    while (at := template.find(bytes([PUSH32]) + bytes(WORD), at)) >= 0:
        plain[at + 1 : at + 1 + WORD] = bytes(WORD)
        at += 1 + WORD
    return bytes(plain)
