"""Which market streams are there, and from what is each made?

A stream listens to our own channels while somebody follows it. What it hears it works off in the
loop's next turn, so that a fault of ours in it is nobody else's; what comes often and is soon void
(tickers, candles, tops of books) is written once an interval, whatever happened in it.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol

from engine.types import Side
from gateway.api.binance.desk import Desk
from gateway.api.binance.market_calls import end_of
from gateway.api.binance.numbers import ZERO, milliseconds, pips_text, price_text, quantity_text
from gateway.api.binance.rows import Day, Row, best_row
from gateway.api.binance.stream.news import Depth, Latest, Line, encode
from gateway.views.books import BookDiff
from gateway.views.candles import INTERVALS, Candle, CandleNews, candles_channel
from gateway.views.channels import Channels, News, Published
from gateway.views.market_data import NewTrades
from gateway.views.tape import Trade
from settlement.orders.catalog import Market

SECOND: Final = 1.0
TENTH: Final = 0.1
NAME: Final = re.compile(r"([a-z0-9_]{2,32})@([a-zA-Z0-9_@]{4,32})")
DEPTH: Final = re.compile(r"depth(5|10|20)?(@100ms|@1000ms)?")


class Stream(Protocol):
    """A stream that somebody follows."""

    channels: tuple[str, ...]
    """Ours, that it listens to."""

    def offer(self, channel: str, published: Published) -> None:
        """Hear of something; never wait and never fail."""

    def end(self) -> None:
        """Nobody follows it any more."""


Tell = Callable[[News], None]


class Immediate:
    """Tells of each piece of news by itself, in the loop's next turn."""

    def __init__(self, channel: str, of: Callable[[News], list[News]], tell: Tell) -> None:
        """``of`` returns what is to be told of a piece of our news."""
        self.channels: tuple[str, ...] = (channel,)
        self._of = of
        self._tell = tell
        self._heard: list[News] = []

    def offer(self, channel: str, published: Published) -> None:
        """See ``Stream``."""
        if not self._heard:
            asyncio.get_running_loop().call_soon(self._work)
        self._heard.append(published.news)

    def end(self) -> None:
        """See ``Stream``."""
        self._heard = []

    def _work(self) -> None:
        heard, self._heard = self._heard, []
        for news in heard:
            for event in self._of(news):
                self._tell(event)


class Timed:
    """Tells what is so, once an interval in which something happened; the first time at once."""

    def __init__(
        self, channels: tuple[str, ...], seconds: float, now_is: Callable[[], News], tell: Tell
    ) -> None:
        self.channels = channels
        self._seconds = seconds
        self._now_is = now_is
        self._tell = tell
        self._due: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    def offer(self, channel: str, published: Published) -> None:
        """See ``Stream``."""
        if self._due is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time(), self._told_at + self._seconds)
            self._due = loop.call_at(at, self._work)

    def end(self) -> None:
        """See ``Stream``."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _work(self) -> None:
        self._due = None
        self._told_at = asyncio.get_running_loop().time()
        self._tell(self._now_is())


class Changed:
    """As ``Immediate``, of what is so, where it has changed since it was told."""

    def __init__(
        self, channel: str, now_is: Callable[[], Row], write: Callable[[Row], News], tell: Tell
    ):
        self.channels: tuple[str, ...] = (channel,)
        self._now_is = now_is
        self._write = write
        self._tell = tell
        self._told: Row | None = None
        self._is_due = False

    def offer(self, channel: str, published: Published) -> None:
        """See ``Stream``."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._work)

    def end(self) -> None:
        """See ``Stream``."""

    def _work(self) -> None:
        self._is_due = False
        row = self._now_is()
        if row != self._told:
            self._told = row
            self._tell(self._write(row))


class Streams:
    """All market streams over the views of ``desk``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.channels = Channels()
        """By name of the stream: who follows it."""
        self._followed: dict[str, Stream] = {}

    def begin(self, name: str) -> bool:
        """See that a stream is made, for somebody is about to follow it; return whether it is
        one. Call ``end`` when he leaves."""
        if name not in self._followed:
            stream = self._made(name)
            if stream is None:
                return False
            self._followed[name] = stream
            for channel in stream.channels:
                self._desk.channels.subscribe(channel, stream)
        return True

    def end(self, name: str) -> None:
        """Make a stream no longer if nobody follows it."""
        if name in self._followed and not self.channels.has_subscribers(name):
            stream = self._followed.pop(name)
            for channel in stream.channels:
                self._desk.channels.unsubscribe(channel, stream)
            stream.end()

    def _made(self, name: str) -> Stream | None:
        found = NAME.fullmatch(name)
        market = self._desk.symbols.market(found[1].upper()) if found else None
        if found is None or market is None:
            return None
        made = _Maker(self._desk, name, market, lambda news: self.channels.publish(name, news))
        return made.stream(found[2])


class _Maker:
    """Makes one stream of one market."""

    def __init__(self, desk: Desk, stream: str, market: Market, tell: Tell) -> None:
        self._desk = desk
        self._stream = stream
        self._number = market.number
        self._tell = tell
        self._symbol = market.symbol
        self._name = desk.symbols.name(market)

    @property
    def _market(self) -> Market:
        """The market as it is now: its terms may have changed."""
        return self._desk.exchange.catalog.markets[self._number]

    def stream(self, kind: str) -> Stream | None:
        """Return the stream of a kind; None where there is no such kind."""
        book, trades = f"book:{self._symbol}", f"trades:{self._symbol}"
        if kind in ("trade", "aggTrade"):
            row = _trade_row if kind == "trade" else _aggregate_row
            return Immediate(trades, lambda news: self._trades(news, row), self._tell)
        if kind in ("ticker", "miniTicker"):
            now_is = self._ticker if kind == "ticker" else self._mini
            return Timed((book, trades), SECOND, now_is, self._tell)
        if kind == "bookTicker":
            return Changed(book, self._best, self._best_event, self._tell)
        interval = kind.removeprefix("kline_")
        if interval != kind:
            if interval not in INTERVALS:
                return None
            channel = candles_channel(self._market, interval)
            return Immediate(channel, self._candles, self._tell)
        depth = DEPTH.fullmatch(kind)
        if depth is None:
            return None
        if depth[1] is None:
            return Immediate(book, self._diffs, self._tell)
        seconds = TENTH if depth[2] == "@100ms" else SECOND
        levels = int(depth[1])
        return Timed((book,), seconds, lambda: self._top(levels), self._tell)

    def _trades(self, news: News, row: Callable[..., Row]) -> list[News]:
        if not isinstance(news, NewTrades):
            return []
        return [
            Line(self._stream, encode(row(self._name, news.market, trade))) for trade in news.trades
        ]

    def _diffs(self, news: News) -> list[News]:
        return [Depth(self._stream, self._name, news)] if isinstance(news, BookDiff) else []

    def _candles(self, news: News) -> list[News]:
        """Tell candles that are over one by one, and the one under way as long as it is."""
        if not isinstance(news, CandleNews):
            return []
        events: list[News] = []
        now_ms = self._desk.now_ms
        for candle in news.candles:
            ends = end_of(news.interval, candle.start)
            row = _candle_row(self._name, news.interval, candle, ends, now_ms)
            is_over = candle is not news.candles[-1] or 1000 * ends <= now_ms
            row["k"]["x"] = is_over
            kind = Line if is_over else Latest
            events.append(kind(self._stream, encode(row)))
        return events

    def _latest(self, row: Row) -> News:
        return Latest(self._stream, encode(row))

    def _top(self, levels: int) -> News:
        book, market = self._desk.market_data.book(self._market), self._market
        sides = [
            [
                (price_text(market, t), quantity_text(market, n))
                for t, n in book.levels(side, levels)
            ]
            for side in (Side.BUY, Side.SELL)
        ]
        return self._latest({"lastUpdateId": book.u, "bids": sides[0], "asks": sides[1]})

    def _best(self) -> Row:
        book = self._desk.market_data.book(self._market)
        return best_row(
            self._name, self._market, book.levels(Side.BUY, 1), book.levels(Side.SELL, 1)
        )

    def _best_event(self, row: Row) -> News:
        return self._latest(
            {
                "u": self._desk.market_data.book(self._market).u,
                "s": self._name,
                "b": row["bidPrice"],
                "B": row["bidQty"],
                "a": row["askPrice"],
                "A": row["askQty"],
            }
        )

    def _day(self) -> Day:
        now_ns, market = self._desk.exchange.now_ns(), self._market
        return Day(market, self._desk.market_data.ticker(market, now_ns), now_ns)

    def _mini(self) -> News:
        return self._latest({"e": "24hrMiniTicker", **self._day_fields(self._day())})

    def _ticker(self) -> News:
        day, best = self._day(), self._best()
        return self._latest(
            {
                "e": "24hrTicker",
                **self._day_fields(day),
                "p": day.change,
                "P": day.change_percent,
                "w": day.average,
                "x": day.opened,
                "Q": best["bidQty"],
                "b": best["bidPrice"],
                "B": best["bidQty"],
                "a": best["askPrice"],
                "A": best["askQty"],
                "O": day.now_ms - 86_400_000,
                "C": day.now_ms,
                "F": -1,
                "L": -1,
                "n": 0,
            }
        )

    def _day_fields(self, day: Day) -> Row:
        return {
            "E": day.now_ms,
            "s": self._name,
            "c": day.last,
            "o": day.opened,
            "h": day.high,
            "l": day.low,
            "v": day.volume,
            "q": day.quote_volume,
        }


def _trade_row(name: str, market: Market, trade: Trade) -> Row:
    return {
        "e": "trade",
        "E": milliseconds(trade.time_ns),
        "s": name,
        "t": trade.trade_id,
        "p": price_text(market, trade.price_ticks),
        "q": quantity_text(market, trade.lots),
        "T": milliseconds(trade.time_ns),
        "m": trade.side == Side.SELL,
        "M": True,
    }


def _candle_row(name: str, interval: str, candle: Candle, ends: int, now_ms: int) -> Row:
    return {
        "e": "kline",
        "E": now_ms,
        "s": name,
        "k": {
            "t": candle.start * 1000,
            "T": ends * 1000 - 1,
            "s": name,
            "i": interval,
            "f": candle.first_trade,
            "L": -1,
            "o": pips_text(candle.open),
            "c": pips_text(candle.close),
            "h": pips_text(candle.high),
            "l": pips_text(candle.low),
            "v": pips_text(candle.base_pips),
            "n": candle.trades,
            "x": False,
            "q": pips_text(candle.quote_pips),
            "V": ZERO,
            "Q": ZERO,
            "B": "0",
        },
    }


def _aggregate_row(name: str, market: Market, trade: Trade) -> Row:
    row = _trade_row(name, market, trade)
    number = row.pop("t")
    return {**row, "e": "aggTrade", "a": number, "f": number, "l": number}
