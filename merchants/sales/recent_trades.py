"""What was traded lately, by volume, and where was the middle of the book, by time?

Both are medians: half of the volume, or half of the time, has to be somebody's before he can move
them, however far he goes. Integers throughout; bounded, however much is traded.
"""

from collections import deque
from typing import Final

import msgspec

from engine.types import MONEY_MAX

MINUTE_NS: Final = 60 * 10**9
STEP_NS: Final = 5 * 10**9
"""One reading of the middle stands for so long; within it the lowest one counts."""

STEPS_MAX: Final = 720
ROWS_MAX: Final = 4_096
"""Prices kept; when there are twice as many, those with the fewest lots are forgotten."""


class Row(msgspec.Struct, array_like=True):
    """What was traded at one price in one minute."""

    minute: int
    ticks: int
    lots: int


class Step(msgspec.Struct, array_like=True):
    """The lowest middle in one step, and the last one; doubled ticks, 0 for none."""

    step: int
    lowest: int
    last: int


class TapeMemory(msgspec.Struct):
    """A tape as a snapshot keeps it."""

    rows: list[Row]
    steps: list[Step]


class Tape:
    """One market's trades and middles."""

    def __init__(self, memory: TapeMemory | None = None) -> None:
        self._rows: dict[tuple[int, int], Row] = {}
        self._steps: deque[Step] = deque(maxlen=STEPS_MAX)
        if memory is not None:
            self._rows = {(row.minute, row.ticks): row for row in memory.rows}
            self._steps.extend(memory.steps)

    def memory(self) -> TapeMemory:
        """Return all of it."""
        return TapeMemory(list(self._rows.values()), list(self._steps))

    def trade(self, ticks: int, lots: int, time_ns: int) -> None:
        """Take one more trade."""
        key = (time_ns // MINUTE_NS, ticks)
        row = self._rows.get(key)
        if row is not None:
            row.lots = min(row.lots + lots, MONEY_MAX)
            return
        self._rows[key] = Row(*key, lots)
        if len(self._rows) >= 2 * ROWS_MAX:
            # The dust goes first, so that nobody can push honest trades out with small ones.
            largest = sorted(self._rows.values(), key=lambda row: (-row.lots, -row.minute))
            kept = {(row.minute, row.ticks) for row in largest[:ROWS_MAX]}
            self._rows = {key: row for key, row in self._rows.items() if key in kept}

    def bust(self, ticks: int, lots: int) -> None:
        """Undo a trade: the newest ones at its price lose its lots."""
        for key in [key for key in reversed(self._rows) if key[1] == ticks]:
            row = self._rows[key]
            taken = min(lots, row.lots)
            row.lots -= taken
            lots -= taken
            if row.lots == 0:
                del self._rows[key]
            if lots == 0:
                return

    def middle(self, doubled_ticks: int, time_ns: int) -> None:
        """The middle of the best bid and offer is ``doubled_ticks`` / 2 from now on, 0 for none."""
        step = time_ns // STEP_NS
        last = self._steps[-1] if self._steps else None
        if last is None or last.step < step:
            self._steps.append(Step(step, doubled_ticks, doubled_ticks))
            return
        known = [ticks for ticks in (last.lowest, doubled_ticks) if ticks]
        last.lowest = min(known, default=0)
        last.last = doubled_ticks

    def traded_ticks(
        self, lots_wanted: int, since_ns: int, stated_ticks: int | None, lots_least: int
    ) -> int | None:
        """Return the middle price by volume of all trades since ``since_ns``, and of older ones
        until there are ``lots_wanted``.

        What is missing then counts as traded at ``stated_ticks``; without that, ``lots_least``
        are enough, and None says that there are not even those.
        """
        weights: dict[int, int] = {}
        volume = 0
        for row in reversed(self._rows.values()):
            if volume >= lots_wanted and (row.minute + 1) * MINUTE_NS <= since_ns:
                break
            weights[row.ticks] = weights.get(row.ticks, 0) + row.lots
            volume += row.lots
        if volume < lots_wanted and stated_ticks is not None:
            weights[stated_ticks] = weights.get(stated_ticks, 0) + lots_wanted - volume
        elif volume < lots_least or volume == 0:
            return None
        return _median(weights)

    def middle_ticks(self, since_ns: int, now_ns: int) -> int | None:
        """Return the middle of the book by time, rounded down; None if there was none at all."""
        doubled = self.middle_doubled(since_ns, now_ns)
        return None if doubled is None else doubled >> 1

    def middle_doubled(self, since_ns: int, now_ns: int) -> int | None:
        """As ``middle_ticks``, in half ticks: nothing is rounded."""
        weights: dict[int, int] = {}
        end = now_ns // STEP_NS + 1
        for step in reversed(self._steps):
            # A step's own reading is its lowest; what follows it until the next is its last.
            first = max(step.step, since_ns // STEP_NS)
            if end > first:
                own = 1 if first == step.step else 0
                for ticks, time in ((step.lowest, own), (step.last, end - first - own)):
                    if ticks and time:
                        weights[ticks] = weights.get(ticks, 0) + time
            end = min(end, step.step)
            if end <= since_ns // STEP_NS:
                break
        return _median(weights)


def _median(weights: dict[int, int]) -> int | None:
    """Return the lower weighted median; None of nothing."""
    half, sum_so_far = sum(weights.values()), 0
    for ticks in sorted(weights):
        sum_so_far += 2 * weights[ticks]
        if sum_so_far >= half:
            return ticks
    return None
