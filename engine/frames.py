"""In what shape does committed history reach its consumers?

The sequencer commits commands in batches. Every consumer (market data, user streams, settlement,
merchants) sees the same batches in the same order, after a restart too, and keeps its own cursor.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from engine.commands import Commands
from engine.events import Events


class Frame(NamedTuple):
    """One command with all that belongs to it."""

    sequence: int
    command: np.void
    attachment: bytes
    events: Events


class Committed(NamedTuple):
    """A batch of commands that is on disk, and what the engine answered.

    ``commands[i]`` has sequence ``first_sequence + i`` and belongs to ``attachments[i]``.
    ``events`` are in order and name their command's sequence. ``heads[i]`` is the journal's
    chained hash after record i.
    """

    first_sequence: int
    commands: Commands
    attachments: list[bytes]
    events: Events
    heads: list[bytes]

    @property
    def last_sequence(self) -> int:
        """Return the sequence of the last command."""
        return self.first_sequence + len(self.commands) - 1

    def frames(self) -> Iterator[Frame]:
        """Yield the batch command by command."""
        bounds = np.searchsorted(
            self.events["sequence"],
            np.arange(self.first_sequence, self.last_sequence + 2),
        )
        for i, attachment in enumerate(self.attachments):
            yield Frame(
                self.first_sequence + i,
                self.commands[i],
                attachment,
                self.events[bounds[i] : bounds[i + 1]],
            )


class Consumer(Protocol):
    """Somebody to the right of the engine."""

    def consume(self, batch: Committed) -> None:
        """Take one batch. Batches come in order, from sequence 1 after every start."""
