"""What does one slow reader cost everybody else? Nothing.

What a reader cannot take at once waits in an outbox with bounds on frames, bytes and age. News that
can be merged is merged while it waits, so a slow reader gets fewer and wider diffs of a book. A
book's snapshot is made when its turn to be sent comes, so that any number of them waits in no
memory. Everything else is lossless: when a bound is passed the connection is given up instead of
losing a frame in silence.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.http.websocket import Wire
from gateway.views.channels import News, Published

SLOW_CONSUMER: Final = "SLOW_CONSUMER"
TRY_LATER: Final = 1013


class OutboxBounds(NamedTuple):
    """When a reader is too slow."""

    frames_max: int = 2_000
    bytes_max: int = 1 << 20
    age_max_seconds: int = 15


MERGED_MAX: Final = 4
"""News of one channel that may wait because one could not take in the next."""

FRAME_COUNTS_MAX: Final = 128 * 1024
"""One frame counts no more than this: an account's own snapshot may be larger than all bounds."""


class _Owed:
    """A frame that is made when its turn comes."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Published | None]) -> None:
        self.make = make


class _Waiting:
    """One frame that waits, since when, and what it counts against the bounds."""

    __slots__ = ("channel", "message", "since", "size")

    def __init__(
        self, channel: str, message: "Published | _Owed | None", since: float, size: int
    ) -> None:
        self.channel = channel
        self.message = message
        self.since = since
        self.size = size


class Outbox:
    """Frames that wait for one connection. ``now`` is a monotonic clock in seconds."""

    def __init__(
        self,
        bounds: OutboxBounds,
        now: Callable[[], float],
        write: Callable[[News], bytes],
        conflated: Callable[[], None],
        overflowed: Callable[[dict[str, News]], None],
        behind: Callable[[str], None],
    ) -> None:
        """``write`` makes a frame; ``conflated`` and ``overflowed`` hear of what happened, the
        latter with the first news of each channel that was not sent and has a number. ``behind``
        has to begin a channel anew on which too much waits that could not be merged into one."""
        self._bounds = bounds
        self._now = now
        self._write = write
        self._conflated = conflated
        self._overflowed = overflowed
        self._behind = behind
        self._waiting: deque[_Waiting] = deque()
        self._merging: dict[str, deque[_Waiting]] = {}
        """By channel: what waits there to be merged; the last one takes in what follows."""
        self._bytes = 0
        self._last: bytes | None = None
        self._paid_at = 0.0
        """When the last owed frame was taken: what waited behind it waited for it, not for us."""
        self.shut = False

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._waiting and self._last is None

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes wait, without those that are made when their turn comes."""
        return self._bytes

    def end(self, last: bytes) -> None:
        """Take nothing more; the frame ``last`` follows what already waits."""
        if not self.shut:
            self.shut = True
            self._last = last

    def offer(self, channel: str, published: Published) -> None:
        """Queue news, merge it, or report that the reader is too slow. Never waits."""
        if self.shut:
            return
        if published.news.is_mergeable:
            merging = self._merging.setdefault(channel, deque())
            earlier = merging[-1].message if merging else None
            assert earlier is None or isinstance(earlier, Published), "only news is merged"
            if earlier is None or not earlier.news.takes(published.news):
                if len(merging) >= MERGED_MAX:
                    self._behind(channel)
                    return
                merging.append(self._add(channel, published, 0))
            else:
                merging[-1].message = earlier.merged(published)
                self._conflated()
        else:
            size = len(published.written(self._write))
            self._add(channel, published, min(size, FRAME_COUNTS_MAX))
        self._check()

    def owe(self, channel: str, make: Callable[[], Published | None]) -> None:
        """Queue what ``make`` returns when its turn comes, if anything; it must be all that the
        channel has to say then, for news that waits behind it to be merged is dropped."""
        if self.shut:
            return
        self._add(channel, _Owed(make), 0)
        self._check()

    def forget(self, channel: str) -> None:
        """Drop news that waits to be merged: what follows begins anew, or is nothing."""
        for waiting in self._merging.pop(channel, ()):
            waiting.message = None

    def drain(self, wire: Wire, bytes_a_turn: int, least_frame: int) -> bool:
        """Send what waits as far as ``wire`` takes it, in one turn no more than ``bytes_a_turn``
        and a frame; none counts less than ``least_frame``. Return whether to go on in a later turn:
        others are to have theirs."""
        size = 0
        while wire.is_writable:
            frame = self.next()
            if frame is None:
                return False
            wire.write(frame)
            size += max(len(frame), least_frame)
            if size > bytes_a_turn and not self.is_empty:
                return True
        return False

    def next(self) -> bytes | None:
        """Return the next frame; None if nothing waits."""
        while self._waiting:
            first = self._waiting.popleft()
            self._bytes -= first.size
            merging = self._merging.get(first.channel)
            if merging and merging[0] is first:
                merging.popleft()
                if not merging:
                    del self._merging[first.channel]
            if isinstance(first.message, _Owed):
                self.forget(first.channel)
                self._paid_at = self._now()
                made = first.message.make()
                if made is not None:
                    return made.written(self._write)
                continue
            if first.message is not None:
                return first.message.written(self._write)
        last, self._last = self._last, None
        return last

    def _check(self) -> None:
        if self._too_slow():
            self.shut = True
            unsent: dict[str, News] = {}
            for waiting in self._waiting:
                message = waiting.message
                if isinstance(message, Published) and message.news.resume_at is not None:
                    unsent.setdefault(waiting.channel, message.news)
            self._waiting.clear()
            self._merging.clear()
            self._overflowed(unsent)

    def _add(self, channel: str, message: Published | _Owed, size: int) -> _Waiting:
        waiting = _Waiting(channel, message, self._now(), size)
        self._waiting.append(waiting)
        self._bytes += size
        return waiting

    def _too_slow(self) -> bool:
        bounds = self._bounds
        return (
            len(self._waiting) > bounds.frames_max
            or self._bytes > bounds.bytes_max
            or self._now() - max(self._waiting[0].since, self._paid_at) > bounds.age_max_seconds
        )
