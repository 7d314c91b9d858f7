"""What does a person see at ``/``?

One page, rendered here so that it says something without JavaScript, then kept alive by one module
of ours. Nothing comes from another origin and the policy below lets nothing in.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, Response

from engine.types import Outcome
from gateway.api.dependencies import Here, charged
from gateway.api.services import Services
from gateway.api.v1.feed_rows import ticker_row
from gateway.api.v1.rows import book_row, trade_rows
from gateway.api.v1.schemas import BatchRow, Level, PublicTrade, Ticker
from gateway.api.v1.settlement import batch_row
from gateway.pages.headers import headers
from gateway.pages.render import Html, escape, fill
from gateway.trading.rejection import Rejection
from settlement.orders.catalog import Market

LEVELS: Final = 12
TRADES: Final = 24
BATCHES: Final = 8
PAGES: Final = Path(__file__).parent

HEADERS: Final = headers("no-cache")

NO_FIGURE: Final = "–"


class _Tables(NamedTuple):
    """The last trades and batches as HTML; the book changes far more often than they do."""

    trades: Html
    batches: Html


class _Drawn(NamedTuple):
    """The page of one market, and what it was drawn from."""

    traded: object
    tables: _Tables
    version: object
    text: str


router = APIRouter(include_in_schema=False, dependencies=[Depends(charged)])


@router.head("/")
@router.get("/")
async def market_page(
    request: Request, services: Here, market: Annotated[str, Query(max_length=32)] = ""
) -> HTMLResponse:
    """Show one market: its book, trades, batches and a form to trade."""
    catalog = services.exchange.catalog
    if not catalog.markets:
        return HTMLResponse(fill(_page("empty.html"), version=version_of()), headers=HEADERS)
    shown = catalog.market(market) if market else catalog.markets[0]
    if shown is None:
        raise Rejection(Outcome.UNKNOWN_MARKET, "no such market; the list is at /")
    pages: dict[int, _Drawn] = request.app.state.pages
    book, tape, now = services.market_data.version(shown, services.exchange.now_ns())
    # All that the tables show: the states of their trades change with these batches.
    traded = (tape, services.settlement.batches(TRADES), shown)
    version = (book, now, len(catalog.markets))
    drawn = pages.get(shown.number)
    if drawn is None or (drawn.traded, drawn.version) != (traded, version):
        tables = (
            _tables(services, shown) if drawn is None or drawn.traded != traded else drawn.tables
        )
        drawn = pages[shown.number] = _Drawn(
            traded, tables, version, render(services, shown, tables)
        )
    return HTMLResponse(drawn.text, headers=HEADERS)


@router.get("/market.css")
async def style() -> Response:
    """Serve the one style sheet."""
    return Response(_asset("market.css"), media_type="text/css", headers=HEADERS)


@router.get("/market.js")
async def script() -> Response:
    """Serve the one module."""
    return Response(_asset("market.js"), media_type="text/javascript", headers=HEADERS)


@cache
def _asset(name: str) -> bytes:
    return (PAGES / name).read_bytes()


@cache
def _page(name: str) -> Template:
    return Template((PAGES / name).read_text())


@cache
def version_of() -> str:
    """Return a short hash of style and script, so that a new version is never half old."""
    assets = b"".join(map(_asset, ("market.css", "market.js")))
    return hashlib.sha256(assets).hexdigest()[:12]


def _tables(services: Services, market: Market) -> _Tables:
    trades = _trades(trade_rows(services.market_data, market, TRADES))
    batches = _batches([batch_row(view) for view in services.settlement.batches(BATCHES)])
    return _Tables(trades or _empty(5, "No trades yet"), batches or _empty(4, "No batch yet"))


def render(services: Services, market: Market, tables: _Tables) -> str:
    """Return the whole page of ``market`` as of now."""
    data = services.market_data
    ticker = ticker_row(market, data.ticker(market, services.exchange.now_ns()))
    book = book_row(market, data.book(market), LEVELS)
    deepest = max((level.lots for level in book.bids + book.asks), default=1)
    return fill(
        _page("market.html"),
        version=version_of(),
        symbol=market.symbol,
        base=market.base.symbol,
        quote=market.quote.symbol,
        picker=_picker(services.exchange.catalog.markets, market),
        **_figures(ticker),
        asks=_levels(reversed(book.asks), deepest) or _empty(2, "No offers"),
        bids=_levels(book.bids, deepest) or _empty(2, "No bids"),
        trades=tables.trades,
        batches=tables.batches,
        taker_fee=_fee(market.taker_fee_ppm),
        maker_fee=_fee(market.maker_fee_ppm),
        levels=LEVELS,
        trade_rows=TRADES,
    )


def _fee(fee_ppm: int) -> str:
    return f"{fee_ppm} ppm" if fee_ppm >= 0 else f"a rebate of {-fee_ppm} ppm"


def _figures(ticker: Ticker) -> dict[str, str]:
    return {
        "best_bid": ticker.best_bid or NO_FIGURE,
        "best_ask": ticker.best_ask or NO_FIGURE,
        "spread": ticker.spread or NO_FIGURE,
        "last": ticker.last or NO_FIGURE,
        "volume": ticker.volume_24h,
    }


def _picker(markets: Sequence[Market], shown: Market) -> Html:
    here = ' aria-current="page"'
    return Html(
        "".join(
            f'<a href="/?market={quote(each.symbol)}"{here if each is shown else ""}>'
            f"{escape(each.symbol)}</a>"
            for each in markets
        )
    )


def _empty(columns: int, text: str) -> Html:
    return Html(f'<tr class="empty"><td colspan="{columns}">{escape(text)}</td></tr>')


def _levels(levels: Iterable[Level], deepest: int) -> Html:
    return Html(
        "".join(
            '<tr><td><svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" '
            f'aria-hidden="true"><rect width="{level.lots * 100 // deepest}" height="1"/></svg>'
            f"{level.price}</td><td>{level.quantity}</td></tr>"
            for level in levels
        )
    )


def _trades(trades: list[PublicTrade]) -> Html:
    return Html(
        "".join(
            f'<tr data-trade="{trade.trade_id}"><td>{trade.trade_id}</td>'
            f'<td class="{trade.side}">{trade.price}</td><td>{trade.quantity}</td>'
            f'<td><span class="state {trade.settlement.state}">'
            f"{trade.settlement.state}</span></td>"
            f"<td>{_where(trade.settlement.batch, trade.settlement.tx_hash)}</td></tr>"
            for trade in trades
        )
    )


def _batches(batches: list[BatchRow]) -> Html:
    return Html(
        "".join(
            f"<tr><td>{batch.batch}</td>"
            f"<td>{_span(batch)}</td>"
            f'<td><span class="state {batch.state}">{batch.state}</span></td>'
            f"<td>{_short(batch.tx_hash)}</td></tr>"
            for batch in batches
        )
    )


def _span(batch: BatchRow) -> str:
    first, last = batch.first_trade, batch.last_trade
    if last < first:
        return "none"
    return f"#{first}" if first == last else f"#{first}–{last}"


def _where(batch: int | None, tx_hash: str | None) -> str:
    return "" if batch is None else f"#{batch} {_short(tx_hash)}".strip()


def _short(tx_hash: str | None) -> Html:
    if tx_hash is None:
        return Html("")
    return Html(f'<code title="{tx_hash}">{tx_hash[:6]}…{tx_hash[-4:]}</code>')
