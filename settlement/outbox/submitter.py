"""How does what the outbox holds get into the chain, each of it exactly once?

``step`` is called again and again by one worker and does whatever can be done now: sign what is
sealed, send what is signed, look for receipts, send again what vanished, pay more for what is
stuck. It never sleeps and never loops. Before anything is sent the chain's own batch head is
compared with the outbox: the chain, not our memory, says what has happened.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from settlement.chain.chain import Block, Chain, ChainUnavailableError, Receipt, Sending
from settlement.chain.reverts import revert_reason
from settlement.chain.signer import Signer, Transaction
from settlement.outbox.actions import (
    Action,
    ActionKind,
    ActionState,
    BatchState,
    Mined,
    batch_number,
)
from settlement.outbox.gaps import Gaps, void_call
from settlement.outbox.outbox import IN_FLIGHT, Outbox
from settlement.outbox.preflight import EARLY_PAYOUT, HEAD_SELECTOR, Preflight, Verdict
from settlement.outbox.troubles import Trouble, Unsent
from settlement.protocol.eip712 import keccak256

GENESIS_HEAD: Final = bytes(32)
REORG_BLOCKS_MAX: Final = 64
"""What is in a block this deep is not looked after any more: two epochs of Ethereum. A chain that
forgets more than that has to be looked at by a human."""
LANDED_OR_GIVEN_UP: Final = (ActionState.MINED, ActionState.FINAL, ActionState.ABANDONED)


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

    pause_lasts_ns: int = 6 * 3_600 * 10**9
    """How long settlement waits at most for a token that is paused on chain before its trades are
    busted: all others wait with them, so it is well below horizon and dead man's delay."""


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


class BatchRejected(NamedTuple):
    """The contract refuses a batch. No later batch can be accepted, so none is sent until this one
    has been taken apart; ``tx_hash`` is empty if it was only tried, not sent."""

    number: int
    tx_hash: bytes
    reason: str

    def __str__(self) -> str:
        where = f"reverted in 0x{self.tx_hash.hex()}" if self.tx_hash else "is refused"
        return f"batch {self.number} {where}: {self.reason}"


Halt = HeadMismatch | BatchRejected


class Progress(NamedTuple):
    """All is well. ``is_dear`` says whether gas was when something was last to be signed."""

    moved: bool
    is_dear: bool


class Rejected(NamedTuple):
    """The contract refuses a batch; ``moved`` is whether anything else came further."""

    batch: BatchRejected
    moved: bool


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
        self._policy = policy
        self._now_ns = now_ns
        self._halted: Halt | None = None
        self._is_dear = False
        """Whether gas was dear when something was last to be signed."""
        self._preflight = Preflight(
            *(chain, outbox, signer.address, exchange),
            *(policy.bump_after_ns, policy.pause_lasts_ns, now_ns),
        )
        self._gaps = Gaps(chain, outbox, signer.address, policy.bump_after_ns, now_ns)
        self._reconciled = False
        self._followed: Block | None = None
        self._spent_since: dict[int, int] = {}
        self.gas_price_wei = 0
        """What a unit of gas costs at the newest block, tip included."""
        self._unsent: dict[int, Unsent] = {}

    @property
    def troubles(self) -> list[Trouble]:
        """Return what keeps transactions waiting now."""
        found: list[Trouble | None] = [self._gaps.trouble, self._preflight.early]
        found += [*self._preflight.waiting.values(), *self._unsent.values()]
        return [trouble for trouble in found if trouble is not None]

    @property
    def gas_ceiling(self) -> int:
        """Return what one transaction may use, as far as the newest block says."""
        return self._preflight.gas_ceiling

    @property
    def newest(self) -> int:
        """Return the highest block that any node has shown."""
        return self._preflight.newest

    def step(self) -> Progress | Rejected | HeadMismatch:
        """Do what can be done now; return how it stands then.

        Raises ``ChainUnavailableError`` when the node does not answer; the next step resumes.
        """
        if not self._reconciled:
            self._halted = self._reconcile() or self._halt_on_record()
            self._reconciled = True
        if isinstance(self._halted, HeadMismatch):
            return self._halted
        moved = self._follow()
        moved = self._sign() or moved
        moved = self._send() or moved
        if self._halted is not None:
            return Rejected(self._halted, moved)
        return Progress(moved, self._is_dear)

    def is_rejection_final(self) -> bool:
        """Return whether a refused batch, and all sent after it, can land no more."""
        if self._outbox.count(*IN_FLIGHT, kind=ActionKind.BATCH):
            return False
        # A void keeps the nonce from a batch that was signed: only where it is final it is safe.
        if self._outbox.count(*IN_FLIGHT, ActionState.MINED, kind=ActionKind.VOID):
            return False
        last = self._outbox.last_block(ActionKind.BATCH, ActionState.FAILED)
        return last == 0 or self._chain.head().number - last + 1 >= self._policy.confirmations

    def is_too_large(self, action_id: int) -> bool:
        """Return whether no block can carry an action."""
        return self._preflight.too_large(self._outbox.action(action_id)) is not None

    def resume(self) -> None:
        """The refused batch has been taken apart: go on."""
        self._halted = None

    # Restart: the chain decides.

    def _halt_on_record(self) -> BatchRejected | None:
        for action in self._outbox.in_state(ActionState.FAILED, kind=ActionKind.BATCH, limit=1):
            number = batch_number(action.key)
            return BatchRejected(number, action.mined_hash or b"", action.error or "")
        return None

    def _reconcile(self) -> Halt | None:
        """Compare the chain's head with the outbox. Only one of our own heads will do.

        Asked of a node that has our last final batch: one that lags is at another head too.
        """
        final, newest = self._outbox.last_final_batch(), self._chain.head().number
        if final is not None and final.block_number is not None and newest < final.block_number:
            behind = f"the node is at block {newest}, behind the last batch in {final.block_number}"
            raise ChainUnavailableError(behind)
        # By its number: whichever node answers has that block.
        on_chain = self._chain.call(self._exchange, HEAD_SELECTOR, newest)
        last = GENESIS_HEAD if final is None else final.batch.head
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
        # Those between may be on their way here: a receipt is found in whatever order.
        after = known.batch.number + 1
        while (lost := self._outbox.batch(after)) is None or lost.state is not ActionState.FINAL:
            after += 1
        assert lost.block_number is not None, "it is final"
        is_near = self._chain.head().number - lost.block_number < REORG_BLOCKS_MAX
        is_there = self._is_there(mined)
        if is_there is None:
            raise ChainUnavailableError(f"the node has no block {mined.block_number} yet")
        return is_near and is_there

    # Follow what is out.

    def _follow(self) -> bool:
        head = self._chain.head()
        # Without a new block nothing that was mined can have moved, and nothing has vanished.
        is_new = head != self._followed
        self._followed = head
        moved = False
        if is_new:
            self._preflight.follow(head)
            self.gas_price_wei = self._chain.base_fee() + self._policy.tip_wei
            moved = self._look_back(head)
        out = self._outbox.in_flight(self._policy.in_flight_max)
        self._unsent = {a.id: self._unsent[a.id] for a in out if a.id in self._unsent}
        for action in out:
            moved = self._find(action, is_new) or moved
        if is_new or self._gaps.trouble is not None:
            room = self._policy.in_flight_max
            moved = self._gaps.fill(head, self._preflight.newest, room) or moved
        return moved

    def _look_back(self, head: Block) -> bool:
        """Are the blocks of what is mined still there, and how much is on top of them?"""
        mined = self._outbox.in_blocks(head.number - REORG_BLOCKS_MAX)
        mined.sort(key=lambda action: action.block_number)
        moved = False
        # Where the newest block is still there all the older ones are.
        while mined and not (is_there := self._is_there(mined[-1])):
            lost = mined.pop()
            if is_there is None:
                continue  # It stays what it is until a node shows what is at its height.
            if self._outbox.action(lost.id).raw is None:  # It landed at a nonce given up.
                self._outbox.unsigned(lost.id, "it is in no block any more", self._now_ns())
            else:
                self._outbox.broadcast(lost.id, self._now_ns())
            if lost.state is ActionState.FAILED:
                self._halted = self._halt_on_record()  # It may succeed this time.
            moved = True
        for action in mined:
            moved = self._deepen(action, head) or moved
        return moved

    def _is_there(self, mined: Mined) -> bool | None:
        """Return whether its block is the one at that height; None if the node has none there: one
        that lags shows nothing, least of all that what was final is lost."""
        block = self._chain.block(mined.block_number)
        return None if block is None else block.hash == mined.block_hash

    def _deepen(self, mined: Mined, head: Block) -> bool:
        """Is there enough on top of a block that is still there?"""
        if mined.state is not ActionState.MINED:
            return False
        if head.number - mined.block_number + 1 < self._policy.confirmations:
            return False
        self._outbox.final(mined.id, self._now_ns())
        return True

    def _find(self, action: Action, is_new: bool) -> bool:
        """Look for its receipt; send it again if a new block came without it."""
        receipt = self._receipt_of(action)
        if receipt is not None:
            return self._has_landed(action, receipt) or self._fail(action, receipt)
        assert action.sent_ns is not None
        if action.state is ActionState.SIGNED:
            return False  # The node has not taken it; to offer more would not change its mind.
        is_stuck = self._now_ns() - action.sent_ns >= self._policy.bump_after_ns
        if is_stuck and action.id not in self._unsent:
            return self._replace(action) or self._transmit(action)
        return (is_new or is_stuck) and self._transmit(action)

    def _has_landed(self, action: Action, receipt: Receipt | None) -> bool:
        """Take down a receipt that says that it succeeded; return whether it does."""
        if receipt is None or not receipt.succeeded:
            return False
        self._outbox.mined(action.id, receipt, self._now_ns())
        # There may be depth enough already, and no further block to wait for.
        mined = Mined(action.id, ActionState.MINED, receipt.block_number, receipt.block_hash)
        if self._is_there(mined):
            self._deepen(mined, self._chain.head())
        return True

    def _receipt_of(self, action: Action) -> Receipt | None:
        """Look for every transmission: one that was replaced, or whose nonce was given up, for its
        receipt may only have come late, may be the one that won."""
        refused = None
        for tx_hash in self._outbox.tx_hashes(action, is_present=False):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None and receipt.succeeded:
                return receipt
        for tx_hash in self._outbox.tx_hashes(action):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None and receipt.succeeded:
                return receipt
            refused = refused or receipt
        return refused

    def _fail(self, action: Action, receipt: Receipt) -> bool:
        """It reverted; return whether it moved by that."""
        if action.kind is ActionKind.BATCH:
            number, applied = batch_number(action.key), self._applied(receipt.block_number - 1)
            if applied < number - 1:  # A stranger's transaction took its predecessor's nonce.
                self._outbox.unsigned(action.id, "it came before its predecessor", self._now_ns())
                return True
            if applied >= number and self._outbox.tx_hashes(action, is_present=False):
                return False  # By what was sent before, whose receipt is late.
        reason = self._why(action, receipt)
        if action.kind is ActionKind.WITHDRAWAL and reason.startswith(EARLY_PAYOUT):
            self._outbox.unsigned(action.id, reason, self._now_ns())
            return True
        self._outbox.failed(action.id, receipt, reason, self._now_ns())
        # The first that failed is the one to take apart; those after it stood on it.
        self._halted = self._halted or self._halt_on_record()
        return True

    def _applied(self, block: int) -> int:
        """Return the number of the batch that the contract was at after ``block``."""
        found = self._outbox.batch_by_head(self._chain.call(self._exchange, HEAD_SELECTOR, block))
        return 0 if found is None else found.batch.number

    def _why(self, action: Action, receipt: Receipt) -> str:
        """Ask the contract again, for the receipt has only a status.

        In its own block first, where the time is right, then in the one before, where nothing that
        followed it has changed the state.
        """
        if receipt.gas_used >= action.gas_limit:
            return f"out of gas at {action.gas_limit}"
        for number in (receipt.block_number, receipt.block_number - 1):
            call = self._chain, action.to, action.calldata, self._signer.address
            reason = revert_reason(*call, action.gas_limit, number)
            if reason is not None:
                return reason
        return "reverted, though the same call succeeds in its block and in the one before"

    # Sign what is next, in the order of decision: nonces and batch heads run in parallel.

    def _sign(self) -> bool:
        """Sign what may go now; return whether anything was.

        Batches go in their order. What waits for one, or for a reason of its own, keeps nobody else
        waiting; what is signed after a batch that was refused still has to use up its nonces.
        """
        room = self._policy.in_flight_max - self._outbox.count(*IN_FLIGHT)
        # What fills a gap needs no room: all that is out may be waiting for it.
        only = None if room > 0 else ActionKind.VOID
        sealed = self._outbox.names(ActionState.SEALED, kind=only)
        self._preflight.begin()
        if not sealed and not self._is_dear:
            return False
        tip, base_fee = self._policy.tip_wei, self._chain.base_fee()
        fee = min(2 * base_fee + tip, self._policy.fee_cap_wei)
        self._is_dear = base_fee > self._policy.calm_wei
        patience_ns = self._policy.patience_ns // 2
        signed = 0
        batches_wait = self._halted is not None
        # A void stands where a nonce is missing, and all that is signed waits for it.
        sealed.sort(key=lambda name: name[1] is not ActionKind.VOID)
        for action_id, kind, _ in sealed:
            if signed >= room and kind is not ActionKind.VOID:
                break
            if kind is ActionKind.BATCH and batches_wait:
                continue
            action = self._outbox.action(action_id)
            if (
                self._is_dear
                and action.nonce is None
                and self._now_ns() - action.sealed_ns < patience_ns
            ):
                break  # They are in the order of decision, so all the others are younger.
            if action.error and self._has_landed(action, self._receipt_of(action)):
                signed += 1  # What was sent before is in, though its nonce was given up.
                continue
            verdict = self._preflight.verdict(action)
            if verdict is Verdict.WELCOME:
                nonce = self._nonce() if action.nonce is None else action.nonce
                self._sign_at(action, nonce, fee, tip)
                signed += 1
            elif kind is ActionKind.BATCH:
                batches_wait = True
                if verdict is Verdict.REJECTED:
                    self._halted = self._halt_on_record()
        return signed > 0

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
        for action in self._outbox.in_flight(self._policy.in_flight_max):
            if action.state is ActionState.SIGNED:
                moved = self._transmit(action) or moved
        return moved

    def _transmit(self, action: Action) -> bool:
        """Hand the stored bytes to the node; return whether the action moved."""
        assert action.raw is not None
        sent = self._chain.send_raw(action.raw)
        if sent.sending is not Sending.REJECTED:
            self._unsent.pop(action.id, None)
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
            case Sending.REJECTED:
                return self._not_taken(action, sent.reason)

    def _not_taken(self, action: Action, reason: str) -> bool:
        """The node refuses a transaction: name it, and use up its nonce if it can never go."""
        too_large = self._preflight.too_large(action)
        if too_large is None or action.kind is not ActionKind.BATCH:
            self._unsent[action.id] = Unsent(action.kind, action.key, reason)
            return self._note(action, reason)
        assert action.nonce is not None
        void = void_call(str(action.id), self._signer.address)
        self._outbox.voided(action.id, too_large, action.nonce, void, self._now_ns())
        self._unsent.pop(action.id, None)
        self._halted = self._halted or self._halt_on_record()
        return True

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
        if now - since < self._policy.bump_after_ns:
            return False
        del self._spent_since[action.id]
        if action.kind is ActionKind.VOID:
            return self._void_spent(action)
        self._outbox.unsigned(action.id, "its nonce was used by another transaction", now)
        return True

    def _void_spent(self, action: Action) -> bool:
        """Something else has used a void's nonce, so it has done its work: what was it?"""
        assert action.nonce is not None
        now = self._now_ns()
        for other_id, tx_hash in self._outbox.others_at(action.nonce, action.id):
            if self._outbox.action(other_id).state in LANDED_OR_GIVEN_UP:
                continue
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None and receipt.succeeded:
                self._outbox.mined(other_id, receipt, now)
        self._outbox.rejected(action.id, "its nonce was used by another transaction", now)
        self._halted = self._halt_on_record()
        return True

    def _replace(self, action: Action) -> bool:
        """Offer more for the same nonce and content; False when that would pass the cap."""
        assert action.nonce is not None and action.fee_max is not None
        assert action.tip_max is not None
        fee, tip = self._bumped(action.fee_max), self._bumped(action.tip_max)
        if fee > self._policy.fee_cap_wei:
            return False
        self._sign_at(action, action.nonce, fee, tip)
        self._transmit(self._outbox.action(action.id))
        return True

    def _bumped(self, fee: int) -> int:
        return fee + -(-fee * self._policy.bump_ppm // 1_000_000)
