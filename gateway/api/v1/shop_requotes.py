"""How does a shop let an expired invoice be paid after all?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import FIND, MAKE, Here, Id, accepted, having
from gateway.api.v1.shop_schemas import InvoiceReply
from merchants.records.tables import Store
from merchants.stores.scopes import MODIFY_INVOICES

router = APIRouter(prefix="/v1/invoices", tags=["merchants"])

Changing = Annotated[Store, Depends(having(MODIFY_INVOICES))]


@router.post(
    "/{invoice_id}/requote",
    openapi_extra=documented(
        InvoiceReply, rejections=(*FIND, *MAKE), proof="store", scope=MODIFY_INVOICES
    ),
)
async def requote(shops: Here, store: Changing, invoice_id: Id) -> Response:
    """Give an expired invoice new quotes and a new expiry; what came for it counts at them."""
    invoice = accepted(shops.merchants.requote(invoice_id, store.id))
    fields = {name: getattr(invoice, name) for name in invoice.__struct_fields__}
    reply = InvoiceReply(**fields, checkout_url=f"{shops.public_url}/checkout/{invoice.id}")
    return Answer(reply)
