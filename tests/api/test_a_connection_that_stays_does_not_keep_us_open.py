"""Closing goes on without a connection that does not end, so that the journal is closed too."""

import asyncio

import structlog
from fastapi import FastAPI

from gateway.http.lifecycle import Lifecycle
from gateway.http.server import HttpServer


class Stayer:
    """A connection that is told and never ends."""

    def __init__(self):
        self.told = []

    def close(self, code, farewell):
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
