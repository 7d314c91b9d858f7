"""What an attack on feeds and the dialects found."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request, Response
from websockets.asyncio.client import connect

from engine.types import Side
from gateway.api.binance.stream.conversation import BYTES_A_TURN
from gateway.api.binance.stream.market_streams import STREAMS_A_TURN
from gateway.api.v1.feed_rows import l3_snapshot
from gateway.api.v1.written_feeds import queue_texts
from gateway.http.websocket import WIRE, Hearer
from gateway.sandbox.rpc import answer_rpc
from gateway.trading.api_keys import ApiKeys, MemoryEpochs
from gateway.views.candles import Candle, CandleTape
from gateway.views.queues import SHOWN, Queues
from tests.api.dialect import LIMIT, SYMBOL, dialect
from tests.api.fixtures import START_NS, Venue, served
from tests.api.test_a_busted_trade_leaves_the_views import cross
from tests.api.test_a_hundred_markets import FEEDS, ROOM, list_all

KINDS = ("trade", "ticker", "bookTicker", "depth", "depth5", *(f"kline_{n}m" for n in (1, 3, 5)))


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("more", [1, 500])
def test_found_one_long_queue_was_told_as_if_all_orders_were_there(side: Side, more: int) -> None:
    market, queues = Venue().exchange.catalog.markets[0], Queues()
    for number in range(1, SHOWN + more + 1):
        queues.add(side, 2_000, number, 1)
    queues.add(side, 1_999 if side == Side.BUY else 2_001, 5_000, 1)
    snapshot = l3_snapshot(market, queues)
    known = queue_texts(queues, side)[1]
    assert known == (snapshot.bids_known_to if side == Side.BUY else snapshot.asks_known_to)
    if side == Side.BUY:
        assert len(snapshot.bids) == SHOWN
        assert snapshot.bids_known_to is not None and snapshot.bids_known_to > 2_000
    else:
        assert len(snapshot.asks) == SHOWN
        assert snapshot.asks_known_to is not None and snapshot.asks_known_to < 2_000


def a_trade(number: int, second: int) -> Candle:
    return Candle(second, number, 7, 7, 7, 7, 5, 35, 1)


def test_found_a_candle_that_vanished_hid_the_end_of_another() -> None:
    tape = CandleTape()
    for number, second in enumerate((100, 101), 1):
        tape.add(a_trade(number, second))
    ended = tape.series("1s").count
    tape.add(a_trade(3, 102))  # The second of trade 2 is over now,
    list(tape.bust(a_trade(1, 0)))  # and in the same batch that of trade 1 is gone.
    assert tape.series("1s").count == ended + 1
    assert [candle.start for candle in tape.newest("1s", 9)] == [101, 102]


def test_found_one_candle_cost_as_much_as_a_thousand() -> None:
    tape = CandleTape()
    for number in range(1, 30):
        tape.add(a_trade(number, 1_000 + 2 * number))
    kept = tape.between("1s", 1_010, 1_058)
    assert all(isinstance(one, bytes) for one in kept), "unpacked in turns, by who writes them"
    assert [Candle.unpacked(one).start for one in kept] == list(range(1_010, 1_058, 2))
    assert len(tape.between("1s", 0, 2**40)) == 29, "the one under way too"


def test_found_klines_began_before_they_were_asked_to() -> None:
    async def story() -> None:
        async with dialect() as here:
            venue = here.venue
            await here.up.place(venue.maker.order("sell", 3, 2_000))
            await here.up.place(venue.taker.order("buy", 1, 2_000, single_shot=True))
            start = START_NS // 10**9 * 1_000
            asked: dict[str, Any] = {"symbol": SYMBOL, "interval": "1s"}
            path = "/api/v3/klines"
            for more, count in (
                ({}, 1),
                ({"startTime": start}, 1),
                ({"startTime": start + 1}, 0),
                ({"endTime": start}, 1),
                ({"endTime": start - 1}, 0),
            ):
                answer = await here.ask("GET", path, **asked, **more)
                assert len(answer.json()) == count, more
            weights = []
            for limit in (1, 1_000):
                answer = await here.ask("GET", path, **asked, limit=limit)
                weights.append(int(answer.headers["x-mbx-used-weight-1m"]))
            assert weights[1] - weights[0] == 20, "who asks for much pays for it"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("origin", "status"), [("null", 403), ("http://evil.example", 403), ("http://here", 200)]
)
def test_found_a_page_that_hides_where_it_is_from_was_taken_for_ours(
    origin: str, status: int
) -> None:
    app = FastAPI()

    @app.post("/")
    async def rpc(request: Request) -> Response:
        return await answer_rpc(request, lambda method, params: "0x0", ThreadPoolExecutor(1))

    async def story() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            asked = {"id": 1, "method": "eth_chainId", "params": []}
            return (await http.post("/", json=asked, headers={"origin": origin})).status_code

    assert asyncio.run(story()) == status


def test_orders_in_numbers_weigh_more_than_a_few() -> None:
    async def story() -> None:
        async with dialect() as here:
            used = []
            for count in (1, 100):
                for _ in range(count):
                    assert (
                        await here.up.place(here.venue.maker.order("sell", 3, 2_000))
                    ).is_success
                answer = await here.ask("GET", "/api/v3/openOrders", here.maker)
                used.append(int(answer.headers["x-mbx-used-weight-1m"]))
                assert len(orjson.loads(answer.content)) in (1, 101)
            assert used[1] - used[0] == 6 + 2, used

    asyncio.run(story())


def test_found_who_left_while_his_channels_were_begun_was_told_for_ever() -> None:
    async def story() -> None:
        venue = Venue(limits=ROOM)
        channels = [feed.format(symbol) for symbol in list_all(venue) for feed in FEEDS]
        async with served(venue) as up:
            for _ in range(3):
                stream = await up.stream(max_queue=None)
                await stream.send(orjson.dumps({"op": "subscribe", "channels": channels}).decode())
                while venue.services.channels.subscription_count < 1:
                    await asyncio.sleep(0)
                stream.transport.abort()
                while up.app.state.lifecycle.connection_count:
                    await asyncio.sleep(0)
                for _ in range(100):  # All that was due when it was gone.
                    await asyncio.sleep(0)
                assert venue.services.channels.subscription_count == 0

    asyncio.run(story())


def test_found_a_thousand_streams_were_followed_in_one_turn_of_the_loop() -> None:
    async def story() -> None:
        venue = Venue(limits=ROOM)
        names = [symbol.replace("-", "").lower() for symbol in list_all(venue)]
        streams = [f"{name}@{kind}" for name in names for kind in KINDS]
        steps, before = list[int](), 0

        async def watch() -> None:
            nonlocal before
            while True:
                now = venue.services.channels.subscription_count
                steps.append(abs(now - before))
                before = now
                await asyncio.sleep(0)

        async with dialect(venue) as here:
            watching = asyncio.create_task(watch())
            async with connect(f"ws://127.0.0.1:{here.up.port}/ws", proxy=None) as socket:
                for number, method in enumerate(("SUBSCRIBE", "UNSUBSCRIBE") * 2):
                    asked = {"method": method, "params": streams, "id": number}
                    await socket.send(orjson.dumps(asked).decode())
                    # What is said meanwhile is done behind it.
                    listing = {"method": "LIST_SUBSCRIPTIONS", "id": "after"}
                    await socket.send(orjson.dumps(listing).decode())
                    assert orjson.loads(await socket.recv()) == {"result": None, "id": number}
                    listed = orjson.loads(await socket.recv())["result"]
                    assert listed == ([] if number % 2 else streams)
            path = "/stream?streams=" + "/".join(streams[:300])
            async with connect(f"ws://127.0.0.1:{here.up.port}{path}", proxy=None) as socket:
                await socket.send(orjson.dumps(listing).decode())
                listed = orjson.loads(await socket.recv())
                assert listed["result"] == streams[:300]
                watching.cancel()
                assert 0 < max(steps) <= 4 * STREAMS_A_TURN
            while here.up.app.state.lifecycle.connection_count:
                await asyncio.sleep(0)
            assert venue.services.channels.subscription_count == 0

    asyncio.run(story())


def test_found_what_is_no_order_took_one_off_the_book_in_its_stead() -> None:
    async def story() -> None:
        async with dialect() as here:
            path, first = "/api/v3/order", {**LIMIT, "quantity": "1", "price": "2"}
            placed = (await here.ask("POST", path, here.maker, **first)).json()
            asked: dict[str, Any] = {
                **first,
                "cancelReplaceMode": "STOP_ON_FAILURE",
                "cancelOrderId": placed["orderId"],
            }
            for wrong in (
                {"quantity": "0"},
                {"quantity": "1.000000001"},
                {"price": "-1"},
                {"price": "2.00000001"},
                {"timeInForce": "NEVER"},
                {"newClientOrderId": "no blanks"},
                {"signedOrder": "{}"},
            ):
                status, code = await here.code(
                    "POST", f"{path}/cancelReplace", here.maker, **{**asked, **wrong}
                )
                assert status in (400, 401) and code not in (-2021, -2022), (wrong, status, code)
            here.up.app.state.lifecycle.hold()
            status, _ = await here.code("POST", f"{path}/cancelReplace", here.maker, **asked)
            assert status == 503, "drained: no new order, so the old one stays"
            here.up.app.state.lifecycle.resume()
            (stands,) = (await here.ask("GET", "/api/v3/openOrders", here.maker)).json()
            assert stands["orderId"] == placed["orderId"]

    asyncio.run(story())


class Line:
    """A WebSocket without a network (``gateway.http.websocket.Wire``)."""

    is_writable = True
    hearer: Hearer

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def listen(self, hearer: Hearer) -> None:
        self.hearer = hearer

    def write(self, frame: bytes) -> None:
        self.sent.append(frame)

    def read_on(self) -> None:
        """Nothing is ever said."""


def test_found_all_that_waited_for_a_slow_reader_was_written_in_one_turn() -> None:
    async def story() -> None:
        venue, line, opened = Venue(), Line(), asyncio.Event()
        keys = ApiKeys(bytes(32), MemoryEpochs(), venue.clock.now_ns)
        said = asyncio.Queue[dict[str, Any]]()
        said.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": f"/ws/{SYMBOL.lower()}@trade",
            "query_string": b"",
            "headers": [],
            "client": ("203.0.113.7", 1),
            "extensions": {WIRE: line},
        }

        async def send(_: dict[str, Any]) -> None:
            opened.set()

        running = asyncio.create_task(venue.app(api_keys=keys)(scope, said.get, send))
        await opened.wait()
        line.is_writable = False
        for _ in range(200):
            await asyncio.to_thread(cross, venue, 2_000, 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert line.sent == []
        line.is_writable = True
        line.hearer.may_send()
        assert 0 < sum(map(len, line.sent)) < 3 * BYTES_A_TURN // 2, "others have a turn"
        while len(line.sent) < 200:
            await asyncio.sleep(0)
        numbers = [int(re.findall(rb'"t":(\d+)', frame)[0]) for frame in line.sent]
        assert numbers == list(range(numbers[0], numbers[0] + 200)), "all, in their order"
        line.hearer.gone()
        await running

    asyncio.run(story())
