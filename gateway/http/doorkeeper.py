"""How many may stand in the door, and for how long?

uvicorn bounds neither connections nor the time for a request's head and body, so its protocols are
told here: a cap a network and a cap for all, a deadline for each step of a request, and descriptors
kept back so that the journal and the databases never lack one. Whoever is refused gets a 503 with a
word while that costs little, and is cut off when it does not.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, Protocol

import orjson
from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseStartEvent,
    Scope,
)
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from engine.types import Outcome
from gateway.http.body import BODY_MAX, too_large
from gateway.http.clients import Clients
from gateway.http.portions import Portions, Turns
from gateway.http.problems import PROBLEM_MEDIA_TYPE, document_of
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection

BACKLOG: Final = 256
"""Connections that the kernel keeps until we take them; all may be taken in one turn of the loop,
so as many descriptors are kept back for them."""

DESCRIPTORS_KEPT: Final = BACKLOG + 128
DESCRIPTORS_WANTED: Final = 65_536
CONNECTIONS_LEAST: Final = 64

HEAD_END: Final = b"\r\n\r\n"
HEAD_BYTES_MAX: Final = 32 * 1024
MESSAGE_BYTES_MAX: Final = 4 * BODY_MAX
"""A body and what wraps its chunks: their sizes, extensions, trailers."""

UPGRADE_HEADERS_MAX: Final = 100
REFUSED_LINGER_MAX: Final = 64
REFUSED_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 1.0


class DoorBounds(NamedTuple):
    """Caps, and seconds that one step may take. ``connections_max`` 0: what descriptors allow."""

    connections_max: int = 0
    per_network_max: int = 256
    head_seconds: float = 10
    body_seconds: float = 30
    answer_seconds: float = 60
    """Until the answer is made and read: a reader that does not read is not waited for."""

    idle_seconds: float = 30
    refused_seconds: float = 1
    """How long a connection keeps its place behind a 429, at least."""

    refused_apart_seconds: float = 0.02
    """Those of one network go one after the other: all at once they would all be back at once."""

    linger_seconds: float = 10
    """How long a closed connection may take to read what it was sent last."""


BOUNDS: Final = DoorBounds()
NO_PROXIES: Final = Clients()


def _silently() -> None:
    """Tell nobody."""


def raise_descriptors() -> int:
    """Let this process have as many descriptors as it is allowed to; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_allowed() -> int:
    """Return how many clients leave enough descriptors for ourselves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return DESCRIPTORS_WANTED
    return max(CONNECTIONS_LEAST, soft - DESCRIPTORS_KEPT)


class Guarded(Protocol):
    """What speaks on a connection: HTTP, or a WebSocket."""

    transport: asyncio.Transport

    def too_late(self) -> None:
        """End the connection: its present step took too long."""


class Guest:
    """One connection: who, until when its present step has to end, since when it is closing."""

    __slots__ = ("closing_since", "due", "network", "protocol", "transport")

    def __init__(
        self,
        protocol: "Guarded",
        transport: asyncio.Transport,
        network: str,
        due: float,
    ) -> None:
        self.protocol = protocol
        self.transport = transport
        self.network = network
        self.due: float | None = due
        self.closing_since: float | None = None


class Doorkeeper:
    """All connections of one server."""

    def __init__(
        self,
        bounds: DoorBounds = BOUNDS,
        clients: Clients = NO_PROXIES,
        turned_away: Callable[[], None] = _silently,
    ) -> None:
        """``turned_away`` hears of each connection that there was no room for."""
        self.bounds = bounds
        self.turned_away = turned_away
        self._clients = clients
        self._connections_max = bounds.connections_max or connections_allowed()
        self._guests: dict[asyncio.BaseTransport, Guest] = {}
        self._networks: Counter[str] = Counter()
        self.refused_now = 0
        self._turns = Turns()
        self._goes_at: dict[str, float] = {}
        """When the last refused connection of a network gives up its place."""
        self._sweeping: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look for those who take too long."""
        loop = asyncio.get_running_loop()
        self.sweep(loop.time())
        self._sweeping = loop.call_later(SWEEP_SECONDS, self.start)

    def stop(self) -> None:
        """Look no more, and let go of whoever is still here."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for guest in list(self._guests.values()):
            guest.transport.abort()

    @property
    def count(self) -> int:
        """Return how many connections there are."""
        return len(self._guests)

    def admit(
        self, protocol: "GuardedHttp", transport: asyncio.Transport, host: str, now: float
    ) -> Guest | None:
        """Return the new guest; None if there is no room for it."""
        # Behind a proxy a connection is nobody's; requests and streams are counted by client.
        network = "" if self._clients.is_proxy(host) else network_of(host)
        if len(self._guests) >= self._connections_max:
            return None
        if network and self._networks[network] >= self.bounds.per_network_max:
            return None
        guest = Guest(protocol, transport, network, now + self.bounds.head_seconds)
        self._guests[transport] = guest
        self._networks[network] += 1
        return guest

    def turns_of(self, transport: asyncio.BaseTransport) -> tuple[Turns, Hashable]:
        """Return in whose turns a connection is read: its network's, its own behind a proxy."""
        guest = self._guests.get(transport)
        return self._turns, (guest and guest.network) or transport

    def refused(self, guest: Guest, now: float) -> None:
        """Let a connection that was told 429 keep its place for a while, and then go."""
        earlier = self._goes_at.get(guest.network, 0)
        at = max(now + self.bounds.refused_seconds, earlier + self.bounds.refused_apart_seconds)
        self._goes_at[guest.network] = at
        guest.due = None
        asyncio.get_running_loop().call_later(at - now, guest.transport.close)

    def upgrades(self, protocol: "Guarded", now: float) -> None:
        """Let a connection be a WebSocket's; the handshake has its time too."""
        guest = self._guests.get(protocol.transport)
        if guest is not None:
            guest.protocol = protocol
            guest.due = now + self.bounds.answer_seconds

    def stays(self, transport: asyncio.BaseTransport) -> None:
        """Wait for nothing more: the WebSocket is open, and has its own pings."""
        guest = self._guests.get(transport)
        if guest is not None:
            guest.due = None

    def left(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection; twice is once."""
        guest = self._guests.pop(transport, None)
        if guest is not None:
            self._networks[guest.network] -= 1
            if not self._networks[guest.network]:
                del self._networks[guest.network]

    def sweep(self, now: float) -> None:
        """End what takes too long."""
        self._goes_at = {network: at for network, at in self._goes_at.items() if at > now}
        for guest in list(self._guests.values()):
            if guest.transport.is_closing():
                if guest.closing_since is None:
                    guest.closing_since = now
                elif now - guest.closing_since > self.bounds.linger_seconds:
                    guest.transport.abort()
            elif guest.due is not None and now > guest.due:
                guest.due = None
                guest.protocol.too_late()


class _Flow(FlowControl):
    """uvicorn's, but nothing more is asked of the kernel while something waits to be read."""

    def __init__(self, transport: asyncio.Transport, portions: Portions) -> None:
        super().__init__(transport)
        self._portions = portions

    def resume_reading(self) -> None:
        """Resume, unless something waits."""
        if not self._portions.waiting and not self._transport.is_closing():
            super().resume_reading()


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's HTTP connection with a doorkeeper."""

    def __init__(self, door: Doorkeeper, **given: Any) -> None:
        super().__init__(**given)
        self._door = door
        self._guest: Guest | None = None
        self._head_bytes = self._message_bytes = 0
        self._in_head = True
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or say why not and end it."""
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._guest = self._door.admit(self, transport, host, self.loop.time())
        if self._guest is None:
            self.transport = transport
            self._turn_away()
        else:
            super().connection_made(transport)
            turns = self._door.turns_of(transport)
            self._portions = Portions(
                transport, turns, self._take, self._is_ready, self._read_on, ends=HEAD_END
            )
            self.flow = _Flow(transport, self._portions)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        if self._guest is None:
            self._door.refused_now -= 1
            return
        self._door.left(self.transport)
        self._portions.drop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read it in turns."""
        if self._guest is not None and not self.transport.is_closing():
            self._portions.arrived(data)

    def _is_ready(self) -> bool:
        """Return whether to read on: not another request while one is being answered."""
        if self._is_refused:
            return False
        return not self._in_head or self.cycle is None or self.cycle.response_complete

    def _read_on(self, wanted: bool) -> None:
        if wanted:
            self.flow.resume_reading()
        else:
            self.flow.pause_reading()

    def _take(self, data: bytes) -> None:
        """Hold the head's size and time, and the size of all that follows it."""
        if self._in_head:
            if not self._head_bytes and (self.cycle is None or self.cycle.response_complete):
                self._wait(self._door.bounds.head_seconds)
            self._head_bytes += len(data)
        else:
            self._message_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            sentence = Rejection(Outcome.MALFORMED, "the head is too large")
            self._say(431, "Request Header Fields Too Large", sentence)
        elif not self._in_head and self._message_bytes > MESSAGE_BYTES_MAX:
            self._say(413, "Content Too Large", too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a head's; what comes after the body is for nobody."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: now the body has its time."""
        self._in_head, self._head_bytes, self._message_bytes = False, 0, 0
        self._wait(self._door.bounds.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there: now we have ours, and the reader."""
        self._in_head = True
        self._wait(self._door.bounds.answer_seconds)
        super().on_message_complete()

    def _reject(self, message: HTTPResponseStartEvent) -> None:
        """Read no more from whom this answer tells that its budget is empty."""
        message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        # Where connections are counted by network it keeps its place for a while, unread: closed
        # at once it would be back at once, and a new connection costs more than a rejection.
        self._is_refused = self._guest is not None and bool(self._guest.network)

    def on_response_complete(self) -> None:
        """Wait for another request, not long."""
        if self._is_refused and self._guest is not None:
            self.pipeline.clear()
            self._portions.drop()
            super().on_response_complete()
            self.flow.pause_reading()
            self._door.refused(self._guest, self.loop.time())
            return
        if self._in_head:
            self._wait(self._door.bounds.idle_seconds)
        super().on_response_complete()
        self._portions.go_on()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start it so that it writes to nobody who has gone: uvicorn tells only the last request
        of a connection, and that a turn late; writing raises till then."""

        async def heard(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            async def say(message: ASGISendEvent) -> None:
                await self.flow.drain()
                if self.transport.is_closing():
                    cycle.disconnected = True
                if message["type"] == "http.response.start" and message["status"] == 429:
                    self._reject(message)
                await send(message)
                if self._is_refused:
                    cycle.keep_alive = True

            await app(scope, receive, say)

        super()._start_asgi_task(cycle, heard)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the other protocol."""
        # Both make it raise on the event loop instead of answering.
        if not self.url.isascii() or len(self.headers) > UPGRADE_HEADERS_MAX:
            self.send_400_response("Invalid HTTP request received.")
            return
        self._portions.drop()
        self.flow.resume_reading()
        super().handle_websocket_upgrade()

    def too_late(self) -> None:
        """End the connection; with a word if nothing has been said yet."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or not self.cycle.more_body:
                self.transport.abort()
                return
        elif not self._head_bytes:
            self.transport.close()
            return
        sentence = Rejection(Outcome.MALFORMED, "the request took too long to arrive")
        self._say(408, "Request Timeout", sentence)

    def _wait(self, seconds: float) -> None:
        if self._guest is not None:
            self._guest.due = self.loop.time() + seconds

    def _turn_away(self) -> None:
        self._door.turned_away()
        self._door.refused_now += 1
        if self._door.refused_now > REFUSED_LINGER_MAX:
            self.transport.abort()
            return
        rejection = Rejection(Outcome.OVERLOADED, "too many connections; close some or come later")
        sentence = closing_answer(503, "Service Unavailable", rejection, "retry-after: 5\r\n")
        self.transport.write(sentence)
        # Closed at once, what the client has sent would make the kernel throw the answer away.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def _say(self, status: int, reason: str, rejection: Rejection) -> None:
        """End the connection with a word, unless that would stand behind or in an answer."""
        if not self._in_head and self.cycle is not None and self.cycle.response_started:
            self.transport.abort()
            return
        self.transport.write(closing_answer(status, reason, rejection))
        self.transport.close()


def closing_answer(status: int, reason: str, rejection: Rejection, more: str = "") -> bytes:
    """Return the answer that a connection ends with; ``more`` are head lines."""
    body = orjson.dumps({**document_of(rejection), "status": status})
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\n{more}"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
