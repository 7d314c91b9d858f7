"""What did a market trade in each second, minute, hour, day, month?

A trade changes the second it falls into and nothing else. When a second is over it is folded into
its minute, a minute into its quarters of an hour, and so on: so a trade costs the same whatever
intervals there are, and of each of them the last ``CANDLES_KEPT`` that are over are kept.

Prices are quote pips a whole base token and volumes are pips, so that candles outlive a change of
the market's ticks and lots. An interval without trades has no candle.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Final, NamedTuple, Self

import msgspec

from engine.events import EventKind
from engine.log_entries import Committed, EventRow
from gateway.views.channels import Channels, News
from settlement.orders.busts import busted_at, moved_back_at
from settlement.orders.catalog import Market

CANDLES_KEPT: Final = 1_000
"""Candles that are over, kept of each interval of a market."""

TRIMMED_AT_ONCE: Final = 100
"""So many are dropped together: to take one off the front of a list moves all the others."""

TRADES_KEPT: Final = 1_000
"""Trades of a market of which the price is still known when one of them is undone."""

DAY: Final = 86_400
NS: Final = 10**9

TRADE: Final = int(EventKind.TRADE)
TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)


class Candle(NamedTuple):
    """What was traded in one interval that begins at ``start``, in seconds since 1970."""

    start: int
    first_trade: int
    open: int
    high: int
    low: int
    close: int
    base_pips: int
    quote_pips: int
    trades: int

    def then(self, later: "Candle") -> "Candle":
        """Return both as one, under this one's start."""
        return Candle(
            self.start,
            self.first_trade,
            self.open,
            self.high if self.high > later.high else later.high,
            self.low if self.low < later.low else later.low,
            later.close,
            self.base_pips + later.base_pips,
            self.quote_pips + later.quote_pips,
            self.trades + later.trades,
        )

    def without(self, gone: "Candle") -> "Candle":
        """Return it with so much less volume; its prices stay."""
        return self._replace(
            base_pips=self.base_pips - gone.base_pips,
            quote_pips=self.quote_pips - gone.quote_pips,
            trades=self.trades - gone.trades,
        )

    def packed(self) -> bytes:
        """Return it in a third of the memory, as digits: sums may pass 2**64."""
        return b"%d %d %d %d %d %d %d %d %d" % self

    @classmethod
    def unpacked(cls, text: bytes) -> Self:
        """Return the candle that was ``packed``."""
        return cls._make(map(int, text.split()))


def _start(text: bytes) -> int:
    return int(text[: text.index(b" ")])


def _first_trade(text: bytes) -> int:
    return int(text.split(b" ", 2)[1])


def _every(seconds: int, first: int = 0) -> Callable[[int], int]:
    return lambda time_s: (time_s - first) // seconds * seconds + first


def _month(time_s: int) -> int:
    at = datetime.fromtimestamp(time_s, UTC)
    return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp())


FIRST_MONDAY: Final = 4 * DAY
"""1970 began on a Thursday."""


class _Plan(NamedTuple):
    """When an interval begins, and from candles of which one it is folded."""

    begin: Callable[[int], int]
    part: str


_PLANS: Final = {
    "1s": _Plan(_every(1), ""),
    "1m": _Plan(_every(60), "1s"),
    "3m": _Plan(_every(180), "1m"),
    "5m": _Plan(_every(300), "1m"),
    "15m": _Plan(_every(900), "1m"),
    "30m": _Plan(_every(1800), "1m"),
    "1h": _Plan(_every(3600), "1m"),
    "2h": _Plan(_every(2 * 3600), "1h"),
    "4h": _Plan(_every(4 * 3600), "1h"),
    "6h": _Plan(_every(6 * 3600), "1h"),
    "8h": _Plan(_every(8 * 3600), "1h"),
    "12h": _Plan(_every(12 * 3600), "1h"),
    "1d": _Plan(_every(DAY), "1h"),
    "3d": _Plan(_every(3 * DAY), "1d"),
    "1w": _Plan(_every(7 * DAY, FIRST_MONDAY), "1d"),
    "1M": _Plan(_month, "1d"),
}
INTERVALS: Final = tuple(_PLANS)

_FOLDED: Final = {
    part: tuple(name for name, plan in _PLANS.items() if plan.part == part) for part in INTERVALS
}
"""By interval: those that are folded from it."""


class CandleNews(News, frozen=True):
    """Candles of one interval that are new or have changed, oldest first. The last is the one under
    way, unless they were changed by a trade that was undone."""

    is_mergeable = True

    market: Market
    interval: str
    candles: tuple[Candle, ...]

    def takes(self, newer: Self) -> bool:
        """Return whether ``newer`` is written by the same steps of price and quantity."""
        return self.market == newer.market

    def merged(self, newer: Self) -> Self:
        """Return the later word on each candle."""
        latest = {candle.start: candle for candle in (*self.candles, *newer.candles)}
        candles = tuple(latest[start] for start in sorted(latest))
        return msgspec.structs.replace(newer, candles=candles)


class _SeriesMemory(msgspec.Struct, array_like=True):
    over: list[bytes]
    gone: int
    changes: int
    open: bytes | None


class Undone(NamedTuple):
    """Whether the candle of an undone trade was over, and what is to be told of it then."""

    is_over: bool
    told: Candle | None


def _less(
    candle: Candle, gone: Candle, parts: Callable[[Candle], Sequence[Candle]]
) -> Candle | None:
    left = candle.without(gone)
    if left.trades == 0:
        return None
    known = parts(candle)
    if sum(part.trades for part in known) != left.trades:
        return left
    return reduce(Candle.then, known)._replace(start=candle.start)


class Series:
    """The candles of one interval: those that are over, and what the open one has been folded from
    so far, which is all of it but its part that is open itself."""

    def __init__(self) -> None:
        self.over: list[bytes] = []
        self.gone = 0
        """Candles that are not kept any more."""
        self.changes = 0
        """Counts how often a candle that was over has changed: what was made of them is void."""
        self.open: Candle | None = None

    @property
    def count(self) -> int:
        """Return how many candles were over ever."""
        return self.gone + len(self.over)

    def close(self) -> Candle | None:
        """Count the open candle among those that are over, and return it."""
        ended, self.open = self.open, None
        if ended is not None:
            self.over.append(ended.packed())
            if len(self.over) >= CANDLES_KEPT + TRIMMED_AT_ONCE:
                del self.over[:TRIMMED_AT_ONCE]
                self.gone += TRIMMED_AT_ONCE
        return ended

    def before(self, start: int) -> int:
        """Return how many of ``over`` begin before ``start``."""
        return bisect_left(self.over, start, key=_start)

    def undo(self, gone: Candle, parts: Callable[[Candle], Sequence[Candle]]) -> "Undone":
        """Take an undone trade out of its candle. ``parts`` returns what a candle is made of, as
        far as that is kept: where it is all of it, its prices are found again; else they stay."""
        if self.open is not None and self.open.first_trade <= gone.first_trade:
            self.open = _less(self.open, gone, parts)
            return Undone(is_over=False, told=None)
        at = bisect_right(self.over, gone.first_trade, key=_first_trade) - 1
        if at < 0:
            return Undone(is_over=True, told=None)
        was = Candle.unpacked(self.over[at])
        left = _less(was, gone, parts)
        self.changes += 1
        if left is None:
            del self.over[at]
            self.gone += 1  # It was over: who is told what has ended counts it.
            return Undone(is_over=True, told=was.without(gone))
        self.over[at] = left.packed()
        return Undone(is_over=True, told=left)

    def memory(self) -> _SeriesMemory:
        """Return all of it."""
        packed = None if self.open is None else self.open.packed()
        return _SeriesMemory(self.over, self.gone, self.changes, packed)

    @classmethod
    def remembered(cls, memory: _SeriesMemory) -> Self:
        """Return the series that ``memory`` was taken of."""
        series = cls()
        series.over, series.gone, series.changes = memory.over, memory.gone, memory.changes
        series.open = None if memory.open is None else Candle.unpacked(memory.open)
        return series


class Page(NamedTuple):
    """Some candles of a series: places in ``over``, and the one under way if it is one of them."""

    first: int
    end: int
    now: Candle | None


class _TapeMemory(msgspec.Struct, array_like=True):
    second: int
    trades: list[bytes]
    series: dict[str, _SeriesMemory]


class CandleTape:
    """All intervals of one market."""

    def __init__(self) -> None:
        self._series = {name: Series() for name in INTERVALS}
        self._seconds = self._series["1s"]
        self._second = 0
        self._trades: deque[Candle] = deque(maxlen=TRADES_KEPT)
        """The last trades, each as a candle of its own."""

    def series(self, interval: str) -> Series:
        """Return the candles of one interval; they go on changing."""
        return self._series[interval]

    def add(self, trade: Candle) -> None:
        """Take one more trade."""
        if trade.start != self._second:
            self._second = trade.start
            self._end_before("1s", trade.start)
        self._trades.append(trade)
        now = self._seconds.open
        self._seconds.open = trade if now is None else now.then(trade)

    def bust(self, gone: Candle) -> Iterator[tuple[str, Candle]]:
        """Undo a trade of which number and pips are known; yield what is to be told by interval."""
        for at in range(len(self._trades) - 1, -1, -1):
            if self._trades[at].first_trade == gone.first_trade:
                del self._trades[at]
                break
        yield from self._bust("1s", gone)

    def latest(self, interval: str) -> Candle | None:
        """Return the candle that is under way."""
        parts, name = [], interval
        while name:
            part = self._series[name].open
            if part is not None:
                parts.append(part)
            name = _PLANS[name].part
        if not parts:
            return None
        return reduce(Candle.then, parts)._replace(start=_PLANS[interval].begin(self._second))

    def page(self, interval: str, limit: int, before: int | None = None) -> "Page":
        """Return where up to ``limit`` candles are that begin before ``before``, the last ones."""
        series, now = self._series[interval], self.latest(interval)
        end = len(series.over) if before is None else series.before(before)
        if now is not None and before is not None and now.start >= before:
            now = None
        first = max(0, end - limit + (now is not None))
        return Page(first, max(first, end), now)

    def between(self, interval: str, first: int, end: int) -> list[bytes]:
        """Return the candles that begin from ``first`` on and before ``end``, packed, for to unpack
        them all at once is more than one turn of the loop may take; the one under way is one."""
        series, now = self._series[interval], self.latest(interval)
        found = series.over[series.before(first) : series.before(end)]
        return [*found, now.packed()] if now is not None and first <= now.start < end else found

    def newest(self, interval: str, limit: int) -> list[Candle]:
        """Return the last ``limit`` candles, oldest first."""
        first, end, now = self.page(interval, limit)
        over = self._series[interval].over[first:end]
        return [*map(Candle.unpacked, over), *([] if now is None else [now])]

    def memory(self) -> _TapeMemory:
        """Return all of it, between two batches."""
        return _TapeMemory(
            self._second,
            [trade.packed() for trade in self._trades],
            {name: series.memory() for name, series in self._series.items()},
        )

    @classmethod
    def remembered(cls, memory: _TapeMemory) -> Self:
        """Return the tape that ``memory`` was taken of."""
        tape = cls()
        tape._second = memory.second
        tape._trades.extend(map(Candle.unpacked, memory.trades))
        for name, kept in memory.series.items():
            tape._series[name] = Series.remembered(kept)
        tape._seconds = tape._series["1s"]
        return tape

    def _end_before(self, name: str, second: int) -> None:
        """Fold what is over at ``second`` into what it is a part of, and that as well."""
        series = self._series[name]
        if series.open is not None and series.open.start != _PLANS[name].begin(second):
            self._fold(name, series.close())
        for longer in _FOLDED[name]:
            self._end_before(longer, second)

    def _fold(self, name: str, part: Candle | None) -> None:
        assert part is not None, "it was open"
        for longer in _FOLDED[name]:
            into = self._series[longer]
            if into.open is None:
                into.open = part._replace(start=_PLANS[longer].begin(part.start))
            else:
                into.open = into.open.then(part)

    def _bust(self, name: str, gone: Candle) -> Iterator[tuple[str, Candle]]:
        def parts(candle: Candle) -> list[Candle]:
            return self._parts(name, candle)

        undone = self._series[name].undo(gone, parts)
        if undone.told is not None:
            yield name, undone.told
        if not undone.is_over:
            return
        for longer in _FOLDED[name]:
            yield from self._bust(longer, gone)

    def _parts(self, name: str, candle: Candle) -> list[Candle]:
        """Return what ``candle`` was folded from, as far as it is kept."""
        begin, part = _PLANS[name]
        if not part:
            return [trade for trade in self._trades if trade.start == candle.start]
        series = self._series[part]
        found = []
        for text in series.over[series.before(candle.start) :]:
            shorter = Candle.unpacked(text)
            if begin(shorter.start) != candle.start:
                break
            found.append(shorter)
        return found


def candles_channel(market: Market, interval: str) -> str:
    """Return the channel of one interval of a market."""
    return f"candles:{market.symbol}:{interval}"


class Candles:
    """All markets. A consumer of the log, rebuilt by replay and from snapshots."""

    checkpoint_name = "candles/1"

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._tapes: dict[int, CandleTape] = {}
        self._names: dict[int, dict[str, str]] = {}
        """By market: its channels by interval, so that nobody writes names all the time."""

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode({n: tape.memory() for n, tape in self._tapes.items()})

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=dict[int, _TapeMemory])
        self._tapes = {number: CandleTape.remembered(tape) for number, tape in saved.items()}

    def consume(self, batch: Committed) -> None:
        """Take one committed batch."""
        before: dict[int, dict[str, int]] = {}
        for row in batch.rows:
            if row.kind == TRADE:
                if row.market not in before:
                    before[row.market] = self._heard(batch.markets[row.market])
                self._take_trade(row, batch)
            elif row.kind == TRADE_BUSTED:
                self._take_bust(row, batch)
        for number, counts in before.items():
            self._publish(batch.markets[number], counts)

    def tape(self, market: Market) -> CandleTape:
        """Return the candles of a market; they go on changing."""
        return self._tapes.get(market.number) or CandleTape()

    def _take_trade(self, row: EventRow, batch: Committed) -> None:
        market = batch.markets[row.market]
        price = row.price_ticks * market.tick_size_pips
        second = batch.entries[row.sequence - batch.first_sequence].command.time_ns // NS
        base, quote = market.base_pips(row.amount), market.quote_pips(row.amount, row.price_ticks)
        trade = Candle(second, row.trade_id, price, price, price, price, base, quote, 1)
        tape = self._tapes.get(row.market)
        if tape is None:
            tape = self._tapes[row.market] = CandleTape()
        tape.add(trade)

    def _take_bust(self, row: EventRow, batch: Committed) -> None:
        tape = self._tapes.get(row.market)
        if tape is None:
            return
        market, back = batch.markets[row.market], moved_back_at(batch, row.sequence)
        trade_id = busted_at(batch, row.sequence).trade_id
        gone = Candle(0, trade_id, 0, 0, 0, 0, back.base_pips, back.quote_pips, 1)
        under_way = {name: tape.latest(name) for name in self._heard(market)}
        told = dict(tape.bust(gone))
        for name, was in under_way.items():
            now = tape.latest(name)
            if name not in told and was is not None and now != was:
                told[name] = now or was.without(gone)
            if name in told:
                news = CandleNews(market, name, (told[name],))
                self._channels.publish(candles_channel(market, name), news)

    def _heard(self, market: Market) -> dict[str, int]:
        """Return the intervals that somebody listens to, and how many candles of each are over."""
        names = self._names.get(market.number)
        if names is None:
            names = {name: candles_channel(market, name) for name in INTERVALS}
            self._names[market.number] = names
        tape = self.tape(market)
        return {
            name: tape.series(name).count
            for name, channel in names.items()
            if self._channels.has_subscribers(channel)
        }

    def _publish(self, market: Market, counts: dict[str, int]) -> None:
        tape = self.tape(market)
        for name, count in counts.items():
            candles = tuple(tape.newest(name, max(1, 1 + tape.series(name).count - count)))
            self._channels.publish(
                self._names[market.number][name], CandleNews(market, name, candles)
            )
