"""Which trades wait for a batch, and which may have to be sealed once more?

A consumer of the log: it keeps the signed order behind every open order, turns trades into
evidence and has them wait, command by command, with the withdrawals between them. Everything here
is rebuilt from the journal; what is sealed already is skipped.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import msgspec

from engine.commands import Kind
from engine.events import EventKind
from engine.journal.reader import Position
from engine.log_entries import Committed, EventRow, LogEntry
from engine.types import Outcome, Side
from settlement.batches.builder import NS, CommandTrades, PendingWithdrawal
from settlement.batches.encode import MatchedTrade, signed_fee_pips
from settlement.batches.log_leaves import LogLeaves
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Market
from settlement.outbox.actions import ActionKind, BatchState
from settlement.outbox.outbox import Outbox
from settlement.outbox.places import keep_place, place_of
from settlement.outbox.troubles import AheadOfTime
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal, WithdrawalPaid, evidence_of

# As plain numbers: reading a member of an enum costs Python 3.11 more than the question it is for.
_WITHDRAW, _BUST = int(Kind.WITHDRAW), int(Kind.BUST)
_ACCEPTED, _TRADE = int(EventKind.ACCEPTED), int(EventKind.TRADE)
_ENDS: Final = frozenset(map(int, (EventKind.CANCELLED, EventKind.UNFILLED)))
_AUCTION, _BUY = int(Outcome.AUCTION), int(Side.BUY)

FORGOTTEN: Final = "forgotten"
"""The outbox's cursor over batches of which nothing is kept here any more."""

AHEAD_NS: Final = 15 * NS
"""A stamp so far ahead of our clock is named: it was put back."""


class _Memory(msgspec.Struct):
    orders: dict[int, SignedOrder]
    groups: list[CommandTrades]
    payouts: list[PendingWithdrawal]
    busted: list[int]
    first_ns: int
    tail: CommandTrades | None
    items_from: int
    items: bytes
    traded_sequence: int


class TradeQueue:
    """What the log has for settlement, in its order.

    ``consume`` belongs to the thread of the pipeline, ``mark_sealed``, ``drop_withdrawal``,
    ``unseal`` and ``forget`` to the settlement's worker; everybody may ask.
    """

    checkpoint_name = "sealer/3"
    file_name = "settlement.sqlite"

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._orders: dict[int, SignedOrder] = {}
        self._queue: deque[CommandTrades | PendingWithdrawal] = deque()
        self._queue_lock = threading.Lock()
        self._first_ns = 0
        self._traded_sequence = 0
        """The newest command with trades: what a withdrawal after it has to wait for."""
        self._tail: CommandTrades | None = None
        """The newest command without trades: what an empty batch covers."""

        self._sealed: deque[CommandTrades] = deque()
        """What is in batches that may yet be lost: kept, for the contract may refuse one."""
        self._busted: frozenset[int] = frozenset()
        """Never changed but replaced, so that everybody may look without a lock."""

        self._forgotten = _forgotten(outbox)
        gone = outbox.batch(self._forgotten)
        self._forgotten_trade = gone.batch.last_trade if gone else 0
        self._items = LogLeaves(gone.batch.last_sequence + 1 if gone else 1)
        last = outbox.last_batch()
        self._sealed_trade = last.last_trade if last else 0
        self._paid_sequence = int(outbox.last_key(ActionKind.WITHDRAWAL) or 0)

    @property
    def forgotten(self) -> int:
        """Return the last batch of which nothing is kept here; 0 before there is one."""
        return self._forgotten

    @property
    def first_ns(self) -> int:
        """Return when the first command was stamped."""
        return self._first_ns

    @property
    def last_sequence(self) -> int:
        """Return the newest command that was read; 0 before there is one."""
        tail = self._tail
        return 0 if tail is None else tail.sequence

    # Be remembered.

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep the worker from changing anything meanwhile, so that the process can be forked."""
        with self._queue_lock, self._items.lock():
            yield

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        with self._queue_lock:
            kept, busted, tail = [*self._sealed, *self._queue], sorted(self._busted), self._tail
        commands = [item for item in kept if isinstance(item, CommandTrades)]
        withdrawals = [item for item in kept if isinstance(item, PendingWithdrawal)]
        items_from, items = self._items.kept()
        return msgspec.msgpack.encode(
            _Memory(
                self._orders,
                commands,
                withdrawals,
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
        self._busted = frozenset(saved.busted)
        self._traded_sequence = saved.traded_sequence
        commands = [
            command for command in saved.groups if command.last_trade > self._forgotten_trade
        ]
        self._sealed.extend(g for g in commands if g.last_trade <= self._sealed_trade)
        waiting = [g for g in commands if g.last_trade > self._sealed_trade]
        withdrawals = [p for p in saved.payouts if p.sequence > self._paid_sequence]
        self._queue.extend(sorted([*waiting, *withdrawals], key=lambda item: item.sequence))

    def place(self) -> Position | None:
        """See ``engine.sequencer.places.FilingConsumer``."""
        return place_of(self._outbox)

    def keep_place(self, place: Position) -> None:
        """See ``FilingConsumer``."""
        keep_place(self._outbox, place)

    # Follow the journal.

    def consume(self, batch: Committed) -> None:
        """See ``engine.log_entries.Consumer``."""
        self._items.consume(batch)
        for entry in batch.entries:
            kind = entry.command.kind
            if kind == _WITHDRAW:
                self._take_withdrawal(entry)
            elif kind == _BUST:
                self._take_bust(entry)
            if len(entry.events):  # Whatever the command is, orders may leave by it.
                self._take_orders(entry)
        times = batch.commands["time_ns"]
        self._first_ns = self._first_ns or int(times[0])
        with self._queue_lock:
            self._tail = CommandTrades(batch.last_sequence, int(times[-1]), 0, [])

    def _take_withdrawal(self, entry: LogEntry) -> None:
        if entry.sequence <= self._paid_sequence or not len(entry.events):
            return
        if entry.answer[0].kind != EventKind.WITHDRAWN:
            return
        withdrawal = evidence_of(entry)
        if isinstance(withdrawal, WithdrawalPaid):
            return  # It tells of one that was paid.
        assert isinstance(withdrawal, SignedWithdrawal), "a debit needs its owner's signature"
        self._push(PendingWithdrawal(entry.sequence, withdrawal, self._traded_sequence))

    def _take_bust(self, entry: LogEntry) -> None:
        bust = busted_by(entry)
        if bust is not None:
            self._busted |= {bust.trade_id}

    def _take_orders(self, entry: LogEntry) -> None:
        trades: list[MatchedTrade] = []
        for event in entry.events:
            kind = event.kind
            if kind == _ACCEPTED:
                order = evidence_of(entry)
                assert isinstance(order, SignedOrder), "an order needs its signature"
                self._orders[event.order_id] = order
            elif kind == _TRADE:
                trades.append(self._trade(entry, event))
                if event.maker_left == 0:
                    del self._orders[event.maker_id]
                if event.order_left == 0:
                    del self._orders[event.order_id]
            elif kind in _ENDS:
                del self._orders[event.order_id]
        if not trades:
            return
        self._traded_sequence = entry.sequence
        if trades[-1].trade_id <= self._forgotten_trade:
            return
        last_trade = trades[-1].trade_id
        command = CommandTrades(entry.sequence, entry.command.time_ns, last_trade, trades)
        if last_trade <= self._sealed_trade:
            with self._queue_lock:
                self._sealed.append(command)
        else:
            assert trades[0].trade_id > self._sealed_trade, "a command never straddles batches"
            self._push(command)

    def _trade(self, entry: LogEntry, event: EventRow) -> MatchedTrade:
        market: Market = entry.markets[event.market]
        lots, price = event.amount, event.price_ticks
        quote_pips = market.quote_pips(lots, price)
        taker = self._orders[event.order_id]
        maker = self._orders[event.maker_id]
        taker_ppm, maker_ppm = market.taker_fee_ppm, market.maker_fee_ppm
        if event.outcome == _AUCTION:
            # Both waited, so both pay what a maker pays; nobody is there to pay a rebate.
            taker_ppm = maker_ppm = max(maker_ppm, 0)
        assert signed_fee_pips(quote_pips, taker_ppm) == event.fee_pips, "one fee formula"
        assert signed_fee_pips(quote_pips, maker_ppm) == event.maker_fee_pips, "one fee formula"
        taker_buys = event.side == _BUY
        return MatchedTrade(
            trade_id=event.trade_id,
            sequence=entry.sequence,
            time_ns=entry.command.time_ns,
            buy=taker if taker_buys else maker,
            sell=maker if taker_buys else taker,
            base_pips=market.base_pips(lots),
            quote_pips=quote_pips,
            buy_fee_ppm=taker_ppm if taker_buys else maker_ppm,
            sell_fee_ppm=maker_ppm if taker_buys else taker_ppm,
        )

    def _push(self, item: CommandTrades | PendingWithdrawal) -> None:
        with self._queue_lock:
            self._queue.append(item)

    # Be asked.

    def ahead(self, now_ns: int) -> AheadOfTime | None:
        """Return the trades at the head of the queue, if their time has yet to come."""
        with self._queue_lock:
            first = self._queue[0] if self._queue else None
        if not isinstance(first, CommandTrades) or first.time_ns - now_ns <= AHEAD_NS:
            return None
        return AheadOfTime(first.sequence, (first.time_ns - now_ns) // NS)

    def waiting(self, count: int) -> list[CommandTrades | PendingWithdrawal]:
        """Return up to ``count`` of what is to be sealed next, without what is busted."""
        with self._queue_lock:
            return [self._alive(item) for item in islice(self._queue, count)]

    def idle_tail(self) -> CommandTrades | None:
        """Return the newest command, without trades; None while anything waits."""
        with self._queue_lock:
            # Both under one lock: what stands in no queue and before the tail is sealed.
            return None if self._queue else self._tail

    def log_root(self, first_sequence: int, last_sequence: int) -> bytes:
        """Return what a batch says of the log; see ``LogLeaves.root``."""
        return self._items.root(first_sequence, last_sequence)

    def sealed(self, first_sequence: int, last_sequence: int) -> list[CommandTrades]:
        """Return what is sealed of some commands, without what is busted."""
        with self._queue_lock:
            found = [g for g in self._sealed if first_sequence <= g.sequence <= last_sequence]
            return [self._alive_command(command) for command in found]

    def kept(self) -> tuple[list[MatchedTrade], list[PendingWithdrawal]]:
        """Return every trade after the batches ``forgotten`` that is not busted, those of final
        batches too, and waiting withdrawals."""
        with self._queue_lock:
            items = [self._alive(item) for item in (*self._sealed, *self._queue)]
        trades = [t for item in items if isinstance(item, CommandTrades) for t in item.trades]
        return trades, [item for item in items if isinstance(item, PendingWithdrawal)]

    def unsettled(self) -> tuple[list[MatchedTrade], list[PendingWithdrawal]]:
        """Return every trade that is in no final batch and not busted, and waiting withdrawals."""
        final = self._outbox.last_final_batch()
        last = final.batch.last_trade if final else 0
        trades, withdrawals = self.kept()
        return [trade for trade in trades if trade.trade_id > last], withdrawals

    def is_busted(self, trade_id: int) -> bool:
        """Return whether a trade was undone in the ledger."""
        return trade_id in self._busted

    def _alive(self, item: CommandTrades | PendingWithdrawal) -> CommandTrades | PendingWithdrawal:
        """Return ``item`` without the trades that are busted."""
        return item if isinstance(item, PendingWithdrawal) else self._alive_command(item)

    def _alive_command(self, command: CommandTrades) -> CommandTrades:
        if not self._busted:
            return command
        return command._replace(
            trades=[t for t in command.trades if t.trade_id not in self._busted]
        )

    # Be sealed. What is sealed is kept until no reorganisation reaches it: before, final or not,
    # the contract may have to be offered it again, and may refuse it.

    def mark_sealed(self, count: int) -> None:
        """The first ``count`` commands of the queue are sealed."""
        with self._queue_lock:
            for _ in range(count):
                command = self._queue.popleft()
                assert isinstance(command, CommandTrades), "a batch is the head of the queue"
                self._sealed.append(command)

    def drop_withdrawal(self) -> None:
        """The withdrawal at the head of the queue is countersigned, or void."""
        with self._queue_lock:
            item = self._queue.popleft()
        assert isinstance(item, PendingWithdrawal), "whoever drops it has looked"

    def unseal(self, last_sequence: int) -> None:
        """What is sealed behind ``last_sequence`` waits again, in its order."""
        with self._queue_lock:
            while self._sealed and self._sealed[-1].sequence > last_sequence:
                self._queue.appendleft(self._sealed.pop())

    def forget(self, firm: BatchState) -> None:
        """No reorganisation reaches ``firm`` nor any batch before it."""
        if firm.batch.number <= self._forgotten:
            return
        # On disk before it is forgotten: so no snapshot begins later than the next start will.
        self._outbox.move_cursor(FORGOTTEN, firm.batch.number)
        self._items.forget(firm.batch.last_sequence)
        with self._queue_lock:
            self._forgotten = firm.batch.number
            while self._sealed and self._sealed[0].sequence <= firm.batch.last_sequence:
                self._sealed.popleft()


def _forgotten(outbox: Outbox) -> int:
    """Return the last batch of which nothing is kept; an outbox that does not say it yet was kept
    by one that forgot what was final."""
    if outbox.cursor(FORGOTTEN) is None:
        final = outbox.last_final_batch()
        outbox.move_cursor(FORGOTTEN, final.batch.number if final else 0)
    return outbox.cursor(FORGOTTEN) or 0
