"""What is a token worth here, by what no payer can write alone?

A price is the least of three: what the book would pay to those who have stood in it for some time,
what was traded lately by volume, and the middle of the book by time. Orders that can be taken back
for nothing can only lower a price: the trades are a ceiling over all they say. What is wide, young,
one-sided, one account's or never traded gives no price but a reason.

A consumer of the journal: the same history gives the same prices, whatever the restarts and
however it is cut into batches.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from engine.events import BustedTrade, EventKind
from engine.log_entries import Committed, EventRow
from engine.types import MONEY_MAX, PPM, PRICE_MAX, Outcome, Side
from merchants.sales import pricing
from merchants.sales.depth import Aged, AgedBook, BookMemory
from merchants.sales.pricing import Level, Quote
from merchants.sales.recent_trades import Tape, TapeMemory
from settlement.orders.busts import busted_at, moved_back_at
from settlement.orders.catalog import Market

TRADE: Final = int(EventKind.TRADE)
RESTED: Final = int(EventKind.RESTED)
CANCELLED: Final = int(EventKind.CANCELLED)
AMENDED: Final = int(EventKind.AMENDED)
REFILLED: Final = int(EventKind.REFILLED)
TRADE_BUSTED: Final = int(EventKind.TRADE_BUSTED)
RENEWED: Final = (int(EventKind.TERMS_SET), int(EventKind.MARKET_DELISTED))
AUCTION: Final = int(Outcome.AUCTION)
KINDS: Final = frozenset({TRADE, RESTED, CANCELLED, AMENDED, REFILLED, TRADE_BUSTED, *RENEWED})

MIDDLE_NS: Final = 60 * 10**9
"""Over so long the middle is taken that a sale is compared with: who wants to make it has to stand
there for half of that."""


class PriceTerms(NamedTuple):
    """What the operator decides about prices.

    ``references`` are stated prices by market symbol, in quote pips for a whole base token: what
    is missing in trades counts as traded there. Without one, a market has no price before it has
    traded. ``volume_factor`` is how many times a sale's lots must have been traded.
    """

    age_ns: int = 3 * 10**9
    owners_min: int = 2
    spread_ppm_max: int = 50_000
    window_ns: int = 300 * 10**9
    volume_factor: int = 4
    references: Mapping[str, int] = MappingProxyType({})


class NoPrice(StrEnum):
    """Why there is no price now."""

    EMPTY = "nobody bids"
    YOUNG = "no bid has stood long enough"
    ONE_SIDED = "no offer has stood long enough opposite the bids"
    ONE_OWNER = "too few accounts bid"
    WIDE = "bids and offers are too far apart"
    SHALLOW = "the bids do not reach for all of it"
    UNTRADED = "too little was traded here, and the operator has stated no price"


class _Memory(msgspec.Struct):
    books: dict[int, BookMemory]
    tapes: dict[int, TapeMemory]
    last_trade: int = 0
    renewed_after: dict[int, int] = {}


class Prices:
    """The prices of all markets."""

    checkpoint_name = "prices/1"

    def __init__(self, terms: PriceTerms) -> None:
        self._terms = terms
        self._books: dict[int, AgedBook] = {}
        self._tapes: dict[int, Tape] = {}
        self._last_trade = 0
        self._renewed_after: dict[int, int] = {}
        """By market the last trade before its terms were changed: those are on no tape."""

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        books = {number: book.memory() for number, book in self._books.items()}
        tapes = {number: tape.memory() for number, tape in self._tapes.items()}
        memory = _Memory(books, tapes, self._last_trade, self._renewed_after)
        return msgspec.msgpack.encode(memory)

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        age_ns = self._terms.age_ns
        self._books = {n: AgedBook.remembered(book, age_ns) for n, book in saved.books.items()}
        self._tapes = {n: Tape(tape) for n, tape in saved.tapes.items()}
        self._last_trade, self._renewed_after = saved.last_trade, saved.renewed_after

    def consume(self, batch: Committed) -> None:
        """Take what moved in the books, and what was traded."""
        changes = [event for event in batch.rows if event.kind in KINDS]
        for sequence, of_one in groupby(changes, attrgetter("sequence")):
            entry = batch.entries[sequence - batch.first_sequence]
            self._take_all(batch, of_one, entry.command.time_ns)

    def _take_all(self, batch: Committed, changes: Iterable[EventRow], now_ns: int) -> None:
        """Take what one command caused, then read the middle of the books that it touched.

        Once a command, never once a batch: a replay cuts history into other batches than the live
        process did, and must remember the same.
        """
        touched: dict[int, None] = {}
        for change in changes:
            touched[change.market] = None
            if change.kind == TRADE_BUSTED:
                trade_id = busted_at(batch, change.sequence).trade_id
                if trade_id > self._renewed_after.get(change.market, 0):
                    back = moved_back_at(batch, change.sequence)
                    self._take_back(batch.markets[change.market], back)
            else:
                self._take(change, now_ns)
        for number in touched:
            book, tape = self._of(number)
            bid, ask = book.best(Side.BUY), book.best(Side.SELL)
            tape.middle(0 if bid is None or ask is None else bid + ask, now_ns)

    def _of(self, number: int) -> tuple[AgedBook, Tape]:
        if number not in self._books:
            self._books[number] = AgedBook(self._terms.age_ns)
            self._tapes[number] = Tape()
        return self._books[number], self._tapes[number]

    def _take(self, change: EventRow, now_ns: int) -> None:
        kind, lots, ticks = change.kind, change.amount, change.price_ticks
        if kind in RENEWED:
            # Its ticks and lots were others, and its book was empty.
            self._books.pop(change.market, None)
            self._tapes.pop(change.market, None)
            self._renewed_after[change.market] = self._last_trade
            return
        book, tape = self._of(change.market)
        if kind == RESTED:
            book.rest(change.order_id, change.side, change.account, ticks, lots, now_ns)
        elif kind == TRADE:
            self._last_trade = change.trade_id
            tape.trade(ticks, lots, now_ns)
            book.trade(change.maker_id, lots, change.maker_left)
            if change.outcome == AUCTION:
                book.trade(change.order_id, lots, change.order_left)
        elif kind == CANCELLED:
            book.cancel(change.order_id, now_ns)
        elif kind == REFILLED or change.order_left > 0:
            # An order decremented while it came in has left nothing in the book yet.
            book.show(change.order_id, lots)

    def _take_back(self, market: Market, back: BustedTrade) -> None:
        """Undo a trade that was made in the terms of now."""
        lots = back.base_pips // market.lot_pips
        if lots:
            self._of(market.number)[1].bust(back.quote_pips // (lots * market.tick_pips), lots)

    def quote(self, market: Market, wanted_pips: int, now_ns: int) -> Quote | NoPrice:
        """Return the smallest sale that brings ``wanted_pips`` at a price that counts."""
        bids = self._bids(market, now_ns)
        if isinstance(bids, NoPrice):
            return bids
        plain = pricing.quote_proceeds(market, bids.levels(), wanted_pips)
        if plain is None:
            return NoPrice.SHALLOW
        ceiling = self._ceiling(market, plain.lots, now_ns)
        if ceiling is None:
            return NoPrice.UNTRADED
        levels = bids.levels(ceiling)
        return pricing.quote_proceeds(market, levels, wanted_pips) or NoPrice.SHALLOW

    def worth(self, market: Market, base_pips: int, now_ns: int) -> Quote | NoPrice:
        """Return the sale of ``base_pips`` at a price that counts."""
        bids = self._bids(market, now_ns)
        if isinstance(bids, NoPrice):
            return bids
        ceiling = self._ceiling(market, -(-base_pips // market.lot_pips), now_ns)
        if ceiling is None:
            return NoPrice.UNTRADED
        return pricing.quote_base(market, bids.levels(ceiling), base_pips) or NoPrice.SHALLOW

    def at_middle_pips(self, market: Market, lots: int, now_ns: int) -> int | None:
        """Return what ``lots`` would bring in the middle of the book by time, of the last
        ``MIDDLE_NS``, whoever's it is; None where it has no two sides now, or that is more than
        there may be."""
        book, tape = self._of(market.number)
        doubled = tape.middle_doubled(now_ns - MIDDLE_NS, now_ns)
        if book.best(Side.BUY) is None or book.best(Side.SELL) is None or doubled is None:
            return None
        pips = market.quote_pips(lots, doubled) // 2
        return pips if pips <= MONEY_MAX else None

    def reach_pips(self, market: Market, now_ns: int, enough_pips: int) -> int:
        """Return what all bids that count would bring together, or those of the first that bring
        ``enough_pips``: the others are not looked at. Nothing where there is no price."""
        bids, ceiling = self._bids(market, now_ns), self._ceiling(market, 1, now_ns)
        if isinstance(bids, NoPrice) or ceiling is None:
            return 0
        pips = 0
        for ticks, lots in bids.levels(ceiling):
            pips += market.quote_pips(lots, ticks)
            if pips >= enough_pips:
                break
        return pips

    def held(self, market: Market) -> TapeMemory:
        """Return what is remembered of a market's trades and middles, as it is now."""
        return self._of(market.number)[1].memory()

    def traded_ticks(self, market: Market, lots: int, now_ns: int) -> int | None:
        """Return at what ``lots`` are known to trade, by trades alone; None if they are not."""
        _, tape = self._of(market.number)
        stated = self._terms.references.get(market.symbol)
        return tape.traded_ticks(
            lots * self._terms.volume_factor,
            now_ns - self._terms.window_ns,
            None if stated is None else max(1, stated // market.tick_size_pips),
            lots,
        )

    def _ceiling(self, market: Market, lots: int, now_ns: int) -> int | None:
        """Return the price above which no bid counts."""
        traded = self.traded_ticks(market, lots, now_ns)
        if traded is None:
            return None
        _, tape = self._of(market.number)
        middle = tape.middle_ticks(now_ns - self._terms.window_ns, now_ns)
        return traded if middle is None else max(1, min(traded, middle))

    def _bids(self, market: Market, now_ns: int) -> "_Bids | NoPrice":
        """Return the bids that count, best first, if the book is one to take a price from."""
        book, _ = self._of(market.number)
        if book.best(Side.BUY) is None:
            return NoPrice.EMPTY
        bids = _Bids(book.aged(Side.BUY, now_ns))
        bid = next(iter(bids), None)
        if bid is None:
            return NoPrice.YOUNG
        ask = next(book.aged(Side.SELL, now_ns), None)
        if ask is None:
            return NoPrice.ONE_SIDED
        width = self._terms.spread_ppm_max
        if 2 * (ask.ticks - bid.ticks) * PPM > width * (ask.ticks + bid.ticks):
            return NoPrice.WIDE
        near: set[int] = set()
        for one in bids:
            if (bid.ticks - one.ticks) * PPM > width * bid.ticks:
                break
            near.add(one.account)
            if len(near) >= self._terms.owners_min:
                return bids
        return NoPrice.ONE_OWNER


class _Bids:
    """Bids that count, best first: none is looked at before somebody asks for it."""

    def __init__(self, rest: Iterator[Aged]) -> None:
        self._seen: list[Aged] = []
        self._rest = rest

    def __iter__(self) -> Iterator[Aged]:
        yield from self._seen
        for one in self._rest:
            self._seen.append(one)
            yield one

    def levels(self, ceiling: int = PRICE_MAX) -> Iterator[Level]:
        """Yield price and lots of each, none priced above ``ceiling``."""
        return ((min(one.ticks, ceiling), one.lots) for one in self)
