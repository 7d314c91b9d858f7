"""Who asks for a shop, and how is it answered?

What all routes of shops share. What only reads rows does it on threads of the shops' own
(``Readers``): it takes milliseconds, and locks nothing.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Final, NamedTuple, ParamSpec, TypeVar

from fastapi import Depends, Path, Request, Response

from engine.types import Outcome
from gateway.api.v1.login import bearer_of, require_operator
from gateway.trading.rejection import Rejection
from merchants.records import rejection
from merchants.records.amounts import pips_of_decimal
from merchants.records.tables import Store
from merchants.service import Merchants
from settlement.protocol.eip712 import Domain

READERS_MAX: Final = 2
"""Threads; the database has connections for more, and the interpreter runs one at a time."""

MAKE: Final = (400, 401, 409, 413, 422, 429, 503)
READ: Final = (400, 401, 429)
FIND: Final = (400, 401, 404, 429)

Id = Annotated[str, Path(max_length=64)]

Answered = TypeVar("Answered")
Found = TypeVar("Found")
Given = ParamSpec("Given")


class Readers:
    """Few threads that read rows, so that one shop's long list holds up other shops alone."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(READERS_MAX, "shops")

    def ask(
        self, question: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Return what ``question`` finds."""
        asked = partial(question, *given, **named)
        return get_running_loop().run_in_executor(self._pool, asked)


class Shops(NamedTuple):
    """What the shops' routes answer from."""

    merchants: Merchants
    domain: Domain
    operator_token: str
    public_url: str
    readers: Readers

    async def known(self, request: Request) -> None:
        """Let the routes of ``request`` find us; a dependency of the router."""
        request.state.shops = self


async def shops_here(request: Request) -> Shops:
    """Return what ``merchants_router`` has put into the request."""
    shops = request.state.shops
    assert isinstance(shops, Shops), "merchants_router puts them there"
    return shops


Here = Annotated[Shops, Depends(shops_here)]


async def operator_only(request: Request, shops: Here) -> None:
    """Refuse everybody but the operator."""
    require_operator(request, shops.operator_token)


async def _caller(request: Request, shops: Here) -> Store:
    store = await shops.readers.ask(shops.merchants.stores.authenticate, bearer_of(request))
    if store is None:
        raise Rejection(Outcome.NOT_AUTHENTICATED, "no store has this API key")
    return store


Caller = Annotated[Store, Depends(_caller)]


async def _own_store(caller: Caller, store_id: Id) -> Store:
    if caller.id != store_id:
        raise Rejection(Outcome.NOT_FOUND)
    return caller


OwnStore = Annotated[Store, Depends(_own_store)]


def written_reply(reply: bytes | None) -> Response:
    """Return JSON that a reader's thread has written; NOT_FOUND where it found nothing."""
    if reply is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Response(reply, media_type="application/json")


def accepted(answer: Answered | rejection.Rejection) -> Answered:
    """Return the answer; raise it if it is a rejection."""
    if isinstance(answer, rejection.Rejection):
        raise Rejection(answer.outcome, figures=answer.detail)
    return answer


def amount_of(text: str, field: str) -> int:
    """Return the pips of a decimal amount; MALFORMED if it is none."""
    pips = pips_of_decimal(text)
    if pips is None:
        raise Rejection(Outcome.MALFORMED, f"{field} is no decimal amount", {field: text})
    return pips
