"""Invoices in BTCPay's words."""

from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Query, Response

from gateway.api.greenfield.doors import Greenfield, Here, holding, new_router, on_both
from gateway.api.greenfield.errors import Invalid, NotThere, accepted, json_answer
from gateway.api.greenfield.shapes import (
    Shape,
    invoice_shape,
    method_of,
    payment_methods,
    text_of,
    token_of,
)
from gateway.http.body import body_of
from merchants.documents.native import InvoiceDocument
from merchants.documents.reader import INVOICES_MAX
from merchants.records.states import InvoiceState
from merchants.sales.asked import InvoiceRequest, object_of
from merchants.stores.api_keys import Holder
from merchants.stores.invoice_notes import Noted
from merchants.stores.scopes import CREATE_INVOICES, MODIFY_INVOICES, VIEW_INVOICES, VIEW_SETTINGS

METADATA_SIZE_MAX: Final = 16_384
ORDER_ID_CHARS_MAX: Final = 128
SKIP_MAX: Final = 1_000
"""Further back nobody pages by number: each page would read all before it."""

STATES: Final = {
    "new": InvoiceState.NEW,
    "processing": InvoiceState.PROCESSING,
    "settled": InvoiceState.SETTLED,
    "expired": InvoiceState.EXPIRED,
    "invalid": InvoiceState.INVALID,
}

InvoiceId = Annotated[str, Path(max_length=64)]
Sees = Annotated[Holder, Depends(holding(VIEW_INVOICES))]
Makes = Annotated[Holder, Depends(holding(CREATE_INVOICES))]
Changes = Annotated[Holder, Depends(holding(MODIFY_INVOICES))]

NO_RAW: Final = msgspec.Raw(b"")


class Checkout(msgspec.Struct, rename="camel"):
    """What of the checkout may be asked for; all else is passed over."""

    redirect_url: str | None = msgspec.field(default=None, name="redirectURL")
    payment_methods: list[str] | None = None


class CreateInvoice(msgspec.Struct):
    """A new invoice."""

    amount: msgspec.Raw = NO_RAW
    currency: str | None = None
    metadata: msgspec.Raw = NO_RAW
    checkout: Checkout | None = None


class UpdateInvoice(msgspec.Struct):
    """An invoice's new metadata."""

    metadata: msgspec.Raw


class MarkInvoice(msgspec.Struct):
    """What an invoice is marked as by hand."""

    status: str


router = new_router()


async def _shape(here: Greenfield, document: InvoiceDocument) -> Shape:
    noted = await here.readers.ask(here.merchants.notes.of, [document.id])
    return invoice_shape(document, noted[document.id], here.public_url)


async def _found(here: Greenfield, holder: Holder, invoice_id: str) -> InvoiceDocument:
    found = await here.readers.ask(here.merchants.reader.invoice, invoice_id, holder.store.id)
    if found is None:
        raise NotThere("invoice")
    return found


@on_both(router, "POST", "/invoices")
async def create_invoice(
    here: Here, holder: Makes, body: Annotated[CreateInvoice, Depends(body_of(CreateInvoice))]
) -> Response:
    """Make an invoice."""
    here.limits.invoice(holder.store.id)
    request = _request_of(here, holder, body)
    made = accepted(here.merchants.create_invoice(holder.store.id, request))
    return json_answer(invoice_shape(made.invoice, Noted(), here.public_url))


def _request_of(here: Greenfield, holder: Holder, body: CreateInvoice) -> InvoiceRequest:
    amount = text_of(body.amount) if body.amount else ""
    if not amount or amount == "null":
        raise Invalid("amount", "An invoice without an amount is not supported")
    checkout = body.checkout or Checkout()
    metadata = _metadata(body.metadata)
    tokens = [token_of(method) for method in checkout.payment_methods or ()]
    return InvoiceRequest(
        amount=amount,
        currency=(body.currency or "").upper(),
        tokens=tuple(tokens),
        order_id=_order_id(metadata),
        metadata=metadata,
        redirect_url=checkout.redirect_url or "",
    )


def _metadata(raw: msgspec.Raw) -> str:
    """Return metadata as it came, an object; what is in it is the shop's business."""
    written = bytes(raw).strip()
    if not written or written == b"null":
        return "{}"
    if len(written) > METADATA_SIZE_MAX or object_of(written.decode()) is None:
        most = f"metadata is a JSON object of at most {METADATA_SIZE_MAX} bytes"
        raise Invalid("metadata", most)
    return written.decode()


def _order_id(metadata: str) -> str:
    """Return the order id in a shop's metadata; empty where there is none that fits."""
    found = (object_of(metadata) or {}).get("orderId")
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    return text if len(text) <= ORDER_ID_CHARS_MAX else ""


@on_both(router, "GET", "/invoices/{invoice_id}")
async def read_invoice(here: Here, holder: Sees, invoice_id: InvoiceId) -> Response:
    """Return one invoice."""
    return json_answer(await _shape(here, await _found(here, holder, invoice_id)))


@on_both(router, "GET", "/invoices")
async def list_invoices(
    here: Here,
    holder: Sees,
    order_id: Annotated[list[str] | None, Query(alias="orderId", max_length=25)] = None,
    status: Annotated[list[str] | None, Query(max_length=8)] = None,
    skip: Annotated[int, Query(ge=0, le=SKIP_MAX)] = 0,
    take: Annotated[int, Query(ge=0, le=INVOICES_MAX)] = INVOICES_MAX,
    include_archived: Annotated[bool, Query(alias="includeArchived")] = False,
) -> Response:
    """Return the store's invoices, the newest first; 25 at most."""
    wanted = {STATES.get(word.lower()) for word in status or ()}
    if None in wanted:
        raise Invalid("status", "There is no such status")
    states = frozenset(state for state in wanted if state is not None)

    def found() -> list[Shape]:
        documents = here.merchants.reader.invoices_at(
            holder.store.id, order_ids=order_id, states=states, skip=skip, take=take
        )
        noted = here.merchants.notes.of(one.id for one in documents)
        return [
            invoice_shape(one, noted[one.id], here.public_url)
            for one in documents
            if include_archived or not noted[one.id].archived
        ]

    return json_answer(await here.readers.ask(found))


@on_both(router, "PUT", "/invoices/{invoice_id}")
async def update_invoice(
    here: Here,
    holder: Changes,
    invoice_id: InvoiceId,
    body: Annotated[UpdateInvoice, Depends(body_of(UpdateInvoice))],
) -> Response:
    """Replace an invoice's metadata."""
    metadata = _metadata(body.metadata)
    if not here.merchants.notes.describe(holder.store.id, invoice_id, metadata):
        raise NotThere("invoice")
    return json_answer(await _shape(here, await _found(here, holder, invoice_id)))


@on_both(router, "DELETE", "/invoices/{invoice_id}")
async def archive_invoice(here: Here, holder: Changes, invoice_id: InvoiceId) -> Response:
    """Put an invoice away: lists show it no more."""
    _say(here, holder, invoice_id, archived=True)
    return json_answer({})


@on_both(router, "POST", "/invoices/{invoice_id}/unarchive")
async def unarchive_invoice(here: Here, holder: Changes, invoice_id: InvoiceId) -> Response:
    """Take an invoice back out."""
    _say(here, holder, invoice_id, archived=False)
    return json_answer(await _shape(here, await _found(here, holder, invoice_id)))


@on_both(router, "POST", "/invoices/{invoice_id}/status")
async def mark_invoice(
    here: Here,
    holder: Changes,
    invoice_id: InvoiceId,
    body: Annotated[MarkInvoice, Depends(body_of(MarkInvoice))],
) -> Response:
    """Mark an invoice by hand. That is the shop's word, kept with whose key said it: its money
    follows the rules as before."""
    marked = body.status.lower()
    marked = "settled" if marked == "complete" else marked
    if marked not in ("settled", "invalid"):
        raise Invalid("status", "An invoice is marked as Settled or as Invalid")
    _say(here, holder, invoice_id, marked=marked)
    return json_answer(await _shape(here, await _found(here, holder, invoice_id)))


def _say(
    here: Greenfield,
    holder: Holder,
    invoice_id: str,
    *,
    archived: bool | None = None,
    marked: str | None = None,
) -> None:
    said = here.merchants.notes.say(
        holder.store.id, invoice_id, holder.key_id, archived=archived, marked=marked
    )
    if not isinstance(said, Noted):
        raise NotThere("invoice")


@on_both(router, "GET", "/invoices/{invoice_id}/payment-methods")
async def read_payment_methods(here: Here, holder: Sees, invoice_id: InvoiceId) -> Response:
    """Return how an invoice may be paid."""
    return json_answer(payment_methods(await _found(here, holder, invoice_id), here.network))


@on_both(router, "POST", "/invoices/{invoice_id}/payment-methods/{method}/activate")
async def activate(here: Here, holder: Sees, invoice_id: InvoiceId, method: str) -> Response:
    """Do nothing: all payment methods are active from the start."""
    methods = payment_methods(await _found(here, holder, invoice_id), here.network)
    if all(token_of(one["paymentMethodId"]) != token_of(method) for one in methods):
        raise NotThere("payment-method")
    return json_answer({})


@on_both(router, "GET", "/payment-methods")
async def store_payment_methods(
    here: Here, holder: Annotated[Holder, Depends(holding(VIEW_SETTINGS))]
) -> Response:
    """Return what the store takes: a list, as from their version 2 on."""

    def found() -> list[Shape]:
        merchants, store = here.merchants, holder.store
        held = merchants.grants.held(merchants.grants.of_store(store.id))
        ready = {
            merchants.symbol_of(one.row.base)
            for one in held
            if merchants.grants.status_of(one) in ("approved", "live")
        }
        symbols = sorted({merchants.symbol_of(store.settle), *ready})
        return [
            {"paymentMethodId": method_of(symbol, here.network), "enabled": True, "config": None}
            for symbol in symbols
        ]

    return json_answer(await here.readers.ask(found))
