"""How do tickers, candles and the states of markets look in the native JSON?"""

from collections.abc import Iterable
from typing import Final, Literal

from engine.types import LOTS_MAX, MONEY_MAX, Side
from gateway.api.v1 import schemas, stream_schemas
from gateway.api.v1.encoding import PIP_DIGITS, decimal_text, places_of, price_text, quantity_text
from gateway.views.books import Level
from gateway.views.candles import Candle, CandleNews, candles_channel
from gateway.views.market_data import BestPrices, Ticker, TickerNews
from gateway.views.market_states import (
    ExchangeState,
    ExchangeStateNews,
    MarketStateNews,
)
from gateway.views.queues import QueueDiff, Queues
from settlement.orders.catalog import Market
from settlement.orders.market_states import MarketState

SIDE_TEXTS: Final[dict[Side, Literal["buy", "sell"]]] = {Side.BUY: "buy", Side.SELL: "sell"}


def level_row(market: Market, level: Level | None) -> schemas.Level | None:
    """Return one level: what people read and the integers behind it."""
    if level is None:
        return None
    ticks, lots = level
    return schemas.Level(price_text(market, ticks), quantity_text(market, lots), ticks, lots)


def ticker_row(market: Market, ticker: Ticker) -> schemas.Ticker:
    """Return best prices, last price and 24 hours as people read them."""
    return schemas.Ticker(
        best_bid=_price(market, ticker.best_bid),
        best_ask=_price(market, ticker.best_ask),
        spread=_price(market, ticker.spread),
        last=_price(market, ticker.last),
        open_24h=_price(market, ticker.open_24h),
        high_24h=_price(market, ticker.high_24h),
        low_24h=_price(market, ticker.low_24h),
        volume_24h=quantity_text(market, ticker.lots_24h),
        quote_volume_24h=decimal_text(ticker.quote_pips_24h),
    )


def _price(market: Market, ticks: int | None) -> str | None:
    return None if ticks is None else price_text(market, ticks)


def candle_row(market: Market, candle: Candle) -> schemas.Candle:
    """Return one candle as people read it."""
    step = market.tick_size_pips
    return schemas.Candle(
        start=candle.start,
        open=_in_steps(candle.open, step),
        high=_in_steps(candle.high, step),
        low=_in_steps(candle.low, step),
        close=_in_steps(candle.close, step),
        volume=_in_steps(candle.base_pips, market.lot_pips),
        quote_volume=decimal_text(candle.quote_pips),
        trades=candle.trades,
    )


def _in_steps(pips: int, step: int) -> str:
    """Return ``pips`` with as many digits as multiples of ``step`` need; all of them where it is
    none, because the market's steps were others then."""
    return decimal_text(pips, places_of(step) if pips % step == 0 else PIP_DIGITS)


def band_row(market: Market, state: MarketState) -> schemas.Band | None:
    """Return the band of a market; None if it has none."""
    if not state.band_high:
        return None
    return schemas.Band(price_text(market, state.band_low), price_text(market, state.band_high))


def status_row(market: Market, state: MarketState) -> schemas.MarketStatus:
    """Return whether a market takes orders."""
    return schemas.MarketStatus(market.symbol, state.phase.name.lower(), band_row(market, state))


def most_text(market: Market) -> str:
    """Return the largest quantity that an order may have."""
    return quantity_text(market, min(LOTS_MAX, MONEY_MAX // market.lot_pips))


def bbo_frame(news: BestPrices, kind: Literal["snapshot", "bbo"] = "bbo") -> stream_schemas.Bbo:
    """Return the best prices for the stream."""
    market = news.market
    return stream_schemas.Bbo(
        channel=f"bbo:{market.symbol}",
        type=kind,
        u=news.u,
        time_ns=str(news.time_ns),
        bid=level_row(market, news.bid),
        ask=level_row(market, news.ask),
    )


def ticker_frame(
    news: TickerNews, kind: Literal["snapshot", "ticker"] = "ticker"
) -> stream_schemas.TickerFrame:
    """Return a ticker for the stream."""
    return stream_schemas.TickerFrame(
        channel=f"ticker:{news.market.symbol}",
        type=kind,
        u=news.u,
        time_ns=str(news.time_ns),
        ticker=ticker_row(news.market, news.ticker),
    )


def candles_frame(
    news: CandleNews, kind: Literal["snapshot", "candles"] = "candles"
) -> stream_schemas.CandlesFrame:
    """Return candles for the stream."""
    return stream_schemas.CandlesFrame(
        channel=candles_channel(news.market, news.interval),
        type=kind,
        market=news.market.symbol,
        interval=news.interval,
        candles=[candle_row(news.market, candle) for candle in news.candles],
    )


def l3_snapshot(market: Market, queues: Queues) -> schemas.L3Snapshot:
    """Return a book order by order."""
    bids, asks = queues.shown(Side.BUY), queues.shown(Side.SELL)
    return schemas.L3Snapshot(
        market=market.symbol,
        u=queues.u,
        checksum=queues.checksum(),
        bids=_l3_orders(bids.orders),
        asks=_l3_orders(asks.orders),
        bids_known_to=bids.known_to,
        asks_known_to=asks.known_to,
    )


def _l3_orders(orders: Iterable[tuple[int, int, int]]) -> list[schemas.L3Order]:
    return [schemas.L3Order(str(order), ticks, lots) for order, ticks, lots in orders]


def l3_frame(news: QueueDiff) -> stream_schemas.L3Diff:
    """Return what has changed in a book order by order for the stream."""
    return stream_schemas.L3Diff(
        channel=f"l3:{news.market.symbol}",
        U=news.prev + 1,
        u=news.u,
        prev=news.prev,
        checksum=news.checksum,
        time_ns=str(news.time_ns),
        changes=[
            stream_schemas.L3Change(
                kind, SIDE_TEXTS[side], str(order.order_id), order.price_ticks, order.lots
            )
            for kind, side, order in news.changes
        ],
    )


def market_status_frame(news: MarketStateNews) -> stream_schemas.MarketStatusFrame:
    """Return the new state of a market for the stream."""
    status = status_row(news.market, news.state)
    return stream_schemas.MarketStatusFrame(
        event=news.event,
        market=status.market,
        phase=status.phase,
        band=status.band,
    )


def exchange_status_frame(news: ExchangeStateNews) -> stream_schemas.ExchangeStatus:
    """Return the new state of the exchange for the stream."""
    state: ExchangeState = news.state
    return stream_schemas.ExchangeStatus(
        status=state.status,
        missing=list(state.missing),
        restrictions=list(state.restrictions),
    )
