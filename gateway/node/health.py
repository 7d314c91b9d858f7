"""What holds the event loop up, and for how long?

The loop is asked once a second how late it comes, and Python's collector says when it begins and
ends; neither costs an order anything.
"""

import asyncio
import gc
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

LOOK_SECONDS: Final = 1


class LoopLag:
    """Tells ``observe`` how many seconds too late the running loop calls what is due."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._timer: asyncio.Handle | None = None
        self._due_seconds = 0.0

    def begin(self) -> None:
        """Look from now on."""
        loop = asyncio.get_running_loop()
        self._due_seconds = loop.time() + LOOK_SECONDS
        self._timer = loop.call_later(LOOK_SECONDS, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        late_seconds = asyncio.get_running_loop().time() - self._due_seconds
        self._observe(max(0.0, late_seconds))
        self.begin()


class CollectorPauses:
    """Tells ``observe`` how many seconds each of Python's garbage collections took."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._began_seconds = 0.0

    def begin(self) -> None:
        """Listen from now on."""
        gc.callbacks.append(self._collected)

    def end(self) -> None:
        """Listen no more."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, _: Mapping[str, Any]) -> None:
        if phase == "start":
            self._began_seconds = perf_counter()
        else:
            self._observe(perf_counter() - self._began_seconds)
