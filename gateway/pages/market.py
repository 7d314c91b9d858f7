"""What does a person see at ``/``?

One page, rendered here so that it says something without JavaScript, then kept alive by modules of
ours (``market/main.js``). Nothing comes from another origin and the policy below lets nothing in.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from string import Template
from typing import Annotated, Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, Response

from engine.types import Outcome
from gateway.api.dependencies import Here, charged
from gateway.api.services import Services
from gateway.api.v1.encoding import quantity_text
from gateway.api.v1.feed_rows import ticker_row
from gateway.api.v1.rows import book_row, trade_rows
from gateway.api.v1.schemas import BatchRow, Level, PublicTrade, Ticker
from gateway.api.v1.settlement import batch_row
from gateway.pages.assets import PAGES, assets
from gateway.pages.headers import CHART_LOGO_STYLE, headers
from gateway.pages.render import Html, escape, fill
from gateway.trading.rejection import Rejection
from gateway.views.market_data import Ticker as Figures
from settlement.orders.catalog import Market

LEVELS: Final = 12
TRADES: Final = 24
BATCHES: Final = 8

HEADERS: Final = headers("no-cache", styles=CHART_LOGO_STYLE)
KEPT: Final = "public, max-age=31536000, immutable"

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
        return HTMLResponse(fill(_page("empty.html"), version=assets().version), headers=HEADERS)
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


@router.get("/market/assets/{version}/{name:path}")
async def asset(request: Request, version: str, name: str) -> Response:
    """Serve style, a module or the chart; of another version than ours the one that we have."""
    ours = assets()
    found = ours.files.get(name)
    if found is None:
        raise Rejection(Outcome.NOT_FOUND)
    kept = KEPT if version == ours.version else "no-cache"
    body, varies = found.body(request.headers.get("accept-encoding", ""))
    return Response(body, media_type=found.media_type, headers=headers(kept) | varies)


@cache
def _page(name: str) -> Template:
    return Template((PAGES / name).read_text())


def _tables(services: Services, market: Market) -> _Tables:
    trades = _trades(trade_rows(services.market_data, market, TRADES))
    batches = _batches([batch_row(view) for view in services.settlement.batches(BATCHES)])
    return _Tables(trades or _empty(5, "No trades yet"), batches or _empty(4, "No batch yet"))


def render(services: Services, market: Market, tables: _Tables) -> str:
    """Return the whole page of ``market`` as of now."""
    data = services.market_data
    figures = data.ticker(market, services.exchange.now_ns())
    book = book_row(market, data.book(market), LEVELS)
    deepest = max(sum(level.lots for level in side) for side in (book.bids, book.asks)) or 1
    return fill(
        _page("market.html"),
        version=assets().version,
        symbol=market.symbol,
        base=market.base.symbol,
        quote=market.quote.symbol,
        picker=_picker(services.exchange.catalog.markets, market),
        sandbox="yes" if services.page.sandbox else "no",
        explorer=services.page.explorer_url,
        account=fill(_page("account.html"), quote=market.quote.symbol),
        dialogs=_part("dialogs.html"),
        change=_change(figures),
        **_figures(ticker_row(market, figures)),
        asks=Html("".join(reversed(_levels(market, book.asks, deepest)))) or _empty(3, "No offers"),
        bids=Html("".join(_levels(market, book.bids, deepest))) or _empty(3, "No bids"),
        trades=tables.trades,
        batches=tables.batches,
        taker_fee=_fee(market.taker_fee_ppm),
        maker_fee=_fee(market.maker_fee_ppm),
        levels=LEVELS,
        trade_rows=TRADES,
    )


def _fee(fee_ppm: int) -> str:
    return f"{fee_ppm} ppm" if fee_ppm >= 0 else f"a rebate of {-fee_ppm} ppm"


@cache
def _part(name: str) -> Html:
    """Return a part of the page that is the same for everybody."""
    return Html((PAGES / name).read_text())


def _change(ticker: Figures) -> str:
    """Return the day's change in per cent, cut after two decimals."""
    if ticker.last is None or not ticker.open_24h:
        return NO_FIGURE
    moved = ticker.last - ticker.open_24h
    whole, hundredths = divmod(abs(moved) * 10_000 // ticker.open_24h, 100)
    return f"{'−' if moved < 0 else '+' if moved else ''}{whole}.{hundredths:02}%"


def _figures(ticker: Ticker) -> dict[str, str]:
    return {
        "best_bid": ticker.best_bid or NO_FIGURE,
        "best_ask": ticker.best_ask or NO_FIGURE,
        "spread": ticker.spread or NO_FIGURE,
        "last": ticker.last or NO_FIGURE,
        "high": ticker.high_24h or NO_FIGURE,
        "low": ticker.low_24h or NO_FIGURE,
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


def _levels(market: Market, levels: Iterable[Level], deepest: int) -> list[str]:
    """Return the rows of one side, best first, each with what there is up to its price."""
    rows, lots = [], 0
    for level in levels:
        lots += level.lots
        rows.append(
            '<tr><td><svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" '
            f'aria-hidden="true"><rect width="{lots * 100 // deepest}" height="1"/></svg>'
            f"{level.price}</td><td>{level.quantity}</td>"
            f"<td>{quantity_text(market, lots)}</td></tr>"
        )
    return rows


def _trades(trades: list[PublicTrade]) -> Html:
    return Html(
        "".join(
            f'<tr data-trade="{trade.trade_id}"><td title="#{trade.trade_id}">{_clock(trade)}</td>'
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
            f'<tr data-batch="{batch.batch}"><td>{batch.batch}</td>'
            f"<td>{_span(batch)}</td>"
            f'<td><span class="state {batch.state}">{batch.state}</span></td>'
            f"<td>{_short(batch.tx_hash)}</td></tr>"
            for batch in batches
        )
    )


def _clock(trade: PublicTrade) -> str:
    """Return when a trade was made, in UTC: where its reader is nobody has told us."""
    minutes, seconds = divmod(int(trade.time_ns) // 10**9 % 86_400, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


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
