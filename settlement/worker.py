"""What happens when the chain has moved?

Each turn the settler does its work on a thread, the watcher reads what is new, and everything
confirmed goes into the journal by a command like anybody else's before the watcher's cursor may
pass it. A crash anywhere shows a log again; the credited deposits say which are booked. What the
ledger cannot take is kept due (``settlement.watching.unbooked``) and holds nothing else up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any, Final, Protocol

import structlog

from settlement.chain.chain import ChainUnavailableError
from settlement.exchange import Exchange
from settlement.handlers import (
    Bookings,
    Caught,
    KeyRegister,
    LaneCancels,
    NotNow,
    Pauses,
    Payments,
    done,
)
from settlement.orders.admission import Admission
from settlement.orders.session_keys import SessionKeys
from settlement.outbox.actions import ActionKind, Change
from settlement.ports import PaymentListener, SettlementListener, TradeState
from settlement.settler import STATE_NAMES, Settler
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.unbooked import Due, Unbooked
from settlement.watching.watcher import (
    CancelRequested,
    Deposited,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    PauseSet,
    Poll,
    Watcher,
)

Handler = Callable[[Any], Awaitable[bool]]
"""Takes one confirmed event; returns whether anybody's money has moved by it."""


class FinalBlocks(Protocol):
    """Somebody who wants to know how far everything is booked."""

    async def check(self, block: int) -> None:
        """Everything up to final ``block`` is in the ledger."""


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
        self._bookings = Bookings(exchange, credited_deposits, unbooked)
        self._key_register = KeyRegister(exchange, admission, keys)
        self._lane_cancels = LaneCancels(exchange, admission)
        self._pauses = Pauses(exchange)
        self._payments = Payments(payments)
        self._handlers: Final[dict[type, Handler]] = {
            Deposited: self._bookings.take,  # Those that come in a row go together.
            ExitRequested: self._bookings.take,
            ExitCancelled: self._bookings.take,
            ExitFinished: self._bookings.take,
            KeyGranted: self._key_register.take,
            KeyRevoked: self._key_register.take,
            CancelRequested: self._lane_cancels.take,
        }
        """Of what is confirmed. Transfers and pauses are looked at as soon as they are seen."""

        self._no_room: set[int] = set()
        """Withdrawals that could not be given back, said once."""
        self._reconciliation = reconciliation
        self._listeners = listeners
        self._changes_seen = 0
        self._log = structlog.get_logger("chain")
        self._troubles: set[str] = set()
        self.unreachable = ""
        self.looked_ns = 0
        """Up to when everything on chain is dealt with: when the last complete poll began."""
        self.head = 0
        """The highest block that was seen."""
        self.head_s = 0
        """The time of the newest block that was seen (unix seconds)."""
        self.waits_for_blocks = False
        """Whether something seen is not deep enough yet; a sandbox mines blocks for it."""

    @property
    def due(self) -> list[Due]:
        """Return what happened on chain and cannot be booked."""
        return self._bookings.due

    async def resume(self) -> None:
        """Go on from what recovery found. Call it when commands are taken.

        Settlement changes from before this start are skipped: the states are read, not told. Keys
        and cancelled lanes are read from the chain, for no journal has them; now, because a
        snapshot that is loaded would put lanes back to where they were when it was taken. So are
        pauses: a market that is listed during one has not halted yet.
        """
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
        self._payments.resume(self._watcher.cursor)
        caught: list[Caught] = []
        revoked: dict[tuple[bytes, bytes], KeyRevoked] = {}
        pauses: list[PauseSet] = []
        for value in await asyncio.to_thread(self._watcher.history):
            if isinstance(value, PauseSet):
                pauses.append(value)
            elif isinstance(value, CancelRequested):
                caught += self._lane_cancels.caught(value)
            elif self._key_register.learn(value) and isinstance(value, KeyRevoked):
                revoked[value.account, value.key] = value
            elif isinstance(value, KeyGranted):
                # What stands was signed under this grant: what was not has left when the key was
                # revoked.
                revoked.pop((value.grant.account, value.grant.key), None)
        for value in revoked.values():
            caught += self._key_register.caught(value)
        for account, order_id, reason in caught:
            await self._exchange.cancel(account, order_id, reason)
        try:
            await self._pauses.take(pauses)
        except NotNow as rejected:
            # The first turn tries again.
            self._log.warning("chain event has to wait", outcome=rejected.outcome.name)

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
        self.head, self.head_s = max(self.head, poll.head), poll.head_s
        self._show_troubles()
        self.waits_for_blocks = self._settler.waits_for_blocks() or not all(
            observation.confirmed for observation in poll.observations
        )
        await self._payments.take(poll)
        try:
            seen = (observation.value for observation in poll.observations)
            await self._pauses.take(value for value in seen if isinstance(value, PauseSet))
            moved = await self._take_all(poll) or moved
            moved = await self._undo() or moved
        except NotNow as rejected:
            # The cursor stays: the next poll shows everything again.
            self._log.warning("chain event has to wait", outcome=rejected.outcome.name)
        else:
            await asyncio.to_thread(self._watcher.done, poll)
            if poll.is_caught_up:
                self.looked_ns = began_ns
            await self._compare(poll)
        self._publish_changes()
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
        """Carry out what is deep enough; return whether money has moved by it."""
        confirmed = list({s.value.at: s.value for s in poll.observations if s.confirmed}.values())
        self._bookings.look(poll, confirmed)
        moved = False
        for kind, run in groupby((v for v in confirmed if type(v) in self._handlers), key=type):
            if kind is Deposited:
                deposits = [value for value in run if isinstance(value, Deposited)]
                moved = await self._bookings.take_deposits(deposits) or moved
                continue
            for value in run:
                moved = await self._handlers[kind](value) or moved
        return await self._bookings.retry() or moved

    async def _undo(self) -> bool:
        """Put back into the ledger what the contract refuses for good; return whether any was."""
        moved = False
        for bust in self._settler.busts_due():
            result = done(await self._exchange.bust(bust))
            self._log.warning("trade busted", **bust.words(), outcome=result.outcome.name)
            assert result.accepted, f"a trade there was can be undone: {result.outcome.name}"
            moved = True
        for due in self._settler.reversals_due():
            result = done(await self._exchange.give_back(due))
            if result.accepted:
                self._log.warning("withdrawal given back", sequence=due.sequence, reason=due.reason)
                moved = True
            elif due.sequence not in self._no_room:
                # Deposits have taken its room since it was debited. It stays due.
                self._log.error("withdrawal not given back", sequence=due.sequence)
                self._no_room.add(due.sequence)
        for paid in self._settler.late_payments():
            result = done(await self._exchange.charge_late(paid))
            self._log.warning("withdrawal paid after an exit had taken it", sequence=paid.sequence)
            assert result.accepted, f"what was paid is booked: {result.outcome.name}"
            moved = True
        return moved

    def _publish_changes(self) -> None:
        """Let all listeners know how far trades have come since the last turn."""
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
            for change in changes:
                if change.kind is ActionKind.BATCH:
                    self._publish(change)

    def _publish(self, change: Change) -> None:
        found = self._settler.batch_of_action(change.action_id)
        batch = found.batch
        reached = TradeState(STATE_NAMES[change.state], batch.number, found.tx_hash)
        for listener in self._listeners:
            listener.settlement_changed(batch.first_trade, batch.last_trade, reached)
