"""What does a merchant see at ``/dashboard``?

A shell without a word about anybody: who is signed in is told by the API alone, to modules of ours.
So the page is the same for everybody and may be kept; nothing of it comes from another origin.
"""

from functools import cache
from string import Template

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from gateway.pages.assets import PAGES, assets
from gateway.pages.headers import headers
from gateway.pages.render import Html, fill


def dashboard_router(*, sandbox: bool) -> APIRouter:
    """Return the dashboard's page; in a ``sandbox`` its demo wallet is offered too."""
    router = APIRouter(include_in_schema=False)

    @router.get("/dashboard")
    async def page() -> HTMLResponse:
        """Show the shell."""
        return HTMLResponse(shell(sandbox=sandbox), headers=headers("no-cache"))

    return router


def shell(*, sandbox: bool, asks: str = "") -> Html:
    """Return the page; ``asks`` is what an application asks its user for, empty for nothing."""
    offered = "yes" if sandbox else "no"
    return fill(_shell(), version=assets().version, sandbox=offered, asks=asks)


@cache
def _shell() -> Template:
    return Template((PAGES / "dashboard.html").read_text())
