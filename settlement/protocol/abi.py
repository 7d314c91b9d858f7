"""Which ABI and bytecode do we deploy, and how is a contract called? By what is committed.

``settlement/contracts/build_artifacts.py`` writes them; a test recompiles and demands equal bytes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from eth_abi.abi import encode

from settlement.protocol.eip712 import keccak256

SELECTOR_SIZE: Final = 4
_FOLDER: Final = Path(__file__).resolve().parents[1] / "contracts" / "artifacts"


class Artifact(NamedTuple):
    """One compiled contract: ``bytecode`` is creation code, ``source_hash`` hex sha256, and
    ``code_size`` how many bytes of code it leaves on chain."""

    contract: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    source_hash: str
    compiler: dict[str, Any]
    code_size: int


@cache
def artifact(contract: str) -> Artifact:
    """Return one of the contracts that ``build_artifacts.DEPLOYED`` names.

    Raises ``FileNotFoundError`` for any other name.
    """
    text = (_FOLDER / f"{contract}.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return Artifact(
        contract=stored["contract"],
        abi=stored["abi"],
        bytecode=bytes.fromhex(stored["bytecode"].removeprefix("0x")),
        source_hash=stored["source_hash"],
        compiler=stored["compiler"],
        code_size=stored["code_size"],
    )


@cache
def abi_entry(contract: str, kind: str, name: str) -> dict[str, Any]:
    """Return the ABI entry of a ``function``, ``event``, ``error`` or ``constructor``.

    The name of the constructor is the empty string. Raises ``KeyError`` if there is no such entry.
    """
    for entry in artifact(contract).abi:
        if entry["type"] == kind and entry.get("name", "") == name:
            return entry
    raise KeyError(f"{contract} has no {kind} {name}")


def abi_types(contract: str, kind: str, name: str) -> list[str]:
    """Return the canonical input types of an ABI entry, tuples written out."""
    return [_canonical(field) for field in abi_entry(contract, kind, name)["inputs"]]


def selector(name: str, contract: str = "Exchange") -> bytes:
    """Return the four bytes that name a function. Raises ``KeyError`` for an unknown one."""
    types = ",".join(abi_types(contract, "function", name))
    return keccak256(f"{name}({types})".encode())[:SELECTOR_SIZE]


def encode_call(name: str, *args: Any, contract: str = "Exchange") -> bytes:
    """Return calldata for function ``name`` of ``contract``; types come from the committed ABI.

    Structs are tuples in the ABI's order, addresses 20 bytes. Raises ``KeyError`` for an unknown
    function and ``eth_abi.exceptions.EncodingError`` for arguments that do not fit.
    """
    return selector(name, contract) + encode(abi_types(contract, "function", name), args)


def encode_deployment(contract: str, *args: Any) -> bytes:
    """Return creation code and constructor arguments of ``contract``: what a deployment sends."""
    types = abi_types(contract, "constructor", "")
    return artifact(contract).bytecode + encode(types, args)


def _canonical(field: dict[str, Any]) -> str:
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    members = ",".join(_canonical(member) for member in field["components"])
    return f"({members}){kind.removeprefix('tuple')}"
