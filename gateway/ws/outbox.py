"""What does one slow reader cost everybody else? Nothing.

Each connection has an outbox with bounds on frames, bytes and age. Book diffs that wait are merged
into one, so a slow reader gets fewer and wider diffs. Everything else is lossless: when a bound is
passed the connection is given up instead of losing a frame in silence.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.book import BookDiff
from gateway.channels import Sendable

SLOW_CONSUMER: Final = "SLOW_CONSUMER"
TRY_LATER: Final = 1013


class OutboxBounds(NamedTuple):
    """When a reader is too slow."""

    frames_max: int = 2_000
    bytes_max: int = 1 << 20
    age_max_seconds: int = 15


class _Waiting:
    """One frame that waits, since when, and what it counts against the bounds."""

    __slots__ = ("channel", "message", "since", "size")

    def __init__(self, channel: str, message: Sendable | None, since: float, size: int) -> None:
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
            self._add(channel, message, len(message.text()))
        if self._too_slow():
            self.shut = True
            self._overflowed()

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
                if first.message is not None:
                    return first.message.text()
            if self.shut:
                last, self._last = self._last, None
                return last
            self._wake.clear()
            await self._wake.wait()

    def _add(self, channel: str, message: Sendable, size: int) -> _Waiting:
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
            or self._now() - self._waiting[0].since > bounds.age_max_seconds
        )
