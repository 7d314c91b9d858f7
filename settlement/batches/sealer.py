"""Which trades go into which batch?

A consumer: it keeps the signed order behind every open order, turns trades into evidence and cuts
them into batches on command boundaries. A batch is cut when the next command would not fit (gas,
lane, expiry), when a withdrawal must not overtake it, or when its oldest trade has waited long
enough. Where a cut falls depends on the clock, so it is written down at once; everything else is
rebuilt from the journal, and what is sealed already is skipped.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from engine.types import Outcome, Side
from settlement.batches.builder import NS, Draft, Group, Payout, carried, dead_at
from settlement.batches.encode import (
    FIRST_BATCH,
    GENESIS_HEAD,
    Bust,
    Header,
    SettledTrade,
    encode_batch,
    signed_fee_pips,
)
from settlement.batches.log_items import ItemLog
from settlement.chain.signer import TRANSACTION_GAS_MAX, Signer
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Catalog
from settlement.outbox.actions import ActionKind, ActionState, Batch, Call
from settlement.outbox.outbox import Outbox
from settlement.outbox.troubles import AheadOfTime, TooLarge
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import Domain, countersignature_digest, withdrawal_digest
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal, WithdrawalPaid, evidence_of

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

FORGOTTEN: Final = "forgotten"
"""The outbox's cursor over batches of which nothing is kept here any more."""
AHEAD_NS: Final = 15 * NS
"""A stamp so far ahead of our clock is named: it was put back."""

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


class Payouts(Protocol):
    """Which withdrawals may be countersigned."""

    def is_void(self, sequence: int) -> bool:
        """Return whether the withdrawal of command ``sequence`` was given back."""

    def may_pay(self, payout: Payout) -> bool:
        """Return whether it may be paid; if not it is given back soon, and void then.

        Raises ``ChainUnavailableError``.
        """


class _Memory(msgspec.Struct):
    orders: dict[int, SignedOrder]
    groups: list[Group]
    payouts: list[Payout]
    busted: list[int]
    first_ns: int
    tail: Group | None
    items_from: int
    items: bytes
    traded_sequence: int


class Sealer:
    """Turns the journal into batches and withdrawals in the outbox.

    ``consume`` belongs to the thread of the pipeline, ``seal`` and ``seal_due`` to one worker.
    The catalog must be an earlier consumer of the same pipeline.
    """

    checkpoint_name = "sealer/2"

    def __init__(
        self,
        outbox: Outbox,
        catalog: Catalog,
        domain: Domain,
        signer: Signer,
        sealing: Sealing,
        payouts: Payouts,
    ) -> None:
        """``domain.contract`` is the exchange; ``signer`` countersigns what ``payouts`` allows."""
        self._outbox = outbox
        self._catalog = catalog
        self._domain = domain
        self._signer = signer
        self._sealing = sealing
        self._payouts = payouts
        self._orders: dict[int, SignedOrder] = {}
        self._queue: deque[Group | Payout] = deque()
        self._queue_lock = threading.Lock()
        self.gas_ceiling = TRANSACTION_GAS_MAX
        """What the chain lets one transaction use; whoever knows the chain says so."""
        self._draft = self._new_draft(0)
        self._first_ns = 0
        self._traded_sequence = 0
        """The newest command with trades: what a withdrawal after it has to wait for."""
        self._tail: Group | None = None
        """The newest command as a group without trades: what an empty batch covers."""

        self._sealed: deque[Group] = deque()
        """What is in batches that may yet be lost: kept, for the contract may refuse one."""
        self.firm_block = 0
        """What no reorganisation reaches any more; whoever knows the chain says so."""
        self._firm_before = 0
        self._busted: set[int] = set()
        self.doomed: list[Bust] = []
        """Trades at the head of the queue that no batch can carry any more: bust them."""
        self.too_large: TooLarge | None = None
        """The command at the head of the queue, if no transaction can carry all its trades."""
        self._too_large_since = 0

        self.forgotten = _forgotten(outbox)
        """The last batch of which nothing is kept here; 0 before there is one."""
        gone = outbox.batch(self.forgotten)
        self._forgotten_trade = gone.batch.last_trade if gone else 0
        self._items = ItemLog(gone.batch.last_sequence + 1 if gone else 1)
        self._last_batch = outbox.last_batch()
        self._sealed_trade = self._last_batch.last_trade if self._last_batch else 0
        self._paid_sequence = int(outbox.last_key(ActionKind.WITHDRAWAL) or 0)

    @property
    def open_order_count(self) -> int:
        """Return how many signed orders are kept because they may still trade."""
        return len(self._orders)

    def ahead(self, now_ns: int) -> AheadOfTime | None:
        """Return the trades at the head of the queue, if their time has yet to come."""
        with self._queue_lock:
            first = self._queue[0] if self._queue else None
        if not isinstance(first, Group) or first.time_ns - now_ns <= AHEAD_NS:
            return None
        return AheadOfTime(first.sequence, (first.time_ns - now_ns) // NS)

    # Be remembered.

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep the worker from changing anything meanwhile, so that the process can be forked."""
        with self._queue_lock, self._items.quiet():
            yield

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        with self._queue_lock:
            kept, busted, tail = [*self._sealed, *self._queue], sorted(self._busted), self._tail
        groups = [item for item in kept if isinstance(item, Group)]
        payouts = [item for item in kept if isinstance(item, Payout)]
        items_from, items = self._items.kept()
        return msgspec.msgpack.encode(
            _Memory(
                self._orders,
                groups,
                payouts,
                busted,
                self._first_ns,
                tail,
                items_from,
                items,
                self._traded_sequence,
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``CheckpointedConsumer``. The outbox may have come further since."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._orders, self._first_ns, self._tail = saved.orders, saved.first_ns, saved.tail
        self._items.resume(saved.items_from, saved.items)
        self._busted = set(saved.busted)
        self._traded_sequence = saved.traded_sequence
        groups = [group for group in saved.groups if group.last_trade > self._forgotten_trade]
        self._sealed.extend(g for g in groups if g.last_trade <= self._sealed_trade)
        waiting = [g for g in groups if g.last_trade > self._sealed_trade]
        payouts = [p for p in saved.payouts if p.sequence > self._paid_sequence]
        self._queue.extend(sorted([*waiting, *payouts], key=lambda item: item.sequence))

    # Follow the journal.

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        self._items.consume(batch)
        for frame in batch.entries:
            kind = frame.command["kind"]
            if kind == Kind.WITHDRAW:
                self._take_withdrawal(frame)
            elif kind == Kind.BUST:
                self._take_bust(frame)
            if len(frame.events):  # Whatever the command is, orders may leave by it.
                self._take_orders(frame)
        times = batch.commands["time_ns"]
        self._first_ns = self._first_ns or int(times[0])
        with self._queue_lock:
            self._tail = Group(batch.last_sequence, int(times[-1]), 0, [])

    def _take_withdrawal(self, frame: LogEntry) -> None:
        if frame.sequence <= self._paid_sequence or not len(frame.events):
            return
        if frame.answer[0]["kind"] != EventKind.WITHDRAWN:
            return
        withdrawal = evidence_of(frame)
        if isinstance(withdrawal, WithdrawalPaid):
            return  # It tells of one that was paid.
        assert isinstance(withdrawal, SignedWithdrawal), "a debit needs its owner's signature"
        self._push(Payout(frame.sequence, withdrawal, self._traded_sequence))

    def _take_bust(self, frame: LogEntry) -> None:
        bust = busted_by(frame)
        if bust is not None:
            with self._queue_lock:
                self._busted.add(bust.trade_id)

    def _take_orders(self, frame: LogEntry) -> None:
        trades: list[SettledTrade] = []
        for event in frame.events:
            match int(event["kind"]):
                case EventKind.ACCEPTED:
                    order = evidence_of(frame)
                    assert isinstance(order, SignedOrder), "an order needs its signature"
                    self._orders[int(event["order_id"])] = order
                case EventKind.TRADE:
                    trades.append(self._trade(frame, event))
                    if event["maker_left"] == 0:
                        del self._orders[int(event["maker_id"])]
                    if event["order_left"] == 0:
                        del self._orders[int(event["order_id"])]
                case EventKind.CANCELLED | EventKind.UNFILLED:
                    del self._orders[int(event["order_id"])]
        if not trades:
            return
        self._traded_sequence = frame.sequence
        if trades[-1].trade_id <= self._forgotten_trade:
            return
        last_trade = trades[-1].trade_id
        group = Group(frame.sequence, int(frame.command["time_ns"]), last_trade, trades)
        if last_trade <= self._sealed_trade:
            with self._queue_lock:
                self._sealed.append(group)
        else:
            assert trades[0].trade_id > self._sealed_trade, "a command never straddles batches"
            self._push(group)

    def _trade(self, frame: LogEntry, event: np.void) -> SettledTrade:
        market = self._catalog.markets[int(event["market"])]
        lots, price = int(event["amount"]), int(event["price_ticks"])
        quote_pips = market.quote_pips(lots, price)
        taker = self._orders[int(event["order_id"])]
        maker = self._orders[int(event["maker_id"])]
        taker_ppm, maker_ppm = market.taker_fee_ppm, market.maker_fee_ppm
        if event["outcome"] == Outcome.AUCTION:
            # Both waited, so both pay what a maker pays; nobody is there to pay a rebate.
            taker_ppm = maker_ppm = max(maker_ppm, 0)
        assert signed_fee_pips(quote_pips, taker_ppm) == event["fee_pips"], "one fee formula"
        assert signed_fee_pips(quote_pips, maker_ppm) == event["maker_fee_pips"], "one fee formula"
        taker_buys = event["side"] == Side.BUY
        return SettledTrade(
            trade_id=int(event["trade_id"]),
            sequence=frame.sequence,
            time_ns=int(frame.command["time_ns"]),
            buy=taker if taker_buys else maker,
            sell=maker if taker_buys else taker,
            base_pips=market.base_pips(lots),
            quote_pips=quote_pips,
            buy_fee_ppm=taker_ppm if taker_buys else maker_ppm,
            sell_fee_ppm=maker_ppm if taker_buys else taker_ppm,
        )

    def _push(self, item: Group | Payout) -> None:
        with self._queue_lock:
            self._queue.append(item)

    # Seal.

    def seal_due(self, now_ns: int, batch_age_ns: int | None = None) -> bool:
        """Seal what is full, in a withdrawal's way, or old enough; return whether there was any.

        ``batch_age_ns`` stands in for the usual patience: longer while gas is dear.
        """
        patience_ns = self._sealing.batch_age_ns if batch_age_ns is None else batch_age_ns
        self._forget_firm()
        return self._seal(now_ns, now_ns - patience_ns) or self._beat(now_ns)

    def seal(self, now_ns: int) -> bool:
        """Seal everything now; return whether there was any."""
        return self._seal(now_ns, now_ns)

    def _seal(self, now_ns: int, ripe_ns: int) -> bool:
        any_sealed = False
        while True:
            with self._queue_lock:
                waiting = [self._alive(item) for item in islice(self._queue, LOOK_AHEAD)]
            self.doomed = []
            if not waiting:
                return any_sealed
            first = waiting[0]
            if isinstance(first, Payout):
                if not self._payouts.is_void(first.sequence):
                    if not self._payouts.may_pay(first):
                        self._try_further(waiting)
                        return any_sealed
                    self._pay(first, now_ns)
                with self._queue_lock:
                    self._queue.popleft()
            else:
                last_close = self._last_batch.close_time if self._last_batch else 0
                close_time_min = _close_time_min(last_close, self._sealing.horizon_s, now_ns, first)
                groups, is_cut = self._cut(waiting, close_time_min)
                self._judge_size(first if not groups else None, now_ns)
                if not groups:
                    return any_sealed
                if not is_cut and groups[0].time_ns > ripe_ns:
                    return any_sealed
                close_time = max(close_time_min, groups[-1].time_ns // NS)
                self.doomed = [Bust(trade, EXPIRED) for trade in dead_at(close_time, groups)]
                if self.doomed:
                    return any_sealed
                self._write(groups, close_time, now_ns)
                self._shelve(len(groups))
            any_sealed = True

    def _try_further(self, waiting: Sequence[Group | Payout]) -> None:
        """The first payout is to be given back: find all those with it, for each takes a turn."""
        for item in waiting:
            if isinstance(item, Payout):
                self._payouts.may_pay(item)

    def _alive(self, item: Group | Payout) -> Group | Payout:
        """Return ``item`` without the trades that are busted."""
        if isinstance(item, Payout) or not self._busted:
            return item
        return item._replace(trades=[t for t in item.trades if t.trade_id not in self._busted])

    def _beat(self, now_ns: int) -> bool:
        """Seal an empty batch if the last one is long ago, or many commands, and nothing waits."""
        with self._queue_lock:
            # Both under one lock: what stands in no queue and before the tail is sealed.
            tail = None if self._queue else self._tail
        last = self._last_batch
        last_ns = last.close_time * NS if last else self._first_ns
        if tail is None:
            return False
        count = tail.sequence - (last.last_sequence if last else 0)
        if now_ns - last_ns < self._sealing.heartbeat_ns and count < ITEMS_MAX:
            return False
        if last is not None:
            state = self._outbox.batch(last.number)
            if state is None or state.state is not ActionState.FINAL:
                return False  # The last one is still on its way, or refused: nothing to add.
        self._write([tail._replace(time_ns=now_ns)], now_ns // NS, now_ns)
        return True

    def _cut(
        self, waiting: Sequence[Group | Payout], close_time_min: int
    ) -> tuple[list[Group], bool]:
        """Return the groups of the next batch, and whether more of them could not join it.

        The draft is kept from call to call: what it holds is the head of the queue.
        """
        if self._draft.is_stale(waiting, self.gas_ceiling, close_time_min):
            self._draft = self._new_draft(close_time_min)
        for item in waiting[len(self._draft.groups) :]:
            if isinstance(item, Payout) or not self._draft.takes(item, self._token_numbers()):
                return self._draft.groups, True
        return self._draft.groups, False

    def _new_draft(self, close_time_min: int) -> Draft:
        return Draft(self._sealing.gas_max, self.gas_ceiling, close_time_min)

    def _judge_size(self, group: Group | None, now_ns: int) -> None:
        """Name a command whose trades no transaction can carry, and doom those beyond.

        What the first transaction cannot carry no later one may: the trades of a command settle
        together, with the items that the batch covers. A new engine makes no such command.
        """
        if group is None:
            self.too_large, self._too_large_since = None, 0
            return
        numbers = self._token_numbers()
        count = carried(group, self.gas_ceiling, numbers)
        self.too_large = TooLarge(group.sequence, len(group.trades), count, self.gas_ceiling)
        self._too_large_since = self._too_large_since or now_ns
        if now_ns - self._too_large_since < TOO_LARGE_PATIENCE_NS:
            count = carried(group, TRANSACTION_GAS_MAX, numbers)
        self.doomed = [Bust(trade, str(self.too_large)) for trade in group.trades[count:]]

    def _token_numbers(self) -> dict[bytes, int]:
        return {token.address: token.number for token in self._catalog.tokens}

    def _write(self, groups: list[Group], close_time: int, now_ns: int) -> None:
        last, before = groups[-1], self._last_batch
        trades = [trade for group in groups for trade in group.trades]
        first_sequence = before.last_sequence + 1 if before else 1
        first_trade = before.last_trade + 1 if before else 1
        assert all(trade.trade_id >= first_trade for trade in trades), "no trade twice"
        header = Header(
            batch=before.number + 1 if before else FIRST_BATCH,
            prev_head=before.head if before else GENESIS_HEAD,
            close_time=close_time,
            log_root=self._items.root(first_sequence, last.sequence),
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

    def _shelve(self, count: int) -> None:
        """The first ``count`` groups of the queue are sealed."""
        self._draft = self._new_draft(0)
        with self._queue_lock:
            for _ in range(count):
                group = self._queue.popleft()
                assert isinstance(group, Group), "the draft is the head of the queue"
                self._sealed.append(group)

    # Keep what is sealed until no reorganisation reaches it: before, final or not, the contract may
    # have to be offered it again, and may refuse it.

    def _forget_firm(self) -> None:
        if self.firm_block == self._firm_before:
            return
        self._firm_before = self.firm_block
        firm = self._outbox.last_final_batch(self.firm_block)
        if firm is None or firm.batch.number <= self.forgotten:
            return
        # On disk before it is forgotten: so no snapshot begins later than the next start will.
        self._outbox.move_cursor(FORGOTTEN, firm.batch.number)
        self._items.forget(firm.batch.last_sequence)
        with self._queue_lock:
            self.forgotten = firm.batch.number
            while self._sealed and self._sealed[0].sequence <= firm.batch.last_sequence:
                self._sealed.popleft()

    def kept(self) -> tuple[list[SettledTrade], list[Payout]]:
        """Return every trade after the batches ``forgotten`` that is not busted, those of final
        batches too, and waiting payouts."""
        with self._queue_lock:
            items = [self._alive(item) for item in (*self._sealed, *self._queue)]
        trades = [t for item in items if isinstance(item, Group) for t in item.trades]
        return trades, [item for item in items if isinstance(item, Payout)]

    def unsettled(self) -> tuple[list[SettledTrade], list[Payout]]:
        """Return every trade that is in no final batch and not busted, and waiting payouts."""
        final = self._outbox.last_final_batch()
        last = final.batch.last_trade if final else 0
        trades, payouts = self.kept()
        return [trade for trade in trades if trade.trade_id > last], payouts

    def is_busted(self, trade_id: int) -> bool:
        """Return whether a trade was undone in the ledger."""
        return trade_id in self._busted

    def rehearsal(self, batch: Batch, now_ns: int) -> tuple[Header, list[SettledTrade]]:
        """Return what a sealed batch would say if it were sealed anew: to try it, not to send."""
        with self._queue_lock:
            sealed = [group for group in self._sealed if group.sequence <= batch.last_sequence]
        groups = [group for group in sealed if group.sequence >= batch.first_sequence]
        before = self._outbox.batch(batch.number - 1)
        close_time = before.batch.close_time if before else 0
        if groups:
            least = _close_time_min(close_time, self._sealing.horizon_s, now_ns, groups[0])
            close_time = max(least, groups[-1].time_ns // NS)
        header = Header(
            batch=batch.number,
            prev_head=batch.prev_head,
            close_time=close_time if groups else batch.close_time,
            log_root=batch.log_root,
            first_sequence=batch.first_sequence,
            command_count=batch.last_sequence - batch.first_sequence + 1,
        )
        return header, [t for g in groups for t in g.trades if t.trade_id not in self._busted]

    def unseal(self, now_ns: int, number: int) -> None:
        """Abandon batch ``number`` and all after it: their trades wait again, in their order."""
        self._outbox.abandon(number, now_ns)
        self._last_batch = self._outbox.last_batch()
        last = self._last_batch.last_sequence if self._last_batch else 0
        self._draft = self._new_draft(0)
        with self._queue_lock:
            while self._sealed and self._sealed[-1].sequence > last:
                self._queue.appendleft(self._sealed.pop())

    def _pay(self, payout: Payout, now_ns: int) -> None:
        withdrawal = payout.withdrawal
        digest = withdrawal_digest(self._domain, withdrawal)
        consent = countersignature_digest(self._domain, digest, payout.after_sequence)
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
            payout.after_sequence,
            withdrawal.signature,
            self._signer.sign_digest(consent),
        )
        call = Call(
            ActionKind.WITHDRAWAL,
            str(payout.sequence),
            self._domain.contract,
            calldata,
            WITHDRAWAL_GAS,
        )
        self._outbox.enqueue(call, now_ns)


def _forgotten(outbox: Outbox) -> int:
    """Return the last batch of which nothing is kept; an outbox that does not say it yet was kept
    by one that forgot what was final."""
    if outbox.cursor(FORGOTTEN) is None:
        final = outbox.last_final_batch()
        outbox.move_cursor(FORGOTTEN, final.batch.number if final else 0)
    return outbox.cursor(FORGOTTEN) or 0


def _close_time_min(last_close: int, horizon_s: int, now_ns: int, first: Group) -> int:
    """Return the earliest second at which a batch that begins with ``first`` may close.

    Trades that have waited for most of the horizon, because nobody was there to send them, close
    later than they were made: the contract takes them as long as their orders live.
    """
    now = now_ns // NS
    is_late = first.time_ns // NS < now - horizon_s * 3 // 4
    return max(last_close, now - horizon_s // 2) if is_late else last_close
