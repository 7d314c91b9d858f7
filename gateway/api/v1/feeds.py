"""What may everybody ask of the market beside books and trades: candles, tickers, status, time?"""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query

from gateway.api.dependencies import Feeds, Here, NamedMarket, Watch, charged
from gateway.api.v1 import schemas
from gateway.api.v1.openapi import Answer, documented
from gateway.views.candles import CANDLES_KEPT

CANDLES_DEFAULT: Final = 500

Interval = Literal[
    "1s",
    "1m",
    "3m",
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "8h",
    "12h",
    "1d",
    "3d",
    "1w",
    "1M",
]

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[Depends(charged)])


@router.get(
    "/markets/{symbol}/candles",
    openapi_extra=documented(schemas.Candles, rejections=(400, 404, 429)),
)
async def read_candles(
    feeds: Feeds,
    market: NamedMarket,
    interval: Interval = "1m",
    limit: Annotated[int, Query(ge=1, le=CANDLES_KEPT)] = CANDLES_DEFAULT,
    before: Annotated[int | None, Query(ge=0, le=2**40)] = None,
) -> Answer:
    """Return the last candles that begin before ``before`` (in seconds since 1970), oldest first.

    1w begins on Monday, 1M on the first of a month, all in UTC.
    """
    texts = feeds.candles(market, interval)
    while texts.write_some(limit, before):
        await asyncio.sleep(0)
    page = texts.page(limit, before)
    return Answer({"market": market.symbol, "interval": interval, "candles": page})


@router.get(
    "/markets/{symbol}/ticker",
    openapi_extra=documented(schemas.MarketTicker, rejections=(404, 429)),
)
async def read_ticker(services: Here, feeds: Feeds, market: NamedMarket) -> Answer:
    """Return best prices, last price and the last 24 hours."""
    now_ns = services.exchange.now_ns()
    return Answer(
        {
            "market": market.symbol,
            "u": services.market_data.book(market).u,
            "time_ns": str(now_ns),
            "ticker": feeds.ticker(market, now_ns),
        }
    )


@router.get(
    "/markets/{symbol}/l3",
    openapi_extra=documented(schemas.L3Snapshot, rejections=(404, 429)),
)
async def read_queues(feeds: Feeds, market: NamedMarket) -> Answer:
    """Return the book order by order: in each queue the oldest first, as much as is in sight."""
    return Answer(feeds.queues(market))


@router.get("/time", openapi_extra=documented(schemas.Time))
async def read_time(services: Here) -> Answer:
    """Return the exchange's clock."""
    return Answer(schemas.Time(str(services.exchange.now_ns())))


@router.get("/status", openapi_extra=documented(schemas.Status))
async def read_status(services: Here, feeds: Feeds, watch: Watch) -> Answer:
    """Return whether the exchange and each of its markets take orders."""
    now_ns, markets = services.exchange.now_ns(), services.exchange.catalog.markets
    return Answer(feeds.status(watch.now(), markets, now_ns))
