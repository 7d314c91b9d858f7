"""How does a client see what is left of its budgets?

Whoever charges a request notes it on the request; the answer, whatever it is, says so.
"""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.problems import budget_headers
from gateway.trading.budgets import Left

_NOTED: Final = "tillbook.budgets"


def note(scope: Scope, left: Left) -> None:
    """Let the answer to a request tell ``left``."""
    scope.setdefault(_NOTED, []).append(left)


class BudgetHeaders:
    """ASGI middleware: adds what was noted to the head of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        noted: list[Left] = []
        scope[_NOTED] = noted

        async def with_budgets(message: Message) -> None:
            if noted and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in budget_headers(noted).items():
                    headers.setdefault(name, value)
            await send(message)

        # A WebSocket's messages have no head; there are many, and each step in their way costs.
        await self._app(scope, receive, with_budgets if scope["type"] == "http" else send)
