"""In what shape does committed history reach its consumers?

The sequencer commits commands in batches. Every consumer (market data, user streams, settlement,
merchants) sees the same batches in the same order, after a restart too, by a ``Subscription``.
A log entry is what other systems call a record: one command, its evidence and its events.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from engine.commands import Commands, Kind
from engine.events import Events
from engine.types import Outcome

T = TypeVar("T")

_NOT_READ: Final = object()


class LogEntry:
    """One command with all that belongs to it.

    ``attachment`` is what stands beside the command in the journal, ``events`` what the command has
    caused, ``markets`` are those of its batch. Made once a command, and shared by all consumers.
    """

    __slots__ = ("_evidence", "attachment", "command", "events", "markets", "sequence")

    def __init__(
        self,
        sequence: int,
        command: np.void,
        attachment: bytes,
        events: Events,
        markets: Sequence[Any] = (),
    ) -> None:
        self.sequence = sequence
        self.command = command
        self.attachment = attachment
        self.events = events
        self.markets = markets
        self._evidence: object = _NOT_READ

    def evidence(self, read: Callable[[bytes], T]) -> T:
        """Return the attachment as ``read`` understands it: read at the first asking, once for all
        consumers. There is one reader a log; the engine does not know what it reads."""
        if self._evidence is _NOT_READ:
            self._evidence = read(self.attachment)
        return cast(T, self._evidence)

    @property
    def market(self) -> Any:
        """Return the command's market as it was when the command came."""
        return self.markets[int(self.command["market"])]

    @property
    def answer(self) -> Events:
        """Return what the command itself has caused.

        Deadlines that had come when it arrived are met before it, rejected or not: those events
        stand in front, and are nobody's answer.
        """
        own = 0
        while own < len(self.events) and self.events[own]["outcome"] == Outcome.CANCELLED_AFTER:
            own += 1
        return self.events[own:]


@dataclass(frozen=True)
class Committed:
    """A batch of commands that is on disk, and what the engine answered.

    ``commands[i]`` has sequence ``first_sequence + i`` and belongs to ``attachments[i]``.
    ``events`` are in order and name their command's sequence. ``heads[i]`` is the journal's
    chained hash after record i; any but the last costs a pass over the batch, once.
    ``markets`` are the markets by number, in the terms in which this batch is meant: those that a
    ``Directory`` knew, so the engine does not say what they are. Without one there are none.
    """

    first_sequence: int
    commands: Commands
    attachments: Sequence[bytes]
    events: Events
    heads: Sequence[bytes]
    markets: Sequence[Any] = ()

    @property
    def last_sequence(self) -> int:
        """Return the sequence of the last command."""
        return self.first_sequence + len(self.commands) - 1

    @cached_property
    def entries(self) -> tuple[LogEntry, ...]:
        """Return the batch command by command."""
        bounds = np.searchsorted(
            self.events["sequence"],
            np.arange(self.first_sequence, self.last_sequence + 2),
        ).tolist()
        return tuple(
            LogEntry(
                self.first_sequence + i,
                self.commands[i],
                attachment,
                self.events[bounds[i] : bounds[i + 1]],
                self.markets,
            )
            for i, attachment in enumerate(self.attachments)
        )

    @cached_property
    def changes_terms(self) -> bool:
        """Return whether the last command changes a market's terms: see ``segments``."""
        return bool(self.commands["kind"][-1] == Kind.SET_TERMS)

    def segments(self) -> Iterator["Committed"]:
        """Yield the batch cut behind each change of a market's terms.

        Ticks and lots mean one thing before a change and another after it, so who translates them
        must not see both in one batch.
        """
        changes = np.flatnonzero(self.commands["kind"] == Kind.SET_TERMS).tolist()
        cuts = [0, *(at + 1 for at in changes), len(self.commands)]
        for start, end in pairwise(cuts):
            if start < end:
                yield self._between(start, end)

    def _between(self, start: int, end: int) -> "Committed":
        """Return commands ``start`` to ``end`` with all that belongs to them."""
        if (start, end) == (0, len(self.commands)):
            return self
        first = self.first_sequence + start
        bounds = np.searchsorted(self.events["sequence"], [first, self.first_sequence + end])
        return Committed(
            first,
            self.commands[start:end],
            self.attachments[start:end],
            self.events[bounds[0] : bounds[1]],
            self.heads[start:end],
            self.markets,
        )


class Consumer(Protocol):
    """Somebody to the right of the engine."""

    def consume(self, batch: Committed) -> None:
        """Take one batch. Batches come in order and without a gap, from sequence 1 after every
        start, or from where the snapshot ends that ``CheckpointedConsumer.load`` was given."""


class Directory(Protocol):
    """Who knows what the numbers in the log stand for. It reads a batch before all consumers and
    gives it the markets as they were, so no consumer needs to stand before or behind another."""

    checkpoint_name: str
    """See ``CheckpointedConsumer``, and so ``save`` and ``load``."""

    def read(self, batch: Committed) -> Iterator[Committed]:
        """Yield ``batch`` cut as by ``segments``, each segment with its ``markets``.

        What is yielded is known here, a change of terms at its end too.
        """

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``."""

    def load(self, memory: bytes) -> None:
        """See ``CheckpointedConsumer``."""


@runtime_checkable
class CheckpointedConsumer(Consumer, Protocol):
    """A consumer whose memory is part of each snapshot. One without keeps its own, elsewhere and
    durably before ``consume`` returns."""

    checkpoint_name: str
    """Its name in the snapshot, with the version of what ``save`` writes."""

    def save(self) -> bytes:
        """Return all that ``consume`` has made it remember. Called in a forked process."""

    def load(self, memory: bytes) -> None:
        """Take what ``save`` wrote; called once, before the first batch."""
