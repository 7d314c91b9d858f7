"""Who listens to which channel, and how does one piece of news reach a thousand of them?

What is published is a value. Each dialect writes it once, whoever many listen. ``publish`` never
waits: it hands the value to each listener's send queue and returns. Everything here runs on the
event loop's thread.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol, Self

import msgspec


class News(msgspec.Struct, frozen=True):
    """Something that happened, as a value: it never changes, so it may be written later."""

    is_mergeable: ClassVar[bool] = False
    """Whether a slow reader may get one for many."""

    @property
    def resume_at(self) -> int | None:
        """Return the number in its channel of what came before it; None if it has none."""
        return None

    def takes(self, _newer: Self) -> bool:
        """Return whether this and then ``newer`` can be said in one."""
        return self.is_mergeable

    def merged(self, newer: Self) -> Self:
        """Return one piece of news that says what this and then ``newer`` say."""
        raise NotImplementedError(f"each {type(self).__name__} must be told")


class Published:
    """One piece of news on its way to all who listen, and how each dialect has written it."""

    __slots__ = ("_written", "news")

    def __init__(self, news: News) -> None:
        self.news = news
        self._written: dict[Callable[[News], bytes], bytes] = {}

    def written(self, write: Callable[[News], bytes]) -> bytes:
        """Return the news as ``write`` writes it, which is called once."""
        written = self._written.get(write)
        if written is None:
            written = self._written[write] = write(self.news)
        return written

    def merged(self, newer: "Published") -> "Published":
        """Return what says the news of both."""
        return Published(self.news.merged(newer.news))


class Listener(Protocol):
    """One connection, seen from the broadcaster."""

    def offer(self, channel: str, published: Published) -> None:
        """Take ``published`` or give up the connection; never wait."""


class Channels:
    """Channel name -> listeners."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Listener, None]] = {}

    def has_subscribers(self, channel: str) -> bool:
        """Return whether anybody listens, so that nobody builds what nobody reads."""
        return channel in self._listeners

    def publish(self, channel: str, news: News) -> None:
        """Offer ``news`` to each listener of ``channel``."""
        published = Published(news)
        # A listener that gives up leaves while we walk, hence the copy.
        for listener in list(self._listeners.get(channel, ())):
            listener.offer(channel, published)

    def subscribe(self, channel: str, listener: Listener) -> None:
        """Add ``listener``; twice is once."""
        self._listeners.setdefault(channel, {})[listener] = None

    def unsubscribe(self, channel: str, listener: Listener) -> None:
        """Remove ``listener``; an empty channel leaves nothing behind."""
        listeners = self._listeners.get(channel)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._listeners[channel]

    @property
    def subscription_count(self) -> int:
        """Return how many subscriptions there are over all channels."""
        return sum(map(len, self._listeners.values()))
