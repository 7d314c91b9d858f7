"""What happens when the contract refuses a batch?

It is taken apart: the trades that cannot settle are found and busted in the ledger, by commands
that the caller sends; then the batch and all that were sealed on top of it are abandoned and
sealed anew without them. Nothing of it is in memory alone: after a restart the refused batch is in
the outbox, what is busted is in the journal, and the rest is found again.
"""

from collections.abc import Callable

from settlement.batches.encode import Bust
from settlement.batches.sealer import Sealer
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import BatchRefused, Submitter
from settlement.repair.culprits import Quarantine, Verdict


class Repair:
    """``step`` belongs to the settlement's worker, the rest to any thread."""

    def __init__(
        self,
        outbox: Outbox,
        sealer: Sealer,
        submitter: Submitter,
        quarantine: Quarantine,
        now_ns: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._sealer = sealer
        self._submitter = submitter
        self._quarantine = quarantine
        self._now_ns = now_ns
        self._examined: BatchRefused | None = None
        self._verdict = Verdict([])
        self._busts: list[Bust] = []

    @property
    def hopeless(self) -> str | None:
        """Return why the contract refuses batches whatever is in them; None if it does not."""
        return self._verdict.hopeless

    def busts_due(self) -> list[Bust]:
        """Return trades to bust now, the newest first: a later trade may spend what it gave."""
        return [bust for bust in reversed(self._busts) if self._is_open(bust.trade.trade_id)]

    def step(self) -> bool:
        """Find out what has to be busted; seal anew when it is. Return whether that was done.

        Raises ``ChainUnavailableError``.
        """
        halted = self._submitter.halted
        if halted is None:
            self._busts = self._sealer.doomed
            return False
        if not isinstance(halted, BatchRefused) or not self._submitter.is_refusal_final():
            return False
        if self._examined != halted:
            self._examine(halted)
        if self._verdict.hopeless or any(self._is_open(b.trade.trade_id) for b in self._busts):
            return False
        self._sealer.unseal(self._now_ns(), halted.number)
        self._submitter.resume()
        self._examined, self._busts = None, []
        return True

    def _examine(self, halted: BatchRefused) -> None:
        found = self._outbox.batch(halted.number)
        assert found is not None, "it was refused, so it was sealed"
        header, trades = self._sealer.rehearsal(found.batch, self._now_ns())
        # One that no transaction can carry is cut smaller when it is sealed anew: the contract has
        # no say in that.
        is_too_large = self._submitter.is_too_large(found.action_id)
        newest = self._submitter.newest
        waited_ns = self._now_ns() - min((trade.time_ns for trade in trades), default=0)
        pause_lasts = waited_ns >= self._submitter.policy.pause_lasts_ns
        self._verdict = (
            Verdict([])
            if is_too_large
            else self._quarantine.examine(header, trades, newest, pause_lasts=pause_lasts)
        )
        self._busts = self._verdict.busts
        # A batch that is refused though nothing in it is may be taken later: it is tried again.
        self._examined = None if self._verdict.hopeless else halted

    def _is_open(self, trade_id: int) -> bool:
        return not self._sealer.is_busted(trade_id)
