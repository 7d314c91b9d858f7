"""Clients keep books of their own under load, some come and go, some read slowly: all agree."""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from engine.commands import Kind, command
from engine.types import OrderFlag, Side
from gateway.api.v1.rows import Message
from gateway.views.channels import Published
from tests.api.fixtures import Served, ask, hear
from tests.api.readers import BestReader, LevelReader, OrderReader
from tests.api.test_stream import run
from tests.api.test_views_follow_stops_icebergs_and_auctions import place

MOVES = 800
READERS: dict[str, Callable[[], Any]] = {
    "book:TOKEN-USD": LevelReader,
    "l3:TOKEN-USD": OrderReader,
    "bbo:TOKEN-USD": BestReader,
}
ICEBERG = int(OrderFlag.ICEBERG)


BALLAST = Message({"channel": "nowhere", "words": "x" * 10_000})


class Market:
    """Somebody who trades, and says when he has finished."""

    def __init__(self, up: Served, seed: int) -> None:
        self.up, self.dice, self.is_over = up, random.Random(seed), False
        self.done = 0

    async def trade(self) -> None:
        """Place and cancel at random, one after the other, with everybody else between."""
        venue, dice, known = self.up.venue, self.dice, list[tuple[int, int]]()
        for self.done in range(1, MOVES + 1):
            who = venue.maker if dice.random() < 0.5 else venue.taker
            if known and dice.random() < 0.3:
                owner, order_id = known.pop(dice.randrange(len(known)))
                venue.commit(command(Kind.CANCEL, account=owner, order_id=order_id))
            else:
                lots = dice.randrange(1, 40)
                side = dice.choice(("buy", "sell"))
                ticks = 2_000 + dice.randrange(-12, 13) + (3 if side == "sell" else -3)
                hidden = {"flags": ICEBERG, "order_id": 1 + lots // 4}
                placed = place(
                    venue, who, side, lots, ticks, **(hidden if dice.random() < 0.2 else {})
                )
                known.append((venue.open_account(who.address), placed.order_id))
            await asyncio.sleep(0)
        self.is_over = True

    def last_u(self, channel: str) -> int:
        market = self.up.venue.exchange.catalog.markets[0]
        data = self.up.venue.market_data
        return data.queues(market).u if channel.startswith("l3") else data.book(market).u

    def agrees(self, channel: str, reader: Any) -> None:
        market = self.up.venue.exchange.catalog.markets[0]
        data, engine = self.up.venue.market_data, self.up.venue.exchange
        bids, asks = (engine.depth(market, side, 999) for side in (Side.BUY, Side.SELL))
        if channel.startswith("book"):
            assert (reader.bids(), reader.asks()) == (bids, asks)
        elif channel.startswith("l3"):
            for side, name in ((Side.BUY, "buy"), (Side.SELL, "sell")):
                walked = [(str(order), *rest) for order, *rest in data.queues(market).walk(side)]
                assert reader.walk(name) == walked
            assert (reader.levels("buy"), reader.levels("sell")) == (bids, asks)
        else:
            assert reader.best == (bids[0] if bids else None, asks[0] if asks else None)


async def follow(up: Served, trade: Market, channel: str, stay: int | None) -> tuple[Any, int]:
    """Keep a book until trading is over; with ``stay`` come anew after so many frames. Return the
    reader, and how often it came."""
    came = 0
    while True:
        came += 1
        reader = READERS[channel]()
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel=channel)
            count = 0
            while stay is None or count < stay or trade.is_over:
                if trade.is_over:
                    await stream.send('{"op":"ping","id":1}')
                    while (frame := await hear(stream)).get("id") != 1:
                        reader.hear(frame)
                    return reader, came
                try:
                    async with asyncio.timeout(0.2):
                        reader.hear(await hear(stream))
                        count += 1
                except TimeoutError:
                    continue


async def follow_slowly(up: Served, trade: Market, channel: str) -> tuple[Any, int]:
    """Keep a book by a line that is full until trading is over."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", up.port))
    reader, before = READERS[channel](), set(up.app.state.lifecycle._connections)
    async with up.stream(sock=narrow, max_queue=1, max_size=None) as stream:
        await ask(stream, op="subscribe", channel=channel)
        reader.hear(await hear(stream))
        (connection,) = set(up.app.state.lifecycle._connections) - before
        stream.transport.pause_reading()
        while connection._flows:
            connection.tell(Published(BALLAST))
            await asyncio.sleep(0)
        while not trade.is_over:
            await asyncio.sleep(0)
        stream.transport.resume_reading()
        await stream.send('{"op":"ping","id":1}')
        while (frame := await hear(stream)).get("id") != 1:
            if frame != BALLAST.content:
                reader.hear(frame)
    return reader, 1


@pytest.mark.parametrize("seed", range(2))
def test_books_of_clients_that_come_and_go_equal_the_servers(seed: int) -> None:
    async def story(up: Served) -> None:
        trade = Market(up, seed)
        async with asyncio.TaskGroup() as group:
            followers = []
            for channel in READERS:
                slow = group.create_task(follow_slowly(up, trade, channel))
                followers.append((channel, slow))
                while len(up.app.state.lifecycle._connections) < len(followers):
                    await asyncio.sleep(0)
            followers += [
                (channel, group.create_task(follow(up, trade, channel, stay)))
                for channel in READERS
                for stay in (None, 20, 97)
            ]
            group.create_task(trade.trade())
        comings = []
        for channel, follower in followers:
            reader, came = follower.result()
            comings.append(came)
            assert reader.u == trade.last_u(channel) or channel.startswith("bbo")
            trade.agrees(channel, reader)
        assert max(comings) > 10, "some came again and again"
        assert b"conflated_total 0.0" not in up.venue.services.metrics.render()
        assert b"slow_disconnects_total 0.0" in up.venue.services.metrics.render()

    run(story)
