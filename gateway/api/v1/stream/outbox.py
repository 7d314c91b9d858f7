"""What does one slow reader cost everybody else? Nothing.

Each connection has an outbox with bounds on frames, bytes and age. News that can be merged is
merged while it waits, so a slow reader gets fewer and wider diffs of a book. A book's snapshot is
made when its turn to be sent comes, so that any number of them waits in no memory. Everything else
is lossless: when a bound is passed the connection is given up instead of losing a frame in silence.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import orjson

from gateway.api.v1.rows import news_text
from gateway.views.channels import Published

SLOW_CONSUMER: Final = "SLOW_CONSUMER"
TRY_LATER: Final = 1013


class OutboxBounds(NamedTuple):
    """When a reader is too slow."""

    frames_max: int = 2_000
    bytes_max: int = 1 << 20
    age_max_seconds: int = 15


FRAME_COUNTS_MAX: Final = 128 * 1024
"""One frame counts no more than this: an account's own snapshot may be larger than all bounds."""


class Message:
    """One frame that is only for this connection."""

    __slots__ = ("_text",)

    def __init__(self, content: Mapping[str, object]) -> None:
        self._text = orjson.dumps(content).decode()

    def text(self) -> str:
        """Return the frame as JSON text."""
        return self._text


class Broadcast:
    """News that all who listen get, written once for all of them."""

    __slots__ = ("_published",)

    def __init__(self, published: Published) -> None:
        self._published = published

    def merged(self, newer: Published) -> "Broadcast":
        """Return one frame that says what this and then ``newer`` say."""
        return Broadcast(Published(self._published.news.merged(newer.news)))

    def text(self) -> str:
        """Return the frame as JSON text."""
        return self._published.text(news_text)


class _Owed:
    """A frame that is made when its turn comes."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Message]) -> None:
        self.make = make


class _Waiting:
    """One frame that waits, since when, and what it counts against the bounds."""

    __slots__ = ("channel", "message", "since", "size")

    def __init__(
        self, channel: str, message: "Message | Broadcast | _Owed | None", since: float, size: int
    ) -> None:
        self.channel = channel
        self.message = message
        self.since = since
        self.size = size


class Outbox:
    """Frames on their way to one connection. ``now`` is a monotonic clock in seconds."""

    def __init__(
        self,
        bounds: OutboxBounds,
        now: Callable[[], float],
        conflated: Callable[[], None],
        overflowed: Callable[[], None],
    ) -> None:
        self._bounds = bounds
        self._now = now
        self._conflated = conflated
        self._overflowed = overflowed
        self._waiting: deque[_Waiting] = deque()
        self._merging: dict[str, _Waiting] = {}
        """By channel: what waits there and takes in what follows."""
        self._bytes = 0
        self._wake = asyncio.Event()
        self._last: str | None = None
        self._paid_at = 0.0
        """When the last owed frame was taken: what waited behind it waited for it, not for us."""
        self.shut = False

    def end(self, last: str) -> None:
        """Take nothing more; ``last`` follows what already waits."""
        if not self.shut:
            self.shut = True
            self._last = last
            self._wake.set()

    def offer(self, channel: str, published: Published) -> None:
        """Queue news, merge it, or report that the reader is too slow. Never waits."""
        if self.shut:
            return
        if published.news.is_mergeable:
            earlier = self._merging.get(channel)
            if earlier is None:
                self._merging[channel] = self._add(channel, Broadcast(published), 0)
            else:
                assert isinstance(earlier.message, Broadcast), "only news is merged"
                earlier.message = earlier.message.merged(published)
                self._conflated()
        else:
            self._count(channel, Broadcast(published))
        self._check()

    def queue(self, message: Message) -> None:
        """Queue what only this connection is told; as ``offer``."""
        if self.shut:
            return
        self._count("", message)
        self._check()

    def owe(self, channel: str, make: Callable[[], Message]) -> None:
        """Queue what ``make`` returns when its turn comes; it must be all that the channel has
        to say then, for news that waits behind it to be merged is dropped."""
        if self.shut:
            return
        self._add(channel, _Owed(make), 0)
        self._check()

    def forget(self, channel: str) -> None:
        """Drop news that waits to be merged: what follows begins anew, or is nothing."""
        waiting = self._merging.pop(channel, None)
        if waiting is not None:
            waiting.message = None

    async def next(self) -> str | None:
        """Return the next frame's text, waiting for one; None after the last."""
        while True:
            while self._waiting:
                first = self._waiting.popleft()
                self._bytes -= first.size
                if self._merging.get(first.channel) is first:
                    del self._merging[first.channel]
                if isinstance(first.message, _Owed):
                    self.forget(first.channel)
                    self._paid_at = self._now()
                    return first.message.make().text()
                if first.message is not None:
                    return first.message.text()
            if self.shut:
                last, self._last = self._last, None
                return last
            self._wake.clear()
            await self._wake.wait()

    def _check(self) -> None:
        if self._too_slow():
            self.shut = True
            self._overflowed()

    def _count(self, channel: str, message: Message | Broadcast) -> None:
        self._add(channel, message, min(len(message.text()), FRAME_COUNTS_MAX))

    def _add(self, channel: str, message: Message | Broadcast | _Owed, size: int) -> _Waiting:
        waiting = _Waiting(channel, message, self._now(), size)
        self._waiting.append(waiting)
        self._bytes += size
        self._wake.set()
        return waiting

    def _too_slow(self) -> bool:
        bounds = self._bounds
        return (
            len(self._waiting) > bounds.frames_max
            or self._bytes > bounds.bytes_max
            or self._now() - max(self._waiting[0].since, self._paid_at) > bounds.age_max_seconds
        )
