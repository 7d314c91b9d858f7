"""What does durability cost? Commands through journal and engine, and one commit against the disk.

A real directory on the disk under test: append, one fdatasync a batch, the core engine's work.
No network, no signature, no consumers. The second figure is relative to the bare fdatasync of the
same disk in the same minute, so that it says something about us and not about the disk.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flow import Flow, Shape, make_flow
from engine.commands import Commands
from engine.core import Engine
from engine.journal import DirectoryStorage, Journal
from engine.sequencer import Sequencer, Submission

SEED = 1
COMMANDS = 60_000
BATCH = 1024
ROUNDS = 5
SINGLE_COMMITS = 1_000
ATTACHMENT = bytes(range(256)) + bytes(64)
"""As large as a signed order's evidence."""


@pytest.fixture(scope="module")
def flow() -> Flow:
    return make_flow(SEED, COMMANDS, Shape())


class House:
    """A sequencer on files of its own, at the end of ``flow``'s opening."""

    def __init__(self, directory: Path, flow: Flow) -> None:
        self.storage = DirectoryStorage(directory)
        self.engine = Engine(flow.limits)
        self.sequencer = Sequencer(self.engine, Journal(self.storage), lambda: 1)
        assert not list(self.sequencer.recover())
        for commands in (flow.opening, flow.prefill):
            for batch in submissions(commands, 4096):
                self.sequencer.commit(batch)

    def commit_all(self, batches: list[list[Submission]]) -> None:
        """Write and apply each batch."""
        for batch in batches:
            self.sequencer.apply(self.sequencer.write(batch))


def submissions(commands: Commands, size: int) -> list[list[Submission]]:
    """Return ``commands`` as they come from clients, ``size`` to a batch."""
    whole = [Submission(row, ATTACHMENT) for row in commands]
    return [whole[i : i + size] for i in range(0, len(whole), size)]


def test_journaled_commands(benchmark: Any, flow: Flow, tmp_path: Path) -> None:
    benchmark.extra_info |= {
        "figure": "journal.mcps",
        "unit": "M commands/s",
        "commands": COMMANDS,
    }
    batches = submissions(flow.main, BATCH)
    houses: list[House] = []

    def fresh() -> tuple[tuple[House, list[list[Submission]]], dict[str, Any]]:
        for house in houses:
            house.storage.close()
        houses[:] = [House(tmp_path / str(time.monotonic_ns()), flow)]
        return (houses[0], batches), {}

    benchmark.pedantic(House.commit_all, setup=fresh, rounds=ROUNDS, warmup_rounds=1)

    last = houses[0]
    last.engine.check()
    expected = len(flow.opening) + len(flow.prefill) + COMMANDS
    assert last.sequencer.sequence == expected, "every command is in the journal"
    last.storage.close()


def p99(seconds: list[float]) -> float:
    """Return the value that 99 of 100 stay below."""
    return sorted(seconds)[len(seconds) * 99 // 100]


def test_one_commit_against_the_bare_disk(benchmark: Any, flow: Flow, tmp_path: Path) -> None:
    house = House(tmp_path / "journal", flow)
    commits = submissions(flow.main[:SINGLE_COMMITS], 1)
    record_size = len(house.storage.read(house.storage.names()[0])) // house.sequencer.sequence
    bare = os.open(tmp_path / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    acks, syncs = [], []

    def side_by_side() -> None:
        for commit in commits:
            # Turn and turn about: both see the same disk, whoever else is using it.
            began = time.perf_counter()
            os.write(bare, bytes(record_size))
            os.fdatasync(bare)
            synced = time.perf_counter()
            house.sequencer.apply(house.sequencer.write(commit))
            syncs.append(synced - began)
            acks.append(time.perf_counter() - synced)

    benchmark.pedantic(side_by_side, rounds=1)

    os.close(bare)
    house.storage.close()
    benchmark.extra_info["figures"] = {
        "journal.ack_p99_x_fdatasync_p99": {"value": round(p99(acks) / p99(syncs), 3), "unit": "x"},
        "journal.ack_p99_us": {"value": round(p99(acks) * 1e6), "unit": "us"},
        "journal.fdatasync_p99_us": {"value": round(p99(syncs) * 1e6), "unit": "us"},
    }
    assert len(acks) == len(syncs) == SINGLE_COMMITS
