"""An operator opens a market that was halted, but not while what halted it can be seen to stand."""

import asyncio
import threading

import pytest

from engine.types import Outcome
from settlement.audit.reconcile import Difference
from settlement.chain.chain import Block, ChainUnavailableError
from settlement.halts import HALTED_MEANWHILE, NOT_COMPARED, Phases, Reconciliation, is_paused
from settlement.orders.catalog import Token
from tests.admission.fixtures import ALICE, USD
from tests.e2e.fixtures import LONG_SECONDS, Venue

TOO_FEW = Difference(USD, "USD", "custody", 8, 7, 3)


class Judge:
    """Finds at each block what it is told to find there."""

    def __init__(self, *found):
        self.block, self.standing, self.surplus, self.debts = 0, {}, {}, {}
        self.found = found

    def cut(self):
        return None

    def compare(self, cut, block):
        self.block, differences = block, self.found[block - 1]
        self.standing = {difference.token: difference for difference in differences}
        return differences


class Halted(Venue):
    """An exchange whose vault and ledger are held against each other by ``judge``."""

    def __init__(self, judge):
        super().__init__()
        self.paused, self.is_silent = set(), False
        self.asked, self.answered = threading.Event(), threading.Event()
        self.answered.set()
        self.reconciliation = Reconciliation(judge, self.exchange)
        self.phases = Phases(self.exchange, self.reconciliation, self.is_paused)

    def is_paused(self, token):
        self.asked.set()
        assert self.answered.wait(LONG_SECONDS), "the test forgot to let it answer"
        if self.is_silent:
            raise ChainUnavailableError("no answer")
        return token.symbol in self.paused

    async def opened(self):
        """Try to open the market; return what became of it, and why."""
        (market,) = self.catalog.markets
        result = await self.phases.open(market)
        return result.outcome, result.detail.get("why", "")

    async def taken(self, nonce):
        """Return what becomes of an order."""
        order = ALICE.order(nonce=nonce)
        return (await self.exchange.place(order)).outcome


def told(judge, story):
    async def whole():
        async with Halted(judge) as venue:
            await venue.list_all()
            await venue.fund(ALICE)
            await story(venue)

    asyncio.run(whole())


def test_it_stays_halted_while_vault_and_ledger_differ_and_is_halted_anew():
    async def story(venue):
        for block in (1, 2):
            await venue.reconciliation.check(block)
        assert await venue.taken(1) is Outcome.MARKET_HALTED
        assert await venue.opened() == (Outcome.MARKET_HALTED, str(TOO_FEW))
        assert await venue.taken(2) is Outcome.MARKET_HALTED
        await venue.reconciliation.check(3)
        assert venue.reconciliation.reasons == [TOO_FEW], "nobody has looked yet"

        assert await venue.opened() == (Outcome.ACCEPTED, "")
        assert venue.reconciliation.reasons == []
        assert await venue.taken(3) is Outcome.ACCEPTED

        await venue.reconciliation.check(4)
        assert venue.reconciliation.reasons == [TOO_FEW]
        assert await venue.taken(4) is Outcome.MARKET_HALTED

    told(Judge([], [TOO_FEW], [], [TOO_FEW]), story)


def test_it_stays_halted_while_a_token_of_it_is_paused_or_nobody_can_say():
    async def story(venue):
        (market,) = venue.catalog.markets
        assert (await venue.phases.halt(market)).accepted
        assert await venue.opened() == (Outcome.MARKET_HALTED, NOT_COMPARED)
        await venue.reconciliation.check(1)
        venue.paused.add("TOKEN")
        assert await venue.opened() == (Outcome.MARKET_HALTED, "TOKEN is paused on chain")
        venue.is_silent = True
        assert await venue.opened() == (Outcome.MARKET_HALTED, "the chain does not answer")
        assert await venue.taken(1) is Outcome.MARKET_HALTED
        venue.paused, venue.is_silent = set(), False
        assert await venue.opened() == (Outcome.ACCEPTED, "")
        assert await venue.taken(2) is Outcome.ACCEPTED

    told(Judge([]), story)


def test_found_an_opening_that_had_asked_before_a_pause_undid_its_halt():
    """Found: who sees the pause halts once, and the opening was queued behind it."""

    async def story(venue):
        (market,) = venue.catalog.markets
        await venue.reconciliation.check(1)
        assert (await venue.phases.halt(market)).accepted
        venue.answered.clear()
        opening = asyncio.create_task(venue.opened())
        assert await asyncio.to_thread(venue.asked.wait, LONG_SECONDS)
        assert (await venue.exchange.halt_market(market)).accepted
        venue.answered.set()
        assert await opening == (Outcome.MARKET_HALTED, HALTED_MEANWHILE)
        assert await venue.taken(1) is Outcome.MARKET_HALTED
        assert await venue.opened() == (Outcome.ACCEPTED, "")

    told(Judge([]), story)


def test_found_a_difference_that_was_found_during_an_opening_halted_a_block_later():
    """Found: the market counted as halted until it was open, and was not halted again."""

    async def story(venue):
        for block in (1, 2):
            await venue.reconciliation.check(block)
        (market,), written = venue.catalog.markets, venue.journal.sequence
        venue.storage.gate.clear()
        opening = asyncio.create_task(venue.opened())
        while venue.journal.sequence == written:
            await asyncio.sleep(0)  # Then it is on its way to the disk, and not open yet.
        check = asyncio.create_task(venue.reconciliation.check(3))
        while not check.done() and venue.exchange.halts[market.number] == 1:
            await asyncio.sleep(0)
        venue.storage.gate.set()
        assert await opening == (Outcome.ACCEPTED, "")
        await check
        assert await venue.taken(1) is Outcome.MARKET_HALTED
        assert venue.reconciliation.reasons == [TOO_FEW]

    told(Judge([TOO_FEW], [], [TOO_FEW]), story)


def test_a_node_that_lags_cannot_say_that_no_token_is_paused():
    class Node:
        def head(self):
            return Block(7, bytes(32), bytes(32), 7)

        def call(self, to, calldata, block):
            if block > self.head().number:
                raise ChainUnavailableError(f"no block {block}")
            return bytes(96)

    token = Token(0, "USD", USD, 6, -100)
    assert not is_paused(Node(), b"", 7, token)
    with pytest.raises(ChainUnavailableError, match="no block 8"):
        is_paused(Node(), b"", 8, token)
