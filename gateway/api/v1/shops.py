"""What can a shop ask for by REST?

Stores are made by the operator; everything else is asked for with a store's API key and shows
that store's objects only: another store's invoice does not exist.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from msgspec.json import encode

from engine.types import MONEY_MAX, Outcome
from gateway.api.budget_headers import note
from gateway.api.shop_readers import Readers
from gateway.api.v1 import (
    embedding,
    exception_policies,
    policies,
    reports,
    shop_applications,
    shop_confirmations,
    shop_grants,
    shop_keys,
    shop_lots,
    shop_points,
    shop_refunds,
    shop_requotes,
    shop_rescans,
    shop_webhooks,
)
from gateway.api.v1.encoding import address
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.people_access import Gate, Work
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    READ,
    Here,
    Id,
    Shops,
    accepted,
    amount_of,
    having,
    having_own,
    holding,
    holding_own,
    store_maker,
    written_reply,
)
from gateway.api.v1.shop_grants import SELLING, grant_replies
from gateway.api.v1.shop_schemas import (
    ChangeStore,
    ConversionsReply,
    CreateInvoice,
    CreateStore,
    EventsReply,
    GrantToSign,
    InvoiceReply,
    InvoicesReply,
    ReceiptsReply,
    StoreCreatedReply,
    StoreReply,
)
from gateway.http.body import body_of
from gateway.http.clients import Clients
from gateway.http.mounting import Together
from gateway.trading.budgets import SHOP_BUDGETS, ShopLimits
from gateway.trading.rejection import Rejection
from merchants.documents.native import InvoiceDocument
from merchants.documents.reader import INVOICES_MAX, PAGE_MAX
from merchants.documents.sums import CONVERSIONS_SHOWN
from merchants.people.roles import Person
from merchants.records.amounts import decimal_of_pips
from merchants.records.grants import Grant
from merchants.records.states import InvoiceState
from merchants.records.tables import Store
from merchants.sales.asked import InvoiceRequest
from merchants.service import Merchants, StoreOpened
from merchants.stores.api_keys import Holder
from merchants.stores.closing import why_shut
from merchants.stores.scopes import (
    CLOSE_STORE,
    CREATE_INVOICES,
    MODIFY_SETTINGS,
    VIEW_INVOICES,
    VIEW_SETTINGS,
)
from merchants.stores.stores import StoreChange, StoreRequest
from merchants.stores.typed import typed_grant
from merchants.webhooks.endpoints import EndpointRequest
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import Domain

METADATA_SIZE_MAX: Final = 4096
OwnSettings = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
InvoicesSeen = Annotated[Store, Depends(having(VIEW_INVOICES))]
InvoicesMade = Annotated[Store, Depends(having(CREATE_INVOICES))]

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]

router = APIRouter(prefix="/v1", tags=["merchants"])


def merchants_router(
    merchants: Merchants,
    domain: Domain,
    operator_token: str,
    public_url: str,
    gate: Gate | None = None,
    *,
    clients: Clients | None = None,
    limits: ShopLimits | None = None,
) -> Together:
    """Return the shops' routes. ``public_url`` is where customers reach us, without a slash at
    the end; ``domain`` is what grants are signed for; ``gate`` knows who is signed in, ``clients``
    the operator's proxies, ``limits`` are those of all dialects."""
    shops = Shops(
        *(merchants, domain, operator_token, public_url, Readers()),
        limits or ShopLimits(SHOP_BUDGETS),
        clients or Clients(),
        Work(),
        gate,
    )
    parts = (
        router,
        shop_grants.router,
        policies.router,
        exception_policies.router,
        shop_lots.router,
        shop_confirmations.router,
        embedding.router,
        shop_keys.router,
        shop_applications.router,
        shop_webhooks.router,
        shop_refunds.router,
        shop_requotes.router,
        shop_rescans.router,
        reports.router,
        shop_points.router,
    )
    return Together(parts, Depends(shops.known))


# Stores


@router.post(
    "/stores",
    status_code=201,
    openapi_extra=documented(
        StoreCreatedReply, body=CreateStore, status=201, rejections=(404, *MAKE), proof="operator"
    ),
)
async def create_store(
    shops: Here,
    maker: Annotated[Person | None, Depends(store_maker)],
    body: Annotated[CreateStore, Depends(body_of(CreateStore))],
) -> Response:
    """Make a store; the API key and the webhook secret are in this answer only. Who is signed in
    makes one for his own wallet, where the operator lets people sign up."""
    request = _store_request(body)._replace(made_by=maker.user_id if maker is not None else "")
    if maker is not None and not shops.merchants.people.is_wallet_of(maker, request.wallet):
        raise Rejection(Outcome.FORBIDDEN, "make a store for the wallet that you signed in with")
    if maker is not None:
        shops.limits.keeps(f"person {maker.user_id}")
    endpoint = EndpointRequest(body.webhook_url) if body.webhook_url else None
    made = accepted(shops.merchants.create_store(request, endpoint))
    if maker is not None:
        shops.merchants.people.own_stores(maker)
    grants = [
        GrantToSign(grant_id, decimal_of_pips(grant.floor_price), typed_grant(shops.domain, grant))
        for grant_id, grant in made.grants
    ]
    return Answer(StoreCreatedReply(made.store_id, made.api_key, _secret_of(made), grants), 201)


@router.get(
    "/stores/{store_id}",
    openapi_extra=documented(
        StoreReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_SETTINGS,
    ),
)
async def read_store(shops: Here, store: OwnSettings) -> Response:
    """Return the store and what its wallet has been asked to let us sell."""
    rows = await shops.readers.ask(shops.merchants.grants.of_store, store.id)
    return Answer(_store_reply(shops, store, rows))


@router.patch(
    "/stores/{store_id}",
    openapi_extra=documented(
        StoreReply,
        body=ChangeStore,
        rejections=(*FIND, 413),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def change_store(
    shops: Here,
    store: Annotated[Store, Depends(having_own(MODIFY_SETTINGS))],
    body: Annotated[ChangeStore, Depends(body_of(ChangeStore))],
) -> Response:
    """Change a store's settings: they hold for what is asked for from now on."""
    change = StoreChange(
        name=body.name,
        slippage_ppm=body.slippage_ppm,
        lifetime_s=body.invoice_lifetime_s,
        tolerance_ppm=body.tolerance_ppm,
        tolerance_pips=None if body.tolerance is None else amount_of(body.tolerance, "tolerance"),
        unique_orders=body.unique_order_ids,
        paused=None if body.accepts_invoices is None else not body.accepts_invoices,
    )
    changed = accepted(shops.merchants.stores.change(store.id, change))
    rows = await shops.readers.ask(shops.merchants.grants.of_store, store.id)
    return Answer(_store_reply(shops, changed, rows))


@router.delete(
    "/stores/{store_id}",
    openapi_extra=documented(
        StoreReply,
        rejections=(*FIND, 409),
        proof="store",
        scope=CLOSE_STORE,
    ),
)
async def close_store(
    shops: Here, mine: Annotated[Holder, Depends(holding_own(CLOSE_STORE))]
) -> Response:
    """Close a store: keys, pay buttons and webhooks end, its books stay for its owners. Refused
    while money is under way (``MORE_REMAINS``, with what); an owner confirms it
    (``store.close``)."""
    shops.limits.keeps(mine.store.id)
    closed = accepted(shops.merchants.closing.close(mine))
    rows = await shops.readers.ask(shops.merchants.grants.of_store, closed.id)
    return Answer(_store_reply(shops, closed, rows))


# Events


@router.get(
    "/events",
    openapi_extra=documented(
        EventsReply,
        rejections=READ,
        proof="store",
        scope=VIEW_INVOICES,
    ),
)
async def list_events(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(VIEW_INVOICES))],
    after: Annotated[int, Query(ge=0, le=MONEY_MAX)] = 0,
    limit: Limit = PAGE_MAX,
) -> Response:
    """Return what happened after a cursor: recovery for a shop that missed its webhooks. What is of
    no invoice is for who may see the store's settings."""
    of_invoices = not holder.may(VIEW_SETTINGS)

    def written() -> bytes:
        events = shops.merchants.reader.events_after(
            holder.store.id, after, limit, of_invoices=of_invoices
        )
        return encode(EventsReply(events, events[-1].id if events else after))

    return written_reply(await shops.readers.ask(written))


# Invoices


@router.post(
    "/invoices",
    status_code=201,
    openapi_extra=documented(
        InvoiceReply,
        body=CreateInvoice,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=CREATE_INVOICES,
    ),
)
async def create_invoice(
    request: Request,
    shops: Here,
    store: InvoicesMade,
    body: Annotated[CreateInvoice, Depends(body_of(CreateInvoice))],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Make an invoice at the present price; the same Idempotency-Key makes it once only."""
    note(request.scope, shops.limits.invoice(store.id).left)
    created = accepted(
        shops.merchants.create_invoice(store.id, _invoice_request(body), idempotency_key)
    )
    replayed = {"Idempotent-Replayed": "true"} if created.replayed else {}
    return Answer(_invoice_reply(shops, created.invoice), 201, replayed)


@router.get(
    "/invoices/{invoice_id}",
    openapi_extra=documented(
        InvoiceReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_INVOICES,
    ),
)
async def read_invoice(shops: Here, store: InvoicesSeen, invoice_id: Id) -> Response:
    """Return one invoice with its payments and its newest conversions."""

    def written() -> bytes | None:
        invoice = shops.merchants.reader.invoice(invoice_id, store.id)
        return None if invoice is None else encode(_invoice_reply(shops, invoice))

    return written_reply(await shops.readers.ask(written))


@router.get(
    "/invoices",
    openapi_extra=documented(
        InvoicesReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_INVOICES,
    ),
)
async def list_invoices(
    shops: Here,
    store: InvoicesSeen,
    order_id: Annotated[str | None, Query(max_length=128)] = None,
    status: InvoiceState | None = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=INVOICES_MAX)] = INVOICES_MAX,
) -> Response:
    """Return invoices, the newest first: those behind the invoice ``before``."""

    def written() -> bytes | None:
        found = shops.merchants.reader.list_invoices(
            store.id, order_id=order_id, state=status, before=before, limit=limit
        )
        if found is None:
            return None
        following = found[-1].id if len(found) == limit else None
        rows = [_invoice_reply(shops, invoice) for invoice in found]
        return encode(InvoicesReply(rows, following))

    return written_reply(await shops.readers.ask(written))


@router.get(
    "/invoices/{invoice_id}/conversions",
    openapi_extra=documented(
        ConversionsReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_INVOICES,
    ),
)
async def list_conversions(
    shops: Here,
    store: InvoicesSeen,
    invoice_id: Id,
    before: Annotated[str | None, Query(max_length=96)] = None,
    limit: Annotated[int, Query(ge=1, le=CONVERSIONS_SHOWN)] = CONVERSIONS_SHOWN,
) -> Response:
    """Return an invoice's conversions, the newest first: those behind ``before``."""

    def written() -> bytes | None:
        found = shops.merchants.reader.list_conversions(
            store.id, invoice_id, before=before, limit=limit
        )
        if found is None:
            return None
        return encode(ConversionsReply(found, found[-1].id if len(found) == limit else None))

    return written_reply(await shops.readers.ask(written))


@router.get(
    "/invoices/{invoice_id}/receipt",
    openapi_extra=documented(
        ReceiptsReply,
        rejections=FIND,
        proof="store",
        scope=VIEW_INVOICES,
    ),
)
async def read_receipt(shops: Here, store: InvoicesSeen, invoice_id: Id) -> Response:
    """Return proofs, checkable against the chain by anybody, of what the invoice's tokens were
    sold for. Empty until the first sale is in a batch."""
    sales = await shops.readers.ask(shops.merchants.reader.sales, invoice_id, store.id)
    if sales is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(ReceiptsReply(shops.merchants.reader.receipts(sales)))


def _secret_of(made: StoreOpened) -> str | None:
    return None if made.endpoint is None else made.endpoint.secret


def _store_request(body: CreateStore) -> StoreRequest:
    return StoreRequest(
        wallet=address(body.wallet, "wallet"),
        settle=body.settle,
        tokens=tuple(body.tokens),
        name=body.name,
        slippage_ppm=body.slippage_ppm,
        lifetime_s=body.invoice_lifetime_s,
        key_lifetime_s=body.key_lifetime_s,
        notional_cap=amount_of(body.notional_cap, "notional_cap") if body.notional_cap else None,
        floor_price=amount_of(body.floor_price, "floor_price") if body.floor_price else None,
        tolerance_ppm=body.tolerance_ppm,
        tolerance_pips=amount_of(body.tolerance, "tolerance"),
        unique_orders=body.unique_order_ids,
    )


def _store_reply(shops: Shops, store: Store, rows: list[Grant]) -> StoreReply:
    settle = shops.merchants.symbol_of(store.settle)
    grants = grant_replies(shops, rows)
    return StoreReply(
        id=store.id,
        name=store.name,
        wallet=checksum_address(store.wallet),
        settle=settle,
        tokens=[settle, *dict.fromkeys(g.token for g in grants if g.status in SELLING)],
        slippage_ppm=store.slippage_ppm,
        invoice_lifetime_s=store.lifetime_s,
        tolerance_ppm=store.tolerance_ppm,
        tolerance=decimal_of_pips(store.tolerance_pips),
        unique_order_ids=store.unique_orders,
        accepts_invoices=why_shut(store) is None,
        closed_at=None if store.closed_ns is None else store.closed_ns // 10**9,
        grants=grants,
    )


def _invoice_reply(shops: Shops, invoice: InvoiceDocument) -> InvoiceReply:
    fields = {name: getattr(invoice, name) for name in invoice.__struct_fields__}
    return InvoiceReply(**fields, checkout_url=f"{shops.public_url}/checkout/{invoice.id}")


def _invoice_request(body: CreateInvoice) -> InvoiceRequest:
    metadata = bytes(body.metadata)
    if not metadata.startswith(b"{") or len(metadata) > METADATA_SIZE_MAX:
        raise Rejection(
            Outcome.MALFORMED, f"metadata is a JSON object of at most {METADATA_SIZE_MAX} bytes"
        )
    return InvoiceRequest(
        amount=body.amount,
        currency=body.currency,
        tokens=tuple(body.tokens),
        order_id=body.order_id,
        metadata=metadata.decode(),
        redirect_url=body.redirect_url,
        unique_order=body.unique_order_id,
    )
