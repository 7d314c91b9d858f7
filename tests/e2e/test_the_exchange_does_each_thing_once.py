"""Orders, withdrawals, deposits and accounts: asked twice or at once, they happen once."""

import asyncio
import threading

import pytest

from engine.types import MONEY_MAX, Outcome, Side
from settlement.protocol.evidence import ExitEvidence
from tests.admission.fixtures import (
    ALICE,
    BOB,
    LANE,
    LOT_PIPS,
    NS,
    OTHER,
    START,
    STRANGER,
    TICK_PIPS,
    TOKEN,
    USD,
)
from tests.asked import BY_TEST
from tests.e2e.fixtures import Venue, evidence, settle_down

EXIT = ExitEvidence(bytes(32), 0, 1)


class OneByOne:
    """A gate that lets one sync through at a time."""

    def __init__(self):
        self._turns = threading.Semaphore(0)

    def wait(self, seconds):
        return self._turns.acquire(timeout=seconds)

    def one(self):
        self._turns.release()

    def set(self):
        self._turns.release(1_000)


def on_a_funded_venue(scenario, **options):
    """Run ``scenario`` on a venue where Alice and Bob have money."""

    async def story():
        async with Venue(**options) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            await scenario(venue)
            assert not venue.fatal
            venue.engine.check()

    asyncio.run(story())


def test_the_same_order_at_once_and_again_is_one_order():
    async def scenario(venue):
        order = ALICE.order(Side.SELL, lane=LANE)
        before = venue.engine.sequence

        results = await asyncio.gather(*(venue.exchange.place(order) for _ in range(20)))
        later = await venue.exchange.place(order)

        assert {(r.outcome, r.sequence, r.order_id) for r in (*results, later)} == {
            (Outcome.ACCEPTED, before + 1, results[0].order_id)
        }
        assert venue.engine.sequence == before + 1

    on_a_funded_venue(scenario)


def test_an_order_refused_for_want_of_money_is_taken_after_the_deposit_and_once():
    """Found: the same signed order was answered by its old rejection for ever."""

    async def scenario(venue):
        order = ALICE.order(lots=10**8, ticks=4000, lane=LANE, client_id="tea")
        first = await venue.exchange.place(order)
        again = await venue.exchange.place(order)
        assert first.outcome == again.outcome == Outcome.INSUFFICIENT_BALANCE
        assert first.sequence < again.sequence, "it was looked at anew"

        await venue.fund(ALICE, pips=10**15)
        results = await asyncio.gather(*(venue.exchange.place(order) for _ in range(20)))
        later = await venue.exchange.place(order)
        assert {(r.outcome, r.sequence, r.order_id) for r in (*results, later)} == {
            (Outcome.ACCEPTED, venue.engine.sequence, results[0].order_id)
        }
        assert venue.engine.orders_live == 1
        async with Venue(storage=venue.storage.copy()) as restarted:
            known = await restarted.exchange.place(order)
            assert (known.sequence, known.order_id) == (later.sequence, later.order_id)
            assert known.events == later.events, "fills and rest as at first"
            assert restarted.engine.orders_live == 1

    on_a_funded_venue(scenario)


def test_a_refused_order_may_still_come_again_after_a_restart():
    async def scenario(venue):
        order = ALICE.order(lots=10**8, ticks=4000)
        assert not (await venue.exchange.place(order)).accepted
        async with Venue(storage=venue.storage.copy()) as restarted:
            await restarted.fund(ALICE, pips=10**15)
            assert (await restarted.exchange.place(order)).accepted
            assert (await restarted.exchange.place(order)).accepted
            assert restarted.engine.sequence == venue.engine.sequence + 3, "placed once"

    on_a_funded_venue(scenario)


def test_a_cancel_and_the_next_order_on_its_lane_may_be_sent_in_one_breath():
    """Found: of 480 that were, 218 were LANE_BUSY."""

    async def scenario(venue):
        placed = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        for nonce in range(2, 9):
            following = ALICE.order(Side.SELL, nonce=nonce, lane=LANE)
            cancelled, placed = await asyncio.gather(
                venue.exchange.cancel(ALICE.address, placed.order_id, BY_TEST),
                venue.exchange.place(following),
            )
            assert cancelled.accepted and placed.accepted
            assert venue.engine.orders_live == 1
        other = await venue.exchange.place(ALICE.order(Side.SELL, nonce=99, lane=LANE))
        assert other.outcome == Outcome.LANE_BUSY

    on_a_funded_venue(scenario)


@pytest.mark.parametrize("order_id", [2**62, 2**63 - 1])
def test_found_an_order_with_a_high_id_could_not_be_cancelled(order_id):
    async def scenario(venue):
        result = await venue.exchange.cancel(ALICE.address, order_id, BY_TEST)
        assert result.outcome == Outcome.NOT_RESTING
        assert result.sequence == venue.engine.sequence, "the engine was asked"

    on_a_funded_venue(scenario)


def test_an_account_is_charged_for_what_is_written_and_for_nothing_else():
    """Found: anybody could spend anybody's budget, by signatures of any key."""

    async def scenario(venue):
        charged = []
        good = ALICE.order(Side.SELL, lane=LANE)
        forged = ALICE.order(Side.SELL, lane=LANE + 1, account=BOB.address)
        old = ALICE.order(Side.SELL, lane=LANE, lots=9)
        for order in (forged, good, good, old):
            await venue.exchange.place(order, charged.append)
        assert charged == [ALICE.address]

        def no_more(account):
            raise PermissionError

        before = venue.admission.save()
        with pytest.raises(PermissionError):
            await venue.exchange.place(ALICE.order(nonce=2), no_more)
        assert venue.admission.save() == before, "a rejection changes nothing"

    on_a_funded_venue(scenario)


def test_a_client_that_hangs_up_leaves_a_whole_order():
    async def scenario(venue):
        order = ALICE.order(Side.SELL, lane=LANE)
        venue.storage.gate.clear()
        client = asyncio.create_task(venue.exchange.place(order))
        await settle_down()
        client.cancel()
        second = asyncio.create_task(venue.exchange.place(order))
        await settle_down()
        venue.storage.gate.set()

        result = await second
        assert result.accepted and client.cancelled()
        assert venue.engine.orders_live == 1
        assert (await venue.exchange.cancel(ALICE.address, result.order_id, BY_TEST)).accepted

    on_a_funded_venue(scenario)


def test_found_a_strangers_cancel_made_a_lane_busy_again():
    """Its answer ended what the owner's own cancel, still on its way, had begun."""

    async def scenario(venue):
        placed = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        venue.storage.gate = turns = OneByOne()
        stolen = asyncio.create_task(venue.exchange.cancel(BOB.address, placed.order_id, BY_TEST))
        await settle_down()
        own = asyncio.create_task(venue.exchange.cancel(ALICE.address, placed.order_id, BY_TEST))
        await settle_down()
        turns.one()
        assert not (await stolen).accepted and not own.done()

        following = venue.exchange.place(ALICE.order(Side.SELL, nonce=2, lane=LANE))
        waiting = asyncio.create_task(following)
        await settle_down()
        turns.set()

        assert (await own).accepted and (await waiting).accepted

    on_a_funded_venue(scenario)


@pytest.mark.parametrize("lane", [0, LANE])
def test_an_order_refused_for_a_full_queue_may_be_sent_again(lane):
    """Found: the rejection is called retryable, but it had spent the nonce."""

    async def scenario(venue):
        order = ALICE.order(Side.SELL, lane=lane, client_id="tea")
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        queued = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        assert (await venue.exchange.place(order)).outcome == Outcome.OVERLOADED
        venue.storage.gate.set()
        await asyncio.gather(busy, queued)

        assert (await venue.exchange.place(order)).accepted

    on_a_funded_venue(scenario, queue_max=1)


def test_a_withdrawal_refused_for_a_full_queue_may_be_sent_again():
    """Found: as above, and the owner's signature named the nonce."""

    async def scenario(venue):
        withdrawal = ALICE.withdrawal(100)
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        queued = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        assert (await venue.exchange.withdraw(withdrawal)).outcome == Outcome.OVERLOADED
        venue.storage.gate.set()
        await asyncio.gather(busy, queued)

        assert (await venue.exchange.withdraw(withdrawal)).accepted

    on_a_funded_venue(scenario, queue_max=1)


def test_a_withdrawal_happens_once():
    async def scenario(venue):
        withdrawal = ALICE.withdrawal(100)
        before = venue.exchange.balance(ALICE.address, USD).available
        results = await asyncio.gather(*(venue.exchange.withdraw(withdrawal) for _ in range(5)))

        outcomes = sorted(result.outcome for result in results)
        assert outcomes == [Outcome.ACCEPTED] + [Outcome.WITHDRAWAL_OPEN] * 4
        assert venue.exchange.balance(ALICE.address, USD).available == before - 100

    on_a_funded_venue(scenario)


@pytest.mark.parametrize(
    ("withdrawal", "outcome"),
    [
        (ALICE.withdrawal(100, token=OTHER), Outcome.UNKNOWN_TOKEN),
        (STRANGER.withdrawal(100), Outcome.UNKNOWN_ACCOUNT),
        (ALICE.withdrawal(0), Outcome.AMOUNT_OUT_OF_RANGE),
        (ALICE.withdrawal(MONEY_MAX + 1), Outcome.AMOUNT_OUT_OF_RANGE),
        (ALICE.withdrawal(101), Outcome.AMOUNT_OUT_OF_RANGE),
        (ALICE.withdrawal(10**12 + 100), Outcome.INSUFFICIENT_BALANCE),
    ],
)
def test_a_withdrawal_that_cannot_be_paid_is_refused(withdrawal, outcome):
    async def scenario(venue):
        before = [venue.exchange.balance(ALICE.address, token) for token in (USD, TOKEN)]
        assert (await venue.exchange.withdraw(withdrawal)).outcome == outcome
        assert [venue.exchange.balance(ALICE.address, token) for token in (USD, TOKEN)] == before

    on_a_funded_venue(scenario)


def test_a_withdrawal_expires():
    async def scenario(venue):
        venue.now_ns = (START + 3600) * NS
        assert (await venue.exchange.withdraw(ALICE.withdrawal(100))).outcome == (
            Outcome.ORDER_EXPIRED
        )

    on_a_funded_venue(scenario)


def test_one_address_gets_one_account_however_many_deposits_race():
    async def scenario(venue):
        before = venue.catalog.account_count
        results = await asyncio.gather(
            *(
                venue.exchange.credit(STRANGER.address, USD, 5, evidence(b"race", number))
                for number in range(10)
            )
        )
        assert all(result.accepted for result in results)
        assert venue.catalog.account_count == before + 1
        assert venue.exchange.balance(STRANGER.address, USD) == (50, 0)

    on_a_funded_venue(scenario)


def test_an_unlisted_token_is_not_credited_and_opens_no_account():
    async def scenario(venue):
        result = await venue.exchange.credit(STRANGER.address, OTHER, 5, evidence())
        assert result.outcome == Outcome.UNKNOWN_TOKEN
        assert venue.catalog.account_number(STRANGER.address) is None

    on_a_funded_venue(scenario)


def test_a_deposit_that_meets_a_full_queue_says_so():
    """Found: it said CAPACITY, which is final, and the deposit would have been passed over."""

    async def scenario(venue):
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        queued = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        result = await venue.exchange.credit(STRANGER.address, USD, 5, evidence())
        assert result.outcome == Outcome.OVERLOADED
        venue.storage.gate.set()
        await asyncio.gather(busy, queued)

    on_a_funded_venue(scenario, queue_max=1)


def test_an_exit_freezes_the_account_and_its_end_thaws_it():
    async def scenario(venue):
        exchange = venue.exchange
        assert (await exchange.place(ALICE.order(Side.SELL, lane=LANE))).accepted
        assert (await exchange.begin_exit(ALICE.address, EXIT)).accepted
        assert venue.engine.orders_live == 0
        frozen = await exchange.place(ALICE.order())
        assert frozen.outcome == Outcome.ACCOUNT_FROZEN

        before = exchange.balance(ALICE.address, USD).available
        assert (await exchange.end_exit(ALICE.address, USD, 70, EXIT)).accepted
        assert exchange.balance(ALICE.address, USD).available == before - 70
        assert (await exchange.place(ALICE.order(nonce=2))).accepted

    on_a_funded_venue(scenario)


def test_only_the_owner_cancels():
    async def scenario(venue):
        placed = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        stolen = await venue.exchange.cancel(BOB.address, placed.order_id, BY_TEST)
        assert stolen.outcome == Outcome.NOT_OWNER
        for owner, order_id in ((STRANGER, placed.order_id), (ALICE, 0), (ALICE, 2**63)):
            answer = await venue.exchange.cancel(owner.address, order_id, BY_TEST)
            assert answer.outcome == Outcome.NOT_RESTING
        assert (await venue.exchange.cancel(ALICE.address, placed.order_id, BY_TEST)).accepted

    on_a_funded_venue(scenario)


def test_a_rebate_is_listed_up_to_what_the_taker_pays():
    async def scenario(venue):
        def listing(maker_fee_ppm):
            return venue.exchange.list_market(
                *("USD-TOKEN", "USD", "TOKEN"),
                lot_pips=LOT_PIPS,
                tick_pips=TICK_PIPS,
                maker_fee_ppm=maker_fee_ppm,
                taker_fee_ppm=500,
            )

        assert (await listing(-501)).outcome == Outcome.BAD_LISTING
        assert venue.catalog.market("USD-TOKEN") is None
        assert (await listing(-500)).accepted
        assert venue.catalog.market("USD-TOKEN").maker_fee_ppm == -500

    on_a_funded_venue(scenario)
