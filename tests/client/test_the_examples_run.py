"""Does what the client's page shows work as it stands there, against ``tillbook run``?"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tillbook_client import Client, Wallet
from tillbook_client.amounts import pips

from tests.e2e.running import ROOT, Running, until

CLIENT = ROOT / "gateway" / "client"
MODULES = ROOT / "settlement" / "contracts" / "node_modules"
SANDBOX = "http://127.0.0.1:8787"

needs_viem = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "viem").is_dir(),
    reason="needs node and viem from npm (see settlement/contracts/package.json)",
)


@pytest.fixture
def running(tmp_path):
    started = []

    def start() -> Running:
        started.append(Running(tmp_path / "data"))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def python(program: str, up: Running) -> str:
    """Run ``program`` as a newcomer would have typed it, against ``up``."""
    ran = subprocess.run(
        [sys.executable, "-c", program.replace(SANDBOX, f"http://127.0.0.1:{up.port}")],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def node(directory: Path, name: str, *arguments: str) -> str:
    """Run one of the examples beside the packages that npm has installed."""
    directory.joinpath("node_modules").symlink_to(MODULES)
    shutil.copy(CLIENT / "examples" / name, directory)
    ran = subprocess.run(
        ["node", name, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_ten_lines_buy_something(running):
    (program,) = re.findall(
        r"```python\n(from tillbook_client import .*?)```",
        CLIENT.joinpath("README.md").read_text(),
        re.S,
    )
    bought, available = python(program, running()).splitlines()
    assert re.fullmatch(r"0\.1\d* at 2\d\d\d\.\d+", bought), bought
    assert re.fullmatch(r"\d+\.\d+", available)


@needs_viem
@pytest.mark.node
def test_viem_signs_a_first_order(running, tmp_path):
    here = tmp_path / "node"
    here.mkdir()
    up = running()
    told = node(here, "first-order.mjs", f"http://127.0.0.1:{up.port}").splitlines()
    assert re.fullmatch(r"bought 0\.1\d* at 2\d\d\d\.\d+", told[0]), told
    assert re.fullmatch(r"order \d+: FILLED", told[-1]), told


@needs_viem
@pytest.mark.node
def test_viem_brings_test_money_in(running, tmp_path):
    here = tmp_path / "node"
    here.mkdir()
    up = running()
    url = f"http://127.0.0.1:{up.port}"
    key = "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"
    with Client(url, Wallet(key)) as exchange:
        before = pips(exchange.balances()["USD"].available)
        told = node(here, "deposit.mjs", url, f"{url}/sandbox/rpc", key, "USD", "12.5", "mint")
        assert [line.partition(":")[0] for line in told.splitlines()] == [
            "mint",
            "approve",
            "deposit",
        ]
        after = before + pips("12.5")
        until("it is credited", lambda: pips(exchange.balances()["USD"].available) == after)
