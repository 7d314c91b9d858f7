"""Which ABI and bytecode do we deploy? Load the compiled contracts that are committed.

``settlement/contracts/build_artifacts.py`` writes them; a test recompiles and demands equal bytes.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

_FOLDER: Final = Path(__file__).resolve().parents[1] / "contracts" / "artifacts"


class Artifact(NamedTuple):
    """One compiled contract: ``bytecode`` is creation code, ``source_hash`` hex sha256."""

    contract: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    source_hash: str
    compiler: dict[str, Any]


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


def _canonical(field: dict[str, Any]) -> str:
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    members = ",".join(_canonical(member) for member in field["components"])
    return f"({members}){kind.removeprefix('tuple')}"
