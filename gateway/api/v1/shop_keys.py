"""Which of a shop's programs have keys, and how does it make, replace and revoke one?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from msgspec.json import encode

from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    Here,
    Id,
    Shops,
    accepted,
    holding_own,
    written_reply,
)
from gateway.api.v1.shop_key_schemas import (
    ApiKeyMade,
    ApiKeyReply,
    ApiKeysReply,
    CreateKey,
    RotateKey,
)
from gateway.http.body import body_of
from merchants.records.api_keys import ApiKey
from merchants.stores.api_keys import PAGE_MAX, Holder, KeyMade
from merchants.stores.scopes import MODIFY_SETTINGS

Mine = Annotated[Holder, Depends(holding_own(MODIFY_SETTINGS))]

router = APIRouter(prefix="/v1/stores/{store_id}/api-keys", tags=["merchants"])


@router.get(
    "",
    openapi_extra=documented(ApiKeysReply, rejections=FIND, proof="store", scope=MODIFY_SETTINGS),
)
async def list_keys(
    shops: Here,
    mine: Mine,
    before: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
) -> Response:
    """Return the store's keys, the newest first: those behind the key ``before``."""

    def written() -> bytes | None:
        found = shops.merchants.stores.keys.of_store(mine.store.id, before, limit)
        if found is None:
            return None
        following = found[-1].id if len(found) == limit else None
        return encode(ApiKeysReply([ApiKeyReply(*_row(shops, row)) for row in found], following))

    return written_reply(await shops.readers.ask(written))


@router.post(
    "",
    status_code=201,
    openapi_extra=documented(
        ApiKeyMade,
        body=CreateKey,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def create_key(
    shops: Here, mine: Mine, body: Annotated[CreateKey, Depends(body_of(CreateKey))]
) -> Response:
    """Make a key; it is shown in this answer only."""
    shops.limits.keeps(mine.store.id)
    made = accepted(shops.merchants.stores.keys.make(mine, body.label, body.scopes))
    return Answer(_made(shops, made), 201)


@router.post(
    "/{key_id}/rotation",
    status_code=201,
    openapi_extra=documented(
        ApiKeyMade,
        body=RotateKey,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def rotate_key(
    shops: Here, mine: Mine, key_id: Id, body: Annotated[RotateKey, Depends(body_of(RotateKey))]
) -> Response:
    """Make a key like this one, which works for a while beside it and then no more."""
    shops.limits.keeps(mine.store.id)
    made = accepted(shops.merchants.stores.keys.replace(mine, key_id, body.former_lifetime_s))
    return Answer(_made(shops, made), 201)


@router.delete(
    "/{key_id}",
    openapi_extra=documented(ApiKeyReply, rejections=FIND, proof="store", scope=MODIFY_SETTINGS),
)
async def revoke_key(shops: Here, mine: Mine, key_id: Id) -> Response:
    """Let a key work no more, from the next request on."""
    row = accepted(shops.merchants.stores.keys.revoke(mine.store.id, key_id))
    return Answer(ApiKeyReply(*_row(shops, row)))


def _row(
    shops: Shops, row: ApiKey
) -> tuple[str, str, str, list[str], int, int | None, int | None, bool]:
    return (
        row.id,
        row.label,
        row.hint,
        row.scopes.split(" "),
        row.created_ns // 10**9,
        None if row.used_ns is None else row.used_ns // 10**9,
        None if row.ends_ns is None else row.ends_ns // 10**9,
        shops.merchants.stores.keys.works(row),
    )


def _made(shops: Shops, made: KeyMade) -> ApiKeyMade:
    return ApiKeyMade(*_row(shops, made.row), api_key=made.api_key)
