"""Does it make a difference in which order those who follow the log are shown a batch?"""

import asyncio
import random
from functools import partial
from pathlib import Path

import pytest

from engine.commands import set_terms
from engine.sequencer.pipeline import Pipeline
from engine.types import Side
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream, balances_channel, orders_channel
from merchants.sales.reference_prices import Prices, PriceTerms
from settlement.batches.acknowledgements import Acknowledger
from settlement.batches.encode import Bust
from settlement.batches.trade_queue import TradeQueue
from settlement.orders.market_states import MarketStates
from settlement.outbox.outbox import Outbox
from settlement.ports import TradeState
from settlement.watching.deposits import CreditedDeposits
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    DOMAIN,
    LANE,
    LOT_PIPS,
    NS,
    PLENTY,
    START,
    TICK_PIPS,
    grant_for,
)
from tests.chain.venue import OPERATOR
from tests.e2e.fixtures import Venue, settle_down
from tests.sim.options import drawn
from tests.sim.quiet import come_to_rest
from tests.sim.venue import PRODUCT
from tests.sim.world import World, memory_directory

SHUFFLES = 12
SIM_SEED, SIM_COMMANDS = 89, 600
"""A life with trades, an invoice that is paid, and a start from a snapshot."""

HEARD = (
    *("book:TOKEN-USD", "trades:TOKEN-USD"),
    *(orders_channel(owner.address) for owner in (ALICE, BOB)),
    *(balances_channel(owner.address) for owner in (ALICE, BOB)),
)


class Ear:
    """Keeps what was published, channel by channel."""

    def __init__(self):
        self.heard = []

    def offer(self, channel, published):
        self.heard.append((channel, repr(published.news)))


class Shuffled(Pipeline):
    """The product's pipeline, but those who follow it stand in an order that dice have chosen."""

    def __init__(self, *needs, seed, **more):
        super().__init__(*needs, **more)
        self.dice, self.readers = random.Random(seed), []

    def subscribe(self, subscription):
        self.readers.append(subscription)

    def recover(self):
        self.dice.shuffle(self.readers)
        for subscription in self.readers:
            super().subscribe(subscription)
        yield from super().recover()


def venue_on(outbox, storage=None, seed=None):
    """Return a venue with everybody who reads what a market's numbers mean, and one who listens.

    Without ``seed`` they stand as the product has them.
    """
    ear, matched = Ear(), TradeState("matched")

    def consumers(venue):
        channels = Channels()
        for channel in HEARD:
            channels.subscribe(channel, ear)
        return (
            CreditedDeposits(venue.catalog),
            TradeQueue(outbox),
            MarketData(venue.catalog, channels, lambda _: matched),
            Candles(channels),
            MarketStates(),
            UserStream(venue.catalog, channels, venue.exchange.balance, lambda _: matched),
            Acknowledger(DOMAIN, OPERATOR),
            Prices(PriceTerms(owners_min=1)),
        )

    pipeline = Pipeline if seed is None else partial(Shuffled, seed=seed)
    venue = Venue(storage, consumers=consumers, pipeline=pipeline)
    venue.keys.granted(grant_for(ALICES_KEY))
    venue.ear, venue.queue = ear, venue.consumers[1]
    return venue


async def story(venue):
    """Trade, undo a trade, and change a market's terms between two orders of one batch; return all
    answers."""
    answers = []

    def placed_now(owner, side, lots, ticks, nonce, lane=0):
        expiry = START + 3_000
        signed = owner.order(side, lots, ticks, nonce=nonce, lane=lane, expiry=expiry)
        return venue.exchange.place(signed)

    def order(*terms):
        venue.now_ns += NS
        return placed_now(*terms)

    await venue.list_all()
    await venue.fund(ALICE, BOB)
    answers.append(await order(BOB, Side.SELL, 20, 101, 1, LANE))
    answers.append(await order(ALICES_KEY, Side.BUY, 8, 100, 1, LANE))
    answers += [await order(ALICE, Side.BUY, 4, 101, nonce) for nonce in (2, 3)]
    ((first, _), _) = venue.queue.kept()
    answers.append(await venue.exchange.bust(Bust(first, "it cannot settle")))

    terms = {"lot_pips": 2 * LOT_PIPS, "tick_pips": 2 * TICK_PIPS}
    row = set_terms(0, maker_fee_ppm=-100, taker_fee_ppm=300, **terms)
    venue.storage.gate.clear()
    waiting = [asyncio.create_task(venue.exchange.tick())]  # It has the disk; these are one batch.
    await settle_down()
    waiting.append(asyncio.create_task(placed_now(ALICE, Side.BUY, 2, 101, 4)))
    waiting.append(asyncio.create_task(venue.pipeline.submit(row)))
    waiting.append(asyncio.create_task(venue.exchange.tick()))
    await settle_down()
    venue.storage.gate.set()
    answers += (await asyncio.gather(*waiting))[1:3]
    old, new = (f"lot_pips={terms * LOT_PIPS}," for terms in (1, 2))
    assert not any(new in news for _, news in venue.ear.heard), "all of it is of before"
    left = venue.admission.budgets.left(ALICES_KEY.account, ALICES_KEY.address)
    assert left == PLENTY, "the key's order ended in the terms in which it was placed"
    before = len(venue.ear.heard)

    answers.append(await order(BOB, Side.SELL, 20, 110, 4, LANE + 1))
    answers.append(await order(ALICES_KEY, Side.BUY, 6, 111, 4, LANE + 1))
    answers.append(await order(ALICE, Side.BUY, 4, 110, 5))
    assert all(answer.accepted for answer in answers)
    assert not any(old in news for _, news in venue.ear.heard[before:])
    return [repr(answer) for answer in answers]


def known(venue):
    """Return what everybody remembers, in no order, and what was published."""
    return sorted(venue.pipeline.checkpoints().items()), sorted(venue.ear.heard)


def lived(outbox, seed=None):
    """Return the answers of the story, what is known at its end, and what a replay knows."""

    async def live():
        venue = venue_on(outbox, seed=seed)
        async with venue:
            answers = await story(venue)
        again = venue_on(outbox, venue.storage, seed)
        async with again:
            pass
        return answers, known(venue), known(again)

    return asyncio.run(live())


@pytest.fixture(scope="module")
def outbox(tmp_path_factory):
    """Return one that nothing is written to."""
    opened = Outbox(tmp_path_factory.mktemp("outbox") / "settlement.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def expected(outbox):
    """Return what comes of the story with everybody where the product has them."""
    answers, live, replayed = lived(outbox)
    assert live[0] == replayed[0], "a replay reads all of it as one batch"
    assert {"book:TOKEN-USD", "trades:TOKEN-USD"} < {channel for channel, _ in live[1]}
    return answers, live, replayed


@pytest.mark.parametrize("seed", range(SHUFFLES))
def test_answers_news_and_memory_are_the_same_in_every_order(outbox, expected, seed):
    assert lived(outbox, seed) == expected


def life_in(parts):
    """Return the fingerprint of every command in a life of the simulator, and what it has met."""
    planted = PRODUCT._replace(parts=parts)
    with memory_directory() as directory:
        world = World(drawn(SIM_SEED), Path(directory), planted)
        world.run(SIM_COMMANDS)
        come_to_rest(world)
        return world.ack_oracle.prints, world.counts


def test_a_whole_exchange_lives_the_same_life_in_another_order():
    """All of ``assemble``'s tuple, with settlement, shops and faults."""
    expected = life_in(PRODUCT.parts)
    assert all(expected[1][what] for what in ("event TRADE", "payments", "starts from a snapshot"))

    for seed in range(2):
        parts = PRODUCT.parts._replace(pipeline=partial(Shuffled, seed=seed))
        assert life_in(parts) == expected
