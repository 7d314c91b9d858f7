"""Which withdrawals have to be given back, because the contract never paid them?

The ledger is debited when a withdrawal is asked for; the contract pays later, or refuses. What
nobody has countersigned can never be paid: it is tried first, and given back at once if the token
would not have it. Of one that was countersigned both signatures are public, so anybody may send it
again while it lasts: it is given back only when its expiry has passed in a block that is final and
no log says that it was paid. One that was paid is remembered until no reorganisation reaches it.

An exit takes from the vault what it finds, the money of a withdrawal on its way included. The
command that books it names that withdrawal: what was taken of it is not given back, and if it is
paid after all, because more money had come in, the account is charged for it once more.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from eth_abi.abi import decode as abi_decode

from engine.commands import Kind
from engine.events import EventKind, pips_from_unpaid
from engine.log_entries import Committed, LogEntry
from settlement.batches.builder import PendingWithdrawal
from settlement.chain.chain import Chain, Log, Receipt
from settlement.orders.withdrawals import OpenWithdrawal
from settlement.outbox.actions import Action, ActionKind, ActionState
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import REORG_BLOCKS_MAX
from settlement.protocol.abi import abi_types
from settlement.protocol.eip712 import keccak256
from settlement.protocol.evidence import (
    ExitEvidence,
    SignedWithdrawal,
    WithdrawalPaid,
    WithdrawalReturned,
    evidence_of,
)

WITHDRAWN_TOPIC: Final = keccak256(b"Withdrawn(address,address,address,uint64,uint64)")
TAKEN_BY_AN_EXIT: Final = "an exit has taken the money"
PASSED_OVER: Final = "a later one was countersigned before it"
NOT_FOLLOWED: Final = (ActionState.FAILED, ActionState.SEALED)
"""Where no transaction of ours may land that the submitter has to look after."""

MONEY_KINDS: Final = tuple(map(int, (Kind.WITHDRAW, Kind.DEPOSIT, Kind.EXIT_END)))

Holding = tuple[bytes, bytes]
"""(account, token)."""

Trial = Callable[[SignedWithdrawal], str | None]
"""Why a withdrawal that nobody has countersigned could not be paid; None if it could.
Raises ``ChainUnavailableError``."""


class Reversal(NamedTuple):
    """Give ``amount`` pips back to ``account``: the debit of command ``sequence`` is void."""

    sequence: int
    account: bytes
    token: bytes
    amount: int
    reason: str


class LatePayment(NamedTuple):
    """Charge ``account`` once more: the withdrawal of command ``sequence`` was paid, though an exit
    had taken ``amount`` pips of it before."""

    sequence: int
    account: bytes
    token: bytes
    amount: int


class _Memory(msgspec.Struct):
    done: list[int]
    open: list[OpenWithdrawal]


class WithdrawalReversals:
    """Knows which withdrawals are open (a consumer) and finds what has to be put right.

    ``look`` and ``may_pay`` belong to the settlement's worker, the rest to the pipeline's thread.
    """

    checkpoint_name = "returns/2"

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        exchange: bytes,
        deploy_block: int,
        confirmations: int,
        trial: Trial,
        newest: Callable[[], int],
        now_ns: Callable[[], int],
    ) -> None:
        """``newest`` is the highest block that any node has shown."""
        self._chain = chain
        self._outbox = outbox
        self._exchange = exchange
        self._deploy_block = deploy_block
        self._confirmations = confirmations
        self._trial = trial
        self._newest = newest
        self._now_ns = now_ns
        self._open: dict[int, OpenWithdrawal] = {}
        self._by_holding: dict[Holding, dict[int, OpenWithdrawal]] = {}
        self._done: set[int] = set()
        """Given back, or charged for once more."""
        self._lost: dict[int, str] = {}
        """Can never be paid, and why."""
        self._paid: dict[int, int] = {}
        """Seen in a final block, and in which."""
        self._firm: set[int] = set()
        """Paid in a block that no reorganisation reaches."""

    # Follow the journal.

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(_Memory(sorted(self._done), list(self._open.values())))

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._done = set(saved.done)
        for withdrawal in saved.open:
            self._begin(withdrawal)

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        if not batch.has(MONEY_KINDS):
            return
        for entry in batch.entries:
            if entry.command.kind not in MONEY_KINDS or not len(entry.events):
                continue
            if entry.answer[0].kind != EventKind.REJECTED:
                self._take(entry)

    def _take(self, entry: LogEntry) -> None:
        match evidence_of(entry):
            case SignedWithdrawal(account=account, token=token, amount=amount):
                if entry.answer[0].kind == EventKind.WITHDRAWN:
                    self._begin(OpenWithdrawal(entry.sequence, account, token, amount))
            case WithdrawalReturned(sequence=sequence) | WithdrawalPaid(sequence=sequence):
                self._end(sequence)
                self._done.add(sequence)
            case ExitEvidence(withdrawal=sequence) if sequence:
                self._open[sequence].taken += pips_from_unpaid(entry.answer_row)

    def _begin(self, withdrawal: OpenWithdrawal) -> None:
        self._open[withdrawal.sequence] = withdrawal
        holding = withdrawal.account, withdrawal.token
        self._by_holding.setdefault(holding, {})[withdrawal.sequence] = withdrawal

    def _end(self, sequence: int) -> None:
        withdrawal = self._open.pop(sequence, None)
        self._lost.pop(sequence, None)
        self._paid.pop(sequence, None)
        self._firm.discard(sequence)
        if withdrawal is None:
            return
        holding = withdrawal.account, withdrawal.token
        del self._by_holding[holding][sequence]
        if not self._by_holding[holding]:
            del self._by_holding[holding]

    # Be asked.

    def is_void(self, sequence: int) -> bool:
        """Return whether the withdrawal of command ``sequence`` was given back, or paid late."""
        return sequence in self._done

    def unpaid(self, account: bytes, token: bytes) -> OpenWithdrawal | None:
        """Return the newest withdrawal of ``account`` that may still have to be paid."""
        found = self._by_holding.get((account, token), {})
        unpaid = [sequence for sequence in found if sequence not in self._paid]
        return found[max(unpaid)] if unpaid else None

    def taken(self, sequence: int) -> int:
        """Return the pips of an open withdrawal that an exit has taken."""
        withdrawal = self._open.get(sequence)
        return 0 if withdrawal is None else withdrawal.taken

    def shortened(self) -> list[OpenWithdrawal]:
        """Return the open withdrawals of which an exit has taken something; any thread may ask."""
        return [withdrawal for withdrawal in list(self._open.values()) if withdrawal.taken]

    def unsigned(self) -> list[OpenWithdrawal]:
        """Return the open withdrawals that nobody has countersigned yet, oldest first.

        They wait for the batches before them, or to be given back.
        """
        found = [withdrawal for _, withdrawal in sorted(self._open.items())]
        return [w for w in found if self._action(w.sequence) is None]

    def due(self) -> list[Reversal]:
        """Return what can be given back and was not yet; forget what is settled without."""
        self._forget_paid()
        due = []
        for sequence, reason in list(self._lost.items()):
            found = self._open.get(sequence)
            if found is None:
                continue
            if found.left:
                due.append(Reversal(sequence, found.account, found.token, found.left, reason))
            else:
                self._end(sequence)  # An exit has had all of it.
                self._done.add(sequence)
        return due

    def late(self) -> list[LatePayment]:
        """Return what was paid though an exit had taken it."""
        self._forget_paid()
        found = [self._open[sequence] for sequence in sorted(self._paid.copy())]
        return [LatePayment(w.sequence, w.account, w.token, w.taken) for w in found if w.taken]

    def _forget_paid(self) -> None:
        for sequence in self._firm.copy():
            if not self.taken(sequence):
                self._end(sequence)

    # Ask the chain.

    def may_pay(self, pending: PendingWithdrawal) -> bool:
        """Return whether one that nobody has countersigned may be paid; if not it is given back.

        Raises ``ChainUnavailableError``.
        """
        if pending.sequence in self._lost:
            return False
        reason = TAKEN_BY_AN_EXIT if self.taken(pending.sequence) else None
        reason = reason or self._trial(pending.withdrawal)
        if reason is not None:
            self._lost[pending.sequence] = reason
        return reason is None

    def look(self) -> None:
        """Ask outbox and chain what has become of them. Raises ``ChainUnavailableError``."""
        refused = []
        firm = self._newest() - REORG_BLOCKS_MAX
        newest_signed = int(self._outbox.last_key(ActionKind.WITHDRAWAL) or 0) if self._open else 0
        for sequence in list(self._open):
            paid_in = self._paid.get(sequence)
            if sequence in self._lost or (paid_in is not None and paid_in > firm):
                continue
            action = self._action(sequence)
            if action is None:
                # They are countersigned in their order. No command ends one that an exit has had
                # all of: after a restart it is open again, but waits in no queue any more.
                if sequence < newest_signed:
                    self._lost[sequence] = PASSED_OVER
                continue
            if action.state is ActionState.FINAL:
                assert action.block_number is not None, "it is in a block"
                self._paid[sequence] = action.block_number
                if action.block_number <= firm:
                    self._firm.add(sequence)
                continue
            self._paid.pop(sequence, None)  # A reorganisation has taken it back.
            if action.state is ActionState.FAILED:
                refused.append(action)
        if not refused:
            return
        final = self._chain.block(self._chain.head().number - self._confirmations + 1)
        if final is None:
            return
        for action in refused:
            withdrawal = withdrawal_of(action)
            if final.timestamp <= withdrawal.expiry:
                continue
            if not self.is_paid(action, final.number):
                self._lost[int(action.key)] = action.error or ""

    def _action(self, sequence: int) -> Action | None:
        return self._outbox.find(ActionKind.WITHDRAWAL, str(sequence))

    def is_paid(self, action: Action, block: int) -> bool:
        """Return whether a log up to final ``block`` says that it was paid, whoever sent it.

        Where somebody else did it is written down, so that the chain is asked no more.
        """
        payment = self._payment(action, block) if self._is_public(action) else None
        if payment is not None and action.state in NOT_FOLLOWED:
            self._paid_by_another(action, payment, block)
        return payment is not None

    def _is_public(self, action: Action) -> bool:
        """Return whether our signature was ever sent: whoever has it may be the one who pays."""
        # At a nonce that was given up too: what is to be sent anew is SEALED again.
        is_new = action.state is ActionState.SEALED
        return not is_new or bool(self._outbox.tx_hashes(action, is_present=False))

    def _payment(self, action: Action, block: int) -> Log | None:
        withdrawal = withdrawal_of(action)
        parties = [bytes(12) + withdrawal.account, bytes(12) + withdrawal.token]
        first = max(self._deploy_block, self._outbox.block_before(action.id))
        logs = self._chain.logs([self._exchange], [WITHDRAWN_TOPIC, *parties], first, block)
        nonce = withdrawal.nonce
        return next((g for g in logs if int.from_bytes(g.payload[-32:], "big") == nonce), None)

    def _paid_by_another(self, action: Action, payment: Log, block: int) -> None:
        """From here on the submitter looks after it, as if it were ours.

        In the later block of the two, if ours was refused in one: when that is lost ours has to be
        sent again, for the next nonces wait for it.
        """
        at = payment.tx_hash, payment.block_number, payment.block_hash
        ours = action.mined_hash, action.block_number, action.block_hash
        if ours[0] is not None and ours[1] is not None and ours[2] is not None:
            at = max(at, (ours[0], ours[1], ours[2]), key=lambda place: place[1])
        if at[1] <= block:
            receipt = Receipt(*at, True, action.gas_used or 0, 0, None)
            self._outbox.mined(action.id, receipt, self._now_ns())


class Withdrawal(NamedTuple):
    """What an action pays out, as the contract reads it."""

    account: bytes
    token: bytes
    amount: int
    nonce: int
    expiry: int


def withdrawal_of(action: Action) -> Withdrawal:
    """Return what a withdrawal's action pays out."""
    types = abi_types("Exchange", "function", "withdraw")
    (account, token, amount, _, nonce, expiry), *_ = abi_decode(types, action.calldata[4:])
    owner, asset = bytes.fromhex(account[2:]), bytes.fromhex(token[2:])
    return Withdrawal(owner, asset, amount, nonce, expiry)
