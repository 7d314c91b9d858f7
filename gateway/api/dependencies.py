"""What may a route ask for by type?

All that a route depends on is ``async``, though nothing here waits: the framework sends a plain
function to a thread, which costs the loop as much as the rest of a small request, and budgets and
sessions belong to the loop's thread.
"""

from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.requests import HTTPConnection

from engine.types import Outcome
from gateway.api.budget_headers import note
from gateway.api.services import Services
from gateway.api.v1.login import bearer_of, session_of
from gateway.api.v1.written import WrittenViews
from gateway.api.v1.written_feeds import WrittenFeeds
from gateway.http.lifecycle import Lifecycle
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.views.market_states import StatusWatch
from settlement.orders.catalog import Market


def services_of(connection: HTTPConnection) -> Services:
    """Return the services that the app was made with."""
    services = connection.app.state.services
    assert isinstance(services, Services), "create_app puts them there"
    return services


def entry_of(connection: HTTPConnection) -> OrderEntry:
    """Return the app's order entry."""
    entry = connection.app.state.order_entry
    assert isinstance(entry, OrderEntry), "create_app puts it there"
    return entry


def written_of(connection: HTTPConnection) -> WrittenViews:
    """Return the app's views in the native JSON."""
    written = connection.app.state.written
    assert isinstance(written, WrittenViews), "create_app puts it there"
    return written


def feeds_of(connection: HTTPConnection) -> WrittenFeeds:
    """Return the app's candles and markets in the native JSON."""
    feeds = connection.app.state.feeds
    assert isinstance(feeds, WrittenFeeds), "create_app puts it there"
    return feeds


def watch_of(connection: HTTPConnection) -> StatusWatch:
    """Return what knows whether the exchange takes work."""
    watch = connection.app.state.status_watch
    assert isinstance(watch, StatusWatch), "create_app puts it there"
    return watch


def lifecycle_of(connection: HTTPConnection) -> Lifecycle:
    """Return whether the app is closing."""
    lifecycle = connection.app.state.lifecycle
    assert isinstance(lifecycle, Lifecycle), "create_app puts it there"
    return lifecycle


def client_of(connection: HTTPConnection) -> str:
    """Return whom to charge: the peer, or whom the operator's own proxy says it speaks for."""
    return services_of(connection).clients.of(connection)


async def charged(request: Request) -> str:
    """Charge one request to the peer before anything costs us work."""
    client = client_of(request)
    note(request.scope, services_of(request).limits.request(client).left)
    return client


async def told(request: Request) -> None:
    """Say that something happens, unless it is only read."""
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        services_of(request).happened()


async def charged_probe(request: Request) -> str:
    """Charge the peer from a budget of its own, which no other question empties."""
    client = client_of(request)
    note(request.scope, services_of(request).limits.probe(client).left)
    return client


async def charged_order(request: Request) -> str:
    """Charge the recovery of one signer to the peer, from a larger budget."""
    client = client_of(request)
    note(request.scope, services_of(request).limits.order_request(client).left)
    return client


async def charged_cancel(request: Request) -> str:
    """Charge one cancel to the peer, from the larger budget."""
    client = client_of(request)
    note(request.scope, services_of(request).limits.cancel_request(client).left)
    return client


async def logged_in(request: Request) -> Session:
    """Return the session of the bearer token."""
    return session_of(services_of(request).sessions, bearer_of(request))


async def market_named(request: Request, symbol: Annotated[str, Path(max_length=32)]) -> Market:
    """Return the market called ``symbol``; refused when there is none."""
    market = services_of(request).exchange.catalog.market(symbol)
    if market is None:
        raise unknown_market(symbol)
    return market


def unknown_market(symbol: str) -> Rejection:
    """Return the rejection of a market name."""
    return Rejection(
        Outcome.UNKNOWN_MARKET, f"there is no market called {symbol[:32]!r}; see /v1/markets"
    )


async def _here(connection: HTTPConnection) -> Services:
    return services_of(connection)


async def _entry(connection: HTTPConnection) -> OrderEntry:
    return entry_of(connection)


async def _written(connection: HTTPConnection) -> WrittenViews:
    return written_of(connection)


async def _feeds(connection: HTTPConnection) -> WrittenFeeds:
    return feeds_of(connection)


async def _watch(connection: HTTPConnection) -> StatusWatch:
    return watch_of(connection)


async def _life(connection: HTTPConnection) -> Lifecycle:
    return lifecycle_of(connection)


Here = Annotated[Services, Depends(_here)]
Entry = Annotated[OrderEntry, Depends(_entry)]
Written = Annotated[WrittenViews, Depends(_written)]
Feeds = Annotated[WrittenFeeds, Depends(_feeds)]
Watch = Annotated[StatusWatch, Depends(_watch)]
Life = Annotated[Lifecycle, Depends(_life)]
Me = Annotated[Session, Depends(logged_in)]
NamedMarket = Annotated[Market, Depends(market_named)]
