"""Who asks in BTCPay's words, and for which store?

With a store's API key, as ``Authorization: token``. Where a path names a store it has to be the
key's; the short paths, which name none, mean it.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request

from engine.types import Outcome
from gateway.api.greenfield.errors import GreenfieldRoute, NotThere
from gateway.api.key_holders import api_key_of, holder_of_key
from gateway.api.shop_readers import Readers
from gateway.http.clients import Clients
from gateway.trading.budgets import ShopLimits
from gateway.trading.rejection import Rejection
from merchants.service import Merchants
from merchants.stores.api_keys import Holder


class Greenfield(NamedTuple):
    """What the dialect's routes answer from. ``network`` stands in ids of payment methods, behind
    the token; ``public_url`` is where customers reach us."""

    merchants: Merchants
    public_url: str
    network: str
    readers: Readers
    limits: ShopLimits
    clients: Clients

    async def known(self, request: Request) -> None:
        """Let the routes of ``request`` find us; a dependency of the router."""
        request.state.greenfield = self


async def _here(request: Request) -> Greenfield:
    found = request.state.greenfield
    assert isinstance(found, Greenfield), "greenfield_router puts it there"
    return found


Here = Annotated[Greenfield, Depends(_here)]


async def holder_of(request: Request, here: Here) -> Holder:
    """Return who asks; each request is charged to his key, each wrong key to the address."""
    holder = await holder_of_key(
        request,
        api_key_of(request),
        keys=here.merchants.stores.keys,
        readers=here.readers,
        limits=here.limits,
        clients=here.clients,
        refusal="Authentication is required",
    )
    if request.path_params.get("store_id", holder.store.id) != holder.store.id:
        raise NotThere("store")
    return holder


AnyHolder = Annotated[Holder, Depends(holder_of)]


def holding(scope: str) -> Callable[[Holder], Awaitable[Holder]]:
    """Return a dependency that gives who asks, if he has ``scope``."""

    async def allowed(holder: AnyHolder) -> Holder:
        if not holder.may(scope):
            words = f"Insufficient API Permissions. Missing: {scope}"
            raise Rejection(Outcome.FORBIDDEN, words, {"missing": scope})
        return holder

    return allowed


def new_router() -> APIRouter:
    """Return a router of the dialect; it is in no document of ours, for its shape is theirs."""
    return APIRouter(prefix="/api/v1", route_class=GreenfieldRoute, include_in_schema=False)


Handler = Callable[..., Awaitable[object]]


def on_both(
    router: APIRouter, method: str, path: str, status: int = 200
) -> Callable[[Handler], Handler]:
    """Return a decorator that serves ``path`` behind ``/stores/{store_id}`` and by itself."""

    def add(handler: Handler) -> Handler:
        for place in (f"/stores/{{store_id}}{path}", path):
            router.add_api_route(place, handler, methods=[method], status_code=status)
        return handler

    return add
