"""How much of a core does an exchange take that nobody uses?

The whole product as ``tillbook run`` starts it, with its embedded chain beside it (not counted),
after it has come to rest. Easier than the world: no connection is open, and no invoice waits.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.cases.bench_gateway import rate

READY_SECONDS: Final = 120
REST_SECONDS: Final = 12
RUNS: Final = 3
RUN_SECONDS: Final = 10


def cpu_seconds(process: int) -> float:
    """Return what a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_ready(port: int) -> None:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError("it never became ready")


def test_nobody_uses_it(benchmark: Any, tmp_path: Path) -> None:
    port, shares = 8_797, []
    run = [Path(sys.executable).with_name("tillbook"), "run", "--data", str(tmp_path / "data")]
    process = subprocess.Popen([*run, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(port)
        time.sleep(REST_SECONDS)

        def one_run() -> None:
            used, began = cpu_seconds(process.pid), time.monotonic()
            time.sleep(RUN_SECONDS)
            shares.append((cpu_seconds(process.pid) - used) / (time.monotonic() - began))

        benchmark.pedantic(one_run, rounds=RUNS, iterations=1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    benchmark.extra_info["figures"] = {"gateway.idle_share": rate(shares, "cores")}
