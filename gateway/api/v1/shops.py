"""What can a shop ask for by REST?

Stores are made by the operator; everything else is asked for with a store's API key and shows
that store's objects only: another store's invoice does not exist. What only reads rows does it on
threads of the shops' own (``_Readers``): it takes milliseconds, and locks nothing.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Final, NamedTuple, ParamSpec, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from msgspec.json import encode

from engine.types import MONEY_MAX, Outcome
from gateway.api.v1.encoding import address
from gateway.api.v1.login import bearer_of, require_operator
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_schemas import (
    ApproveGrant,
    ConversionsReply,
    CreateInvoice,
    CreateStore,
    DeliveriesReply,
    DeliveryReply,
    EventsReply,
    InvoiceReply,
    InvoicesReply,
    ReceiptsReply,
    SecretReply,
    StoreCreatedReply,
    StoreReply,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.documents.native import InvoiceDocument
from merchants.documents.reader import INVOICES_MAX, PAGE_MAX
from merchants.documents.sums import CONVERSIONS_SHOWN
from merchants.records import rejection
from merchants.records.amounts import decimal_of_pips, pips_of_decimal
from merchants.records.states import InvoiceState
from merchants.records.tables import Delivery, Store
from merchants.sales.asked import InvoiceRequest
from merchants.service import Merchants
from merchants.stores.stores import StoreRequest, grant_of, typed_grant
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import Domain

METADATA_SIZE_MAX: Final = 4096
READERS_MAX: Final = 2
"""Threads; the database has connections for more, and the interpreter runs one at a time."""

MAKE: Final = (400, 401, 409, 413, 422, 429, 503)
READ: Final = (400, 401, 429)
FIND: Final = (400, 401, 404, 429)

Id = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]

Answered = TypeVar("Answered")
Found = TypeVar("Found")
Given = ParamSpec("Given")


class _Readers:
    """Few threads that read rows, so that one shop's long list holds up other shops alone."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(READERS_MAX, "shops")

    def ask(
        self, question: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Return what ``question`` finds."""
        asked = partial(question, *given, **named)
        return get_running_loop().run_in_executor(self._pool, asked)


class Shops(NamedTuple):
    """What the shops' routes answer from."""

    merchants: Merchants
    domain: Domain
    operator_token: str
    public_url: str
    readers: _Readers

    async def known(self, request: Request) -> None:
        """Let the routes of ``request`` find us; a dependency of the router."""
        request.state.shops = self


async def _shops(request: Request) -> Shops:
    shops = request.state.shops
    assert isinstance(shops, Shops), "merchants_router puts them there"
    return shops


Here = Annotated[Shops, Depends(_shops)]


async def _operator(request: Request, shops: Here) -> None:
    require_operator(request, shops.operator_token)


async def _caller(request: Request, shops: Here) -> Store:
    store = await shops.readers.ask(shops.merchants.stores.authenticate, bearer_of(request))
    if store is None:
        raise Rejection(Outcome.NOT_AUTHENTICATED, "no store has this API key")
    return store


Caller = Annotated[Store, Depends(_caller)]


async def _own_store(caller: Caller, store_id: Id) -> Store:
    if caller.id != store_id:
        raise Rejection(Outcome.NOT_FOUND)
    return caller


OwnStore = Annotated[Store, Depends(_own_store)]

router = APIRouter(prefix="/v1", tags=["merchants"])


def merchants_router(
    merchants: Merchants, domain: Domain, operator_token: str, public_url: str
) -> APIRouter:
    """Return the shops' routes. ``public_url`` is where customers reach us, without a slash at
    the end; ``domain`` is what grants are signed for."""
    shops = Shops(merchants, domain, operator_token, public_url, _Readers())
    mounted = APIRouter(dependencies=[Depends(shops.known)])
    mounted.include_router(router)
    return mounted


# Stores


@router.post(
    "/stores",
    status_code=201,
    dependencies=[Depends(_operator)],
    openapi_extra=documented(
        StoreCreatedReply, body=CreateStore, status=201, rejections=(404, *MAKE), proof="operator"
    ),
)
async def create_store(
    shops: Here, body: Annotated[CreateStore, Depends(body_of(CreateStore))]
) -> Response:
    """Make a store; the API key and the webhook secret are in this answer only."""
    store = _accepted(shops.merchants.create_store(_store_request(body)))
    grant = typed_grant(shops.domain, store.grant)
    floor_price = decimal_of_pips(store.grant.floor_price)
    reply = StoreCreatedReply(
        store.store_id, store.api_key, store.webhook_secret, floor_price, grant
    )
    return Answer(reply, 201)


@router.get(
    "/stores/{store_id}", openapi_extra=documented(StoreReply, rejections=FIND, proof="store")
)
async def read_store(shops: Here, store: OwnStore) -> Response:
    """Return the store and the grant its wallet has to sign."""
    return Answer(_store_reply(shops, store))


@router.post(
    "/stores/{store_id}/approval",
    openapi_extra=documented(StoreReply, body=ApproveGrant, rejections=(*FIND, 413), proof="store"),
)
async def approve(
    shops: Here, store: OwnStore, body: Annotated[ApproveGrant, Depends(body_of(ApproveGrant))]
) -> Response:
    """Take the wallet's signature over the grant; the contract gets it next."""
    signature = bytes.fromhex(body.signature[2:])
    approved = _accepted(shops.merchants.approve_conversion(store.id, signature))
    return Answer(_store_reply(shops, approved))


# Webhooks and events


@router.post(
    "/stores/{store_id}/webhook-secret",
    openapi_extra=documented(SecretReply, rejections=FIND, proof="store"),
)
async def rotate_secret(shops: Here, store: OwnStore) -> Response:
    """Make a new webhook secret; both are signed with until the next rotation.

    An endpoint that was given up because it answered 410 is sent to again.
    """
    return Answer(SecretReply(_accepted(shops.merchants.stores.rotate_webhook_secret(store.id))))


@router.get(
    "/stores/{store_id}/webhook-deliveries",
    openapi_extra=documented(DeliveriesReply, rejections=FIND, proof="store"),
)
async def list_deliveries(shops: Here, store: OwnStore, limit: Limit = PAGE_MAX) -> Response:
    """Return how the sending of this store's events goes."""

    def written() -> bytes:
        rows = shops.merchants.reader.webhook_deliveries(store.id, limit)
        return encode(DeliveriesReply([_delivery_reply(row) for row in rows]))

    return _written(await shops.readers.ask(written))


@router.get("/events", openapi_extra=documented(EventsReply, rejections=READ, proof="store"))
async def list_events(
    shops: Here,
    store: Caller,
    after: Annotated[int, Query(ge=0, le=MONEY_MAX)] = 0,
    limit: Limit = PAGE_MAX,
) -> Response:
    """Return what happened after a cursor: recovery for a shop that missed its webhooks."""

    def written() -> bytes:
        events = shops.merchants.reader.events_after(store.id, after, limit)
        return encode(EventsReply(events, events[-1].id if events else after))

    return _written(await shops.readers.ask(written))


# Invoices


@router.post(
    "/invoices",
    status_code=201,
    openapi_extra=documented(
        InvoiceReply, body=CreateInvoice, status=201, rejections=(404, *MAKE), proof="store"
    ),
)
async def create_invoice(
    shops: Here,
    store: Caller,
    body: Annotated[CreateInvoice, Depends(body_of(CreateInvoice))],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Make an invoice at the present price; the same Idempotency-Key makes it once only."""
    created = _accepted(
        shops.merchants.create_invoice(store.id, _invoice_request(body), idempotency_key)
    )
    replayed = {"Idempotent-Replayed": "true"} if created.replayed else {}
    return Answer(_invoice_reply(shops, created.invoice), 201, replayed)


@router.get(
    "/invoices/{invoice_id}", openapi_extra=documented(InvoiceReply, rejections=FIND, proof="store")
)
async def read_invoice(shops: Here, store: Caller, invoice_id: Id) -> Response:
    """Return one invoice with its payments and its newest conversions."""

    def written() -> bytes | None:
        invoice = shops.merchants.reader.invoice(invoice_id, store.id)
        return None if invoice is None else encode(_invoice_reply(shops, invoice))

    return _written(await shops.readers.ask(written))


@router.get("/invoices", openapi_extra=documented(InvoicesReply, rejections=FIND, proof="store"))
async def list_invoices(
    shops: Here,
    store: Caller,
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

    return _written(await shops.readers.ask(written))


@router.get(
    "/invoices/{invoice_id}/conversions",
    openapi_extra=documented(ConversionsReply, rejections=FIND, proof="store"),
)
async def list_conversions(
    shops: Here,
    store: Caller,
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

    return _written(await shops.readers.ask(written))


@router.get(
    "/invoices/{invoice_id}/receipt",
    openapi_extra=documented(ReceiptsReply, rejections=FIND, proof="store"),
)
async def read_receipt(shops: Here, store: Caller, invoice_id: Id) -> Response:
    """Return proofs, checkable against the chain by anybody, of what the invoice's tokens were
    sold for. Empty until the first sale is in a batch."""
    sales = await shops.readers.ask(shops.merchants.reader.sales, invoice_id, store.id)
    if sales is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(ReceiptsReply(shops.merchants.reader.receipts(sales)))


def _written(reply: bytes | None) -> Response:
    if reply is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Response(reply, media_type="application/json")


def _accepted(answer: Answered | rejection.Rejection) -> Answered:
    if isinstance(answer, rejection.Rejection):
        raise Rejection(answer.outcome, figures=answer.detail)
    return answer


def _amount(text: str, field: str) -> int:
    pips = pips_of_decimal(text)
    if pips is None:
        raise Rejection(Outcome.MALFORMED, f"{field} is no decimal amount", {field: text})
    return pips


def _store_request(body: CreateStore) -> StoreRequest:
    return StoreRequest(
        wallet=address(body.wallet, "wallet"),
        market=body.market,
        name=body.name,
        webhook_url=body.webhook_url,
        slippage_ppm=body.slippage_ppm,
        lifetime_s=body.invoice_lifetime_s,
        key_lifetime_s=body.key_lifetime_s,
        notional_cap=_amount(body.notional_cap, "notional_cap"),
        floor_price=_amount(body.floor_price, "floor_price") if body.floor_price else None,
        tolerance_ppm=body.tolerance_ppm,
        tolerance_pips=_amount(body.tolerance, "tolerance"),
    )


def _store_reply(shops: Shops, store: Store) -> StoreReply:
    notional_left = shops.merchants.notional_left(store)
    return StoreReply(
        id=store.id,
        name=store.name,
        wallet=checksum_address(store.wallet),
        session_key=checksum_address(store.key_address),
        approved=store.grant_signature is not None,
        webhook_url=store.webhook_url,
        webhook_enabled=store.webhook_enabled,
        floor_price=decimal_of_pips(store.grant_floor_price),
        slippage_ppm=store.slippage_ppm,
        tolerance_ppm=store.tolerance_ppm,
        tolerance=decimal_of_pips(store.tolerance_pips),
        notional_left=None if notional_left is None else decimal_of_pips(max(0, notional_left)),
        grant=typed_grant(shops.domain, grant_of(store)),
    )


def _invoice_reply(shops: Shops, invoice: InvoiceDocument) -> InvoiceReply:
    fields = {name: getattr(invoice, name) for name in invoice.__struct_fields__}
    return InvoiceReply(**fields, checkout_url=f"{shops.public_url}/checkout/{invoice.id}")


def _delivery_reply(row: Delivery) -> DeliveryReply:
    return DeliveryReply(
        event_id=row.event_id,
        webhook_id=row.event.webhook_id,
        type=row.event.type,
        invoice_id=row.invoice_id,
        status=row.state,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_ns // 10**9,
        last_status=row.last_status,
        last_error=row.last_error,
    )


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
