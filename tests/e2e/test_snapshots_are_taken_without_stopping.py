"""A snapshot is due after a minute or two million commands; a forked child writes and proves it."""

import asyncio
import os
import threading
from contextlib import nullcontext

import pytest

from engine.core import Engine
from engine.journal import DirectoryReader, SnapshotFiles
from engine.sequencer.snapshotter import PERIOD_NS, Snapshotter
from gateway.http.metrics import Metrics
from gateway.node.monitor import Keeper
from tests.admission.fixtures import ALICE, BOB
from tests.e2e.fixtures import Venue


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "snapshots"


def on_a_funded_venue(directory, scenario, machine_type=Engine):
    async def story():
        async with Venue(machine_type=machine_type) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            taker = Snapshotter(
                venue.sequencer,
                venue.pipeline,
                nullcontext,
                directory,
                Engine,
                lambda: venue.now_ns,
            )
            await scenario(venue, taker)
            taker.close()
            assert not venue.fatal

    asyncio.run(story())


def test_one_is_due_after_a_minute_in_which_something_happened(kept):
    async def scenario(venue, taker):
        taker.turn()
        assert not kept.exists(), "not yet"
        venue.now_ns += PERIOD_NS
        taker.turn()
        taker.close()
        assert taker.sequence == venue.sequencer.applied
        [name] = SnapshotFiles(DirectoryReader(kept)).names()
        snapshot = SnapshotFiles(DirectoryReader(kept)).read(name)
        assert snapshot.state_hash == venue.engine.state_hash()
        assert dict(snapshot.consumers) == venue.pipeline.checkpoints()

        venue.now_ns += PERIOD_NS
        taker.turn()
        taker.close()
        assert SnapshotFiles(DirectoryReader(kept)).names() == [name], "nothing has happened"

    on_a_funded_venue(kept, scenario)


def test_matching_goes_on_while_the_child_writes_and_three_are_kept(kept):
    async def scenario(venue, taker):
        sequences = []
        for _ in range(5):
            sequences.append(venue.sequencer.applied)
            taker.begin()
            assert (await venue.exchange.tick()).accepted
            taker.close()
        assert taker.failures == 0
        names = SnapshotFiles(DirectoryReader(kept)).names()
        assert [int(name[:16]) for name in names] == sequences[:1:-1]

    on_a_funded_venue(kept, scenario)


def test_the_child_lets_go_of_the_journals_lock_and_of_every_other_file(kept, tmp_path):
    read_end, write_end = os.pipe()

    async def scenario(_, taker):
        taker.begin()
        taker.close()
        assert taker.failures == 0

    on_a_funded_venue(kept, scenario)
    os.close(write_end)
    assert os.read(read_end, 1) == b"", "nobody else holds the other end"
    os.close(read_end)


def test_a_child_that_fails_is_counted_and_told(kept):
    kept.write_text("a file where a directory should be")

    async def scenario(venue, taker):
        keeper = Keeper(venue.sequencer, venue.journal, taker, Metrics())
        for _ in range(3):
            taker.begin()
            taker.close()
        assert taker.failures == 3
        assert keeper.restrictions() == ["3 snapshots have failed; see the log"]

    on_a_funded_venue(kept, scenario)


def test_a_state_that_does_not_restore_is_not_kept(kept):
    class Forgetful(Engine):
        def image(self):
            found = super().image()
            found["tokens"]["supply"][:] = 1
            return found

    async def scenario(_, taker):
        taker.begin()
        taker.close()
        assert taker.failures == 1
        assert SnapshotFiles(DirectoryReader(kept)).names() == []

    on_a_funded_venue(kept, scenario, Forgetful)


def test_a_child_that_stands_still_ends_and_is_a_failure(kept):
    """Found by reading: closing waited for it without end."""
    held = threading.Lock()
    held.acquire()

    class Waiting:
        def prepare(self):
            """Nothing waits to be shown."""

        def checkpoints(self):
            held.acquire()

    async def scenario(venue, _):
        taker = Snapshotter(
            venue.sequencer,
            Waiting(),
            nullcontext,
            kept,
            Engine,
            lambda: venue.now_ns,
            child_seconds_max=1,
        )
        taker.begin()
        taker.close()
        assert (taker.failures, taker.sequence) == (1, 0)
        assert not kept.exists()

    on_a_funded_venue(kept, scenario)
