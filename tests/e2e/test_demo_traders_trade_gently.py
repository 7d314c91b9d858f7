"""Demo traders move the market of a sandbox, within bounds of price, orders, steps and time."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from engine.types import Side
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.run import ROAMED, WIDE_QUOTES, keep_blocks_coming, open_market
from gateway.sandbox.traders import BRISK_TRADES, LEVELS, Range, Rhythm, Traders, Walk
from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret

STEPS = 60
LOG_BYTES_A_STEP = 4_096


class Enough(Exception):
    """The test has seen enough."""


def test_the_price_wanders_within_its_range_and_the_same_dice_go_the_same_way() -> None:
    within = Range(250_005, 420)
    one, other = Walk(within, Random(7)), Walk(within, Random(7))
    way = [one.step() for _ in range(5_000)]
    assert way == [other.step() for _ in range(5_000)]
    assert all(abs(ticks - 250_005) <= 420 for ticks in way)
    assert max(way) - min(way) > 100, "it goes somewhere"


def test_they_trade_within_bounds_and_leave_the_makers_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            exchange = stack.parts.exchange
            wallets = {
                who: Wallet(dev_secret(who), stack.chain, exchange.domain) for who in range(9)
            }
            await stack.serve()
            blocks = asyncio.create_task(keep_blocks_coming(stack))
            quoter, taker = wallets[actors.TRADER], wallets[actors.VISITOR]
            # The trader stands in for a maker, and so gets money.
            funded = {**wallets, actors.MAKER_TWO: quoter}
            makers = {actors.MAKER_ONE: WIDE_QUOTES[actors.MAKER_ONE]}
            await open_market(stack, funded, makers, {})
            market = stack.parts.catalog.markets[0]
            users, data = stack.views.user_stream, stack.views.market_data
            of_makers = len(users.open_orders(wallets[actors.MAKER_ONE].address))
            traders = Traders(stack, quoter, taker, ROAMED, Random(3))
            before = sum(each.stat().st_blocks for each in (tmp_path / "journal").iterdir())
            for _ in range(STEPS):
                await traders.step()
                assert len(users.open_orders(quoter.address)) <= 2 * LEVELS
            after = sum(each.stat().st_blocks for each in (tmp_path / "journal").iterdir())
            assert (after - before) * 512 <= STEPS * LOG_BYTES_A_STEP + (1 << 20)
            assert not traders.refused
            trades = data.tape(market).newest(1_000)
            assert len(trades) > STEPS // 4
            assert len({trade.price_ticks for trade in trades}) > 10, "the price moves"
            for side in (Side.BUY, Side.SELL):
                for ticks, _ in exchange.depth(market, side, LEVELS):
                    assert abs(ticks - ROAMED.middle_ticks) < 2 * ROAMED.reach_ticks
            assert len(users.open_orders(wallets[actors.MAKER_ONE].address)) == of_makers
            assert users.open_orders(quoter.address)

            await Traders(stack, quoter, taker, ROAMED, Random(4)).clear()
            assert not users.open_orders(quoter.address), "what an earlier process left is gone"
            blocks.cancel()

    asyncio.run(story())


def test_a_log_with_many_trades_gets_few_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            wallet = Wallet(dev_secret(actors.TRADER), stack.chain, stack.parts.exchange.domain)
            traders = Traders(stack, wallet, wallet, ROAMED, Random(1))
            brisk = sum(traders.takes(BRISK_TRADES - 1) for _ in range(1_000))
            seldom = sum(traders.takes(BRISK_TRADES) for _ in range(1_000))
            assert 650 < brisk < 850 and 20 < seldom < 90

    asyncio.run(story())


@pytest.mark.parametrize(
    ("watched", "rhythm", "steps"),
    [
        (False, Rhythm(40, warm_up_steps=5), 5),
        (True, Rhythm(40, warm_up_steps=5, steps_max=12), 12),
        (True, Rhythm(40, warm_up_steps=0, steps_max=3), 3),
    ],
)
def test_they_rest_while_nobody_watches_and_go_home_at_the_end(
    tmp_path: Path, watched: bool, rhythm: Rhythm, steps: int
) -> None:
    async def story() -> None:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) > 100:
                raise Enough

        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            wallet = Wallet(dev_secret(actors.TRADER), stack.chain, stack.parts.exchange.domain)
            traders = Traders(stack, wallet, wallet, ROAMED, Random(1))
            if watched:
                await traders.run(rhythm, lambda: True, pause)
            else:
                with pytest.raises(Enough):
                    await traders.run(rhythm, lambda: False, pause)
            assert traders.steps == steps
            assert max(pauses) <= 60 / rhythm.per_minute

    asyncio.run(story())
