"""I13: engine and consumers replay everything or go on from a snapshot, and are the same."""

import asyncio
import random

import pytest

from engine.core import Engine
from engine.journal import SnapshotFiles
from engine.journal.snapshot import prune_snapshots, write_snapshot
from engine.sequencer.snapshotter import keep
from engine.types import Side
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream
from settlement.batches.acknowledgements import Acknowledger
from settlement.batches.sealer import Sealer, Sealing
from settlement.batches.trade_queue import TradeQueue
from settlement.orders.market_states import MarketStates
from settlement.outbox.outbox import Outbox
from settlement.ports import TradeState
from settlement.protocol.evidence import ExitEvidence
from settlement.repair.reversals import WithdrawalReversals
from settlement.watching.deposits import CreditedDeposits
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    DOMAIN,
    LANE,
    NS,
    START,
    TOKEN,
    USD,
    grant_for,
    state_of,
)
from tests.asked import BY_TEST
from tests.chain.venue import OPERATOR
from tests.e2e.fixtures import GatedStorage, Venue, evidence, settle_down
from tests.journal.fixtures import MemoryStorage

STEPS = 120
SEED = 11
HOUR_NS = 3600 * NS


def house_on(storage, outbox, snapshots=None):
    """Return a venue with every consumer that remembers something."""

    def consumers(venue):
        channels = Channels()
        matched = TradeState("matched")
        # It asks the chain only when told to look.
        reversals = WithdrawalReversals(
            *(None, outbox, DOMAIN.contract, 0, 1),
            trial=lambda _: None,
            newest=lambda: 0,
            now_ns=lambda: venue.now_ns,
        )
        return (
            CreditedDeposits(venue.catalog),
            TradeQueue(outbox),
            reversals,
            MarketData(venue.catalog, channels, lambda _: matched),
            Candles(channels),
            MarketStates(),
            UserStream(venue.catalog, channels, venue.exchange.balance, lambda _: matched),
            Acknowledger(DOMAIN, OPERATOR),
        )

    venue = Venue(storage, machine_type=Engine, snapshots=snapshots, consumers=consumers)
    venue.queue = next(c for c in venue.consumers if isinstance(c, TradeQueue))
    reversals = next(c for c in venue.consumers if isinstance(c, WithdrawalReversals))
    terms = venue.catalog, DOMAIN, OPERATOR, Sealing(HOUR_NS), reversals
    venue.sealer = Sealer(outbox, venue.queue, *terms)
    venue.keys.granted(grant_for(ALICES_KEY))
    return venue


async def live_a_little(venue, rng, steps, placed):
    """Trade, cancel, pay in and out, leave: a bit of everything; ``placed`` collects orders."""
    for _ in range(steps):
        venue.now_ns += rng.randrange(NS)
        owner = rng.choice((ALICE, BOB, ALICES_KEY))
        serial = len(placed) + 1
        match rng.randrange(8):
            case 0 if placed:
                who, order_id = rng.choice(placed)
                await venue.exchange.cancel(who, order_id, BY_TEST)
            case 1:
                await venue.exchange.withdraw(ALICE.withdrawal(1000, nonce=serial))
            case 2:
                proof = evidence(bytes([serial % 256]), serial)
                await venue.exchange.credit(BOB.address, USD, 10**6, proof)
            case 3:
                await venue.exchange.tick()
            case 4 if serial % 9 == 0:
                exit_of = ExitEvidence(bytes(32), serial, serial)
                await venue.exchange.begin_exit(BOB.address, exit_of)
                await venue.exchange.end_exit(BOB.address, TOKEN, 0, exit_of)
        order = owner.order(
            rng.choice((Side.BUY, Side.SELL)),
            rng.randrange(1, 30),
            rng.randrange(95, 106),
            nonce=serial,
            lane=rng.choice((0, LANE + rng.randrange(12))),
            client_id=f"order {serial}",
            expiry=START + rng.randrange(60, 3000),
        )
        result = await venue.exchange.place(order)
        placed.append((owner.account, result.order_id))


def memory_of(venue):
    """Return all that engine and consumers know."""
    return (
        venue.engine.state_hash(),
        venue.pipeline.checkpoints(),
        state_of(venue.admission),
        state_of(venue.catalog),
    )


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def test_snapshot_and_tail_equal_full_replay(outbox):
    async def story():
        storage, disk = GatedStorage(), MemoryStorage()
        rng, placed, sequences = random.Random(SEED), [], []
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            for _ in range(3):
                await live_a_little(venue, rng, STEPS // 4, placed)
                venue.pipeline.prepare()
                write_snapshot(disk, venue.sequencer.snapshot(venue.pipeline.checkpoints()))
                sequences.append(venue.sequencer.applied)
            await live_a_little(venue, rng, STEPS // 4, placed)
            lived = memory_of(venue)
        assert sum(order_id > 0 for _, order_id in placed) > STEPS // 2, "most orders were taken"

        async with house_on(storage.copy(), outbox) as full:
            assert memory_of(full) == lived
        for newest in range(3, 0, -1):
            async with house_on(storage.copy(), outbox, SnapshotFiles(disk)) as resumed:
                assert resumed.recovered[0] == sequences[newest - 1], "from the snapshot"
                assert memory_of(resumed) == lived
                assert resumed.sequencer.sequence == venue.sequencer.sequence
            disk.remove(SnapshotFiles(disk).names()[0])

    asyncio.run(story())


def test_what_was_in_flight_at_the_snapshot_and_never_reached_the_disk_has_not_happened(outbox):
    async def story():
        disk = MemoryStorage()
        late = [
            ALICE.order(Side.SELL, nonce=5, client_id="single"),
            ALICE.order(Side.SELL, nonce=5, lane=LANE, client_id="lane"),
            ALICES_KEY.order(Side.SELL, nonce=5, lane=LANE + 1, client_id="key"),
            ALICES_KEY.order(Side.SELL, nonce=6, lane=LANE + 2, client_id="key too"),
            ALICE.order(Side.SELL, nonce=7),
        ]
        async with house_on(None, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            await venue.exchange.place(ALICE.order(Side.SELL, nonce=3))
            venue.storage.gate.clear()
            waiting = [asyncio.create_task(venue.exchange.tick())]
            await settle_down()
            waiting += [asyncio.create_task(venue.exchange.place(order)) for order in late]
            waiting.append(asyncio.create_task(venue.exchange.withdraw(ALICE.withdrawal(100))))
            await settle_down()
            venue.pipeline.prepare()
            write_snapshot(disk, venue.sequencer.snapshot(venue.pipeline.checkpoints()))
            storage = venue.storage.copy()
            venue.storage.gate.set()
            await asyncio.gather(*waiting)

        async with house_on(storage.copy(), outbox) as full:
            fresh = memory_of(full)
        async with house_on(storage.copy(), outbox, SnapshotFiles(disk)) as resumed:
            assert memory_of(resumed) == fresh
            for order in late:
                assert (await resumed.exchange.place(order)).accepted
            assert (await resumed.exchange.withdraw(ALICE.withdrawal(100))).accepted

    asyncio.run(story())


def test_what_was_sealed_since_the_snapshot_is_not_sealed_again(outbox):
    """The outbox has come further than the snapshot; the log root still covers every command."""

    async def trade(venue, turn):
        await venue.exchange.place(ALICE.order(Side.SELL, nonce=turn, lane=LANE + turn))
        assert (await venue.exchange.place(BOB.order(Side.BUY, nonce=turn))).accepted

    async def story():
        storage, disk = GatedStorage(), MemoryStorage()
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            await trade(venue, 1)
            await venue.exchange.withdraw(ALICE.withdrawal(100))
            await trade(venue, 2)
            venue.pipeline.prepare()
            write_snapshot(disk, venue.sequencer.snapshot(venue.pipeline.checkpoints()))
            assert venue.sealer.seal(venue.now_ns)
            assert outbox.last_batch().number == 2, "a withdrawal stands between the two"
        async with house_on(storage, outbox, SnapshotFiles(disk)) as resumed:
            assert not resumed.sealer.seal(resumed.now_ns)
            assert len(resumed.queue.unsettled()[0]) == 2, "kept until they are final"
            await trade(resumed, 3)
            assert resumed.sealer.seal(resumed.now_ns)
            resumed_batch = outbox.last_batch()
            resumed.sealer.unseal(resumed.now_ns, resumed_batch.number)
        async with house_on(storage, outbox) as full:
            assert full.sealer.seal(full.now_ns)
            assert outbox.last_batch().log_root == resumed_batch.log_root
            assert outbox.last_batch().first_sequence == resumed_batch.first_sequence

    asyncio.run(story())


def test_a_damaged_snapshot_is_passed_over_for_the_next_older(outbox):
    async def story():
        storage, disk = GatedStorage(), MemoryStorage()
        rng, placed = random.Random(SEED), []
        async with house_on(storage, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            for _ in range(4):
                await live_a_little(venue, rng, 5, placed)
                venue.pipeline.prepare()
                write_snapshot(disk, venue.sequencer.snapshot(venue.pipeline.checkpoints()))
            prune_snapshots(disk)
            lived = memory_of(venue)
        names = SnapshotFiles(disk).names()
        assert len(names) == 3, "three are kept"
        for count, name in enumerate(names):
            async with house_on(storage.copy(), outbox, SnapshotFiles(disk)) as resumed:
                assert resumed.recovered[0] == int(name[:16])
                assert len(resumed.sequencer.snapshots_refused) == count
                assert memory_of(resumed) == lived
            raw = disk.files[name]
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        async with house_on(storage.copy(), outbox, SnapshotFiles(disk)) as replayed:
            assert len(replayed.sequencer.snapshots_refused) == 3
            assert memory_of(replayed) == lived

    asyncio.run(story())


def test_a_snapshot_on_real_files_restores_to_the_state_it_was_taken_of(outbox, tmp_path):
    async def story():
        async with house_on(None, outbox) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            name = keep(venue.sequencer, venue.pipeline.checkpoints(), tmp_path / "kept", Engine)
            assert name == f"{venue.sequencer.applied:016d}.snapshot"
            assert (tmp_path / "kept" / name).exists()

    asyncio.run(story())
