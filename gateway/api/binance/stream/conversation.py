"""What does a WebSocket of this dialect do between its first and its last frame?

It is called where its messages are read, as in the native stream. What a message asks may take
until the journal has it: then a task waits for that and the next message is read, up to a bound.
What a reader does not take waits in an outbox with bounds; news that can be merged is merged there.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.api.binance.desk import Desk
from gateway.api.binance.numbers import milliseconds
from gateway.api.binance.stream.news import encode, said
from gateway.http.faults import Ending, Faults
from gateway.http.outbox import TRY_LATER, Outbox
from gateway.http.websocket import Wire, text_frame
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection
from gateway.views.channels import News, Published

UNDER_WAY_MAX: Final = 64
"""Messages of one connection that wait for an answer."""

BYTES_A_TURN: Final = 8 * 1024
"""So much is written of what waits before others have a turn: diffs that were merged while they
waited are many levels each."""

LEAST_FRAME: Final = 128
"""What a frame counts at least."""

REJECTED_MAX: Final = 3
"""Messages beyond the budget, one after the other, until we hang up."""

FAREWELL_SECONDS: Final = 5
POLICY: Final = 1008


class Conversation:
    """One client (``gateway.http.websocket.Hearer``). ``run`` returns when it has gone."""

    def __init__(
        self,
        desk: Desk,
        socket: WebSocket,
        wire: Wire,
        client: str,
        write: Callable[[News], bytes],
    ) -> None:
        """``write`` makes a frame of an event; ``client`` is charged."""
        self.desk = desk
        self.client = client
        self._socket = socket
        self._wire = wire
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(
            desk.bounds,
            self._loop.time,
            write,
            desk.metrics.conflated.inc,
            self._too_slow,
            # Diffs that cannot be merged are those of other terms: its reader begins anew.
            lambda _: self._too_slow({}),
        )
        self._ending: asyncio.Future[Ending | None] = self._loop.create_future()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.faults = Faults(self._ending, self._quiet)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rejected_in_a_row = 0
        self._is_sending_later = False
        self._is_open = False
        self._sent = asyncio.Event()
        self._ended = asyncio.Event()

    # For who speaks

    def obey(self, text: str) -> None:
        """Do what a message says; may raise ``Rejection`` where its budget is spent."""
        raise NotImplementedError

    def leave(self) -> None:
        """Follow nothing any more."""
        raise NotImplementedError

    def farewell(self) -> Mapping[str, object]:
        """Return what is said when we close."""
        return {"e": "serverShutdown", "E": milliseconds(self.desk.exchange.now_ns())}

    def say(self, content: Any) -> None:
        """Tell this client alone."""
        self.offer("", Published(said(content)))

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let work go on that waits for something; a fault in it ends the connection."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._done)

    # Called from outside

    def offer(self, channel: str, published: Published) -> None:
        """Tell news at once, or let it wait its turn."""
        with self.faults:
            if self._outbox.is_empty and self._wire.is_writable:
                self._wire.write(published.written(self._write))
            else:
                self._outbox.offer(channel, published)

    def close(self, code: int, close_message: Mapping[str, object]) -> None:
        """See ``gateway.http.lifecycle.Closable``; the dialect has words of its own."""
        if not self._ending.done():
            self._ending.set_result(Ending(code, encode(self.farewell()).decode()))

    def tell(self, message: Mapping[str, object]) -> None:
        """See ``gateway.http.lifecycle.Closable``: told here when it has come to that."""

    @property
    def waiting_bytes(self) -> int:
        """See ``gateway.http.lifecycle.Closable``."""
        return self._outbox.waiting_bytes

    async def closed(self) -> None:
        """Return when the connection has ended."""
        await self._ended.wait()

    async def run(self) -> None:
        """Serve the client until it leaves, is too slow, or we close."""
        self._wire.listen(self)
        try:
            await self._socket.accept()
        except (OSError, RuntimeError):
            raise WebSocketDisconnect from None
        self.desk.lifecycle.joined(self, network_of(self.client))
        self._is_open = True
        self._wire.read_on()
        try:
            ending = await self._ending
            self._is_open = False
            await self._quiet.wait()
            if self.faults.late is not None:
                raise self.faults.late
            await self._take_leave(ending)
        finally:
            self._is_open = False
            for task in self._tasks:
                task.cancel()
            self.leave()
            self.desk.lifecycle.left(self)
            self._ended.set()

    # What the wire says

    @property
    def is_ready(self) -> bool:
        """Whether to read on."""
        return self._is_open and len(self._tasks) < UNDER_WAY_MAX

    def heard(self, text: str | None) -> None:
        """Take one message."""
        with self.faults:
            try:
                self.obey("" if text is None else text)
            except Rejection as spent:
                self._refuse(spent)
            else:
                self._rejected_in_a_row = 0

    def gone(self) -> None:
        """The client has left."""
        self._sent.set()
        if not self._ending.done():
            self._ending.set_result(None)

    def must_wait(self) -> None:
        """Nothing: each time it is asked whether the wire takes more."""

    def may_send(self) -> None:
        """Send what waits, as much as the client takes; behind much others have a turn."""
        self._is_sending_later = False
        with self.faults:
            if self._outbox.drain(self._wire, BYTES_A_TURN, LEAST_FRAME):
                self._send_later()
        if self._outbox.is_empty and self._outbox.shut:
            self._sent.set()

    def _send_later(self) -> None:
        if not self._is_sending_later:
            self._is_sending_later = True
            self._loop.call_soon(self.may_send)

    def _refuse(self, spent: Rejection) -> None:
        self.desk.metrics.rate_limited.inc()
        self._rejected_in_a_row += 1
        self.say({"error": {"code": -1003, "msg": spent.detail}})
        if self._rejected_in_a_row >= REJECTED_MAX and not self._ending.done():
            self._is_open = False
            self._ending.set_result(Ending(POLICY, ""))

    def _too_slow(self, _unsent: Mapping[str, News]) -> None:
        self.desk.metrics.slow_disconnects.inc()
        if not self._ending.done():
            self._ending.set_result(Ending(TRY_LATER, ""))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._quiet.set()
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            with self.faults:
                raise fault
        if self.is_ready:
            self._wire.read_on()

    async def _take_leave(self, ending: Ending | None) -> None:
        if ending is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if ending.close_message:
                    self._outbox.end(text_frame(ending.close_message.encode()))
                    self.may_send()
                    await self._sent.wait()
                await self._socket.close(ending.code)
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            return
