"""What was traded lately in one market, and on its day?"""

from bisect import bisect_right
from collections import deque
from functools import reduce
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from engine.kept import Kept
from engine.types import Side

TRADES_MAX: Final = 1000
"""Trades kept a market; older ones are history, not market data."""

DAY_NS: Final = 24 * 3600 * 10**9
BUCKET_NS: Final = DAY_NS // 288
"""The ticker forgets in steps of five minutes."""


class Trade(Kept, frozen=True):
    """One public trade; ``side`` is the taker's."""

    trade_id: int
    price_ticks: int
    lots: int
    side: Side
    time_ns: int
    is_busted: bool = False
    """Whether it was undone: it is shown, and counts for nothing any more."""


class Bucket(NamedTuple):
    """What was traded in one five-minute step, from trade ``first_trade`` on."""

    step: int
    first_trade: int
    first: int
    high: int
    low: int
    lots: int
    quote_pips: int


class Tape:
    """The last trades of one market and its day."""

    def __init__(self, last: int = 0) -> None:
        """``last`` is the last trade there was in other terms."""
        self.trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.version = 0
        """Another number after each change: what was made of the tape before may be kept."""
        self.gone = 0
        """Trades that are not kept any more."""
        self.last = last
        self.cut = last
        """The last trade that is not kept any more."""
        self.buckets: deque[Bucket] = deque(maxlen=DAY_NS // BUCKET_NS)
        self._over: tuple[tuple[int, int, int], Bucket | None] | None = None
        """The day without its last step, and for which oldest and last step, and after how many
        busts, it was summed up: between two steps a trade changes the last one only."""
        self._busts = 0

    def add(self, trade: Trade, quote_pips: int) -> None:
        """Take one more trade."""
        self.version += 1
        self.last = trade.trade_id
        if len(self.trades) == TRADES_MAX:
            self.gone += 1
            self.cut = self.trades[0].trade_id
        self.trades.append(trade)
        step, ticks = trade.time_ns // BUCKET_NS, trade.price_ticks
        if self.buckets and self.buckets[-1].step == step:
            last = self.buckets.pop()
            bucket = Bucket(
                step,
                last.first_trade,
                last.first,
                max(last.high, ticks),
                min(last.low, ticks),
                last.lots + trade.lots,
                last.quote_pips + quote_pips,
            )
        else:
            bucket = Bucket(step, trade.trade_id, ticks, ticks, ticks, trade.lots, quote_pips)
        self.buckets.append(bucket)

    def bust(self, trade_id: int, lots: int, quote_pips: int) -> None:
        """Undo one trade; what is not of this tape, or too old for it, changes nothing."""
        self.version += 1
        self._busts += 1
        for at in range(len(self.trades) - 1, -1, -1):
            if self.trades[at].trade_id == trade_id:
                undone = msgspec.structs.replace(self.trades[at], is_busted=True)
                self.trades[at] = undone
                break
        for at in range(len(self.buckets) - 1, -1, -1):
            if self.buckets[at].first_trade <= trade_id:
                left = self._without(self.buckets[at], lots, quote_pips)
                if left.lots:
                    self.buckets[at] = left
                else:
                    del self.buckets[at]
                break

    def _without(self, bucket: Bucket, lots: int, quote_pips: int) -> Bucket:
        """Return a step without ``lots`` of it. Its prices stay as they were where some of its
        trades are too old to be kept, for then nobody knows any more which they were."""
        left = bucket._replace(lots=bucket.lots - lots, quote_pips=bucket.quote_pips - quote_pips)
        kept = [t for t in self.trades if t.time_ns // BUCKET_NS == left.step and not t.is_busted]
        if not kept or sum(trade.lots for trade in kept) != left.lots:
            return left
        ticks = [trade.price_ticks for trade in kept]
        return left._replace(first=ticks[0], high=max(ticks), low=min(ticks))

    @property
    def last_ticks(self) -> int | None:
        """Return the price of the last trade that stands."""
        return next((t.price_ticks for t in reversed(self.trades) if not t.is_busted), None)

    def busted(self, first_trade: int, last_trade: int) -> list[int]:
        """Return which of a range of trades were undone, as far as they are kept."""
        return [
            trade.trade_id
            for trade in self.trades
            if trade.is_busted and first_trade <= trade.trade_id <= last_trade
        ]

    def day(self, now_ns: int) -> Bucket | None:
        """Return the 24 hours before ``now_ns`` as one step; None if nothing was traded."""
        oldest = (now_ns - DAY_NS) // BUCKET_NS
        if not self.buckets or self.buckets[-1].step <= oldest:
            return None
        last = self.buckets[-1]
        key = oldest, last.step, self._busts
        if self._over is None or self._over[0] != key:
            over = [bucket for bucket in self.buckets if oldest < bucket.step < last.step]
            self._over = key, reduce(_both, over) if over else None
        earlier = self._over[1]
        return last if earlier is None else _both(earlier, last)

    def count_after(self, trade_id: int) -> int:
        """Return how many trades are kept that came behind ``trade_id``."""
        return len(self.trades) - bisect_right(self.trades, trade_id, key=lambda t: t.trade_id)

    def newest(self, limit: int) -> list[Trade]:
        """Return up to ``limit`` trades, newest first."""
        return list(islice(reversed(self.trades), limit))


def _both(earlier: Bucket, later: Bucket) -> Bucket:
    return Bucket(
        earlier.step,
        earlier.first_trade,
        earlier.first,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        earlier.lots + later.lots,
        earlier.quote_pips + later.quote_pips,
    )


class BucketMemory(msgspec.Struct, array_like=True):
    """A ``Bucket`` as a snapshot keeps it: MessagePack has no number above 2**64, and five minutes
    of trades between two rich accounts may come to more. So its sums are decimal digits."""

    step: int
    first_trade: int
    first: int
    high: int
    low: int
    lots: str
    quote_pips: str


def kept_buckets(tape: Tape) -> list[BucketMemory]:
    """Return a tape's day as a snapshot keeps it."""
    return [
        BucketMemory(b.step, b.first_trade, b.first, b.high, b.low, str(b.lots), str(b.quote_pips))
        for b in tape.buckets
    ]


def bucket_of(kept: BucketMemory) -> Bucket:
    """Return a step as it was before the snapshot."""
    sums = int(kept.lots), int(kept.quote_pips)
    return Bucket(kept.step, kept.first_trade, kept.first, kept.high, kept.low, *sums)
