"""What did the contract say when it refused? Revert output in words, by the committed ABIs."""

from functools import cache
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from settlement.chain.chain import BlockTag, CallRevertedError, Chain
from settlement.protocol.abi import abi_types, artifact
from settlement.protocol.eip712 import keccak256

_CONTRACTS: Final = (
    "Exchange",
    "Custodian",
    "Collector",
    "InvoiceDeposits",
    "InvoiceAddress",
    "Bond",
    "TestToken",
)
_BUILT_IN: Final = (("Error", ["string"]), ("Panic", ["uint256"]))


def revert_reason(
    chain: Chain,
    to: bytes,
    calldata: bytes,
    sender: bytes,
    gas: int,
    block: BlockTag = "latest",
) -> str | None:
    """Return why a call with ``gas`` comes to nothing, in words; None if it would succeed."""
    try:
        chain.call(to, calldata, block, sender, gas)
    except CallRevertedError as refused:
        output = f" (0x{refused.output.hex()})" if refused.output else ""
        return in_words(refused.output) or f"{refused.reason}{output}"
    return None


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    known = list(_BUILT_IN)
    for contract in _CONTRACTS:
        names = [entry["name"] for entry in artifact(contract).abi if entry["type"] == "error"]
        known += [(name, abi_types(contract, "error", name)) for name in names]
    return {
        keccak256(f"{name}({','.join(types)})".encode())[:4]: (name, types) for name, types in known
    }


def in_words(output: bytes) -> str | None:
    """Return ``Name(figure, figure)`` for an error of our contracts; None for anything else."""
    found = _errors().get(output[:4])
    if found is None:
        return None
    name, types = found
    try:
        figures = decode(types, output[4:])
    except DecodingError:
        return None
    texts = (
        "0x" + figure.hex() if isinstance(figure, bytes) else str(figure) for figure in figures
    )
    return f"{name}({', '.join(texts)})"
