"""What does one WebSocket do between its first and its last frame?

It is called: for each message, when a signer is found, when an order is answered, when the reader
has read on. Orders of one connection reach the exchange in the order in which they were sent, and
are answered in it. An idle connection has one task, which waits for its end.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
from msgspec import Struct
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.types import Outcome
from gateway.api.services import Services
from gateway.api.v1.encoding import hexed
from gateway.api.v1.login import session_of
from gateway.api.v1.rows import message, news_text
from gateway.api.v1.stream.frames import (
    Amend,
    AnyFrame,
    Cancel,
    CancelAfter,
    CancelAll,
    CancelMany,
    LogIn,
    Ping,
    Place,
    PlaceMany,
    Replace,
    Subscribe,
    Unsubscribe,
    binary_rejected,
    frame_of,
    id_of,
)
from gateway.api.v1.stream.snapshots import Snapshots
from gateway.api.v1.stream.subscriptions import Subscriptions
from gateway.api.v1.stream.switches import Switches
from gateway.api.v1.stream.verbs import Verbs
from gateway.http.faults import Ending, Faults
from gateway.http.lifecycle import Lifecycle
from gateway.http.outbox import SLOW_CONSUMER, TRY_LATER, Outbox
from gateway.http.problems import TYPE_PREFIX, document_of
from gateway.http.websocket import Wire, text_frame
from gateway.trading.networks import network_of
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.views.channels import News, Published

ORDERS_IN_FLIGHT_MAX: Final = 64

LARGE_FRAME: Final = 16 * 1024
"""After so many bytes that waited others have a turn."""

LEAST_FRAME: Final = 1024
"""What a frame that waited counts at least: it may have been made only now."""

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


@contextmanager
def hanging_up() -> Iterator[None]:
    """Raise WebSocketDisconnect for each of the ways in which the server tells that nobody is
    there any more. RuntimeError is how starlette says that the other side closed first."""
    try:
        yield
    except (OSError, RuntimeError):
        raise WebSocketDisconnect from None


def frame_of_news(news: News) -> bytes:
    """Return the WebSocket frame that tells ``news``."""
    return text_frame(news_text(news))


class Connection:
    """One client (``gateway.http.websocket.Hearer``). ``run`` returns when it has gone."""

    def __init__(
        self,
        socket: WebSocket,
        wire: Wire,
        client: str,
        services: Services,
        entry: OrderEntry,
        snapshots: Snapshots,
        lifecycle: Lifecycle,
    ) -> None:
        """``socket`` opens and closes, ``wire`` is what is between. ``client`` is whose budget its
        frames are charged to."""
        self._socket = socket
        self._wire = wire
        self._services = services
        self._entry = entry
        self._lifecycle = lifecycle
        self._client = client
        self._loop = loop = asyncio.get_running_loop()
        self._outbox = Outbox(
            services.outbox_bounds,
            loop.time,
            frame_of_news,
            services.metrics.conflated.inc,
            self._reader_too_slow,
            self._begin_anew,
        )
        self._subscriptions = Subscriptions(services, snapshots, self, self._outbox)
        self._is_sending_later = False
        self._flows = True
        """Whether a frame may be sent at once: nothing waits, the client reads, and we go on."""
        self._session: Session | None = None
        self._rejected_in_a_row = 0
        self._is_open = False
        self._is_held = False
        self._unread: deque[str | None] = deque()
        """What one portion brought and we have not looked at: while we hold, or too many orders of
        ours are under way."""
        self._ending: asyncio.Future[Ending | None] = loop.create_future()
        quiet = asyncio.Event()
        self._faults = Faults(self._ending, quiet)
        self._verbs = Verbs(
            *(services, entry, self._faults, quiet),
            *(self._answered, self._rejected, self._send, self._read_on),
        )
        self._switches = Switches(entry, self.now_s)
        self._sent = asyncio.Event()
        """Set when the last frame has been sent."""
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve the client until it leaves, is too slow, or we close."""
        self._wire.listen(self)
        with hanging_up():
            await self._socket.accept()
        self._lifecycle.joined(self, network_of(self._client))
        self._is_open = True
        self._work()
        try:
            ending = await self._ending
            self._is_open = False
            # What was sent to us is never torn off on its way to the journal.
            await self._verbs.quiet.wait()
            if self._faults.late is not None:
                raise self._faults.late
            await self._take_leave(ending)
        finally:
            self._is_open = False
            self._switches.go_off()
            self._subscriptions.unsubscribe_all()
            self._lifecycle.left(self)
            self._ended.set()

    # Seen from outside

    def offer(self, channel: str, published: Published) -> None:
        """Send a broadcast frame; of an account's channel as long as its session lasts."""
        if self._subscriptions.has_lapsed(channel):
            with self._faults:
                self._subscriptions.lapse(channel)
        elif self._flows:
            self._wire.write(published.written(frame_of_news))
        else:
            # Whoever publishes speaks to everybody: a fault that is ours alone is not theirs.
            with self._faults:
                self._outbox.offer(channel, published)

    def close(self, code: int, close_message: Mapping[str, object]) -> None:
        """Answer what is under way, send ``close_message`` and close with ``code``."""
        if not self._ending.done():
            self._ending.set_result(Ending(code, orjson.dumps(close_message).decode()))

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes wait to be read by the client."""
        return self._outbox.waiting_bytes

    async def closed(self) -> None:
        """Return when the connection has ended."""
        await self._ended.wait()

    def _reader_too_slow(self, unsent: dict[str, News]) -> None:
        self._flows = False
        self._services.metrics.slow_disconnects.inc()
        followed = self._subscriptions
        resume = followed.resume_points(unsent)
        farewell = {"error": slow_consumer(), "resubscribe": followed.names, "resume": resume}
        self.close(TRY_LATER, farewell)

    # What its subscriptions ask of it

    def owe(self, channel: str, make: Callable[[], Published | None]) -> None:
        """Send what ``make`` returns when its turn comes."""
        self._flows = False
        self._outbox.owe(channel, make)
        self._send_later()

    def tell(self, published: Published) -> None:
        """Send at once, or behind what waits."""
        self._tell("", published)

    def _begin_anew(self, channel: str) -> None:
        self._subscriptions.begin_anew(channel)

    # What the wire says

    @property
    def is_ready(self) -> bool:
        """Whether to read on: not before what was read has been looked at."""
        return self._is_open and not self._unread

    def heard(self, text: str | None) -> None:
        """Take one message."""
        self._unread.append(text)
        self._work()

    def gone(self) -> None:
        """The client has left: answer nobody."""
        self._sent.set()
        if not self._ending.done():
            self._ending.set_result(None)

    def must_wait(self) -> None:
        """Let what comes wait in the outbox."""
        self._flows = False

    def may_send(self) -> None:
        """Send what waits, as much as the client takes; behind much others have a turn."""
        self._is_sending_later = False
        with self._faults:
            if self._outbox.drain(self._wire, LARGE_FRAME, LEAST_FRAME):
                self._send_later()
        if self._outbox.is_empty:
            self._flows = self._wire.is_writable and not self._outbox.shut
            if self._outbox.shut:
                self._sent.set()

    def _send_later(self) -> None:
        if not self._is_sending_later:
            self._is_sending_later = True
            self._loop.call_soon(self.may_send)

    def _tell(self, channel: str, published: Published) -> None:
        """Send at once, or let it wait its turn."""
        if self._flows:
            self._wire.write(published.written(frame_of_news))
        else:
            self._outbox.offer(channel, published)

    def _send(self, told: list[Published]) -> None:
        """As ``_tell``, for what one client is told alone: all of it in one write."""
        if self._flows:
            self._wire.write(b"".join(published.written(frame_of_news) for published in told))
        else:
            for published in told:
                self._outbox.offer("", published)

    # What is under way

    def _work(self) -> None:
        """Look at what was read, as far as may be."""
        with self._faults:
            while self._unread and self._is_open and not self._is_held:
                if self._verbs.under_way >= ORDERS_IN_FLIGHT_MAX:
                    return
                wait = self._take(self._unread.popleft())
                if wait:
                    self._hold(wait)
        if self.is_ready:
            self._wire.read_on()

    def _read_on(self) -> None:
        """There may be room for what was read and has to wait."""
        if self._unread:
            self._work()

    def _hold(self, seconds: int) -> None:
        """Do not read on until the budget has room: what the client sends meanwhile fills its own
        buffers. Refusing costs us as much as answering, so it must not be had without end."""
        holds = self._rejected_in_a_row - REJECTIONS_FREE
        if holds > HOLDS_MAX:
            self.close(POLICY, {"error": document_of(gone_on())})
            self._is_open = False
        elif holds > 0:
            self._is_held = True
            self._loop.call_later(min(seconds, HELD_SECONDS_MAX), self._release)

    def _release(self) -> None:
        self._is_held = False
        self._work()

    async def _take_leave(self, ending: Ending | None) -> None:
        """Send the last frames and close; a reader that does not read is not waited for."""
        if ending is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if ending.code == TRY_LATER:  # Nothing of what waits.
                    await self._socket.send_text(ending.close_message)
                else:
                    self._flows = False
                    self._outbox.end(text_frame(ending.close_message.encode()))
                    self.may_send()
                    await self._sent.wait()
                await self._socket.close(ending.code)
        except (TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            return

    # One frame

    def _take(self, text: str | None) -> int:
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
            self._obey(frame)
        except Rejection as rejection:
            self._reject(frame_id, rejection)
            if rejection.outcome == Outcome.RATE_LIMITED:
                self._rejected_in_a_row += 1
                return rejection.retry_after or 1
        self._rejected_in_a_row = 0
        return 0

    def _obey(self, frame: AnyFrame) -> None:
        self._charge(frame)
        match frame:
            case Ping():
                self._answer(frame.id, {"time_ns": str(self._services.exchange.now_ns())})
            case Subscribe():
                self._subscribe(frame)
            case Unsubscribe():
                self._subscriptions.unsubscribe(frame.channel)
                self._answer(frame.id, {"channel": frame.channel})
            case LogIn():
                self._log_in(frame)
            case Place():
                self._lifecycle.require_open()
                self._verbs.place(frame)
            case PlaceMany():
                self._lifecycle.require_open()
                self._verbs.place_many(frame)
            case Replace():
                self._lifecycle.require_open()
                self._verbs.replace(frame, self.me())
            case Cancel():
                self._verbs.cancel(frame, self.me())
            case CancelMany():
                self._verbs.cancel_many(frame, self.me())
            case CancelAll():
                self._verbs.cancel_all(frame, self.me())
            case Amend():
                self._verbs.amend(frame, self.me())
            case CancelAfter():
                self._verbs.cancel_after(frame, self.me())

    def _subscribe(self, frame: Subscribe) -> None:
        names = frame.names()
        if names[1:]:  # Each channel costs as much as if it had been asked for alone.
            self._services.limits.request(self._client, len(names) - 1)
        said = {"channel": frame.channel} if frame.channel else {"channels": names}
        answer = partial(self._answer, frame.id, said)
        self._go_on(frame.id, self._subscriptions.subscribe(frame, names, answer))

    def _go_on(self, frame_id: int | str | None, steps: Iterator[None]) -> None:
        """Follow some channels, and the rest in later turns; what is said meanwhile waits."""
        if not self._is_open:
            return
        with self._faults:
            try:
                next(steps)
            except StopIteration:
                pass
            except Rejection as rejection:
                self._reject(frame_id, rejection)
            else:
                self._is_held = True
                self._loop.call_soon(self._go_on, frame_id, steps)
                return
        if self._is_held:
            self._release()

    def _charge(self, frame: AnyFrame) -> None:
        limits, client = self._services.limits, self._client
        match frame:
            case Place():
                limits.order_request(client)
            case PlaceMany():
                limits.order_request(client, len(frame.orders))
            case Replace():
                limits.cancel_request(client)
                limits.order_request(client)
            case CancelMany():
                limits.cancel_request(client, len(frame.orders))
            case Cancel() | CancelAll() | Amend() | CancelAfter():
                limits.cancel_request(client)
            case _:
                limits.request(client)

    def _log_in(self, frame: LogIn) -> None:
        me = session_of(self._services.sessions, frame.token)
        if frame.cancel_on_disconnect:
            self._services.limits.cancel(me.account)  # What it will be, paid now.
        self._switches.set(me, frame.cancel_on_disconnect)
        self._session = me
        self._subscriptions.logged_in(me)
        self._answer(
            frame.id,
            {
                "account": hexed(me.account),
                "expires_at": me.expires_at,
                "cancel_on_disconnect": frame.cancel_on_disconnect,
            },
        )

    def _answer(self, frame_id: int | str | None, result: Mapping[str, Any] | Struct) -> None:
        self._tell("", self._answered(frame_id, result))

    def _reject(self, frame_id: int | str | None, rejection: Rejection) -> None:
        self._tell("", self._rejected(frame_id, rejection))

    def _answered(
        self, frame_id: int | str | None, result: Mapping[str, Any] | Struct
    ) -> Published:
        return message({"id": frame_id, "result": result})

    def _rejected(
        self, frame_id: int | str | None, rejection: Rejection | Mapping[str, Any]
    ) -> Published:
        """Return why something has not happened, or not all of it: then as a document."""
        if not isinstance(rejection, Rejection):
            return message({"id": frame_id, "error": rejection})
        if rejection.outcome == Outcome.RATE_LIMITED:
            self._services.metrics.rate_limited.inc()
        return message({"id": frame_id, "error": document_of(rejection)})

    def me(self) -> Session:
        """Return who has logged in; raises ``Rejection`` if nobody has."""
        if self._session is None or self._session.expires_at <= self.now_s():
            raise Rejection(Outcome.NOT_AUTHENTICATED, "send a login frame first")
        return self._session

    def now_s(self) -> int:
        """Return the time in unix seconds."""
        return self._services.now_ns() // 10**9


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
