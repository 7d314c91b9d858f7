"""Which time is it, if the clock on the wall was put forward?

A stamp that is ahead of its time can never be taken back: a journal's time does not go backwards,
and no batch may close before its trades. So a wall clock that leaps ahead of a steady one is not
believed; time goes on from where it was, steadily, until somebody else has seen the later time.
A wall clock that is put back is believed: the sequencer's time stands still meanwhile.
"""

from collections.abc import Callable
from typing import Final

NS: Final = 10**9

LEAP_MAX_NS: Final = 60 * NS
"""So much further than the steady clock the wall clock may have come: more than what a network's
time corrects from day to day, less than what keeps trades waiting for long."""


class Timekeeper:
    """The house's clock. Any thread may ask it; one tells it of blocks."""

    def __init__(self, wall_ns: Callable[[], int], steady_ns: Callable[[], int]) -> None:
        """``steady_ns`` counts from anywhere, is set by nobody and counts while we sleep."""
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._offset_ns = wall_ns() - steady_ns()

    def __call__(self) -> int:
        """Return unix nanoseconds: the wall's, or what it should say after a leap."""
        wall_ns, due_ns = self._wall_ns(), self._steady_ns() + self._offset_ns
        return due_ns if wall_ns - due_ns > LEAP_MAX_NS else wall_ns

    @property
    def leap_ns(self) -> int:
        """Return how far ahead the wall clock is, if that is too far to be believed; else 0."""
        leap_ns = self._wall_ns() - self._steady_ns() - self._offset_ns
        return leap_ns if leap_ns > LEAP_MAX_NS else 0

    def begin(self, block_s: int) -> None:
        """Begin from the time of the newest block, if the wall clock is too far ahead of it."""
        if self._wall_ns() - block_s * NS > LEAP_MAX_NS:
            self._offset_ns = block_s * NS - self._steady_ns()

    def seen(self, block_s: int) -> None:
        """A block has this time: a wall clock that is not far ahead of it is right."""
        wall_ns, steady_ns = self._wall_ns(), self._steady_ns()
        if wall_ns - block_s * NS <= LEAP_MAX_NS:
            self._offset_ns = wall_ns - steady_ns
