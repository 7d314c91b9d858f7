"""How does an owner give an application a key of his store in the browser?

The page is ``/api-keys/authorize``; this is what it asks once he has confirmed exactly that.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.api.v1.application_schemas import ApplicationAuthorized, AuthorizeApplication
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import MAKE, Here, accepted, holding_own
from gateway.http.body import body_of
from merchants.stores.api_keys import Holder
from merchants.stores.applications import Wish, permissions
from merchants.stores.scopes import MODIFY_SETTINGS

Mine = Annotated[Holder, Depends(holding_own(MODIFY_SETTINGS))]

NEVER_KEPT = {"Cache-Control": "no-store"}

router = APIRouter(prefix="/v1/stores/{store_id}/applications", tags=["merchants"])


@router.post(
    "",
    status_code=201,
    openapi_extra=documented(
        ApplicationAuthorized,
        body=AuthorizeApplication,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def authorize_application(
    shops: Here,
    mine: Mine,
    body: Annotated[AuthorizeApplication, Depends(body_of(AuthorizeApplication))],
) -> Response:
    """Make a key for an application, in place of the one it has; it is shown in this answer only.

    A person confirms it (``api-key.authorize``).
    """
    shops.limits.keeps(mine.store.id)
    wish = Wish(body.application, body.identifier, body.redirect, tuple(body.scopes))
    made = accepted(shops.merchants.stores.applications.authorize(mine, wish))
    row = made.row
    scopes = row.scopes.split(" ")
    reply = ApplicationAuthorized(
        id=row.id,
        label=row.label,
        hint=row.hint,
        scopes=scopes,
        created_at=row.created_ns // 10**9,
        used_at=None,
        ends_at=None,
        works=True,
        api_key=made.api_key,
        permissions=permissions(scopes, mine.store.id),
    )
    return Answer(reply, 201, NEVER_KEPT)
