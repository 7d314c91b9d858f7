"""How does asyncio code run in one thread, in no time at all, and the same way twice?

``VirtualLoop`` has a clock that jumps to the next timer as soon as nobody can run, no sockets, and
no threads: what is given to an executor runs on the loop itself, after a delay that dice choose, so
that other tasks get in before and behind it exactly as a thread would let them.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

NS: Final = 10**9


class Clock:
    """The world's true time, unix nanoseconds. Only the loop lets it pass."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


class NothingToDo(Exception):
    """Nobody can run and no timer is set: the tasks wait for each other."""


class _NoSockets:
    """The selector of a loop that has nothing to select: waiting is letting the clock jump."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingToDo
        if timeout > 0:
            self._clock.now_ns += round(timeout * NS) + 1
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """One life of the process; ``work_ns_max`` bounds what a thread may take."""

    def __init__(self, clock: Clock, dice: Random, work_ns_max: int) -> None:
        super().__init__()
        self._sim_clock = clock
        self._began_ns = clock.now_ns
        self._selector = _NoSockets(clock)
        self._dice = dice
        self._work_ns_max = work_ns_max

    def time(self) -> float:
        return (self._sim_clock.now_ns - self._began_ns) / NS

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run ``func`` here, some time later, and tell some time after that."""
        done = self.create_future()

        async def work() -> Any:
            return func(*args)

        def begin() -> None:
            # A task keeps what is raised in it, as an executor does.
            task = self.create_task(work())
            task.add_done_callback(lambda _: self._later(_tell, done, task))

        self._later(begin)
        return done

    def _later(self, call: Callable[..., Any], *args: Any) -> None:
        self.call_later(self._dice.randrange(self._work_ns_max + 1) / NS, call, *args)

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list, "there are no sockets"

    def _write_to_self(self) -> None:
        """Nobody sleeps here, so nobody has to be woken."""


def _tell(done: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
    error = task.exception()
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())
