"""Are the committed artifacts what the committed sources compile to?

``test_contract_forge.py`` holds them against what forge compiles; a compile of our own is a soak's.
"""

import json
import re
import shutil

import pytest

from settlement.contracts import build_artifacts
from settlement.protocol.abi import artifact

BORROWED = ("SafeERC20", "ReentrancyGuard")
"""Errors of OpenZeppelin's contracts, which have their own tests."""

FORBIDDEN_MIN = 60
MODULES = build_artifacts.HERE / "node_modules"


@pytest.mark.node
@pytest.mark.soak
@pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "solc").is_dir(),
    reason="needs node and the compiler from npm (see settlement/contracts/package.json)",
)
def test_recompiling_gives_the_same_bytes() -> None:
    for name, fresh in build_artifacts.compile_artifacts().items():
        stored = json.loads((build_artifacts.ARTIFACTS / f"{name}.json").read_text())
        assert stored == fresh, f"run build_artifacts.py: {name} is out of date"


@pytest.mark.parametrize("name", build_artifacts.DEPLOYED)
def test_an_artifact_is_read_as_it_is_stored(name: str) -> None:
    stored = json.loads((build_artifacts.ARTIFACTS / f"{name}.json").read_text())
    assert artifact(name).bytecode.hex() == stored["bytecode"][2:]


def test_every_typed_error_has_a_forge_test() -> None:
    folder = build_artifacts.HERE / "test"
    told = "\n".join(path.read_text() for path in sorted(folder.rglob("*.t.sol")))
    for name in ("Exchange", "Custodian", "Collector", "InvoiceAddress", "Bond"):
        errors = {e["name"] for e in artifact(name).abi if e["type"] == "error"}
        own = {e for e in errors if not e.startswith(BORROWED)}
        missing = {e for e in own if f".{e}.selector" not in told and f'"{e}(' not in told}
        assert not missing, f"{name}: nothing shows when these are raised"


def test_every_event_is_told_in_a_forge_test() -> None:
    folder = build_artifacts.HERE / "test"
    told = "\n".join(path.read_text() for path in sorted(folder.rglob("*.t.sol")))
    emitted = set(re.findall(r"emit (?:\w+\.)?(\w+)\(", told))
    for name in ("Exchange", "Custodian", "InvoiceDeposits", "Bond"):
        events = {e["name"] for e in artifact(name).abi if e["type"] == "event"}
        assert events, f"{name} is followed by its events"
        assert events <= emitted, f"{name}: nothing holds the figures of {events - emitted}"


def test_the_catalogue_of_forbidden_settlements_is_long_and_names_each_once() -> None:
    files = sorted((build_artifacts.HERE / "test" / "exchange" / "forbidden").glob("*.t.sol"))
    told = "\n".join(path.read_text() for path in files)
    names = re.findall(r'\b(?:forbid|forge)\(\s*"([^"]+)"', told)
    assert len(names) == len(set(names)) >= FORBIDDEN_MIN
