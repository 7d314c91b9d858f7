"""How does a connection end, and whom does a fault in it reach?"""

import asyncio
from types import TracebackType
from typing import NamedTuple


class Ending(NamedTuple):
    """How we end a connection: the close code, and the last frame as JSON text."""

    code: int
    close_message: str


class Faults:
    """A context in which a fault of ours ends the connection, and so reaches the app."""

    def __init__(self, ending: asyncio.Future[Ending | None], quiet: asyncio.Event) -> None:
        self._ending = ending
        self._quiet = quiet
        self.late: Exception | None = None
        """The first one while the connection was ending already."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Hand a fault on."""
        if not isinstance(fault, Exception):
            return False
        if not self._ending.done():
            self._ending.set_exception(fault)
        elif self.late is None:
            self.late = fault
        self._quiet.set()  # What has failed will not come to its end.
        return True
