"""Is each file that goes with the log of this very log, and has its owner seen all of it?

A snapshot tells its consumers what is past. Who keeps a file of his own is told by nobody: the file
says how far he has read, and by which chained head. What he has not seen is replayed to him, for
snapshots beyond his place are passed over; and a log that does not lead past his place is not his.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, runtime_checkable

from engine.journal import JournalCorrupt
from engine.journal.reader import Position
from engine.log_entries import Consumer

ADVICE: Final = 'see "A file of another log" in docs/RUNBOOK.md'


class NotOfThisLog(Exception):
    """A file was written beside another log than the one there is; in one line, with what to do."""


@runtime_checkable
class FilingConsumer(Consumer, Protocol):
    """A consumer with a file of its own. It remembers its place there, durably."""

    file_name: str
    """What operators know the file by."""

    def place(self) -> Position | None:
        """Return how far the file has come in the log; its head is empty where it does not say.

        None for a file from before there were places: it is believed to have seen all of the past.
        """

    def keep_place(self, place: Position) -> None:
        """Write down that everything up to ``place`` was consumed: it comes before a snapshot."""


class Places:
    """The places of one start. Ask ``why_not`` of snapshots, show it all that is read, then end."""

    def __init__(self, consumers: Iterable[FilingConsumer]) -> None:
        places = ((consumer.file_name, consumer.place()) for consumer in consumers)
        self._places = [(name, place) for name, place in places if place is not None]
        self._passed_over: list[str] = []

    def why_not(self, snapshot: Position) -> str | None:
        """Return whose file has not come as far as ``snapshot``; None where all have."""
        for name, place in self._places:
            if place.sequence < snapshot.sequence:
                why = f"{name} has seen commands up to {place.sequence} only"
                self._passed_over.append(why)
                return why
        return None

    def show(self, last_sequence: int, heads: Sequence[bytes]) -> None:
        """Hold what is read to every place in it; ``heads`` end with that after
        ``last_sequence``. Raises ``NotOfThisLog``."""
        for name, place in self._places:
            at = place.sequence - last_sequence - 1
            if not -len(heads) <= at < 0 or not place.head or place.head == heads[at]:
                continue
            raise NotOfThisLog(
                f"{name} has seen another command {place.sequence} than the log has: {ADVICE}"
            )

    def end(self, sequence: int) -> None:
        """The log ends at ``sequence``. Raises ``NotOfThisLog`` where a file has come further."""
        for name, place in self._places:
            if place.sequence > sequence:
                raise NotOfThisLog(
                    f"{name} has seen commands up to {place.sequence}, and the log ends at "
                    f"{sequence}: {ADVICE}"
                )

    @contextmanager
    def named(self) -> Iterator[None]:
        """Where snapshots were passed over, let the want of one be told with the reason."""
        try:
            yield
        except JournalCorrupt as fault:
            if not self._passed_over:
                raise
            raise NotOfThisLog(f"{fault}; {self._passed_over[-1]}: {ADVICE}") from fault
