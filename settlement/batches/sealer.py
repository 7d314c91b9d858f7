"""Which trades go into which batch?

What waits in ``settlement.batches.trade_queue`` is cut into batches on command boundaries: when the
next command would not fit (gas, expiry), when a withdrawal must not overtake it, or when its
oldest trade has waited long enough. Where a cut falls depends on the clock, so it is written down
at once; everything else is rebuilt from the journal.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from settlement.batches.builder import (
    NS,
    BatchBuilder,
    CommandTrades,
    PendingWithdrawal,
    carried,
    dead_at,
)
from settlement.batches.encode import (
    FIRST_BATCH,
    GENESIS_HEAD,
    Bust,
    Header,
    MatchedTrade,
    encode_batch,
)
from settlement.batches.trade_queue import TradeQueue
from settlement.chain.signer import TRANSACTION_GAS_MAX, Signer
from settlement.orders.catalog import Catalog
from settlement.outbox.actions import ActionKind, ActionState, Batch, Call
from settlement.outbox.outbox import Outbox
from settlement.outbox.troubles import TooLarge, Trouble
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import Domain, countersignature_digest, withdrawal_digest

GAS_MAX: Final = 12_000_000
"""Below the 16,777,216 that EIP-7825 allows one transaction, with room for our own error."""

WITHDRAWAL_GAS: Final = 250_000
HORIZON_S: Final = 24 * 3600
EXIT_DELAY_S: Final = 48 * 3600
HEARTBEAT_NS: Final = 24 * 3600 * NS
"""An exchange without trades seals an empty batch this often: the contract takes a longer silence
than its dead-man delay for the operator's death and closes settlement for good."""

ITEMS_MAX: Final = 1 << 18
"""So many commands without a trade are worth an empty batch too: their items wait in memory, and
what was acknowledged should be named on chain."""

LOOK_AHEAD: Final = 4_096
"""Most queued items looked at for one batch; gas ends a batch long before."""

EXPIRED: Final = "an order of it expired before a batch could carry it"

TOO_LARGE_PATIENCE_NS: Final = 600 * NS
"""How long the chain must hold to less gas a block before trades are given up for it: a node can be
wrong, and a block's limit comes back."""


class Sealing(NamedTuple):
    """When a batch is cut, and what is countersigned.

    ``batch_age_ns`` is how long a trade waits for company. ``heartbeat_ns`` must be well below the
    contract's dead-man delay; ``horizon_s`` is the contract's: it takes no batch whose close time
    is longer ago. So is ``exit_delay_s``: a withdrawal expires before an exit can have ended.
    """

    batch_age_ns: int
    gas_max: int = GAS_MAX
    heartbeat_ns: int = HEARTBEAT_NS
    horizon_s: int = HORIZON_S
    exit_delay_s: int = EXIT_DELAY_S


class WithdrawalChecks(Protocol):
    """Which withdrawals may be countersigned."""

    def is_void(self, sequence: int) -> bool:
        """Return whether the withdrawal of command ``sequence`` was given back."""

    def may_pay(self, pending: PendingWithdrawal) -> bool:
        """Return whether it may be paid; if not it is given back soon, and void then.

        Raises ``ChainUnavailableError``.
        """


class Sealed(NamedTuple):
    """So many batches and withdrawals were sealed; true if there was any."""

    sealed_count: int

    def __bool__(self) -> bool:
        return self.sealed_count > 0


class Unsealable(NamedTuple):
    """Behind what was sealed there are trades that no batch can carry any more: bust them."""

    sealed_count: int
    busts: list[Bust]

    def __bool__(self) -> bool:
        return self.sealed_count > 0


class Sealer:
    """Turns what waits into batches and withdrawals in the outbox. One worker calls it."""

    def __init__(
        self,
        outbox: Outbox,
        queue: TradeQueue,
        catalog: Catalog,
        domain: Domain,
        signer: Signer,
        sealing: Sealing,
        checks: WithdrawalChecks,
    ) -> None:
        """``domain.contract`` is the exchange; ``signer`` countersigns what ``checks`` allows."""
        self._outbox = outbox
        self._queue = queue
        self._catalog = catalog
        self._domain = domain
        self._signer = signer
        self._sealing = sealing
        self._checks = checks
        self._gas_ceiling = TRANSACTION_GAS_MAX
        self._builder = self._new_builder(0)
        self._firm_block, self._firm_before = 0, 0
        self._too_large: TooLarge | None = None
        """The command at the head of the queue, if no transaction can carry all its trades."""
        self._too_large_since = 0
        self._last_batch = outbox.last_batch()

    def chain_allows(self, gas_ceiling: int, firm_block: int) -> None:
        """One transaction may use ``gas_ceiling``, and no reorganisation reaches ``firm_block``."""
        self._gas_ceiling, self._firm_block = gas_ceiling, firm_block

    def troubles(self, now_ns: int) -> list[Trouble]:
        """Return what keeps trades from being sealed now."""
        found = self._too_large, self._queue.ahead(now_ns)
        return [trouble for trouble in found if trouble is not None]

    def seal_due(self, now_ns: int, batch_age_ns: int | None = None) -> Sealed | Unsealable:
        """Seal what is full, in a withdrawal's way, or old enough.

        ``batch_age_ns`` stands in for the usual patience: longer while gas is dear. Raises
        ``ChainUnavailableError``, as ``seal`` does.
        """
        patience_ns = self._sealing.batch_age_ns if batch_age_ns is None else batch_age_ns
        self._forget_firm()
        done = self._seal(now_ns, now_ns - patience_ns)
        if done or isinstance(done, Unsealable):
            return done
        return self._heartbeat(now_ns)

    def seal(self, now_ns: int) -> Sealed | Unsealable:
        """Seal everything now."""
        return self._seal(now_ns, now_ns)

    def _seal(self, now_ns: int, ripe_ns: int) -> Sealed | Unsealable:
        count = 0
        while waiting := self._queue.waiting(LOOK_AHEAD):
            first = waiting[0]
            if isinstance(first, PendingWithdrawal):
                if not self._checks.is_void(first.sequence):
                    if not self._checks.may_pay(first):
                        self._try_further(waiting)
                        break
                    self._pay(first, now_ns)
                self._queue.drop_withdrawal()
            else:
                done = self._seal_batch(waiting, first, now_ns, ripe_ns)
                if isinstance(done, Unsealable):
                    return done._replace(sealed_count=count)
                if not done:
                    break
            count += 1
        return Sealed(count)

    def _seal_batch(
        self,
        waiting: Sequence[CommandTrades | PendingWithdrawal],
        first: CommandTrades,
        now_ns: int,
        ripe_ns: int,
    ) -> Sealed | Unsealable:
        """Seal the batch that begins with ``first``, if it is full or ripe."""
        last_close = self._last_batch.close_time if self._last_batch else 0
        close_time_min = _close_time_min(last_close, self._sealing.horizon_s, now_ns, first)
        commands, is_cut = self._cut(waiting, close_time_min)
        busts = self._beyond_size(first if not commands else None, now_ns)
        if not commands:
            return Unsealable(0, busts) if busts else Sealed(0)
        if not is_cut and commands[0].time_ns > ripe_ns:
            return Sealed(0)
        close_time = max(close_time_min, commands[-1].time_ns // NS)
        if expired := dead_at(close_time, commands):
            return Unsealable(0, [Bust(trade, EXPIRED) for trade in expired])
        self._write(commands, close_time, now_ns)
        self._builder = self._new_builder(0)
        self._queue.mark_sealed(len(commands))
        return Sealed(1)

    def _try_further(self, waiting: Sequence[CommandTrades | PendingWithdrawal]) -> None:
        """The first is to be given back: find all those with it, for each takes a turn."""
        for item in waiting:
            if isinstance(item, PendingWithdrawal):
                self._checks.may_pay(item)

    def _heartbeat(self, now_ns: int) -> Sealed:
        """Seal an empty batch if the last one is long ago, or many commands, and nothing waits."""
        tail = self._queue.idle_tail()
        last = self._last_batch
        last_ns = last.close_time * NS if last else self._queue.first_ns
        if tail is None:
            return Sealed(0)
        count = tail.sequence - (last.last_sequence if last else 0)
        if now_ns - last_ns < self._sealing.heartbeat_ns and count < ITEMS_MAX:
            return Sealed(0)
        if last is not None:
            state = self._outbox.batch(last.number)
            if state is None or state.state is not ActionState.FINAL:
                return Sealed(0)  # The last one is still on its way, or refused: nothing to add.
        self._write([tail._replace(time_ns=now_ns)], now_ns // NS, now_ns)
        return Sealed(1)

    def _cut(
        self, waiting: Sequence[CommandTrades | PendingWithdrawal], close_time_min: int
    ) -> tuple[list[CommandTrades], bool]:
        """Return the commands of the next batch, and whether more of them could not join it.

        The builder is kept from call to call: what it holds is the head of the queue.
        """
        if self._builder.is_stale(waiting, self._gas_ceiling, close_time_min):
            self._builder = self._new_builder(close_time_min)
        for item in waiting[len(self._builder.commands) :]:
            if isinstance(item, PendingWithdrawal) or not self._builder.takes(
                item, self._token_numbers()
            ):
                return self._builder.commands, True
        return self._builder.commands, False

    def _new_builder(self, close_time_min: int) -> BatchBuilder:
        return BatchBuilder(self._sealing.gas_max, self._gas_ceiling, close_time_min)

    def _beyond_size(self, command: CommandTrades | None, now_ns: int) -> list[Bust]:
        """Name a command whose trades no transaction can carry, and return those beyond.

        What the first transaction cannot carry no later one may: the trades of a command settle
        together, with the items that the batch covers. A new engine makes no such command.
        """
        if command is None:
            self._too_large, self._too_large_since = None, 0
            return []
        numbers = self._token_numbers()
        count = carried(command, self._gas_ceiling, numbers)
        self._too_large = TooLarge(command.sequence, len(command.trades), count, self._gas_ceiling)
        self._too_large_since = self._too_large_since or now_ns
        if now_ns - self._too_large_since < TOO_LARGE_PATIENCE_NS:
            count = carried(command, TRANSACTION_GAS_MAX, numbers)
        return [Bust(trade, str(self._too_large)) for trade in command.trades[count:]]

    def _token_numbers(self) -> dict[bytes, int]:
        return {token.address: token.number for token in self._catalog.tokens}

    def _write(self, commands: list[CommandTrades], close_time: int, now_ns: int) -> None:
        last, before = commands[-1], self._last_batch
        trades = [trade for command in commands for trade in command.trades]
        first_sequence = before.last_sequence + 1 if before else 1
        first_trade = before.last_trade + 1 if before else 1
        assert all(trade.trade_id >= first_trade for trade in trades), "no trade twice"
        header = Header(
            batch=before.number + 1 if before else FIRST_BATCH,
            prev_head=before.head if before else GENESIS_HEAD,
            close_time=close_time,
            log_root=self._queue.log_root(first_sequence, last.sequence),
            first_sequence=first_sequence,
            command_count=last.sequence - first_sequence + 1,
        )
        encoded = encode_batch(header, trades, self._token_numbers())
        batch = Batch(
            number=header.batch,
            first_trade=first_trade,
            last_trade=max(first_trade - 1, last.last_trade),
            first_sequence=first_sequence,
            last_sequence=last.sequence,
            prev_head=header.prev_head,
            head=encoded.head,
            close_time=header.close_time,
            log_root=header.log_root,
            trades_root=encoded.trades_root,
        )
        call = Call(
            ActionKind.BATCH,
            self._outbox.batch_key(batch.number),
            self._domain.contract,
            encoded.calldata,
            encoded.gas_limit,
        )
        self._outbox.seal(batch, call, now_ns)
        self._last_batch = batch

    def _forget_firm(self) -> None:
        if self._firm_block == self._firm_before:
            return
        self._firm_before = self._firm_block
        firm = self._outbox.last_final_batch(self._firm_block)
        if firm is not None:
            self._queue.forget(firm)

    def rehearsal(self, batch: Batch, now_ns: int) -> tuple[Header, list[MatchedTrade]]:
        """Return what a sealed batch would say if it were sealed anew: to try it, not to send."""
        commands = self._queue.sealed(batch.first_sequence, batch.last_sequence)
        before = self._outbox.batch(batch.number - 1)
        close_time = before.batch.close_time if before else 0
        if commands:
            least = _close_time_min(close_time, self._sealing.horizon_s, now_ns, commands[0])
            close_time = max(least, commands[-1].time_ns // NS)
        header = Header(
            batch=batch.number,
            prev_head=batch.prev_head,
            close_time=close_time if commands else batch.close_time,
            log_root=batch.log_root,
            first_sequence=batch.first_sequence,
            command_count=batch.last_sequence - batch.first_sequence + 1,
        )
        return header, [trade for command in commands for trade in command.trades]

    def unseal(self, now_ns: int, number: int) -> None:
        """Abandon batch ``number`` and all after it: their trades wait again, in their order."""
        self._outbox.abandon(number, now_ns)
        self._last_batch = self._outbox.last_batch()
        self._builder = self._new_builder(0)
        self._queue.unseal(self._last_batch.last_sequence if self._last_batch else 0)

    def _pay(self, pending: PendingWithdrawal, now_ns: int) -> None:
        withdrawal = pending.withdrawal
        digest = withdrawal_digest(self._domain, withdrawal)
        consent = countersignature_digest(self._domain, digest, pending.after_sequence)
        calldata = encode_call(
            "withdraw",
            (
                withdrawal.account,
                withdrawal.token,
                withdrawal.amount,
                withdrawal.to,
                withdrawal.nonce,
                withdrawal.expiry,
            ),
            pending.after_sequence,
            withdrawal.signature,
            self._signer.sign_digest(consent),
        )
        call = Call(
            ActionKind.WITHDRAWAL,
            str(pending.sequence),
            self._domain.contract,
            calldata,
            WITHDRAWAL_GAS,
        )
        self._outbox.enqueue(call, now_ns)


def _close_time_min(last_close: int, horizon_s: int, now_ns: int, first: CommandTrades) -> int:
    """Return the earliest second at which a batch that begins with ``first`` may close.

    Trades that have waited for most of the horizon, because nobody was there to send them, close
    later than they were made: the contract takes them as long as their orders live.
    """
    now = now_ns // NS
    is_late = first.time_ns // NS < now - horizon_s * 3 // 4
    return max(last_close, now - horizon_s // 2) if is_late else last_close
