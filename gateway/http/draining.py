"""How is the traders' API drained by an operator, and opened again while it is not closed yet?

Drained, it is not ready, says so on the channel `status` and takes no new orders; cancels,
withdrawals and reads go on, sockets stay. It lasts until somebody takes it back or the process
ends, by a signal or after the time that was given with it.
"""

import asyncio
from collections.abc import Callable

from gateway.http.lifecycle import Lifecycle


class Draining:
    """Use it from the event loop."""

    def __init__(self, lifecycle: Lifecycle, stop: Callable[[], None]) -> None:
        """``stop`` has the process end in good order; it may be called again."""
        self._lifecycle = lifecycle
        self._stop = stop
        self._timer: asyncio.Handle | None = None
        self._stops_at_seconds = 0.0

    @property
    def is_on(self) -> bool:
        """Return whether no new orders are taken."""
        return self._lifecycle.draining

    @property
    def websockets(self) -> int:
        """Return how many are open."""
        return self._lifecycle.connection_count

    @property
    def stops_in_seconds(self) -> int | None:
        """Return in how many whole seconds the process will end; None if it goes on."""
        if self._timer is None:
            return None
        return max(0, int(self._stops_at_seconds - asyncio.get_running_loop().time()))

    def begin(self, stop_after_seconds: int | None) -> None:
        """Take no new orders; the newest word on when to stop counts."""
        self._lifecycle.hold()
        self._forget_timer()
        if stop_after_seconds is not None:
            loop = asyncio.get_running_loop()
            # Kept apart, for what uvloop returns does not know it.
            self._stops_at_seconds = loop.time() + stop_after_seconds
            self._timer = loop.call_later(stop_after_seconds, self._stop)

    def end(self) -> bool:
        """Take orders again; return False if it is too late for that."""
        if not self._lifecycle.resume():
            return False
        self._forget_timer()
        return True

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
