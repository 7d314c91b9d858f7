"""What of candles and markets need not be written again?

As ``written``, for what everybody may ask: a candle that is over is written once, a market's row
when something in it is another. What has to be written first is written some at a time.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

import msgspec
from msgspec.json import encode

from engine.types import Side
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import decimal_text, hexed, places_of, price_text, quantity_text
from gateway.api.v1.feed_rows import (
    band_row,
    candle_row,
    most_text,
    status_row,
    ticker_row,
)
from gateway.views.candles import CANDLES_KEPT, TRIMMED_AT_ONCE, Candle, Candles, CandleTape
from gateway.views.market_data import MarketData
from gateway.views.market_states import ExchangeState
from gateway.views.queues import SHOWN, Queues
from settlement.orders.catalog import Market, Token
from settlement.orders.market_states import MarketState, MarketStates

AT_ONCE: Final = 128
"""Candles written before others have a turn, in half a millisecond."""

KEPT_MAX: Final = CANDLES_KEPT + 2 * TRIMMED_AT_ONCE


class CandleTexts:
    """One interval of one market."""

    def __init__(self, market: Market, tape: CandleTape, interval: str) -> None:
        self.market = market
        self.tape = tape
        self._interval = interval
        self._series = tape.series(interval)
        self._changes = self._series.changes
        self._texts: dict[int, bytes] = {}
        """By number, counted from the first candle there ever was."""

    def write_some(self, limit: int, before: int | None) -> bool:
        """Write what a page lacks, some of it at once; return whether more is to be written."""
        self._forget()
        first, end, _ = self.tape.page(self._interval, limit, before)
        gone, over = self._series.gone, self._series.over
        lacking = [at for at in range(first, end) if gone + at not in self._texts]
        for at in lacking[:AT_ONCE]:
            row = candle_row(self.market, Candle.unpacked(over[at]))
            self._texts[gone + at] = encode(row)
        return len(lacking) > AT_ONCE

    def page(self, limit: int, before: int | None) -> msgspec.Raw:
        """Return a page as a JSON array, oldest first; ``write_some`` has returned False."""
        first, end, now = self.tape.page(self._interval, limit, before)
        gone = self._series.gone
        texts = [self._texts[at] for at in range(gone + first, gone + end)]
        if now is not None:
            texts.append(encode(candle_row(self.market, now)))
        return msgspec.Raw(b"[%b]" % b",".join(texts))

    def _forget(self) -> None:
        """Forget what is another now, or is not kept any more."""
        if self._changes != self._series.changes:
            self._changes = self._series.changes
            self._texts.clear()
        if len(self._texts) > KEPT_MAX:
            gone = self._series.gone
            self._texts = {at: text for at, text in self._texts.items() if at >= gone}


class _MarketText(NamedTuple):
    """A market's row as JSON without its closing brace and its ticker, and of what it was made."""

    market: Market
    state: MarketState
    text: bytes


class _TickerText(NamedTuple):
    market: Market
    version: tuple[int, int, int]
    text: bytes


QUEUES: Final = "native JSON"
"""What queues know our texts by."""


def queue_texts(queues: Queues, side: Side) -> tuple[msgspec.Raw, int | None]:
    """Return what ``feed_rows.l3_snapshot`` has of a side, as a JSON array: a queue is written
    again when it has changed. And the last price of which all orders are there."""
    kept, texts, left, whole = queues.kept(QUEUES)[side], list[bytes](), SHOWN, None
    for ticks, queue in queues.levels(side):
        if whole is None:  # Of the best price not all is there yet: it is not among the known ones.
            whole = ticks + 1 if side == Side.BUY else ticks - 1
        if len(queue) > left:
            if left:
                texts.append(_queue_text(ticks, islice(queue.items(), left)))
            return msgspec.Raw(b"[%b]" % b",".join(texts)), whole
        text = kept.get(ticks)
        if text is None:
            text = kept[ticks] = _queue_text(ticks, queue.items())
        texts.append(text)
        left, whole = left - len(queue), ticks
    return msgspec.Raw(b"[%b]" % b",".join(texts)), None


def _queue_text(ticks: int, queue: Iterable[tuple[int, int]]) -> bytes:
    orders = [schemas.L3Order(str(order_id), ticks, lots) for order_id, lots in queue]
    return encode(orders)[1:-1]


class WrittenFeeds:
    """Candles, tickers and markets of one exchange in the native JSON."""

    def __init__(
        self, market_data: MarketData, candles: Candles, market_states: MarketStates
    ) -> None:
        self._data = market_data
        self._candles = candles
        self._states = market_states
        self._candle_texts: dict[tuple[int, str], CandleTexts] = {}
        self._markets: dict[int, _MarketText] = {}
        self._tickers: dict[int, _TickerText] = {}

    def candles(self, market: Market, interval: str) -> CandleTexts:
        """Return what is written of one interval."""
        key, tape = (market.number, interval), self._candles.tape(market)
        texts = self._candle_texts.get(key)
        if texts is None or texts.market != market or texts.tape is not tape:
            texts = self._candle_texts[key] = CandleTexts(market, tape, interval)
        return texts

    def queues(self, market: Market) -> dict[str, object]:
        """Return a book order by order, its orders written out already."""
        queues = self._data.queues(market)
        (bids, bids_known), (asks, asks_known) = (
            queue_texts(queues, side) for side in (Side.BUY, Side.SELL)
        )
        return {
            "market": market.symbol,
            "u": queues.u,
            "checksum": queues.checksum(),
            "bids": bids,
            "asks": asks,
            "bids_known_to": bids_known,
            "asks_known_to": asks_known,
        }

    def ticker(self, market: Market, now_ns: int) -> msgspec.Raw:
        """Return a market's ticker as JSON."""
        version = self._data.version(market, now_ns)
        known = self._tickers.get(market.number)
        if known is None or (known.market, known.version) != (market, version):
            row = ticker_row(market, self._data.ticker(market, now_ns))
            known = self._tickers[market.number] = _TickerText(market, version, encode(row))
        return msgspec.Raw(known.text)

    def market(self, market: Market, now_ns: int) -> msgspec.Raw:
        """Return what ``/v1/markets`` says of a market."""
        state = self._states.of(market)
        known = self._markets.get(market.number)
        if known is None or (known.market, known.state) != (market, state):
            text = encode(market_row(market, state))[:-1]
            known = self._markets[market.number] = _MarketText(market, state, text)
        return msgspec.Raw(b'%b,"ticker":%b}' % (known.text, self.ticker(market, now_ns)))

    def status(
        self, exchange: ExchangeState, markets: Iterable[Market], now_ns: int
    ) -> schemas.Status:
        """Return whether the exchange and ``markets`` take orders."""
        return schemas.Status(
            status=exchange.status,
            missing=list(exchange.missing),
            restrictions=list(exchange.restrictions),
            time_ns=str(now_ns),
            markets=[status_row(market, self._states.of(market)) for market in markets],
        )


def token_row(token: Token) -> schemas.TokenRow:
    """Return a token as JSON fields."""
    return schemas.TokenRow(
        number=token.number,
        symbol=token.symbol,
        address=hexed(token.address),
        decimals=token.decimals,
    )


def market_row(market: Market, state: MarketState) -> dict[str, object]:
    """Return a market as JSON fields, all but its ticker."""
    step = market.tick_size_pips
    low, high = state.prices(market)
    return {
        "symbol": market.symbol,
        "base": token_row(market.base),
        "quote": token_row(market.quote),
        "lot_size": decimal_text(market.lot_pips, places_of(market.lot_pips)),
        "tick_size": decimal_text(step, places_of(step)),
        "least_notional": decimal_text(market.least_notional_pips),
        "lot_pips": str(market.lot_pips),
        "tick_pips": str(market.tick_pips),
        "maker_fee_ppm": market.maker_fee_ppm,
        "taker_fee_ppm": market.taker_fee_ppm,
        "phase": state.phase.name.lower(),
        "band": band_row(market, state),
        "min_quantity": quantity_text(market, 1),
        "max_quantity": most_text(market),
        "min_price": price_text(market, low),
        "max_price": price_text(market, high),
    }
