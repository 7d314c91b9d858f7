"""Who listens to which channel, and how does one message reach a thousand of them?

A message is serialised once, whoever many listen. ``publish`` never waits: it hands the message to
each listener's outbox and returns. Everything here runs on the event loop's thread.
"""

from collections.abc import Mapping
from typing import Protocol

import orjson


class Message:
    """One frame for the wire; turned into text the first time somebody needs it."""

    __slots__ = ("_text", "content")

    def __init__(self, content: Mapping[str, object]) -> None:
        self.content = content
        self._text: str | None = None

    def text(self) -> str:
        """Return the frame as JSON text."""
        if self._text is None:
            self._text = orjson.dumps(self.content).decode()
        return self._text


class Sendable(Protocol):
    """Anything that is one frame on the wire: a ``Message`` or a ``BookDiff``."""

    def text(self) -> str:
        """Return the frame as JSON text, made once."""


class Listener(Protocol):
    """One connection, seen from the broadcaster."""

    def offer(self, channel: str, message: Sendable) -> None:
        """Take ``message`` or give up the connection; never wait."""


class Channels:
    """Channel name -> listeners."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Listener, None]] = {}

    def heard(self, channel: str) -> bool:
        """Return whether anybody listens, so that nobody builds what nobody reads."""
        return channel in self._listeners

    def publish(self, channel: str, message: Sendable) -> None:
        """Offer ``message`` to each listener of ``channel``."""
        # A listener that gives up leaves while we walk, hence the copy.
        for listener in list(self._listeners.get(channel, ())):
            listener.offer(channel, message)

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
