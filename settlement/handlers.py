"""What does each kind of chain event lead to?

One handler a concern, each with the memory that it needs: money and exits become commands
(``Bookings``), keys and lanes end orders (``KeyRegister``, ``LaneCancels``), a paused token halts
its markets (``Pauses``), transfers are shown to merchants (``Payments``). ``settlement.worker``
holds the table of them and calls them.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import starmap, takewhile
from typing import Final, NamedTuple

import structlog

from engine.command_result import CommandResult
from engine.types import Outcome
from settlement.exchange import Exchange
from settlement.orders.admission import Admission
from settlement.orders.session_keys import SessionKeys
from settlement.ports import BlocksRead, DepositSeen, PaymentListener, Transfer
from settlement.protocol.evidence import ZERO_REF, ChainReason, DepositEvidence, ExitEvidence
from settlement.watching.deposits import CreditedDeposits, Money, Ranked, ranked
from settlement.watching.unbooked import RETRY_NS, Due, Unbooked
from settlement.watching.watcher import (
    CancelRequested,
    ChainEvent,
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
)

SHOWN_TOGETHER: Final = 16
"""Most transfers that merchants take in one transaction."""

TOGETHER_MAX: Final = 16
"""Most deposits that are queued at once: whoever reads the log takes them in one go, and others
wait for that."""

Place = tuple[bytes, int]
"""(transaction, position in it): the same wherever the transaction is."""

Caught = tuple[bytes, int, ChainReason]
"""(account, order id, what on chain ends the order)."""


class NotNow(Exception):
    """A command was not sequenced, for a reason that passes."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def done(result: CommandResult) -> CommandResult:
    """Return ``result`` unless the command has to be tried again; raise ``NotNow`` then."""
    if result.outcome in (Outcome.OVERLOADED, Outcome.SHUTTING_DOWN, Outcome.DISK_LOW):
        raise NotNow(result.outcome)
    return result


class Bookings:
    """Deposits and exits, each booked by a command. What the ledger cannot take stays due."""

    def __init__(
        self, exchange: Exchange, credited_deposits: CreditedDeposits, unbooked: Unbooked
    ) -> None:
        self._exchange = exchange
        self._credited_deposits = credited_deposits
        self._unbooked = unbooked
        self._missing: dict[LogId, Ranked] = {}
        """What the poll at hand shows and the journal lacks."""
        self._retried_ns = 0
        self._log = structlog.get_logger("chain")

    @property
    def due(self) -> list[Due]:
        """Return what happened on chain and cannot be booked."""
        return self._unbooked.due()

    def look(self, poll: Poll, confirmed: list[ChainEvent]) -> None:
        """Learn what ``poll`` shows, before its events are taken one by one."""
        # What waits to be booked may have left the chain, or may not be deep enough any more.
        there = set(ranked(confirmed))
        for due in self._unbooked.due():
            if poll.first <= due.one.value.at.block_number <= poll.last and due.one not in there:
                self._unbooked.forget(due.one)
        self._missing = {one.value.at: one for one in self._credited_deposits.unbooked(confirmed)}

    async def take(self, value: Money) -> bool:
        """Book ``value`` if the journal lacks it; return whether it is booked by this."""
        one = self._missing.get(value.at)
        return one is not None and await self._book(one)

    async def take_deposits(self, values: Sequence[Deposited]) -> bool:
        """Book what came in one after the other together, so that they share a sync of the disk.

        They are queued in their order, and none that is refused for now is followed by one that is
        not: of two that are alike the first is booked first, with its own reference. Opening an
        account waits, so who is new goes alone.
        """
        moved, rest = False, list(values)
        while rest:
            known = takewhile(lambda value: self._is_known(value.account), rest[:TOGETHER_MAX])
            group = list(known) or rest[:1]
            rest = rest[len(group) :]
            for booked in await asyncio.gather(*map(self.take, group), return_exceptions=True):
                if isinstance(booked, BaseException):
                    raise booked
                moved = moved or booked
        return moved

    def _is_known(self, account: bytes) -> bool:
        return self._exchange.catalog.account_number(account) is not None

    async def retry(self) -> bool:
        """Try what is due again, now and then; return whether any is booked by this."""
        now_ns = self._exchange.now_ns()
        if not self._unbooked or now_ns - self._retried_ns < RETRY_NS:
            return False
        self._retried_ns = now_ns
        moved = False
        for due in self._unbooked.due():
            moved = await self._book(due.one) or moved
        return moved

    async def _book(self, one: Ranked) -> bool:
        value = one.value
        if self._credited_deposits.is_booked(one):
            self._unbooked.forget(one)
            return False
        # The exit pays out what the deposit has brought: the ledger cannot know one of them only.
        waits = None
        if isinstance(value, ExitFinished):
            waits = self._unbooked.waits(value.account, value.token)
        outcome = waits or done(await self._sequence(value)).outcome
        if outcome is Outcome.ACCEPTED or self._credited_deposits.is_booked(one):
            self._unbooked.forget(one)
            return outcome is Outcome.ACCEPTED
        self._log.error("chain event not booked", value=repr(value), outcome=outcome.name)
        self._unbooked.keep(one, outcome)
        return False

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


class KeyRegister:
    """Which session keys are granted now. No order of a revoked key may be matched once the
    contract refuses the key."""

    def __init__(self, exchange: Exchange, admission: Admission, keys: SessionKeys) -> None:
        self._exchange = exchange
        self._admission = admission
        self._keys = keys
        self._at: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        """Where the last log about a session key was."""

    async def take(self, value: KeyGranted | KeyRevoked) -> bool:
        """Note a grant or a revocation, and cancel what a revoked key has open."""
        if not self._is_news(value):
            return False
        self._register(value)
        if isinstance(value, KeyRevoked):
            # Orders of the key that were on their way to disk are ahead of this command: when it
            # is answered they are all known.
            done(await self._exchange.tick())
            for account, order_id, reason in self.caught(value):
                done(await self._exchange.cancel(account, order_id, reason))
        # Last: where one of these had to wait it is shown again, and all of it is still to do.
        self._at[_key_of(value)] = _when(value)
        return False

    def learn(self, value: KeyGranted | KeyRevoked) -> bool:
        """Note ``value`` without cancelling anything; return False if it is old: what is read again
        must not undo what came after it."""
        if not self._is_news(value):
            return False
        self._register(value)
        self._at[_key_of(value)] = _when(value)
        return True

    def _is_news(self, value: KeyGranted | KeyRevoked) -> bool:
        return self._at.get(_key_of(value), (-1, -1)) < _when(value)

    def _register(self, value: KeyGranted | KeyRevoked) -> None:
        if isinstance(value, KeyGranted):
            self._keys.granted(value.grant)
        else:
            self._keys.revoked(value.account, value.key)

    def caught(self, value: KeyRevoked) -> list[Caught]:
        """Return the open orders that a revoked key has signed."""
        orders = self._admission.open_orders_of_key(value.account, value.key)
        return [(value.account, order_id, _reason(value.at)) for order_id in orders]


class LaneCancels:
    """Lanes that were cancelled on chain: no order that the contract is about to refuse may be
    matched."""

    def __init__(self, exchange: Exchange, admission: Admission) -> None:
        self._exchange = exchange
        self._admission = admission

    async def take(self, value: CancelRequested) -> bool:
        """Spend the nonces, and cancel the order on the lane."""
        self.caught(value)  # From here on none of them is admitted.
        # As with keys: an order on its way to disk is in the book when this is answered, and one
        # whose cancel was ahead of it has left its lane to the next.
        done(await self._exchange.tick())
        for account, order_id, reason in self.caught(value):
            done(await self._exchange.cancel(account, order_id, reason))
        return False

    def caught(self, value: CancelRequested) -> list[Caught]:
        """Spend the nonces; return the open orders that had one of them."""
        orders = self._admission.cancelled_on_chain(
            value.account, value.lane, value.upper_half, value.nonce
        )
        return [(value.account, order_id, _reason(value.at)) for order_id in orders]


class Pauses:
    """Tokens that are paused: what trades in their markets could not settle, so they halt, however
    young the log is. Nobody starts them again but an operator."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._newest: dict[bytes, PauseSet] = {}
        self._seen: dict[bytes, LogId] = {}
        """The last log about each token's pause that was dealt with."""
        self._log = structlog.get_logger("chain")

    async def take(self, values: Iterable[PauseSet]) -> None:
        """Take what was seen of pauses, the newest of a token last.

        What had to wait before is tried again.
        """
        self._newest |= {value.token: value for value in values}
        for token, value in self._newest.items():
            if self._seen.get(token) == value.at:
                continue
            for market in self._exchange.catalog.markets if value.is_paused else ():
                if token in (market.base.address, market.quote.address):
                    done(await self._exchange.halt_market(market))
                    self._log.error("market halted, a token is paused", market=market.symbol)
            self._seen[token] = value.at


class _Shown(NamedTuple):
    """What merchants were shown of a transfer last."""

    block: int
    confirmed: bool
    says: Transferred | None
    """Without its place in the block; None when it was shown before this start."""


class Payments:
    """Transfers to merchants' addresses, of which merchants decide whether they are payments."""

    def __init__(self, merchants: PaymentListener) -> None:
        self._merchants = merchants
        self._shown: dict[Place, _Shown] = {}
        """The transfers that merchants count and that are not behind the cursor yet."""
        self._shown_head = 0
        self._dealt_with = 0
        """All blocks before this one were dealt with: one that is read again is another now."""
        self._read: BlocksRead | None = None

    def resume(self, dealt_with: int) -> None:
        """Learn what merchants count already, all of it in blocks before ``dealt_with``."""
        self._dealt_with = dealt_with
        for place, block in self._merchants.unconfirmed_payments().items():
            self._shown[place] = _Shown(block, False, None)

    async def take(self, poll: Poll) -> None:
        """Show merchants the transfers that are new, deeper by now, or gone; in turns, for each of
        them costs."""
        seen = {
            (observation.value.at.tx_hash, observation.value.position): observation
            for observation in poll.observations
            if isinstance(observation.value, Transferred)
        }
        self._look_behind(poll, seen.values())
        for place, shown in list(self._shown.items()):
            if not poll.first <= shown.block <= poll.last:
                if shown.block < poll.first:
                    del self._shown[place]
            elif not shown.confirmed and not _says(shown, seen.get(place)):
                # A reorganisation has dropped it, or it pays something else by now.
                self._merchants.payment_orphaned(*place)
                del self._shown[place]
        if poll.head == self._shown_head and not any(starmap(self._is_news, seen.items())):
            return
        self._shown_head = poll.head
        if not seen:
            return
        news = list(seen.items())
        while group := news[:SHOWN_TOGETHER]:
            del news[:SHOWN_TOGETHER]
            are_ours = self._merchants.payments_seen([_transfer(one) for _, one in group])
            for (place, observation), is_ours in zip(group, are_ours, strict=True):
                if is_ours:
                    self._shown[place] = _as_shown(observation)
            await asyncio.sleep(0)  # Everybody else has a turn.

    def _look_behind(self, poll: Poll, transfers: Iterable[Observation]) -> None:
        """Show merchants all that is read behind what was dealt with, or while they miss anything.

        A reorganisation deeper than the confirmations comes to this, or a start, before which there
        may have been one. What a block has is not known before it is read: a node that lags takes
        nothing away.
        """
        is_behind = poll.first < self._dealt_with
        self._dealt_with = max(self._dealt_with, poll.upto)
        if not is_behind and not self._merchants.is_missing_money():
            return
        read = BlocksRead(
            poll.first,
            poll.last,
            poll.head,
            tuple(map(_transfer, transfers)),
            tuple(
                _deposit(observation.value, confirmed=observation.confirmed)
                for observation in poll.observations
                if isinstance(observation.value, Deposited) and observation.value.ref != ZERO_REF
            ),
        )
        if read != self._read:
            self._merchants.blocks_read(read)
            self._read = read

    def _is_news(self, place: Place, observation: Observation) -> bool:
        return self._shown.get(place) != _as_shown(observation)


def _key_of(value: KeyGranted | KeyRevoked) -> tuple[bytes, bytes]:
    named = value.grant if isinstance(value, KeyGranted) else value
    return named.account, named.key


def _when(value: KeyGranted | KeyRevoked) -> tuple[int, int]:
    return value.at.block_number, value.at.log_index


def _evidence(at: LogId) -> ExitEvidence:
    return ExitEvidence(at.tx_hash, at.log_index, at.block_number)


def _reason(at: LogId) -> ChainReason:
    return ChainReason(at.tx_hash, at.log_index, at.block_number)


def _as_shown(observation: Observation) -> _Shown:
    block = observation.value.at.block_number
    return _Shown(block, observation.confirmed, _bare(observation))


def _bare(observation: Observation) -> Transferred:
    """Return what a transfer says, wherever it stands."""
    assert isinstance(observation.value, Transferred), "the caller has looked"
    return observation.value._replace(at=LogId(b"", 0, 0))


def _says(shown: _Shown, observation: Observation | None) -> bool:
    """Return whether a transfer is still there and says what it said."""
    return observation is not None and shown.says in (None, _bare(observation))


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


def _deposit(value: Deposited, *, confirmed: bool) -> DepositSeen:
    at, account, token, amount, ref = value
    return DepositSeen(at.tx_hash, account, token, amount, ref, at.block_number, confirmed)
