"""What settlement has decided is in ``settlement.sqlite``, and left out of each snapshot.

Found: an older copy of it beside a newer snapshot knew nothing of a withdrawal that was
countersigned, and that waited nowhere any more. With the next one it was given back, paid or not.
"""

import asyncio
from contextlib import closing
from sqlite3 import connect

import pytest

from engine.journal import SnapshotFiles
from engine.journal.snapshot import write_snapshot
from engine.sequencer.places import NotOfThisLog
from engine.types import Side
from settlement.outbox.outbox import Outbox
from settlement.repair.reversals import WithdrawalReversals
from tests.admission.fixtures import ALICE, BOB, LANE
from tests.e2e.fixtures import GatedStorage
from tests.e2e.test_a_snapshot_and_the_tail_are_all_of_history import house_on
from tests.journal.fixtures import MemoryStorage


def copied(path):
    """Return a copy of an outbox as it is on disk now, opened."""
    copy = path.with_name("older.sqlite")
    with closing(connect(path)) as database, closing(connect(copy)) as to:
        database.backup(to)
    return Outbox(copy)


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def kept(venue, disk):
    """Keep a snapshot as the snapshotter does; return its sequence."""
    venue.pipeline.prepare()
    write_snapshot(disk, venue.sequencer.snapshot(venue.pipeline.checkpoints()))
    return venue.sequencer.applied


def test_a_snapshot_beyond_the_outbox_is_passed_over(outbox, tmp_path):
    async def story():
        storage, disk = GatedStorage(), MemoryStorage()
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            first = kept(venue, disk)
            older = copied(tmp_path / "outbox.sqlite")
            await venue.exchange.withdraw(ALICE.withdrawal(100))
            assert venue.sealer.seal(venue.now_ns), "countersigned: anybody may have it paid"
            assert kept(venue, disk) > first
        async with house_on(storage, outbox, SnapshotFiles(disk)) as resumed:
            assert resumed.recovered[0] > first and not resumed.sequencer.snapshots_refused
        async with house_on(storage, older, SnapshotFiles(disk)) as resumed:
            await resumed.exchange.withdraw(ALICE.withdrawal(200, nonce=2))
            assert resumed.sealer.seal(resumed.now_ns).sealed_count == 2, "both, the old one again"
            reversals = next(c for c in resumed.consumers if isinstance(c, WithdrawalReversals))
            reversals.look()
            assert reversals.due() == []
            (why,) = resumed.sequencer.snapshots_refused
            assert f"settlement.sqlite has seen commands up to {first} only" in why
        older.close()

    asyncio.run(story())


def test_no_start_beside_a_log_that_ends_before_what_is_sealed(outbox):
    async def story():
        storage = GatedStorage()
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            ended, log = venue.sequencer.sequence, storage.copy()
            await venue.exchange.place(ALICE.order(Side.SELL, nonce=1, lane=LANE))
            assert (await venue.exchange.place(BOB.order(Side.BUY, nonce=1))).accepted
            assert venue.sealer.seal(venue.now_ns)
        with pytest.raises(NotOfThisLog) as refused:
            await house_on(log, outbox).__aenter__()
        sealed = outbox.last_batch().last_sequence
        assert f"settlement.sqlite has seen commands up to {sealed}" in str(refused.value)
        assert f"the log ends at {ended}" in str(refused.value)

    asyncio.run(story())


def test_no_start_beside_another_history(outbox):
    async def story():
        storage = GatedStorage()
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            log = storage.copy()
            await venue.fund(ALICE)
            seen = kept(venue, MemoryStorage())
        async with house_on(log, Outbox(":memory:")) as another:
            await another.fund(BOB)
            await another.fund(ALICE)
        with pytest.raises(NotOfThisLog, match=f"has seen another command {seen}"):
            await house_on(log, outbox).__aenter__()

    asyncio.run(story())


def test_an_outbox_from_before_it_told_its_place_goes_on_as_it_did(outbox, tmp_path):
    async def story():
        storage, disk = GatedStorage(), MemoryStorage()
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            last = kept(venue, disk)
        with closing(connect(tmp_path / "outbox.sqlite")) as old, old:
            old.execute("DROP TABLE log_place")
        outbox.close()
        again = Outbox(tmp_path / "outbox.sqlite")
        async with house_on(storage, again, SnapshotFiles(disk)) as resumed:
            assert resumed.recovered[0] == last and resumed.queue.place() is None
            await resumed.fund(ALICE)
            assert kept(resumed, disk) == resumed.queue.place().sequence
        again.close()

    asyncio.run(story())
