"""How long may one kind of work hold everybody else up?

By the clock, not by a number of rows: what a row costs depends on what happened to it. The clock
runs from when the rows are read: on a busy machine the reading took the whole turn, of sixteen
rows one was moved on, and the other fifteen were read again for the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

TURN_NS: Final = 5 * 10**6
"""So long after its rows are read a turn ends with the row that it is at."""

NO_BOUNDS: Final[Mapping[str, Any]] = MappingProxyType({})

Row = TypeVar("Row")


class Turn:
    """One transaction's share of what is due."""

    def __init__(
        self,
        clock: Callable[[], int],
        rows_max: int,
        bounds: Mapping[str, Any] = NO_BOUNDS,
    ) -> None:
        """``rows_max`` bounds what is read at once, however little it would cost; ``bounds`` are
        what the queries of ``merchants.records.due`` compare with."""
        self._clock = clock
        self._rows_max = rows_max
        self._bounds = bounds
        self.is_whole = True
        """Whether all rows were given out."""

    def rows(
        self,
        session: Session,
        query: Select[Row],
        look: Callable[[Sequence[Row]], None] | None = None,
    ) -> Iterator[Row]:
        """Yield what ``query`` finds, at least one row, until the turn is over; ``look`` reads
        first, for all of them together, what their moving on looks at."""
        found = session.scalars(query.limit(self._rows_max), self._bounds).all()
        if look is not None:
            look(found)
        began_ns = self._clock()
        for count, row in enumerate(found, 1):
            yield row
            is_over = self._clock() - began_ns >= TURN_NS
            if is_over and count < len(found):
                self.is_whole = False
                return
        if len(found) == self._rows_max:
            self.is_whole = False
