"""How do many waiting clients share one disk write?

Requests queue; a single task takes all that wait, writes them as one batch on a thread (one
fdatasync for all), applies them on the event loop, shows them to every consumer and only then
answers. While one batch is on its way to disk the next one gathers: group commit without a timer.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from engine.events import EventKind
from engine.frames import Committed, Consumer, Frame
from engine.receipt import Receipt
from engine.sequencer import Sequencer, Submission
from engine.types import Outcome

BATCH_MAX: Final = 4096
QUEUE_MAX: Final = 65_536


class _Waiting(NamedTuple):
    submission: Submission
    answer: asyncio.Future[Receipt]


class Pipeline:
    """The only writer of the sequencer. Use it from one event loop."""

    def __init__(
        self,
        sequencer: Sequencer,
        on_fatal: Callable[[BaseException], None],
        queue_max: int = QUEUE_MAX,
    ) -> None:
        """``on_fatal`` is told when disk, engine or a consumer fails; it must end the process."""
        self._sequencer = sequencer
        self._consumers: list[Consumer] = []
        self._on_fatal = on_fatal
        self._queue_max = queue_max
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def follow(self, consumer: Consumer) -> None:
        """Show every batch to ``consumer``, after those added before it; before ``recover``."""
        self._consumers.append(consumer)

    def recover(self) -> int:
        """Replay the journal to every consumer; return how many commands there were."""
        for committed in self._sequencer.recover():
            self._show(committed)
        return self._sequencer.sequence

    def start(self) -> None:
        """Begin taking requests; call ``recover`` first."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pipeline")
        self._task.add_done_callback(self._ended)

    def refusal(self) -> Receipt | None:
        """Return why nothing can be queued now; None when ``enqueue`` may be called at once."""
        if self._closing:
            return Receipt(Outcome.SHUTTING_DOWN)
        if len(self._queue) >= self._queue_max:
            return Receipt(Outcome.OVERLOADED)
        return None

    def enqueue(self, command: np.void, attachment: bytes = b"") -> asyncio.Future[Receipt]:
        """Queue one command. The receipt comes when it is on disk and carried out.

        Never refuses (ask ``refusal`` first, without waiting in between), so that what a caller
        has promised or spent for the command stands.
        """
        assert self.refusal() is None, "ask before you queue"
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(Submission(command, attachment), answer))
        self._wake.set()
        return answer

    async def submit(self, command: np.void, attachment: bytes = b"") -> Receipt:
        """Sequence one command, or refuse it; the command happens even if nobody waits for it."""
        return self.refusal() or await self.enqueue(command, attachment)

    async def close(self) -> None:
        """Finish what is queued, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._disk.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                waiting, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
                written = await loop.run_in_executor(
                    self._disk, self._sequencer.write, [w.submission for w in waiting]
                )
                committed = self._sequencer.apply(written)
                self._show(committed)
                for frame, waiter in zip(committed.frames(), waiting, strict=True):
                    if not waiter.answer.done():
                        waiter.answer.set_result(receipt_of(frame))

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Whatever failed, the disk, the engine or a consumer: nobody may be told anything any
        # more, for what is on disk and what has been seen may differ.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_fatal(error)

    def _show(self, committed: Committed) -> None:
        for part in committed.parts():
            for consumer in self._consumers:
                consumer.consume(part)


FAILURES: Final = (EventKind.REJECTED, EventKind.POISONED)
"""What the first event of a command that was not carried out may be."""


def receipt_of(frame: Frame) -> Receipt:
    """Return what the client of one command is told."""
    answer = frame.answer
    if len(answer) and answer[0]["outcome"] == Outcome.REPLACED:
        answer = answer[1:]  # The old order's end, and now the new one's beginning.
    first = answer[0] if len(answer) else None
    failed = first is not None and first["kind"] in FAILURES
    accepted = first is not None and first["kind"] == EventKind.ACCEPTED
    return Receipt(
        outcome=Outcome(int(first["outcome"])) if first is not None and failed else Outcome(0),
        sequence=frame.sequence,
        time_ns=int(frame.command["time_ns"]),
        order_id=int(first["order_id"]) if first is not None and accepted else 0,
        events=frame.events,
    )
