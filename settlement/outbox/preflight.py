"""Would the contract take an action now? Asked before it is signed and gas is spent on it.

What could be carried by no block is refused by its figures. What is next in line is tried by a
call; a refusal has to last before it is believed, and what is early for the chain's time or for the
batches before it waits and is not refused.

It is tried with the gas that its transaction will have. What no node can try, though it answers all
else, waits too and is named: nobody else waits for it.

Behind one address there may be many nodes, and one that lags answers for a world that is gone: it
refuses what has been paid for since and allows what has been spent. So a call is asked at the
highest block that any node has shown; a node without it says so, and the next step asks again.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from settlement.chain.chain import Block, BlockTag, Chain, ChainUnavailableError
from settlement.chain.reverts import revert_reason
from settlement.chain.signer import CALLDATA_MAX, TRANSACTION_GAS_MAX
from settlement.outbox.actions import Action, ActionKind, BatchState, batch_number
from settlement.outbox.outbox import Outbox
from settlement.outbox.tables import WATCHED
from settlement.outbox.troubles import ClocksDiffer, Paused, Untried
from settlement.protocol.eip712 import keccak256

EARLY: Final = "CloseTimeTooLate("
"""The chain's time is not there yet: the batch waits, and nothing is wrong with it."""

CLOCK_TOLERANCE_S: Final = 15
"""So much later than its block a batch may close; the contract's."""

EARLY_PAYOUT: Final = "LogNotSettled("
"""A withdrawal that came before the batches it stands behind waits for them."""

PAUSED: Final = "TokenPaused("
"""The contract's admin has paused a token, for now: what is of it waits."""

GAS_CEILING_MIN: Final = 1 << 20
"""A node that says its blocks hold less is not believed: no exchange could run there."""

TRIED: Final = (
    ActionKind.WITHDRAWAL,
    ActionKind.SWEEP,
    ActionKind.GRANT,
    ActionKind.REVOKE,
    ActionKind.AUTHORIZATION,
)
"""What is tried by a call before gas is spent on it, as batches are."""

HEAD_SELECTOR: Final = keccak256(b"head()")[:4]


class Verdict(Enum):
    """What to do with an action that is to be signed."""

    WELCOME = "sign it"
    WAITS = "ask again later"
    REJECTED = "it has failed, and the outbox says why"


class Preflight:
    """Tries actions. Not thread-safe: the submitter calls it."""

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        operator: bytes,
        exchange: bytes,
        rejection_lasts_ns: int,
        pause_lasts_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        """``operator`` is the sender's address; a refusal is believed after so long, and a batch
        waits at most ``pause_lasts_ns`` for a token that is paused."""
        self._chain = chain
        self._outbox = outbox
        self._operator = operator
        self._exchange = exchange
        self._rejection_lasts_ns = rejection_lasts_ns
        self._pause_lasts_ns = pause_lasts_ns
        self._now_ns = now_ns
        self.gas_ceiling = TRANSACTION_GAS_MAX
        """What one transaction may use, as far as the newest block says."""
        self.early: ClocksDiffer | None = None
        """Why the next batch has to wait for the chain's time."""
        self.waiting: dict[int, Untried | Paused] = {}
        """What no node could try in this round, and what is of a token that is paused."""
        self._waited: dict[int, Untried | Paused] = {}
        """The same of the round before: what is not tried anew waits for the same reason."""
        self._newest = 0
        self._head: Block | None = None
        self._rejected_since: dict[int, int] = {}
        self._tried_at: dict[int, Block] = {}
        """At which block what waits was last tried."""

    @property
    def newest(self) -> int:
        """Return the highest block that any node has shown; at a start, the last one whose deposits
        are in the journal."""
        unread = self._outbox.cursor(WATCHED)
        return max(self._newest, 0 if unread is None else unread - 1)

    def follow(self, head: Block) -> None:
        """Take what a node calls the newest block.

        Stay a sixteenth below the gas that it holds: the limit moves with every block.
        """
        self._head, self._newest = head, max(self._newest, head.number)
        room = head.gas_limit - head.gas_limit // 16
        if room >= GAS_CEILING_MIN:
            self.gas_ceiling = min(room, TRANSACTION_GAS_MAX)

    def begin(self) -> None:
        """Begin a round: what kept waiting in the last one is asked for again."""
        self.early, self._waited, self.waiting = None, self.waiting, {}

    def verdict(self, action: Action) -> Verdict:
        """Return whether ``action`` may be signed; one that is refused is FAILED by then.

        Raises ``ChainUnavailableError`` only where the node answers nothing else either.
        """
        if action.kind is not ActionKind.BATCH and action.kind not in TRIED:
            return Verdict.WELCOME
        try:
            if action.kind is ActionKind.BATCH:
                return self._verdict_on_batch(action)
            return self._verdict_on_call(action)
        except ChainUnavailableError as error:
            if self._chain.head().number < self.newest:
                raise  # It lags, so that it can try nothing.
            self.waiting[action.id] = Untried(action.kind, action.key, str(error))
            return Verdict.WAITS

    def too_large(self, action: Action) -> str | None:
        """Return why no block can carry a transaction, judged by its figures; None if one can."""
        if action.gas_limit > self.gas_ceiling:
            return f"{action.gas_limit} gas are more than a transaction's {self.gas_ceiling}"
        if len(action.calldata) > CALLDATA_MAX:
            return f"{len(action.calldata)} bytes are more than a transaction's {CALLDATA_MAX}"
        return None

    def _verdict_on_batch(self, action: Action) -> Verdict:
        """Only the next batch can be tried; what follows a batch in flight is signed on trust."""
        ours = self._outbox.batch(batch_number(action.key))
        assert ours is not None
        reason = self.too_large(action)
        if reason is None:
            if self._chain.call(self._exchange, HEAD_SELECTOR) != ours.batch.prev_head:
                assert self._head is not None
                is_timely = ours.batch.close_time <= self._head.timestamp + CLOCK_TOLERANCE_S
                return Verdict.WELCOME if is_timely else Verdict.WAITS
            reason = self._rejection_of(action)
            if reason is not None and action.id in self._rejected_since:
                # One that lags would refuse it as well: ask a node that has the newest block.
                reason = self._rejection_of(action, self.newest)
            if reason is not None and reason.startswith(EARLY):
                reason = self._rejection_in_time(action, ours)
        if reason is None:
            self._rejected_since.pop(action.id, None)
            return Verdict.WELCOME
        is_patient = self._now_ns() - action.sealed_ns < self._pause_lasts_ns
        if reason.startswith(PAUSED) and is_patient:
            self.waiting[action.id] = Paused(action.kind, action.key, reason)
            self._rejected_since.pop(action.id, None)
            return Verdict.WAITS
        if reason.startswith(EARLY) or not self._has_lasted(action, reason):
            return Verdict.WAITS
        self._outbox.rejected(action.id, reason, self._now_ns())
        return Verdict.REJECTED

    def _rejection_in_time(self, action: Action, ours: BatchState) -> str | None:
        """The newest block is too old for it: would one that is made now refuse it?

        A chain that mines only when asked says so of its pending block. Where none is to be had,
        blocks come by themselves.
        """
        try:
            reason = self._rejection_of(action, "pending")
        except ChainUnavailableError:
            reason = EARLY
        if reason is not None and reason.startswith(EARLY):
            assert self._head is not None
            ahead = ours.batch.close_time - self._head.timestamp
            self.early = ClocksDiffer(ours.batch.number, ahead)
        return reason

    def _verdict_on_call(self, action: Action) -> Verdict:
        """Would the contract pay, sweep, grant or revoke it? To ask once a block is enough.

        A withdrawal is refused for as long as it is ahead of the batches that it names.
        """
        head = self._head
        assert head is not None
        if self._tried_at.get(action.id) == head and action.id not in self._rejected_since:
            if action.id in self._waited:
                self.waiting[action.id] = self._waited[action.id]
            return Verdict.WAITS
        reason = self.too_large(action) or self._rejection_of(action, self.newest)
        self._tried_at[action.id] = head  # Only now: a node that lags has not tried it.
        is_early = reason is not None and reason.startswith((EARLY_PAYOUT, PAUSED))
        if reason is not None and reason.startswith(PAUSED):
            self.waiting[action.id] = Paused(action.kind, action.key, reason)
        if reason is None or is_early:
            self._rejected_since.pop(action.id, None)
        if reason is None:
            del self._tried_at[action.id]
            return Verdict.WELCOME
        if is_early or not self._has_lasted(action, reason):
            return Verdict.WAITS
        del self._tried_at[action.id]
        self._outbox.rejected(action.id, reason, self._now_ns())
        return Verdict.REJECTED

    def _rejection_of(self, action: Action, block: BlockTag = "latest") -> str | None:
        call = self._chain, action.to, action.calldata, self._operator
        return revert_reason(*call, action.gas_limit, block)

    def _has_lasted(self, action: Action, reason: str) -> bool:
        """A refusal has to last: a node can be behind, and a reorganisation can take back what pays
        for it."""
        now = self._now_ns()
        since = self._rejected_since.setdefault(action.id, now)
        if now - since < self._rejection_lasts_ns:
            if action.error != reason:
                self._outbox.noted(action.id, reason)
            return False
        del self._rejected_since[action.id]
        return True
