"""How is the one route that traders call all day spared what the others can afford?

The framework resolves what a route asks for by type and hands the request through its routers, anew
for each, which costs more than the order itself. A direct route's endpoint takes the request and
returns the answer. It stands among the others, is described and refused like them, and is asked
before any of them.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.trading.rejection import Rejection

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route that asks for nothing but its request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


class DirectRoutes:
    """ASGI middleware, innermost of ours: asks direct routes before the framework looks for one."""

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Mapping[tuple[str, str], Endpoint],
        rejected: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        """``endpoints`` are by method and path; ``rejected`` answers a ``Rejection``, as it does
        for the framework."""
        self._app = app
        self._endpoints = endpoints
        self._rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        asked = (scope["method"], scope["path"]) if scope["type"] == "http" else ("", "")
        endpoint = self._endpoints.get(asked)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await endpoint(request)
        except Rejection as rejection:
            answer = await self._rejected(request, rejection)
        await answer(scope, receive, send)
