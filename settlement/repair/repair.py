"""What happens when the contract refuses a batch?

It is taken apart: the trades that cannot settle are found and busted in the ledger, by commands
that the caller sends; then the batch and all that were sealed on top of it are abandoned and
sealed anew without them. Nothing of it is in memory alone: after a restart the refused batch is in
the outbox, what is busted is in the journal, and the rest is found again.
"""

from collections.abc import Callable
from typing import NamedTuple

from settlement.batches.encode import Bust
from settlement.batches.sealer import Sealer
from settlement.batches.trade_queue import TradeQueue
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import BatchRejected
from settlement.repair.culprits import CulpritSearch, Verdict


class RejectedBatch(NamedTuple):
    """A refused batch, and what the submitter knows of it.

    ``is_too_large`` says that no block can carry it, ``newest`` is the highest block that any node
    has shown.
    """

    batch: BatchRejected
    is_too_large: bool
    newest: int


class Repair:
    """``busts_due`` belongs to any thread, the rest to the settlement's worker."""

    def __init__(
        self,
        outbox: Outbox,
        sealer: Sealer,
        queue: TradeQueue,
        culprits: CulpritSearch,
        pause_lasts_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        """``pause_lasts_ns`` is how long trades wait for a token that is paused."""
        self._outbox = outbox
        self._sealer = sealer
        self._queue = queue
        self._culprits = culprits
        self._pause_lasts_ns = pause_lasts_ns
        self._now_ns = now_ns
        self._examined: BatchRejected | None = None
        self._verdict = Verdict([])
        self._busts: list[Bust] = []

    @property
    def batch_independent(self) -> str | None:
        """Return why the contract refuses batches whatever is in them; None if it does not."""
        return self._verdict.batch_independent

    def busts_due(self) -> list[Bust]:
        """Return trades to bust now, the newest first: a later trade may spend what it gave."""
        return [bust for bust in reversed(self._busts) if self._is_open(bust.trade.trade_id)]

    def bust(self, busts: list[Bust]) -> None:
        """These trades, and no others, are to be undone: no batch is refused."""
        self._busts = busts

    def take_apart(self, rejection: RejectedBatch) -> bool:
        """Find out what has to be busted of a batch that can land no more; seal anew when it is.
        Return whether that was done: then no batch is refused any more.

        Raises ``ChainUnavailableError``.
        """
        if self._examined != rejection.batch:
            self._examine(rejection)
        if self._verdict.batch_independent or any(
            self._is_open(b.trade.trade_id) for b in self._busts
        ):
            return False
        self._sealer.unseal(self._now_ns(), rejection.batch.number)
        self._examined, self._busts = None, []
        return True

    def _examine(self, rejection: RejectedBatch) -> None:
        found = self._outbox.batch(rejection.batch.number)
        assert found is not None, "it was refused, so it was sealed"
        header, trades = self._sealer.rehearsal(found.batch, self._now_ns())
        waited_ns = self._now_ns() - min((trade.time_ns for trade in trades), default=0)
        # One that no transaction can carry is cut smaller when it is sealed anew: the contract has
        # no say in that.
        self._verdict = (
            Verdict([])
            if rejection.is_too_large
            else self._culprits.examine(
                header,
                trades,
                rejection.newest,
                pause_lasts=waited_ns >= self._pause_lasts_ns,
            )
        )
        self._busts = self._verdict.busts
        # A batch that is refused though nothing in it is may be taken later: it is tried again.
        self._examined = None if self._verdict.batch_independent else rejection.batch

    def _is_open(self, trade_id: int) -> bool:
        return not self._queue.is_busted(trade_id)
