"""When the disk is nearly full new orders are refused by name and cancels still work."""

import asyncio

import pytest

from engine.journal import StorageFull
from engine.types import Outcome, Side
from settlement.ports import awaited
from tests.admission.fixtures import ALICE, BOB, LANE
from tests.asked import BY_TEST
from tests.e2e.fixtures import Venue, settle_down
from tests.journal.fixtures import MemoryStorage, batch_from, recovered, sequencer_on


def on_a_funded_venue(scenario):
    async def story():
        async with Venue() as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            await scenario(venue)
            assert not venue.fatal
            venue.engine.check()
        return venue

    return asyncio.run(story())


def test_below_five_percent_orders_are_refused_and_taken_again_when_there_is_room():
    async def scenario(venue):
        resting = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        order = ALICE.order(Side.SELL, lane=LANE + 1)
        venue.storage.free = 49_999
        venue.journal.watch_room()

        assert (await venue.exchange.place(order)).outcome == Outcome.DISK_LOW
        assert (await venue.exchange.cancel(ALICE.address, resting.order_id, BY_TEST)).accepted
        assert (await venue.exchange.withdraw(ALICE.withdrawal(100))).accepted

        venue.storage.free = 50_000
        venue.journal.watch_room()
        assert (await venue.exchange.place(order)).accepted, "the rejection has spent nothing"

    on_a_funded_venue(scenario)


@pytest.mark.parametrize("lane", [0, LANE + 1])
def test_found_an_order_was_torn_between_its_nonce_and_the_queue_when_the_disk_was_found_full(lane):
    """Found: the journal's thread says so at any moment. The nonce was spent for an order that was
    in no queue, and each snapshot forgot all that its account had spent since."""

    async def scenario(venue):
        order = ALICE.order(Side.SELL, lane=lane)

        def found_full(_):
            venue.journal.is_low = True

        answer = await awaited(venue.exchange.offer(order, found_full))
        assert answer.accepted, "there is room kept"
        assert (await venue.exchange.place(BOB.order())).outcome is Outcome.DISK_LOW

    on_a_funded_venue(scenario)


@pytest.mark.parametrize("lane", [0, LANE + 1])
def test_orders_that_met_the_full_disk_in_the_queue_may_be_sent_again(lane):
    async def scenario(venue):
        resting = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        orders = [
            BOB.order(Side.SELL, nonce=n, lane=lane and lane + n, client_id=f"{n}", ticks=200)
            for n in range(1, 60)
        ]
        placing = [asyncio.create_task(venue.exchange.place(order)) for order in orders]
        cancel = asyncio.create_task(
            venue.exchange.cancel(ALICE.address, resting.order_id, BY_TEST)
        )
        await settle_down()
        venue.storage.room = sum(map(len, venue.storage.files.values()))
        before = venue.admission.save()
        venue.storage.gate.set()

        assert (await busy).accepted
        refused = await asyncio.gather(*placing)
        assert {result.outcome for result in refused} == {Outcome.DISK_LOW}
        assert (await cancel).accepted, "one cancel fits where 59 orders do not"
        assert venue.engine.orders_live == 0

        venue.storage.room = 1 << 40
        venue.journal.watch_room()
        assert venue.admission.save() != before, "the cancel has closed a lane"
        for order in orders:
            result = await venue.exchange.place(order)
            assert result.accepted, result

    venue = on_a_funded_venue(scenario)
    assert len(venue.storage.files) > 1


def test_without_any_room_cancels_are_refused_too_and_nothing_happens():
    async def scenario(venue):
        resting = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        venue.storage.room = 0
        outcomes = set()
        for _ in range(20):
            outcomes.add((await venue.exchange.tick()).outcome)
        assert outcomes == {Outcome.ACCEPTED, Outcome.DISK_LOW}, "the reserve, and then no more"
        state = venue.engine.state_hash()
        cancel = await venue.exchange.cancel(ALICE.address, resting.order_id, BY_TEST)
        assert (cancel.outcome, venue.engine.state_hash()) == (Outcome.DISK_LOW, state)

    on_a_funded_venue(scenario)


def test_a_journal_without_room_has_written_nothing_and_goes_on_when_there_is_some():
    storage = MemoryStorage()
    sequencer = sequencer_on(storage)
    assert list(sequencer.recover()) == []
    sequencer.commit(batch_from(1, 3))
    storage.room = 0
    with pytest.raises(StorageFull):
        sequencer.commit(batch_from(4, 100))
    assert sequencer.is_low
    assert len(recovered(storage.copy())) == 3

    sequencer.commit(batch_from(4, 1))
    storage.room = 1 << 40
    sequencer.commit(batch_from(5, 100))
    assert len(recovered(storage.copy())) == 104


def test_a_file_that_cannot_be_followed_by_another_is_written_on():
    storage = MemoryStorage()
    sequencer = sequencer_on(storage, file_size_max=600)
    assert list(sequencer.recover()) == []
    sequencer.commit(batch_from(1, 2))
    storage.room = 0
    for number in range(3, 6):
        sequencer.commit(batch_from(number, 1))

    assert len([name for name in storage.names() if "journal" in name]) == 1
    assert len(recovered(storage.copy())) == 5
