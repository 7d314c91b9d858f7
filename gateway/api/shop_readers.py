"""On which threads are the shops' rows read?

On few of their own: it takes milliseconds, locks nothing, and is in nobody else's way.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

READERS_MAX: Final = 2
"""Threads; the database has connections for more, and the interpreter runs one at a time."""

Found = TypeVar("Found")
Given = ParamSpec("Given")


class Readers:
    """Few threads that read rows, so that one shop's long list holds up other shops alone."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(READERS_MAX, "shops")

    def ask(
        self, question: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Return what ``question`` finds."""
        asked = partial(question, *given, **named)
        return get_running_loop().run_in_executor(self._pool, asked)
