"""Who asks for a shop, and how is it answered?

What all routes of shops share.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, NamedTuple, TypeVar

from fastapi import Depends, Path, Request, Response

from engine.types import Outcome
from gateway.api.budget_headers import note
from gateway.api.key_holders import api_key_of, holder_of_key
from gateway.api.shop_readers import Readers
from gateway.api.v1.login import bearer_of, require_operator
from gateway.api.v1.people_access import Gate, Work, same_origin, signed_in
from gateway.api.v1.people_shops import person_in_store
from gateway.http.clients import Clients
from gateway.trading.budgets import ShopLimits
from gateway.trading.rejection import Rejection
from merchants.people.roles import Person
from merchants.records import rejection
from merchants.records.amounts import pips_of_decimal
from merchants.records.tables import Store
from merchants.service import Merchants
from merchants.stores.api_keys import Holder
from merchants.stores.scopes import opened
from settlement.protocol.eip712 import Domain

MAKE: Final = (400, 401, 403, 409, 413, 422, 429, 503)
READ: Final = (400, 401, 403, 404, 429)
FIND: Final = (400, 401, 403, 404, 429)

Id = Annotated[str, Path(max_length=64)]

Answered = TypeVar("Answered")


class Shops(NamedTuple):
    """What the shops' routes answer from."""

    merchants: Merchants
    domain: Domain
    operator_token: str
    public_url: str
    readers: Readers
    limits: ShopLimits
    clients: Clients
    wallets: Work
    """Where the chain is asked: wallets that are contracts, and what lies at an address."""

    gate: Gate | None = None
    """Where people sign in who may ask without an API key; None: they may not."""

    async def known(self, request: Request) -> None:
        """Let the routes of ``request`` find us; a dependency of the router."""
        request.state.shops = self


async def shops_here(request: Request) -> Shops:
    """Return what ``merchants_router`` has put into the request."""
    shops = request.state.shops
    assert isinstance(shops, Shops), "merchants_router puts them there"
    return shops


Here = Annotated[Shops, Depends(shops_here)]


async def store_maker(request: Request, shops: Here) -> Person | None:
    """Return who is signed in and may make a store, None for the operator; refuse all others."""
    gate = shops.gate
    if gate is None or gate.cookie not in request.cookies or bearer_of(request):
        require_operator(request, shops.operator_token)
        return None
    await same_origin(request, gate)
    person = await signed_in(request, gate)
    if not gate.people.sign_up:
        raise Rejection(Outcome.FORBIDDEN, "here the operator makes stores")
    return person


async def _person(request: Request, shops: Shops, gate: Gate) -> Holder:
    """Return who is signed in as who asks; each request is charged to him."""
    actor, store = await person_in_store(request, gate)
    name = f"person {actor.person.user_id}"
    note(request.scope, shops.limits.request(name).left)
    scopes = opened(actor.scopes)
    return Holder(store, name, scopes, actor.person.user_id, by_session=True)


async def holder_of(request: Request, shops: Here) -> Holder:
    """Return who asks; each request is charged to his key, each wrong key to the address."""
    gate = shops.gate
    key = api_key_of(request)
    if gate is not None and not key and gate.cookie in request.cookies:
        return await _person(request, shops, gate)
    return await holder_of_key(
        request,
        key,
        keys=shops.merchants.stores.keys,
        readers=shops.readers,
        limits=shops.limits,
        clients=shops.clients,
    )


AnyHolder = Annotated[Holder, Depends(holder_of)]


def holding(scope: str) -> Callable[[Holder], Awaitable[Holder]]:
    """Return a dependency that gives who asks, if he has ``scope``."""

    async def allowed(holder: AnyHolder) -> Holder:
        if not holder.may(scope):
            raise Rejection(
                Outcome.FORBIDDEN, f"this takes the permission {scope}", {"missing": scope}
            )
        return holder

    return allowed


def having(scope: str) -> Callable[[Holder], Awaitable[Store]]:
    """Return a dependency that gives the store of who asks, if he has ``scope``."""

    async def allowed(holder: Annotated[Holder, Depends(holding(scope))]) -> Store:
        return holder.store

    return allowed


def holding_own(scope: str) -> Callable[[Holder, str], Awaitable[Holder]]:
    """Return a dependency that gives who asks, if the path's store is his and he has ``scope``."""

    async def allowed(holder: Annotated[Holder, Depends(holding(scope))], store_id: Id) -> Holder:
        if holder.store.id != store_id:
            raise Rejection(Outcome.NOT_FOUND)
        return holder

    return allowed


def having_own(scope: str) -> Callable[[Holder], Awaitable[Store]]:
    """Return a dependency that gives the path's store, if it is his who asks and has ``scope``."""

    async def allowed(holder: Annotated[Holder, Depends(holding_own(scope))]) -> Store:
        return holder.store

    return allowed


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
