"""How does what the outbox holds get into the chain, each of it exactly once?

``step`` is called again and again by one worker and does whatever can be done now: sign what is
sealed, send what is signed, look for receipts, send again what vanished, pay more for what is
stuck. It never sleeps and never loops. Before anything is sent the chain's own batch head is
compared with the outbox: the chain, not our memory, says what has happened.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from settlement.actions import Action, ActionKind, ActionState, BatchState, Mined, batch_number
from settlement.chain import (
    Block,
    Chain,
    Receipt,
    Sending,
)
from settlement.eip712 import keccak256
from settlement.outbox import Outbox
from settlement.refusals import why_refused
from settlement.signer import Signer, Transaction

GENESIS_HEAD: Final = bytes(32)
FOLLOWED_MAX: Final = 1_000
REORG_BLOCKS_MAX: Final = 64
"""What is in a block this deep is not looked after any more: two epochs of Ethereum. A chain that
forgets more than that has to be looked at by a human."""

EARLY: Final = "CloseTimeTooLate("
"""A chain that mines seldom is behind our clock; the block that takes the batch will not be."""

EARLY_PAYOUT: Final = "LogNotSettled("
"""A withdrawal that came before the batches it stands behind waits for them."""

SENT: Final = (ActionState.SIGNED, ActionState.BROADCAST)
HEAD_SELECTOR: Final = keccak256(b"head()")[:4]


class Policy(NamedTuple):
    """How transactions are priced and followed.

    ``bump_ppm`` is what both fee fields grow by for a replacement: nodes demand 10 %.
    ``confirmations`` counts the block of the transaction itself as the first.
    """

    confirmations: int
    tip_wei: int = 10**9
    fee_cap_wei: int = 500 * 10**9
    bump_ppm: int = 130_000
    bump_after_ns: int = 20 * 10**9
    in_flight_max: int = 16
    calm_wei: int = 100 * 10**9
    """Above this base fee what can wait does: see ``patience_ns``."""

    patience_ns: int = 3_600 * 10**9
    """How long a trade waits at most for gas to become cheaper, half of it for company and half of
    it sealed; well below the contract's horizon."""


class HeadMismatch(NamedTuple):
    """The chain's batch head is one that the outbox does not know, or has left behind for good."""

    on_chain: bytes
    expected: bytes
    """The head after the last batch that was final here."""

    def __str__(self) -> str:
        return (
            f"the exchange contract is at batch head 0x{self.on_chain.hex()}, "
            f"which does not follow 0x{self.expected.hex()} in this outbox"
        )


class BatchRefused(NamedTuple):
    """The contract refuses a batch. No later batch can be accepted, so none is sent until this one
    has been taken apart; ``tx_hash`` is empty if it was only tried, not sent."""

    number: int
    tx_hash: bytes
    reason: str

    def __str__(self) -> str:
        where = f"reverted in 0x{self.tx_hash.hex()}" if self.tx_hash else "is refused"
        return f"batch {self.number} {where}: {self.reason}"


Halt = HeadMismatch | BatchRefused


class Submitter:
    """The only sender of the operator's transactions. Not thread-safe: one worker calls it."""

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        signer: Signer,
        exchange: bytes,
        policy: Policy,
        now_ns: Callable[[], int],
    ) -> None:
        """``exchange`` is the address whose ``head()`` decides about batches."""
        self._chain = chain
        self._outbox = outbox
        self._signer = signer
        self._exchange = exchange
        self.policy = policy
        self._now_ns = now_ns
        self.halted: Halt | None = None
        self.is_dear = False
        """Whether gas was dear when something was last to be signed."""
        self._reconciled = False
        self._followed: Block | None = None
        self._spent_since: dict[int, int] = {}
        self._refused_since: dict[int, int] = {}

    def step(self) -> bool:
        """Do what can be done now; return whether anything moved.

        Raises ``ChainUnavailableError`` when the node does not answer; the next step resumes.
        """
        if not self._reconciled:
            self.halted = self._reconcile() or self._halt_on_record()
            self._reconciled = True
        if isinstance(self.halted, HeadMismatch):
            return False
        moved = self._follow()
        # What is signed after a batch that was refused still has to use up its nonces.
        if self.halted is None:
            moved = self._sign() or moved
        return self._send() or moved

    def is_refusal_final(self) -> bool:
        """Return whether the refused batch, and all sent after it, can land no more."""
        if not isinstance(self.halted, BatchRefused):
            return False
        sent = self._outbox.in_state(*SENT, limit=self.policy.in_flight_max)
        if any(action.kind is ActionKind.BATCH for action in sent):
            return False
        head = self._chain.head()
        return all(
            action.block_number is None
            or head.number - action.block_number + 1 >= self.policy.confirmations
            for action in self._outbox.in_state(ActionState.FAILED, limit=FOLLOWED_MAX)
            if action.kind is ActionKind.BATCH
        )

    def resume(self) -> None:
        """The refused batch has been taken apart: go on."""
        self.halted = None

    # Restart: the chain decides.

    def _halt_on_record(self) -> Halt | None:
        for action in self._outbox.in_state(ActionState.FAILED, limit=1_000):
            if action.kind is ActionKind.BATCH:
                number = batch_number(action.key)
                return BatchRefused(number, action.mined_hash or b"", action.error or "")
        return None

    def _reconcile(self) -> Halt | None:
        """Compare the chain's head with the outbox. Only one of our own heads will do."""
        on_chain = self._chain.call(self._exchange, HEAD_SELECTOR)
        last = self._last_final_head()
        if on_chain == last:
            return None
        known = self._outbox.batch_by_head(on_chain)
        if known is None:
            return HeadMismatch(on_chain, last)
        # A head below the last final one means that the chain forgot what it had promised to keep.
        # Where it still has the batch that it is at now, it is a reorganisation like any other.
        if known.state is ActionState.FINAL and not self._is_reorganised(known):
            return HeadMismatch(on_chain, last)
        return None

    def _is_reorganised(self, known: BatchState) -> bool:
        action = self._outbox.action(known.action_id)
        assert action.block_number is not None and action.block_hash is not None
        mined = Mined(action.id, action.state, action.block_number, action.block_hash)
        lost = self._outbox.batch(known.batch.number + 1)
        assert lost is not None and lost.block_number is not None, "it was final"
        is_near = self._chain.head().number - lost.block_number < REORG_BLOCKS_MAX
        return is_near and self._is_there(mined)

    def _last_final_head(self) -> bytes:
        final = self._outbox.last_final_batch()
        return GENESIS_HEAD if final is None else final.batch.head

    # Follow what is out.

    def _follow(self) -> bool:
        head = self._chain.head()
        # Without a new block nothing that was mined can have moved, and nothing has vanished.
        is_new = head != self._followed
        self._followed = head
        moved = False
        if is_new:
            moved = self._look_back(head)
        for action in self._outbox.in_state(*SENT, limit=self.policy.in_flight_max):
            moved = self._find(action, is_new) or moved
        return moved

    def _look_back(self, head: Block) -> bool:
        """Are the blocks of what is mined still there, and how much is on top of them?"""
        mined = self._outbox.in_blocks(head.number - REORG_BLOCKS_MAX, FOLLOWED_MAX)
        mined.sort(key=lambda action: action.block_number)
        moved = False
        # Where the newest block is still there all the older ones are.
        while mined and not self._is_there(mined[-1]):
            lost = mined.pop()
            self._outbox.broadcast(lost.id, self._now_ns())
            if lost.state is ActionState.FAILED:
                self.halted = self._halt_on_record()  # It may succeed this time.
            moved = True
        for action in mined:
            moved = self._deepen(action, head) or moved
        return moved

    def _is_there(self, mined: Mined) -> bool:
        block = self._chain.block(mined.block_number)
        return block is not None and block.hash == mined.block_hash

    def _deepen(self, mined: Mined, head: Block) -> bool:
        """Is there enough on top of a block that is still there?"""
        if mined.state is not ActionState.MINED:
            return False
        if head.number - mined.block_number + 1 < self.policy.confirmations:
            return False
        self._outbox.final(mined.id, self._now_ns())
        return True

    def _find(self, action: Action, is_new: bool) -> bool:
        """Look for its receipt; send it again if a new block came without it."""
        receipt = self._receipt_of(action)
        if receipt is not None and receipt.succeeded:
            self._outbox.mined(action.id, receipt, self._now_ns())
            # There may be depth enough already, and no further block to wait for.
            mined = Mined(action.id, ActionState.MINED, receipt.block_number, receipt.block_hash)
            if self._is_there(mined):
                self._deepen(mined, self._chain.head())
            return True
        if receipt is not None:
            self._fail(action, receipt)
            return True
        assert action.sent_ns is not None
        if self._now_ns() - action.sent_ns >= self.policy.bump_after_ns:
            return self._replace(action) or self._transmit(action)
        return is_new and self._transmit(action)

    def _receipt_of(self, action: Action) -> Receipt | None:
        """Look for every transmission: the one that was replaced may be the one that won."""
        refused = None
        for tx_hash in self._outbox.tx_hashes(action):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None and receipt.succeeded:
                return receipt
            refused = refused or receipt
        return refused

    def _fail(self, action: Action, receipt: Receipt) -> None:
        if action.kind is ActionKind.BATCH and self._is_early(action, receipt):
            self._outbox.unsigned(action.id, "it came before its predecessor", self._now_ns())
            return
        reason = self._why(action, receipt)
        if action.kind is ActionKind.WITHDRAWAL and reason.startswith(EARLY_PAYOUT):
            self._outbox.unsigned(action.id, reason, self._now_ns())
            return
        self._outbox.failed(action.id, receipt, reason, self._now_ns())
        # The first that failed is the one to take apart; those after it stood on it.
        self.halted = self.halted or self._halt_on_record()

    def _is_early(self, action: Action, receipt: Receipt) -> bool:
        """Did it fail only because a stranger's transaction took its predecessor's nonce?"""
        ours = self._outbox.batch(batch_number(action.key))
        assert ours is not None
        before = self._chain.call(self._exchange, HEAD_SELECTOR, receipt.block_number - 1)
        found = self._outbox.batch_by_head(before)
        applied = 0 if found is None else found.batch.number
        return applied < ours.batch.number - 1

    def _why(self, action: Action, receipt: Receipt) -> str:
        """Ask the contract again, for the receipt has only a status.

        In its own block first, where the time is right, then in the one before, where nothing that
        followed it has changed the state.
        """
        if receipt.gas_used >= action.gas_limit:
            return f"out of gas at {action.gas_limit}"
        for number in (receipt.block_number, receipt.block_number - 1):
            reason = why_refused(
                self._chain, action.to, action.calldata, self._signer.address, number
            )
            if reason is not None:
                return reason
        return "reverted, though the same call succeeds in its block and in the one before"

    # Sign what is next, in the order of decision: nonces and batch heads run in parallel.

    def _sign(self) -> bool:
        room = self.policy.in_flight_max - self._outbox.count(*SENT)
        sealed = self._outbox.in_state(ActionState.SEALED, limit=max(room, 0))
        if not sealed and not self.is_dear:
            return False
        tip, base_fee = self.policy.tip_wei, self._chain.base_fee()
        fee = min(2 * base_fee + tip, self.policy.fee_cap_wei)
        self.is_dear = base_fee > self.policy.calm_wei
        patience_ns = self.policy.patience_ns // 2
        moved = False
        for action in sealed:
            if self.is_dear and self._now_ns() - action.sealed_ns < patience_ns:
                break  # Nonces are given in the order of decision, so all wait behind the first.
            if action.kind is ActionKind.BATCH and not self._is_welcome(action):
                break  # What was decided later waits behind it.
            self._sign_at(action, self._nonce(), fee, tip)
            moved = True
        return moved

    def _is_welcome(self, action: Action) -> bool:
        """Would the contract take this batch now? Asked before gas is spent on it.

        Only the next one can be tried; what follows a batch in flight is signed on trust. A refusal
        has to last, for a node can be behind and a reorganisation can take back what pays for a
        trade.
        """
        ours = self._outbox.batch(batch_number(action.key))
        assert ours is not None
        if self._chain.call(self._exchange, HEAD_SELECTOR) != ours.batch.prev_head:
            return True
        reason = why_refused(self._chain, action.to, action.calldata, self._signer.address)
        if reason is None or reason.startswith(EARLY):
            self._refused_since.pop(action.id, None)
            return True
        now = self._now_ns()
        since = self._refused_since.setdefault(action.id, now)
        if now - since >= self.policy.bump_after_ns:
            self._outbox.refused(action.id, reason, now)
            self.halted = BatchRefused(ours.batch.number, b"", reason)
        else:
            self._note(action, reason)
        return False

    def _nonce(self) -> int:
        stored = self._outbox.next_nonce()
        on_chain = self._chain.nonce(self._signer.address, pending=False)
        return on_chain if stored is None else max(stored, on_chain)

    def _sign_at(self, action: Action, nonce: int, fee: int, tip: int) -> None:
        raw = self._signer.sign_transaction(
            Transaction(
                self._chain.chain_id,
                nonce,
                action.to,
                action.calldata,
                action.gas_limit,
                fee,
                min(tip, fee),
            )
        )
        self._outbox.signed(
            action.id, nonce, raw, keccak256(raw), fee, min(tip, fee), self._now_ns()
        )

    def _send(self) -> bool:
        moved = False
        for action in self._outbox.in_state(ActionState.SIGNED, limit=self.policy.in_flight_max):
            moved = self._transmit(action) or moved
        return moved

    def _transmit(self, action: Action) -> bool:
        """Hand the stored bytes to the node; return whether the action moved."""
        assert action.raw is not None
        sent = self._chain.send_raw(action.raw)
        match sent.sending:
            case Sending.ACCEPTED | Sending.ALREADY_KNOWN:
                if action.state is ActionState.BROADCAST:
                    return False
                self._outbox.broadcast(action.id, self._now_ns())
                return True
            case Sending.NONCE_TOO_LOW:
                return self._nonce_spent(action)
            case Sending.UNDERPRICED:
                return self._replace(action) or self._note(action, sent.reason)
            case Sending.REFUSED:
                return self._note(action, sent.reason)

    def _note(self, action: Action, reason: str) -> bool:
        if action.error != reason:
            self._outbox.noted(action.id, reason)
        return False

    def _nonce_spent(self, action: Action) -> bool:
        """One of our transmissions is in, or a stranger used the nonce: receipts tell which."""
        if self._receipt_of(action) is not None:
            return False  # The next step follows it.
        # A node can be behind with its receipts, so the verdict waits as long as a bump does.
        now = self._now_ns()
        since = self._spent_since.setdefault(action.id, now)
        if now - since < self.policy.bump_after_ns:
            return False
        del self._spent_since[action.id]
        self._outbox.unsigned(action.id, "its nonce was used by another transaction", now)
        return True

    def _replace(self, action: Action) -> bool:
        """Offer more for the same nonce and content; False when that would pass the cap."""
        assert action.nonce is not None and action.fee_max is not None
        assert action.tip_max is not None
        fee, tip = self._bumped(action.fee_max), self._bumped(action.tip_max)
        if fee > self.policy.fee_cap_wei:
            return False
        self._sign_at(action, action.nonce, fee, tip)
        self._transmit(self._outbox.action(action.id))
        return True

    def _bumped(self, fee: int) -> int:
        return fee + -(-fee * self.policy.bump_ppm // 1_000_000)
