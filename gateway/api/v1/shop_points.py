"""Where does a shop sell without a program of its own? By pay buttons, and at a till.

A till has an API key that may make invoices and nothing else: one that can do more is refused here,
for the key stands in a link that a clerk opens.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from msgspec.json import encode

from engine.types import Outcome
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    Here,
    Id,
    Shops,
    accepted,
    having_own,
    holding,
    written_reply,
)
from gateway.api.v1.shop_point_schemas import (
    CreatePayButton,
    PayButtonReply,
    PayButtonsReply,
    TillSale,
    TillSaleReply,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.records.pay_buttons import PayButton
from merchants.records.tables import Store
from merchants.sales.asked import InvoiceRequest
from merchants.stores.api_keys import Holder
from merchants.stores.pay_buttons import ButtonRequest
from merchants.stores.scopes import CREATE_INVOICES, MODIFY_SETTINGS, VIEW_SETTINGS

Changed = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]
Seen = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
PAY_BUTTONS = "/stores/{store_id}/pay-buttons"

router = APIRouter(prefix="/v1", tags=["merchants"])


@router.post(
    PAY_BUTTONS,
    status_code=201,
    openapi_extra=documented(
        PayButtonReply,
        body=CreatePayButton,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def create_button(
    shops: Here, store: Changed, body: Annotated[CreatePayButton, Depends(body_of(CreatePayButton))]
) -> Response:
    """Make a pay button: one thing at one price, that whoever has its link may buy."""
    request = ButtonRequest(
        body.name, body.amount, body.currency, tuple(body.tokens), body.redirect_url
    )
    shops.limits.keeps(store.id)
    made = accepted(shops.merchants.stores.pay_buttons.make(store.id, request))
    return Answer(_reply(shops, made), 201)


@router.get(
    PAY_BUTTONS,
    openapi_extra=documented(PayButtonsReply, rejections=FIND, proof="store", scope=VIEW_SETTINGS),
)
async def list_buttons(shops: Here, store: Seen) -> Response:
    """Return the store's pay buttons that sell, the newest first."""

    def written() -> bytes:
        found = shops.merchants.stores.pay_buttons.of_store(store.id)
        return encode(PayButtonsReply([_reply(shops, button) for button in found]))

    return written_reply(await shops.readers.ask(written))


@router.delete(
    PAY_BUTTONS + "/{button_id}",
    openapi_extra=documented(PayButtonReply, rejections=FIND, proof="store", scope=MODIFY_SETTINGS),
)
async def end_button(shops: Here, store: Changed, button_id: Id) -> Response:
    """Let a pay button sell no more."""
    return Answer(
        _reply(shops, accepted(shops.merchants.stores.pay_buttons.end(store.id, button_id)))
    )


@router.post(
    "/till-sales",
    status_code=201,
    openapi_extra=documented(
        TillSaleReply,
        body=TillSale,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=CREATE_INVOICES,
    ),
)
async def sell_at_till(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(CREATE_INVOICES))],
    body: Annotated[TillSale, Depends(body_of(TillSale))],
) -> Response:
    """Make an invoice for what a clerk has typed; only with a key that may do nothing else."""
    if holder.scopes != {CREATE_INVOICES}:
        raise Rejection(
            Outcome.FORBIDDEN,
            f"a till takes a key with {CREATE_INVOICES} and nothing else",
            {"only": CREATE_INVOICES},
        )
    shops.limits.invoice(holder.store.id)
    request = sale_of(
        body.amount, body.currency, tuple(body.tokens), body.order_id, f"{shops.public_url}/pos"
    )
    made = accepted(shops.merchants.create_invoice(holder.store.id, request)).invoice
    return Answer(TillSaleReply(made.id, f"{shops.public_url}/checkout/{made.id}"), 201)


def sale_of(
    amount: str, currency: str, tokens: tuple[str, ...], order_id: str, redirect_url: str
) -> InvoiceRequest:
    """Return what to make an invoice of: the same thing is sold again and again."""
    return InvoiceRequest(
        amount, currency, tokens, order_id, redirect_url=redirect_url, unique_order=False
    )


def _reply(shops: Shops, button: PayButton) -> PayButtonReply:
    return PayButtonReply(
        id=button.id,
        name=button.name,
        amount=button.amount,
        currency=button.currency,
        tokens=button.tokens.split(),
        redirect_url=button.redirect_url,
        url=f"{shops.public_url}/pay/{button.store_id}/{button.id}",
        created_at=button.created_ns // 10**9,
        ended_at=None if button.ended_ns is None else button.ended_ns // 10**9,
    )
