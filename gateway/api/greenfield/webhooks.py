"""Webhooks and their deliveries in BTCPay's words."""

from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Query, Response

from engine.types import Outcome
from gateway.api.greenfield.doors import Greenfield, Here, holding, new_router, on_both
from gateway.api.greenfield.errors import Invalid, NotThere, accepted, json_answer
from gateway.api.greenfield.shapes import Shape
from gateway.http.body import body_of
from merchants.documents.reader import PAGE_MAX
from merchants.records import rejection
from merchants.records.endpoints import Delivery, Endpoint
from merchants.records.states import DeliveryState
from merchants.stores.api_keys import Holder
from merchants.stores.scopes import MODIFY_WEBHOOKS
from merchants.webhooks.deliver import message_of
from merchants.webhooks.endpoints import EndpointChange, EndpointRequest, types_of
from merchants.webhooks.formats import FORMATS, GREENFIELD
from merchants.webhooks.greenfield_words import names_of, types_named

DELIVERY: Final = {
    DeliveryState.PENDING: "Pending",
    DeliveryState.RETRYING: "Failed",
    DeliveryState.DELIVERED: "HttpSuccess",
    DeliveryState.DEAD: "Failed",
}

Id = Annotated[str, Path(max_length=64)]
Number = Annotated[str, Path(max_length=20)]
Changes = Annotated[Holder, Depends(holding(MODIFY_WEBHOOKS))]


class AuthorizedEvents(msgspec.Struct, rename="camel"):
    """Which events: all that there are words for, or those that are named."""

    everything: bool = True
    specific_events: list[str] = msgspec.field(default_factory=list)


class SetWebhook(msgspec.Struct, rename="camel"):
    """A webhook as it is to be. A ``secret`` that is sent is passed over: ours are drawn."""

    url: str
    enabled: bool = True
    automatic_redelivery: bool = True
    authorized_events: AuthorizedEvents = msgspec.field(default_factory=AuthorizedEvents)


router = new_router()
PLACE: Final = "/webhooks"


def _types(events: AuthorizedEvents) -> tuple[str, ...]:
    if events.everything:
        return ()
    types = types_named(events.specific_events)
    if not types:
        raise Invalid("authorizedEvents.specificEvents", "There is no event among these")
    return types


def _shape(row: Endpoint) -> Shape:
    types = types_of(row)
    return {
        "id": row.id,
        "enabled": row.enabled,
        "automaticRedelivery": True,
        "url": row.url,
        "authorizedEvents": {"everything": not types, "specificEvents": names_of(types)},
    }


@on_both(router, "GET", PLACE)
async def list_webhooks(here: Here, holder: Changes) -> Response:
    """Return the store's webhooks, those in our own words too."""
    rows = await here.readers.ask(here.merchants.endpoints.of_store, holder.store.id)
    return json_answer([_shape(row) for row in rows or ()])


@on_both(router, "POST", PLACE)
async def create_webhook(
    here: Here, holder: Changes, body: Annotated[SetWebhook, Depends(body_of(SetWebhook))]
) -> Response:
    """Make a webhook; its secret is in this answer only, whether the caller sent one or not."""
    types = _types(body.authorized_events)
    request = EndpointRequest(body.url, types, GREENFIELD, body.enabled)
    here.limits.keeps(holder.store.id)
    made = accepted(here.merchants.endpoints.add(holder.store.id, request))
    return json_answer(_shape(made.row) | {"secret": made.secret})


@on_both(router, "GET", PLACE + "/{webhook_id}")
async def read_webhook(here: Here, holder: Changes, webhook_id: Id) -> Response:
    """Return one webhook."""
    return json_answer(_shape(await _found(here, holder, webhook_id)))


async def _found(here: Greenfield, holder: Holder, webhook_id: str) -> Endpoint:
    read = here.merchants.endpoints.read
    row = await here.readers.ask(read, holder.store.id, webhook_id)
    if row is None:
        raise NotThere("webhook")
    return row


@on_both(router, "PUT", PLACE + "/{webhook_id}")
async def update_webhook(
    here: Here,
    holder: Changes,
    webhook_id: Id,
    body: Annotated[SetWebhook, Depends(body_of(SetWebhook))],
) -> Response:
    """Change a webhook."""
    found, types = await _found(here, holder, webhook_id), _types(body.authorized_events)
    is_same = (body.url, sorted(set(types))) == (found.url, sorted(types_of(found)))
    if not body.enabled or not is_same:
        here.limits.keeps(holder.store.id)  # The others are told, and that is kept.
    change = EndpointChange(body.url, types, None, body.enabled)
    changed = accepted(here.merchants.endpoints.change(holder.store.id, webhook_id, change))
    return json_answer(_shape(changed))


@on_both(router, "DELETE", PLACE + "/{webhook_id}")
async def delete_webhook(here: Here, holder: Changes, webhook_id: Id) -> Response:
    """Send nothing more there."""
    await _found(here, holder, webhook_id)
    accepted(here.merchants.endpoints.delete(holder.store.id, webhook_id))
    return json_answer({})


@on_both(router, "GET", PLACE + "/{webhook_id}/deliveries")
async def list_deliveries(
    here: Here,
    holder: Changes,
    webhook_id: Id,
    count: Annotated[int, Query(ge=0, le=PAGE_MAX)] = PAGE_MAX,
) -> Response:
    """Return the newest deliveries of a webhook."""
    await _found(here, holder, webhook_id)
    ask = here.merchants.reader.webhook_deliveries
    rows = await here.readers.ask(ask, holder.store.id, count, endpoint_id=webhook_id)
    return json_answer([_delivery(row) for row in rows])


def _delivery(row: Delivery) -> Shape:
    status = DELIVERY[row.state]
    if status == "Failed" and row.last_status:
        status = "HttpError"
    return {
        "id": str(row.id),
        "timestamp": row.created_ns // 10**9,
        "httpCode": row.last_status or None,
        "errorMessage": row.last_error or None,
        "status": status,
    }


async def _sent(here: Greenfield, holder: Holder, webhook_id: str, name: str) -> Delivery:
    """Return one delivery of a webhook."""
    await _found(here, holder, webhook_id)
    number = int(name) if name.isascii() and name.isdigit() else 0
    ask = here.merchants.reader.webhook_deliveries
    behind = number + 1 if number < 2**62 else 1
    rows = await here.readers.ask(ask, holder.store.id, 1, endpoint_id=webhook_id, before=behind)
    if not rows or rows[0].id != number:
        raise NotThere("webhookdelivery")
    return rows[0]


@on_both(router, "GET", PLACE + "/{webhook_id}/deliveries/{delivery_id}")
async def read_delivery(
    here: Here, holder: Changes, webhook_id: Id, delivery_id: Number
) -> Response:
    """Return one delivery."""
    return json_answer(_delivery(await _sent(here, holder, webhook_id, delivery_id)))


@on_both(router, "GET", PLACE + "/{webhook_id}/deliveries/{delivery_id}/request")
async def read_delivery_request(
    here: Here, holder: Changes, webhook_id: Id, delivery_id: Number
) -> Response:
    """Return the body that was sent."""
    row = await _sent(here, holder, webhook_id, delivery_id)
    endpoint = await _found(here, holder, webhook_id)
    message = message_of(row)
    if not FORMATS[endpoint.format].tells(message.type):
        raise NotThere("webhookdelivery")
    encoded = FORMATS[endpoint.format].encode(message, endpoint.secrets.split(" "), 0)
    return Response(encoded.body, media_type="application/json")


@on_both(router, "POST", PLACE + "/{webhook_id}/deliveries/{delivery_id}/redeliver")
async def redeliver(here: Here, holder: Changes, webhook_id: Id, delivery_id: Number) -> Response:
    """Send it once more; return the new delivery's id."""
    row = await _sent(here, holder, webhook_id, delivery_id)
    again = here.merchants.endpoints.redeliver(holder.store.id, row.id)
    if isinstance(again, rejection.Rejection) and again.outcome is Outcome.NOT_FOUND:
        raise NotThere("webhookdelivery")
    return json_answer(str(accepted(again).id))
