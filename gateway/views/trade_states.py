"""How far is a trade, without asking a database?

Batches carry ranges of trades without a gap, so a few numbers a batch answer for all of its trades,
by bisection. Filled once at the start, then kept by the same news that listeners get: what is read
and what is told agree. The newest batches are in memory; of older ones the outbox is asked, once a
batch and not once a trade.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from settlement.ports import TradeState

BATCHES_KEPT: Final = 65_536

TOLD_MAX: Final = 1_024
"""Batches of which the last news is known."""

MATCHED: Final = TradeState("matched")


class BatchView(NamedTuple):
    """One settlement batch; ``state`` as in ``TradeState`` (batched, submitted, mined, final)."""

    batch: int
    state: str
    first_trade: int
    last_trade: int
    tx_hash: bytes | None


class ToldOnce:
    """Of two news that say the same of a batch, one after the other, tells the first: settlement
    has more states than it shows."""

    def __init__(self) -> None:
        self._last: dict[int | None, tuple[int, int, TradeState]] = {}

    def is_new(self, first_trade: int, last_trade: int, reached: TradeState) -> bool:
        """Return whether a batch is another than was said last of it."""
        news = first_trade, last_trade, reached
        if self._last.get(reached.batch) == news:
            return False
        self._last.pop(reached.batch, None)
        self._last[reached.batch] = news
        if len(self._last) > TOLD_MAX:
            del self._last[next(iter(self._last))]
        return True


class _Range(NamedTuple):
    """One batch that stands."""

    last_trade: int
    view: BatchView
    state: TradeState


class TradeStates:
    """States by trade. ``older`` finds the batch of a trade that is not kept in memory any more.

    Everything here belongs to the event loop's thread.
    """

    def __init__(
        self, older: Callable[[int], BatchView | None], kept_max: int = BATCHES_KEPT
    ) -> None:
        self._older = older
        self._kept_max = kept_max
        self._firsts: list[int] = []
        self._ranges: list[_Range] = []
        self._begin: BatchView | None = None
        """The batch that memory begins with, as it was last heard of: it may have been given up,
        and then nothing is in memory. None before the first. What is before it is only asked."""
        self._is_whole = True
        """Whether all batches there are are in memory."""
        self._found: _Range | None = None
        """The last older batch that was asked for: its neighbours are asked for next."""

    def load(self, newest_first: Iterable[BatchView]) -> None:
        """Begin with what the outbox has; ``newest_first`` may stop at ``kept_max``."""
        self._firsts, self._ranges, self._found = [], [], None
        for view in reversed(list(newest_first)):
            self._append(view)
        self._begin = self._ranges[0].view if self._ranges else None
        self._is_whole = len(self._ranges) < self._kept_max

    def changed(self, view: BatchView) -> None:
        """A batch has come further, is new, or (``matched``) was given up with all behind it."""
        if self._found is not None and self._found.view.batch >= view.batch:
            self._found = None
        self._begin = self._begin or view
        at, count = view.batch - self._begin.batch, len(self._ranges)
        if view.state == MATCHED.state:
            if at < 0:
                # Older than all here, which is given up with it: memory begins with what will
                # stand in its place.
                self._begin = view
            del self._firsts[max(at, 0) :], self._ranges[max(at, 0) :]
        elif at < 0:
            return
        elif at < count:
            self._firsts[at], self._ranges[at] = view.first_trade, _range(view)
        else:
            assert at == count, "batches are numbered without a gap"
            self._append(view)
            self._bound()

    def of(self, trade_id: int) -> TradeState:
        """Return how far a trade is; that it was busted is known elsewhere."""
        at = bisect_right(self._firsts, trade_id) - 1
        if at >= 0:
            found = self._ranges[at]
            return found.state if trade_id <= found.last_trade else MATCHED
        is_old = self._begin is not None and trade_id < self._begin.first_trade
        return self._of_old(trade_id) if is_old and not self._is_whole else MATCHED

    def newest(self, limit: int) -> list[BatchView]:
        """Return up to ``limit`` batches, newest first."""
        return [found.view for found in self._ranges[: -limit - 1 : -1]]

    def _of_old(self, trade_id: int) -> TradeState:
        found = self._found
        if found is None or not found.view.first_trade <= trade_id <= found.last_trade:
            view = self._older(trade_id)
            if view is None:
                return MATCHED
            self._found = found = _range(view)
        return found.state

    def _append(self, view: BatchView) -> None:
        self._firsts.append(view.first_trade)
        self._ranges.append(_range(view))

    def _bound(self) -> None:
        # A quarter at once: taking one off the front of a list moves all the others.
        if len(self._ranges) > self._kept_max:
            gone = self._kept_max // 4
            del self._firsts[:gone], self._ranges[:gone]
            self._begin, self._is_whole = self._ranges[0].view, False


def _range(view: BatchView) -> _Range:
    state = TradeState(view.state, view.batch, view.tx_hash)
    return _Range(view.last_trade, view, state)
