"""Stores, API keys and the server in BTCPay's words."""

from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Request, Response

from engine.types import PPM
from gateway.api.greenfield.doors import (
    AnyHolder,
    Greenfield,
    Here,
    holding,
    new_router,
)
from gateway.api.greenfield.errors import Invalid, NotThere, accepted, json_answer
from gateway.api.greenfield.shapes import WATCHED_S, Shape, method_of
from gateway.api.key_holders import api_key_of
from gateway.http.body import body_of
from merchants.records.amounts import decimal_of
from merchants.stores.api_keys import Holder
from merchants.stores.applications import permissions
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS

SPOKEN: Final = "2.0.0"
"""The version of BTCPay Server whose shapes these are; plugins ask for one that is new enough."""

PERCENT_DECIMALS: Final = 4
assert 10**PERCENT_DECIMALS * 100 == PPM, "a share in ppm is a percentage of four places"

Id = Annotated[str, Path(max_length=64)]
Settles = Annotated[Holder, Depends(holding(VIEW_SETTINGS))]
Changes = Annotated[Holder, Depends(holding(MODIFY_SETTINGS))]


class CreateApiKey(msgspec.Struct):
    """A new key; a permission may name a store behind a colon."""

    permissions: list[str]
    label: str = ""


router = new_router()


@router.get("/health")
async def health() -> Response:
    """Return whether the chain is read; what is not ready answers elsewhere."""
    return json_answer({"synchronized": True})


@router.get("/server/info")
async def server_info(here: Here, holder: AnyHolder) -> Response:
    """Return which shapes are spoken, and in what one is paid."""
    settle = here.merchants.symbol_of(holder.store.settle)
    answer = {
        "version": SPOKEN,
        "onion": None,
        "supportedPaymentMethods": [method_of(settle, here.network)],
        "fullySynched": True,
        "syncStatus": [],
    }
    return json_answer(answer)


def _store(here: Greenfield, holder: Holder) -> Shape:
    store = holder.store
    return {
        "id": store.id,
        "name": store.name,
        "website": None,
        "defaultCurrency": here.merchants.symbol_of(store.settle),
        "invoiceExpiration": store.lifetime_s,
        "monitoringExpiration": WATCHED_S,
        "speedPolicy": "MediumSpeed",
        "paymentTolerance": decimal_of(store.tolerance_ppm, PERCENT_DECIMALS),
        "anyoneCanCreateInvoice": False,
        "defaultPaymentMethod": method_of(here.merchants.symbol_of(store.settle), here.network),
        "networkFeeMode": "Never",
        "archived": False,
    }


@router.get("/stores")
async def list_stores(here: Here, holder: Settles) -> Response:
    """Return the one store whose key asks."""
    return json_answer([_store(here, holder)])


@router.get("/stores/{store_id}")
async def read_store(here: Here, holder: Settles) -> Response:
    """Return the store."""
    return json_answer(_store(here, holder))


@router.get("/api-keys/current")
async def current_key(request: Request, holder: AnyHolder) -> Response:
    """Return what the key that asks may do, with all that this includes."""
    named = sorted(scope for scope in holder.scopes if "." in scope)
    scopes = permissions(named, holder.store.id)
    return json_answer({"apiKey": api_key_of(request), "label": "", "permissions": scopes})


@router.delete("/api-keys/current")
async def end_current_key(request: Request, here: Here, holder: AnyHolder) -> Response:
    """Let the key that asks work no more."""
    accepted(here.merchants.stores.keys.revoke(holder.store.id, holder.key_id))
    return json_answer({"apiKey": api_key_of(request), "label": "", "permissions": []})


@router.post("/api-keys")
async def create_key(
    here: Here, holder: Changes, body: Annotated[CreateApiKey, Depends(body_of(CreateApiKey))]
) -> Response:
    """Make a key of the store; nobody gives what he has not got."""
    scopes = []
    for permission in body.permissions:
        scope, _, store_id = permission.partition(":")
        if store_id not in ("", holder.store.id):
            raise Invalid("permissions", f"The key is of another store than {store_id}")
        scopes.append(scope)
    here.limits.keeps(holder.store.id)
    made = accepted(here.merchants.stores.keys.make(holder, body.label[:64], scopes))
    answer = {"apiKey": made.api_key, "label": made.row.label, "permissions": body.permissions}
    return json_answer(answer)


@router.delete("/api-keys/{api_key}")
async def end_key(here: Here, holder: Changes, api_key: Id) -> Response:
    """Let a key of the store work no more; it is named by itself."""
    found = await here.readers.ask(here.merchants.stores.keys.authenticate, api_key)
    if found is None or found.store.id != holder.store.id:
        raise NotThere("api-key")
    accepted(here.merchants.stores.keys.revoke(holder.store.id, found.key_id))
    return json_answer({})
