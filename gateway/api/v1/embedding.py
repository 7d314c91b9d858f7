"""Which sites may show a shop's checkout over their own pages?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.api.v1.embedding_schemas import EmbeddingBody
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import FIND, MAKE, Here, accepted, having_own
from gateway.http.body import body_of
from merchants.records.tables import Store
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS

router = APIRouter(prefix="/v1/stores/{store_id}/embedding", tags=["merchants"])

Reading = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
Changing = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]


@router.get(
    "",
    openapi_extra=documented(EmbeddingBody, rejections=FIND, proof="store", scope=VIEW_SETTINGS),
)
async def read_embedding(shops: Here, store: Reading) -> Response:
    """Return the sites that may show the store's checkout in a frame."""
    found = await shops.readers.ask(shops.merchants.stores.embeddings.of, store.id)
    return Answer(EmbeddingBody(list(found)))


@router.put(
    "",
    openapi_extra=documented(
        EmbeddingBody,
        body=EmbeddingBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def change_embedding(
    shops: Here, store: Changing, body: Annotated[EmbeddingBody, Depends(body_of(EmbeddingBody))]
) -> Response:
    """Let these sites show it, and no others."""
    kept = accepted(shops.merchants.stores.embeddings.change(store.id, body.origins))
    return Answer(EmbeddingBody(list(kept)))
