"""How do many routers share what has to be known before any of their requests is read?

A router that included them all could say it once, but FastAPI draws up every route anew for each
router around it, and a last time for the app: a fifth of a second of each start.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends


class Together(NamedTuple):
    """Routers of which every request is told ``known`` first."""

    routers: tuple[APIRouter, ...]
    known: Depends


def mount(app: FastAPI, what: APIRouter | Together, dependencies: Sequence[Depends] = ()) -> None:
    """Let ``app`` answer what ``what`` does; ``dependencies`` come before its own."""
    if isinstance(what, APIRouter):
        app.include_router(what, dependencies=dependencies)
        return
    for router in what.routers:
        app.include_router(router, dependencies=[*dependencies, what.known])
