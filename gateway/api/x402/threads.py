"""How is the node asked without one slow answer, or one shop, holding up the others?

On a few threads: so many questions of one store, so many in all, and none is waited for longer than
a stated time. A thread that waits for the node is not given back before the node has answered or
its client has given up; whoever asked was told long before.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, TypeVar

from engine.types import Outcome
from gateway.trading.rejection import Rejection

Found = TypeVar("Found")


class Bounds(NamedTuple):
    """How much is asked at once, and how long an answer may take, in seconds. ``of_store`` is less
    than ``threads``, so that no shop has them all."""

    threads: int = 8
    of_store: int = 4
    waiting: int = 32
    answer_seconds: float = 10
    settled_seconds: float = 8
    """How long ``/settle`` waits for the block of what was sent."""

    look_seconds: float = 0.1


BOUNDS: Final = Bounds()


class Late(Exception):
    """There was no answer in time."""


class Threads:
    """The threads."""

    def __init__(self, bounds: Bounds) -> None:
        assert bounds.of_store < bounds.threads, "one store leaves threads for the others"
        self._bounds = bounds
        self._pool = ThreadPoolExecutor(bounds.threads, "x402")
        self._asked: Counter[str] = Counter()
        """Questions that have no answer yet, by store; empty ones are dropped."""
        self._counting = threading.Lock()

    async def ask(self, store_id: str, question: Callable[[], Found], seconds: float) -> Found:
        """Return what ``question`` finds. Raises ``Late``, and OVERLOADED where too many wait."""
        self._count_on(store_id)
        asked = self._pool.submit(question)
        asked.add_done_callback(partial(self._count_off, store_id))
        waited = asyncio.wrap_future(asked)
        waited.add_done_callback(_heard)
        try:
            # Shielded: what was begun goes on, whoever stops waiting for it.
            return await asyncio.wait_for(asyncio.shield(waited), seconds)
        except TimeoutError:
            raise Late from None

    def _count_on(self, store_id: str) -> None:
        with self._counting:
            if self._asked[store_id] >= self._bounds.of_store:
                raise Rejection(Outcome.OVERLOADED, "this store asks too much", retry_after=1)
            if self._asked.total() >= self._bounds.waiting:
                raise Rejection(Outcome.OVERLOADED, "too many ask at once", retry_after=1)
            self._asked[store_id] += 1

    def _count_off(self, store_id: str, _: Future[Found]) -> None:
        with self._counting:
            self._asked[store_id] -= 1
            if not self._asked[store_id]:
                del self._asked[store_id]


def _heard(answered: "asyncio.Future[Found]") -> None:
    """Take an answer that nobody waits for any more, so that its fault is none of the log's."""
    if not answered.cancelled():
        answered.exception()
