"""How does a client follow markets on one connection?

By the streams that its address names, and by frames: ``SUBSCRIBE``, ``UNSUBSCRIBE``,
``LIST_SUBSCRIPTIONS``. A stream that there is not is followed without a word, as the
dialect has it.
"""

from collections.abc import Callable, Iterable
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
"""How many streams in one frame weigh as much as a request."""

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

    def follow(self, names: Iterable[str]) -> bool:
        """Follow streams; return whether there was room for them."""
        for name in names:
            if len(self._followed) >= STREAMS_MAX:
                return False
            if name in self._followed or len(name) > STREAM_CHARS_MAX:
                continue
            self._followed[name] = None
            if self._streams.begin(name):
                self._streams.channels.subscribe(name, self)
        return True

    def leave(self) -> None:
        """See ``Conversation``."""
        self._unfollow(list(self._followed))

    def obey(self, text: str) -> None:
        """See ``Conversation``."""
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
                if not self.follow(names):
                    most = f"Invalid request: at most {STREAMS_MAX} streams a connection"
                    self._complain(INVALID_REQUEST, most, frame.id)
                    return
                self._result(None, frame.id)
            case "UNSUBSCRIBE":
                self._unfollow(names)
                self._result(None, frame.id)
            case "LIST_SUBSCRIPTIONS":
                self._result(list(self._followed), frame.id)
            case "GET_PROPERTY":
                self._result(self._is_combined, frame.id)
            case _:
                words = f"Invalid request: unknown variant `{frame.method}`"
                self._complain(INVALID_REQUEST, words, frame.id)

    def _unfollow(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._followed:
                del self._followed[name]
                self._streams.channels.unsubscribe(name, self)
                self._streams.end(name)

    def _result(self, result: Any, frame_id: FrameId) -> None:
        self.say({"result": result, "id": frame_id})

    def _complain(self, code: int, words: str, frame_id: FrameId) -> None:
        self.say({"error": {"code": code, "msg": words}, "id": frame_id})
