"""How much of what one client sends is read before everybody else has a turn?

The kernel hands over up to 256 KiB at once: ten thousand pipelined requests, or forty thousand
frames of six bytes, and each of them is some microseconds of work in uvicorn, which reads them all
before it lets anybody else run. So what arrived is read in portions, one a turn of the loop, and no
further while what was read is not yet dealt with. What waits is never more than the kernel handed
over once, for nothing is taken from it meanwhile.
"""

import asyncio
from collections.abc import Callable
from typing import Final

PORTION_BYTES: Final = 1024
"""Fifty requests or 170 empty frames at most: a millisecond or two."""


class Portions:
    """What one connection has sent and nobody has read yet."""

    def __init__(
        self,
        transport: asyncio.Transport,
        take: Callable[[bytes], None],
        is_ready: Callable[[], bool],
        read_on: Callable[[bool], None],
    ) -> None:
        """``take`` reads a portion if ``is_ready``; ``read_on`` tells whether to ask the kernel."""
        self._transport = transport
        self._take = take
        self._is_ready = is_ready
        self._read_on = read_on
        self._held = bytearray()
        self._turn: asyncio.Handle | None = None

    @property
    def waiting(self) -> bool:
        """Return whether something has not been read yet."""
        return bool(self._held)

    def arrived(self, data: bytes) -> None:
        """Read ``data``: now if it is little, else in turns."""
        if not self._held and len(data) <= PORTION_BYTES and self._is_ready():
            self._take(data)
            return
        self._held += data
        self._read_on(False)
        self.go_on()

    def go_on(self) -> None:
        """Read the next portion, once everybody else has had a turn."""
        if self._held and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._next)

    def drop(self) -> None:
        """Forget what waits."""
        self._held.clear()

    def _next(self) -> None:
        self._turn = None
        if self._transport.is_closing():
            self.drop()
        if not self._held or not self._is_ready():
            return
        portion = bytes(self._held[:PORTION_BYTES])
        del self._held[:PORTION_BYTES]
        self._take(portion)
        if self._held:
            self.go_on()
        elif not self._transport.is_closing():
            self._read_on(True)
