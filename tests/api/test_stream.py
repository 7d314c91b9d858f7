"""The stream: subscriptions, own orders, trading, refusals and slow readers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from zlib import crc32

import msgspec
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.types import Side
from gateway.http.body import BODY_MAX
from gateway.http.outbox import OutboxBounds
from gateway.trading.budgets import Budgets
from gateway.trading.sessions import SESSION_SECONDS
from gateway.views.books import BookDiff
from gateway.views.market_data import NewTrades
from gateway.views.tape import Trade
from tests.api.fixtures import DOMAIN, Served, Venue, Wallet, ask, hear, served
from tests.asked import login_of


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


class BookReader:
    """A client's book: applies diffs and demands that numbers and checksums agree."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.u = snapshot["u"]
        self.sides = {
            side: {level["price_ticks"]: level["lots"] for level in snapshot[side]}
            for side in ("bids", "asks")
        }
        self.prove(snapshot["checksum"])

    def apply(self, diff: dict[str, Any]) -> None:
        assert diff["prev"] == self.u and diff["U"] == self.u + 1, "a diff was lost"
        self.u = diff["u"]
        for side, levels in self.sides.items():
            for level in diff[side]:
                levels[level["price_ticks"]] = level["lots"]
                if not level["lots"]:
                    del levels[level["price_ticks"]]
        self.prove(diff["checksum"])

    def prove(self, checksum: int) -> None:
        asks = sorted(self.sides["asks"].items())[:10]
        bids = sorted(self.sides["bids"].items(), reverse=True)[:10]
        text = ",".join(f"{ticks}:{lots}" for ticks, lots in asks + bids)
        assert crc32(text.encode()) == checksum


def test_a_book_kept_from_snapshot_and_diffs_equals_the_engines_book() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        await up.place(maker.order("sell", 100, 2_005))
        async with up.stream() as stream:
            assert await ask(stream, op="subscribe", id=1, channel="book:TOKEN-USD") == {
                "id": 1,
                "result": {"channel": "book:TOKEN-USD"},
            }
            book = BookReader(await hear(stream))
            orders = [maker.order("sell", 10 + n, 2_010 + n) for n in range(15)]
            orders += [maker.order("buy", 20 + n, 1_990 - n) for n in range(15)]
            orders += [taker.order("buy", 130, 2_011, single_shot=True)]
            for order in orders:
                assert (await up.place(order)).status_code == 201
            while book.u < up.venue.market_data.event_index - 1:
                book.apply(await hear(stream))
            engine = up.venue.engine
            assert sorted(book.sides["asks"].items()) == engine.depth(0, 1, 100)
            assert sorted(book.sides["bids"].items(), reverse=True) == engine.depth(0, 0, 100)

    run(story)


def test_found_a_subscription_outlived_the_session_that_it_was_made_in() -> None:
    async def story(up: Served) -> None:
        maker, clock = up.venue.maker, up.venue.clock

        def token() -> str:
            proof = login_of(DOMAIN, maker.secret, clock.ns // 10**9)
            return up.venue.services.sessions.issue(proof, 2**40)[0]

        async def sell(ticks: int) -> None:
            expiry = clock.ns // 10**9 + 3600
            assert (await up.place(maker.order("sell", 50, ticks, expiry=expiry))).is_success

        async with up.stream() as stream:
            await ask(stream, op="login", id=1, token=token())
            for number, channel in enumerate(("orders", "balances", "trades:TOKEN-USD")):
                await ask(stream, op="subscribe", id=number, channel=channel)
                await hear(stream)
            clock.ns += (SESSION_SECONDS - 1) * 10**9
            await sell(2_000)
            kinds = [(await hear(stream))["type"] for _ in range(3)]
            assert kinds == ["accepted", "rested", "update"]

            clock.ns += 10**9
            await sell(2_001)
            ended = [await hear(stream) for _ in range(2)]
            assert [(f["channel"], f["type"]) for f in ended] == [
                ("orders", "ended"),
                ("balances", "ended"),
            ]
            assert {f["error"]["outcome"] for f in ended} == {"NOT_AUTHENTICATED"}
            assert up.venue.services.channels.subscription_count == 1, (
                "what is everybody's is heard on"
            )

            await ask(stream, op="login", id=2, token=token())
            await ask(stream, op="subscribe", id=3, channel="orders")
            assert (await hear(stream))["type"] == "snapshot"
            # A later login of the same account carries on what is heard.
            clock.ns += (SESSION_SECONDS - 1) * 10**9
            await ask(stream, op="login", id=4, token=token())
            clock.ns += 10**9
            await sell(2_002)
            assert (await hear(stream))["type"] == "accepted"

    run(story)


def test_an_account_follows_its_orders_from_placing_to_final() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        async with up.stream() as stream:
            refused = await ask(stream, op="subscribe", id="a", channel="orders")
            assert refused["error"]["outcome"] == "NOT_AUTHENTICATED"
            token = await up.token(maker)
            known = await ask(stream, op="login", id="b", token=token)
            assert known["result"]["account"] == "0x" + maker.address.hex()
            await ask(stream, op="subscribe", id="c", channel="orders")
            assert (await hear(stream))["orders"] == []
            await ask(stream, op="subscribe", id="d", channel="balances")
            assert len((await hear(stream))["balances"]) == 2

            body = maker.order("sell", 50, 2_000, client_id="mine")
            await stream.send(orjson.dumps({"op": "place", "id": "e", "order": body}).decode())
            heard = [await hear(stream) for _ in range(4)]
            assert [f.get("type") for f in heard] == ["accepted", "rested", "update", None]
            assert heard[1]["order"]["client_id"] == "mine"
            assert {row["symbol"]: row["held_pips"] for row in heard[2]["balances"]} == {
                "TOKEN": "500000",
                "USD": "0",
            }
            order_id = heard[3]["result"]["order_id"]

            await up.place(taker.order("buy", 20, 2_000, single_shot=True))
            fill, _ = [await hear(stream) for _ in range(2)]
            assert (fill["type"], fill["fill"]["lots"], fill["fill"]["lots_left"]) == (
                "fill",
                20,
                30,
            )
            trade = fill["fill"]["trade_id"]
            for state in ("batched", "submitted", "mined", "final"):
                up.venue.settlement.move(trade, trade, state, 7, bytes(32))
                moved = await hear(stream)
                assert (moved["type"], moved["trades"], moved["state"], moved["batch"]) == (
                    "settlement",
                    [trade],
                    state,
                    7,
                )

            await stream.send(
                orjson.dumps({"op": "cancel", "id": "f", "order_id": order_id}).decode()
            )
            heard = [await hear(stream) for _ in range(3)]
            assert (heard[0]["type"], heard[0]["reason"]) == ("cancelled", "CANCELLED_BY_OWNER")
            assert heard[0]["removed_lots"] == 30
            assert heard[2]["result"]["order_id"] == order_id

    run(story)


def test_everybody_sees_trades_and_how_they_settle() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel="trades:TOKEN-USD")
            assert (await hear(stream))["trades"] == []
            await up.place(up.venue.maker.order("buy", 5, 1_999))
            await up.place(up.venue.taker.order("sell", 5, 1_000, single_shot=True))
            (trade,) = (await hear(stream))["trades"]
            assert (trade["side"], trade["price"], trade["quantity"]) == ("sell", "1.999", "0.0005")
            up.venue.settlement.move(trade["trade_id"], trade["trade_id"], "final", 1, b"\x01" * 32)
            moved = await hear(stream)
            assert (moved["first_trade"], moved["state"]) == (trade["trade_id"], "final")
            assert moved["tx_hash"] == "0x" + "01" * 32
        told = (await up.http.get(f"/v1/settlement/trades/{trade['trade_id']}")).json()
        assert told["settlement"]["state"] == "final"
        listed = (await up.http.get("/v1/markets/TOKEN-USD/trades")).json()["trades"]
        assert listed[0]["settlement"] == told["settlement"]

    run(story)


def test_orders_of_one_connection_keep_their_order() -> None:
    async def story(up: Served) -> None:
        bodies = [up.venue.maker.order("sell", 1 + n, 2_000 + n) for n in range(100)]
        async with up.stream() as stream:
            for n, body in enumerate(bodies):
                await stream.send(orjson.dumps({"op": "place", "id": n, "order": body}).decode())
            answers = [await hear(stream) for _ in bodies]
        sequences = {a["id"]: a["result"]["sequence"] for a in answers}
        assert [sequences[n] for n in range(100)] == sorted(sequences.values())

    run(story)


BAD_FRAMES: list[str | bytes] = [
    "",
    " ",
    "null",
    "true",
    "0",
    "-1",
    '"ping"',
    "[]",
    "[[]]",
    "{}",
    "{",
    "}",
    '{"op":',
    '{"op":1}',
    '{"op":null}',
    '{"op":"PING"}',
    '{"op":"nothing"}',
    '{"op":"ping","id":1.5}',
    '{"op":"ping","id":-1}',
    '{"op":"ping","id":99999999999999999999}',
    '{"op":"ping","id":{}}',
    '{"op":"ping","id":"' + "x" * 65 + '"}',
    '{"op":"ping","extra":1}',
    '{"op":"ping"}{"op":"ping"}',
    '{"op":"ping",}',
    "{'op':'ping'}",
    '{"op":"subscribe"}',
    '{"op":"subscribe","channel":""}',
    '{"op":"subscribe","channel":7}',
    '{"op":"subscribe","channel":["book:TOKEN-USD"]}',
    '{"op":"subscribe","channel":"book:"}',
    '{"op":"subscribe","channel":"book:NOPE"}',
    '{"op":"subscribe","channel":"books:TOKEN-USD"}',
    '{"op":"subscribe","channel":"orders:TOKEN-USD"}',
    '{"op":"subscribe","channel":"orders/00"}',
    '{"op":"subscribe","channel":"\\ud800"}',
    '{"op":"subscribe","channel":"' + "x" * 65 + '"}',
    '{"op":"unsubscribe","channel":"book:TOKEN-USD"}',
    '{"op":"login"}',
    '{"op":"login","token":""}',
    '{"op":"login","token":"AAAA"}',
    '{"op":"login","token":"\\u00e4"}',
    '{"op":"login","token":"' + "A" * 80 + '"}',
    '{"op":"place"}',
    '{"op":"place","order":null}',
    '{"op":"place","order":{}}',
    '{"op":"place","order":[]}',
    '{"op":"cancel"}',
    '{"op":"cancel","order_id":1}',
    '{"op":"cancel","order_id":"1"}',
    '{"op":"cancel","order_id":"-1"}',
    '{"op":"cancel","order_id":"1","client_id":"a"}',
    '{"op":"cancel","client_id":"\\u00e4"}',
    '{"op":"cancel","client_id":"a","sent_ms":-1}',
    '{"op":"cancel","client_id":"a","sent_ms":1e99}',
    '{"op":"cancel_batch"}',
    '{"op":"cancel_batch","orders":[]}',
    '{"op":"cancel_batch","orders":[{}]}',
    '{"op":"cancel_batch","orders":[' + ",".join(['{"order_id":"1"}'] * 51) + "]}",
    '{"op":"cancel_all","market":7}',
    '{"op":"cancel_all","market":"NOPE"}',
    '{"op":"cancel_after"}',
    '{"op":"cancel_after","seconds":-1}',
    '{"op":"cancel_after","seconds":1.5}',
    '{"op":"cancel_after","seconds":1,"recv_window_ms":0}',
    '{"op":"amend","order_id":"1"}',
    '{"op":"amend","order_id":"1","lots_open":0}',
    '{"op":"amend","order_id":"1","lots_open":"1"}',
    '{"op":"place_batch","orders":[]}',
    '{"op":"place_batch","orders":[{}]}',
    '{"op":"replace","cancel":{"order_id":"1"}}',
    '{"op":"replace","cancel":{"order_id":"1"},"order":{},"mode":"PERHAPS"}',
    '{"op":"subscribe","channel":"status","channels":["status"]}',
    '{"op":"subscribe","channels":[]}',
    '{"op":"subscribe","channels":[null]}',
    '{"op":"subscribe","channel":"orders","from":-1}',
    '{"op":"subscribe","channel":"trades:TOKEN-USD","from":"1"}',
    '{"op":"subscribe","channel":"candles:TOKEN-USD:7m"}',
    '{"op":"subscribe","channel":"candles:TOKEN-USD"}',
    '{"op":"login","token":"A","cancel_on_disconnect":1}',
    '{"op":"ping","id":' + "[" * 20_000,
    '{"op":"place","order":' + '{"a":' * 10_000,
    b"",
    b'{"op":"ping"}',
    b"\xff\xfe\xfd",
    '{"op":"ping","id":"\u0000"',
]


def test_no_malformed_frame_hurts() -> None:
    assert len(BAD_FRAMES) >= 60

    async def story(up: Served) -> None:
        async with up.stream() as stream:
            for frame in BAD_FRAMES:
                await stream.send(frame)
                answer = await hear(stream)
                assert "error" in answer, frame[:60]
                assert answer["error"]["code"] >= 100, frame[:60]
            assert "time_ns" in (await ask(stream, op="ping", id=1))["result"], "still alive"
        assert b"tillbook_internal_errors_total 0.0" in up.venue.services.metrics.render()

    run(story)


def test_a_refused_frame_keeps_its_id() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            assert (await ask(stream, op="ping", id="mine", extra=1))["id"] == "mine"

    run(story)


def test_a_frame_over_the_limit_closes_with_1009() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            await stream.send("x" * 70_000)
            assert await close_code(stream) == 1009

    run(story)


def test_a_bad_signature_on_the_stream_tells_as_much_as_over_rest() -> None:
    async def story(up: Served) -> None:
        body = up.venue.maker.order("sell", 1, 2_000)
        body["signature"] = "0x" + Wallet(9).sign_order(body).hex()
        async with up.stream() as stream:
            answer = await ask(stream, op="place", id=1, order=body)
            assert answer["error"]["recovered"] == "0x" + Wallet(9).address.hex()
            assert answer["error"]["digest"] and answer["error"]["type_string"]

    run(story)


@pytest.mark.parametrize(
    "bounds", [OutboxBounds(20, 1 << 30, 60), OutboxBounds(10_000, 100_000, 60)]
)
def test_a_reader_that_is_too_slow_is_told_and_closed_and_nobody_waits_for_it(
    bounds: OutboxBounds,
) -> None:
    async def story(up: Served) -> None:
        # A small receive buffer, so that the server's side fills up after few frames.
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        narrow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(narrow, ("127.0.0.1", up.port))
        async with up.stream(sock=narrow, max_queue=1) as slow, up.stream() as quick:
            for stream in (slow, quick):
                await ask(stream, op="subscribe", channel="trades:TOKEN-USD")
                await hear(stream)
            slow.transport.pause_reading()
            gone = b"tillbook_ws_slow_disconnects_total 1.0"
            market = up.venue.exchange.catalog.markets[0]
            news = NewTrades(market, 0, [Trade(1, 2_000, 1, Side.BUY, 0)] * 50)  # 10 kB of JSON.
            sent = 0
            while gone not in up.venue.services.metrics.render():
                sent += 1
                assert sent < 5_000, "an outbox has bounds"
                up.venue.services.channels.publish("trades:TOKEN-USD", news)
                assert (await hear(quick))["type"] == "trades", "the quick reader never waits"
            slow.transport.resume_reading()
            heard = []
            with pytest.raises(ConnectionClosed):
                while True:
                    heard.append(await hear(slow))
            assert heard[-1]["error"]["outcome"] == "SLOW_CONSUMER"
            assert heard[-1]["resubscribe"] == ["trades:TOKEN-USD"]
            assert slow.close_code == 1013

    run(story)


def test_budgets_bind_and_cancels_have_their_own() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        async with up.stream() as stream:  # 1: the handshake.
            await ask(stream, op="login", token=await up.token(maker))  # 2 and 3.
            placed = await ask(stream, op="place", order=maker.order("sell", 1, 2_000))
            await ask(stream, op="ping")  # 4: orders have a budget of their own.
            await ask(stream, op="ping")  # 5.
            refused = await ask(stream, op="ping")
            assert refused["error"]["outcome"] == "RATE_LIMITED" and refused["error"]["retryable"]
            over = await up.http.get("/v1/markets")
            assert over.status_code == 429 and int(over.headers["retry-after"]) > 0
            order = placed["result"]["order_id"]
            assert "result" in await ask(stream, op="cancel", order_id=order), "cancels still go"

    run(story, budgets=Budgets(60, 5, 50, 5, 50))


@asynccontextmanager
async def stalled(up: Served) -> AsyncIterator[ClientConnection]:
    """A reader of a book that reads no more, and for whom news waits here."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", up.port))
    async with up.stream(sock=narrow, max_queue=1) as slow:
        for channel in ("book:TOKEN-USD", "trades:TOKEN-USD"):
            await ask(slow, op="subscribe", channel=channel)
            await hear(slow)
        slow.transport.pause_reading()
        venue = up.venue
        many = [Trade(1, 2_000, 1, Side.BUY, 0)] * 50
        diff = BookDiff(
            market=venue.exchange.catalog.markets[0], prev=0, u=1, changed={}, checksum=0, time_ns=0
        )
        for _ in range(5_000):
            venue.services.channels.publish("trades:TOKEN-USD", NewTrades(diff.market, 0, many))
            venue.services.channels.publish("book:TOKEN-USD", diff)
            diff = msgspec.structs.replace(diff, prev=diff.u, u=diff.u + 1)
            if b"conflated_total 0.0" not in venue.services.metrics.render():
                break
            await asyncio.sleep(0)
        yield slow


def test_found_a_fault_with_one_readers_news_stopped_whoever_published() -> None:
    async def story(up: Served) -> None:
        async with stalled(up) as slow, up.stream() as quick:
            await ask(quick, op="subscribe", channel="book:TOKEN-USD")
            await hear(quick)
            market = up.venue.exchange.catalog.markets[0]
            gap = BookDiff(market=market, prev=9, u=9, changed={}, checksum=0, time_ns=0)
            up.venue.services.channels.publish("book:TOKEN-USD", gap)
            assert (await hear(quick))["u"] == 9, "everybody else hears it"
            slow.transport.resume_reading()
            with pytest.raises(ConnectionClosed):
                while True:
                    await hear(slow)
            assert slow.close_code == 1011
        assert b"internal_errors_total 1.0" in up.venue.services.metrics.render()

    run(story, bounds=OutboxBounds(10_000, 1 << 30, 60))


def test_found_a_fault_while_we_close_was_waited_for_and_never_told() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            assert await ask(stream, op="ping", id=1)
            up.venue.gate.clear()
            order = up.venue.maker.order("sell", 1, 2_000)
            await stream.send(orjson.dumps({"op": "place", "id": 2, "order": order}).decode())
            await ask(stream, op="ping")
            stopping = asyncio.create_task(up.stop())
            while not up.app.state.lifecycle.draining:
                await asyncio.sleep(0)
            up.venue.disk.files.clear()  # What is committed now fails.
            up.venue.gate.set()
            async with asyncio.timeout(5):
                await stopping
            assert await close_code(stream) == 1011
        assert b"internal_errors_total 1.0" in up.venue.services.metrics.render()

    run(story)


def test_a_refused_handshake_is_an_http_problem() -> None:
    async def story(up: Served) -> None:
        await up.http.get("/v1/markets")
        with pytest.raises(InvalidStatus) as refused:
            async with up.stream():
                pass
        assert refused.value.response.status_code == 429
        assert orjson.loads(refused.value.response.body)["outcome"] == "RATE_LIMITED"

    run(story, budgets=Budgets(60, 1, 1, 1, 1))


def test_found_a_handshake_or_body_that_no_route_took_cost_its_asker_nothing() -> None:
    async def story(up: Served) -> None:
        async def shaken(path: str) -> tuple[int, str]:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{up.port}{path}", proxy=None):
                    pass
            answer = refused.value.response
            return answer.status_code, orjson.loads(answer.body)["outcome"]

        assert [await shaken("/nowhere"), await shaken("/v1/markets")] == [(404, "NOT_FOUND")] * 2
        large = {"content": b" " * (BODY_MAX + 1)}
        assert (await up.http.post("/v1/orders", **large)).status_code == 413
        assert await shaken("/nowhere") == (429, "RATE_LIMITED")
        assert (await up.http.post("/nowhere", **large)).status_code == 429
        assert (await up.http.get("/v1/markets")).status_code == 429, "one budget for all"

    run(story, budgets=Budgets(60, 3, 3, 3, 3))


def test_found_anybody_could_spend_an_accounts_order_budget() -> None:
    """By signatures of any key in its name, or by its own old orders, sent again."""

    async def story(up: Served) -> None:
        maker = up.venue.maker
        for _ in range(5):
            forged = maker.order("sell", 1, 2_000)
            forged["signature"] = "0x" + "ff" * 64 + "1b"
            assert (await up.place(forged)).status_code == 401
            forged["signature"] = "0x" + Wallet(99).sign_order(forged).hex()
            assert (await up.place(forged)).status_code == 403
        order = maker.order("sell", 1, 2_000)
        for _ in range(5):
            assert (await up.place(order)).status_code == 201, "one order, whoever sends it again"
        assert (await up.place(maker.order("sell", 1, 2_000))).status_code == 201
        assert (await up.place(maker.order("sell", 1, 2_000))).status_code == 429

    run(story, budgets=Budgets(60, 100, 100, 2, 100))


def test_closing_lets_answers_out_and_closes_with_1012() -> None:
    async def story(up: Served) -> None:
        body = up.venue.maker.order("sell", 1, 2_000)
        async with up.stream() as stream:
            up.venue.gate.clear()  # The journal is slow.
            await stream.send(orjson.dumps({"op": "place", "id": 1, "order": body}).decode())
            await ask(stream, op="ping")
            stopping = asyncio.create_task(up.stop())
            while not up.app.state.lifecycle.draining:
                await asyncio.sleep(0)
            up.venue.gate.set()
            answer, close_message = await hear(stream), await hear(stream)
            assert answer["result"]["resting_lots"] == 1
            assert close_message == {"event": "shutdown"}
            assert await close_code(stream) == 1012
        await stopping

    run(story)


async def close_code(stream: ClientConnection) -> int | None:
    async with asyncio.timeout(5):
        await stream.wait_closed()
    return stream.close_code
