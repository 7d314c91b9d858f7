"""Which bytecode does the product deploy? Compile ``src`` and write ``artifacts/*.json``.

The artifacts are committed, so running the product needs neither Node nor a compiler. A test
compiles again where Node is present and demands identical bytes. To write them anew, run this file.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ARTIFACTS: Final = HERE / "artifacts"
DEPLOYED: Final = {
    "Exchange": "src/exchange/Exchange.sol",
    "Custodian": "src/custody/Custodian.sol",
    "Collector": "src/deposits/Collector.sol",
    "InvoiceDeposits": "src/deposits/InvoiceDeposits.sol",
    "InvoiceAddress": "src/deposits/InvoiceAddress.sol",
    "Bond": "src/bond/Bond.sol",
    "TestToken": "src/dev/TestToken.sol",
}
"""Where each contract that is deployed stands; the names are those of its artifact."""
OPENZEPPELIN: Final = "@openzeppelin/contracts/"
CODE_SIZE_MAX: Final = 24_576
"""EIP-170: the most bytes of code that a chain takes."""

_IMPORT = re.compile(r'^import\s[^;]*?"([^"]+)";', re.MULTILINE)


def sources(roots: Iterable[str] = DEPLOYED.values()) -> dict[str, str]:
    """Return every source that ``roots`` need, those of the deployed contracts if none are named,
    by the name the compiler knows it by."""
    found: dict[str, str] = {}
    wanted = list(roots)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        root = HERE / "node_modules" if name.startswith(OPENZEPPELIN) else HERE
        found[name] = (root / name).read_text(encoding="utf-8")
        wanted.extend(_resolve(name, target) for target in _IMPORT.findall(found[name]))
    return dict(sorted(found.items()))


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    parts = importer.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def settings() -> dict[str, Any]:
    """Return ``foundry.toml``'s settings of what is deployed in the compiler's own words."""
    profile = tomllib.loads((HERE / "foundry.toml").read_text())["profile"]["default"]
    (deployed,) = profile["additional_compiler_profiles"]
    return {
        "optimizer": {"enabled": deployed["optimizer"], "runs": deployed["optimizer_runs"]},
        "evmVersion": profile["evm_version"],
        "viaIR": deployed["via_ir"],
        "metadata": {"appendCBOR": profile["cbor_metadata"], "bytecodeHash": "none"},
    }


def source_hash(of: dict[str, str]) -> str:
    """Return sha256 over names and texts, in order of name; lengths keep them apart."""
    digest = hashlib.sha256()
    for name, text in sorted(of.items()):
        for part in (name.encode(), text.encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def compile_artifacts() -> dict[str, dict[str, Any]]:
    """Compile and return one artifact per deployed contract. Raises ``SystemExit`` on errors."""
    texts = sources()
    answer = solc(texts)
    return {name: _artifact(name, answer, texts) for name in DEPLOYED}


def solc(texts: dict[str, str]) -> dict[str, Any]:
    """Return what the compiler makes of some sources. Raises ``SystemExit`` on errors."""
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": settings()
        | {"outputSelection": {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode"]}}},
    }
    run = subprocess.run(
        ["node", str(HERE / "solcw"), "--standard-json"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(run.stdout)
    errors = [e["formattedMessage"] for e in answer.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise SystemExit("\n".join(errors))
    return answer


def _artifact(name: str, answer: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    contract = answer["contracts"][DEPLOYED[name]][name]
    size = len(contract["evm"]["deployedBytecode"]["object"]) // 2
    if size > CODE_SIZE_MAX:
        raise SystemExit(f"{name} has {size} bytes of code; the limit is {CODE_SIZE_MAX}")
    return {
        "contract": name,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "code_size": size,
        "source_hash": source_hash(texts),
        "compiler": compiler(),
    }


def compiler() -> dict[str, Any]:
    """Return which compiler makes the artifacts, and its settings."""
    package = json.loads((HERE / "node_modules" / "solc" / "package.json").read_text())
    return {"solc": package["version"], "settings": settings()}


def main() -> None:
    """Write all artifacts and say how large the code is."""
    ARTIFACTS.mkdir(exist_ok=True)
    for name, artifact in compile_artifacts().items():
        path = ARTIFACTS / f"{name}.json"
        path.write_text(json.dumps(artifact, indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}: {artifact['code_size']} bytes of code\n")


if __name__ == "__main__":
    main()
