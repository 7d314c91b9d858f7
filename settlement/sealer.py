"""Which trades go into which batch?

A consumer: it keeps the signed order behind every open order, turns trades into evidence and cuts
them into batches on command boundaries. A batch is cut when the next command would not fit (gas,
lane, expiry), when a withdrawal must not overtake it, or when its oldest trade has waited long
enough. Where a cut falls depends on the clock, so it is written down at once; everything else is
rebuilt from the journal, and what is sealed already is skipped.
"""

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.commands import Kind
from engine.events import EventKind
from engine.frames import Committed, Frame
from engine.types import Outcome, Side, fee_pips
from settlement.attachments import OrderBits, SignedOrder, SignedWithdrawal, decode
from settlement.batch import (
    FIRST_BATCH,
    GENESIS_HEAD,
    TOKENS_PER_WORD,
    Header,
    SettledTrade,
    encode_batch,
    encode_call,
    gas_bound,
    lane_half,
)
from settlement.catalog import Catalog
from settlement.eip712 import Domain, withdrawal_digest
from settlement.outbox import ActionKind, ActionState, Batch, Call, Outbox
from settlement.signer import Signer

NS: Final = 10**9
GAS_MAX: Final = 12_000_000
"""Below the 16,777,216 that EIP-7825 allows one transaction, with room for our own error."""

WITHDRAWAL_GAS: Final = 250_000
HEARTBEAT_NS: Final = 24 * 3600 * NS
"""An exchange without trades seals an empty batch this often: the contract takes a longer silence
than its dead-man delay for the operator's death and closes settlement for good."""

LOOK_AHEAD: Final = 4_096
"""Most queued items looked at for one batch; gas ends a batch long before."""


class Group(NamedTuple):
    """All trades of one command: they are settled together or not at all."""

    sequence: int
    time_ns: int
    log_head: bytes
    trades: list[SettledTrade]


class Payout(NamedTuple):
    """A withdrawal that the ledger has debited."""

    sequence: int
    withdrawal: SignedWithdrawal


class Draft:
    """A batch that is being filled: does one more group fit?"""

    def __init__(self, gas_max: int) -> None:
        self.groups: list[Group] = []
        self._gas_max = gas_max
        self._orders: set[bytes] = set()
        self._lanes: dict[tuple[bytes, int, bool], bytes] = {}
        self._words: set[tuple[bytes, int]] = set()
        self._trade_count = 0
        self._expiry = 1 << 32

    def takes(self, group: Group, token_numbers: dict[bytes, int]) -> bool:
        """Add ``group`` if batch rules allow it. The first group always fits."""
        orders = {o.digest: o for trade in group.trades for o in (trade.buy, trade.sell)}
        words = {word for order in orders.values() for word in _words_of(order, token_numbers)}
        expiry = min(self._expiry, *(order.expiry for order in orders.values()))
        gas = gas_bound(
            len(self._orders) + len(orders.keys() - self._orders),
            self._trade_count + len(group.trades),
            len(self._words) + len(words - self._words),
        )
        if self.groups and (
            gas > self._gas_max or group.time_ns // NS > expiry or self._meets_lane(orders)
        ):
            return False
        for order in orders.values():
            half = lane_half(order)
            if half is not None:
                self._lanes[half] = order.digest
        self.groups.append(group)
        self._orders.update(orders)
        self._words.update(words)
        self._expiry = expiry
        self._trade_count += len(group.trades)
        return True

    def _meets_lane(self, orders: dict[bytes, SignedOrder]) -> bool:
        """Would a second order enter a lane half? On chain the first would be dead at once."""
        halves = ((lane_half(order), digest) for digest, order in orders.items())
        return any(
            half is not None and self._lanes.get(half, digest) != digest for half, digest in halves
        )


def _words_of(order: SignedOrder, token_numbers: dict[bytes, int]) -> list[tuple[bytes, int]]:
    """Return the state words that settling ``order`` touches, as (account, index)."""
    state = 0 if order.flags & OrderBits.SINGLE_SHOT else order.lane
    indices = (
        token_numbers[order.base] // TOKENS_PER_WORD,
        token_numbers[order.quote] // TOKENS_PER_WORD,
        state,
    )
    return [(order.account, index) for index in indices]


class _Memory(msgspec.Struct):
    orders: dict[int, SignedOrder]
    groups: list[Group]
    payouts: list[Payout]
    first_ns: int
    tail: Group | None


class Sealer:
    """Turns the journal into batches and withdrawals in the outbox.

    ``consume`` belongs to the thread of the pipeline, ``seal`` and ``seal_due`` to one worker.
    The catalog must be an earlier consumer of the same pipeline.
    """

    memory_name = "sealer/1"

    def __init__(
        self,
        outbox: Outbox,
        catalog: Catalog,
        domain: Domain,
        signer: Signer,
        batch_age_ns: int,
        gas_max: int = GAS_MAX,
        heartbeat_ns: int = HEARTBEAT_NS,
    ) -> None:
        """``domain.contract`` is the exchange; ``signer`` countersigns withdrawals.

        ``heartbeat_ns`` must be well below the contract's dead-man delay.
        """
        self._outbox = outbox
        self._catalog = catalog
        self._domain = domain
        self._signer = signer
        self._batch_age_ns = batch_age_ns
        self._gas_max = gas_max
        self._heartbeat_ns = heartbeat_ns
        self._orders: dict[int, SignedOrder] = {}
        self._queue: deque[Group | Payout] = deque()
        self._queue_lock = threading.Lock()
        self._draft = Draft(gas_max)
        self._first_ns = 0
        self._tail: Group | None = None
        """The newest command as a group without trades: what an empty batch covers."""

        self._last_batch = outbox.last_batch()
        self._sealed_trade = self._last_batch.last_trade if self._last_batch else 0
        self._paid_sequence = int(outbox.last_key(ActionKind.WITHDRAWAL) or 0)

    @property
    def open_order_count(self) -> int:
        """Return how many signed orders are kept because they may still trade."""
        return len(self._orders)

    # Follow the journal.

    def save(self) -> bytes:
        """See ``engine.frames.Rememberer``. Without the lock, which the worker may hold for ever
        in a forked process: what it has taken off the queue is in the outbox already."""
        queue = self._queue.copy()
        return msgspec.msgpack.encode(
            _Memory(
                self._orders,
                [item for item in queue if isinstance(item, Group)],
                [item for item in queue if isinstance(item, Payout)],
                self._first_ns,
                self._tail,
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.frames.Rememberer``. The outbox may have come further since."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._orders, self._first_ns, self._tail = saved.orders, saved.first_ns, saved.tail
        groups = [g for g in saved.groups if g.trades[-1].trade_id > self._sealed_trade]
        payouts = [p for p in saved.payouts if p.sequence > self._paid_sequence]
        self._queue.extend(sorted([*groups, *payouts], key=lambda item: item.sequence))

    def consume(self, batch: Committed) -> None:
        """See ``engine.frames.Consumer``."""
        for i, frame in enumerate(batch.frames()):
            kind = frame.command["kind"]
            if kind == Kind.WITHDRAW:
                self._take_withdrawal(frame)
            elif len(frame.events):
                self._take_orders(frame, batch.heads[i])
        times = batch.commands["time_ns"]
        self._first_ns = self._first_ns or int(times[0])
        with self._queue_lock:
            self._tail = Group(batch.last_sequence, int(times[-1]), batch.heads[-1], [])

    def _take_withdrawal(self, frame: Frame) -> None:
        if frame.sequence <= self._paid_sequence or not len(frame.events):
            return
        if frame.answer[0]["kind"] != EventKind.WITHDRAWN:
            return
        withdrawal = decode(frame.attachment)
        assert isinstance(withdrawal, SignedWithdrawal), "a debit needs its owner's signature"
        self._push(Payout(frame.sequence, withdrawal))

    def _take_orders(self, frame: Frame, log_head: bytes) -> None:
        trades: list[SettledTrade] = []
        for event in frame.events:
            match int(event["kind"]):
                case EventKind.ACCEPTED:
                    order = decode(frame.attachment)
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
        if trades and trades[-1].trade_id > self._sealed_trade:
            assert trades[0].trade_id > self._sealed_trade, "a command never straddles batches"
            self._push(Group(frame.sequence, int(frame.command["time_ns"]), log_head, trades))

    def _trade(self, frame: Frame, event: np.void) -> SettledTrade:
        market = self._catalog.markets[int(event["market"])]
        lots, price = int(event["amount"]), int(event["price_ticks"])
        quote_pips = market.quote_pips(lots, price)
        taker = self._orders[int(event["order_id"])]
        maker = self._orders[int(event["maker_id"])]
        taker_ppm, maker_ppm = market.taker_fee_ppm, market.maker_fee_ppm
        if event["outcome"] == Outcome.AUCTION:  # Both waited, so both pay what a maker pays.
            taker_ppm = maker_ppm
        assert maker_ppm >= 0, "the contract pays no rebates, so no such market is listed"
        assert fee_pips(quote_pips, taker_ppm) == event["fee_pips"], "one fee formula"
        assert fee_pips(quote_pips, maker_ppm) == event["maker_fee_pips"], "one fee formula"
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

    def seal_due(self, now_ns: int) -> bool:
        """Seal what is full, in a withdrawal's way, or old enough; return whether there was any."""
        return self._seal(now_ns, now_ns - self._batch_age_ns) or self._beat(now_ns)

    def seal(self, now_ns: int) -> bool:
        """Seal everything now; return whether there was any."""
        return self._seal(now_ns, now_ns)

    def _seal(self, now_ns: int, ripe_ns: int) -> bool:
        any_sealed = False
        while True:
            with self._queue_lock:
                waiting = list(islice(self._queue, LOOK_AHEAD))
            if not waiting:
                return any_sealed
            first = waiting[0]
            if isinstance(first, Payout):
                self._pay(first, now_ns)
                self._pop(1)
            else:
                groups, is_cut = self._cut(waiting)
                if not is_cut and groups[0].time_ns > ripe_ns:
                    return any_sealed
                self._write(groups, now_ns)
                self._pop(len(groups))
                self._draft = Draft(self._gas_max)
            any_sealed = True

    def _beat(self, now_ns: int) -> bool:
        """Seal an empty batch if the last one is long ago and nothing waits."""
        with self._queue_lock:
            # Both under one lock: what stands in no queue and before the tail is sealed.
            tail = None if self._queue else self._tail
        last = self._last_batch
        last_ns = last.close_time * NS if last else self._first_ns
        if tail is None or now_ns - last_ns < self._heartbeat_ns:
            return False
        if last is not None:
            state = self._outbox.batch(last.number)
            if state is None or state.state is not ActionState.FINAL:
                return False  # The last one is still on its way, or refused: nothing to add.
        self._write([tail._replace(time_ns=now_ns)], now_ns)
        return True

    def _cut(self, waiting: Sequence[Group | Payout]) -> tuple[list[Group], bool]:
        """Return the groups of the next batch, and whether more of them could not join it.

        The draft is kept from call to call: what it holds is the head of the queue.
        """
        for item in waiting[len(self._draft.groups) :]:
            if isinstance(item, Payout) or not self._draft.takes(item, self._token_numbers()):
                return self._draft.groups, True
        return self._draft.groups, False

    def _token_numbers(self) -> dict[bytes, int]:
        return {token.address: token.number for token in self._catalog.tokens}

    def _pop(self, count: int) -> None:
        with self._queue_lock:
            for _ in range(count):
                self._queue.popleft()

    def _write(self, groups: list[Group], now_ns: int) -> None:
        last, before = groups[-1], self._last_batch
        trades = [trade for group in groups for trade in group.trades]
        first_sequence = before.last_sequence + 1 if before else 1
        first_trade = before.last_trade + 1 if before else 1
        assert all(trade.trade_id >= first_trade for trade in trades), "no trade twice"
        header = Header(
            batch=before.number + 1 if before else FIRST_BATCH,
            prev_head=before.head if before else GENESIS_HEAD,
            close_time=last.time_ns // NS,
            log_root=last.log_head,
            first_sequence=first_sequence,
            command_count=last.sequence - first_sequence + 1,
        )
        encoded = encode_batch(header, trades, self._token_numbers())
        batch = Batch(
            number=header.batch,
            first_trade=first_trade,
            last_trade=first_trade + len(trades) - 1,
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
            str(batch.number),
            self._domain.contract,
            encoded.calldata,
            encoded.gas_limit,
        )
        self._outbox.seal(batch, call, now_ns)
        self._last_batch = batch

    def _pay(self, payout: Payout, now_ns: int) -> None:
        withdrawal = payout.withdrawal
        digest = withdrawal_digest(self._domain, withdrawal)
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
            withdrawal.signature,
            self._signer.sign_digest(digest),
        )
        call = Call(
            ActionKind.WITHDRAWAL,
            str(payout.sequence),
            self._domain.contract,
            calldata,
            WITHDRAWAL_GAS,
        )
        self._outbox.enqueue(call, now_ns)
