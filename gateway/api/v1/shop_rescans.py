"""How does a shop get what was paid to an address that is so old that nobody looks there?"""

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
    "/{invoice_id}/rescan",
    openapi_extra=documented(
        InvoiceReply, rejections=(*FIND, *MAKE), proof="store", scope=MODIFY_INVOICES
    ),
)
async def rescan(shops: Here, store: Changing, invoice_id: Id) -> Response:
    """Sweep what lies at the address of an invoice of more than thirty days ago and is worth its
    gas; what is found is booked with it some blocks later, as any late payment is. Fifty a day of a
    store."""
    shops.limits.rescan(store.id)
    rescans = shops.merchants.rescans
    old = accepted(rescans.ask(store.id, invoice_id))
    rescans.fetch(old, accepted(await shops.wallets.ask(rescans.lying, old)))
    invoice = await shops.readers.ask(shops.merchants.reader.invoice, invoice_id, store.id)
    assert invoice is not None, "it was found just now"
    fields = {name: getattr(invoice, name) for name in invoice.__struct_fields__}
    return Answer(InvoiceReply(**fields, checkout_url=f"{shops.public_url}/checkout/{invoice.id}"))
