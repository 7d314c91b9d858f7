"""What can everybody see: books, last trades and the day's figures, from committed events alone?

A consumer. It is rebuilt by replay at every start, needs no other part of the gateway to run, and
publishes to channels only when somebody listens.
"""

from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple, Self

import msgspec

from engine.events import EventKind
from engine.log_entries import Committed, EventRow
from engine.types import Outcome, Side
from gateway.views.books import Book, BookMemory, Level
from gateway.views.channels import Channels, News
from gateway.views.queues import Queues, QueuesMemory
from gateway.views.tape import BUCKET_NS, BucketMemory, Tape, Trade, bucket_of, kept_buckets
from gateway.views.trade_states import ToldOnce
from settlement.orders.busts import busted_at, moved_back_at
from settlement.orders.catalog import Catalog, Market
from settlement.ports import TradeState
from settlement.protocol.evidence import TradeBusted

TRADE: Final = int(EventKind.TRADE)
RESTED: Final = int(EventKind.RESTED)
CANCELLED: Final = int(EventKind.CANCELLED)
AMENDED: Final = int(EventKind.AMENDED)
REFILLED: Final = int(EventKind.REFILLED)
TERMS_SET: Final = int(EventKind.TERMS_SET)
TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)
AUCTION: Final = int(Outcome.AUCTION)
SIDES: Final = (Side.BUY, Side.SELL)

BUSTED: Final = TradeState("busted")
MATCHED: Final = TradeState("matched")

SHOWN: Final = frozenset({TRADE, RESTED, CANCELLED, AMENDED, REFILLED, TERMS_SET, TRADE_BUSTED})
"""Events that may touch a public book."""


class NewTrades(News, frozen=True):
    """What was traded in one batch, oldest first, behind trade ``prev`` of this market; none of it
    is in a settlement batch yet."""

    market: Market
    prev: int
    trades: list[Trade]

    @property
    def resume_at(self) -> int:
        """Return the trade before."""
        return self.prev


class TradeUndone(News, frozen=True):
    """A trade was busted."""

    market: Market
    event: int
    trade_id: int


class TradesSettled(News, frozen=True):
    """A range of trades has come further, all but those of them that were ``busted``."""

    market: Market
    first_trade: int
    last_trade: int
    busted: list[int]
    state: TradeState


class BestPrices(News, frozen=True):
    """The best level of each side after event ``u``; None where there is none."""

    is_mergeable: ClassVar[bool] = True

    market: Market
    u: int
    time_ns: int
    bid: Level | None
    ask: Level | None

    def merged(self, newer: Self) -> Self:
        """Return the newer one, which says all."""
        return newer


class Ticker(NamedTuple):
    """Best prices, last price and 24 hours, in ticks; None where there is none."""

    best_bid: int | None
    best_ask: int | None
    spread: int | None
    last: int | None
    open_24h: int | None
    high_24h: int | None
    low_24h: int | None
    lots_24h: int
    quote_pips_24h: int


class TickerNews(News, frozen=True):
    """A market's best prices, last price and day are others after event ``u``."""

    is_mergeable: ClassVar[bool] = True

    market: Market
    u: int
    time_ns: int
    ticker: Ticker

    def merged(self, newer: Self) -> Self:
        """Return the newer one, which says all."""
        return newer


def _is_shown(event: EventRow) -> bool:
    """Return whether an event touches a public book."""
    if event.kind not in SHOWN:
        return False
    if event.kind == CANCELLED:
        # An armed stop is in no book: only when it leaves does its trigger stand in order_left.
        return event.order_left == 0
    # An order decremented while it came in has taken nothing out of the book.
    return event.kind != AMENDED or event.order_left > 0


class _Memory(msgspec.Struct):
    books: dict[int, BookMemory]
    trades: dict[int, list[Trade]]
    buckets: dict[int, list[BucketMemory]]
    ends: dict[int, tuple[int, int]]
    queues: dict[int, QueuesMemory]
    event_index: int
    sequence: int
    last_trade_id: int


class MarketData:
    """All markets. ``trade_state`` answers how far a trade is on its way to the chain."""

    checkpoint_name = "market data/4"

    def __init__(
        self, catalog: Catalog, channels: Channels, trade_state: Callable[[int], TradeState]
    ) -> None:
        self._catalog = catalog
        self._channels = channels
        self._told = ToldOnce()
        self.trade_state = trade_state
        self._books: dict[int, Book] = {}
        self._queues: dict[int, Queues] = {}
        self._tapes: dict[int, Tape] = {}
        self._prices: dict[int, int] = {}
        """By resting order: its price. An auction trades at one price what rests at many."""
        self.event_index = 0
        self.sequence = 0
        self.last_trade_id = 0
        self._best: dict[int, tuple[Level | None, Level | None]] = {}
        self._tickers: dict[int, Ticker] = {}
        """By market: what who listens was told last, while somebody does."""

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(
            _Memory(
                {number: book.memory() for number, book in self._books.items()},
                {number: list(tape.trades) for number, tape in self._tapes.items()},
                {number: kept_buckets(tape) for number, tape in self._tapes.items()},
                {number: (tape.last, tape.cut) for number, tape in self._tapes.items()},
                {number: queues.memory() for number, queues in self._queues.items()},
                self.event_index,
                self.sequence,
                self.last_trade_id,
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._books = {number: Book.remembered(book) for number, book in saved.books.items()}
        for number, trades in saved.trades.items():
            tape = self._tapes.setdefault(number, Tape())
            tape.trades.extend(trades)
            tape.buckets.extend(map(bucket_of, saved.buckets[number]))
            tape.last, tape.cut = saved.ends[number]
        for number, queues in saved.queues.items():
            self._queues[number] = Queues.remembered(queues)
            self._prices.update(self._queues[number].prices())
        self.event_index, self.sequence = saved.event_index, saved.sequence
        self.last_trade_id = saved.last_trade_id

    def consume(self, batch: Committed) -> None:
        """Take one committed batch."""
        self.sequence = batch.last_sequence
        if not len(batch.events):
            return
        self.event_index = batch.rows[-1].number
        trades: dict[int, NewTrades] = {}
        busts: list[tuple[EventRow, TradeBusted]] = []
        touched: dict[int, int] = {}
        for change in filter(_is_shown, batch.rows):
            market = change.market
            if change.kind == TERMS_SET:
                if market in self._tapes:  # Its ticks and lots were others.
                    self._tapes[market] = Tape(self._tapes[market].last)
                if market in self._books:
                    self._books[market].terms_changed()
                continue
            if change.kind == TRADE_BUSTED:
                busts.append((change, self._take_bust(change, batch)))
                continue
            if market not in touched:
                self._heed(batch.markets[market])
            touched[market] = change.number
            self._take_change(self._books[market], change)
            if change.kind == TRADE:
                time_ns = batch.entries[change.sequence - batch.first_sequence].command.time_ns
                trade = Trade(
                    change.trade_id, change.price_ticks, change.amount, SIDES[change.side], time_ns
                )
                prev = self._take_trade(batch.markets[market], trade)
                if market not in trades:
                    trades[market] = NewTrades(batch.markets[market], prev, [])
                trades[market].trades.append(trade)
        self._publish(batch, touched, trades)
        self._publish_busts(batch, busts)

    def _heed(self, market: Market) -> None:
        """Begin a market's book and queues, and note whether somebody listens to the latter."""
        queues = self._queues.get(market.number)
        if queues is None:
            self._books[market.number] = Book()
            queues = self._queues[market.number] = Queues()
        queues.is_heard = self._channels.has_subscribers(f"l3:{market.symbol}")

    def _take_change(self, book: Book, change: EventRow) -> None:
        """Add what came into a book or take away what left it."""
        queues = self._queues[change.market]
        kind, side, ticks, lots = change.kind, SIDES[change.side], change.price_ticks, change.amount
        if kind == TRADE:
            maker_ticks = self._price_of(change.maker_id, change.maker_left)
            book.add(SIDES[1 - side], maker_ticks, -lots)
            queues.take(SIDES[1 - side], maker_ticks, change.maker_id, lots)
            if change.outcome == AUCTION:
                own_ticks = self._price_of(change.order_id, change.order_left)
                book.add(side, own_ticks, -lots)
                queues.take(side, own_ticks, change.order_id, lots)
        elif kind == AMENDED:
            book.add(side, ticks, -change.order_left)
            queues.take(side, ticks, change.order_id, change.order_left)
        elif kind == CANCELLED:
            del self._prices[change.order_id]
            book.add(side, ticks, -lots)
            queues.take(side, ticks, change.order_id, lots)
        else:
            self._prices[change.order_id] = ticks
            book.add(side, ticks, lots)
            queues.add(side, ticks, change.order_id, lots)

    def _price_of(self, order_id: int, lots_left: int) -> int:
        """Return the price at which a traded order rests, and forget it when it is done."""
        return self._prices[order_id] if lots_left else self._prices.pop(order_id)

    def _take_trade(self, market: Market, trade: Trade) -> int:
        """Take a trade and return the one before it in its market."""
        quote = market.quote_pips(trade.lots, trade.price_ticks)
        tape = self._tapes.get(market.number)
        if tape is None:
            tape = self._tapes[market.number] = Tape()
        prev = tape.last
        tape.add(trade, quote)
        self.last_trade_id = trade.trade_id
        return prev

    def _take_bust(self, change: EventRow, batch: Committed) -> TradeBusted:
        """Undo a trade. The book stays as it is: what was open then is not open again."""
        bust = busted_at(batch, change.sequence)
        tape = self._tapes.get(change.market)
        if tape is not None:
            back = moved_back_at(batch, change.sequence)
            lot_pips = batch.markets[change.market].lot_pips
            tape.bust(bust.trade_id, back.base_pips // lot_pips, back.quote_pips)
        return bust

    def _publish_busts(self, batch: Committed, busts: list[tuple[EventRow, TradeBusted]]) -> None:
        for change, bust in busts:
            market = batch.markets[change.market]
            channel = f"trades:{market.symbol}"
            if self._channels.has_subscribers(channel):
                self._channels.publish(channel, TradeUndone(market, change.number, bust.trade_id))
            self._publish_ticker(market, change.number, int(batch.commands["time_ns"][-1]))

    def _publish(
        self, batch: Committed, touched: dict[int, int], trades: dict[int, NewTrades]
    ) -> None:
        time_ns = int(batch.commands["time_ns"][-1])
        # ``u`` is the last event that touched this book, so it does not depend on how history was
        # cut into batches: the same after every restart.
        for number, u in touched.items():
            market, book = batch.markets[number], self._books[number]
            self._publish_best(market, book, u, time_ns)
            self._publish_queues(market, u, time_ns)
            channel = f"book:{market.symbol}"
            if not self._channels.has_subscribers(channel):
                book.skip(u)
                continue
            diff = book.seal(market, u, time_ns)
            assert diff is not None, "a touched book has changed"
            self._channels.publish(channel, diff)
        for fresh in trades.values():
            channel = f"trades:{fresh.market.symbol}"
            if self._channels.has_subscribers(channel):
                self._channels.publish(channel, fresh)

    def _publish_queues(self, market: Market, u: int, time_ns: int) -> None:
        queues = self._queues[market.number]
        if queues.is_heard:
            self._channels.publish(f"l3:{market.symbol}", queues.seal(market, u, time_ns))
        else:
            queues.skip(u)

    def _publish_best(self, market: Market, book: Book, u: int, time_ns: int) -> None:
        """Tell the best prices and the ticker, if they are others."""
        channel = f"bbo:{market.symbol}"
        if self._channels.has_subscribers(channel):
            best = book.best(Side.BUY), book.best(Side.SELL)
            if self._best.get(market.number) != best:
                self._best[market.number] = best
                self._channels.publish(channel, BestPrices(market, u, time_ns, *best))
        else:
            # Who comes is told how it is then: nothing is known any more of who has left.
            self._best.pop(market.number, None)
        self._publish_ticker(market, u, time_ns)

    def _publish_ticker(self, market: Market, u: int, time_ns: int) -> None:
        channel = f"ticker:{market.symbol}"
        if self._channels.has_subscribers(channel):
            ticker = self.ticker(market, time_ns)
            if self._tickers.get(market.number) != ticker:
                self._tickers[market.number] = ticker
                self._channels.publish(channel, TickerNews(market, u, time_ns, ticker))
        else:
            self._tickers.pop(market.number, None)

    def settlement_changed(self, first_trade: int, last_trade: int, reached: TradeState) -> None:
        """Tell every trades channel that a range of trades has come further, and which of them
        were undone and have not."""
        if not self._told.is_new(first_trade, last_trade, reached):
            return
        for market in self._catalog.markets:
            channel = f"trades:{market.symbol}"
            if self._channels.has_subscribers(channel):
                busted = self.tape(market).busted(first_trade, last_trade)
                news = TradesSettled(market, first_trade, last_trade, busted, reached)
                self._channels.publish(channel, news)

    def book(self, market: Market) -> Book:
        """Return the book of a market; it goes on changing."""
        return self._books.get(market.number) or Book()

    def queues(self, market: Market) -> Queues:
        """Return the book of a market order by order; it goes on changing."""
        return self._queues.get(market.number) or Queues()

    def tape(self, market: Market) -> Tape:
        """Return the last trades of a market and its day; it goes on changing."""
        return self._tapes.get(market.number) or Tape()

    def state_of(self, trade: Trade) -> TradeState:
        """Return how far a trade is."""
        return BUSTED if trade.is_busted else self.trade_state(trade.trade_id)

    def version(self, market: Market, now_ns: int) -> tuple[int, int, int]:
        """Return three numbers that are others whenever a market's book, its trades or, by time
        alone, its ticker are."""
        book, tape = self._books.get(market.number), self._tapes.get(market.number)
        step = now_ns // BUCKET_NS
        return book.version if book else -1, tape.version if tape else -1, step

    def levels(self, market: Market, side: Side, count: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots), best first."""
        return self.book(market).levels(side, count)

    def ticker(self, market: Market, now_ns: int) -> Ticker:
        """Return best prices, the last price and the 24 hours before ``now_ns``."""
        tape = self.tape(market)
        day = tape.day(now_ns)
        book = self.book(market)
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        # While a market collects for an auction its book may be crossed: then there is no spread.
        crossed = bid is not None and ask is not None and bid[0] >= ask[0]
        return Ticker(
            best_bid=bid and bid[0],
            best_ask=ask and ask[0],
            spread=ask[0] - bid[0] if bid and ask and not crossed else None,
            last=tape.last_ticks,
            open_24h=day.first if day else None,
            high_24h=day.high if day else None,
            low_24h=day.low if day else None,
            lots_24h=day.lots if day else 0,
            quote_pips_24h=day.quote_pips if day else 0,
        )
