"""The chain loop: logs come again after crashes, failures and full queues, and count once."""

import asyncio
from pathlib import Path

import pytest

from engine.sequencer.subscription import Subscription
from engine.types import Outcome, Side
from settlement.chain.chain import ChainUnavailableError
from settlement.handlers import TOGETHER_MAX
from settlement.outbox.outbox import Outbox
from settlement.protocol.evidence import ZERO_REF
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.unbooked import Unbooked
from settlement.watching.watcher import (
    CancelRequested,
    Deposited,
    ExitCancelled,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    LogId,
    Observation,
    PauseSet,
    Poll,
    Transferred,
)
from settlement.worker import ChainLoop
from tests.admission.fixtures import ALICE, ALICES_KEY, BOB, LANE, OTHER, TOKEN, USD, grant_for
from tests.asked import BY_TEST
from tests.e2e.fixtures import LONG_SECONDS, GatedStorage, Venue, settle_down

DEPTH = 2


class ShownChain:
    """A watcher, settler and chain in one: shows what a test says, until it is done with."""

    def __init__(self):
        self.values = []
        self.depth = DEPTH
        self.cursor = 0
        self.down = False
        self.cannot_settle = False
        self.steps = 0
        self.returns = []
        self.troubles = ()
        self.halted = None

    def poll(self):
        if self.down:
            raise ChainUnavailableError("nobody is at home")
        confirmed = self.depth >= DEPTH
        observations = [
            Observation(value, self.depth, confirmed) for value in self.values[self.cursor :]
        ]
        upto = len(self.values) if confirmed else self.cursor
        head = len(self.values)
        return Poll(observations, self.cursor + 1, head, upto, head, is_caught_up=True)

    async def check(self, block):
        self.checked = block

    def done(self, poll):
        self.cursor = poll.upto

    def history(self):
        return [
            value
            for value in self.values[: self.cursor]
            if isinstance(value, KeyGranted | KeyRevoked | CancelRequested | PauseSet)
        ]

    def step(self):
        self.steps += 1
        if self.cannot_settle:
            raise ChainUnavailableError("nobody answers this one")
        return False

    def waits_for_blocks(self):
        return False

    def changes(self, since):
        return []

    troubles = ()
    halted = None

    def busts_due(self):
        return []

    def reversals_due(self):
        return self.returns

    def late_payments(self):
        return []


class Till:
    """Remembers the payments it is told of."""

    def __init__(self):
        self.payments = []
        self.reports = 0
        self.reread = []
        self.is_missing = False

    def payments_seen(self, transfers):
        self.reports += 1
        self.payments += [(one.raw_amount, one.confirmations) for one in transfers]
        return [True] * len(transfers)

    def unconfirmed_payments(self):
        return {}

    def payment_orphaned(self, tx_hash, log_index):
        self.payments.append(("gone", int.from_bytes(tx_hash, "big"), log_index))

    def is_missing_money(self):
        return self.is_missing

    def blocks_read(self, read):
        self.reread.append(read)


class Watched(Venue):
    """A venue with a chain loop; ``shown`` is what its chain shows."""

    def __init__(self, shown, storage=None, outbox=None, **options):
        super().__init__(storage, consumers=lambda it: (CreditedDeposits(it.catalog),), **options)
        (self.credited_deposits,) = self.consumers
        self.shown, self.till = shown, Till()
        self.outbox = outbox or Outbox(Path(":memory:"))
        self.unbooked = Unbooked(self.outbox)
        self.loop = ChainLoop(
            settler=shown,
            watcher=shown,
            exchange=self.exchange,
            admission=self.admission,
            keys=self.keys,
            credited_deposits=self.credited_deposits,
            unbooked=self.unbooked,
            payments=self.till,
            reconciliation=shown,
            listeners=(),
        )

    async def __aenter__(self):
        await super().__aenter__()
        await self.loop.resume()
        return self

    def keys_revoked(self):
        return self.keys.grant_of(ALICE.address, ALICES_KEY.address) is None

    def usd(self, owner):
        return sum(self.exchange.balance(owner.address, USD))


def log(number):
    return LogId(number.to_bytes(32, "big"), 0, number)


def deposit(number, owner=ALICE, amount=100, token=USD):
    return Deposited(log(number), owner.address, token, amount, ZERO_REF)


def watched(scenario, **options):
    async def story():
        async with Watched(ShownChain(), **options) as venue:
            await venue.list_all()
            await scenario(venue)
            assert not venue.fatal

    asyncio.run(story())


def test_a_deposit_counts_when_it_is_deep_enough_and_once():
    async def scenario(venue):
        venue.shown.values = [deposit(1), deposit(1)]
        venue.shown.depth = 1
        assert not await venue.loop.turn()
        assert venue.usd(ALICE) == 0
        assert venue.loop.waits_for_blocks

        venue.shown.depth = DEPTH
        assert await venue.loop.turn()
        assert venue.usd(ALICE) == 100
        venue.shown.cursor = 0
        assert not await venue.loop.turn()
        assert venue.usd(ALICE) == 100

    watched(scenario)


def test_a_crash_before_the_cursor_moved_credits_nothing_twice():
    async def story():
        storage, shown = GatedStorage(), ShownChain()
        async with Watched(shown, storage) as venue:
            await venue.list_all()
            shown.values = [deposit(1), deposit(2)]
            await venue.loop.turn()
        shown.cursor = 0
        async with Watched(shown, storage) as again:
            await again.loop.turn()
            assert again.usd(ALICE) == 200

    asyncio.run(story())


def test_deposits_that_come_in_together_are_booked_in_their_order_in_few_batches():
    """Found: 200 payments that were swept together were 200 syncs of the journal."""

    async def scenario(venue):
        seen = Batches()
        venue.shown.values = [deposit(1)]
        await venue.loop.turn()
        venue.pipeline.subscribe(Subscription("batches", seen))
        venue.shown.values += [deposit(number, amount=number) for number in range(2, 34)]
        await venue.loop.turn()
        assert venue.usd(ALICE) == 100 + sum(range(2, 34))
        assert [amount for batch in seen.amounts for amount in batch] == list(range(2, 34))
        assert len(seen.amounts) <= 32 // TOGETHER_MAX + 1

    watched(scenario)


class Batches:
    """Remembers the deposits of each batch of the log."""

    def __init__(self):
        self.amounts = []

    def consume(self, batch):
        self.amounts.append([int(row["amount"]) for row in batch.commands])


def test_an_event_that_can_never_be_booked_does_not_hold_up_the_next():
    async def scenario(venue):
        venue.shown.values = [deposit(1, token=OTHER), deposit(2)]
        await venue.loop.turn()
        assert venue.usd(ALICE) == 100
        assert venue.shown.cursor == 2

    watched(scenario)


def test_a_deposit_that_met_a_full_queue_is_booked_later():
    """Found: the cursor passed it, and the money would never have been credited."""

    async def scenario(venue):
        venue.shown.values = [deposit(1)]
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        queued = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        await venue.loop.turn()
        assert venue.shown.cursor == 0, "it must be shown again"
        venue.storage.gate.set()
        await asyncio.gather(busy, queued)

        await venue.loop.turn()
        assert venue.usd(ALICE) == 100
        assert venue.shown.cursor == 1

    watched(scenario, queue_max=1)


def test_exits_freeze_and_thaw():
    async def scenario(venue):
        venue.shown.values = [deposit(1), ExitRequested(log(2), ALICE.address, USD, 50, 0)]
        await venue.loop.turn()
        frozen = await venue.exchange.place(ALICE.order())
        assert frozen.outcome == Outcome.ACCOUNT_FROZEN

        venue.shown.values.append(ExitCancelled(log(3), ALICE.address, USD))
        await venue.loop.turn()
        poor = await venue.exchange.place(ALICE.order(nonce=2))
        assert poor.outcome == Outcome.INSUFFICIENT_BALANCE

    watched(scenario)


def test_a_revoked_key_loses_its_orders_and_nobody_else_does():
    async def scenario(venue):
        await venue.fund(ALICE, BOB)
        venue.shown.values = [KeyGranted(log(1), grant_for(ALICES_KEY))]
        await venue.loop.turn()
        for owner, lane in ((ALICES_KEY, LANE), (ALICES_KEY, LANE + 1), (ALICE, LANE + 2)):
            assert (await venue.exchange.place(owner.order(Side.SELL, lane=lane))).accepted

        venue.shown.values.append(KeyRevoked(log(2), ALICE.address, ALICES_KEY.address, 0))
        await venue.loop.turn()

        assert venue.engine.orders_live == 1
        late = await venue.exchange.place(ALICES_KEY.order(Side.SELL, nonce=2, lane=LANE))
        assert late.outcome == Outcome.UNKNOWN_KEY

    watched(scenario)


def test_an_order_on_its_way_to_disk_does_not_outlive_its_key():
    """Found: it was not in the book yet when the key's orders were listed, and stayed."""

    async def scenario(venue):
        await venue.fund(ALICE)
        venue.shown.values = [KeyGranted(log(1), grant_for(ALICES_KEY))]
        await venue.loop.turn()
        venue.storage.gate.clear()
        placing = asyncio.create_task(venue.exchange.place(ALICES_KEY.order(Side.SELL, lane=LANE)))
        await settle_down()
        venue.shown.values.append(KeyRevoked(log(2), ALICE.address, ALICES_KEY.address, 0))
        turning = asyncio.create_task(venue.loop.turn())
        async with asyncio.timeout(LONG_SECONDS):
            while not venue.keys_revoked():
                await asyncio.sleep(0)
        await settle_down()
        venue.storage.gate.set()
        assert (await placing).accepted
        await turning
        assert venue.engine.orders_live == 0

    watched(scenario)


def cancel_of(owner, number, nonce, lane=LANE):
    return CancelRequested(log(number), owner.address, lane, False, nonce, 0)


def test_a_cancel_on_chain_takes_the_order_off_its_lane_and_no_other():
    async def scenario(venue):
        await venue.fund(ALICE)
        for nonce, lane in ((5, LANE), (1, LANE + 1)):
            order = ALICE.order(Side.SELL, nonce=nonce, lane=lane)
            assert (await venue.exchange.place(order)).accepted

        venue.shown.values = [cancel_of(ALICE, 1, 4)]
        await venue.loop.turn()
        assert venue.engine.orders_live == 2, "a later order is not meant"

        venue.shown.values.append(cancel_of(ALICE, 2, 7))
        await venue.loop.turn()
        assert venue.engine.orders_live == 1
        late = await venue.exchange.place(ALICE.order(Side.SELL, nonce=7, lane=LANE))
        assert late.outcome == Outcome.NONCE_USED
        assert (await venue.exchange.place(ALICE.order(Side.SELL, nonce=8, lane=LANE))).accepted

    watched(scenario)


def test_an_order_on_its_way_to_disk_does_not_outlive_its_cancel():
    async def scenario(venue):
        await venue.fund(ALICE)
        venue.storage.gate.clear()
        placing = asyncio.create_task(venue.exchange.place(ALICE.order(Side.SELL, lane=LANE)))
        await settle_down()
        venue.shown.values = [cancel_of(ALICE, 1, 1)]
        turning = asyncio.create_task(venue.loop.turn())
        await settle_down()
        venue.storage.gate.set()
        assert (await placing).accepted
        await turning
        assert venue.engine.orders_live == 0

    watched(scenario)


def test_found_a_cancel_and_an_order_in_one_breath_outlived_the_cancel_on_chain():
    """Found: the order whose cancel was queued was cancelled once more, and the one behind it on
    its lane stayed, though the contract was about to refuse it."""

    async def scenario(venue):
        await venue.fund(ALICE)
        first = await venue.exchange.place(ALICE.order(Side.SELL, nonce=1, lane=LANE))
        venue.storage.gate.clear()
        cancelling = asyncio.create_task(
            venue.exchange.cancel(ALICE.address, first.order_id, BY_TEST)
        )
        await settle_down()
        second = ALICE.order(Side.SELL, nonce=2, lane=LANE)
        placing = asyncio.create_task(venue.exchange.place(second))
        await settle_down()
        venue.shown.values = [cancel_of(ALICE, 1, 2)]
        turning = asyncio.create_task(venue.loop.turn())
        async with asyncio.timeout(LONG_SECONDS):
            while venue.admission.lane_now(ALICE.address, LANE, False)[0] < 3:
                await asyncio.sleep(0)
        await settle_down()
        venue.storage.gate.set()
        assert (await cancelling).accepted and (await placing).accepted
        await turning
        assert venue.engine.orders_live == 0

    watched(scenario)


def test_found_a_revocation_that_met_a_full_queue_was_taken_for_old():
    """Found: shown again it was no news any more, and the orders of the key stayed."""

    async def scenario(venue):
        await venue.fund(ALICE)
        venue.shown.values = [KeyGranted(log(1), grant_for(ALICES_KEY))]
        await venue.loop.turn()
        assert (await venue.exchange.place(ALICES_KEY.order(Side.SELL, lane=LANE))).accepted
        venue.shown.values.append(KeyRevoked(log(2), ALICE.address, ALICES_KEY.address, 0))
        venue.storage.gate.clear()
        busy = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        queued = asyncio.create_task(venue.exchange.tick())
        await settle_down()
        await venue.loop.turn()
        assert venue.keys_revoked() and venue.shown.cursor == 1, "it must be shown again"
        venue.storage.gate.set()
        await asyncio.gather(busy, queued)

        await venue.loop.turn()
        assert venue.shown.cursor == 2
        assert venue.engine.orders_live == 0

    watched(scenario, queue_max=1)


def test_cancels_are_known_again_after_a_restart():
    async def story():
        shown = ShownChain()
        shown.values = [cancel_of(ALICE, 1, 3), cancel_of(ALICE, 2, 9, lane=0)]
        async with Watched(shown) as venue:
            await venue.loop.turn()
        async with Watched(shown) as again:
            await again.list_all()
            await again.fund(ALICE)
            dead = await again.exchange.place(ALICE.order(Side.SELL, nonce=3, lane=LANE))
            assert dead.outcome == Outcome.NONCE_USED
            assert again.admission.next_nonce(ALICE.address) == 10

    asyncio.run(story())


def test_keys_are_known_again_after_a_restart():
    async def story():
        shown = ShownChain()
        shown.values = [
            KeyGranted(log(1), grant_for(ALICES_KEY)),
            KeyRevoked(log(2), ALICE.address, ALICES_KEY.address, 0),
        ]
        async with Watched(shown) as venue:
            await venue.loop.turn()
        async with Watched(shown) as again:
            assert again.keys.grant_of(ALICE.address, ALICES_KEY.address) is None
            assert again.keys_revoked()

    asyncio.run(story())


@pytest.mark.parametrize("is_granted_again", [True, False])
def test_found_each_restart_cancelled_the_orders_of_a_key_that_was_granted_again(is_granted_again):
    """Found: its revocation, long over, was carried out once more with each start."""

    async def story():
        storage, shown = GatedStorage(), ShownChain()
        grant = grant_for(ALICES_KEY)
        shown.values = [
            KeyGranted(log(1), grant),
            KeyRevoked(log(2), ALICE.address, ALICES_KEY.address, 0),
            KeyGranted(log(3), grant),
        ]
        async with Watched(shown, storage) as venue:
            await venue.list_all()
            await venue.fund(ALICE)
            await venue.loop.turn()
            order = ALICES_KEY.order(Side.SELL, lane=LANE)
            assert (await venue.exchange.place(order)).accepted
        if not is_granted_again:  # Nobody saw the second revocation before the end.
            shown.values.append(KeyRevoked(log(4), ALICE.address, ALICES_KEY.address, 0))
            shown.cursor = len(shown.values)
        async with Watched(shown, storage) as again:
            assert again.engine.orders_live == int(is_granted_again)

    asyncio.run(story())


def test_a_payment_is_reported_with_its_depth_each_time():
    async def scenario(venue):
        venue.shown.values = [Transferred(log(1), TOKEN, BOB.address, ALICE.address, 7)]
        venue.shown.depth = 1
        await venue.loop.turn()
        venue.shown.depth = DEPTH
        await venue.loop.turn()
        await venue.loop.turn()
        assert venue.till.payments == [(7, 1), (7, DEPTH)]

    watched(scenario)


def test_a_chain_that_is_down_is_said_and_forgotten_when_it_is_back():
    async def scenario(venue):
        venue.shown.values, venue.shown.down = [deposit(1)], True
        assert not await venue.loop.turn()
        assert not await venue.loop.turn()
        assert venue.loop.unreachable == "nobody is at home"
        assert venue.usd(ALICE) == 0

        venue.shown.down = False
        assert await venue.loop.turn()
        assert venue.loop.unreachable == ""
        assert venue.usd(ALICE) == 100

    watched(scenario)


def test_found_what_settlement_could_not_ask_kept_the_watcher_from_looking():
    async def scenario(venue):
        venue.shown.values, venue.shown.cannot_settle = [deposit(1)], True
        assert await venue.loop.turn()
        assert venue.usd(ALICE) == 100
        assert venue.loop.unreachable == "nobody answers this one"

        venue.shown.cannot_settle = False
        await venue.loop.turn()
        assert venue.loop.unreachable == ""

    watched(scenario)


def test_found_a_market_went_on_while_its_token_was_paused():
    async def scenario(venue):
        venue.shown.values, venue.shown.depth = [PauseSet(log(1), TOKEN, True)], 1
        await venue.loop.turn()
        await venue.fund(ALICE)
        refused = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        assert refused.outcome is Outcome.MARKET_HALTED, "however young the log is"
        last = venue.sequencer.sequence
        await venue.loop.turn()
        assert venue.sequencer.sequence == last, "once"

    watched(scenario)


def test_a_pause_that_is_over_halts_nothing():
    async def scenario(venue):
        venue.shown.values = [PauseSet(log(1), TOKEN, True), PauseSet(log(2), TOKEN, False)]
        last = venue.sequencer.sequence
        await venue.loop.turn()
        assert venue.sequencer.sequence == last

    watched(scenario)


@pytest.mark.parametrize("is_paused", [True, False])
def test_found_a_market_that_was_listed_during_a_pause_began_open(is_paused):
    """Found: the log of a pause was behind us when the market came, and is shown but once."""

    async def scenario(venue):
        venue.shown.values = [PauseSet(log(1), TOKEN, True), PauseSet(log(2), TOKEN, is_paused)]
        venue.shown.cursor = 2
        await venue.fund(ALICE)
        # As ``gateway.node.assembly.begin`` does: what is new is listed ahead of this.
        await venue.loop.resume()
        result = await venue.exchange.place(ALICE.order(Side.SELL, lane=LANE))
        assert result.outcome is (Outcome.MARKET_HALTED if is_paused else Outcome.ACCEPTED)
        last = venue.sequencer.sequence
        await venue.loop.turn()
        assert venue.sequencer.sequence == last, "once"

    watched(scenario)
