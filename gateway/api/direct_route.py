"""How is the one route that traders call all day spared what the others can afford?

The framework resolves what a route asks for by type, anew for each request, which costs more than
the order itself. A direct route's endpoint takes the request and returns the answer; it is charged,
described and refused like any other, by calling what the others depend on.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route that asks for nothing but its request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler
