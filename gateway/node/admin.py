"""What is the operators' application made of, apart from the traders' own?

Another port, other tokens, another OpenAPI document. It refuses, measures and survives as the
traders' application does.
"""

from collections.abc import Awaitable, Callable

import orjson
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gateway.api.admin.documents import document_of
from gateway.api.admin.routes import open_router, router
from gateway.api.admin.services import AdminServices
from gateway.api.budget_headers import BudgetHeaders, note
from gateway.http.body import BodyLimit
from gateway.http.lifecycle import Lifecycle
from gateway.http.problems import answer_of
from gateway.node.app import LastResort, answer_rejections
from gateway.trading.budgets import Budgets
from gateway.trading.rejection import Rejection

ADMIN_BUDGETS = Budgets(window_seconds=10, requests_per_address=200)
"""An operator's script may be busy; who guesses tokens is not to be quick about it."""


def create_admin_app(services: AdminServices) -> FastAPI:
    """Return the ASGI application."""
    app = FastAPI(
        title="Tillbook, for operators",
        version=services.version,
        description="What an operator does to a running exchange. Every action is a command in the "
        "log, beside which stand the name of the token and the reason.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.lifecycle = Lifecycle()
    app.include_router(open_router)
    app.include_router(router)
    app.state.document = orjson.dumps(document_of(app))
    charge = _charging(services)
    answer_rejections(app, services.metrics, charge)
    app.add_middleware(BodyLimit, rejected=charge)
    app.add_middleware(BudgetHeaders)
    app.add_middleware(LastResort, metrics=services.metrics)
    return app


def _charging(
    services: AdminServices,
) -> Callable[[HTTPConnection, Rejection | Response], Awaitable[Response]]:
    """Return what answers those whom no route took."""

    async def charge(asked: HTTPConnection, answer: Rejection | Response) -> Response:
        try:
            note(asked.scope, services.limits.request(services.clients.of(asked)).left)
        except Rejection as spent:
            services.metrics.rate_limited.inc()
            return answer_of(spent)
        return answer_of(answer) if isinstance(answer, Rejection) else answer

    return charge
