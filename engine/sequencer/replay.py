"""What has happened, as the journal's files alone tell it to any engine?

For those who come after: auditors, exports, tests, and the sequencer when it makes an engine anew.
Reads only, and works beside a running exchange.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from engine.commands import Commands
from engine.events import Events
from engine.journal.format import Batch, Heads, JournalCorrupt
from engine.journal.poison import PoisonList
from engine.journal.reader import Reader, limits_of
from engine.journal.storage import ReadStorage
from engine.log_entries import Committed
from engine.types import Limits

REPLAY_BATCH: Final = 4096


class Machine(Protocol):
    """An engine, core or reference."""

    @property
    def sequence(self) -> int:
        """Return the sequence of the last command begun."""

    def apply(self, commands: Commands) -> Events:
        """Apply stamped commands in order and return their events.

        After an AssertionError the machine is good for nothing but its ``sequence``.
        """

    def state_hash(self) -> bytes:
        """Return 32 bytes that stand for the whole state."""


M = TypeVar("M", bound=Machine)
M_co = TypeVar("M_co", bound=Machine, covariant=True)


class MachineType(Protocol[M_co]):
    """How a machine begins; the class of an engine is one."""

    def __call__(self, limits: Limits) -> M_co:
        """Return the machine before the first command."""


class Written(NamedTuple):
    """Commands that are on disk and not applied yet."""

    commands: Commands
    attachments: Sequence[bytes]
    heads: Heads


class Replay(Generic[M]):
    """A journal's history through an engine of its own; iterate ``batches`` once."""

    def __init__(self, storage: ReadStorage, machine_type: MachineType[M]) -> None:
        """Raises ``JournalCorrupt`` when there is no journal."""
        limits = limits_of(storage)
        if limits is None:
            raise JournalCorrupt("the journal", 0, "there are no files")
        self.machine = machine_type(limits)
        self.limits = limits
        self.reader = Reader(storage)
        """Where reading has come to, and how the journal ends."""
        self.poison = PoisonList(storage)

    def batches(self, ends: frozenset[int] = frozenset()) -> Iterator[Committed]:
        """Yield everything from the first command on, some thousand at a time.

        A run ends at each of ``ends`` that is the end of a journal batch. Raises
        ``JournalCorrupt`` where the journal contradicts itself.
        """
        for gathered in gathered_batches(self.reader.batches(), ends):
            written = joined_batches(gathered)
            commands = self.poison.applied_to(written.commands)
            yield Committed(
                int(commands["sequence"][0]),
                commands,
                written.attachments,
                self.machine.apply(commands),
                written.heads,
            )


def gathered_batches(
    batches: Iterable[Batch], ends: frozenset[int] = frozenset()
) -> Iterator[list[Batch]]:
    """Yield batches in runs of some thousand commands: small ones cost as much as large ones.

    A run ends at each of ``ends``, whatever its size.
    """
    run: list[Batch] = []
    count = 0
    for batch in batches:
        run.append(batch)
        count += batch.header.record_count
        if count >= REPLAY_BATCH or batch.header.last_sequence in ends:
            yield run
            run, count = [], 0
    if run:
        yield run


def joined_batches(batches: list[Batch]) -> Written:
    """Return consecutive batches as one."""
    if len(batches) == 1:
        return Written(batches[0].commands, batches[0].attachments, batches[0].heads)
    return Written(
        np.concatenate([batch.commands for batch in batches]),
        [attachment for batch in batches for attachment in batch.attachments],
        Heads.joined([batch.heads for batch in batches]),
    )
