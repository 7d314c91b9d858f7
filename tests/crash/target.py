"""What is a process that takes commands, acknowledges them, and may be killed at any moment?

    python -m tests.crash.target load DIRECTORY LAST      forty clients at once, the compiled engine
    python -m tests.crash.target script DIRECTORY LAST    the same few system calls in every run

The real pipeline, sequencer, journal and snapshots (in a forked child) over real files. A line it
writes is ``serial sequence``, an acknowledgement, or begins with a word. Whoever reads them is the
client, and sends again what was not acknowledged: each serial happens once.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import structlog

from engine.command_result import CommandResult
from engine.commands import Kind, command, list_market
from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
from engine.sequencer.pipeline import Pipeline
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import Snapshotter
from engine.sequencer.subscription import Subscription
from engine.types import Limits, Outcome
from tests.journal.fixtures import Echo

FAILED = 70
SPARE = 1_000_000
"""Added to the serial of an order that was refused it names the cancel that is sent instead."""

ACCOUNTS = 4
RICH = 10**15
LIMITS = Limits(tokens=2, markets=1, accounts=ACCOUNTS, orders=512, ladder_ticks=128)


class Shape(NamedTuple):
    """How large things are; so small that everything happens often."""

    file_size: int
    room_step: int
    snapshot_every: int
    clients: int


LOAD = Shape(file_size=48_000, room_step=16_384, snapshot_every=250, clients=40)
SCRIPT = Shape(file_size=3_600, room_step=4_096, snapshot_every=11, clients=2)
"""Two commands fill one sector; a file is given more room once and is full after seven batches."""


def say(*words: object) -> None:
    """Write one line at once: what was said before a kill was said."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def opening() -> list[np.void]:
    """Return the commands with which every load begins: serial 1 and so on."""
    rows = [command(Kind.LIST_TOKEN, token=token) for token in range(LIMITS.tokens)]
    fees = {"maker_fee_ppm": -100, "taker_fee_ppm": 900}
    rows.append(list_market(0, 0, 1, lot_pips=10, tick_pips=100, **fees))
    rows += [command(Kind.OPEN_ACCOUNT, account=account) for account in range(ACCOUNTS)]
    rows += [
        command(Kind.DEPOSIT, account=account, token=token, amount=RICH)
        for account in range(ACCOUNTS)
        for token in range(LIMITS.tokens)
    ]
    return rows


OPENING = opening()


def order(serial: int) -> np.void:
    """Return an order near all others; of ten, two cancel what was placed before them."""
    dice = Random(serial)
    account = dice.randrange(ACCOUNTS)
    match serial % 10:
        case 4:
            return command(Kind.CANCEL, account=account, order_id=1 << 32 | dice.randrange(1, 512))
        case 9:
            return command(Kind.CANCEL_ALL, account=account, market=0)
    place = {"side": dice.randrange(2), "price_ticks": dice.randrange(40, 61), "expiry_ns": 8}
    return command(
        Kind.PLACE, account=account, amount=dice.randrange(1, 20), fee_cap_ppm=1_000, **place
    )


class Known:
    """What has happened already: the same serial again is answered and not sequenced."""

    checkpoint_name = "target.1"

    def __init__(self) -> None:
        self.sequences: dict[int, int] = {}

    def consume(self, batch: Any) -> None:
        for entry in batch.entries:
            serial = int(entry.attachment)
            assert serial not in self.sequences, f"{serial} is there twice"
            self.sequences[serial] = entry.sequence

    def save(self) -> bytes:
        return np.array(list(self.sequences.items()), "<i8").tobytes()

    def load(self, memory: bytes) -> None:
        self.sequences = dict(np.frombuffer(memory, "<i8").reshape(-1, 2).tolist())


class CrashTarget:
    """One process over one directory."""

    def __init__(self, directory: Path, shape: Shape, machine_type: Any) -> None:
        self.shape = shape
        self.journal = Journal(
            DirectoryStorage(directory / "journal"),
            LIMITS,
            shape.file_size,
            room_step=shape.room_step,
        )
        kept = directory / "kept"
        files = SnapshotFiles(DirectoryReader(kept))
        self.sequencer = Sequencer(machine_type, self.journal, lambda: 7, files)
        self.pipeline = Pipeline(self.sequencer, fail)
        self.known = Known()
        self.pipeline.subscribe(Subscription(self.known.checkpoint_name, self.known))
        self.snapshotter = Snapshotter(
            self.sequencer, self.pipeline, nullcontext, kept, machine_type, lambda: 7
        )

    def start(self) -> None:
        """Recover, say to which state, and take commands."""
        say("recovering")
        for _ in self.pipeline.recover():
            pass
        sequencer = self.sequencer
        self.snapshotter.sequence = sequencer.resumed_at
        state = sequencer.machine.state_hash().hex()
        say("state", sequencer.applied, sequencer.resumed_at, state)
        for refused in sequencer.snapshots_refused:
            say("passed-over", refused)
        self.pipeline.start()

    async def send(self, serial: int, row: np.void) -> CommandResult | None:
        """Have ``serial`` happen once, and tell its client; return the result if it was new."""
        if serial in self.known.sequences:
            say(serial, self.known.sequences[serial])
            return None
        result = await self.pipeline.submit(row, b"%d" % serial)
        if result.outcome is not Outcome.DISK_LOW:
            assert result.sequence, result
            say(serial, result.sequence)
        return result

    def keep(self) -> bool:
        """Begin a snapshot if one is due and none is being written."""
        self.snapshotter.turn()
        commands = self.sequencer.applied - self.snapshotter.sequence
        is_due = commands >= self.shape.snapshot_every and not self.snapshotter.is_busy
        if is_due:
            self.snapshotter.begin()
        return is_due

    async def stop(self) -> None:
        """End in good order, as a service does."""
        await self.pipeline.close()
        self.snapshotter.close()
        self.journal.close()


async def bear_load(target: CrashTarget, last: int) -> None:
    """Serials 1 to ``last`` from many clients at once, who share syncs."""
    for serial, row in enumerate(OPENING, 1):
        await target.send(serial, row)
    wanted = iter(range(len(OPENING) + 1, last + 1))

    async def client(serials: Iterator[int]) -> None:
        for serial in serials:
            await target.send(serial, order(serial))
            target.keep()

    await asyncio.gather(*(client(wanted) for _ in range(target.shape.clients)))


async def follow_script(target: CrashTarget, last: int) -> None:
    """Serials 1 to ``last``, two at a time; each snapshot is waited for.

    What a full disk refuses is sent again when there is room, and a cancel instead at once.
    """
    for first in range(1, last + 1, target.shape.clients):
        serials = range(first, min(first + target.shape.clients, last + 1))
        rows = {serial: command(Kind.PLACE if serial % 3 else Kind.CANCEL) for serial in serials}
        for _ in range(3):
            results = await asyncio.gather(*(target.send(*item) for item in rows.items()))
            answers = dict(zip(rows, results, strict=True))
            rows = {
                serial: rows[serial]
                for serial, result in answers.items()
                if result is not None and result.outcome is Outcome.DISK_LOW
            }
            if not rows:
                break
            spare = SPARE + min(rows)
            taken = await target.send(spare, command(Kind.CANCEL))
            say("low", "cancels" if taken is None or taken.sequence else "nothing")
            target.journal.watch_room()
        assert not rows, "the disk stays full"
        if target.keep():
            target.snapshotter.close()
            if target.snapshotter.failures:
                say("unkept", target.snapshotter.failures)


def fail(error: BaseException) -> None:
    """End the process, as the gateway does: nobody may be told anything any more."""
    os.write(2, repr(error).encode())
    os._exit(FAILED)


async def work(mode: str, directory: Path, last: int) -> None:
    """Be the target of ``mode``."""
    if mode == "load":
        from engine.core import Engine  # Half a second, which the script does without.

        target, story = CrashTarget(directory, LOAD, Engine), bear_load
    else:
        target, story = CrashTarget(directory, SCRIPT, Echo), follow_script
    target.start()
    await story(target, last)
    await target.stop()


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    mode, directory, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    directory.mkdir(exist_ok=True)
    asyncio.run(work(mode, directory, last))


if __name__ == "__main__":
    main()
