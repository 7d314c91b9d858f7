"""How much of what one client sends is read before everybody else has a turn?

The kernel hands over up to 256 KiB at once: ten thousand pipelined requests, or forty thousand
frames of six bytes, and each of them is some microseconds of work in uvicorn, which reads them all
before it lets anybody else run. So what arrived is read in portions, and no further while what was
read is not yet dealt with. What waits is never more than the kernel handed over once, for nothing
is taken from it meanwhile.

Networks take turns, a few portions each, however many connections one has: 255 of them would have
255 turns for the one of anybody else. They do so until a millisecond is over; then all else that
the loop has to do comes first.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Final

PORTION_BYTES: Final = 1024
"""Thirty frames with something in them or 170 empty ones at most: a millisecond or two."""

PORTIONS_A_TURN: Final = 2
"""Of one network."""

READING_SECONDS: Final = 0.001
"""How long is read, turn by turn, before all else comes first."""


class Turns:
    """Who may read now. ``now`` is a clock in seconds that goes on within a turn of the loop."""

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        self._now = now
        self._taken: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[Portions]] = {}
        self._turn: asyncio.Handle | None = None

    def is_free(self, network: Hashable) -> bool:
        """Return whether one of ``network`` may read at once, and count it as read."""
        if network in self._waiting or self._taken[network] >= PORTIONS_A_TURN:
            return False
        self._taken[network] += 1
        self._arrange()
        return True

    def wait(self, network: Hashable, portions: "Portions") -> None:
        """Let ``portions`` read once, when it is their turn."""
        self._waiting.setdefault(network, deque()).append(portions)
        self._arrange()

    def _arrange(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._turn = None
        began = self._now()
        try:
            while self._waiting:
                network, queue = next(iter(self._waiting.items()))
                for _ in range(min(PORTIONS_A_TURN, len(queue))):
                    queue.popleft().take()
                # Behind all others, who come first when this is gone on with.
                del self._waiting[network]
                if queue:
                    self._waiting[network] = queue
                if self._now() - began > READING_SECONDS:
                    break
        finally:
            self._taken.clear()
            if self._waiting:
                self._arrange()


class Portions:
    """What one connection has sent and nobody has read yet."""

    def __init__(
        self,
        transport: asyncio.Transport,
        turns: tuple[Turns, Hashable],
        take: Callable[[bytes], None],
        is_ready: Callable[[], bool],
        read_on: Callable[[bool], None],
        ends: bytes = b"",
    ) -> None:
        """``turns`` are the house's, and whose ours are. ``take`` reads a portion if ``is_ready``;
        ``read_on`` tells whether to ask the kernel. A portion has ``ends`` once at most."""
        self._transport = transport
        self._turns, self._network = turns
        self._take = take
        self._is_ready = is_ready
        self._read_on = read_on
        self._ends = ends
        self._held = bytearray()
        self._is_queued = False

    @property
    def waiting(self) -> bool:
        """Return whether something has not been read yet."""
        return bool(self._held)

    def arrived(self, data: bytes) -> None:
        """Read ``data``: now if it is little and nobody of the network waits, else in turns."""
        if (
            not self._held
            and self._size(data) == len(data)
            and self._is_ready()
            and self._turns.is_free(self._network)
        ):
            self._take(data)
            return
        self._held += data
        self._read_on(False)
        self.go_on()

    def go_on(self) -> None:
        """Read the next portion when it is our turn; whoever becomes ready says so again."""
        if self._held and not self._is_queued and self._is_ready():
            self._is_queued = True
            self._turns.wait(self._network, self)

    def drop(self) -> None:
        """Forget what waits."""
        self._held.clear()

    def take(self) -> None:
        """Read a portion; it is our turn."""
        self._is_queued = False
        if self._transport.is_closing():
            self.drop()
        if not self._held or not self._is_ready():
            return
        size = self._size(self._held)
        portion = bytes(self._held[:size])
        del self._held[:size]
        self._take(portion)
        if self._held:
            self.go_on()
        elif not self._transport.is_closing():
            self._read_on(True)

    def _size(self, held: bytes | bytearray) -> int:
        """Return how much to read: of two requests the first head, so that they begin in turns."""
        most = min(len(held), PORTION_BYTES)
        if not self._ends:
            return most
        first = held.find(self._ends, 0, most)
        behind = first + len(self._ends)
        return most if first < 0 or held.find(self._ends, behind, most) < 0 else behind
