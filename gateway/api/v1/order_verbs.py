"""How does an account change, cancel and replace orders over REST, one or many at once?"""

import asyncio
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from gateway.api.budget_headers import note
from gateway.api.dependencies import (
    Entry,
    Here,
    Life,
    Me,
    charged_cancel,
    charged_order,
    client_of,
)
from gateway.api.v1.encoding import CLIENT_ID_CHARS_MAX, order_id
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.orders import checked_order, timely
from gateway.api.v1.schemas import Cancelled
from gateway.api.v1.verb_schemas import (
    Amended,
    Armed,
    CancelledAll,
    CancelResults,
    PlaceResults,
    Replaced,
    ReplaceProblem,
)
from gateway.api.v1.verbs import (
    Amend,
    CancelAfter,
    CancelMany,
    PlaceMany,
    Replace,
    amended,
    armed,
    cancel_results,
    cancelled_all,
    cancelled_target,
    market_meant,
    place_results,
    replaced,
    require_own,
    target_of,
)
from gateway.http.body import body_of
from gateway.http.problems import PROBLEM_MEDIA_TYPE
from gateway.trading.order_entry import Target
from gateway.trading.recv_window import WINDOW_MS_MAX
from gateway.trading.together import Replacement, Several
from settlement.ports import awaited

SHRINK: Final = (400, 401, 403, 409, 422, 429, 503)

Sent = Annotated[int | None, Query(ge=0, le=2**53)]
Lasts = Annotated[int | None, Query(ge=1, le=WINDOW_MS_MAX)]
ClientIdPath = Annotated[str, Path(max_length=CLIENT_ID_CHARS_MAX)]

router = APIRouter(prefix="/v1", tags=["trading"])
Cancels = Depends(charged_cancel)


@router.delete(
    "/orders/{order}",
    dependencies=[Cancels],
    openapi_extra=documented(Cancelled, rejections=SHRINK, proof="session"),
)
async def delete_order(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    order: str,
    sent_ms: Sent = None,
    recv_window_ms: Lasts = None,
) -> Answer:
    """Take one order off the book."""
    window = timely(services, sent_ms, recv_window_ms)
    target = order_id(order)
    said = await awaited(entry.offer_cancel(me, target, window))
    answer = Answer(cancelled_target(target, said))
    note(request.scope, services.limits.cancels_left(me.account))
    return answer


@router.delete(
    "/orders/by-client-id/{client_id}",
    dependencies=[Cancels],
    openapi_extra=documented(Cancelled, rejections=SHRINK, proof="session"),
)
async def delete_order_by_client_id(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    client_id: ClientIdPath,
    sent_ms: Sent = None,
    recv_window_ms: Lasts = None,
) -> Answer:
    """Take the order off the book that its trader calls ``client_id``."""
    window = timely(services, sent_ms, recv_window_ms)
    said = await awaited(entry.offer_cancel(me, client_id, window))
    note(request.scope, services.limits.cancels_left(me.account))
    return Answer(cancelled_target(client_id, said))


@router.delete(
    "/orders",
    dependencies=[Cancels],
    openapi_extra=documented(
        CancelledAll, rejections=(400, 401, 404, 422, 429, 503), proof="session"
    ),
)
async def delete_orders(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    market: Annotated[str | None, Query(max_length=32)] = None,
    sent_ms: Sent = None,
    recv_window_ms: Lasts = None,
) -> Answer:
    """Take all orders of the account off the book, of one market or of all."""
    window = timely(services, sent_ms, recv_window_ms)
    meant = market_meant(services, market)
    said = await awaited(entry.offer_cancel_all(me, meant, window))
    note(request.scope, services.limits.cancels_left(me.account))
    return Answer(cancelled_all(said))


@router.patch(
    "/orders/{order}",
    dependencies=[Cancels],
    openapi_extra=documented(Amended, body=Amend, rejections=(*SHRINK, 413), proof="session"),
)
async def amend_order(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    order: str,
    wish: Annotated[Amend, Depends(body_of(Amend))],
) -> Answer:
    """Leave an order fewer lots open; it keeps its place in the queue, and needs no signature: what
    its owner signed is an upper bound."""
    target = order_id(order)
    return await _amend(request, services, entry, me, target, wish)


@router.patch(
    "/orders/by-client-id/{client_id}",
    dependencies=[Cancels],
    openapi_extra=documented(Amended, body=Amend, rejections=(*SHRINK, 413), proof="session"),
)
async def amend_order_by_client_id(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    client_id: ClientIdPath,
    wish: Annotated[Amend, Depends(body_of(Amend))],
) -> Answer:
    """As by id, for the order that its trader calls ``client_id``."""
    return await _amend(request, services, entry, me, client_id, wish)


async def _amend(
    request: Request, services: Here, entry: Entry, me: Me, target: Target, wish: Amend
) -> Answer:
    window = timely(services, wish.sent_ms, wish.recv_window_ms)
    said = await awaited(entry.offer_amend(me, target, wish.lots_open, window))
    note(request.scope, services.limits.cancels_left(me.account))
    return Answer(amended(target, wish.lots_open, said))


@router.post(
    "/orders/cancel",
    dependencies=[Cancels],
    openapi_extra=documented(
        CancelResults, body=CancelMany, rejections=(400, 401, 413, 422, 429), proof="session"
    ),
)
async def cancel_orders(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    wish: Annotated[CancelMany, Depends(body_of(CancelMany))],
) -> Answer:
    """Take up to 50 orders off the book, by id or client id; each has a result of its own."""
    targets = [target_of(each.order_id, each.client_id) for each in wish.orders]
    if len(targets) > 1:
        services.limits.cancel_request(client_of(request), len(targets) - 1)
    window = timely(services, wish.sent_ms, wish.recv_window_ms)
    offers = [partial(entry.offer_cancel, me, target, window) for target in targets]
    said = await asyncio.shield(Several(offers).offer())
    note(request.scope, services.limits.cancels_left(me.account))
    return Answer(cancel_results(targets, said))


@router.post(
    "/orders/batch",
    dependencies=[Depends(charged_order)],
    openapi_extra=documented(PlaceResults, body=PlaceMany, rejections=(400, 413, 422, 429, 503)),
)
async def place_orders(
    request: Request,
    services: Here,
    entry: Entry,
    life: Life,
    wish: Annotated[PlaceMany, Depends(body_of(PlaceMany))],
) -> Answer:
    """Place up to 50 signed orders, in their order; each has a result of its own, and one that is
    refused holds up none behind it."""
    if len(wish.orders) > 1:
        services.limits.order_request(client_of(request), len(wish.orders) - 1)
    life.require_open()
    window = timely(services, wish.sent_ms, wish.recv_window_ms)
    orders = await asyncio.gather(*(entry.verify(checked_order(each)) for each in wish.orders))
    offers = [partial(entry.offer, order, window) for order in orders]
    said = await asyncio.shield(Several(offers).offer())
    note(request.scope, services.limits.orders_left(orders[0].account))
    return Answer(await place_results(services, orders, said))


def _replace_documented() -> dict[str, Any]:
    found = documented(
        Replaced,
        body=Replace,
        status=201,
        rejections=(400, 401, 403, 404, 413, 422, 429, 503),
        proof="session",
    )
    found["responses"]["409"] = {
        "description": "One half has happened and the other has not, or neither could",
        "content": {
            PROBLEM_MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{ReplaceProblem.__name__}"}
            }
        },
    }
    return found


@router.post(
    "/orders/replace",
    status_code=201,
    dependencies=[Cancels, Depends(charged_order)],
    openapi_extra=_replace_documented(),
)
async def replace_order(
    request: Request,
    services: Here,
    entry: Entry,
    life: Life,
    me: Me,
    wish: Annotated[Replace, Depends(body_of(Replace))],
) -> Answer:
    """Cancel one order and place another, on the same half of a lane if you like. Before the cancel
    the new order's form and signature are looked at; the rest only behind it."""
    life.require_open()
    target = target_of(wish.cancel.order_id, wish.cancel.client_id)
    window = timely(services, wish.sent_ms, wish.recv_window_ms)
    order = await entry.verify(checked_order(wish.order))
    require_own(services, me, order)
    replacement = Replacement(entry, me, order)
    both = await asyncio.shield(replacement.offer(target, wish.mode == "STOP_ON_FAILURE", window))
    note(request.scope, services.limits.cancels_left(me.account))
    note(request.scope, services.limits.orders_left(order.account))
    document, is_whole = replaced(services, target, order, both)
    if is_whole:
        return Answer(document, 201)
    answer = Answer(document, int(document["status"]))
    answer.headers["content-type"] = PROBLEM_MEDIA_TYPE
    return answer


@router.post(
    "/cancel-after",
    dependencies=[Cancels],
    openapi_extra=documented(
        Armed, body=CancelAfter, rejections=(400, 401, 404, 413, 422, 429, 503), proof="session"
    ),
)
async def cancel_after(
    request: Request,
    services: Here,
    entry: Entry,
    me: Me,
    wish: Annotated[CancelAfter, Depends(body_of(CancelAfter))],
) -> Answer:
    """Arm the dead man's switch: unless it is set again all orders of the account are cancelled so
    many seconds from now, whatever becomes of this connection. 0 disarms it."""
    window = timely(services, wish.sent_ms, wish.recv_window_ms)
    deadline_ns, offered = entry.offer_cancel_after(me, wish.seconds, window)
    said = await awaited(offered)
    note(request.scope, services.limits.cancels_left(me.account))
    return Answer(armed(deadline_ns, said))
