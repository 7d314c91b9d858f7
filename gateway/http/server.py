"""How does the application meet the network, and how does it leave it?

uvicorn with httptools, its ``websockets-sansio`` and no compression: the least work a message of
all that was measured. ``doorkeeper`` bounds connections and their time. We start and stop uvicorn's
parts ourselves, because on a signal our sockets are to be told and closed (1012) before it begins
to wait for them.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.http.body import BODY_MAX
from gateway.http.doorkeeper import BACKLOG, Doorkeeper, GuardedHttp
from gateway.http.listening import bound, listen
from gateway.http.websocket import GuardedWebSocket

DRAIN_SECONDS: Final = 20


class HttpServer:
    """One listening socket. Port 0 takes a free one; ``start`` returns which."""

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        drain_seconds: int = DRAIN_SECONDS,
        door: Doorkeeper | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        """``listening`` is a socket that is bound to the address already, and ours to close."""
        self._app = app
        self._door = door or Doorkeeper()
        self._drain_seconds = drain_seconds
        self._address = (host, port)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_guarded(GuardedHttp, self._door),
            ws=_guarded(GuardedWebSocket, self._door),
            ws_max_size=BODY_MAX,
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=int(self._door.bounds.idle_seconds),
            timeout_graceful_shutdown=drain_seconds,
        )
        self._server = uvicorn.Server(config)
        self._socket = listening
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen and serve; return the port. Raises ``CannotListenError``."""
        listening = self._socket or bound(*self._address)
        listen(listening, BACKLOG)
        # asyncio turns Nagle off only for sockets made with an explicit protocol number; without
        # this every answer on a kept connection waits 40 ms for the client's delayed ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = listening
        server = self._server
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listening])
        self._door.start()
        self._running = asyncio.create_task(server.main_loop())
        port: int = listening.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Refuse new work, tell and close the sockets, let answers go out, stop.

        In bounded time and without an error, for the journal behind us has to be closed too.
        """
        assert self._running is not None and self._socket is not None, "started before"
        try:
            async with asyncio.timeout(self._drain_seconds):
                await self._app.state.lifecycle.drain()
        except TimeoutError:
            structlog.get_logger("server").warning("not every connection let itself be closed")
        finally:
            self._server.should_exit = True
            await self._running
            try:
                await self._server.shutdown(sockets=[self._socket])
            finally:
                self._door.stop()


def _guarded(protocol: Callable[..., asyncio.Protocol], door: Doorkeeper) -> Any:
    """Return what uvicorn makes a connection's protocol with."""
    return cast(Any, partial(protocol, door))


async def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then close in good order."""
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    server = HttpServer(app, host, port)
    await server.start()
    try:
        await signalled.wait()
    finally:
        await server.stop()
