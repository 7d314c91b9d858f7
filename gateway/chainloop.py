"""What happens when the chain has moved?

Each turn the settler does its work on a thread, the watcher reads what is new, and everything
confirmed goes into the journal by a command like anybody else's before the watcher's cursor may
pass it. A crash anywhere shows a log again; the deposit book knows which are booked.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from engine.receipt import Receipt
from engine.types import Outcome
from gateway.exchange import Exchange
from gateway.services import BatchView
from merchants.arrivals import Transfer
from merchants.service import Merchants
from settlement.actions import ActionKind, Change
from settlement.admission import Admission
from settlement.attachments import DepositEvidence, ExitEvidence
from settlement.chain import Chain, ChainUnavailableError
from settlement.eip712 import KeyGrant
from settlement.keys import KeyBook
from settlement.ports import TradeState
from settlement.receipts import TradeReceipt
from settlement.settler import STATE_NAMES, Settler
from settlement.watcher import (
    CancelRequested,
    DepositBook,
    Deposited,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    LogId,
    Poll,
    Sighting,
    Transferred,
    Value,
    Watcher,
)


class SettlementDesk:
    """The settler as pages and merchants see it: an address given out is an address watched."""

    def __init__(self, settler: Settler, watcher: Watcher) -> None:
        self._settler = settler
        self._watcher = watcher

    def trade_state(self, trade_id: int) -> TradeState:
        """See ``SettlementPort``."""
        return self._settler.trade_state(trade_id)

    def batches(self, limit: int) -> list[BatchView]:
        """Return up to ``limit`` batches, newest first."""
        return [
            BatchView(
                found.batch.number,
                STATE_NAMES[found.state],
                found.batch.first_trade,
                found.batch.last_trade,
                found.tx_hash,
            )
            for found in self._settler.batches(limit)
        ]

    def enqueue_sweep(self, account: bytes, ref: bytes, token: bytes) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_sweep(account, ref, token)

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """See ``SettlementPort``."""
        self._settler.enqueue_grant(grant, signature)

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        """See ``SettlementPort``."""
        address = self._settler.deposit_address(account, ref)
        self._watcher.watch(address)
        return address

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeReceipt]:
        """See ``SettlementPort``."""
        return self._settler.receipts(account, ref, trade_ids)


class SettlementListener(Protocol):
    """Somebody who shows how far trades are."""

    def settlement_changed(
        self,
        first_trade: int,
        last_trade: int,
        state: str,
        batch: int | None,
        tx_hash: bytes | None,
    ) -> None:
        """A range of trades has come further."""


class FinalBlocks(Protocol):
    """Somebody who wants to know how far everything is booked."""

    async def check(self, block: int) -> None:
        """Everything up to final ``block`` is in the ledger."""


class _NotNow(Exception):
    """A command was not sequenced, for a reason that passes."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def _done(receipt: Receipt) -> Receipt:
    """Return ``receipt`` unless the command has to be tried again; raise ``_NotNow`` then."""
    if receipt.outcome in (Outcome.OVERLOADED, Outcome.SHUTTING_DOWN, Outcome.DISK_LOW):
        raise _NotNow(receipt.outcome)
    return receipt


class ChainLoop:
    """The settler's and the watcher's heartbeat. One task calls ``turn``."""

    def __init__(
        self,
        *,
        chain: Chain,
        settler: Settler,
        watcher: Watcher,
        exchange: Exchange,
        admission: Admission,
        keys: KeyBook,
        deposit_book: DepositBook,
        merchants: Merchants,
        reconciliation: FinalBlocks,
        listeners: Sequence[SettlementListener],
    ) -> None:
        self._chain = chain
        self._settler = settler
        self._watcher = watcher
        self._exchange = exchange
        self._admission = admission
        self._keys = keys
        self._deposit_book = deposit_book
        self._merchants = merchants
        self._reconciliation = reconciliation
        self._listeners = listeners
        self._changes_seen = 0
        self._keys_at: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        """Where the last log about a session key was."""
        self._payments: dict[tuple[bytes, int], int] = {}
        """Blocks of the transfers that merchants count and that may leave the chain again."""
        self._block_times: dict[int, int] = {}
        self._log = structlog.get_logger("chain")
        self.unreachable = ""
        self.waits_for_blocks = False
        """Whether something seen is not deep enough yet; a sandbox mines blocks for it."""

    def rebuild_keys(self) -> None:
        """Read keys and cancelled lanes from the chain; before the journal is replayed."""
        for value in self._watcher.history():
            if isinstance(value, CancelRequested):
                self._cancelled(value)
            else:
                self._take_key(value)

    def resume(self) -> None:
        """Skip settlement changes from before this start: the states are read, not told."""
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
        self._payments = self._merchants.unconfirmed_payments()

    async def turn(self) -> bool:
        """Do one round; return whether anything moved, so that the next need not wait."""
        try:
            moved = await asyncio.to_thread(self._settler.step)
            poll = await asyncio.to_thread(self._poll)
        except ChainUnavailableError as error:
            if not self.unreachable:
                self._log.warning("chain does not answer", error=str(error))
            self.unreachable = str(error)
            return False
        self.unreachable = ""
        self.waits_for_blocks = self._settler.waits_for_blocks() or not all(
            sighting.confirmed for sighting in poll.sightings
        )
        self._take_back(poll)
        try:
            moved = await self._take_all(poll.sightings) or moved
            moved = await self._undo() or moved
        except _NotNow as refused:
            # The cursor stays: the next poll shows everything again.
            self._log.warning("chain event has to wait", outcome=refused.outcome.name)
        else:
            await asyncio.to_thread(self._watcher.done, poll)
            await self._compare(poll)
        self._tell()
        return moved

    async def _compare(self, poll: Poll) -> None:
        """Hold the vault against the ledger, where everything final is booked."""
        if not poll.is_caught_up:
            return
        try:
            await self._reconciliation.check(poll.upto - 1)
        except ChainUnavailableError as error:
            self.unreachable = str(error)

    def _poll(self) -> Poll:
        poll = self._watcher.poll()
        for sighting in poll.sightings:
            number = sighting.value.at.block_number
            if isinstance(sighting.value, Transferred) and number not in self._block_times:
                block = self._chain.block(number)
                if len(self._block_times) > 1024:
                    self._block_times.clear()
                self._block_times[number] = block.timestamp if block is not None else 0
        return poll

    def _take_back(self, poll: Poll) -> None:
        """Transfers that were shown in these blocks and are there no more: a reorganisation has
        dropped them, or put them where they count as others."""
        shown = {
            (sighting.value.at.tx_hash, sighting.value.at.log_index)
            for sighting in poll.sightings
            if isinstance(sighting.value, Transferred)
        }
        gone = [
            place
            for place, block in self._payments.items()
            if poll.first <= block <= poll.last and place not in shown
        ]
        for place in gone:
            self._merchants.payment_orphaned(*place)
            del self._payments[place]

    async def _take_all(self, sightings: list[Sighting]) -> bool:
        confirmed = {s.value.at: s.value for s in sightings if s.confirmed}
        new = {value.at for value in self._deposit_book.unbooked(confirmed.values())}
        moved = False
        for sighting in sightings:
            if not sighting.confirmed or sighting.value.at in new:
                new.discard(sighting.value.at)
                moved = await self._take(sighting) or moved
        return moved

    async def _take(self, sighting: Sighting) -> bool:
        """Carry out one sighting; return whether it led to a command."""
        value = sighting.value
        if isinstance(value, Transferred):
            self._pay(value, sighting)
            return False
        if not sighting.confirmed:
            return False
        if isinstance(value, KeyGranted | KeyRevoked):
            if not self._take_key(value):
                return False
            if isinstance(value, KeyRevoked):
                await self._cancel_orders_of(value)
            return False
        if isinstance(value, CancelRequested):
            await self._cancel_orders_on_lane(value)
            return False
        receipt = _done(await self._book(value))
        if not receipt.accepted:
            self._log.error("chain event refused", value=repr(value), outcome=receipt.outcome.name)
        return receipt.accepted

    async def _undo(self) -> bool:
        """Put back into the ledger what the contract refuses for good; return whether any was."""
        moved = False
        for bust in self._settler.busts_due():
            receipt = _done(await self._exchange.bust(bust))
            self._log.warning("trade busted", **bust.words(), outcome=receipt.outcome.name)
            if not receipt.accepted:
                self._settler.bust_refused(bust, receipt.outcome)
            moved = moved or receipt.accepted
        for due in self._settler.returns_due():
            receipt = _done(await self._exchange.give_back(due))
            self._log.warning("withdrawal given back", sequence=due.sequence, reason=due.reason)
            assert receipt.accepted, f"what was debited fits: {receipt.outcome.name}"
            moved = True
        return moved

    def _pay(self, value: Transferred, sighting: Sighting) -> None:
        place = (value.at.tx_hash, value.at.log_index)
        is_ours = self._merchants.payment_seen(self._transfer(value, sighting.confirmations))
        if is_ours and not sighting.confirmed:
            self._payments[place] = value.at.block_number
        else:
            self._payments.pop(place, None)

    async def _book(self, value: Value) -> Receipt:
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
            case _:
                raise AssertionError(f"{value} is not booked in the ledger")

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

    def _transfer(self, value: Transferred, confirmations: int) -> Transfer:
        return Transfer(
            token=value.token,
            sender=value.sender,
            to=value.receiver,
            raw_amount=value.raw_amount,
            tx_hash=value.at.tx_hash,
            log_index=value.at.log_index,
            block_number=value.at.block_number,
            block_time_s=self._block_times.get(value.at.block_number, 0),
            confirmations=confirmations,
        )

    def _tell(self) -> None:
        while changes := self._settler.changes(self._changes_seen):
            self._changes_seen = changes[-1].id
            for change in changes:
                if change.kind is ActionKind.BATCH:
                    self._tell_batch(change)

    def _tell_batch(self, change: Change) -> None:
        found = self._settler.batch_of_action(change.action_id)
        state, number = STATE_NAMES[change.state], found.batch.number
        for listener in self._listeners:
            listener.settlement_changed(
                found.batch.first_trade, found.batch.last_trade, state, number, found.tx_hash
            )


def _evidence(at: LogId) -> ExitEvidence:
    return ExitEvidence(at.tx_hash, at.log_index, at.block_number)
