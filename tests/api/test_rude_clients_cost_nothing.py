"""Clients that hang up, lie about lengths, send garbage or nothing: everybody else goes on.

One of them used to draw a traceback with all local variables on the event loop: seconds for
everybody, a megabyte of log, and other people's credentials in it.
"""

import asyncio
import base64
import contextlib
import io
import logging
import resource
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
import structlog
from fastapi import APIRouter, Request, WebSocket
from starlette.websockets import WebSocketDisconnect

from gateway.http.doorkeeper import (
    DESCRIPTORS_KEPT,
    DoorBounds,
    connections_allowed,
    raise_descriptors,
)
from gateway.node.logs import (
    LINES_WAITING_MAX,
    REPEATS_SECONDS,
    Repeats,
    Writer,
    configure_logging,
    redacted,
)
from tests.api.fixtures import OPERATOR, Served, Venue, ask, served

CLIENTS = 100
LOG_LINES_MAX = 5
LOG_BYTES_MAX = 5_000

HEAD = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n"
)


class Log:
    """What was logged, and how to wait for it."""

    def __init__(self, stream: io.StringIO, writer: Writer) -> None:
        self._stream, self._writer = stream, writer

    def text(self) -> str:
        self._writer.flush()
        return self._stream.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    yield Log(stream, configure_logging(stream))
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Rude:
    """One connection that behaves as it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(10)

    def say(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def hear(self) -> bytes:
        with contextlib.suppress(OSError):
            return self.socket.recv(65_536)
        return b""

    def leave(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def hangs_up_in_the_body(rude: Rude) -> None:
    rude.say(HEAD + b'Content-Length: 100\r\n\r\n{"a":')
    rude.leave()


def breaks_a_chunk(rude: Rude) -> None:
    rude.say(HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\nZZ\r\n')
    rude.hear()
    rude.leave()


def resets_behind_the_request(rude: Rude) -> None:
    rude.say(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
    rude.reset()


def resets_behind_the_handshake(rude: Rude) -> None:
    rude.say(UPGRADE + b"\r\n")
    rude.reset()


def resets_behind_a_subscription(rude: Rude) -> None:
    rude.say(UPGRADE + b"\r\n")
    rude.hear()
    text = b'{"op":"subscribe","channel":"book:TOKEN-USD"}'
    rude.say(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    rude.reset()


def leaves_half_a_frame(rude: Rude) -> None:
    rude.say(UPGRADE + b"\r\n")
    rude.hear()
    rude.say(b"\x81\xfe\x01")
    rude.reset()


def sends_a_frame_that_is_not_utf8(rude: Rude) -> None:
    rude.say(UPGRADE + b"\r\n")
    rude.hear()
    rude.say(b"\x81\x82\0\0\0\0\xff\xfe")
    rude.hear()
    rude.leave()


def sends_an_unmasked_frame(rude: Rude) -> None:
    rude.say(UPGRADE + b"\r\n")
    rude.hear()
    rude.say(b"\x81\x05hello")
    rude.hear()
    rude.leave()


def forgets_the_key(rude: Rude) -> None:
    rude.say(b"GET /v1/stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    rude.hear()
    rude.leave()


def upgrades_at_a_path_of_odd_bytes(rude: Rude) -> None:
    rude.say(UPGRADE.replace(b"/v1/stream", b"/v1/str\xe9am") + b"\r\n")
    rude.hear()
    rude.leave()


def upgrades_with_many_headers(rude: Rude) -> None:
    rude.say(UPGRADE + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n")
    rude.hear()
    rude.leave()


def posts_an_upgrade(rude: Rude) -> None:
    rude.say(UPGRADE.replace(b"GET", b"POST") + b"\r\n")
    rude.hear()
    rude.leave()


def speaks_tls(rude: Rude) -> None:
    rude.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
    rude.hear()
    rude.leave()


def sends_a_head_without_end(rude: Rude) -> None:
    with contextlib.suppress(OSError):
        rude.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 300_000)
    rude.hear()
    rude.leave()


def half_closes(rude: Rude) -> None:
    rude.say(b"GET /v1/config HTTP/1.1\r\nHost: x\r\n")
    rude.socket.shutdown(socket.SHUT_WR)
    rude.hear()
    rude.leave()


KINDS = (
    hangs_up_in_the_body,
    breaks_a_chunk,
    resets_behind_the_request,
    resets_behind_the_handshake,
    resets_behind_a_subscription,
    leaves_half_a_frame,
    sends_a_frame_that_is_not_utf8,
    sends_an_unmasked_frame,
    forgets_the_key,
    upgrades_at_a_path_of_odd_bytes,
    upgrades_with_many_headers,
    posts_an_upgrade,
    speaks_tls,
    sends_a_head_without_end,
    half_closes,
)


@pytest.mark.parametrize("behave", KINDS, ids=lambda kind: kind.__name__)
def test_a_hundred_rude_clients_are_no_fault_and_the_log_stays_small(
    behave: Callable[[Rude], None], log: Log
) -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            for _ in range(CLIENTS):
                await asyncio.to_thread(behave_as, behave, up.port)
            assert (await up.http.get("/v1/config")).status_code == 200
            figures = (await up.http.get("/metrics", headers=OPERATOR)).text
            assert "tillbook_internal_errors_total 0.0" in figures

    asyncio.run(story())
    text = log.text()
    assert text.count("\n") <= LOG_LINES_MAX, text[:2_000]
    assert len(text) <= LOG_BYTES_MAX, text[:2_000]
    assert "Traceback" not in text and "fault" not in text, text[:2_000]


def behave_as(behave: Callable[[Rude], None], port: int) -> None:
    behave(Rude(port))


def test_found_one_fault_a_request_wrote_everybodys_secrets(log: Log) -> None:
    router = APIRouter()

    @router.get("/broken")
    async def broken(request: Request) -> None:
        headers = request.scope["headers"]
        secret = "tbk_the-shops-own-key"
        raise ValueError(f"{headers} {secret} at https://u:p@node.example/v3/KEY?x=1")

    async def story() -> None:
        async with served(Venue(), routers=(router,)) as up:
            for _ in range(CLIENTS):
                answer = await up.http.get("/broken", headers=OPERATOR)
                assert answer.status_code == 500
            assert "errors_total 100.0" in (await up.http.get("/metrics", headers=OPERATOR)).text

    asyncio.run(story())
    text = log.text()
    assert text.count("\n") == 1 and "ValueError" in text and "broken" in text, "said once"
    assert len(text) <= LOG_BYTES_MAX
    for secret in ("operator's own", "tbk_the", "u:p", "KEY"):
        assert secret not in text, text


@contextlib.asynccontextmanager
async def impatient(**bounds: float) -> AsyncIterator[Served]:
    async with served(Venue(), DoorBounds(**bounds)) as up:  # type: ignore[arg-type]
        yield up


def listening_to(story: Callable[[Served], Awaitable[None]], **bounds: float) -> None:
    async def whole() -> None:
        async with impatient(**bounds) as up:
            await story(up)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", b""),
        (b"\r\n\r\n\r\n", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"408"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"408"),
        (HEAD + b"Content-Length: 10\r\n\r\n{", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    ],
    ids=["nothing", "empty lines", "slow head", "endless chunks", "slow body", "idle afterwards"],
)
def test_whoever_takes_too_long_is_told_and_let_go(said: bytes, answer: bytes) -> None:
    async def story(up: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(said)
        heard = await asyncio.wait_for(reader.read(), 30)
        assert heard[9:12] == answer
        writer.close()

    listening_to(story, head_seconds=0.1, body_seconds=0.1, idle_seconds=1)


NO_UPGRADES = {
    "a body": UPGRADE + b"Content-Length: 4\r\n\r\nabcd",
    "a body that does not come": UPGRADE + b"Content-Length: 4\r\n\r\n",
    "a coded body": UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n",
    "a long line": UPGRADE + b"X: " + b"a" * 9_000 + b"\r\n\r\n",
    "a long path": UPGRADE.replace(b"/v1/stream", b"/v1/stream?" + b"a" * 9_000) + b"\r\n",
}


@pytest.mark.parametrize("said", NO_UPGRADES.values(), ids=NO_UPGRADES)
def test_found_an_upgrade_that_cannot_be_was_never_answered(said: bytes) -> None:
    async def story(up: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(said)
        heard = await asyncio.wait_for(reader.read(), 30)
        assert heard.startswith(b"HTTP/1.1 400") and b"MALFORMED" in heard
        writer.close()
        assert (await up.http.get("/healthz")).status_code == 200

    listening_to(story)


def test_a_handshake_has_its_time_like_any_answer() -> None:
    async def slow(socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while await socket.receive():
                pass

    async def story() -> None:
        # The handshake of an application that never answers is cut off, an open stream is not.
        async with served(Venue(), DoorBounds(answer_seconds=0.1)) as up:
            up.app.add_api_websocket_route("/slow", slow)
            async with up.stream() as open_stream:
                reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
                writer.write(UPGRADE.replace(b"/v1/stream", b"/slow") + b"\r\n")
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 30) == b""
                writer.close()
                assert "result" in await ask(open_stream, op="ping", id=1)

    asyncio.run(story())


def test_one_network_has_so_many_connections_and_the_next_hears_why() -> None:
    async def story(up: Served) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", up.port) for _ in range(3)]
        for reader, writer in kept:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        refused = await asyncio.wait_for(reader.read(), 30)
        assert refused.startswith(b"HTTP/1.1 503") and b"OVERLOADED" in refused
        kept[0][1].close()
        other = await asyncio.open_connection("127.0.0.1", up.port, local_addr=("127.0.0.9", 0))
        other[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await other[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200"), "another network"
        for _, each in [*kept, other]:
            each.close()

    listening_to(story, per_network_max=3)


def test_one_network_has_so_many_streams() -> None:
    async def story() -> None:
        async with served(Venue(), sockets_per_client=2) as up:
            async with up.stream(), up.stream():
                refused = await asyncio.to_thread(
                    httpx.get, f"http://127.0.0.1:{up.port}/v1/stream", headers=ASKING
                )
                assert (refused.status_code, refused.json()["outcome"]) == (503, "OVERLOADED")
            async with up.stream():
                pass

    asyncio.run(story())


ASKING = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


def test_a_log_that_nobody_reads_holds_nobody_up() -> None:
    class Stuck(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.free = threading.Event(), threading.Event()

        def write(self, text: str) -> int:
            self.begun.set()
            self.free.wait(30)
            return super().write(text)

    stream = Stuck()
    writer = Writer(stream)
    writer.write("the line that is being written")
    assert stream.begun.wait(30)
    for number in range(3 * LINES_WAITING_MAX):
        writer.write(f"line {number}")
    stream.free.set()
    writer.flush(30)
    *lines, dropped = stream.getvalue().splitlines()
    assert len(lines) == 1 + LINES_WAITING_MAX, "the bound holds"
    assert dropped.startswith(f"{2 * LINES_WAITING_MAX} lines were dropped"), "all accounted for"


def test_a_fault_that_comes_again_says_how_often_it_came() -> None:
    seconds = [0.0]
    repeats = Repeats(lambda: seconds[0])

    def said(place: str) -> dict[str, object] | None:
        event = {"event": "fault", "level": "error", "fault": f"KeyError: 1 at {place}"}
        try:
            return dict(repeats(None, "error", event))
        except structlog.DropEvent:
            return None

    assert said("here") == {"event": "fault", "level": "error", "fault": "KeyError: 1 at here"}
    assert said("here") is None and said("here") is None
    assert said("elsewhere") is not None, "another fault is said"
    seconds[0] = REPEATS_SECONDS
    again = said("here")
    assert again is not None and again["repeated"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "429 Client Error: Too Many Requests for url: https://node.example/v3/SECRET?key=SECRET",
        "wss://user:SECRET@node.example/SECRET refused",
        "Max retries exceeded with url: /v3/SECRET (Caused by ...)",
        "[(b'host', b'x'), (b'authorization', b'Bearer SECRET')]",
        "{'Cookie': 'session=SECRET; other=SECRET'}",
        "authorization: Basic SECRET",
        "the key tbk_SECRET and the secret whsec_SECRET/SECRET=",
    ],
)
def test_secrets_are_taken_out_of_what_is_said(text: str) -> None:
    assert "SECRET" not in redacted(text)
    assert redacted("order 17 of 0xabc at 2,500.25 (post-only)").endswith("(post-only)")


def test_descriptors_are_kept_back_for_ourselves() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 600), hard))
        assert connections_allowed() == min(soft, 600) - DESCRIPTORS_KEPT
        assert raise_descriptors() >= min(soft, 600)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
