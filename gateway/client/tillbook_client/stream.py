"""How does a program hear what happens, and trade over one WebSocket?

``AsyncStream`` gives each frame of the channels that it follows. ``request`` sends a frame of any
kind and returns its result. It ends when the connection does; who goes on connects again and takes
new snapshots, which is what ``followed`` is for.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tillbook_client.errors import GapError, RejectedError, UnknownOutcomeError

FRAME_SIZE_MAX: Final = 16 * 2**20
WAITING_MAX: Final = 100_000
"""Frames that may wait to be read; whoever reads slower is hung up on here."""


def stream_url(url: str) -> str:
    """Return where the stream of the exchange at ``url`` is."""
    return url.replace("http", "ws", 1).rstrip("/") + "/v1/stream"


class AsyncStream:
    """One connection: iterate over it for frames of channels."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._frames: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(WAITING_MAX)
        self._overrun = False
        self.followed: list[str] = []

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, token: str = "") -> AsyncIterator[Self]:
        """Connect to the exchange at ``url``; with a ``token`` of a session also log in."""
        options: dict[str, Any] = {"compression": None, "max_size": FRAME_SIZE_MAX, "proxy": None}
        async with connect(stream_url(url), **options) as socket:
            stream = cls(socket)
            reading = asyncio.create_task(stream._read())
            try:
                if token:
                    await stream.request("login", token=token)
                yield stream
            finally:
                reading.cancel()

    async def request(self, op: str, **fields: Any) -> Any:
        """Send a frame and return its result. Raises ``RejectedError``, ``UnknownOutcomeError``."""
        self._last_id += 1
        frame_id = self._last_id
        answered = self._asked[frame_id] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(
                msgspec.json.encode({"op": op, "id": frame_id, **fields}).decode()
            )
            return await answered
        except ConnectionClosed:
            raise UnknownOutcomeError(f"the connection ended before {op} was answered") from None
        finally:
            self._asked.pop(frame_id, None)

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Follow channels: ``book:SYMBOL``, ``trades:SYMBOL``, ``orders``, ``balances``, ..."""
        for channel in channels:
            await self.request("subscribe", channel=channel)
            self.followed.append(channel)

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Return the frames of all channels, until the connection ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        """Return the next frame."""
        frame = await self._frames.get()
        if frame is not None:
            return frame
        if self._overrun:
            raise GapError("frames were not read as fast as they came: connect again")
        raise StopAsyncIteration

    async def _read(self) -> None:
        try:
            async for raw in self._socket:
                self._take(msgspec.json.decode(raw))
                if self._overrun:
                    break
        except ConnectionClosed:
            pass
        finally:
            for answered in self._asked.values():
                if not answered.done():
                    answered.set_exception(UnknownOutcomeError("the connection ended"))
            self._end()

    def _take(self, frame: dict[str, Any]) -> None:
        answered = self._asked.get(frame["id"]) if frame.get("id") is not None else None
        if answered is None:
            self._overrun = self._frames.full()
            if not self._overrun:
                self._frames.put_nowait(frame)
        elif not answered.done():
            if "error" in frame:
                problem = frame["error"]
                answered.set_exception(RejectedError(problem.get("status", 0), problem))
            else:
                answered.set_result(frame.get("result"))

    def _end(self) -> None:
        while self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(None)
