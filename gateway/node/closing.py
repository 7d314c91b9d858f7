"""How long may an orderly end take? So long, and then it is an end all the same.

What was answered is on disk before it is answered, so an end by force loses nothing: the next start
replays the log. Whoever restarts us must not have to guess whether we still end.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog

END_SECONDS_MAX: Final = 20
EXIT_LATE: Final = 75


class HardLimit:
    """From its beginning, or from where its block begins, the process has ``seconds`` to end."""

    def __init__(
        self, seconds: float = END_SECONDS_MAX, end: Callable[[int], object] = os._exit
    ) -> None:
        self._end = end
        # A thread, for whatever holds the loop up would hold a timer of the loop up too.
        self._timer = threading.Timer(seconds, self._late)
        self._timer.daemon = True

    def begin(self) -> None:
        """Count from now on; once."""
        if not self._timer.is_alive() and not self._timer.finished.is_set():
            self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def _late(self) -> None:
        structlog.get_logger("stack").critical("not ended in time: ending now, nothing is lost")
        self._end(EXIT_LATE)
