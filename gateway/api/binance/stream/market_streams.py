"""How does a client follow markets on one connection?

By the streams that its address names, and by frames: ``SUBSCRIBE``, ``UNSUBSCRIBE``,
``LIST_SUBSCRIPTIONS``. A stream that there is not is followed without a word, as the
dialect has it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.websockets import WebSocket

from gateway.api.binance.desk import Desk
from gateway.api.binance.stream.conversation import Conversation
from gateway.api.binance.stream.news import named_frame, plain_frame
from gateway.api.binance.stream.streams import Streams
from gateway.http.body import DECODE_ERRORS
from gateway.http.websocket import Wire
from gateway.views.channels import News

STREAMS_MAX: Final = 1_024
STREAM_CHARS_MAX: Final = 64
STREAMS_A_REQUEST: Final = 16
"""How many streams in one frame, or in an address, weigh as much as a request."""

STREAMS_A_TURN: Final = 64
"""Some tenths of a millisecond."""

FrameId = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=64)] | None
UNKNOWN_PROPERTY, INVALID_TYPE, INVALID_REQUEST, INVALID_JSON = 0, 1, 2, 3


class Frame(Struct, frozen=True):
    """What a client says."""

    method: Annotated[str, Meta(max_length=32)]
    params: list[Any] = []
    id: FrameId = None


_frames = msgspec.json.Decoder(Frame)


class MarketStreams(Conversation):
    """A connection that follows markets."""

    def __init__(
        self,
        desk: Desk,
        socket: WebSocket,
        wire: Wire,
        client: str,
        streams: Streams,
        is_combined: bool,
    ) -> None:
        """``is_combined`` wraps each event with the name of its stream."""
        write: Callable[[News], bytes] = named_frame if is_combined else plain_frame
        super().__init__(desk, socket, wire, client, write)
        self._streams = streams
        self._is_combined = is_combined
        self._followed: dict[str, None] = {}
        self._is_left = False
        self._is_full = False
        """Whether there was no room for a stream since that was last said."""
        self._is_busy = False
        self._unread: deque[str] = deque()
        """What was said while streams are followed or left, some in each turn of the loop."""

    @property
    def is_ready(self) -> bool:
        """See ``Conversation``."""
        return super().is_ready and not self._is_busy

    def follow(self, names: Sequence[str]) -> None:
        """Follow the streams that the address names, as many as there is room for."""
        self._through(names, self._begin)

    def leave(self) -> None:
        """See ``Conversation``."""
        self._is_left = True
        for name in list(self._followed):
            self._end(name)

    def obey(self, text: str) -> None:
        """See ``Conversation``."""
        if self._is_busy:
            self._unread.append(text)
            return
        try:
            frame = _frames.decode(text)
        except DECODE_ERRORS as error:
            self.desk.limits.request(self.client)
            self._complain(INVALID_JSON, f"Invalid JSON: {error}", None)
            return
        self.desk.limits.request(self.client, 1 + len(frame.params) // STREAMS_A_REQUEST)
        names = [name for name in frame.params if isinstance(name, str)]
        match frame.method:
            case "SUBSCRIBE":
                self._through(names, self._begin, partial(self._subscribed, frame.id))
            case "UNSUBSCRIBE":
                self._through(names, self._end, partial(self._result, None, frame.id))
            case "LIST_SUBSCRIPTIONS":
                self._result(list(self._followed), frame.id)
            case "GET_PROPERTY":
                self._result(self._is_combined, frame.id)
            case _:
                words = f"Invalid request: unknown variant `{frame.method}`"
                self._complain(INVALID_REQUEST, words, frame.id)

    def _through(
        self,
        names: Sequence[str],
        each: Callable[[str], None],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Do ``each``: a few at once, many in turns. What is said meanwhile waits for ``then``."""
        if len(names) > STREAMS_A_TURN:
            self._is_busy = True
            self.begin(self._in_turns(names, each, then))
            return
        for name in names:
            each(name)
        then()

    async def _in_turns(
        self, names: Sequence[str], each: Callable[[str], None], then: Callable[[], None]
    ) -> None:
        for count, name in enumerate(names):
            if not count % STREAMS_A_TURN:
                await self.desk.turn()
            each(name)
        then()
        self._is_busy = False
        while self._unread and not self._is_busy:
            self.heard(self._unread.popleft())

    def _begin(self, name: str) -> None:
        if self._is_left or name in self._followed or len(name) > STREAM_CHARS_MAX:
            return
        if len(self._followed) >= STREAMS_MAX:
            self._is_full = True
            return
        self._followed[name] = None
        if self._streams.begin(name):
            self._streams.channels.subscribe(name, self)

    def _end(self, name: str) -> None:
        if name in self._followed:
            del self._followed[name]
            self._streams.channels.unsubscribe(name, self)
            self._streams.end(name)

    def _subscribed(self, frame_id: FrameId) -> None:
        if self._is_full:
            self._is_full = False
            most = f"Invalid request: at most {STREAMS_MAX} streams a connection"
            self._complain(INVALID_REQUEST, most, frame_id)
        else:
            self._result(None, frame_id)

    def _result(self, result: Any, frame_id: FrameId) -> None:
        self.say({"result": result, "id": frame_id})

    def _complain(self, code: int, words: str, frame_id: FrameId) -> None:
        self.say({"error": {"code": code, "msg": words}, "id": frame_id})
