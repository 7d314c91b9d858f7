"""Are we open, and how do we close?

Drained we are not ready and take no new orders; everything else goes on, and it can be taken back.
Order of closing: stop being ready, refuse new orders, tell each WebSocket, close it with 1012 (come
again), let the answers that are under way go out. Then the server may stop.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from engine.types import Outcome
from gateway.trading.rejection import Rejection

RESTARTING: Final = 1012


class Closable(Protocol):
    """One WebSocket connection."""

    def close(self, code: int, close_message: Mapping[str, object]) -> None:
        """Send ``close_message``, then close; do not wait."""

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes wait to be read by the client."""

    async def closed(self) -> None:
        """Return when the connection has ended."""


def _tell_nobody() -> None:
    """Tell nobody."""


class Lifecycle:
    """Open until ``drain`` is called, then never again; held from ``hold`` to ``resume``."""

    def __init__(self, changed: Callable[[], None] = _tell_nobody) -> None:
        """``changed`` is called when new work is refused from now on, or taken again; before we
        close, while every connection is open."""
        self.draining = False
        """Whether new work is refused."""
        self._closing = False
        self._changed = changed
        self._connections: dict[Closable, str] = {}
        self._networks: Counter[str] = Counter()

    def joined(self, connection: Closable, network: str = "") -> None:
        """Remember a connection and whose it is."""
        self._connections[connection] = network
        self._networks[network] += 1

    def left(self, connection: Closable) -> None:
        """Forget a connection."""
        network = self._connections.pop(connection, None)
        if network is not None:
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]

    def count_of(self, network: str) -> int:
        """Return how many WebSockets one network has open."""
        return self._networks[network]

    @property
    def is_closing(self) -> bool:
        """Return whether we end, and take no new work ever again."""
        return self._closing

    @property
    def connection_count(self) -> int:
        """Return how many WebSockets are open."""
        return len(self._connections)

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes wait to be read by all clients."""
        return sum(connection.waiting_bytes for connection in self._connections)

    def hold(self) -> None:
        """Refuse new work until it is resumed, and say so on every WebSocket."""
        if not self.draining:
            self.draining = True
            self._changed()

    def resume(self) -> bool:
        """Take new work again; return False when we are closing already."""
        if self._closing:
            return False
        if self.draining:
            self.draining = False
            self._changed()
        return True

    def require_open(self) -> None:
        """Raise ``Rejection`` when no new work may be taken."""
        if self.draining:
            raise Rejection(
                Outcome.SHUTTING_DOWN,
                "this server is closing; send the same order again in a moment",
                retry_after=2,
            )

    async def drain(self) -> None:
        """Refuse new work and close every connection, for good."""
        self.draining = self._closing = True
        self._changed()
        connections = list(self._connections)
        for connection in connections:
            connection.close(RESTARTING, {"event": "shutdown"})
        for connection in connections:
            await connection.closed()
