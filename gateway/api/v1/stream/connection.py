"""What does one WebSocket do between its first and its last frame?

Four tasks: one reads, one places what is proven, one answers what is placed, and one sends what the
outbox holds. Orders of one connection reach the exchange in the order in which they were sent, and
are answered in it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson
from msgspec import Struct
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.command_result import CommandResult
from engine.types import Outcome
from gateway.api.dependencies import unknown_market
from gateway.api.services import Services
from gateway.api.v1.encoding import hexed, order_id
from gateway.api.v1.login import session_of
from gateway.api.v1.orders import cancel_order, checked_order, placed_answer
from gateway.api.v1.rows import balance_rows, message
from gateway.api.v1.stream.frames import (
    AnyFrame,
    Cancel,
    LogIn,
    Ping,
    Place,
    Subscribe,
    Unsubscribe,
    binary_rejected,
    frame_of,
    id_of,
)
from gateway.api.v1.stream.outbox import SLOW_CONSUMER, TRY_LATER, Outbox
from gateway.api.v1.written import WrittenViews
from gateway.http.lifecycle import Lifecycle
from gateway.http.problems import TYPE_PREFIX, document_of
from gateway.trading.networks import network_of
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.views.channels import Published
from gateway.views.user_orders import balances_channel, orders_channel
from settlement.ports import awaited
from settlement.protocol.evidence import SignedOrder

CHANNELS_MAX: Final = 64
ORDERS_IN_FLIGHT_MAX: Final = 64
SNAPSHOT_LEVELS: Final = 1_000
SNAPSHOT_TRADES: Final = 50
SNAPSHOT_FILLS: Final = 100

TURN_SECONDS: Final = 0.001
"""How long one connection's frames may be read before everybody else has a turn."""

LARGE_FRAME: Final = 16 * 1024
"""After a frame of so many characters others have a turn."""

REJECTIONS_FREE: Final = 2
"""Frames beyond a budget that are refused one after the other before we stop reading: who may not
place may still cancel behind it."""

HELD_SECONDS_MAX: Final = 5
"""How long a connection is not read at most; its pongs are waited for four times as long."""

HOLDS_MAX: Final = 3
"""After so many with nothing but rejections between them the connection is closed."""

POLICY: Final = 1008

FAREWELL_SECONDS: Final = 5
"""How long a reader that is too slow, or that we leave, may take to read the last frame."""


class Ending(NamedTuple):
    """How we end a connection: the close code, and the last frame as JSON text."""

    code: int
    close_message: str


class _Placed(NamedTuple):
    """An order that was offered to the exchange, and what it says, now or later."""

    frame_id: int | str | None
    order: SignedOrder
    answer: CommandResult | asyncio.Future[CommandResult] | Rejection


@contextmanager
def hanging_up() -> Iterator[None]:
    """Raise WebSocketDisconnect for each of the ways in which the server tells that nobody is
    there any more. RuntimeError is how starlette says that the other side closed first."""
    try:
        yield
    except (OSError, RuntimeError):
        raise WebSocketDisconnect from None


class Connection:
    """One client. ``run`` returns when it has gone."""

    def __init__(
        self,
        socket: WebSocket,
        client: str,
        services: Services,
        entry: OrderEntry,
        written: WrittenViews,
        lifecycle: Lifecycle,
    ) -> None:
        """``client`` is whose budget its frames are charged to."""
        self._socket = socket
        self._services = services
        self._entry = entry
        self._written = written
        self._lifecycle = lifecycle
        self._client = client
        loop = asyncio.get_running_loop()
        self._outbox = Outbox(
            services.outbox_bounds, loop.time, services.metrics.conflated.inc, self._reader_too_slow
        )
        self._session: Session | None = None
        self._followed: dict[str, str] = {}  # Channel as the client calls it -> as we do.
        self._rejected_in_a_row = 0
        self._ends: dict[str, int] = {}
        """When the session ends that each of an account's channels is heard by, in unix seconds."""
        self._slots = asyncio.Semaphore(ORDERS_IN_FLIGHT_MAX)
        self._arrived: asyncio.Queue[tuple[Place, asyncio.Future[SignedOrder]]] = asyncio.Queue()
        self._placed: asyncio.Queue[_Placed] = asyncio.Queue()
        self._under_way: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Ending | None] = loop.create_future()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve the client until it leaves, is too slow, or we close."""
        with hanging_up():
            await self._socket.accept()
        self._lifecycle.joined(self, network_of(self._client))
        reading, sending = self._watched(self._read()), self._watched(self._send())
        placing = self._watched(self._place_in_order())
        answering = self._watched(self._answer_in_order())
        try:
            ending = await self._ending
            await self._stop(reading)
            # What was sent to us is never torn off on its way to the journal.
            await self._arrived.join()
            await self._placed.join()
            if self._under_way:
                await asyncio.wait(self._under_way)
            await self._take_leave(ending, sending)
        finally:
            for channel in self._followed.values():
                self._services.channels.unsubscribe(channel, self)
            await self._stop(reading, sending, placing, answering)
            self._lifecycle.left(self)
            self._ended.set()

    # Seen from outside

    def offer(self, channel: str, published: Published) -> None:
        """Queue a broadcast frame; of an account's channel as long as its session lasts."""
        if self._ends.get(channel, self._now_s() + 1) <= self._now_s():
            self._lapse(channel)
        else:
            self._outbox.offer(channel, published)

    def close(self, code: int, close_message: Mapping[str, object]) -> None:
        """Answer what is under way, send ``close_message`` and close with ``code``."""
        if not self._ending.done():
            self._ending.set_result(Ending(code, orjson.dumps(close_message).decode()))

    async def closed(self) -> None:
        """Return when the connection has ended."""
        await self._ended.wait()

    def _reader_too_slow(self) -> None:
        self._services.metrics.slow_disconnects.inc()
        self.close(TRY_LATER, {"error": slow_consumer(), "resubscribe": sorted(self._followed)})

    # The four tasks

    def _watched(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start ``part``; a fault of ours in it ends the connection and reaches the app."""
        task = asyncio.create_task(part)
        task.add_done_callback(self._fault)
        return task

    def _fault(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (fault := task.exception()) and not self._ending.done():
            self._ending.set_exception(fault)

    async def _stop(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        turn_began = loop.time()
        while True:
            received = await self._socket.receive()
            # Frames that came in one piece are here already: receiving them lets nobody else run.
            if loop.time() - turn_began > TURN_SECONDS:
                await asyncio.sleep(0)
                turn_began = loop.time()
            if received["type"] == "websocket.disconnect":
                if not self._ending.done():
                    self._ending.set_result(None)
                return
            wait = await self._take(received.get("text"))
            if wait:
                await self._hold(wait)
                turn_began = loop.time()

    async def _hold(self, seconds: int) -> None:
        """Do not read on until the budget has room: what the client sends meanwhile fills its own
        buffers. Refusing costs us as much as answering, so it must not be had without end."""
        holds = self._rejected_in_a_row - REJECTIONS_FREE
        if holds > HOLDS_MAX:
            self.close(POLICY, {"error": document_of(gone_on())})
        elif holds > 0:
            await asyncio.sleep(min(seconds, HELD_SECONDS_MAX))

    async def _send(self) -> None:
        try:
            while (text := await self._outbox.next()) is not None:
                with hanging_up():
                    await self._socket.send_text(text)
                if len(text) > LARGE_FRAME:
                    await asyncio.sleep(0)
        except WebSocketDisconnect:
            if not self._ending.done():
                self._ending.set_result(None)

    async def _place_in_order(self) -> None:
        while True:
            frame, recovered = await self._arrived.get()
            signed = await recovered
            answer: CommandResult | asyncio.Future[CommandResult] | Rejection
            try:
                answer = self._entry.offer(signed)
            except Rejection as rejection:
                answer = rejection
            self._placed.put_nowait(_Placed(frame.id, signed, answer))
            self._arrived.task_done()

    async def _answer_in_order(self) -> None:
        while True:
            frame_id, signed, answer = await self._placed.get()
            try:
                if isinstance(answer, Rejection):
                    raise answer
                result = await awaited(answer)
                self._answer(frame_id, placed_answer(self._services, signed, result))
            except Rejection as rejection:
                self._reject(frame_id, rejection)
            self._slots.release()
            self._placed.task_done()

    async def _take_leave(self, ending: "Ending | None", sending: asyncio.Task[None]) -> None:
        """Send the last frames and close; a reader that does not read is not waited for."""
        if ending is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if ending.code == TRY_LATER:
                    await self._stop(sending)
                    await self._socket.send_text(ending.close_message)
                else:
                    self._outbox.end(ending.close_message)
                    await asyncio.wait([sending])
                await self._socket.close(ending.code)
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            return

    # One frame

    async def _take(self, text: str | None) -> int:
        """Do what a frame says; return in how many seconds the budget has room that it lacked."""
        frame_id = None
        try:
            try:
                if text is None:
                    raise binary_rejected()
                frame = frame_of(text)
            except Rejection:
                self._services.limits.request(self._client)
                frame_id = None if text is None else id_of(text)
                raise
            frame_id = frame.id
            await self._obey(frame)
        except Rejection as rejection:
            self._reject(frame_id, rejection)
            if rejection.outcome == Outcome.RATE_LIMITED:
                self._rejected_in_a_row += 1
                return rejection.retry_after or 1
        self._rejected_in_a_row = 0
        return 0

    async def _obey(self, frame: AnyFrame) -> None:
        if isinstance(frame, Cancel):
            self._services.limits.cancel_request(self._client)
        elif isinstance(frame, Place):
            self._services.limits.order_request(self._client)
        else:
            self._services.limits.request(self._client)
        match frame:
            case Ping():
                self._answer(frame.id, {"time_ns": str(self._services.exchange.now_ns())})
            case Subscribe():
                self._subscribe(frame)
            case Unsubscribe():
                self._unsubscribe(frame)
            case LogIn():
                self._session = session_of(self._services.sessions, frame.token)
                account, ends = self._session
                for channel in {orders_channel(account), balances_channel(account)} & set(
                    self._ends
                ):
                    self._ends[channel] = ends
                self._answer(
                    frame.id,
                    {
                        "account": hexed(self._session.account),
                        "expires_at": self._session.expires_at,
                    },
                )
            case Place():
                self._lifecycle.require_open()
                unsigned = checked_order(frame.order)
                await self._slots.acquire()
                self._arrived.put_nowait((frame, self._entry.verify(unsigned)))
            case Cancel():
                me, order = self._me(), order_id(frame.order_id)
                await self._slots.acquire()
                task = self._watched(self._cancel(frame, me.account, order))
                self._under_way.add(task)

    async def _cancel(self, frame: Cancel, account: bytes, order: int) -> None:
        try:
            self._answer(frame.id, await cancel_order(self._entry, account, order))
        except Rejection as rejection:
            self._reject(frame.id, rejection)
        finally:
            self._slots.release()

    def _answer(self, frame_id: int | str | None, result: Mapping[str, Any] | Struct) -> None:
        self._outbox.offer("", message({"id": frame_id, "result": result}))

    def _reject(self, frame_id: int | str | None, rejection: Rejection) -> None:
        if rejection.outcome == Outcome.RATE_LIMITED:
            self._services.metrics.rate_limited.inc()
        self._outbox.offer("", message({"id": frame_id, "error": document_of(rejection)}))

    def _me(self) -> Session:
        if self._session is None or self._session.expires_at <= self._now_s():
            raise Rejection(Outcome.NOT_AUTHENTICATED, "send a login frame first")
        return self._session

    def _now_s(self) -> int:
        return self._services.now_ns() // 10**9

    # Channels

    def _subscribe(self, frame: Subscribe) -> None:
        channel, make = self._resolve(frame.channel)
        if frame.channel not in self._followed and len(self._followed) >= CHANNELS_MAX:
            raise Rejection(Outcome.OVERLOADED, f"at most {CHANNELS_MAX} channels a connection")
        previous = self._followed.get(frame.channel)
        if previous is not None and previous != channel:  # Another account has logged in since.
            self._leave(previous)
        self._followed[frame.channel] = channel
        if channel != frame.channel:
            self._ends[channel] = self._me().expires_at
        self._outbox.forget(channel)
        self._answer(frame.id, {"channel": frame.channel})
        if frame.channel.startswith("book:"):
            self._outbox.owe(channel, make)
        else:
            self._outbox.offer("", make())
        self._services.channels.subscribe(channel, self)

    def _unsubscribe(self, frame: Unsubscribe) -> None:
        channel = self._followed.pop(frame.channel, None)
        if channel is None:
            raise Rejection(Outcome.NOT_FOUND, f"not subscribed to {frame.channel!r}")
        self._leave(channel)
        self._outbox.forget(channel)
        self._answer(frame.id, {"channel": frame.channel})

    def _leave(self, channel: str) -> None:
        self._ends.pop(channel, None)
        self._services.channels.unsubscribe(channel, self)

    def _lapse(self, channel: str) -> None:
        """Leave an account's channel because its session is over, and say so."""
        name = next(name for name, ours in self._followed.items() if ours == channel)
        del self._followed[name]
        self._leave(channel)
        over = Rejection(Outcome.NOT_AUTHENTICATED, "the session is over: login, subscribe again")
        ended = {"channel": name, "type": "ended", "error": document_of(over)}
        self._outbox.offer("", message(ended))

    def _resolve(self, name: str) -> tuple[str, Callable[[], Published]]:
        """Return our name of a channel, and what makes the snapshot that it begins with."""
        kind, _, symbol = name.partition(":")
        head = {"channel": name, "type": "snapshot"}
        users, written = self._services.user_stream, self._written
        match kind, symbol:
            case "orders", "":
                account = self._me().account

                def orders() -> Published:
                    rows, following = written.open_orders(account)
                    return message(
                        {
                            **head,
                            "event": users.event_index,
                            "number": users.frame_number(account),
                            "orders": rows,
                            "next": following,
                            "fills": written.fills(account, SNAPSHOT_FILLS)[0],
                        }
                    )

                return orders_channel(account), orders
            case "balances", "":
                account = self._me().account

                def balances() -> Published:
                    rows = balance_rows(users.balances(account))
                    return message({**head, "event": users.event_index, "balances": rows})

                return balances_channel(account), balances
            case "book" | "trades", _:
                market = self._services.exchange.catalog.market(symbol)
                if market is None:
                    raise unknown_market(symbol)
                if kind == "book":
                    return name, lambda: message({**head, **written.book(market, SNAPSHOT_LEVELS)})
                return name, lambda: message(
                    {**head, "trades": written.trades(market, SNAPSHOT_TRADES)}
                )
        raise Rejection(
            Outcome.NOT_FOUND,
            "channels are book:SYMBOL, trades:SYMBOL and, after login, orders and balances",
        )


def gone_on() -> Rejection:
    """Return what is said to whom no rejection stops."""
    return Rejection(Outcome.RATE_LIMITED, "nothing but frames beyond the budget; come later")


def slow_consumer() -> dict[str, object]:
    """Return the problem document of a reader that is too slow."""
    return {
        "type": f"{TYPE_PREFIX}{SLOW_CONSUMER}",
        "title": "Slow consumer",
        "outcome": SLOW_CONSUMER,
        "code": -2,
        "detail": "frames waited too long or were too many; connect and subscribe again",
        "retryable": True,
    }
