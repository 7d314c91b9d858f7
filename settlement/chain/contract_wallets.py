"""Does a contract stand behind a signature (ERC-1271)?

A wallet that is a contract has no key: it is asked, at a block that will not go away, so that what
it said is what the chain says for good. It is anybody's code: it gets little gas, its answer counts
only in the exact words of the standard, and who has no code there says nothing.
"""

from typing import Final

from settlement.chain.chain import CallRevertedError, Chain

WORD: Final = 32
SELECTOR: Final = bytes.fromhex("1626ba7e")
"""``isValidSignature(bytes32,bytes)``; it is the answer, too."""

YES: Final = SELECTOR + bytes(WORD - len(SELECTOR))

ANSWER_GAS: Final = 100_000
"""What it may use, beside a call's own cost: the relay of a grant has 200,000 for all of it."""

CALL_GAS: Final = 21_000
OCTET_GAS: Final = 16
SIGNATURE_SIZE_MAX: Final = 2_048
"""Some thirty owners' signatures."""


def stands_behind(
    chain: Chain, wallet: bytes, digest: bytes, signature: bytes, block: int, sender: bytes
) -> bool:
    """Return whether the contract at ``wallet`` takes ``signature`` for ``digest``, at ``block``.
    ``sender`` asks, and has what gas would cost: some nodes want to see it.

    Raises ``ChainUnavailableError``.
    """
    if len(signature) > SIGNATURE_SIZE_MAX:
        return False
    calldata = question(digest, signature)
    gas = CALL_GAS + OCTET_GAS * len(calldata) + ANSWER_GAS
    try:
        return chain.call(wallet, calldata, block, sender, gas) == YES
    except CallRevertedError:
        return False


def question(digest: bytes, signature: bytes) -> bytes:
    """Return the calldata that asks."""
    padded = signature + bytes(-len(signature) % WORD)
    offset, size = (number.to_bytes(WORD, "big") for number in (2 * WORD, len(signature)))
    return SELECTOR + digest + offset + size + padded
