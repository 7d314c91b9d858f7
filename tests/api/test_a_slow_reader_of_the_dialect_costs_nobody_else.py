"""Does a reader of the dialect that does not read lose nothing in silence, and hold nobody up?"""

import asyncio
import socket

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from engine.types import Side
from gateway.http.outbox import OutboxBounds
from gateway.views.books import BookDiff
from gateway.views.market_data import NewTrades
from gateway.views.tape import Trade
from tests.api.dialect import dialect
from tests.api.fixtures import Venue

DIFFS = 3_000
WIDE = 60
"""Levels that each of them changes: a frame of three kilobytes."""


def run(story, **options):
    async def told():
        async with dialect(**options) as asked:
            async with asyncio.timeout(60):
                await story(asked)

    asyncio.run(told())


async def narrow_reader(asked, path):
    """Return a connection with so small a buffer that the server's side fills up soon."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", asked.up.port))
    uri = f"ws://127.0.0.1:{asked.up.port}{path}"
    return await connect(uri, sock=narrow, compression=None, proxy=None, max_queue=1)


async def wide_reader(asked, path):
    uri = f"ws://127.0.0.1:{asked.up.port}{path}"
    return await connect(uri, compression=None, proxy=None)


def test_trades_are_never_left_out_so_who_does_not_read_them_is_closed():
    async def story(asked):
        slow = await narrow_reader(asked, "/ws/tokenusd@trade")
        quick = await wide_reader(asked, "/ws/tokenusd@trade")
        slow.transport.pause_reading()
        market = asked.venue.exchange.catalog.markets[0]
        gone, number = b"tillbook_ws_slow_disconnects_total 1.0", 0
        while gone not in asked.venue.services.metrics.render():
            assert number < 50_000, "an outbox has bounds"
            trades = [Trade(number + at, 2_000, 1, Side.BUY, 0) for at in range(1, 51)]
            asked.venue.services.channels.publish("trades:TOKEN-USD", NewTrades(market, 0, trades))
            for trade in trades:
                assert orjson.loads(await quick.recv())["t"] == trade.trade_id
            number += len(trades)
        slow.transport.resume_reading()
        seen = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                seen.append(orjson.loads(await slow.recv())["t"])
        assert seen == list(range(1, len(seen) + 1))
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1013
        await quick.close()

    run(story, venue=Venue(bounds=OutboxBounds(20, 1 << 30, 60)))


def test_diffs_of_a_book_are_merged_and_none_is_missing():
    async def story(asked):
        slow = await narrow_reader(asked, "/ws/tokenusd@depth")
        slow.transport.pause_reading()
        market = asked.venue.exchange.catalog.markets[0]
        for u in range(1, DIFFS + 1):
            changed = {(Side.BUY, 1_000 + level): u for level in range(WIDE)}
            diff = BookDiff(market=market, prev=u - 1, u=u, changed=changed, checksum=0, time_ns=0)
            asked.venue.services.channels.publish("book:TOKEN-USD", diff)
            await asyncio.sleep(0)
        slow.transport.resume_reading()
        heard = []
        while not heard or heard[-1]["u"] < DIFFS:
            heard.append(orjson.loads(await slow.recv()))
        assert [event["U"] for event in heard] == [1] + [event["u"] + 1 for event in heard[:-1]]
        assert len(heard) < DIFFS
        await slow.close()

    run(story)
