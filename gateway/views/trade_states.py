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

MATCHED: Final = TradeState("matched")


class BatchView(NamedTuple):
    """One settlement batch; ``state`` as in ``TradeState`` (batched, submitted, mined, final)."""

    batch: int
    state: str
    first_trade: int
    last_trade: int
    tx_hash: bytes | None


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
        self._is_whole = True
        """Whether all batches there are are in memory."""
        self._found: _Range | None = None
        """The last older batch that was asked for: its neighbours are asked for next."""

    def load(self, newest_first: Iterable[BatchView]) -> None:
        """Begin with what the outbox has; ``newest_first`` may stop at ``kept_max``."""
        self._firsts, self._ranges, self._found = [], [], None
        for view in reversed(list(newest_first)):
            self._append(view)
        self._is_whole = len(self._ranges) < self._kept_max

    def changed(self, view: BatchView) -> None:
        """A batch has come further, is new, or (``matched``) was given up with all behind it."""
        if self._found is not None and self._found.view.batch == view.batch:
            self._found = None
        first = self._ranges[0].view.batch if self._ranges else view.batch
        at, count = view.batch - first, len(self._ranges)
        if at < 0 or (at >= count and view.state == MATCHED.state):
            return
        if view.state == MATCHED.state:
            del self._firsts[at:], self._ranges[at:]
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
        return MATCHED if self._is_whole else self._of_old(trade_id)

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
            self._is_whole = False


def _range(view: BatchView) -> _Range:
    state = TradeState(view.state, view.batch, view.tx_hash)
    return _Range(view.last_trade, view, state)
