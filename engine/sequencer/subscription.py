"""How far has a consumer read the log?

A subscription is one consumer with a cursor of its own. One that is inline is shown a batch before
the commands in it are answered; any other reads it right after, so that what it does with it (a
database, a webhook) is in nobody's way.
"""

from collections import deque

from engine.log_entries import CheckpointedConsumer, Committed, Consumer
from engine.sequencer.places import FilingConsumer


class Subscription:
    """A named reader of the log. ``consumer`` is shown every batch once, in order."""

    def __init__(self, name: str, consumer: Consumer, *, is_inline: bool = True) -> None:
        self.name = name
        self.is_inline = is_inline
        self.cursor = 0
        """The last sequence that the consumer has taken since this start."""
        self._consumer = consumer
        self._waiting: deque[Committed] = deque()

    @property
    def checkpoint(self) -> CheckpointedConsumer | None:
        """Return the consumer if snapshots keep what it remembers."""
        return self._consumer if isinstance(self._consumer, CheckpointedConsumer) else None

    @property
    def filing(self) -> FilingConsumer | None:
        """Return the consumer if it keeps a file of its own."""
        return self._consumer if isinstance(self._consumer, FilingConsumer) else None

    @property
    def is_behind(self) -> bool:
        """Return whether something waits to be shown."""
        return bool(self._waiting)

    def keep(self, batch: Committed) -> None:
        """Let ``batch`` wait for ``catch_up``."""
        self._waiting.append(batch)

    def show(self, batch: Committed) -> None:
        """Show ``batch``, behind all that waits."""
        self.keep(batch)
        self.catch_up()

    def catch_up(self) -> None:
        """Show what waits."""
        while self._waiting:
            batch = self._waiting.popleft()
            self._consumer.consume(batch)
            self.cursor = batch.last_sequence
