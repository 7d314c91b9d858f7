"""However much one connection sends at once, others wait a few milliseconds and nothing piles up.

Forty thousand empty frames in one write used to stop the exchange for seconds, a connection could
go on with it without end; pipelined requests and trailers filled the memory.
"""

import asyncio
import base64
import logging
from collections.abc import Iterator

import pytest

from gateway.http.doorkeeper import MESSAGE_BYTES_MAX, SMALL_FRAMES_MAX
from gateway.http.portions import PORTION_BYTES, Portions
from tests.api.rig import OPERATOR, House, Served, served

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
        async with served(House()) as up:
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
        async with served(House()) as up:
            reader, writer = await stream(up)
            writer.write(PONG * (SMALL_FRAMES_MAX + 1))
            assert await rest_of(reader) == b"\x88\x02" + (1008).to_bytes(2, "big")
            writer.close()

    asyncio.run(story())


def test_a_message_in_pieces_and_pings_between_them_are_still_one_message() -> None:
    async def story() -> None:
        async with served(House()) as up:
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
        async with served(House()) as up:
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
        async with served(House()) as up:
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
        async with served(House()) as up:
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
        async with served(House()) as up:
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


def test_portions_come_one_a_turn_and_only_to_who_is_ready() -> None:
    async def story() -> None:
        taken: list[bytes] = []
        asked: list[bool] = []
        ready = [False]
        portions = Portions(Open(), taken.append, lambda: ready[0], asked.append)
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
