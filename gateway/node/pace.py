"""How soon does a loop look again?

At once while something moves, soon while anything has happened lately, and seldom when nothing
does: an exchange that nobody uses leaves the machine to others. Whoever makes something happen says
so; what comes without a word (a transfer sent to the chain by others) is seen a second later.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.log_entries import Committed

LIVELY_NS: Final = 5 * 10**9
"""How long after the last word things may still come of it: blocks, retries, the next step."""


class Rhythm(NamedTuple):
    """Seconds between two looks, while something happens and while nothing does."""

    soon: float
    seldom: float


class Pace:
    """The pace of all loops of one process (a consumer of the log)."""

    def __init__(self, steady_ns: Callable[[], int]) -> None:
        """``steady_ns`` is a clock that never leaps."""
        self._steady_ns = steady_ns
        self._until_ns = steady_ns() + LIVELY_NS
        self._word = asyncio.Event()
        self.is_over = False

    def happened(self) -> None:
        """Something has; the loops that wait look now."""
        is_asleep = not self.is_lively
        self._until_ns = self._steady_ns() + LIVELY_NS
        if is_asleep:
            self._word.set()
            if not self.is_over:
                self._word = asyncio.Event()

    def end(self) -> None:
        """Nobody waits any more."""
        self.is_over = True
        self._word.set()

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        self.happened()

    @property
    def is_lively(self) -> bool:
        """Return whether anything has happened lately."""
        return self._steady_ns() < self._until_ns

    async def wait(self, rhythm: Rhythm) -> None:
        """Return when it is time to look again."""
        word = self._word
        try:
            seconds = rhythm.soon if self.is_lively else rhythm.seldom
            await asyncio.wait_for(word.wait(), seconds)
        except TimeoutError:
            return
