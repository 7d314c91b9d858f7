"""What is the web application made of?

``create_app`` puts it together from ``Services`` and nothing else: no module state, no
environment. The only ``except Exception`` of the project is here: what nobody foresaw becomes a
log line and a plain 500, and the process goes on. A client that hangs up is no fault: it happens
all day on bad networks, and is counted and no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

import orjson
import structlog
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.types import Outcome
from gateway.api.binance.mount import routers_of
from gateway.api.budget_headers import BudgetHeaders, note
from gateway.api.dependencies import charged, client_of, services_of, told
from gateway.api.direct_route import DirectRoutes
from gateway.api.services import Services
from gateway.api.v1 import (
    contracts,
    feeds,
    keys,
    markets,
    money,
    operations,
    order_verbs,
    settlement,
    trading,
)
from gateway.api.v1.asyncapi import document_of
from gateway.api.v1.openapi import schema_of
from gateway.api.v1.stream import route as stream
from gateway.api.v1.stream.connection import hanging_up
from gateway.api.v1.stream.snapshots import Snapshots
from gateway.api.v1.written import WrittenViews
from gateway.api.v1.written_feeds import WrittenFeeds
from gateway.http.body import BodyLimit
from gateway.http.cors import Cors
from gateway.http.lifecycle import Lifecycle
from gateway.http.metrics import Metrics
from gateway.http.mounting import mount
from gateway.http.problems import answer_of, internal_document, of_status, problem_response
from gateway.node.logs import brief
from gateway.pages import market as market_page
from gateway.pages.assets import assets
from gateway.trading.order_entry import Measures, OrderEntry
from gateway.trading.rejection import Rejection
from gateway.views.market_states import ExchangeState, StatusWatch, exchange_state

INTERNAL_FAULT = 1011

Charge = Callable[[HTTPConnection, Rejection | Response], Awaitable[Response]]
"""Charges whoever asked; returns the answer, or that his budget is spent."""


class LastResort:
    """ASGI middleware, outermost: counts requests, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.get_logger("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; never let an exception out."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(scope["method"], str(message["status"])).inc()
            await send(message)

        try:
            await self._app(scope, receive, noted if scope["type"] == "http" else send)
        except (ClientDisconnect, WebSocketDisconnect):
            self._metrics.hang_ups.inc()
        except Exception as error:
            self._metrics.faults.inc()
            # One line made here, not a traceback: what draws one would hold everybody up.
            self._log.error("fault", path=scope.get("path"), type=scope["type"], fault=brief(error))
            if scope["type"] == "websocket":
                with suppress(OSError, RuntimeError):  # It has gone, or was closed already.
                    await send({"type": "websocket.close", "code": INTERNAL_FAULT})
            elif scope["type"] == "http" and not begun:
                await problem_response(internal_document(), {})(scope, receive, noted)
            else:
                raise


def create_app(services: Services) -> FastAPI:
    """Return the ASGI application. ``app.state.lifecycle.drain()`` closes it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.order_entry.close()

    app = FastAPI(
        title="Tillbook",
        version=services.version,
        description="A non-custodial exchange: signed orders in, settled trades out. "
        "The stream is at /v1/stream. What stands at /api/v3, /ws and /ws-api/v3 for other "
        "exchanges' tools is not described here: its shape is theirs.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.order_entry = OrderEntry(
        services.exchange, services.limits, _measures(services.metrics)
    )
    app.state.written = WrittenViews(services.market_data, services.user_stream)
    app.state.feeds = WrittenFeeds(services.market_data, services.candles, services.market_states)
    app.state.status_watch = watch = StatusWatch(services.channels, lambda: _state(app))
    app.state.lifecycle = Lifecycle(watch.look)
    app.state.snapshots = Snapshots(services, app.state.written, app.state.feeds, watch)
    app.state.pages = {}
    # They are asked one after the other, so the one that is called most comes first.
    ours = (trading.router, order_verbs.router, markets.router, feeds.router, keys.router)
    rest = (money.router, settlement.router, contracts.router, operations.router, stream.router)
    # As they stand: included, each would be drawn up once more for each app.
    for router in (*ours, *rest, market_page.router, *_binance(app, services)):
        app.router.routes.extend(router.routes)
    for theirs in services.routers:
        mount(app, theirs, [Depends(charged), Depends(told)])
    app.openapi = lambda: schema_of(app)  # type: ignore[method-assign]
    app.state.openapi = cache(lambda: orjson.dumps(schema_of(app)))
    app.state.asyncapi = cache(lambda: orjson.dumps(document_of(services.version)))
    charge = _charging(services.metrics)
    rejected = answer_rejections(app, services.metrics, charge)
    _answer_strays(app, charge)
    app.add_middleware(DirectRoutes, endpoints=trading.DIRECT, rejected=rejected)
    app.add_middleware(BodyLimit, rejected=charge)
    app.add_middleware(Cors, charge=charge)
    app.add_middleware(BudgetHeaders)
    app.add_middleware(LastResort, metrics=services.metrics)
    return app


def write_documents(app: FastAPI) -> None:
    """Write now what ``app`` says of itself: it takes longer than any request may."""
    app.state.openapi()
    app.state.asyncapi()
    assets()


def _binance(app: FastAPI, services: Services) -> tuple[APIRouter, ...]:
    """Return the routes of the dialect for other exchanges' tools, where it has keys to go by."""
    if services.api_keys is None:
        return ()
    return routers_of(
        exchange=services.exchange,
        entry=app.state.order_entry,
        market_data=services.market_data,
        user_stream=services.user_stream,
        candles=services.candles,
        states=services.market_states,
        channels=services.channels,
        limits=services.limits,
        metrics=services.metrics,
        lifecycle=app.state.lifecycle,
        sessions=services.sessions,
        keys=services.api_keys,
        session_keys=services.session_keys,
        clients=services.clients,
        bounds=services.outbox_bounds,
        sockets_per_client=services.sockets_per_client,
        now_ns=services.now_ns,
    )


def _state(app: FastAPI) -> ExchangeState:
    """Return whether the exchange takes work now."""
    services: Services = app.state.services
    draining: bool = app.state.lifecycle.draining
    return exchange_state(services.not_ready(), services.restrictions(), draining=draining)


def _measures(metrics: Metrics) -> Measures:
    counter = cache(lambda outcome: metrics.orders.labels(outcome.name))
    return Measures(
        metrics.recovered,
        metrics.order_ack.observe,
        lambda outcome: counter(outcome).inc(),
    )


def _charging(metrics: Metrics) -> Charge:
    """Return what answers those whom no route took, so that none has charged them: a path made up
    is no cheaper than any other."""

    async def charge(asked: HTTPConnection, answer: Rejection | Response) -> Response:
        try:
            note(asked.scope, services_of(asked).limits.request(client_of(asked)).left)
        except Rejection as spent:
            metrics.rate_limited.inc()
            return answer_of(spent)
        return answer_of(answer) if isinstance(answer, Rejection) else answer

    return charge


def _answer_strays(app: FastAPI, charge: Charge) -> None:
    """Answer a WebSocket to a path that is not there; what else is stray ends in ``framework``."""
    otherwise = app.router.default

    async def stray(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await otherwise(scope, receive, send)
            return
        socket = WebSocket(scope, receive, send)
        answer = await charge(socket, Rejection(Outcome.NOT_FOUND, "the stream is at /v1/stream"))
        with hanging_up():
            await socket.send_denial_response(answer)

    app.router.default = stray


def answer_rejections(
    app: FastAPI, metrics: Metrics, charge: Charge
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Turn our rejections, and the framework's own, into problem documents; return what does so
    with ours."""

    async def rejected(_: Request, error: Exception) -> Response:
        assert isinstance(error, Rejection), "registered for Rejection"
        if error.outcome == Outcome.RATE_LIMITED:
            metrics.rate_limited.inc()
        return answer_of(error)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for HTTPException"
        document = of_status(error.status_code, error.detail)
        return await charge(request, problem_response(document, error.headers or {}))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError), "registered for it"
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer_of(Rejection(Outcome.MALFORMED, f"{where}: {first['msg']}"))

    app.add_exception_handler(Rejection, rejected)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, invalid)
    return rejected
