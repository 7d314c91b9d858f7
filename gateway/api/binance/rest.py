"""How does the dialect meet HTTP?

Two routes for all of it, which look the request up in the table. An answer tells in the dialect's
own headers how much of the budgets is used; they are the house's budgets, in their windows.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api.binance import keys
from gateway.api.binance.desk import Desk
from gateway.api.binance.errors import (
    UNSUPPORTED,
    Code,
    Refused,
    document_of,
    of_rejection,
    refused,
)
from gateway.api.binance.params import Params, parsed
from gateway.api.binance.signing import payload_of_request
from gateway.api.binance.table import BY_PATH, Sealed, admit, charge
from gateway.http.clients import Clients
from gateway.trading.budgets import BudgetSpent, Left
from gateway.trading.rejection import Rejection

KEY_HEADER: Final = "x-mbx-apikey"
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
NOT_FOUND: Final = 404
KINDS: Final = {"request": "used-weight", "order": "order-count"}


class Answer(Response):
    """A JSON answer with what is used of the budgets."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None):
        super().__init__(msgspec.json.encode(content), status, headers)


def router_of(desk: Desk, clients: Clients) -> APIRouter:
    """Return the routes of the dialect over ``desk``."""
    router = APIRouter(include_in_schema=False)

    async def answer(request: Request) -> Response:
        return await _answer(desk, clients.of(request), request)

    for path in ("/api/v3/{path:path}", "/sapi/v1/{path:path}"):
        router.add_route(path, answer, methods=list(METHODS))
    return router


async def _answer(desk: Desk, client: str, request: Request) -> Response:
    left: list[Left] = []
    try:
        content = await _asked(desk, client, request, left)
    except Rejection as rejection:
        if isinstance(rejection, BudgetSpent):
            left.append(rejection.left)
            desk.metrics.rate_limited.inc()
        return _problem(of_rejection(rejection), left)
    except Refused as problem:
        return _problem(problem, left)
    return Answer(content, headers=used_headers(left))


async def _asked(desk: Desk, client: str, request: Request, left: list[Left]) -> Any:
    path = request.url.path
    operation = BY_PATH.get((request.method, path))
    if operation is None:
        left.append(desk.limits.request(client).left)
        if path == keys.PATH:
            return await keys.answer(desk, request)
        raise Refused(UNSUPPORTED._replace(status=NOT_FOUND))
    query = request.scope["query_string"].decode("latin-1")
    try:
        params = Params(parsed(query))
    except Refused:
        left.append(desk.limits.request(client).left)
        raise
    left.append(charge(desk, operation, params, client).left)
    body = await _form(request)
    if body:
        params = Params(parsed(query, body))
    sealed = Sealed(request.headers.get(KEY_HEADER, ""), (payload_of_request(query, body),))
    call = admit(operation, desk, params, client, sealed)
    try:
        found = operation.run(call)
        return await found if inspect.isawaitable(found) else found
    finally:
        left += call.charged


async def _form(request: Request) -> str:
    """Return the body as it was sent; forms are ASCII, percent-encoded."""
    if request.method == "GET":
        return ""
    body = await request.body()
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise refused(Code.ILLEGAL_CHARS, "Illegal characters found in the body.") from None


def used_headers(left: list[Left]) -> dict[str, str]:
    """Return how much is used of each budget that was charged."""
    headers = {}
    for budget in left:
        kind = KINDS.get(budget.kind)
        if kind is not None:
            used = str(budget.limit - budget.left)
            headers[f"x-mbx-{kind}-{budget.window_seconds}s"] = used
            if budget.kind == "request":
                headers[f"x-mbx-{kind}-1m"] = used
    return headers


def _problem(problem: Refused, left: list[Left]) -> Response:
    headers = used_headers(left)
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    return Answer(document_of(problem), problem.saying.status, headers)
