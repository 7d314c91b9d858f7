"""In what shape does committed history reach its consumers?

The sequencer commits commands in batches. Every consumer (market data, user streams, settlement,
merchants) sees the same batches in the same order, after a restart too, by a ``Subscription``.
A log entry is what other systems call a record: one command, its evidence and its events.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from engine.commands import COMMAND, Commands, Kind
from engine.events import EVENT, Events
from engine.types import Outcome

T = TypeVar("T")

_NOT_READ: Final = object()
_SET_TERMS: Final = int(Kind.SET_TERMS)
_CANCELLED_AFTER: Final = int(Outcome.CANCELLED_AFTER)


class CommandRow(NamedTuple):
    """One command as Python integers, fields as in ``engine.commands.COMMAND``.

    To read a field of a NumPy row costs a hundred times as much, and to compare it with a member of
    an enum a thousand times: consumers read these.
    """

    kind: int
    side: int
    tif: int
    flags: int
    market: int
    token: int
    account: int
    fee_cap_ppm: int
    order_id: int
    price_ticks: int
    amount: int
    expiry_ns: int
    time_ns: int
    sequence: int


class EventRow(NamedTuple):
    """One event as Python integers, fields as in ``engine.events.EVENT``; ``number`` is its
    ``index``."""

    kind: int
    side: int
    outcome: int
    market: int
    token: int
    account: int
    maker_account: int
    sequence: int
    number: int
    order_id: int
    maker_id: int
    price_ticks: int
    amount: int
    order_left: int
    maker_left: int
    trade_id: int
    fee_pips: int
    maker_fee_pips: int


_ROW_OF_EVENT: Final = tuple("number" if name == "index" else name for name in EVENT.fields or ())
assert CommandRow._fields == COMMAND.names and EventRow._fields == _ROW_OF_EVENT, "one layout"


def event_rows(events: Events) -> list[EventRow]:
    """Return ``events`` as Python integers."""
    return list(map(EventRow._make, events.tolist()))


class LogEntry:
    """One command with all that belongs to it.

    ``attachment`` is what stands beside the command in the journal, ``events`` what the command has
    caused, ``markets`` are those of its batch; ``row`` and ``event_rows`` are command and events as
    they stand on disk. Made once a command, and shared by all consumers.
    """

    __slots__ = ("_at", "_batch", "_bounds", "_evidence", "attachment", "command", "events",
                 "leaf", "markets", "sequence")  # fmt: skip

    def __init__(self, batch: "Committed", at: int, command: CommandRow, start: int, end: int):
        self._batch = batch
        self._at = at
        self._bounds = start, end
        self.sequence = batch.first_sequence + at
        self.command = command
        self.attachment = batch.attachments[at]
        self.events = batch.rows[start:end]
        self.markets = batch.markets
        self._evidence: object = _NOT_READ
        self.leaf: bytes | None = None
        """Its hash in the log's root, once a consumer has made it: several need it."""

    @property
    def row(self) -> np.void:
        """Return the command, of dtype ``COMMAND``."""
        command: np.void = self._batch.commands[self._at]
        return command

    @property
    def event_rows(self) -> Events:
        """Return the events, of dtype ``EVENT``."""
        start, end = self._bounds
        return self._batch.events[start:end]

    def evidence(self, read: Callable[[bytes], T]) -> T:
        """Return the attachment as ``read`` understands it: read at the first asking, once for all
        consumers. There is one reader a log; the engine does not know what it reads."""
        if self._evidence is _NOT_READ:
            self._evidence = read(self.attachment)
        return cast(T, self._evidence)

    @property
    def market(self) -> Any:
        """Return the command's market as it was when the command came."""
        return self.markets[self.command.market]

    @property
    def answer(self) -> list[EventRow]:
        """Return what the command itself has caused.

        Deadlines that had come when it arrived are met before it, rejected or not: those events
        stand in front, and are nobody's answer.
        """
        own = self._own
        return self.events[own:] if own else self.events

    @property
    def answer_row(self) -> np.void:
        """Return the first event of ``answer``, of dtype ``EVENT``."""
        first: np.void = self.event_rows[self._own]
        return first

    @property
    def _own(self) -> int:
        own = 0
        while own < len(self.events) and self.events[own].outcome == _CANCELLED_AFTER:
            own += 1
        return own


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
    def kinds(self) -> bytes:
        """Return the kind of each command. As bytes: looked through at once for one that is rare,
        where NumPy asks the class of an enum's member for a dozen attributes it lacks."""
        return self.commands["kind"].tobytes()

    def has(self, kinds: Iterable[int]) -> bool:
        """Return whether a command is of one of ``kinds``: most batches are orders alone."""
        return any(kind in self.kinds for kind in kinds)

    @cached_property
    def rows(self) -> list[EventRow]:
        """Return the events as Python integers."""
        return event_rows(self.events)

    @cached_property
    def bounds(self) -> list[int]:
        """Return where in ``events`` those of each command begin, and behind them the end."""
        sequences = np.arange(self.first_sequence, self.last_sequence + 2)
        found: list[int] = np.searchsorted(self.events["sequence"], sequences).tolist()
        return found

    @cached_property
    def entries(self) -> tuple[LogEntry, ...]:
        """Return the batch command by command."""
        commands = map(CommandRow._make, self.commands.tolist())
        return tuple(
            LogEntry(self, at, command, start, end)
            for at, (command, (start, end)) in enumerate(
                zip(commands, pairwise(self.bounds), strict=True)
            )
        )

    @property
    def changes_terms(self) -> bool:
        """Return whether the last command changes a market's terms: see ``segments``."""
        return self.kinds[-1] == _SET_TERMS

    def segments(self) -> Iterator["Committed"]:
        """Yield the batch cut behind each change of a market's terms.

        Ticks and lots mean one thing before a change and another after it, so who translates them
        must not see both in one batch.
        """
        changes: list[int] = []
        if _SET_TERMS in self.kinds:
            changes = [at for at, kind in enumerate(self.kinds) if kind == _SET_TERMS]
        cuts = [0, *(at + 1 for at in changes), len(self.commands)]
        for start, end in pairwise(cuts):
            if start < end:
                yield self._between(start, end)

    def meant_in(self, markets: Sequence[Any]) -> "Committed":
        """Return the batch with the markets as they are when it comes."""
        return Committed(
            self.first_sequence,
            self.commands,
            self.attachments,
            self.events,
            self.heads,
            markets,
        )

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
    """A consumer whose memory is part of each snapshot. One without may keep its own, elsewhere
    and durably before ``consume`` returns: see ``engine.sequencer.places``."""

    checkpoint_name: str
    """Its name in the snapshot, with the version of what ``save`` writes."""

    def save(self) -> bytes:
        """Return all that ``consume`` has made it remember. Called in a forked process."""

    def load(self, memory: bytes) -> None:
        """Take what ``save`` wrote; called once, before the first batch."""
