"""Where is a shop told of what happens, and how does the telling go?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Response
from msgspec.json import encode

from engine.types import MONEY_MAX, Outcome
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    Here,
    Id,
    Shops,
    accepted,
    having_own,
    written_reply,
)
from gateway.api.v1.webhook_schemas import (
    ChangeWebhook,
    CreateWebhook,
    DeliveriesReply,
    DeliveryReply,
    PingReply,
    SecretReply,
    WebhookMade,
    WebhookReply,
    WebhooksReply,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.documents.reader import PAGE_MAX
from merchants.records.endpoints import Delivery, Endpoint
from merchants.records.tables import Store
from merchants.stores.scopes import MODIFY_WEBHOOKS
from merchants.webhooks.endpoints import EndpointChange, EndpointRequest, types_of

Mine = Annotated[Store, Depends(having_own(MODIFY_WEBHOOKS))]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Before = Annotated[int | None, Query(ge=1, le=MONEY_MAX)]

CHANGE: Final = (400, 401, 403, 404, 413, 422, 429)

router = APIRouter(prefix="/v1/stores/{store_id}", tags=["merchants"])


@router.get(
    "/webhooks",
    openapi_extra=documented(WebhooksReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS),
)
async def list_webhooks(
    shops: Here,
    store: Mine,
    before: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = PAGE_MAX,
) -> Response:
    """Return the store's endpoints, the newest first: those behind the endpoint ``before``."""

    def written() -> bytes | None:
        found = shops.merchants.endpoints.of_store(store.id, before, limit)
        if found is None:
            return None
        following = found[-1].id if len(found) == limit else None
        return encode(WebhooksReply([_reply(row) for row in found], following))

    return written_reply(await shops.readers.ask(written))


@router.post(
    "/webhooks",
    status_code=201,
    openapi_extra=documented(
        WebhookMade,
        body=CreateWebhook,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_WEBHOOKS,
    ),
)
async def create_webhook(
    shops: Here, store: Mine, body: Annotated[CreateWebhook, Depends(body_of(CreateWebhook))]
) -> Response:
    """Make an endpoint; its secret is in this answer only."""
    request = EndpointRequest(body.url, tuple(body.event_types), body.format, body.enabled)
    shops.limits.keeps(store.id)
    made = accepted(shops.merchants.endpoints.add(store.id, request))
    fields = {name: getattr(_reply(made.row), name) for name in WebhookReply.__struct_fields__}
    return Answer(WebhookMade(**fields, secret=made.secret), 201)


@router.get(
    "/webhooks/{endpoint_id}",
    openapi_extra=documented(WebhookReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS),
)
async def read_webhook(shops: Here, store: Mine, endpoint_id: Id) -> Response:
    """Return an endpoint, and what it answered last."""
    row = await shops.readers.ask(shops.merchants.endpoints.read, store.id, endpoint_id)
    if row is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(_reply(row))


@router.patch(
    "/webhooks/{endpoint_id}",
    openapi_extra=documented(
        WebhookReply, body=ChangeWebhook, rejections=CHANGE, proof="store", scope=MODIFY_WEBHOOKS
    ),
)
async def change_webhook(
    shops: Here,
    store: Mine,
    endpoint_id: Id,
    body: Annotated[ChangeWebhook, Depends(body_of(ChangeWebhook))],
) -> Response:
    """Change an endpoint: what waits for it goes where it is now. ``enabled`` opens one again that
    was given up because it answered 410."""
    if body.enabled is False or (body.url, body.event_types, body.format) != (None, None, None):
        shops.limits.keeps(store.id)  # The others are told, and that is kept.
    types = None if body.event_types is None else tuple(body.event_types)
    change = EndpointChange(body.url, types, body.format, body.enabled)
    return Answer(_reply(accepted(shops.merchants.endpoints.change(store.id, endpoint_id, change))))


@router.delete(
    "/webhooks/{endpoint_id}",
    openapi_extra=documented(WebhookReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS),
)
async def delete_webhook(shops: Here, store: Mine, endpoint_id: Id) -> Response:
    """Send nothing more to an endpoint; what was sent stays in the lists."""
    return Answer(_reply(accepted(shops.merchants.endpoints.delete(store.id, endpoint_id))))


@router.post(
    "/webhooks/{endpoint_id}/secret",
    openapi_extra=documented(SecretReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS),
)
async def rotate_secret(shops: Here, store: Mine, endpoint_id: Id) -> Response:
    """Make a new secret; both are signed with until the next rotation."""
    shops.limits.keeps(store.id)
    secret = accepted(shops.merchants.endpoints.rotate_secret(store.id, endpoint_id))
    return Answer(SecretReply(secret))


@router.post(
    "/webhooks/{endpoint_id}/ping",
    openapi_extra=documented(PingReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS),
)
async def ping(shops: Here, store: Mine, endpoint_id: Id) -> Response:
    """Send an event that means nothing (``ping``), and say what is answered."""
    answer = accepted(await shops.merchants.endpoints.ping(store.id, endpoint_id))
    return Answer(PingReply(answer.status, answer.error))


@router.get(
    "/webhooks/{endpoint_id}/deliveries",
    openapi_extra=documented(
        DeliveriesReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS
    ),
)
async def list_deliveries_to(
    shops: Here, store: Mine, endpoint_id: Id, before: Before = None, limit: Limit = PAGE_MAX
) -> Response:
    """Return how the sending to one endpoint goes, the newest first: what is behind ``before``."""
    return await _deliveries(shops, store, endpoint_id, before, limit)


@router.get(
    "/webhook-deliveries",
    openapi_extra=documented(
        DeliveriesReply, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS
    ),
)
async def list_deliveries(
    shops: Here, store: Mine, before: Before = None, limit: Limit = PAGE_MAX
) -> Response:
    """Return how the sending of this store's events goes, the newest first."""
    return await _deliveries(shops, store, None, before, limit)


@router.post(
    "/webhook-deliveries/{delivery_id}/redelivery",
    status_code=201,
    openapi_extra=documented(
        DeliveryReply, status=201, rejections=FIND, proof="store", scope=MODIFY_WEBHOOKS
    ),
)
async def redeliver(
    shops: Here, store: Mine, delivery_id: Annotated[int, Path(ge=1, le=MONEY_MAX)]
) -> Response:
    """Send what was sent once more, with the same ``webhook-id``: another delivery."""
    return Answer(
        _delivery(accepted(shops.merchants.endpoints.redeliver(store.id, delivery_id))), 201
    )


async def _deliveries(
    shops: Shops, store: Store, endpoint_id: str | None, before: int | None, limit: int
) -> Response:
    def written() -> bytes:
        rows = shops.merchants.reader.webhook_deliveries(
            store.id, limit, endpoint_id=endpoint_id, before=before
        )
        following = rows[-1].id if len(rows) == limit else None
        return encode(DeliveriesReply([_delivery(row) for row in rows], following))

    return written_reply(await shops.readers.ask(written))


def _reply(row: Endpoint) -> WebhookReply:
    return WebhookReply(
        id=row.id,
        url=row.url,
        event_types=list(types_of(row)),
        format=row.format,
        enabled=row.enabled,
        why=row.why,
        created_at=row.created_ns // 10**9,
        last_answer_at=row.last_ns // 10**9 or None,
        last_status=row.last_status,
        last_error=row.last_error,
    )


def _delivery(row: Delivery) -> DeliveryReply:
    return DeliveryReply(
        id=row.id,
        endpoint_id=row.endpoint_id,
        first_id=row.first_id,
        event_id=row.event_id,
        webhook_id=row.event.webhook_id,
        type=row.event.type,
        invoice_id=row.event.invoice_id,
        status=row.state,
        attempts=row.attempts,
        created_at=row.created_ns // 10**9,
        next_attempt_at=row.next_attempt_ns // 10**9,
        last_status=row.last_status,
        last_error=row.last_error,
    )
