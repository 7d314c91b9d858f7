"""What can everybody see: books, last trades and the day's figures, from committed events alone?

A consumer. It is rebuilt by replay at every start, needs no other part of the gateway to run, and
publishes to channels only when somebody listens.
"""

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
import orjson

from engine.events import EventKind
from engine.log_entries import Committed
from engine.types import Outcome, Side
from gateway.api.v1.encoding import decimal_text, hexed, price_text, quantity_text
from gateway.api.v1.schemas import BookSnapshot, PublicTrade, SettlementState, Ticker
from gateway.views.books import Book, BookMemory, level_rows
from gateway.views.channels import Channels, Message
from settlement.orders.busts import busted_at
from settlement.orders.catalog import Catalog, Market
from settlement.ports import TradeState
from settlement.protocol.evidence import TradeBusted

TRADES_MAX: Final = 1000
"""Trades kept a market; older ones are history, not market data."""

DAY_NS: Final = 24 * 3600 * 10**9
BUCKET_NS: Final = DAY_NS // 288
"""The ticker forgets in steps of five minutes."""

BLOCK: Final = 32
"""Trades written as one: of five hundred few have changed since the last reader."""

STATE_TEXTS_MAX: Final = 4_096
"""States kept as text, one for each batch and step: trades are read by hundreds."""

TRADE: Final = int(EventKind.TRADE)
RESTED: Final = int(EventKind.RESTED)
CANCELLED: Final = int(EventKind.CANCELLED)
AMENDED: Final = int(EventKind.AMENDED)
REFILLED: Final = int(EventKind.REFILLED)
TERMS_SET: Final = int(EventKind.TERMS_SET)
TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)
AUCTION: Final = int(Outcome.AUCTION)

BUSTED: Final = TradeState("busted")
MATCHED: Final = TradeState("matched")

COLUMNS: Final = (
    "kind", "market", "side", "outcome", "order_id", "maker_id", "price_ticks", "amount",
    "order_left", "maker_left", "trade_id", "index", "sequence",
)  # fmt: skip


class Change(NamedTuple):
    """One event that touches a public book, as Python integers; fields as in ``engine.events``."""

    kind: int
    market: int
    side: int
    outcome: int
    order_id: int
    maker_id: int
    price_ticks: int
    amount: int
    order_left: int
    maker_left: int
    trade_id: int
    event: int
    sequence: int


class Trade(NamedTuple):
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


class WrittenRow(NamedTuple):
    """A trade or a fill as JSON: all but how far it is never changes, and that seldom."""

    state: TradeState
    text: bytes
    size: int
    """Bytes of ``text`` before its state."""

    def having(self, state: TradeState) -> "WrittenRow":
        """Return the row with another state."""
        return WrittenRow(state, self.text[: self.size] + state_text(state), self.size)


class Block(NamedTuple):
    """Neighbours on the tape as JSON, newest first; of each batch its state and oldest trade."""

    oldest: list[tuple[TradeState, int]]
    text: bytes

    def stands(self, state_of: Callable[[int], TradeState]) -> bool:
        """Return whether no trade has come further: those of one batch do it together, and no
        trade is in a batch before an older one is. The very same state and not an equal one: a
        batch that was given up is sealed anew under its number, with other trades."""
        return all(state_of(trade_id) is state for state, trade_id in self.oldest)


class Tape:
    """The last trades of one market and its day."""

    def __init__(self) -> None:
        self.trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.version = 0
        """Another number after each change: what was made of the tape before may be kept."""
        self._rows: dict[int, WrittenRow] = {}
        """By trade, made when first asked for."""
        self._blocks: dict[int, Block] = {}
        """Whole blocks, counted from the first trade there ever was on this tape."""
        self._gone = 0
        """Trades that are not kept any more."""
        self.buckets: deque[Bucket] = deque(maxlen=DAY_NS // BUCKET_NS)

    def add(self, trade: Trade, quote_pips: int) -> None:
        """Take one more trade."""
        self.version += 1
        if len(self.trades) == TRADES_MAX:
            self._rows.pop(self.trades[0].trade_id, None)
            self._blocks.pop(self._gone // BLOCK, None)
            self._gone += 1
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
        for at in range(len(self.trades) - 1, -1, -1):
            if self.trades[at].trade_id == trade_id:
                self.trades[at] = self.trades[at]._replace(is_busted=True)
                self._blocks.pop((self._gone + at) // BLOCK, None)
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

    def day(self, now_ns: int) -> list[Bucket]:
        """Return the steps of the 24 hours before ``now_ns``, oldest first."""
        oldest = (now_ns - DAY_NS) // BUCKET_NS
        return [bucket for bucket in self.buckets if bucket.step > oldest]

    def rows(
        self, market: Market, limit: int, state_of: Callable[[int], TradeState]
    ) -> orjson.Fragment:
        """Return the last trades as a JSON array, newest first, each with its state."""
        mine, texts = list(self.trades)[-limit:], []
        start = self._gone + len(self.trades) - len(mine)
        high = start + len(mine)
        while high > start:
            number = (high - 1) // BLOCK
            low = max(start, number * BLOCK)
            block = self._blocks.get(number) if high - low == BLOCK else None
            if block is None or not block.stands(state_of):
                block = self._block(market, mine[low - start : high - start], state_of)
                if high - low == BLOCK:
                    self._blocks[number] = block
            texts.append(block.text)
            high = low
        return orjson.Fragment(b"[%b]" % b",".join(texts))

    def _block(
        self, market: Market, trades: list[Trade], state_of: Callable[[int], TradeState]
    ) -> "Block":
        known, texts, oldest = self._rows, [], list[tuple[TradeState, int]]()
        for trade in reversed(trades):
            state = BUSTED if trade.is_busted else state_of(trade.trade_id)
            row = known.get(trade.trade_id)
            if row is None or row.state is not state:
                row = row or written_row({**trade_row(market, trade, MATCHED)})
                row = known[trade.trade_id] = row.having(state)
            texts.append(row.text)
            if trade.is_busted:
                continue
            if oldest and oldest[-1][0] is state:
                oldest.pop()
            oldest.append((state, trade.trade_id))
        return Block(oldest, b",".join(texts))


class _BucketMemory(msgspec.Struct, array_like=True):
    """A ``Bucket`` as a snapshot keeps it: MessagePack has no number above 2**64, and five minutes
    of trades between two rich accounts may come to more. So its sums are decimal digits."""

    step: int
    first_trade: int
    first: int
    high: int
    low: int
    lots: str
    quote_pips: str


def _kept(tape: Tape) -> list[_BucketMemory]:
    return [
        _BucketMemory(b.step, b.first_trade, b.first, b.high, b.low, str(b.lots), str(b.quote_pips))
        for b in tape.buckets
    ]


def _bucket(kept: _BucketMemory) -> Bucket:
    sums = int(kept.lots), int(kept.quote_pips)
    return Bucket(kept.step, kept.first_trade, kept.first, kept.high, kept.low, *sums)


class _Memory(msgspec.Struct):
    books: dict[int, BookMemory]
    trades: dict[int, list[Trade]]
    buckets: dict[int, list[_BucketMemory]]
    prices: dict[int, int]
    event_index: int
    sequence: int
    last_trade_id: int


class MarketData:
    """All markets. ``trade_state`` answers how far a trade is on its way to the chain."""

    checkpoint_name = "market data/3"

    def __init__(
        self, catalog: Catalog, channels: Channels, trade_state: Callable[[int], TradeState]
    ) -> None:
        self._catalog = catalog
        self._channels = channels
        self._trade_state = trade_state
        self._books: dict[int, Book] = {}
        self._tapes: dict[int, Tape] = {}
        self._prices: dict[int, int] = {}
        """By resting order: its price. An auction trades at one price what rests at many."""
        self.event_index = 0
        self.sequence = 0
        self.last_trade_id = 0

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(
            _Memory(
                {number: book.memory() for number, book in self._books.items()},
                {number: list(tape.trades) for number, tape in self._tapes.items()},
                {number: _kept(tape) for number, tape in self._tapes.items()},
                self._prices,
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
            tape.buckets.extend(map(_bucket, saved.buckets[number]))
        self._prices = saved.prices
        self.event_index, self.sequence = saved.event_index, saved.sequence
        self.last_trade_id = saved.last_trade_id

    def consume(self, batch: Committed) -> None:
        """Take one committed batch (``Catalog`` must have had it before)."""
        self.sequence = batch.last_sequence
        events = batch.events
        if not len(events):
            return
        self.event_index = int(events["index"][-1])
        kinds = events["kind"]
        wanted = (kinds == TRADE) | (kinds == RESTED) | (kinds == REFILLED) | (kinds == TERMS_SET)
        wanted |= kinds == TRADE_BUSTED
        # An armed stop is in no book: only when it leaves does its trigger stand in order_left.
        wanted |= (kinds == CANCELLED) & (events["order_left"] == 0)
        # An order decremented while it came in has taken nothing out of the book.
        wanted |= (kinds == AMENDED) & (events["order_left"] > 0)
        if not wanted.any():
            return
        rows, times, first = events[wanted], batch.commands["time_ns"], batch.first_sequence
        trades: dict[int, list[Trade]] = {}
        busts: list[tuple[Change, TradeBusted]] = []
        touched: dict[int, int] = {}
        # Columns to Python integers in one step each: a field of a row costs as much as a column.
        columns = (rows[name].tolist() for name in COLUMNS)
        for change in map(Change._make, zip(*columns, strict=True)):
            market = change.market
            if change.kind == TERMS_SET:
                self._tapes.pop(market, None)  # Its ticks and lots were others.
                if market in self._books:
                    self._books[market].terms_changed()
                continue
            if change.kind == TRADE_BUSTED:
                busts.append((change, self._take_bust(change, batch)))
                continue
            touched[market] = change.event
            self._take_change(self._books.setdefault(market, Book()), change)
            if change.kind == TRADE:
                time_ns = int(times[change.sequence - first])
                trade = Trade(
                    change.trade_id, change.price_ticks, change.amount, Side(change.side), time_ns
                )
                self._take_trade(market, trade)
                trades.setdefault(market, []).append(trade)
        self._publish(touched, trades, int(times[-1]))
        self._publish_busts(busts)

    def _take_change(self, book: Book, change: Change) -> None:
        """Add what came into a book or take away what left it."""
        kind, side, ticks, lots = change.kind, Side(change.side), change.price_ticks, change.amount
        if kind == TRADE:
            maker_ticks = self._price_of(change.maker_id, change.maker_left)
            book.add(Side(1 - side), maker_ticks, -lots)
            if change.outcome == AUCTION:
                book.add(side, self._price_of(change.order_id, change.order_left), -lots)
        elif kind == AMENDED:
            book.add(side, ticks, -change.order_left)
        elif kind == CANCELLED:
            del self._prices[change.order_id]
            book.add(side, ticks, -lots)
        else:
            self._prices[change.order_id] = ticks
            book.add(side, ticks, lots)

    def _price_of(self, order_id: int, lots_left: int) -> int:
        """Return the price at which a traded order rests, and forget it when it is done."""
        return self._prices[order_id] if lots_left else self._prices.pop(order_id)

    def _take_trade(self, number: int, trade: Trade) -> None:
        market = self._catalog.markets[number]
        quote = market.quote_pips(trade.lots, trade.price_ticks)
        self._tapes.setdefault(number, Tape()).add(trade, quote)
        self.last_trade_id = trade.trade_id

    def _take_bust(self, change: Change, batch: Committed) -> TradeBusted:
        """Undo a trade. The book stays as it is: what was open then is not open again."""
        bust = busted_at(batch, change.sequence)
        tape = self._tapes.get(change.market)
        if tape is not None:
            base_pips, quote_pips = change.price_ticks, change.amount
            lot_pips = self._catalog.markets[change.market].lot_pips
            tape.bust(bust.trade_id, base_pips // lot_pips, quote_pips)
        return bust

    def _publish_busts(self, busts: list[tuple[Change, TradeBusted]]) -> None:
        for change, bust in busts:
            channel = f"trades:{self._catalog.markets[change.market].symbol}"
            if self._channels.heard(channel):
                frame = {
                    "channel": channel,
                    "type": "trade_busted",
                    "event": change.event,
                    "trade_id": bust.trade_id,
                }
                self._channels.publish(channel, Message(frame))

    def _publish(
        self, touched: dict[int, int], trades: dict[int, list[Trade]], time_ns: int
    ) -> None:
        # ``u`` is the last event that touched this book, so it does not depend on how history was
        # cut into batches: the same after every restart.
        for number, u in touched.items():
            market, book = self._catalog.markets[number], self._books[number]
            channel = f"book:{market.symbol}"
            if not self._channels.heard(channel):
                book.skip(u)
                continue
            diff = book.seal(market, u, time_ns)
            assert diff is not None, "a touched book has changed"
            self._channels.publish(channel, diff)
        for number, fresh in trades.items():
            market = self._catalog.markets[number]
            channel = f"trades:{market.symbol}"
            if self._channels.heard(channel):
                rows = [trade_row(market, trade, MATCHED) for trade in fresh]
                frame = {"channel": channel, "type": "trades", "trades": rows}
                self._channels.publish(channel, Message(frame))

    def settlement_changed(
        self,
        first_trade: int,
        last_trade: int,
        state: str,
        batch: int | None,
        tx_hash: bytes | None,
    ) -> None:
        """Tell every trades channel that a range of trades has come further, and which of them
        were undone and have not."""
        news = settlement_row(TradeState(state, batch, tx_hash))
        for market in self._catalog.markets:
            channel = f"trades:{market.symbol}"
            if self._channels.heard(channel):
                tape = self._tapes.get(market.number) or Tape()
                frame = {
                    "channel": channel,
                    "type": "settlement",
                    "first_trade": first_trade,
                    "last_trade": last_trade,
                    "busted": tape.busted(first_trade, last_trade),
                    **news,
                }
                self._channels.publish(channel, Message(frame))

    def snapshot(self, market: Market, levels: int) -> BookSnapshot:
        """Return the book as it is after event ``u``, with a checksum to hold it to."""
        book = self._books.get(market.number) or Book()
        return {
            "market": market.symbol,
            "u": book.u,
            "checksum": book.checksum(),
            "bids": level_rows(market, book.levels(Side.BUY, levels)),
            "asks": level_rows(market, book.levels(Side.SELL, levels)),
        }

    def snapshot_text(self, market: Market, levels: int) -> dict[str, object]:
        """Return what ``snapshot`` returns, its levels written out already."""
        book = self._books.get(market.number) or Book()
        return {
            "market": market.symbol,
            "u": book.u,
            "checksum": book.checksum(),
            "bids": book.rows(market, Side.BUY, levels),
            "asks": book.rows(market, Side.SELL, levels),
        }

    def version(self, market: Market, now_ns: int) -> tuple[int, int, int]:
        """Return three numbers that are others whenever a market's book, its trades or, by time
        alone, its ticker are."""
        book, tape = self._books.get(market.number), self._tapes.get(market.number)
        step = now_ns // BUCKET_NS
        return book.version if book else -1, tape.version if tape else -1, step

    def levels(self, market: Market, side: Side, count: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots), best first."""
        return (self._books.get(market.number) or Book()).levels(side, count)

    def trades(self, market: Market, limit: int) -> list[PublicTrade]:
        """Return the last trades, newest first, each with its settlement state."""
        tape = self._tapes.get(market.number)
        if tape is None:
            return []
        newest = list(tape.trades)[-limit:][::-1] if limit else []
        return [
            trade_row(
                market, trade, BUSTED if trade.is_busted else self._trade_state(trade.trade_id)
            )
            for trade in newest
        ]

    def trades_text(self, market: Market, limit: int) -> orjson.Fragment:
        """Return what ``trades`` returns, written out already."""
        tape = self._tapes.get(market.number) or Tape()
        return tape.rows(market, limit, self._trade_state)

    def ticker(self, market: Market, now_ns: int) -> Ticker:
        """Return best prices, the last price and the last 24 hours; null where there is none."""
        tape = self._tapes.get(market.number) or Tape()
        day = tape.day(now_ns)
        bids = self.levels(market, Side.BUY, 1)
        asks = self.levels(market, Side.SELL, 1)
        # While a market collects for an auction its book may be crossed: then there is no spread.
        crossed = bool(bids and asks) and bids[0][0] >= asks[0][0]
        spread = asks[0][0] - bids[0][0] if bids and asks and not crossed else None
        return {
            "best_bid": _price(market, bids[0][0] if bids else None),
            "best_ask": _price(market, asks[0][0] if asks else None),
            "spread": _price(market, spread),
            "last": _price(market, tape.last_ticks),
            "open_24h": _price(market, day[0].first if day else None),
            "high_24h": _price(market, max((b.high for b in day), default=None)),
            "low_24h": _price(market, min((b.low for b in day), default=None)),
            "volume_24h": quantity_text(market, sum(b.lots for b in day)),
            "quote_volume_24h": decimal_text(sum(b.quote_pips for b in day)),
        }


def _price(market: Market, ticks: int | None) -> str | None:
    return None if ticks is None else price_text(market, ticks)


def settlement_row(state: TradeState) -> SettlementState:
    """Return a settlement state as JSON fields."""
    return {
        "state": state.state,
        "batch": state.batch,
        "tx_hash": None if state.tx_hash is None else hexed(state.tx_hash),
    }


@lru_cache(STATE_TEXTS_MAX)
def state_text(state: TradeState) -> bytes:
    """Return the end of a row's JSON: its settlement state and the closing brace."""
    return b',"settlement":%b}' % orjson.dumps(settlement_row(state))


def written_row(row: dict[str, object]) -> WrittenRow:
    """Return ``row``, matched only, with its settlement state behind all else."""
    del row["settlement"]
    start = orjson.dumps(row)[:-1]
    return WrittenRow(MATCHED, start + state_text(MATCHED), len(start))


def trade_row(market: Market, trade: Trade, state: TradeState) -> PublicTrade:
    """Return one public trade as JSON fields."""
    return {
        "trade_id": trade.trade_id,
        "side": trade.side.name.lower(),
        "price": price_text(market, trade.price_ticks),
        "quantity": quantity_text(market, trade.lots),
        "price_ticks": trade.price_ticks,
        "lots": trade.lots,
        "time_ns": str(trade.time_ns),
        "settlement": settlement_row(state),
    }
