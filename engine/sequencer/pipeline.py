"""How do many waiting clients share one disk write?

Requests queue; a single task takes all that wait and has a thread write them as one batch (one
fdatasync for all). While that batch is on its way to disk the one before it is applied, shown to
the consumers and answered, and the next one gathers: group commit without a timer, and neither
the disk nor the engine waits for the other.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

import numpy as np

from engine.command_result import CommandResult
from engine.commands import Kind, batch_of
from engine.events import EventKind
from engine.journal import StorageFull
from engine.log_entries import CheckpointedConsumer, Committed, Directory
from engine.sequencer.places import FilingConsumer, Places
from engine.sequencer.replay import Written
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.subscription import Subscription
from engine.sequencer.timekeeper import LEAP_MAX_NS, NS
from engine.types import Outcome

BATCH_MAX: Final = 4096
QUEUE_MAX: Final = 65_536

SET_TERMS: Final = int(Kind.SET_TERMS)

NEW_ORDERS: Final = frozenset({int(Kind.PLACE), int(Kind.REPLACE)})
"""What is rejected while only cancels, and whatever gets money out, are taken."""

DISK_LOW: Final = CommandResult(
    Outcome.DISK_LOW, detail={"why": "the disk is nearly full; cancels are still taken"}
)
CHANGING_TERMS: Final = CommandResult(
    Outcome.OVERLOADED, detail={"why": "lots and ticks of a market are changing; try again"}
)
UNDER_REVIEW: Final = CommandResult(
    Outcome.UNDER_REVIEW,
    detail={"why": "an operator must review the last batch before the crash; cancels are taken"},
)


class _Waiting(NamedTuple):
    command: np.void
    attachment: bytes
    answer: asyncio.Future[CommandResult]


class Turn(NamedTuple):
    """How long the parts of one batch took, in nanoseconds: how long its first command had waited,
    then to be on disk, to be carried out, and to be shown to who stands in front of the answers."""

    queued_ns: int
    written_ns: int
    applied_ns: int
    shown_ns: int


class _Batch(NamedTuple):
    written: Written
    waiting: list[_Waiting]
    queued_ns: int
    written_ns: int


def _unmeasured(_: Turn) -> None:
    """Tell nobody."""


class Pipeline:
    """The only writer of the sequencer. Use it from one event loop."""

    def __init__(
        self,
        sequencer: Sequencer[Any],
        on_fatal: Callable[[BaseException], None],
        queue_max: int = QUEUE_MAX,
    ) -> None:
        """``on_fatal`` is told when disk, engine or a consumer fails; it must end the process."""
        self._sequencer = sequencer
        self._directory: Directory | None = None
        self._subscriptions: list[Subscription] = []
        self._on_fatal = on_fatal
        self._queue_max = queue_max
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._under_review = False
        self._holds: list[Callable[[], str | None]] = []
        self._measured: Callable[[Turn], None] = _unmeasured
        self._queued_since_ns = 0
        """When the first of those that are queued came."""
        self._changes_of_terms = 0
        """So many are queued and not carried out yet."""

    def hold_orders(self, why: Callable[[], str | None]) -> None:
        """Take cancels only, and what gets money out, for as long as ``why`` returns a reason."""
        self._holds.append(why)

    @property
    def held(self) -> list[str]:
        """Return in words why no new orders are taken now, other than for the disk."""
        ahead_ns = self._sequencer.ahead_ns
        ahead = []
        if ahead_ns > LEAP_MAX_NS:
            # What trades now would be stamped so late that no batch may carry it for as long.
            ahead = [f"the journal's time is {ahead_ns // NS} s ahead of our clock: cancels only"]
        return ahead + [found for why in self._holds if (found := why()) is not None]

    def measured_by(self, measured: Callable[[Turn], None]) -> None:
        """Tell ``measured`` of each batch that was answered."""
        self._measured = measured

    def read_by(self, directory: Directory) -> None:
        """Let ``directory`` read each batch before all consumers and name its markets; before
        ``recover``. Its memory is part of each snapshot."""
        self._directory = directory

    def subscribe(self, subscription: Subscription) -> None:
        """Show every batch to one more consumer, in whatever order; before ``recover``.

        What a checkpointed consumer remembers becomes part of each snapshot. One that files keeps
        it durably before ``consume`` returns, and no start goes on from beyond its place. Any other
        has no memory: after a start from a snapshot it is not shown what is past.
        """
        self._subscriptions.append(subscription)

    def recover(self) -> Iterator[int]:
        """Go on from the last snapshot and replay what came after, to every consumer.

        Yields the sequence reached, again and again; run it to its end. Raises ``NotOfThisLog``
        where the file of a consumer is of another log.
        """
        checkpointed, places = self._checkpointed(), Places(self._filing())
        snapshot = self._sequencer.resume(checkpointed, places.why_not)
        if snapshot is not None:
            places.show(snapshot.sequence, [snapshot.head])
            for name, memory in snapshot.consumers.items():
                checkpointed[name].load(memory)
            yield snapshot.sequence
        with places.named():
            for committed in self._sequencer.recover():
                places.show(committed.last_sequence, committed.heads)
                self._show(committed)
                self.catch_up()
                yield committed.last_sequence
        places.end(self._sequencer.sequence)
        self._under_review = bool(self._sequencer.ambiguous)

    def prepare(self) -> None:
        """Call it before a snapshot. What consumers remember of the past must be complete, for the
        past is not shown again; and whoever keeps a file notes that it goes with this snapshot."""
        self.catch_up()
        position = self._sequencer.position
        if position is not None:
            for consumer in self._filing():
                consumer.keep_place(position)

    def checkpoints(self) -> dict[str, bytes]:
        """Return what the checkpointed consumers remember now, by name; ``prepare`` first.

        Whoever runs on the event loop finds engine and consumers at the end of the same batch.
        """
        return {name: consumer.save() for name, consumer in self._checkpointed().items()}

    def start(self) -> None:
        """Begin taking requests; call ``recover`` first."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pipeline")
        self._task.add_done_callback(self._ended)

    def rejection(self, kind: int) -> CommandResult | None:
        """Return why no such command can be queued now; None when ``enqueue`` may be called."""
        full = self._full(kind)
        if full is not None or kind not in NEW_ORDERS:
            return full
        if self._sequencer.is_low:
            return DISK_LOW
        held = self.held
        return CommandResult(Outcome.UNDER_REVIEW, detail={"why": held[0]}) if held else None

    def _full(self, kind: int) -> CommandResult | None:
        """As ``rejection``, for the reasons that only this thread can bring about."""
        if self._closing:
            return CommandResult(Outcome.SHUTTING_DOWN)
        if len(self._queue) >= self._queue_max:
            return CommandResult(Outcome.OVERLOADED)
        if kind in NEW_ORDERS and self._under_review:
            return UNDER_REVIEW
        if kind in NEW_ORDERS and self._changes_of_terms:
            # It was counted in the lots and ticks of now, and would be read in others.
            return CHANGING_TERMS
        return None

    def enqueue(self, command: np.void, attachment: bytes = b"") -> asyncio.Future[CommandResult]:
        """Queue one command. The result comes when it is on disk and carried out.

        Never refuses (ask ``rejection`` first, without waiting in between), so that what a caller
        has promised or spent for the command stands, unless the answer is DISK_LOW: then it did
        not happen, and all that were queued after it and are rejected too are answered before it.
        """
        # A clock may leap between the question and this, and the thread that writes may find the
        # disk full: what was promised is queued all the same.
        kind = int(command["kind"])
        assert self._full(kind) is None, "ask before you queue"
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        if not self._queue:
            self._queued_since_ns = perf_counter_ns()
        self._queue.append(_Waiting(command, attachment, answer))
        if kind == SET_TERMS:
            self._changes_of_terms += 1
        self._wake.set()
        return answer

    async def submit(self, command: np.void, attachment: bytes = b"") -> CommandResult:
        """Sequence one command, or refuse it; the command happens even if nobody waits for it."""
        return self.rejection(int(command["kind"])) or await self.enqueue(command, attachment)

    async def close(self) -> None:
        """Finish what is queued, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._disk.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        applying: _Batch | None = None
        while self._queue or applying is not None or not self._closing:
            if not self._queue and applying is None:
                await self._wake.wait()
            self._wake.clear()
            waiting, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
            queued_ns = perf_counter_ns() - self._queued_since_ns
            writing = loop.run_in_executor(self._disk, self._write, waiting) if waiting else None
            if applying is not None:
                self._finish(applying)
                await self._catch_up_behind_the_answers()
            applying = None
            if writing is not None:
                try:
                    written, written_ns = await writing
                    applying = _Batch(written, waiting, queued_ns, written_ns)
                except StorageFull:
                    self._reject_for_room(waiting)

    def _write(self, waiting: list[_Waiting]) -> tuple[Written, int]:
        began_ns = perf_counter_ns()
        commands = batch_of([one.command for one in waiting])
        written = self._sequencer.write(commands, [one.attachment for one in waiting])
        return written, perf_counter_ns() - began_ns

    def _finish(self, batch: _Batch) -> None:
        """Apply what is on disk, show it, answer."""
        began_ns = perf_counter_ns()
        committed = self._sequencer.apply(batch.written)
        applied_ns = perf_counter_ns()
        shown = self._show(committed)
        times = (applied_ns - began_ns, perf_counter_ns() - applied_ns)
        self._measured(Turn(batch.queued_ns, batch.written_ns, *times))
        self._left(batch.waiting)
        results = chain.from_iterable(map(results_of, shown))
        for result, waiter in zip(results, batch.waiting, strict=True):
            if not waiter.answer.done():
                waiter.answer.set_result(result)

    def _reject_for_room(self, waiting: list[_Waiting]) -> None:
        """Nothing of this batch was written: new orders are rejected, the rest is tried again.

        Without any new orders to leave out there is no room for cancels either.
        """
        queued = waiting + self._queue
        any_new = any(int(one.command["kind"]) in NEW_ORDERS for one in queued)
        rejected = [one for one in queued if not any_new or int(one.command["kind"]) in NEW_ORDERS]
        kept = {id(one) for one in queued} - {id(one) for one in rejected}
        self._queue = [one for one in queued if id(one) in kept]
        self._left(rejected)
        for one in reversed(rejected):
            if not one.answer.done():
                one.answer.set_result(DISK_LOW)

    def _left(self, waiting: list[_Waiting]) -> None:
        """They are carried out, or will never be, whether or not anybody still waits for it."""
        if self._changes_of_terms:
            kinds = (int(one.command["kind"]) for one in waiting)
            self._changes_of_terms -= sum(kind == SET_TERMS for kind in kinds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Whatever failed, the disk, the engine or a consumer: nobody may be told anything any
        # more, for what is on disk and what has been seen may differ.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_fatal(error)

    def _show(self, committed: Committed) -> list[Committed]:
        """Show a batch to everybody; return it as it was shown, so that it is taken apart once."""
        read = self._directory.read if self._directory else Committed.segments
        shown = []
        for segment in read(committed):
            shown.append(segment)
            for subscription in self._subscriptions:
                # A database may hold rows that mean the present terms. Whoever keeps one learns of
                # other terms before anybody else can run.
                if subscription.is_inline or segment.changes_terms:
                    subscription.show(segment)
                else:
                    subscription.keep(segment)
        return shown

    def catch_up(self) -> None:
        """Show every subscriber what waits for it."""
        for subscription in self._subscriptions:
            subscription.catch_up()

    async def _catch_up_behind_the_answers(self) -> None:
        if any(subscription.is_behind for subscription in self._subscriptions):
            await asyncio.sleep(0)  # One turn of the loop: those who were answered go first.
            self.catch_up()

    def _filing(self) -> list[FilingConsumer]:
        found = (subscription.filing for subscription in self._subscriptions)
        return [consumer for consumer in found if consumer is not None]

    def _checkpointed(self) -> dict[str, CheckpointedConsumer | Directory]:
        directory = () if self._directory is None else (self._directory,)
        found = (*directory, *(subscription.checkpoint for subscription in self._subscriptions))
        return {consumer.checkpoint_name: consumer for consumer in found if consumer is not None}


FAILURES: Final = frozenset({int(EventKind.REJECTED), int(EventKind.POISONED)})
"""What the first event of a command that was not carried out may be."""

# As plain numbers: reading a member of an enum costs Python 3.11 more than all else in here.
ACCEPTED: Final = int(EventKind.ACCEPTED)
REPLACED: Final = int(Outcome.REPLACED)
OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}


def results_of(committed: Committed) -> Iterator[CommandResult]:
    """Yield what the client of each command is told, in order."""
    for entry in committed.entries:
        answer = entry.answer
        if answer and answer[0].outcome == REPLACED:
            answer = answer[1:]  # The old order's end, and now the new one's beginning.
        kind = answer[0].kind if answer else 0
        yield CommandResult(
            OUTCOMES[answer[0].outcome] if kind in FAILURES else OUTCOMES[0],
            entry.sequence,
            entry.command.time_ns,
            answer[0].order_id if kind == ACCEPTED else 0,
            entry.events,
        )
