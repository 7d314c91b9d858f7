"""Closing goes on without a connection that does not end, so that the journal is closed too."""

import asyncio
import base64

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from gateway.http.doorkeeper import Doorkeeper
from gateway.http.lifecycle import Lifecycle
from gateway.http.server import HttpServer
from gateway.http.websocket import GuardedWebSocket
from tests.api.fixtures import Venue, served

UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n"
)
CLOSE = b"\x88\x80" + bytes(4)


class Stayer:
    """A connection that is told and never ends."""

    def __init__(self):
        self.told = []

    def close(self, code, close_message):
        self.told.append(code)

    async def closed(self):
        await asyncio.Event().wait()


def test_it_is_told_and_then_left():
    async def story():
        app, stayer = FastAPI(), Stayer()
        app.state.lifecycle = Lifecycle()
        app.state.lifecycle.joined(stayer)
        server = HttpServer(app, "127.0.0.1", 0, drain_seconds=1)
        await server.start()
        with structlog.testing.capture_logs() as logged:
            await server.stop()
        assert stayer.told == [1012]
        assert [line["event"] for line in logged] == ["not every connection let itself be closed"]

    asyncio.run(story())


def test_found_an_upgrade_without_answer_made_the_stop_fail():
    async def story():
        async with served(Venue()) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            writer.write(UPGRADE + b"Content-Length: 4\r\n\r\n")
            assert (await up.http.get("/healthz")).status_code == 200
            await up.stop()
            await reader.read()
            writer.close()

    asyncio.run(story())


class Unread(asyncio.Transport):
    """A connection to somebody who reads nothing: what was written waits, and so does closing."""

    def __init__(self):
        super().__init__()
        self.written, self.closing, self.aborted = b"", False, False

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def test_found_a_close_that_waits_for_its_reader_made_the_stop_fail():
    async def told(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async def story():
        config = uvicorn.Config(told, ws_ping_interval=None)
        config.load()
        socket = GuardedWebSocket(
            Doorkeeper(), config=config, server_state=ServerState(), app_state={}
        )
        unread = Unread()
        socket.connection_made(unread)
        socket.data_received(UPGRADE + b"\r\n")
        while not socket.handshake_complete:
            await asyncio.sleep(0)
        socket.data_received(CLOSE)
        assert unread.closing and not socket.close_sent
        written = unread.written
        socket.shutdown()
        assert unread.written == written

    asyncio.run(story())


def test_whoever_is_left_at_the_end_is_cut_off():
    async def story():
        door, left = Doorkeeper(), Unread()
        door.admit(None, left, "127.0.0.1", asyncio.get_running_loop().time())
        door.start()
        door.stop()
        assert left.aborted

    asyncio.run(story())
