"""Stores, API keys and the server in BTCPay's words."""

from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Request, Response

from engine.types import PPM, Outcome
from gateway.api.greenfield.doors import (
    AnyHolder,
    Greenfield,
    Here,
    holding,
    new_router,
)
from gateway.api.greenfield.errors import Invalid, NotThere, accepted, json_answer
from gateway.api.greenfield.shapes import PIPS_A_PPM, WATCHED_S, Shape, method_of, text_of
from gateway.api.key_holders import api_key_of
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.records.amounts import decimal_of, pips_of_decimal
from merchants.stores.api_keys import Holder
from merchants.stores.applications import permissions
from merchants.stores.bounds import (
    LIFETIME_S_LEAST,
    LIFETIME_S_MOST,
    NAME_CHARS_MAX,
    TOLERANCE_PPM_MAX,
)
from merchants.stores.scopes import CLOSE_STORE, MODIFY_SETTINGS, VIEW_SETTINGS
from merchants.stores.stores import StoreChange

SPOKEN: Final = "2.0.0"
"""The version of BTCPay Server whose shapes these are; plugins ask for one that is new enough."""

PERCENT_DECIMALS: Final = 4
assert 10**PERCENT_DECIMALS * 100 == PPM, "a share in ppm is a percentage of four places"

NO_RAW: Final = msgspec.Raw(b"")

Id = Annotated[str, Path(max_length=64)]
Settles = Annotated[Holder, Depends(holding(VIEW_SETTINGS))]
Closes = Annotated[Holder, Depends(holding(CLOSE_STORE))]
Changes = Annotated[Holder, Depends(holding(MODIFY_SETTINGS))]


class CreateApiKey(msgspec.Struct):
    """A new key; a permission may name a store behind a colon."""

    permissions: list[str]
    label: str = ""


class UpdateStore(msgspec.Struct, rename="camel"):
    """A store as it is to be."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)] | None = None
    invoice_expiration: (
        Annotated[int, msgspec.Meta(ge=LIFETIME_S_LEAST, le=LIFETIME_S_MOST)] | None
    ) = None
    payment_tolerance: msgspec.Raw = NO_RAW
    default_currency: str | None = None
    monitoring_expiration: int | None = None
    speed_policy: str | None = None
    anyone_can_create_invoice: bool | None = None
    default_payment_method: str | None = None
    network_fee_mode: str | None = None
    archived: bool | None = None
    website: str | None = None


FIXED: Final = {
    "defaultCurrency": "default_currency",
    "monitoringExpiration": "monitoring_expiration",
    "speedPolicy": "speed_policy",
    "anyoneCanCreateInvoice": "anyone_can_create_invoice",
    "defaultPaymentMethod": "default_payment_method",
    "networkFeeMode": "network_fee_mode",
    "archived": "archived",
    "website": "website",
}
"""What a store has and cannot change here, by its two names."""

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
        # A number, as theirs is, and yet no float: its digits are written as they are.
        "paymentTolerance": msgspec.Raw(decimal_of(store.tolerance_ppm, PERCENT_DECIMALS).encode()),
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


@router.post("/stores")
async def create_store(holder: Changes) -> Response:
    """Refuse: a store is its wallet's, which signs what may be sold for it."""
    words = "A wallet signs for a store: make it in the dashboard"
    raise Rejection(Outcome.FORBIDDEN, words)


@router.put("/stores/{store_id}")
async def update_store(
    here: Here, holder: Changes, body: Annotated[UpdateStore, Depends(body_of(UpdateStore))]
) -> Response:
    """Change the store's name, how long its invoices wait and what may be missing of a price.

    Clients send back all that they have read: what stands is passed over, what would be otherwise
    and cannot is refused.
    """
    for path, there in _store(here, holder).items():
        said = getattr(body, FIXED.get(path, ""), None)
        if said is not None and said != there:
            raise Invalid(path, f"It is {there} here and is not changed so")
    change = StoreChange(
        name=body.name,
        lifetime_s=body.invoice_expiration,
        tolerance_ppm=_share(body.payment_tolerance),
    )
    here.limits.keeps(holder.store.id)
    store = accepted(here.merchants.stores.change(holder.store.id, change))
    return json_answer(_store(here, holder._replace(store=store)))


@router.delete("/stores/{store_id}")
async def delete_store(here: Here, holder: Closes) -> Response:
    """Close the store: it sells nothing more, its books stay. Refused while money is under way."""
    here.limits.keeps(holder.store.id)
    accepted(here.merchants.closing.close(holder))
    return json_answer({})


def _share(raw: msgspec.Raw) -> int | None:
    """Return a percentage in ppm; None where none is said."""
    written = text_of(raw) if raw else ""
    if written in ("", "null"):
        return None
    pips = pips_of_decimal(written)
    if pips is None or pips > TOLERANCE_PPM_MAX * PIPS_A_PPM or pips % PIPS_A_PPM:
        raise Invalid("paymentTolerance", "A percentage from 0 to 10, of four decimals at most")
    return pips // PIPS_A_PPM


@router.get("/api-keys/current")
async def current_key(request: Request, here: Here, holder: AnyHolder) -> Response:
    """Return what the key that asks may do, with all that this includes."""
    named = sorted(scope for scope in holder.scopes if "." in scope)
    scopes = permissions(named, holder.store.id)
    label = await here.readers.ask(here.merchants.stores.keys.label_of, holder.key_id)
    return json_answer({"apiKey": api_key_of(request), "label": label, "permissions": scopes})


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
