"""How often may somebody be wrong?

The first few failures cost nothing; then each one doubles the wait, up to a bound. What is counted
against an account is counted for it *as seen from one network*, so that a stranger who guesses from
elsewhere never locks the rightful owner out. Codes of six digits can be guessed from many networks:
those are counted for the account alone, and only who has a session may try them.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

FREE_FAILURES: Final = 5
WAIT_SECONDS_MAX: Final = 900
FORGET_NS: Final = 24 * 3600 * 10**9
KEPT_MAX: Final = 1 << 14


class _Failures(NamedTuple):
    times: int
    until_ns: int
    last_ns: int


class Slowdown:
    """Counts failures by name and says how long to wait. ``now_ns`` is a clock."""

    def __init__(self, now_ns: Callable[[], int], kept_max: int = KEPT_MAX) -> None:
        self._now_ns = now_ns
        self._kept_max = kept_max
        self._kept: dict[str, _Failures] = {}

    def wait_s(self, *names: str) -> int:
        """Return in how many seconds the next try is looked at; 0 for now."""
        now_ns = self._now_ns()
        longest = max(
            (self._kept[name].until_ns for name in names if name in self._kept), default=0
        )
        return max(0, -(-(longest - now_ns) // 10**9))

    def failed(self, *names: str) -> None:
        """Note that somebody was wrong."""
        now_ns = self._now_ns()
        for name in names:
            last = self._kept.pop(name, _Failures(0, 0, 0))
            times = 1 if now_ns - last.last_ns > FORGET_NS else last.times + 1
            doublings = min(max(0, times - FREE_FAILURES), WAIT_SECONDS_MAX.bit_length())
            wait_s = min(WAIT_SECONDS_MAX, (1 << doublings) - 1)
            self._kept[name] = _Failures(times, now_ns + wait_s * 10**9, now_ns)
        while len(self._kept) > self._kept_max:
            # Those at the front have not failed for longest.
            del self._kept[next(iter(self._kept))]

    def succeeded(self, *names: str) -> None:
        """Forget what was counted: it was the right one."""
        for name in names:
            self._kept.pop(name, None)
