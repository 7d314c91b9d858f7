"""How long does a start take after so many commands since the last snapshot?

From the start of a new process to its first accepted order, which is on disk: imports, kernels
from the cache, the snapshot, the tail with every hash checked. No consumers.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flow import Flow, Shape, make_flow
from engine.commands import Commands
from engine.core import Engine
from engine.journal import DirectoryStorage, Journal
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import keep

SEED = 1
BATCH = 1024
ROUNDS = 3
SECONDS_MAX = 300
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def flow() -> Flow:
    return make_flow(SEED, 10_000_000, Shape())


def written(directory: Path, flow: Flow, tail: Commands) -> None:
    """Write a data directory: a snapshot after the opening, then ``tail``."""
    storage = DirectoryStorage(directory / "journal")
    journal = Journal(storage, flow.limits)
    sequencer = Sequencer(Engine, journal, lambda: 1)
    assert not list(sequencer.recover())
    for commands in (flow.opening, flow.prefill, tail):
        if commands is tail:
            keep(sequencer, {}, directory / "snapshots", Engine)
        for i in range(0, len(commands), BATCH):
            batch = commands[i : i + BATCH].copy()
            sequencer.apply(sequencer.write(batch, [b""] * len(batch)))
    journal.close()
    storage.close()


@pytest.mark.parametrize(
    ("figure", "count"), [("recovery.1m_s", 1_000_000), ("recovery.10m_s", 10_000_000)]
)
def test_first_order_after_a_start(
    benchmark: Any, flow: Flow, tmp_path: Path, figure: str, count: int
) -> None:
    written(tmp_path, flow, flow.main[:count])
    found: list[float] = []

    def start() -> None:
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.recoverybench", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS_MAX,
        )
        outcome = json.loads(told.stdout)
        found.append(outcome["seconds"])
        assert outcome["replayed"] >= count

    benchmark.pedantic(start, rounds=ROUNDS)

    median = sorted(found)[len(found) // 2]
    benchmark.extra_info["figures"] = {
        figure: {
            "value": round(median, 2),
            "unit": "s",
            "min": round(min(found), 2),
            "max": round(max(found), 2),
            "runs": len(found),
        }
    }
