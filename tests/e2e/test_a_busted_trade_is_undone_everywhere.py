"""The whole exchange, a trade that can never settle: ledger, streams, history, figures undo it."""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
from msgspec import to_builtins

from engine.types import Side
from gateway.api.v1.feed_rows import ticker_row
from gateway.api.v1.rows import balance_rows, news_text
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox.actors import MAKER_ONE, MAKER_TWO
from gateway.sandbox.wallet import Wallet
from gateway.views.channels import Published
from gateway.views.user_orders import balances_channel, orders_channel
from settlement.batches.sealer import EXPIRED
from settlement.chain.dev.devchain import dev_secret
from tests.e2e.test_an_orderly_stop_settles_first import funded

NS = 10**9
HOUR_NS = 3600 * NS
TURNS_MAX = 200


class Clock:
    """Wall time that a test can push ahead."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead_ns


class Ear:
    """Hears one channel, as a connection does."""

    def __init__(self, stack: Stack, channel: str) -> None:
        self.frames: list[Any] = []
        stack.views.channels.subscribe(channel, self)

    def offer(self, _channel: str, published: Published) -> None:
        self.frames.append(orjson.loads(published.written(news_text)))

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.frames]


async def turn_until(stack: Stack, trade_id: int, state: str) -> None:
    for _ in range(TURNS_MAX):
        await asyncio.to_thread(stack.devchain.mine)
        await stack.parts.chain_loop.turn()
        if stack.parts.settler.trade_state(trade_id).state == state:
            return
    raise AssertionError(f"trade {trade_id} is {stack.parts.settler.trade_state(trade_id)}")


def test_a_trade_that_can_never_settle_is_undone_for_everybody(tmp_path: Path) -> None:
    clock = Clock()
    settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")
    # Nobody is in a hurry to seal here, so the trade waits until its orders are dead.
    settings = settings._replace(batch_age_ns=HOUR_NS)

    async def first() -> dict[str, Any]:
        async with Stack(settings, clock, clock) as stack:
            seller, buyer = (
                Wallet(dev_secret(who), stack.chain, stack.parts.exchange.domain)
                for who in (MAKER_ONE, MAKER_TWO)
            )
            await funded(stack, seller)
            await funded(stack, buyer)
            before = [stack.views.user_stream.balances(who.address) for who in (seller, buyer)]
            ears = [Ear(stack, orders_channel(who.address)) for who in (seller, buyer)]
            purse = Ear(stack, balances_channel(buyer.address))
            tape = Ear(stack, "trades:TOKEN-USD")
            await trade(stack, seller, buyer, nonce=1, ticks=250_000)
            clock.ahead_ns += settings.delays.horizon * NS * 5 // 6
            await turn_until(stack, 1, "busted")

            for ear, side in zip(ears, ("sell", "buy"), strict=True):
                (told,) = [f for f in ear.frames if f["type"] == "trade_busted"]
                assert (told["trade_id"], told["side"]) == (1, side)
                assert told["reason"] == EXPIRED
                assert told["fill"]["settlement"]["state"] == "busted"
            assert tape.types().count("trade_busted") == 1
            after = [stack.views.user_stream.balances(who.address) for who in (seller, buyer)]
            assert after == before, "the ledger has given everything back"
            shown = {row["symbol"]: row for row in purse.frames[-1]["balances"]}
            rows = {row.symbol: to_builtins(row) for row in balance_rows(before[1])}
            assert shown == {symbol: rows[symbol] for symbol in ("TOKEN", "USD")}
            await trade(stack, buyer, seller, nonce=2, ticks=240_000)
            await asyncio.to_thread(stack.parts.settler.seal_now)
            await turn_until(stack, 2, "final")
            return views(stack, buyer)

    async def second() -> dict[str, Any]:
        async with Stack(settings, clock, clock) as stack:
            buyer = Wallet(dev_secret(MAKER_TWO), stack.chain, stack.parts.exchange.domain)
            return views(stack, buyer)

    shown = asyncio.run(first())
    assert shown["fills"] == {1: "busted", 2: "final"}
    assert shown["trades"] == {1: "busted", 2: "final"}
    assert (shown["ticker"]["last"], shown["ticker"]["volume_24h"]) == ("2400.00", "0.0010")
    assert asyncio.run(second()) == shown, "a restart knows the same"


async def trade(stack: Stack, seller: Wallet, buyer: Wallet, *, nonce: int, ticks: int) -> None:
    market, expiry = stack.parts.catalog.markets[0], stack.now_ns() // NS + 600
    for order in (
        seller.order(market, Side.SELL, 10, ticks, nonce=nonce, expiry=expiry, lane=0x8000),
        buyer.order(market, Side.BUY, 10, ticks, nonce=nonce, expiry=expiry),
    ):
        assert (await stack.parts.exchange.place(order)).accepted


def views(stack: Stack, owner: Wallet) -> dict[str, Any]:
    market = stack.parts.catalog.markets[0]
    return {
        "fills": {
            fill.trade_id: stack.views.user_stream.state_of(fill).state
            for fill in stack.views.user_stream.fills(owner.address, 9)
        },
        "trades": {
            trade.trade_id: stack.views.market_data.state_of(trade).state
            for trade in stack.views.market_data.tape(market).newest(9)
        },
        "ticker": to_builtins(
            ticker_row(market, stack.views.market_data.ticker(market, stack.now_ns()))
        ),
        "balances": stack.views.user_stream.balances(owner.address),
    }
