"""How does a shop's wallet let it take another token, sell for longer or for more, or no more?

The wallet signs; nothing here can be done with an API key alone but to ask.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from gateway.api.v1.encoding import uint64, unhex
from gateway.api.v1.grant_schemas import (
    ApproveGrant,
    AskGrant,
    GrantReply,
    GrantsReply,
    TakeBackGrant,
)
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    Here,
    Id,
    Shops,
    accepted,
    amount_of,
    having_own,
)
from gateway.http.body import body_of
from merchants.records.amounts import decimal_of_pips
from merchants.records.grants import Grant
from merchants.records.tables import Store
from merchants.stores.grants import GrantHeld, GrantRequest, key_grant
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS
from merchants.stores.signers import Vouched
from merchants.stores.typed import typed_grant, typed_revocation
from settlement.protocol.checksum import checksum_address

SELLING: Final = frozenset({"approved", "live"})
"""States of a grant in which a store takes its token."""

Viewed = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
Changed = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]

CHANGE: Final = (400, 401, 403, 404, 409, 413, 422, 429)

router = APIRouter(prefix="/v1/stores/{store_id}/grants", tags=["merchants"])


@router.get(
    "",
    openapi_extra=documented(
        GrantsReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_SETTINGS,
    ),
)
async def list_grants(shops: Here, store: Viewed) -> Response:
    """Return what the wallet has been asked to let us sell, and what is left of it."""
    rows = await shops.readers.ask(shops.merchants.grants.of_store, store.id)
    return Answer(GrantsReply(grant_replies(shops, rows)))


@router.post(
    "",
    status_code=201,
    openapi_extra=documented(
        GrantReply,
        body=AskGrant,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def ask_grant(
    shops: Here, store: Changed, body: Annotated[AskGrant, Depends(body_of(AskGrant))]
) -> Response:
    """Make a grant for the wallet to sign. One for the same token that still waits for its
    signature is changed to these terms."""
    request = GrantRequest(
        token=body.token,
        key_lifetime_s=body.key_lifetime_s,
        notional_cap=amount_of(body.notional_cap, "notional_cap") if body.notional_cap else None,
        floor_price=amount_of(body.floor_price, "floor_price") if body.floor_price else None,
        same_key=body.same_key,
    )
    shops.limits.keeps(store.id)
    made = accepted(shops.merchants.grants.ask(store.id, request))
    return Answer(_reply(shops, made), 201)


@router.post(
    "/{grant_id}/approval",
    openapi_extra=documented(
        GrantReply,
        body=ApproveGrant,
        rejections=CHANGE,
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def approve(
    shops: Here,
    store: Changed,
    grant_id: Id,
    body: Annotated[ApproveGrant, Depends(body_of(ApproveGrant))],
) -> Response:
    """Take the wallet's signature over a grant; the contract gets it next."""
    signature, grants = unhex(body.signature), shops.merchants.grants
    vouched = await _vouched(shops, store, grant_id, signature)
    approved = accepted(grants.approve(store.id, grant_id, signature, vouched))
    return Answer(_reply(shops, approved))


async def _vouched(
    shops: Shops, store: Store, grant_id: str, signature: bytes, nonce: int | None = None
) -> Vouched | None:
    """Return what the store's wallet, if it is a contract, stands behind: asked once for what is
    kept, and so charged, for it is the operator's node that is asked."""
    known = shops.merchants.grants.is_by_key
    if await shops.readers.ask(known, store.id, grant_id, signature, nonce):
        return None
    shops.limits.keeps(store.id)
    ask = shops.merchants.grants.vouched
    return await shops.wallets.ask(ask, store.id, grant_id, signature, nonce)


@router.delete(
    "/{grant_id}",
    openapi_extra=documented(
        GrantReply,
        body=TakeBackGrant,
        rejections=CHANGE,
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def take_back(
    shops: Here,
    store: Changed,
    grant_id: Id,
    body: Annotated[TakeBackGrant, Depends(body_of(TakeBackGrant))],
) -> Response:
    """Take a session key back, by the wallet's signature: nothing more is sold with it from now on,
    and the contract hears of it next."""
    nonce, signature = uint64(body.nonce, "nonce"), unhex(body.signature)
    vouched = await _vouched(shops, store, grant_id, signature, nonce)
    grants = shops.merchants.grants
    gone = accepted(grants.take_back(store.id, grant_id, nonce, signature, vouched))
    return Answer(_reply(shops, gone))


def grant_replies(shops: Shops, rows: list[Grant]) -> list[GrantReply]:
    """Return grants as shops read them."""
    return [_row(shops, held) for held in shops.merchants.grants.held(rows)]


def _reply(shops: Shops, row: Grant) -> GrantReply:
    (reply,) = grant_replies(shops, [row])
    return reply


def _row(shops: Shops, held: GrantHeld) -> GrantReply:
    grants, row = shops.merchants.grants, held.row
    token = shops.merchants.symbol_of(row.base)
    ends = row.signature is not None and row.revoked_ns is None
    return GrantReply(
        id=row.id,
        token=token,
        market=f"{token}-{shops.merchants.symbol_of(row.quote)}",
        session_key=checksum_address(row.key_address),
        status=grants.status_of(held),
        floor_price=decimal_of_pips(row.floor_price),
        notional_cap=decimal_of_pips(row.notional_cap),
        notional_left=None if held.left is None else decimal_of_pips(held.left),
        expires_at=row.expiry,
        created_at=row.created_ns // 10**9,
        grant=typed_grant(shops.domain, key_grant(row)),
        revocation=typed_revocation(shops.domain, grants.revocation_of(row)) if ends else None,
    )
