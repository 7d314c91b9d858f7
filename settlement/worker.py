"""What happens when the chain has moved?

Each turn the settler does its work on a thread, the watcher reads what is new, and everything
confirmed goes into the journal by a command like anybody else's before the watcher's cursor may
pass it. A crash anywhere shows a log again; the credited deposits say which are booked. What the
ledger cannot take is kept due (``settlement.watching.unbooked``) and holds nothing else up.
"""

import asyncio
from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple, Protocol

import structlog

from engine.command_result import CommandResult
from engine.types import Outcome
from settlement.chain.chain import ChainUnavailableError
from settlement.exchange import Exchange
from settlement.orders.admission import Admission
from settlement.orders.session_keys import SessionKeys
from settlement.outbox.actions import ActionKind, Change
from settlement.ports import PaymentListener, SettlementListener, TradeState, Transfer
from settlement.protocol.evidence import DepositEvidence, ExitEvidence
from settlement.settler import STATE_NAMES, Settler
from settlement.watching.deposits import CreditedDeposits, Money, Ranked, ranked
from settlement.watching.unbooked import RETRY_NS, Due, Unbooked
from settlement.watching.watcher import (
    CancelRequested,
    Deposited,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    LogId,
    Observation,
    PauseSet,
    Poll,
    Transferred,
    Watcher,
)

Place = tuple[bytes, int]
"""(transaction, position in it): the same wherever the transaction is."""


class _Told(NamedTuple):
    """What merchants were told of a transfer last."""

    block: int
    confirmed: bool
    says: Transferred | None
    """Without its place in the block; None when it was told before this start."""


class FinalBlocks(Protocol):
    """Somebody who wants to know how far everything is booked."""

    async def check(self, block: int) -> None:
        """Everything up to final ``block`` is in the ledger."""


class _NotNow(Exception):
    """A command was not sequenced, for a reason that passes."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def _done(receipt: CommandResult) -> CommandResult:
    """Return ``receipt`` unless the command has to be tried again; raise ``_NotNow`` then."""
    if receipt.outcome in (Outcome.OVERLOADED, Outcome.SHUTTING_DOWN, Outcome.DISK_LOW):
        raise _NotNow(receipt.outcome)
    return receipt


class ChainLoop:
    """The settler's and the watcher's heartbeat. One task calls ``turn``."""

    def __init__(
        self,
        *,
        settler: Settler,
        watcher: Watcher,
        exchange: Exchange,
        admission: Admission,
        keys: SessionKeys,
        credited_deposits: CreditedDeposits,
        unbooked: Unbooked,
        payments: PaymentListener,
        reconciliation: FinalBlocks,
        listeners: Sequence[SettlementListener],
    ) -> None:
        self._settler = settler
        self._watcher = watcher
        self._exchange = exchange
        self._admission = admission
        self._keys = keys
        self._credited_deposits = credited_deposits
        self._unbooked = unbooked
        self._retried_ns = 0
        self._no_room: set[int] = set()
        """Withdrawals that could not be given back, said once."""
        self._payments = payments
        self._reconciliation = reconciliation
        self._listeners = listeners
        self._changes_seen = 0
        self._keys_at: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        """Where the last log about a session key was."""
        self._told: dict[Place, _Told] = {}
        """The transfers that merchants count and that are not behind the cursor yet."""
        self._told_head = 0
        self._pauses: dict[bytes, LogId] = {}
        """The last log about each token's pause that was dealt with."""
        self._log = structlog.get_logger("chain")
        self._troubles: set[str] = set()
        self.unreachable = ""
        self.looked_ns = 0
        """Up to when everything on chain is dealt with: when the last complete poll began."""
        self.head_s = 0
        """The time of the newest block that was seen (unix seconds)."""
        self.waits_for_blocks = False
        """Whether something seen is not deep enough yet; a sandbox mines blocks for it."""

    @property
    def due(self) -> list[Due]:
        """Return what happened on chain and cannot be booked."""
        return self._unbooked.due()

    async def resume(self) -> None:
        """Go on from what recovery found. Call it when commands are taken.

        Settlement changes from before this start are skipped: the states are read, not told. Keys
        and cancelled lanes are read from the chain, for no journal has them; now, because a
        snapshot that is loaded would put lanes back to where they were when it was taken.
        """
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
        for place, block in self._payments.unconfirmed_payments().items():
            self._told[place] = _Told(block, False, None)
        caught: list[tuple[bytes, int]] = []
        for value in await asyncio.to_thread(self._watcher.history):
            if isinstance(value, CancelRequested):
                caught += [(value.account, order_id) for order_id in self._cancelled(value)]
            elif self._take_key(value) and isinstance(value, KeyRevoked):
                orders = self._admission.open_orders_of_key(value.account, value.key)
                caught += [(value.account, order_id) for order_id in orders]
        for account, order_id in caught:
            await self._exchange.cancel(account, order_id)

    async def turn(self) -> bool:
        """Do one round; return whether anything moved, so that the next need not wait."""
        unanswered, moved = None, False
        try:
            moved = await asyncio.to_thread(self._settler.step)
        except ChainUnavailableError as error:
            unanswered = error
        began_ns = self._exchange.now_ns()
        # Who could not settle has to see all the same who leaves and what has come.
        poll = None
        try:
            poll = await asyncio.to_thread(self._watcher.poll)
        except ChainUnavailableError as error:
            unanswered = error
        if unanswered is not None and not self.unreachable:
            self._log.warning("chain does not answer", error=str(unanswered), node=unanswered.node)
        self.unreachable = "" if unanswered is None else str(unanswered)
        if poll is None:
            return False
        self.head_s = poll.head_s
        self._show_troubles()
        self.waits_for_blocks = self._settler.waits_for_blocks() or not all(
            observation.confirmed for observation in poll.observations
        )
        self._pay(poll)
        try:
            await self._halt_paused(poll)
            moved = await self._take_all(poll) or moved
            moved = await self._undo() or moved
        except _NotNow as refused:
            # The cursor stays: the next poll shows everything again.
            self._log.warning("chain event has to wait", outcome=refused.outcome.name)
        else:
            await asyncio.to_thread(self._watcher.done, poll)
            if poll.is_caught_up:
                self.looked_ns = began_ns
            await self._compare(poll)
        self._tell()
        return moved

    def _show_troubles(self) -> None:
        """Write down, once each, what keeps settlement waiting, and that it has gone."""
        kinds = {type(trouble).__name__: str(trouble) for trouble in self._settler.troubles}
        if self._settler.halted is not None:
            kinds["Halted"] = str(self._settler.halted)
        for kind in kinds.keys() - self._troubles:
            self._log.error("settlement waits", why=kinds[kind])
        for kind in self._troubles - kinds.keys():
            self._log.warning("settlement goes on", after=kind)
        self._troubles = set(kinds)

    async def _halt_paused(self, poll: Poll) -> None:
        """Halt the markets of a token that is paused, however young the log is: what trades in them
        now could not settle. Nobody starts them again but an operator."""
        newest = {
            s.value.token: s.value for s in poll.observations if isinstance(s.value, PauseSet)
        }
        for token, value in newest.items():
            if self._pauses.get(token) == value.at:
                continue
            for market in self._exchange.catalog.markets if value.is_paused else ():
                if token in (market.base.address, market.quote.address):
                    _done(await self._exchange.halt_market(market))
                    self._log.error("market halted, a token is paused", market=market.symbol)
            self._pauses[token] = value.at

    async def _compare(self, poll: Poll) -> None:
        """Hold the vault against the ledger, where everything final is booked."""
        if not poll.is_caught_up:
            return
        try:
            await self._reconciliation.check(poll.upto - 1)
        except ChainUnavailableError as error:
            self.unreachable = str(error)
            # A node may have no state for blocks from before it started; for the next it will.
            self.waits_for_blocks = True

    async def _take_all(self, poll: Poll) -> bool:
        """Carry out what is deep enough; return whether it led to a command."""
        confirmed = list({s.value.at: s.value for s in poll.observations if s.confirmed}.values())
        self._drop_lost(poll, ranked(confirmed))
        missing = {one.value.at: one for one in self._credited_deposits.unbooked(confirmed)}
        moved = False
        for value in confirmed:
            if value.at in missing:
                moved = await self._book(missing[value.at]) or moved
            elif isinstance(value, KeyGranted | KeyRevoked):
                if self._take_key(value) and isinstance(value, KeyRevoked):
                    await self._cancel_orders_of(value)
            elif isinstance(value, CancelRequested):
                await self._cancel_orders_on_lane(value)
        return await self._retry() or moved

    def _drop_lost(self, poll: Poll, shown: list[Ranked]) -> None:
        """What waits to be booked may have left the chain, or may not be deep enough any more."""
        there = set(shown)
        for due in self._unbooked.due():
            if poll.first <= due.one.value.at.block_number <= poll.last and due.one not in there:
                self._unbooked.forget(due.one)

    async def _retry(self) -> bool:
        """Try what is due again, now and then."""
        now_ns = self._exchange.now_ns()
        if not self._unbooked or now_ns - self._retried_ns < RETRY_NS:
            return False
        self._retried_ns = now_ns
        moved = False
        for due in self._unbooked.due():
            moved = await self._book(due.one) or moved
        return moved

    async def _book(self, one: Ranked) -> bool:
        """Book ``one`` or keep it due; return whether it is booked by this."""
        value = one.value
        if self._credited_deposits.is_booked(one):
            self._unbooked.forget(one)
            return False
        # The exit pays out what the deposit has brought: the ledger cannot know one of them only.
        waits = None
        if isinstance(value, ExitFinished):
            waits = self._unbooked.waits(value.account, value.token)
        outcome = waits or _done(await self._sequence(value)).outcome
        if outcome is Outcome.ACCEPTED or self._credited_deposits.is_booked(one):
            self._unbooked.forget(one)
            return outcome is Outcome.ACCEPTED
        self._log.error("chain event not booked", value=repr(value), outcome=outcome.name)
        self._unbooked.keep(one, outcome)
        return False

    async def _undo(self) -> bool:
        """Put back into the ledger what the contract refuses for good; return whether any was."""
        moved = False
        for bust in self._settler.busts_due():
            receipt = _done(await self._exchange.bust(bust))
            self._log.warning("trade busted", **bust.words(), outcome=receipt.outcome.name)
            assert receipt.accepted, f"a trade there was can be undone: {receipt.outcome.name}"
            moved = True
        for due in self._settler.reversals_due():
            receipt = _done(await self._exchange.give_back(due))
            if receipt.accepted:
                self._log.warning("withdrawal given back", sequence=due.sequence, reason=due.reason)
                moved = True
            elif due.sequence not in self._no_room:
                # Deposits have taken its room since it was debited. It stays due.
                self._log.error("withdrawal not given back", sequence=due.sequence)
                self._no_room.add(due.sequence)
        for paid in self._settler.late_payments():
            receipt = _done(await self._exchange.charge_late(paid))
            self._log.warning("withdrawal paid after an exit had taken it", sequence=paid.sequence)
            assert receipt.accepted, f"what was paid is booked: {receipt.outcome.name}"
            moved = True
        return moved

    def _pay(self, poll: Poll) -> None:
        """Tell merchants, all at once, of the transfers that are new, deeper by now, or gone."""
        shown = {
            (observation.value.at.tx_hash, observation.value.position): observation
            for observation in poll.observations
            if isinstance(observation.value, Transferred)
        }
        for place, told in list(self._told.items()):
            if not poll.first <= told.block <= poll.last:
                if told.block < poll.first:
                    del self._told[place]
            elif not told.confirmed and not _says(told, shown.get(place)):
                # A reorganisation has dropped it, or it pays something else by now.
                self._payments.payment_orphaned(*place)
                del self._told[place]
        if poll.head == self._told_head and not any(starmap(self._is_news, shown.items())):
            return
        self._told_head = poll.head
        if not shown:
            return
        are_ours = self._payments.payments_seen(list(map(_transfer, shown.values())))
        for (place, observation), is_ours in zip(shown.items(), are_ours, strict=True):
            if is_ours:
                at = observation.value.at
                self._told[place] = _Told(
                    at.block_number, observation.confirmed, _bare(observation)
                )

    def _is_news(self, place: Place, observation: Observation) -> bool:
        told = self._told.get(place)
        now = _Told(observation.value.at.block_number, observation.confirmed, _bare(observation))
        return told != now

    async def _sequence(self, value: Money) -> CommandResult:
        match value:
            case Deposited(at, account, token, amount, ref):
                evidence = DepositEvidence(at.tx_hash, at.log_index, at.block_number, ref)
                return await self._exchange.credit(account, token, amount, evidence)
            case ExitRequested(at, account):
                return await self._exchange.begin_exit(account, _evidence(at))
            case ExitCancelled(at, account, token):
                return await self._exchange.end_exit(account, token, 0, _evidence(at))
            case ExitFinished(at, account, token, amount):
                return await self._exchange.end_exit(account, token, amount, _evidence(at))

    def _take_key(self, value: KeyGranted | KeyRevoked) -> bool:
        """Return whether it is news: what is read again must not undo what came after it."""
        named = value.grant if isinstance(value, KeyGranted) else value
        key = (named.account, named.key)
        place = (value.at.block_number, value.at.log_index)
        if self._keys_at.get(key, (-1, -1)) >= place:
            return False
        self._keys_at[key] = place
        if isinstance(value, KeyGranted):
            self._keys.granted(value.grant)
        else:
            self._keys.revoked(value.account, value.key)
        return True

    async def _cancel_orders_of(self, value: KeyRevoked) -> None:
        """No order of a revoked key may be matched once the contract refuses the key."""
        # Orders of the key that were on their way to disk are ahead of this command: when it is
        # answered they are all known.
        _done(await self._exchange.tick())
        for order_id in self._admission.open_orders_of_key(value.account, value.key):
            _done(await self._exchange.cancel(value.account, order_id))

    def _cancelled(self, value: CancelRequested) -> list[int]:
        return self._admission.cancelled_on_chain(
            value.account, value.lane, value.upper_half, value.nonce
        )

    async def _cancel_orders_on_lane(self, value: CancelRequested) -> None:
        """No order that the contract is about to refuse may be matched."""
        caught = self._cancelled(value)
        # As with keys: an order on its way to disk is in the book when this is answered.
        _done(await self._exchange.tick())
        for order_id in caught or self._cancelled(value):
            _done(await self._exchange.cancel(value.account, order_id))

    def _tell(self) -> None:
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
            for change in changes:
                if change.kind is ActionKind.BATCH:
                    self._tell_batch(change)

    def _tell_batch(self, change: Change) -> None:
        found = self._settler.batch_of_action(change.action_id)
        batch = found.batch
        reached = TradeState(STATE_NAMES[change.state], batch.number, found.tx_hash)
        for listener in self._listeners:
            listener.settlement_changed(batch.first_trade, batch.last_trade, reached)


def _evidence(at: LogId) -> ExitEvidence:
    return ExitEvidence(at.tx_hash, at.log_index, at.block_number)


def _bare(observation: Observation) -> Transferred:
    """Return what a transfer says, wherever it stands."""
    assert isinstance(observation.value, Transferred), "the caller has looked"
    return observation.value._replace(at=LogId(b"", 0, 0))


def _says(told: _Told, observation: Observation | None) -> bool:
    """Return whether a transfer is still there and says what it said."""
    return observation is not None and told.says in (None, _bare(observation))


def _transfer(observation: Observation) -> Transfer:
    value = observation.value
    assert isinstance(value, Transferred), "the caller has looked"
    return Transfer(
        token=value.token,
        sender=value.sender,
        to=value.receiver,
        raw_amount=value.raw_amount,
        tx_hash=value.at.tx_hash,
        log_index=value.position,
        block_number=value.at.block_number,
        block_time_s=observation.time_s,
        confirmations=observation.confirmations,
    )
