"""What may everybody ask: time, markets, books, trades, tickers?"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.types import Side
from gateway.api.binance.desk import Call, named
from gateway.api.binance.errors import Code, refused
from gateway.api.binance.numbers import pips_text, price_text, quantity_text
from gateway.api.binance.params import INT64_MAX, Params
from gateway.api.binance.rows import (
    Day,
    Row,
    aggregate_row,
    best_row,
    candle_row,
    day_row,
    mini_row,
    symbol_row,
    trade_row,
)
from gateway.trading.budgets import Budgets
from gateway.views.candles import INTERVALS, Candle
from gateway.views.tape import TRADES_MAX, Trade
from settlement.orders.catalog import Market

LEVELS_MAX: Final = 1_000
LEVELS: Final = 100
TRADES: Final = 500
AVERAGE_MINUTES: Final = 5
AVERAGE_NS: Final = AVERAGE_MINUTES * 60 * 10**9
NS_A_MS: Final = 1_000_000
ALL_SYMBOLS: Final = 80
CANDLES_MAX: Final = 1_000
MONTH: Final = "1M"
LIMIT_DIGITS: Final = 19
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
DEPTH_WEIGHTS: Final = ((100, 5), (500, 25), (INT64_MAX, 50))
CANDLE_WEIGHTS: Final = ((100, 2), (500, 10), (INT64_MAX, 20))
"""By up to how many are asked for: each has to be written."""


def ping(_: Call) -> Row:
    """Answer."""
    return {}


def time(call: Call) -> Row:
    """Tell the exchange's time."""
    return {"serverTime": call.desk.now_ms}


async def exchange_info(call: Call) -> Row:
    """Tell markets, filters and budgets."""
    desk = call.desk
    markets = named(desk.symbols.all(), call)

    def row(one: tuple[str, Market]) -> Row:
        name, market = one
        return symbol_row(name, market, desk.states.of(market).phase, desk.orders_max)

    return {
        "timezone": "UTC",
        "serverTime": desk.now_ms,
        "rateLimits": limit_rows(desk.limits.budgets),
        "exchangeFilters": [],
        "symbols": await desk.rows(markets, row),
    }


def limit_rows(budgets: Budgets) -> list[Row]:
    """Return what may be asked within how long."""
    return [
        {
            "rateLimitType": kind,
            "interval": "SECOND",
            "intervalNum": budgets.window_seconds,
            "limit": limit,
        }
        for kind, limit in (
            ("REQUEST_WEIGHT", budgets.requests_per_address),
            ("ORDERS", budgets.orders_per_account),
        )
    ]


def depth_weight(params: Params) -> int:
    """Return what a book weighs."""
    return _by_limit(params, LEVELS, DEPTH_WEIGHTS)


def candles_weight(params: Params) -> int:
    """Return what candles weigh."""
    return _by_limit(params, TRADES, CANDLE_WEIGHTS)


def _by_limit(params: Params, default: int, weights: Sequence[tuple[int, int]]) -> int:
    text = params.text("limit", str(default))
    limit = int(text) if text.isdecimal() and len(text) < LIMIT_DIGITS else default
    return next(weight for most, weight in weights if limit <= most)


async def depth(call: Call) -> Row:
    """Return a book as it is after update ``lastUpdateId``."""
    desk, market = call.desk, call.market()
    limit, book = call.params.limit(LEVELS, LEVELS_MAX), desk.market_data.book(market)
    update, now_ms = book.u, desk.now_ms
    bids, asks = book.levels(Side.BUY, limit), book.levels(Side.SELL, limit)

    def row(level: tuple[int, int]) -> list[str]:
        return [price_text(market, level[0]), quantity_text(market, level[1])]

    return {
        "lastUpdateId": update,
        "bids": await desk.rows(bids, row),
        "asks": await desk.rows(asks, row),
        "E": now_ms,
        "T": now_ms,
    }


async def trades(call: Call) -> msgspec.Raw:
    """Return the last trades, oldest first."""
    market = call.market()
    found = _trades(call, market)[-call.params.limit(TRADES, TRADES_MAX) :]
    return await call.desk.rows(found, lambda trade: trade_row(market, trade))


async def historical_trades(call: Call) -> msgspec.Raw:
    """Return trades from ``fromId`` on, as far as they are kept."""
    market, params = call.market(), call.params
    found, limit = _trades(call, market), params.limit(TRADES, TRADES_MAX)
    if params.text("fromId"):
        first = params.integer("fromId", 0)
        found = [trade for trade in found if trade.trade_id >= first][:limit]
    return await call.desk.rows(found[-limit:], lambda trade: trade_row(market, trade))


async def aggregate_trades(call: Call) -> msgspec.Raw:
    """Return trades between two times or from ``fromId`` on, each an aggregate of its own."""
    market, params = call.market(), call.params
    found, limit = _trades(call, market), params.limit(TRADES, TRADES_MAX)
    first, low = params.integer("fromId", 0, default=0), params.integer("startTime", 0, default=0)
    high = params.integer("endTime", 0, default=INT64_MAX)
    found = [
        trade
        for trade in found
        if trade.trade_id >= first and low <= trade.time_ns // NS_A_MS <= high
    ]
    found = found[:limit] if first or low else found[-limit:]
    return await call.desk.rows(found, lambda trade: aggregate_row(market, trade))


def _trades(call: Call, market: Market) -> list[Trade]:
    """Return the trades that are kept and stand, oldest first."""
    tape = call.desk.market_data.tape(market)
    return [trade for trade in tape.trades if not trade.is_busted]


async def candles(call: Call) -> msgspec.Raw:
    """Return the candles of an interval, oldest first."""
    market, params = call.market(), call.params
    interval = params.need("interval")
    if interval not in INTERVALS:
        raise refused(Code.BAD_INTERVAL, "Invalid interval.")
    limit = params.limit(TRADES, CANDLES_MAX)
    low = -(-params.integer("startTime", 0, default=0) // 1000)
    high = params.integer("endTime", 0, default=INT64_MAX) // 1000
    tape = call.desk.candles.tape(market)
    found = tape.between(interval, low, high + 1)
    found = found[:limit] if low else found[-limit:]
    return await call.desk.rows(found, lambda kept: _candle_row(interval, Candle.unpacked(kept)))


def _candle_row(interval: str, candle: Candle) -> list[Any]:
    return candle_row(candle, 1000 * end_of(interval, candle.start))


def end_of(interval: str, start: int) -> int:
    """Return when the interval that begins at ``start`` is over, in unix seconds."""
    if interval != MONTH:
        return start + int(interval[:-1]) * SECONDS[interval[-1]]
    begun = datetime.fromtimestamp(start, UTC)
    year, month = divmod(begun.year * 12 + begun.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp())


def average_price(call: Call) -> Row:
    """Return the average price of the last minutes; the last price, if there was no trade."""
    market, now_ns = call.market(), call.desk.exchange.now_ns()
    lots = quote = 0
    last = call.desk.market_data.tape(market).last_ticks or 0
    for trade in reversed(_trades(call, market)):
        if trade.time_ns < now_ns - AVERAGE_NS:
            break
        lots += trade.lots
        quote += market.quote_pips(trade.lots, trade.price_ticks)
    price = quote * 10**8 // market.base_pips(lots) if lots else last * market.tick_size_pips
    return {"mins": AVERAGE_MINUTES, "price": pips_text(price), "closeTime": now_ns // NS_A_MS}


def ticker_weight(params: Params) -> int:
    """Return what a ticker weighs: as much as the markets are that it is of."""
    return 2 if params.text("symbol") else ALL_SYMBOLS


async def day(call: Call) -> Row | msgspec.Raw:
    """Return 24 hours of one market, some or all."""
    desk, is_mini = call.desk, call.params.choice("type", ("FULL", "MINI"), "FULL") == "MINI"

    def row(one: tuple[str, Market]) -> Row:
        name, market = one
        now_ns = desk.exchange.now_ns()
        found = Day(market, desk.market_data.ticker(market, now_ns), now_ns)
        return mini_row(name, found) if is_mini else day_row(name, market, found, _best(call, *one))

    return await _one_or_all(call, row)


async def price(call: Call) -> Row | msgspec.Raw:
    """Return the last price of one market, some or all."""

    def row(one: tuple[str, Market]) -> Row:
        name, market = one
        last = call.desk.market_data.tape(market).last_ticks or 0
        return {"symbol": name, "price": price_text(market, last)}

    return await _one_or_all(call, row)


async def book_ticker(call: Call) -> Row | msgspec.Raw:
    """Return the best of both sides of one market, some or all."""
    return await _one_or_all(call, lambda one: _best(call, *one))


def _best(call: Call, name: str, market: Market) -> Row:
    book = call.desk.market_data.book(market)
    return best_row(name, market, book.levels(Side.BUY, 1), book.levels(Side.SELL, 1))


async def _one_or_all(call: Call, row: Callable[[tuple[str, Market]], Row]) -> Row | msgspec.Raw:
    found = named(call.desk.symbols.all(), call)
    if call.params.text("symbol"):
        return row(found[0])
    return await call.desk.rows(found, row)
