"""Do the contracts' own tests pass: every typed error, fuzz, the laws, and no ghost fills?"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_forge_finds_nothing_wrong() -> None:
    run_forge()


@pytest.mark.node
@pytest.mark.soak
def test_forge_finds_nothing_wrong_in_longer_walks() -> None:
    seed = secrets.token_hex(16)
    sys.stdout.write(f"forge test --fuzz-seed 0x{seed}\n")
    run_forge(f"--fuzz-seed=0x{seed}", FOUNDRY_PROFILE="soak")
