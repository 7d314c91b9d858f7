"""May a page of another site ask us from within a browser?

Yes, wherever it brings its own proof: what is public, what a wallet has signed, and what a bearer
token is sent along with, for no browser sends those by itself. The dashboard's cookie no browser
sends from another site (``SameSite``), and its routes ask where a request comes from.
The sandbox, the pages and the operator's routes are not meant for others and say nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX: Final = "/v1/"
DOCUMENTS: Final = frozenset({"/openapi.json", "/asyncapi.json"})
METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
EXPOSED: Final = ("RateLimit", "RateLimit-Policy", "Retry-After")
PREFLIGHT_SECONDS: Final = 600


class Cors:
    """ASGI middleware. A question that a browser asks beforehand is charged like any other."""

    def __init__(
        self, app: ASGIApp, charge: Callable[[HTTPConnection, Response], Awaitable[Response]]
    ) -> None:
        """``charge`` returns the answer, or that the budget of who asks is spent."""
        self._app = app
        self._charge = charge
        self._cors = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=METHODS,
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and say that its answer may be read."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path.startswith(PREFIX) or path in DOCUMENTS):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            answer = self._cors.preflight_response(request_headers=headers)
            answer = await self._charge(Request(scope, receive), answer)
            await answer(scope, receive, send)
            return
        await self._cors(scope, receive, send)
