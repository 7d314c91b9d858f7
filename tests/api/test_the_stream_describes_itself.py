"""The AsyncAPI document says what goes over the stream, no more and no less."""

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engine.commands import Kind, command
from engine.types import Phase, Side
from gateway.api.v1.asyncapi import document_of, verb_of
from gateway.api.v1.stream.connection import POLICY, gone_on
from gateway.api.v1.stream.frames import AnyFrame
from gateway.api.v1.stream_schemas import FRAMES, REPLIES
from gateway.http.outbox import OutboxBounds
from gateway.http.problems import document_of as problem_of
from gateway.views.market_data import NewTrades
from gateway.views.tape import Trade
from tests.api.fixtures import Served, hear
from tests.api.test_a_busted_trade_leaves_the_views import bust
from tests.api.test_stream import run

PUBLIC = [f"{kind}:TOKEN-USD" for kind in ("book", "l3", "bbo", "ticker", "trades")]
PUBLIC += ["candles:TOKEN-USD:1m", "status"]
OWN = ["orders", "balances"]


class Document:
    """The document of a server, and which of its messages were seen."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document, self.seen = document, set[str]()
        schemas = document["components"]["schemas"]
        self.fits = {
            name: jsonschema_rs.validator_for(
                {**message["payload"], "components": {"schemas": schemas}}
            ).is_valid
            for name, message in document["components"]["messages"].items()
        }

    def names(self, messages: list[dict[str, str]]) -> list[str]:
        return [message["$ref"].rsplit("/", 1)[1] for message in messages]

    def sent(self, frame: dict[str, Any]) -> None:
        """Hold a frame that a client sends against the document."""
        (name,) = self.names(self.document["operations"][frame["op"]]["messages"])
        assert self.fits[name](frame), frame
        self.seen.add(name)

    def answered(self, verb: str, frame: dict[str, Any]) -> None:
        """Hold an answer to a verb against the document."""
        told = self.names(self.document["operations"][verb]["reply"]["messages"])
        (name,) = [name for name in told if self.fits[name](frame)]
        self.seen.add(name)

    def heard(self, frame: dict[str, Any]) -> None:
        """Hold a frame that comes without being asked for against the document."""
        told = self.names(self.document["operations"]["tell"]["messages"])
        fitting = [name for name in told if self.fits[name](frame)]
        assert len(fitting) == 1, (fitting, frame)
        self.seen.update(fitting)


class Recorded:
    """A client whose traffic is all held against the document."""

    def __init__(self, stream: ClientConnection, document: Document) -> None:
        self.stream, self.document, self.asked = stream, document, dict[int, str]()

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a frame; return its answer. What comes before and behind it is noted."""
        number = len(self.asked) + 1
        frame = {"op": op, "id": number, **fields}
        self.document.sent(frame)
        self.asked[number] = op
        await self.stream.send(orjson.dumps(frame).decode())
        while True:
            answer = await self.hear()
            if answer.get("id") == number:
                return answer

    async def hear(self) -> dict[str, Any]:
        frame = await hear(self.stream)
        if "id" in frame:
            self.document.answered(self.asked[frame["id"]], frame)
        else:
            self.document.heard(frame)
        return frame


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_all_that_is_named_is_there_and_every_verb_and_frame_is() -> None:
    document = document_of("1")
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    verbs = {verb_of(asked) for asked in get_args(AnyFrame)}
    assert set(document["operations"]) == verbs | {"tell"}
    assert set(REPLIES) == verbs, "each verb has its answer in REPLIES"
    assert {frame.__name__ for frame in FRAMES} <= set(document["components"]["messages"])
    for frame in FRAMES:
        schema = document["components"]["schemas"][frame.__name__]
        assert schema["additionalProperties"] is False, "no field is told that is not described"
        assert schema["description"], frame
    assert document["asyncapi"] == "3.0.0"
    assert re.fullmatch("/v1/stream", document["channels"]["stream"]["address"])


async def all_verbs(up: Served, mine: Recorded) -> None:
    maker = up.venue.maker
    assert "error" in await mine.ask("cancel", order_id="1"), "nobody has logged in"
    await mine.ask("login", token=await up.token(maker))
    await mine.ask("subscribe", channels=PUBLIC + OWN)
    await mine.ask("ping")
    placed = await mine.ask("place", order=maker.order("sell", 9, 2_000, client_id="a"))
    await mine.ask("amend", order_id=placed["result"]["order_id"], lots_open=5)
    many = [maker.order("sell", 3, 2_010 + n, client_id=f"m{n}") for n in range(3)]
    assert (await mine.ask("place_batch", orders=many))["result"]
    replaced = await mine.ask(
        "replace", cancel={"client_id": "m0"}, order=maker.order("sell", 2, 2_020)
    )
    assert replaced["result"]
    assert (await mine.ask("cancel_batch", orders=[{"client_id": "m1"}]))["result"]
    assert (await mine.ask("cancel", client_id="m2"))["result"]
    assert (await mine.ask("cancel_after", seconds=0))["result"]


async def all_news(up: Served, mine: Recorded) -> None:
    venue = up.venue
    for lots in (1, 2):
        answer = await up.place(venue.taker.order("buy", lots, 2_000, single_shot=True))
        assert answer.status_code == 201
    venue.settlement.move(1, 2, "batched", 1, None)
    bust(venue, 1)
    venue.commit(command(Kind.SET_BAND, price_ticks=1_900, amount=2_100))
    venue.commit(command(Kind.SET_PHASE, amount=Phase.HALTED))
    venue.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    venue.restrictions.append("the disk is nearly full")
    up.app.state.status_watch.look()
    await mine.ask("unsubscribe", channel="status")
    for begin in (0, 9_999):
        await mine.ask("subscribe", channel="orders", **{"from": begin})
    await mine.ask("subscribe", channel="trades:TOKEN-USD", **{"from": 1})
    await mine.ask("ping")
    assert (await mine.ask("cancel_all"))["result"]


async def sent_too_much(up: Served, document: Document) -> None:
    before = set(up.app.state.lifecycle._connections)
    async with up.stream() as stream:
        rude = Recorded(stream, document)
        await rude.ask("ping")
        (connection,) = set(up.app.state.lifecycle._connections) - before
        connection.close(POLICY, {"error": problem_of(gone_on())})
        with pytest.raises(ConnectionClosed):
            while True:
                await rude.hear()


async def too_slow(up: Served, document: Document) -> None:
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", up.port))
    async with up.stream(sock=narrow, max_queue=1) as stream:
        slow = Recorded(stream, document)
        await slow.ask("subscribe", channel="trades:TOKEN-USD")
        await slow.hear()
        stream.transport.pause_reading()
        market, trades = up.venue.exchange.catalog.markets[0], [Trade(1, 2, 1, Side.BUY, 0)] * 50
        for number in range(5_000):
            if b"slow_disconnects_total 1.0" in up.venue.services.metrics.render():
                break
            news = NewTrades(market, number, trades)
            up.venue.services.channels.publish("trades:TOKEN-USD", news)
            await asyncio.sleep(0)
        stream.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            while True:
                await slow.hear()
        assert stream.close_code == 1013


def test_real_traffic_is_what_the_document_says_and_all_of_it_occurs() -> None:
    async def story(up: Served) -> None:
        document = Document((await up.http.get("/asyncapi.json")).json())
        async with up.stream() as stream:
            mine = Recorded(stream, document)
            await all_verbs(up, mine)
            await all_news(up, mine)
            await too_slow(up, document)
            await sent_too_much(up, document)
            up.venue.clock.ns += 2 * 86_400 * 10**9
            order = up.venue.maker.order("buy", 1, 1_950, expiry=up.venue.clock.ns // 10**9 + 60)
            assert (await up.place(order)).status_code == 201
            await mine.ask("ping")
            await up.stop()
            with pytest.raises(ConnectionClosed):
                while True:
                    await mine.hear()
        described = set(document.document["components"]["messages"])
        assert described - document.seen == set(), "what is described occurs"

    run(story, bounds=OutboxBounds(60, 1 << 30, 60))
