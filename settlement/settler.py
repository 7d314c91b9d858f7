"""How far is my trade, and please do this on chain: settlement as the layers above see it.

A facade over outbox, sealer, submitter and watcher; ``step`` is the whole of the worker's loop.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from engine.log_entries import CheckpointedConsumer
from settlement.audit.proofs import TradeProof, proof_of_trade, proofs_of
from settlement.batches.encode import Bust
from settlement.batches.sealer import WITHDRAWAL_GAS, Sealed, Sealer, Sealing, Unsealable
from settlement.batches.trade_queue import TradeQueue
from settlement.chain.chain import Chain, ChainUnavailableError
from settlement.chain.contract_wallets import stands_behind
from settlement.chain.deploy import Deployment
from settlement.chain.reverts import revert_reason
from settlement.chain.signer import Signer
from settlement.orders.catalog import Catalog
from settlement.outbox.actions import (
    ActionKind,
    ActionState,
    BatchState,
    Call,
    Change,
    WithdrawalState,
)
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import (
    REORG_BLOCKS_MAX,
    BatchRejected,
    Halt,
    HeadMismatch,
    Policy,
    Progress,
    Rejected,
    Submitter,
)
from settlement.outbox.sweeps import COMPANY_NS, Sweeps
from settlement.outbox.trial import TransferTrial
from settlement.outbox.troubles import Trouble
from settlement.outbox.withdrawal_states import withdrawal_states
from settlement.ports import GrantState, TradeState
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import SweepPlace, deposit_address
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    KeyRevocation,
    grant_digest,
    keccak256,
    recover,
    revocation_digest,
)
from settlement.repair.culprits import CulpritSearch
from settlement.repair.repair import RejectedBatch, Repair
from settlement.repair.reversals import LatePayment, Reversal, WithdrawalReversals

SWEEP_GAS_USED: Final = 168_000
"""What the first sweep of an account's first token takes, rounded up; later ones take half."""

GRANT_GAS: Final = 200_000
REVOKE_GAS: Final = 150_000

STATE_NAMES: Final = {
    ActionState.SEALED: "batched",
    ActionState.SIGNED: "batched",
    ActionState.BROADCAST: "submitted",
    ActionState.MINED: "mined",
    ActionState.FINAL: "final",
    # Its trades are sealed anew, but for those that are busted.
    ActionState.FAILED: "batched",
    ActionState.ABANDONED: "matched",
}
MATCHED: Final = TradeState("matched")
BUSTED: Final = TradeState("busted")


BATCHES_LOOKED_AT: Final = 8
"""For the gas of the newest batch that is in a block."""


class Figures(NamedTuple):
    """How settlement is: ``lag_seconds`` is the age of the oldest trade that is not final, of which
    there are ``pending``; ``batch_gas`` is what the newest batch in a block has used."""

    lag_seconds: int
    pending: int
    actions: dict[ActionState, int]
    gas_used: int
    batch_gas: int
    is_halted: bool
    troubles: int
    sweep_wei: int


class Contracts(NamedTuple):
    """What the settler calls; ``tokens`` are listed addresses by number on chain."""

    domain: Domain
    invoice_deposits: bytes
    invoice_implementation: bytes
    tokens: list[bytes]


def contracts_of(deployment: Deployment) -> Contracts:
    """Return what the settler calls of ``deployment``."""
    return Contracts(
        deployment.domain,
        deployment.invoice_deposits,
        deployment.invoice_implementation,
        [token.address for token in deployment.tokens],
    )


class Settler:
    """Implements ``settlement.ports.SettlementPort``.

    ``step`` belongs to one worker thread; everything else may be called from any thread.
    ``consumers`` have to follow the journal.
    """

    def __init__(
        self,
        outbox: Outbox,
        queue: TradeQueue,
        sealer: Sealer,
        submitter: Submitter,
        repair: Repair,
        reversals: WithdrawalReversals,
        sweeps: Sweeps,
        contracts: Contracts,
        patience_ns: int,
        now_ns: Callable[[], int],
        refusal: Callable[[Call], str | None],
        vouches: Callable[[bytes, bytes, bytes], bool],
    ) -> None:
        """``patience_ns`` is how long a trade waits at most for gas to become cheaper; ``refusal``
        returns why the contract would refuse a call now, ``vouches`` whether a contract stands
        behind a signature; both raise ``ChainUnavailableError``."""
        self._outbox = outbox
        self.queue = queue
        self.sealer = sealer
        self._patience_ns = patience_ns
        self._refusal = refusal
        self._vouches = vouches
        self._is_dear = False
        self._halted: Halt | None = None
        self._submitter = submitter
        self._sweeps = sweeps
        self._contracts = contracts
        self._now_ns = now_ns
        self.repair = repair
        self.reversals = reversals

    @property
    def consumers(self) -> tuple[CheckpointedConsumer, ...]:
        """Return who has to follow the journal."""
        return self.queue, self.reversals

    @property
    def halted(self) -> Halt | None:
        """Return why nothing is sent any more, as the last step found; None while all is well."""
        return self._halted

    @property
    def troubles(self) -> list[Trouble]:
        """Return what keeps settlement waiting for now, and goes by itself with its cause."""
        return [*self._submitter.troubles, *self.sealer.troubles(self._now_ns())]

    def step(self) -> bool:
        """Seal what is due and move everything that can move; return whether anything did.

        The one place that decides: what the parts return says what is next. Raises
        ``ChainUnavailableError``, at the end: what could not be sealed because a withdrawal could
        not be tried keeps nothing from being sent that is sealed already.
        """
        sealed, unsealed = self._seal()
        moved = bool(sealed)
        try:
            moved = self._gather() or moved
        except ChainUnavailableError as error:
            unsealed = unsealed or error
        sent = self._submitter.step()
        self.reversals.look()
        match sent:
            case Progress():
                self._halted, self._is_dear = None, sent.is_dear
                self.repair.bust(sealed.busts if isinstance(sealed, Unsealable) else [])
                moved = sent.moved or moved
            case Rejected():
                self._halted = sent.batch
                moved = self._take_apart(sent.batch) or sent.moved or moved
            case HeadMismatch():
                self._halted = sent
        if unsealed is not None:
            raise unsealed
        return moved

    def _seal(self) -> tuple[Sealed | Unsealable, ChainUnavailableError | None]:
        self._bound_sealer()
        # While gas is dear trades gather: a large batch costs less a trade than many small ones.
        age_ns = self._patience_ns // 2 if self._is_dear else None
        if self._halted is not None:
            return Sealed(0), None
        try:
            return self.sealer.seal_due(self._now_ns(), age_ns), None
        except ChainUnavailableError as error:
            return Sealed(0), error

    def _gather(self) -> bool:
        """Seal the sweeps that are due; while gas is dear they wait for company as trades do."""
        age_ns = self._patience_ns // 2 if self._is_dear else COMPANY_NS
        return self._sweeps.gather(self._submitter.newest, self._submitter.gas_ceiling, age_ns)

    def _take_apart(self, batch: BatchRejected) -> bool:
        """Begin anew behind a batch that is refused, once it can land no more; return whether that
        was done."""
        if not self._submitter.is_rejection_final():
            return False
        found = self._outbox.batch(batch.number)
        assert found is not None, "it was refused, so it was sealed"
        is_too_large = self._submitter.is_too_large(found.action_id)
        done = self.repair.take_apart(RejectedBatch(batch, is_too_large, self._submitter.newest))
        if done:
            self._submitter.resume()
            self._halted = None
        return done

    def _bound_sealer(self) -> None:
        newest = self._submitter.newest
        self.sealer.chain_allows(self._submitter.gas_ceiling, newest - REORG_BLOCKS_MAX)

    def busts_due(self) -> list[Bust]:
        """Return trades to bust now by a command, the newest first."""
        return self.repair.busts_due()

    def reversals_due(self) -> list[Reversal]:
        """Return withdrawals to credit back now by a command."""
        return self.reversals.due()

    def late_payments(self) -> list[LatePayment]:
        """Return withdrawals to charge once more by a command."""
        return self.reversals.late()

    def seal_now(self) -> bool:
        """Seal every trade without waiting for its batch to fill or age. For the worker thread."""
        self._bound_sealer()
        return bool(self.sealer.seal(self._now_ns()))

    def trade_state(self, trade_id: int) -> TradeState:
        """See ``SettlementPort``."""
        if self.queue.is_busted(trade_id):
            return BUSTED
        found = self.batch_of_trade(trade_id)
        if found is None:
            return MATCHED
        return TradeState(STATE_NAMES[found.state], found.batch.number, found.tx_hash)

    def batch_of_trade(self, trade_id: int) -> BatchState | None:
        """Return the batch that settles a trade; None while it is not sealed."""
        return self._outbox.batch_of_trade(trade_id)

    def batches(self, limit: int) -> list[BatchState]:
        """Return the newest batches, newest first."""
        return self._outbox.batch_states(limit=limit)

    def batch(self, number: int) -> BatchState | None:
        """Return one batch; None before it is sealed."""
        return self._outbox.batch(number)

    def batch_of_action(self, action_id: int) -> BatchState:
        """Return the batch of a change's action, even if it was abandoned since."""
        return self._outbox.batch_of_action(action_id)

    def waits_for_blocks(self) -> bool:
        """Return whether something is mined that is not final yet."""
        if self._halted is not None or self._submitter.troubles:
            return True
        return self._outbox.count(ActionState.MINED) > 0

    def changes(self, since: int, limit: int = 1_000) -> list[Change]:
        """Return what changed state after change number ``since`` (0 for all), oldest first.

        For a batch, ``key`` is its number as text.
        """
        return self._outbox.changes(since, limit)

    def figures(self) -> Figures:
        """Return how settlement is, for metrics."""
        trades, _ = self.queue.unsettled()
        lag_ns = self._now_ns() - trades[0].time_ns if trades else 0
        counts, gas_used = self._outbox.totals()
        return Figures(
            lag_seconds=max(lag_ns, 0) // 10**9,
            pending=len(trades),
            actions=counts,
            gas_used=gas_used,
            batch_gas=next((b.gas_used for b in self.batches(BATCHES_LOOKED_AT) if b.gas_used), 0),
            is_halted=self.halted is not None,
            troubles=len(self.troubles),
            sweep_wei=self.sweep_wei(),
        )

    def enqueue_sweeps(self, places: Sequence[SweepPlace]) -> None:
        """Move what lies at invoices' deposit addresses into the vault, all of it on disk at once.

        Call it when payments have been seen. A sweep that is not signed yet will collect that
        payment too; after that a new one is needed, for the payment may have come behind it. That
        one waits until the other is in a block, so that many small payments are gathered.
        """
        self._sweeps.ask(places)

    def lying(self, address: bytes, tokens: Sequence[bytes]) -> dict[bytes, int] | None:
        """See ``SettlementPort``."""
        try:
            return self._sweeps.lying(address, tokens)
        except ChainUnavailableError:
            return None

    def sweep_wei(self) -> int:
        """Return what one sweep costs the operator now; 0 before a block was seen."""
        return SWEEP_GAS_USED * self._submitter.gas_price_wei

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """See ``SettlementPort``; once for each signature."""
        calldata = encode_call("grantKey", tuple(grant), signature)
        digest = grant_digest(self._contracts.domain, grant)
        key = _relay_key(grant.account, digest, signature)
        to = self._contracts.domain.contract
        self._outbox.enqueue(Call(ActionKind.GRANT, key, to, calldata, GRANT_GAS), self._now_ns())

    def listed(self, token: bytes) -> None:
        """The contract, and the log, have listed one more token, by its address."""
        if token not in self._contracts.tokens:
            self._contracts.tokens.append(token)

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        """See ``SettlementPort``; once for each signature."""
        calldata = encode_call("revokeKeyFor", tuple(revocation), signature)
        digest = revocation_digest(self._contracts.domain, revocation)
        call = Call(
            ActionKind.REVOKE,
            _relay_key(revocation.account, digest, signature),
            self._contracts.domain.contract,
            calldata,
            REVOKE_GAS,
        )
        self._outbox.enqueue(call, self._now_ns())
        try:
            return self._refusal(call) is None
        except ChainUnavailableError:
            return True

    def vouches(self, wallet: bytes, digest: bytes, signature: bytes) -> bool | None:
        """See ``SettlementPort``."""
        try:
            return self._vouches(wallet, digest, signature)
        except ChainUnavailableError:
            return None

    def grant_state(self, signature: bytes) -> GrantState | None:
        """Return how far the relay is of what has that signature, a grant or a revocation; None if
        there is none."""
        key = keccak256(signature).hex()
        found = self._outbox.find(ActionKind.GRANT, key)
        found = found or self._outbox.find(ActionKind.REVOKE, key)
        return None if found is None else GrantState(found.state.value, found.error)

    def withdrawal_states(self, sequences: Sequence[int]) -> dict[int, WithdrawalState]:
        """Return how far withdrawals are that were countersigned, by their command."""
        return withdrawal_states(self._outbox, sequences)

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeProof]:
        """See ``SettlementPort``."""
        domain, tokens = self._contracts.domain, self._contracts.tokens
        return proofs_of(self._outbox, domain, tokens, account, ref, trade_ids)

    def receipt(self, trade_id: int) -> TradeProof | None:
        """Return the proof of one trade; None if no batch carries it."""
        domain, tokens = self._contracts.domain, self._contracts.tokens
        return proof_of_trade(self._outbox, domain, tokens, trade_id, self.queue.is_busted)

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        """See ``SettlementPort``."""
        return deposit_address(
            self._contracts.invoice_deposits,
            self._contracts.invoice_implementation,
            account,
            ref,
        )


def _relay_key(account: bytes, digest: bytes, signature: bytes) -> str:
    """Return by what the relay of a signature is told from others: a contract may take the same
    one, or none at all, for whatever its owners have approved."""
    is_key = recover(digest, signature) == account
    return keccak256(signature if is_key else account + digest + signature).hex()


def open_settler(
    chain: Chain,
    outbox: Outbox,
    catalog: Catalog,
    deployment: Deployment,
    signer: Signer,
    sealing: Sealing,
    policy: Policy,
    now_ns: Callable[[], int],
) -> Settler:
    """Return a settler for ``deployment`` with all its parts; ``signer`` is the operator."""
    exchange = deployment.exchange
    block, depth = deployment.deploy_block, policy.confirmations
    submitter = Submitter(chain, outbox, signer, exchange, policy, now_ns)
    trial = TransferTrial(
        *(chain, catalog, deployment, sealing.exit_delay_s, now_ns),
        newest=lambda: submitter.newest,
        withdrawal_gas=WITHDRAWAL_GAS,
    )
    reversals = WithdrawalReversals(
        *(chain, outbox, exchange, block, depth, trial),
        newest=lambda: submitter.newest,
        now_ns=now_ns,
    )
    queue = TradeQueue(outbox)
    sealer = Sealer(outbox, queue, catalog, deployment.domain, signer, sealing, reversals)
    culprits = CulpritSearch(chain, exchange, signer.address, catalog)

    def refusal(call: Call) -> str | None:
        return revert_reason(chain, call.to, call.calldata, signer.address, call.gas_limit)

    def vouches(wallet: bytes, digest: bytes, signature: bytes) -> bool:
        final = max(0, submitter.newest - depth + 1)
        return stands_behind(chain, wallet, digest, signature, final, signer.address)

    return Settler(
        outbox,
        queue,
        sealer,
        submitter,
        Repair(outbox, sealer, queue, culprits, policy.pause_lasts_ns, now_ns),
        reversals,
        Sweeps(chain, outbox, deployment.invoice_deposits, signer.address, now_ns),
        contracts_of(deployment),
        policy.patience_ns,
        now_ns,
        refusal,
        vouches,
    )
