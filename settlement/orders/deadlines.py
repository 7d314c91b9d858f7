"""Whose dead man's switch goes off when, unless he takes it back?

The engine lets it go off with the first command whose time has come to it. So that it does where
nobody else sends one, somebody has to know when that is, and let the clock tick.
"""

import heapq


class Deadlines:
    """Deadlines by account number; what they are the journal rebuilds."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}
        self._soonest: list[tuple[int, int]] = []
        """A heap of (deadline, account), with those that were taken back."""

    def save(self) -> dict[int, int]:
        """Return what a snapshot keeps."""
        return self._of

    def load(self, saved: dict[int, int]) -> None:
        """Take what ``save`` returned."""
        self._of = saved
        self._rebuild()

    def set(self, account: int, deadline_ns: int) -> None:
        """An account has set its deadline anew; 0 takes it back."""
        self._of.pop(account, None)
        if not deadline_ns:
            return
        self._of[account] = deadline_ns
        heapq.heappush(self._soonest, (deadline_ns, account))
        if len(self._soonest) > 2 * len(self._of) + 64:
            # Most are of switches that were set again long before they would have gone off.
            self._rebuild()

    def is_due(self, now_ns: int) -> bool:
        """Return whether a switch waits for nothing but a command."""
        while self._soonest and self._of.get(self._soonest[0][1]) != self._soonest[0][0]:
            heapq.heappop(self._soonest)
        return bool(self._soonest) and self._soonest[0][0] <= now_ns

    def _rebuild(self) -> None:
        self._soonest = [(deadline_ns, account) for account, deadline_ns in self._of.items()]
        heapq.heapify(self._soonest)
