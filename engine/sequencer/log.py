"""What does the sequencer ask of the log it writes?

One writer, dense sequences, and a chained hash. Nothing here speaks of files: ``engine.journal``
keeps this promise with files, a log over Redis Streams can keep it too, and the same tests hold
both (``tests/journal/test_a_log_keeps_its_promises.py``).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from engine.commands import Commands
from engine.journal.format import Batch, Heads
from engine.journal.poison import PoisonList
from engine.journal.reader import Position
from engine.types import Limits


class Log(Protocol):
    """A log of command batches. Run ``recover`` to its end once, then ``append`` and ``sync``."""

    limits: Limits
    """Those the log began with: what an engine refuses for want of room is part of history."""
    sequence: int
    """The last sequence appended."""
    durable: int
    """The last sequence that survives a crash."""
    is_low: bool
    """Whether room is nearly used up: cancels are taken, new orders are not."""
    poison: PoisonList
    """The commands that the engine could not carry out."""

    def recover(self, after: Position | None = None) -> Iterator[Batch]:
        """Yield every batch past ``after``, verified, and become the writer at its end.

        Raises ``JournalCorrupt`` where history contradicts itself.
        """

    def append(self, commands: Commands, attachments: Sequence[bytes]) -> Heads:
        """Add a batch of stamped commands; return the head after each. Durable after ``sync``.

        Raises ``StorageFull``, with nothing added, when there is no room for it.
        """

    def sync(self) -> None:
        """Return when all that was appended is durable. An OSError must end the process."""

    def read(self, after: Position | None = None) -> Iterator[Batch]:
        """Yield the batches past ``after`` again, beside the writer."""

    def ambiguous_names(self) -> list[str]:
        """Name the last batches that may have been answered for and that nobody has reviewed."""

    def add_poison(self, row: np.void) -> None:
        """Remember for ever that the engine could not carry out ``row``; durable on return."""

    def truncate(self, upto: int) -> list[str]:
        """Forget whole pieces of the log that end at or before ``upto``; return their names.

        The newest piece stays. Whoever asks has seen that snapshots cover them and copies exist.
        """
