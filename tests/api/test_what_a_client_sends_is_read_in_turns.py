"""However much one connection sends at once, others wait a few milliseconds and nothing piles up.

Forty thousand empty frames in one write used to stop the exchange for seconds, a connection could
go on with it without end; pipelined requests and trailers filled the memory.
"""

import asyncio
import base64
import itertools
import logging
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from gateway.api.v1.stream.connection import REJECTIONS_FREE
from gateway.http.doorkeeper import MESSAGE_BYTES_MAX, DoorBounds
from gateway.http.portions import (
    PORTION_BYTES,
    PORTIONS_A_TURN,
    READING_SECONDS,
    Portions,
    Turns,
)
from gateway.http.websocket import SMALL_FRAMES_MAX, text_frame
from gateway.trading.budgets import Budgets
from tests.api.fixtures import OPERATOR, Served, Venue, ask, hear, served

T = TypeVar("T", bound=Hashable)

HEAD = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FLOOD = 1 << 21


def frame(opcode: int, payload: bytes = b"", is_last: bool = True) -> bytes:
    return bytes([(0x80 if is_last else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


PING, PONG, MORE = frame(9), frame(10), frame(0, is_last=False)


async def stream(up: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    writer.write(UPGRADE)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65_536), 30):
            heard += piece
    except ConnectionError:
        pass  # It was closed while we were still sending.
    return heard


async def flooded(writer: asyncio.StreamWriter, unit: bytes) -> None:
    try:
        for _ in range(8):
            writer.write(unit * (FLOOD // 8 // len(unit)))
            await writer.drain()
    except ConnectionError:
        pass


@pytest.mark.parametrize("unit", [PING, PONG, MORE], ids=["pings", "pongs", "fragments"])
def test_found_frames_that_nobody_charged_for_stopped_everybody(unit: bytes) -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await stream(up)
            writer.write(frame(1, b"{", is_last=False) if unit == MORE else b"")
            await flooded(writer, unit)
            heard = await rest_of(reader)
            most = SMALL_FRAMES_MAX + 2 * PORTION_BYTES // len(unit)
            assert heard.count(b"\x8a\0") <= most, "cut off long before the end"
            writer.close()
            assert (await up.http.get("/healthz")).status_code == 200

    asyncio.run(story())


def test_a_close_says_why() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await stream(up)
            writer.write(PONG * (SMALL_FRAMES_MAX + 1))
            assert await rest_of(reader) == b"\x88\x02" + (1008).to_bytes(2, "big")
            writer.close()

    asyncio.run(story())


def test_a_message_in_pieces_and_pings_between_them_are_still_one_message() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await stream(up)
            text = b'{"op":"ping","id":7}'
            pieces = [bytes([at]) for at in text]
            writer.write(frame(1, pieces[0], is_last=False) + PING)
            writer.write(b"".join(frame(0, piece, is_last=False) for piece in pieces[1:-1]))
            writer.write(frame(0, pieces[-1]))
            assert (await reader.readexactly(2))[0] == 0x8A
            assert b'"id":7' in await reader.readuntil(b"}}")
            writer.close()

    asyncio.run(story())


def test_two_thousand_frames_in_one_write_are_all_answered_in_order() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await stream(up)
            count = 2_000
            said = [f'{{"op":"ping","id":{number}}}'.encode() for number in range(count)]
            writer.write(b"".join(frame(1, each) for each in said))
            for number in range(count):
                assert f'"id":{number},'.encode() in await reader.readuntil(b"}}")
            writer.close()

    asyncio.run(story())


def test_pipelined_requests_are_answered_in_order_and_the_next_is_not_read_before() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            paths = [b"/healthz", b"/nowhere"] * 200
            writer.write(
                b"".join(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
            )
            for path in paths:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head[9:12] == (b"200" if path == b"/healthz" else b"404")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"2\r\n{}\r\n0\r\n", b"a:b\r\n"),
        (b"2\r\n{}\r\n0\r\nlong: ", b"a" * 100),
        (b"2;", b"a" * 100),
    ],
    ids=["trailers", "a long trailer", "a chunk's extension"],
)
def test_found_what_wraps_a_body_had_no_bound(begin: bytes, unit: bytes) -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            writer.write(HEAD + begin + unit * (2 * MESSAGE_BYTES_MAX // len(unit)))
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
            writer.close()

    asyncio.run(story())


@pytest.fixture
def faults() -> Iterator[list[str]]:
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener(logging.ERROR)
    logging.getLogger("uvicorn.error").addHandler(listener)
    yield said
    logging.getLogger("uvicorn.error").removeHandler(listener)


def test_found_who_leaves_behind_pipelined_requests_was_a_fault(faults: list[str]) -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", up.port)
                await unread(writer, up)
                writer.transport.abort()
                assert (await up.http.get("/healthz")).status_code == 200
            figures = (await up.http.get("/metrics", headers=OPERATOR)).text
            assert "tillbook_internal_errors_total 0.0" in figures

    async def unread(writer: asyncio.StreamWriter, up: Served) -> None:
        # Answers that nobody reads fill the connection until it takes no more.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        for _ in range(20):
            await up.http.get("/healthz")

    asyncio.run(story())
    assert not faults


class Open(asyncio.Transport):
    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_is_what_the_library_writes(size: int) -> None:
    text = b"x" * size
    assert text_frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


def one_round_a_turn(networks: int) -> Turns:
    """Return turns whose time for reading is over when so many networks have had theirs."""
    step = 1.2 * READING_SECONDS / networks
    return Turns(map(step.__mul__, itertools.count()).__next__)


def always_ready(turns: Turns, network: T, read: Callable[[T], None]) -> Portions:
    """Return portions of which each is told to ``read``, by its network."""
    return Portions(Open(), (turns, network), lambda _: read(network), lambda: True, lambda _: None)


def test_portions_come_in_turns_and_only_to_who_is_ready() -> None:
    async def story() -> None:
        taken: list[bytes] = []
        asked: list[bool] = []
        ready = [False]
        turns = one_round_a_turn(1)
        portions = Portions(Open(), (turns, ""), taken.append, lambda: ready[0], asked.append)
        portions.arrived(b"a")
        await asyncio.sleep(0)
        assert not taken and asked == [False], "it waits, and the kernel is asked for no more"
        ready[0] = True
        portions.arrived(bytes(PORTION_BYTES))
        await asyncio.sleep(0)
        assert [len(each) for each in taken] == [PORTION_BYTES]
        await asyncio.sleep(0)
        assert [len(each) for each in taken] == [PORTION_BYTES, 1] and asked[-1] is True

    asyncio.run(story())


def test_found_a_network_with_many_connections_had_as_many_turns() -> None:
    async def story() -> None:
        turns, taken = one_round_a_turn(2), list[str]()

        def of(network: str) -> Portions:
            portions = always_ready(turns, network, taken.append)
            portions.arrived(bytes(3 * PORTION_BYTES))
            return portions

        many = [of("many") for _ in range(100)]
        few = of("few")
        for turn in range(1, 4):
            await asyncio.sleep(0)
            assert taken.count("few") == turn
            assert taken.count("many") == turn * PORTIONS_A_TURN
        assert not few.waiting
        for portions in many:
            portions.arrived(b"little")
        assert taken.count("many") == 3 * PORTIONS_A_TURN, "little waits where much waits"
        while any(each.waiting for each in many):
            await asyncio.sleep(0)
        assert taken.count("many") >= 300, "whoever waits comes to its turn"

    asyncio.run(story())


def test_while_there_is_time_round_follows_round() -> None:
    async def story() -> None:
        at, taken, turns = [0.0], list[str](), Turns(lambda: at[0])

        def read(network: str) -> None:
            taken.append(network)
            at[0] += READING_SECONDS / 8

        for network in ("a", "b"):
            always_ready(turns, network, read).arrived(bytes(20 * PORTION_BYTES))
        await asyncio.sleep(0)
        assert 8 < len(taken) <= 12 and taken[:4] == ["a", "b", "a", "b"], "a millisecond of it"
        await asyncio.sleep(0)
        assert len(taken) > 16, "and then again"

    asyncio.run(story())


def test_found_three_hundred_networks_were_read_before_anything_else() -> None:
    async def story() -> None:
        at, taken, turns = [0.0], list[int](), Turns(lambda: at[0])

        def read(network: int) -> None:
            taken.append(network)
            at[0] += READING_SECONDS / 4

        for network in range(300):
            always_ready(turns, network, read).arrived(bytes(3 * PORTION_BYTES))
        await asyncio.sleep(0)
        assert len(taken) <= 6, "a millisecond of it, and then all else"
        while len(taken) < 600:
            await asyncio.sleep(0)
        assert taken[:600] == 2 * list(range(300)), "nobody comes again before everybody has come"

    asyncio.run(story())


def test_found_whoever_waits_is_read_when_another_fails() -> None:
    def fail(_: bytes) -> None:
        raise ValueError

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        turns, taken = Turns(), list[bytes]()
        for network, take in (("a", fail), ("b", taken.append)):
            Portions(Open(), (turns, network), take, lambda: True, lambda _: None).arrived(
                bytes(2 * PORTION_BYTES)
            )
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(taken) == 2

    asyncio.run(story())


def test_little_is_read_at_once_but_not_of_everybody_in_a_network() -> None:
    async def story() -> None:
        turns, taken = Turns(), list[bytes]()
        for _ in range(10):
            Portions(Open(), (turns, "one"), taken.append, lambda: True, lambda _: None).arrived(
                b"little"
            )
        assert len(taken) == PORTIONS_A_TURN
        while len(taken) < 10:
            await asyncio.sleep(0)

    asyncio.run(story())


def test_a_portion_begins_one_request() -> None:
    async def story() -> None:
        taken: list[bytes] = []
        portions = Portions(
            Open(), (Turns(), ""), taken.append, lambda: True, lambda _: None, ends=b"\r\n\r\n"
        )
        one, body = b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n{}"
        portions.arrived(one)
        portions.arrived(body)
        assert taken == [one, body]
        portions.arrived(3 * one)
        while portions.waiting:
            await asyncio.sleep(0)
        assert taken[2:] == [one] * 3

    asyncio.run(story())


REFUSED = Budgets(10, 10, 10, 10, 10, 10)


def test_found_frames_beyond_the_budget_were_refused_without_end() -> None:
    async def story() -> None:
        async with served(Venue(REFUSED)) as up, up.stream() as socket, up.stream() as other:
            for number in range(20):
                await socket.send(f'{{"op":"ping","id":{number}}}')
            heard = [await hear(socket) for _ in range(8 + REJECTIONS_FREE + 1)]
            assert ["result" in each for each in heard] == [True] * 8 + [False] * 3
            assert "error" in await ask(other, op="ping"), "another is answered meanwhile"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.2)
            up.venue.clock.ns += 10 * 10**9
            assert "result" in await hear(socket), "read on when there is room"

    asyncio.run(story())


def test_whom_no_refusal_stops_is_closed() -> None:
    async def story() -> None:
        async with served(Venue(REFUSED)) as up, up.stream() as socket:
            for _ in range(50):
                await socket.send('{"op":"ping"}')
            with pytest.raises(ConnectionClosed):
                while True:
                    await asyncio.wait_for(socket.recv(), 30)
            assert socket.close_code == 1008

    asyncio.run(story())


def test_behind_a_429_a_connection_is_not_read_and_keeps_its_place() -> None:
    async def story() -> None:
        door = DoorBounds(per_network_max=1, refused_seconds=0.1)
        async with served(Venue(REFUSED), door) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            writer.write(b"GET /v1/config HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            heard = b""
            while b"RATE_LIMITED" not in heard:
                heard += await reader.read(65_536)
            assert b"connection: close" in heard.lower()
            writer.close()
            assert await status(up, "/v1/config") == 503, "its place is not free"
            while (answer := await status(up, "/v1/config")) == 503:
                pass
            assert answer == 429
            assert heard.count(b"HTTP/1.1 429") == 1 and b"HTTP/1.1 200" in heard

    async def status(up: Served, path: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        writer.close()
        return int(head.split()[1])

    asyncio.run(story())


def test_probes_have_a_budget_of_their_own() -> None:
    async def story() -> None:
        budgets = REFUSED._replace(probes_per_address=3)
        async with served(Venue(budgets)) as up:
            paths = ("/healthz", "/readyz", "/version", "/healthz", "/v1/config")
            seen = [(await up.http.get(path)).status_code for path in paths]
            assert seen == [200, 200, 200, 429, 200]
        async with served(Venue(budgets)) as up:
            seen = [(await up.http.get("/v1/config")).status_code for _ in range(11)]
            assert seen == [200] * 10 + [429]
            assert (await up.http.get("/healthz")).status_code == 200, "alive all the same"

    asyncio.run(story())
