"""Found: one forward step of our clock, seen by one command, stamped later trades in the future.
No batch could carry them, nobody was told, and the dead man's delay passed."""

import asyncio
import time
from pathlib import Path

from engine.commands import Kind, command
from engine.sequencer.timekeeper import LEAP_MAX_NS, Timekeeper
from engine.types import Outcome, Side
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox.actors import MAKER_ONE, MAKER_TWO
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret, start_devchain
from settlement.outbox.troubles import AheadOfTime
from tests.asked import BY_TEST
from tests.chain.venue import ALICE, BOB, LANE, Venue
from tests.e2e.test_a_busted_trade_is_undone_everywhere import Clock, trade, turn_until
from tests.e2e.test_an_orderly_stop_settles_first import funded

NS = 10**9
DAYS_NS = 10 * 86_400 * NS


class Hands:
    """A wall clock and a steady one, as a test sets them."""

    def __init__(self) -> None:
        self.wall_ns, self.steady_ns = 1_700_000_000 * NS, 5 * NS
        self.keeper = Timekeeper(lambda: self.wall_ns, lambda: self.steady_ns)

    def pass_by(self, seconds: int) -> None:
        self.wall_ns += seconds * NS
        self.steady_ns += seconds * NS

    @property
    def late_ns(self) -> int:
        return self.wall_ns - self.keeper()


def test_a_leap_is_not_believed_until_a_block_is_as_late():
    hands = Hands()
    before = hands.keeper()
    hands.wall_ns += DAYS_NS
    hands.pass_by(7)
    assert hands.keeper() == before + 7 * NS
    assert hands.keeper.leap_ns == DAYS_NS

    hands.keeper.seen(before // NS)
    assert hands.keeper.leap_ns == DAYS_NS, "an old block says nothing"
    hands.keeper.seen(hands.wall_ns // NS - 12)
    assert (hands.late_ns, hands.keeper.leap_ns) == (0, 0), "we have slept"


def test_small_steps_do_not_add_up_to_a_leap():
    hands = Hands()
    hands.wall_ns += LEAP_MAX_NS
    assert hands.late_ns == 0
    hands.wall_ns += NS
    assert hands.late_ns == LEAP_MAX_NS + NS


def test_what_is_put_right_is_believed_at_once():
    hands = Hands()
    hands.wall_ns += DAYS_NS
    hands.wall_ns -= DAYS_NS + 5 * NS
    assert (hands.late_ns, hands.keeper.leap_ns) == (0, 0)


def test_a_start_with_a_clock_far_ahead_of_the_chain_begins_with_the_chains():
    hands = Hands()
    hands.keeper.begin(hands.wall_ns // NS - 30)
    assert hands.late_ns == 0
    hands.keeper.begin(hands.wall_ns // NS - 864_000)
    hands.pass_by(3)
    assert hands.late_ns == DAYS_NS and hands.keeper.leap_ns == DAYS_NS
    hands.keeper.seen(hands.wall_ns // NS - 2)
    assert hands.late_ns == 0, "no block for ten days, and then one"


def test_while_the_clock_is_wrong_only_cancels_are_taken_and_then_all_settles(tmp_path: Path):
    clock = Clock()
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")

    async def story() -> None:
        async with Stack(settings, clock, time.monotonic_ns) as stack:
            seller, buyer = (
                Wallet(dev_secret(who), stack.chain, stack.parts.exchange.domain)
                for who in (MAKER_ONE, MAKER_TWO)
            )
            await funded(stack, seller)
            await funded(stack, buyer)
            market, expiry = stack.parts.catalog.markets[0], stack.now_ns() // NS + 600
            lane = 0x8000
            terms = market, Side.SELL, 10, 260_000
            resting = seller.order(*terms, nonce=1, expiry=expiry, lane=lane)
            placed = await stack.parts.exchange.place(resting)
            assert placed.accepted, placed
            # Half a second more than is named: the two clocks are never read at one instant.
            leap_ns = DAYS_NS + NS // 2
            clock.ahead_ns += leap_ns

            order = buyer.order(market, Side.BUY, 10, 250_000, nonce=1, expiry=expiry)
            refused = await stack.parts.exchange.place(order)
            assert refused.outcome is Outcome.UNDER_REVIEW
            assert "our clock has leapt 864000 s ahead" in refused.detail["why"]
            assert refused.detail["why"] in stack._restrictions()
            ticked = await stack.parts.exchange.tick()
            assert abs(ticked.time_ns - time.time_ns()) < LEAP_MAX_NS, "no stamp has leapt"
            cancelled = await stack.parts.exchange.cancel(seller.address, placed.order_id, BY_TEST)
            assert cancelled.accepted

            clock.ahead_ns -= leap_ns
            assert stack._restrictions() == []
            await trade(stack, seller, buyer, nonce=2, ticks=250_000)
            await asyncio.to_thread(stack.parts.settler.seal_now)
            await turn_until(stack, 1, "final")

    asyncio.run(story())


def test_a_journal_that_is_ahead_of_the_clock_takes_cancels_only(tmp_path: Path):
    """A journal of before this was known, or a machine that began with a wrong clock."""
    clock = Clock()
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")

    async def ahead() -> None:
        clock.ahead_ns = DAYS_NS
        async with Stack(settings, clock, clock) as stack:
            await stack.parts.exchange.tick()
        clock.ahead_ns = 0
        async with Stack(settings, clock, clock) as stack:
            (why,) = stack._restrictions()
            assert why.startswith("the journal's time is 86")
            assert stack.parts.pipeline.rejection(Kind.PLACE).outcome is Outcome.UNDER_REVIEW
            assert stack.parts.pipeline.rejection(Kind.CANCEL) is None
            assert stack.parts.pipeline.rejection(Kind.WITHDRAW) is None

    asyncio.run(ahead())


def test_trades_that_lie_in_the_future_are_named(tmp_path: Path):
    clock = Clock()
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        venue = Venue(tmp_path, chain, clock)
        venue.fund()
        clock.ahead_ns += DAYS_NS
        venue.commit(command(Kind.CLOCK))
        clock.ahead_ns -= DAYS_NS
        expires_in_s = 2 * DAYS_NS // NS
        for owner, side, lane in ((BOB, Side.SELL, LANE), (ALICE, Side.BUY, 0)):
            venue.place(owner, side, 2_500, 10, nonce=1, lane=lane, expires_in_s=expires_in_s)
        venue.settler.step()

        (trouble,) = venue.settler.troubles
        assert isinstance(trouble, AheadOfTime) and trouble.ahead_seconds > 863_000
        clock.ahead_ns += DAYS_NS
        assert venue.settler.troubles == []
        venue.close()
