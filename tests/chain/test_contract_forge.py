"""Do the contracts' own tests pass: every typed error, fuzz, the laws, and no ghost fills?

Forge compiles all sources for them, so this is where the committed artifacts are held against what
those compile to: the compiler takes half a minute.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from settlement.contracts import build_artifacts

CONTRACTS = Path(__file__).parents[2] / "settlement" / "contracts"


def forge() -> str | None:
    modules = (CONTRACTS / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge")
    return shutil.which("forge") or next((str(binary) for binary in sorted(modules)), None)


def run_forge(*options: str, **settings: str) -> None:
    binary = forge()
    if binary is None:
        pytest.skip("needs forge from npm (see settlement/contracts/package.json)")
    run = subprocess.run(
        [binary, "test", "--color", "never", *options],
        cwd=CONTRACTS,
        env=os.environ | {"FOUNDRY_DISABLE_NIGHTLY_WARNING": "1"} | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    told = run.stdout[-4_000:] + run.stderr[-2_000:]
    assert run.returncode == 0, told
    assert " tests passed, 0 failed, 0 skipped" in told, "forge found tests, and ran them all"


@pytest.mark.node
@pytest.mark.timeout(900)
def test_forge_finds_nothing_wrong_and_compiles_what_is_committed() -> None:
    run_forge()
    of_these = build_artifacts.source_hash(build_artifacts.sources())
    for name in build_artifacts.DEPLOYED:
        fresh = json.loads((CONTRACTS / "out" / f"{name}.sol" / f"{name}.json").read_text())
        stored = json.loads((CONTRACTS / "artifacts" / f"{name}.json").read_text())
        code = bytes.fromhex(fresh["deployedBytecode"]["object"][2:])
        assert stored == {
            "contract": name,
            "abi": stored["abi"],
            "bytecode": fresh["bytecode"]["object"],
            "code_size": len(code),
            "source_hash": of_these,
            "compiler": build_artifacts.compiler(),
        }, f"run build_artifacts.py: {name} is out of date"
        assert in_any_order(stored["abi"]) == in_any_order(fresh["abi"]), name


def in_any_order(abi: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(entry, sort_keys=True) for entry in abi)


@pytest.mark.node
@pytest.mark.soak
def test_forge_finds_nothing_wrong_in_longer_walks() -> None:
    seed = secrets.token_hex(16)
    sys.stdout.write(f"forge test --fuzz-seed 0x{seed}\n")
    run_forge(f"--fuzz-seed=0x{seed}", FOUNDRY_PROFILE="soak")
