"""How does a WebSocket meet the network?

uvicorn's, with the doorkeeper, and without the detour by messages, queues and tasks once it is
open: who takes part (``Hearer``) is told each message where it is read, in its network's turn, and
sends frames that were written once for all who hear them. The handshake, its refusal and the close
go the usual way.
"""

import asyncio
from typing import Any, Final, Protocol, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from engine.types import Outcome
from gateway.http.client_frames import Head, head_at, text_of
from gateway.http.doorkeeper import Doorkeeper, closing_answer
from gateway.http.portions import Portions
from gateway.trading.rejection import Rejection

WIRE: Final = "tillbook.wire"
"""Where in a scope's extensions the connection itself stands."""

PONG_BYTES_MAX: Final = 1 << 20
"""Where so much waits for a reader, its pings are not answered any more."""

SMALL_FRAMES_MAX: Final = 200
"""Pings, pongs and fragments that one connection may send within a second: no message comes of
them, so nothing else charges for them."""

FRAGMENTS_MAX: Final = 1_000
"""Of one message: its size says nothing about empty ones."""

LENGTH_MAX: Final = 125
"""Of a frame whose head is two bytes."""

# To read a member of an enum costs Python 3.11 more than the question it is for.
OPEN: Final = State.OPEN

END_OF_HANDSHAKE: Final = b"\r\n\r\n"

INVALID_TEXT: Final = 1007
POLICY: Final = 1008


def text_frame(text: bytes) -> bytes:
    """Return the WebSocket frame of one text message in UTF-8, as a server sends it."""
    # RFC 6455, 5.2, for the one kind of frame that is sent all the time: whole, unmasked text.
    size = len(text)
    if size <= LENGTH_MAX:
        return b"\x81%c%b" % (size, text)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


class Hearer(Protocol):
    """Who takes part in a conversation. All of it is called on the loop, and returns at once."""

    @property
    def is_ready(self) -> bool:
        """Whether to read on; who becomes ready says so by ``Wire.read_on``."""

    def heard(self, text: str | None) -> None:
        """Take one message: its text, None for a binary one."""

    def must_wait(self) -> None:
        """Too much waits for the other side: ``Wire.is_writable`` no more."""

    def may_send(self) -> None:
        """The other side has read on: ``Wire.is_writable`` again."""

    def gone(self) -> None:
        """The other side has closed, or is not there any more. Told at least once."""


class Wire(Protocol):
    """A WebSocket between its handshake and its close."""

    @property
    def is_writable(self) -> bool:
        """Whether the other side reads what it is sent; False while too much waits for it."""

    def listen(self, hearer: Hearer) -> None:
        """Tell ``hearer`` from now on; before the handshake is answered."""

    def write(self, frame: bytes) -> None:
        """Send a whole frame (``text_frame``) without waiting; to nobody after the end."""

    def read_on(self) -> None:
        """Read what waits: the hearer is ready."""


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with the doorkeeper; the ``Wire`` of whoever listens."""

    def __init__(self, door: Doorkeeper, **given: Any) -> None:
        super().__init__(**given)
        self._door = door
        self._small_frames = 0
        self._counted_from = 0.0
        self._hearer: Hearer | None = None
        self._walks = False
        """Whether we know where each frame begins, and hand them to the library one by one."""
        self._begun = bytearray()
        """The beginning of a frame whose rest has not come."""
        self._needed = 0
        """How long it has to be before it is looked at again: else every byte of a long one that
        comes alone would copy all that came before."""
        self._owed = 0
        """So many bytes that come next are of a frame which the library is reading."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from HTTP."""
        super().connection_made(transport)
        turns = self._door.turns_of(transport)
        self._portions = Portions(self.transport, turns, self._read, self._is_ready, self._read_on)
        self._door.upgrades(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._door.left(self.transport)
        self._portions.drop()
        super().connection_lost(exc)
        self._hang_up()

    def data_received(self, data: bytes) -> None:
        """Read it in turns; the handshake at once, it was held to its size before."""
        if not self.handshake_initiated:
            super().data_received(data)
            if not self.handshake_initiated:
                # All of the head was there, so nothing will come of it: a body, a line too long.
                sentence = Rejection(Outcome.MALFORMED, "this cannot become a WebSocket")
                self.transport.write(closing_answer(400, "Bad Request", sentence))
                self.transport.close()
            # What came behind the handshake at once stays with the library, and so does the rest.
            self._walks = data.find(END_OF_HANDSHAKE) == len(data) - len(END_OF_HANDSHAKE)
        elif not self.transport.is_closing():
            self._portions.arrived(data)

    # The wire

    @property
    def is_writable(self) -> bool:
        """See ``Wire``."""
        return self.writable.is_set()

    def listen(self, hearer: Hearer) -> None:
        """See ``Wire``."""
        self._hearer = hearer
        if self.disconnected:
            hearer.gone()

    def write(self, frame: bytes) -> None:
        """See ``Wire``."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frame)

    def read_on(self) -> None:
        """See ``Wire``."""
        if not self.transport.is_closing():
            self._portions.go_on()

    def pause_writing(self) -> None:
        """Let no more be sent."""
        super().pause_writing()
        if self._hearer is not None:
            self._hearer.must_wait()

    def resume_writing(self) -> None:
        """Let more be sent."""
        super().resume_writing()
        if self._hearer is not None:
            self._hearer.may_send()

    def _hang_up(self) -> None:
        if self._hearer is not None:
            self._hearer.gone()

    # Frame by frame

    def _read(self, data: bytes) -> None:
        """Read what came: whole text here, in a fifth of the time, and all else by the library."""
        if not self._walks:
            super().data_received(data)
            return
        if self._begun:
            self._begun += data
            if len(self._begun) < self._needed:
                return
            data = bytes(self._begun)
            self._begun.clear()
        held, at, self._needed = data, 0, 0
        while at < len(held) and not self.transport.is_closing():
            head = None if self._owed else head_at(held, at)
            if head is not None and head.is_whole_text and self._takes(head.end - head.begin):
                if head.end > len(held):
                    self._needed = head.end - at
                    break
                self._hear(held, head)
                at = head.end
                continue
            if not self._owed:
                if head is None:
                    break
                self._owed = head.end - at
            portion = held[at : at + self._owed]
            self._owed -= len(portion)
            at += len(portion)
            super().data_received(portion)
        if at < len(held):
            self._begun += held[at:]

    def _takes(self, size: int) -> bool:
        """Return whether whole text of ``size`` may come now, and there is somebody to hear it."""
        conn = self.conn
        return (
            conn.state is OPEN
            and conn.current_size is None
            and size <= self.config.ws_max_size
            and self._hearer is not None
        )

    def _hear(self, held: bytes, head: Head) -> None:
        """Tell the hearer a whole text."""
        try:
            text = text_of(held, head)
        except UnicodeDecodeError:
            self._give_up(INVALID_TEXT)
            return
        if self._hearer is not None and not self.close_sent:
            self._hearer.heard(text)

    # What uvicorn does, and we a little otherwise

    def handle_connect(self, event: Request) -> None:
        """Let the application find us."""
        super().handle_connect(event)
        if not self.close_sent:
            found: dict[str, Any] = cast(Any, self.scope["extensions"])
            found[WIRE] = self

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; then there is room for another."""
        message = await super().receive()
        if self._portions.waiting and not self.transport.is_closing():
            self._read_on(False)
            self._portions.go_on()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Send; after a close only the other side's is looked for."""
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._door.stays(self.transport)
        if message["type"] == "websocket.close":
            self._portions.go_on()

    def shutdown(self) -> None:
        """Say that we close, where something can be said: with a handshake that was refused, or a
        close that waits for its reader, the library would raise, and nobody else be told."""
        if self.handshake_initiated and not self.transport.is_closing():
            super().shutdown()
        else:
            self.stop_keepalive()
            self.transport.close()
        self._hang_up()

    def too_late(self) -> None:
        """End the connection: its handshake was not answered, or nobody reads the answer."""
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Tell the hearer. Text that is none is refused; uvicorn would log a fault for what is the
        client's."""
        text = None
        if self.curr_msg_data_type == "text":
            try:
                text = b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._give_up(INVALID_TEXT)
                return
        if self._hearer is None:
            super().send_receive_event_to_app()
            return
        self.frames = []
        if not self.close_sent:
            self._hearer.heard(text)

    def handle_ping(self) -> None:
        """Answer, but not a reader that sends pings and does not read the pongs."""
        pong = self.conn.data_to_send()
        if self._charge() and self.transport.get_write_buffer_size() < PONG_BYTES_MAX:
            self.transport.write(b"".join(pong))

    def handle_pong(self, event: Frame) -> None:
        """Count it."""
        if self._charge():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Count it."""
        if not self._charge():
            return
        if len(self.frames) >= FRAGMENTS_MAX:
            self._give_up(POLICY)
        else:
            super().handle_cont(event)

    def handle_close(self, event: Frame) -> None:
        """Tell the hearer, too."""
        super().handle_close(event)
        self._hang_up()

    def handle_parser_exception(self) -> None:
        """Tell the hearer, too."""
        super().handle_parser_exception()
        self._hang_up()

    def keepalive_timeout(self) -> None:
        """Tell the hearer, too."""
        super().keepalive_timeout()
        self._hang_up()

    def _is_ready(self) -> bool:
        """Return whether to read on: not while messages wait for whoever takes part."""
        if self.close_sent:
            return True
        return self._hearer.is_ready if self._hearer is not None else not self.read_paused

    def _read_on(self, wanted: bool) -> None:
        if not wanted:
            self.transport.pause_reading()
        elif not self.read_paused:
            self.transport.resume_reading()

    def _charge(self) -> bool:
        """Count a frame of which no message comes; return whether to look at it."""
        if self.transport.is_closing():
            return False
        now = self.loop.time()
        if now - self._counted_from >= 1:
            self._counted_from, self._small_frames = now, 0
        self._small_frames += 1
        if self._small_frames > SMALL_FRAMES_MAX:
            self._give_up(POLICY)
            return False
        return True

    def _give_up(self, code: int) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.send_close(code)
            self.handle_parser_exception()
