"""What does durability cost? Commands through journal and engine, one acknowledgement against the
disk, and the pause of a snapshot.

A real directory on the disk under test, one fdatasync a batch, the core engine's work. No network,
no signature, no consumers. The acknowledgement is relative to what the same disk does by itself
with the same bytes on the same clock, turn and turn about, so that it says something about us.
"""

import asyncio
import gc
import os
import struct
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop

from benchmarks.flow import Flow, Shape, make_flow
from engine.command_result import CommandResult
from engine.commands import Commands
from engine.core import Engine
from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
from engine.sequencer.pipeline import Pipeline
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import Snapshotter

SEED = 1
COMMANDS = 300_000
BATCH = 1024
ROUNDS = 5
ATTACHMENT = bytes(range(256)) + bytes(64)
"""As large as a signed order's evidence."""

MOMENT = struct.Struct("<d")
OFFERED_PER_MS = 20
LOAD_MS = 250
TURNS = 16

LARGE = Shape(accounts=100_000, orders_resting=300_000)
SNAPSHOTS = 5


@pytest.fixture(scope="module")
def flow() -> Flow:
    return make_flow(SEED, COMMANDS, Shape())


class Venue:
    """A sequencer on files of its own, at the end of ``flow``'s opening."""

    def __init__(self, directory: Path, flow: Flow) -> None:
        self.storage = DirectoryStorage(directory)
        self.sequencer = Sequencer(Engine, Journal(self.storage, flow.limits), lambda: 1)
        assert not list(self.sequencer.recover())
        for commands in (flow.opening, flow.prefill):
            self.commit_all(commands, 4096, b"")

    def commit_all(self, commands: Commands, size: int, attachment: bytes) -> None:
        """Write and apply ``commands``, ``size`` to a batch."""
        for i in range(0, len(commands), size):
            batch = commands[i : i + size].copy()
            self.sequencer.apply(self.sequencer.write(batch, [attachment] * len(batch)))


@pytest.mark.parametrize(
    ("figure", "attachment"), [("journal.mcps", b""), ("journal.evidence_mcps", ATTACHMENT)]
)
def test_journaled_commands(
    benchmark: Any, flow: Flow, tmp_path: Path, figure: str, attachment: bytes
) -> None:
    benchmark.extra_info |= {"figure": figure, "unit": "M commands/s", "commands": COMMANDS}
    venues: list[Venue] = []

    def fresh() -> tuple[tuple[Venue, Commands, int, bytes], dict[str, Any]]:
        for venue in venues:
            venue.storage.close()
        venues[:] = [Venue(tmp_path / str(time.monotonic_ns()), flow)]
        return (venues[0], flow.main, BATCH, attachment), {}

    benchmark.pedantic(Venue.commit_all, setup=fresh, rounds=ROUNDS, warmup_rounds=1)

    last = venues[0]
    last.sequencer.machine.check()
    expected = len(flow.opening) + len(flow.prefill) + COMMANDS
    assert last.sequencer.sequence == expected, "every command is in the journal"
    last.storage.close()


def p99(seconds: list[float]) -> float:
    """Return the value that 99 of 100 stay below."""
    return sorted(seconds)[len(seconds) * 99 // 100]


CLOCK = """
import struct, sys, time
for line in sys.stdin:
    began = time.perf_counter()
    for burst in range(int(line)):
        due = began + burst / 1000
        time.sleep(max(0.0, due - time.perf_counter()))
        sys.stdout.buffer.write(struct.pack("<d", due))
        sys.stdout.buffer.flush()
"""
"""Tells when each millisecond begins, as often as it is asked to. A process of its own: timers of
an event loop are a millisecond late at worst, and what arrives over a socket is not."""


class Clock(subprocess.Popen[bytes]):
    """The process that runs ``CLOCK``."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        super().__init__([sys.executable, "-c", CLOCK], stdin=pipe, stdout=pipe, bufsize=0)
        assert self.stdin is not None and self.stdout is not None
        self._ask, self.answers = self.stdin, self.stdout.fileno()

    def tick(self, count: int) -> None:
        """Have the next ``count`` milliseconds told."""
        self._ask.write(b"%d\n" % count)


class Bare(NamedTuple):
    """What the disk does by itself at the same load, in seconds."""

    syncs: list[float]
    """How long each write and fdatasync took."""
    waits: list[float]
    """How long after its millisecond had begun each was done: no program could answer earlier."""


def bare_syncs(file: int, size: int, clock: Clock, bare: Bare) -> None:
    """Write ``size`` bytes and sync them in each millisecond of ``LOAD_MS``, add to ``bare``."""
    chunk, done = bytes(size), 0
    os.set_blocking(clock.answers, True)  # An event loop has had it, and will have it again.
    clock.tick(LOAD_MS)
    while done < LOAD_MS:
        for (due,) in MOMENT.iter_unpack(os.read(clock.answers, MOMENT.size)):
            began = time.perf_counter()
            os.write(file, chunk)
            os.fdatasync(file)
            ended = time.perf_counter()
            bare.syncs.append(ended - began)
            bare.waits.append(ended - due)
            done += 1


async def offered(pipeline: Pipeline, clock: Clock, commands: Commands) -> list[float]:
    """Offer ``commands`` on a clock that waits for nobody; return how long each waited, measured
    from when it was due and not from when we found the time to take it."""
    waits: list[float] = []
    rows = iter(commands)
    is_done = asyncio.Event()

    def answered(due: float, answer: asyncio.Future[CommandResult]) -> None:
        waits.append(time.perf_counter() - due)
        assert answer.result().sequence
        if len(waits) == len(commands):
            is_done.set()

    def arrived() -> None:
        for (due,) in MOMENT.iter_unpack(os.read(clock.answers, 64 * MOMENT.size)):
            for row in islice(rows, OFFERED_PER_MS):
                pipeline.enqueue(row, ATTACHMENT).add_done_callback(partial(answered, due))

    loop = asyncio.get_running_loop()
    loop.add_reader(clock.answers, arrived)
    clock.tick(len(commands) // OFFERED_PER_MS)
    await is_done.wait()
    loop.remove_reader(clock.answers)
    return waits


def test_acknowledgement_against_the_bare_disk(benchmark: Any, flow: Flow, tmp_path: Path) -> None:
    venue = Venue(tmp_path / "journal", flow)
    file = os.open(tmp_path / "bare", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    acks: list[float] = []
    bare = Bare([], [])
    step = LOAD_MS * OFFERED_PER_MS

    def fatal(error: BaseException) -> None:
        raise error

    async def side_by_side(clock: Clock) -> None:
        pipeline = Pipeline(venue.sequencer, fatal)
        pipeline.start()
        record = len(ATTACHMENT) + 72
        for turn in range(TURNS):
            # Turn and turn about: both see the same disk, whoever else is using it.
            bare_syncs(file, OFFERED_PER_MS * record, clock, bare)
            acks.extend(await offered(pipeline, clock, flow.main[turn * step : (turn + 1) * step]))
        await pipeline.close()

    gc.collect()
    gc.freeze()  # As a started exchange does: see ``Stack.serve``.
    with Clock() as clock:
        benchmark.pedantic(lambda: uvloop.run(side_by_side(clock)), rounds=1)
        clock.terminate()
    gc.unfreeze()

    os.close(file)
    venue.storage.close()
    times = p99(acks), p99(bare.syncs), p99(bare.waits)
    benchmark.extra_info["figures"] = {
        "journal.ack_p99_x_fdatasync_p99": {"value": round(times[0] / times[1], 3), "unit": "x"},
        "journal.ack_p99_x_bare_p99": {"value": round(times[0] / times[2], 3), "unit": "x"},
        "journal.ack_p99_us": {"value": round(times[0] * 1e6), "unit": "us"},
        "journal.fdatasync_p99_us": {"value": round(times[1] * 1e6), "unit": "us"},
        "journal.bare_p99_us": {"value": round(times[2] * 1e6), "unit": "us"},
    }
    assert len(acks) == TURNS * step


def test_pause_of_a_snapshot(benchmark: Any, tmp_path: Path) -> None:
    """The longest time in which nothing was matched while a snapshot was taken and written."""
    flow = make_flow(SEED, COMMANDS, LARGE)
    venue = Venue(tmp_path / "journal", flow)
    engine, batch = venue.sequencer.machine, BATCH
    assert engine.orders_live >= LARGE.orders_resting // 2
    directory = tmp_path / "snapshots"
    readers = Pipeline(venue.sequencer, print)
    snapshotter = Snapshotter(
        venue.sequencer, readers, nullcontext, directory, Engine, time.time_ns
    )
    pauses: list[float] = []
    lasted: list[float] = []

    def take() -> None:
        todo = iter(range(0, COMMANDS, batch))
        for _ in range(SNAPSHOTS):
            began = before = time.perf_counter()
            snapshotter.begin()
            longest = 0.0
            while snapshotter.is_busy:
                start = next(todo, None)
                if start is None:
                    snapshotter.close()
                    break
                venue.commit_all(flow.main[start : start + batch], batch, b"")
                now = time.perf_counter()
                longest, before = max(longest, now - before), now
                snapshotter.turn()
            pauses.append(longest)
            lasted.append(time.perf_counter() - began)

    benchmark.pedantic(take, rounds=1)

    assert snapshotter.failures == 0
    names = SnapshotFiles(DirectoryReader(directory)).names()
    size = (directory / names[0]).stat().st_size
    venue.storage.close()
    benchmark.extra_info["figures"] = {
        "snapshot.pause_ms": {"value": round(max(pauses) * 1e3, 2), "unit": "ms"},
        "snapshot.seconds": {"value": round(max(lasted), 2), "unit": "s"},
        "snapshot.size_mb": {"value": round(size / 1e6, 1), "unit": "MB"},
    }
