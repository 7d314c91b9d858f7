"""What does one slow reader cost everybody else? Nothing.

Each connection has an outbox with bounds on frames, bytes and age. Book diffs that wait are merged
into one, so a slow reader gets fewer and wider diffs. A book's snapshot is made when its turn to be
sent comes, so that any number of them waits in no memory. Everything else is lossless: when a bound
is passed the connection is given up instead of losing a frame in silence.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.views.books import BookDiff
from gateway.views.channels import Sendable

SLOW_CONSUMER: Final = "SLOW_CONSUMER"
TRY_LATER: Final = 1013


class OutboxBounds(NamedTuple):
    """When a reader is too slow."""

    frames_max: int = 2_000
    bytes_max: int = 1 << 20
    age_max_seconds: int = 15


FRAME_COUNTS_MAX: Final = 128 * 1024
"""One frame counts no more than this: an account's own snapshot may be larger than all bounds."""


class _Owed:
    """A frame that is made when its turn comes."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Sendable]) -> None:
        self.make = make


class _Waiting:
    """One frame that waits, since when, and what it counts against the bounds."""

    __slots__ = ("channel", "message", "since", "size")

    def __init__(
        self, channel: str, message: "Sendable | _Owed | None", since: float, size: int
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
        self._diffs: dict[str, _Waiting] = {}
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

    def offer(self, channel: str, message: Sendable) -> None:
        """Queue ``message``, merge it, or report that the reader is too slow. Never waits."""
        if self.shut:
            return
        if isinstance(message, BookDiff):
            earlier = self._diffs.get(channel)
            if earlier is not None:
                assert isinstance(earlier.message, BookDiff), "only diffs are merged"
                earlier.message = earlier.message.merged(message)
                self._conflated()
            else:
                self._diffs[channel] = self._add(channel, message, 0)
        else:
            self._add(channel, message, min(len(message.text()), FRAME_COUNTS_MAX))
        self._check()

    def owe(self, channel: str, make: Callable[[], Sendable]) -> None:
        """Queue what ``make`` returns when its turn comes; it must be all that the channel has
        to say then, for a diff that waits behind it is dropped."""
        if self.shut:
            return
        self._add(channel, _Owed(make), 0)
        self._check()

    def forget(self, channel: str) -> None:
        """Drop a waiting diff: what follows starts from a new snapshot, or from nothing."""
        waiting = self._diffs.pop(channel, None)
        if waiting is not None:
            waiting.message = None

    async def next(self) -> str | None:
        """Return the next frame's text, waiting for one; None after the last."""
        while True:
            while self._waiting:
                first = self._waiting.popleft()
                self._bytes -= first.size
                if isinstance(first.message, BookDiff):
                    del self._diffs[first.channel]
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

    def _add(self, channel: str, message: Sendable | _Owed, size: int) -> _Waiting:
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
