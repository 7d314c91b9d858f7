"""What need not be written again, for it was written for the last reader?

JSON of levels, trades, orders and fills that is kept until the value behind it is another. All of
it is bounded and made when first asked for. That of a level goes when the book changes there; all
else is held against the views' values at each reading, so it follows no events.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from msgspec.json import encode

from engine.types import Side
from gateway.api.v1 import schemas
from gateway.api.v1.rows import fill_row, level_rows, order_row, settlement_row, trade_row
from gateway.views.books import Book
from gateway.views.market_data import BUSTED, MATCHED, MarketData
from gateway.views.order_history import ALWAYS, Order, TimeRange
from gateway.views.tape import TRADES_MAX, Tape, Trade
from gateway.views.user_orders import PAGE_MAX, Fill, UserStream
from settlement.orders.catalog import Market
from settlement.ports import TradeState

BLOCK: Final = 32
"""Trades written as one: of five hundred few have changed since the last reader."""

BLOCKS_MAX: Final = TRADES_MAX // BLOCK + 1

STATE_TEXTS_MAX: Final = 4_096
"""States kept as text, one for each batch and step: trades are read by hundreds."""

ORDER_TEXTS_MAX: Final = 20_000
FILL_TEXTS_MAX: Final = 20_000
"""Orders and fills kept as text, of all accounts."""


class WrittenRow(NamedTuple):
    """A trade or a fill as JSON: all but how far it is never changes, and that seldom."""

    state: TradeState
    text: bytes
    size: int
    """Bytes of ``text`` before its state."""

    def having(self, state: TradeState) -> "WrittenRow":
        """Return the row with another state."""
        return WrittenRow(state, self.text[: self.size] + state_text(state), self.size)


@lru_cache(STATE_TEXTS_MAX)
def state_text(state: TradeState) -> bytes:
    """Return the end of a row's JSON: its settlement state and the closing brace."""
    return b',"settlement":%b}' % encode(settlement_row(state))


def written_row(row: schemas.PublicTrade | schemas.OwnFill) -> WrittenRow:
    """Return ``row``, matched only, with its settlement state behind all else."""
    fields = msgspec.structs.asdict(row)
    del fields["settlement"]
    start = encode(fields)[:-1]
    return WrittenRow(MATCHED, start + state_text(MATCHED), len(start))


LEVELS: Final = "native JSON"
"""What a book knows our levels by."""


def level_texts(market: Market, book: Book, side: Side, count: int) -> msgspec.Raw:
    """Return up to ``count`` levels as a JSON array, best first."""
    known, ticks = book.kept(LEVELS)[side], book.ticks(side, count)
    try:
        texts = [known[each] for each in ticks]
    except KeyError:  # Seldom more than a few have changed since the last reader.
        for each in ticks:
            if each not in known:
                (row,) = level_rows(market, [(each, book.lots(side, each))])
                known[each] = encode(row)
        texts = [known[each] for each in ticks]
    return msgspec.Raw(b"[%b]" % b",".join(texts))


class Block(NamedTuple):
    """Neighbours on the tape as JSON, newest first; of each batch its state and oldest trade."""

    trades: list[Trade]
    oldest: list[tuple[TradeState, int]]
    text: bytes

    def stands(self, trades: list[Trade], state_of: Callable[[int], TradeState]) -> bool:
        """Return whether these are its trades and none has come further: those of one batch do it
        together, and no trade is in a batch before an older one is. The very same state and not an
        equal one: a batch that was given up is sealed anew under its number, with other trades."""
        return self.trades == trades and all(
            state_of(trade_id) is state for state, trade_id in self.oldest
        )


class TapeTexts:
    """The last trades of one market."""

    def __init__(self) -> None:
        self._rows: dict[int, WrittenRow] = {}
        """By trade."""
        self.blocks: dict[int, Block] = {}
        """Whole blocks, counted from the first trade there ever was on the tape."""

    def rows(
        self, market: Market, tape: Tape, limit: int, state_of: Callable[[int], TradeState]
    ) -> msgspec.Raw:
        """Return the last trades as a JSON array, newest first, each with its state."""
        mine, texts = list(tape.trades)[-limit:], []
        start = tape.gone + len(tape.trades) - len(mine)
        high = start + len(mine)
        while high > start:
            number = (high - 1) // BLOCK
            low = max(start, number * BLOCK)
            trades = mine[low - start : high - start]
            block = self.blocks.get(number) if high - low == BLOCK else None
            if block is None or not block.stands(trades, state_of):
                block = self._block(market, trades, state_of)
                if high - low == BLOCK:
                    self.blocks[number] = block
            texts.append(block.text)
            high = low
        self._forget(tape)
        return msgspec.Raw(b"[%b]" % b",".join(texts))

    def _block(
        self, market: Market, trades: list[Trade], state_of: Callable[[int], TradeState]
    ) -> Block:
        known, texts, oldest = self._rows, [], list[tuple[TradeState, int]]()
        for trade in reversed(trades):
            state = BUSTED if trade.is_busted else state_of(trade.trade_id)
            row = known.get(trade.trade_id)
            if row is None or row.state is not state:
                row = row or written_row(trade_row(market, trade, MATCHED))
                row = known[trade.trade_id] = row.having(state)
            texts.append(row.text)
            if trade.is_busted:
                continue
            if oldest and oldest[-1][0] is state:
                oldest.pop()
            oldest.append((state, trade.trade_id))
        return Block(trades, oldest, b",".join(texts))

    def _forget(self, tape: Tape) -> None:
        """Forget what has left the tape, some of it at once."""
        if len(self.blocks) > BLOCKS_MAX:
            kept = range(tape.gone, tape.gone + len(tape.trades))
            self.blocks = {n: block for n, block in self.blocks.items() if n * BLOCK in kept}
        if len(self._rows) > 2 * TRADES_MAX:
            first = tape.trades[0].trade_id
            self._rows = {n: row for n, row in self._rows.items() if n >= first}


class _OrderText(NamedTuple):
    """An order that stands as JSON, and of what it was made."""

    lots_open: int
    lots_filled: int
    text: bytes


class WrittenViews:
    """The views of one exchange in the native JSON."""

    def __init__(self, market_data: MarketData, users: UserStream) -> None:
        self._data = market_data
        self._users = users
        self._tapes: dict[int, TapeTexts] = {}
        self._orders: dict[int, _OrderText] = {}
        self._fills: dict[tuple[int, int], WrittenRow] = {}

    def book(self, market: Market, levels: int) -> dict[str, object]:
        """Return what ``rows.book_row`` returns, its levels written out already."""
        book = self._data.book(market)
        return {
            "market": market.symbol,
            "u": book.u,
            "checksum": book.checksum(),
            "bids": level_texts(market, book, Side.BUY, levels),
            "asks": level_texts(market, book, Side.SELL, levels),
        }

    def trades(self, market: Market, limit: int) -> msgspec.Raw:
        """Return what ``rows.trade_rows`` returns, written out already."""
        texts = self._tapes.setdefault(market.number, TapeTexts())
        return texts.rows(market, self._data.tape(market), limit, self._data.trade_state)

    def open_orders(
        self, account: bytes, after: int = 0, limit: int = PAGE_MAX
    ) -> tuple[msgspec.Raw, int | None]:
        """Return resting orders of an address behind sequence ``after``, oldest first, and the
        sequence behind which the next page begins; None at the end."""
        mine = self._users.open_orders(account, after, limit)
        rows = msgspec.Raw(b"[%b]" % b",".join(map(self._order_text, mine)))
        return rows, mine[-1].sequence if len(mine) == limit else None

    def _order_text(self, order: Order) -> bytes:
        known = self._orders.get(order.order_id)
        if known is not None and known[:2] == (order.lots_open, order.lots_filled):
            return known.text
        if known is None and len(self._orders) >= ORDER_TEXTS_MAX:
            del self._orders[next(iter(self._orders))]
        text = encode(order_row(self._users.market_of(order), order))
        self._orders[order.order_id] = _OrderText(order.lots_open, order.lots_filled, text)
        return text

    def fills(
        self, account: bytes, limit: int, before: int = 2**63, within: TimeRange = ALWAYS
    ) -> tuple[msgspec.Raw, int | None]:
        """Return the last fills of an address before trade ``before``, newest first, and the trade
        before which the next page begins; None at the end."""
        mine, texts = self._users.fills(account, limit, before, within), []
        known, state_of = self._fills, self._users.state_of
        for fill in mine:
            state = state_of(fill)
            row = known.get((fill.trade_id, fill.order_id))
            if row is None or row.state is not state:
                row = self._write(fill, row, state)
            texts.append(row.text)
        rows = msgspec.Raw(b"[%b]" % b",".join(texts))
        return rows, mine[-1].trade_id if len(mine) == limit else None

    def _write(self, fill: Fill, known: WrittenRow | None, state: TradeState) -> WrittenRow:
        if known is None and len(self._fills) >= FILL_TEXTS_MAX:
            del self._fills[next(iter(self._fills))]
        row = known or written_row(fill_row(fill, MATCHED))
        self._fills[fill.trade_id, fill.order_id] = written = row.having(state)
        return written
