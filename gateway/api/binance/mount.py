"""How does the dialect come onto a server?"""

import asyncio
from collections.abc import Callable, Mapping

from fastapi import APIRouter

from engine.types import Limits
from gateway.api.binance.desk import Desk
from gateway.api.binance.rest import router_of
from gateway.api.binance.signer import ManagedKeys
from gateway.api.binance.stream.route import sockets_of
from gateway.api.binance.symbols import Symbols
from gateway.http.clients import Clients
from gateway.http.lifecycle import Lifecycle
from gateway.http.metrics import Metrics
from gateway.http.outbox import OutboxBounds
from gateway.trading.api_keys import ApiKeys, HeldKey
from gateway.trading.budgets import RateLimits
from gateway.trading.order_entry import OrderEntry
from gateway.trading.sessions import SessionIssuer
from gateway.views.candles import Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream
from settlement.orders.market_states import MarketStates
from settlement.ports import ExchangePort


async def next_turn() -> None:
    """Return in the loop's next turn."""
    await asyncio.sleep(0)


def routers_of(
    *,
    exchange: ExchangePort,
    entry: OrderEntry,
    market_data: MarketData,
    user_stream: UserStream,
    candles: Candles,
    states: MarketStates,
    channels: Channels,
    limits: RateLimits,
    metrics: Metrics,
    lifecycle: Lifecycle,
    sessions: SessionIssuer,
    keys: ApiKeys,
    session_keys: Mapping[bytes, HeldKey],
    clients: Clients,
    bounds: OutboxBounds,
    sockets_per_client: int,
    now_ns: Callable[[], int],
) -> tuple[APIRouter, ...]:
    """Return all routes of the dialect. ``session_keys`` are those in our keeping, by account."""
    desk = Desk(
        exchange=exchange,
        entry=entry,
        market_data=market_data,
        user_stream=user_stream,
        candles=candles,
        states=states,
        channels=channels,
        limits=limits,
        metrics=metrics,
        lifecycle=lifecycle,
        sessions=sessions,
        keys=keys,
        managed=ManagedKeys(exchange, session_keys),
        symbols=Symbols(exchange.catalog),
        bounds=bounds,
        now_ns=now_ns,
        orders_max=Limits().account_orders,
        turn=next_turn,
    )
    return router_of(desk, clients), sockets_of(desk, clients, sockets_per_client)
