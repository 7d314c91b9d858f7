"""How does an account trade over REST?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from engine.types import Outcome
from gateway.api.budget_headers import note
from gateway.api.dependencies import (
    Entry,
    Here,
    Me,
    Written,
    charged,
    charged_order,
    entry_of,
    lifecycle_of,
    services_of,
)
from gateway.api.direct_route import DirectRoute
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import CLIENT_ID_CHARS_MAX, HASH_PATTERN, hexed, order_id, unhex
from gateway.api.v1.login import Login, nonce_row, open_session
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.orders import (
    DryRun,
    PlaceOrder,
    Withdraw,
    checked_order,
    digest_row,
    submit_order,
    submit_withdrawal,
    timely,
)
from gateway.api.v1.rows import balance_rows, order_row, order_rows
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from gateway.views.order_history import ALWAYS, TimeRange
from gateway.views.user_orders import PAGE_MAX, UserStream

FILLS_LIMIT_MAX: Final = 500

TAKEN: Final = (400, 401, 403, 404, 409, 413, 422, 429, 503)
READ: Final = (401, 429)
FIND: Final = (400, 401, 404, 429)

Cursor = Annotated[int, Query(ge=0, lt=2**63)]
OrdersLimit = Annotated[int, Query(ge=1, le=PAGE_MAX)]

router = APIRouter(prefix="/v1", tags=["trading"])
Charged = Depends(charged)
_placed = body_of(PlaceOrder)


async def place_order(request: Request) -> Answer:
    """Place one signed limit order; the answer comes after the journal has it, never before.

    The account's wallet or a session key of it may sign. The same order again is answered with
    the first answer and placed once only, until it was refused: then it is tried again.
    """
    await charged_order(request)
    lifecycle_of(request).require_open()
    services, entry = services_of(request), entry_of(request)
    order = await _placed(request)
    unsigned = checked_order(order)
    window = timely(services, order.sent_ms, order.recv_window_ms)
    signed = await entry.verify(unsigned)
    answer = Answer(await submit_order(services, entry, signed, window), 201)
    note(request.scope, services.limits.orders_left(signed.account))
    return answer


DIRECT: Final = {("POST", "/v1/orders"): place_order}
"""See ``gateway.api.direct_route``."""

router.add_api_route(
    "/orders",
    place_order,
    methods=["POST"],
    status_code=201,
    openapi_extra=documented(schemas.Placed, body=PlaceOrder, status=201, rejections=TAKEN),
    route_class_override=DirectRoute,
)


@router.post(
    "/orders/digest",
    dependencies=[Charged],
    openapi_extra=documented(schemas.Digest, body=DryRun, rejections=(400, 413, 422, 429)),
)
async def digest_order(
    services: Here, entry: Entry, order: Annotated[DryRun, Depends(body_of(DryRun))]
) -> Answer:
    """Say what we would check the signature against; nothing is placed."""
    signed = await entry.verify(checked_order(order))
    return Answer(digest_row(services.exchange.domain, signed))


@router.get(
    "/orders",
    dependencies=[Charged],
    openapi_extra=documented(schemas.OpenOrders, rejections=(400, *READ), proof="session"),
)
async def list_orders(
    written: Written, me: Me, after: Cursor = 0, limit: OrdersLimit = PAGE_MAX
) -> Answer:
    """Return the account's resting orders, oldest first, those behind sequence ``after``."""
    rows, following = written.open_orders(me.account, after, limit)
    return Answer({"orders": rows, "next": following})


@router.get(
    "/orders/ended",
    dependencies=[Charged],
    openapi_extra=documented(schemas.EndedOrders, rejections=(400, *READ), proof="session"),
)
async def list_ended_orders(
    services: Here,
    me: Me,
    after: Cursor = 0,
    limit: OrdersLimit = PAGE_MAX,
    from_ns: Cursor = ALWAYS.from_ns,
    until_ns: Cursor = ALWAYS.until_ns,
) -> Answer:
    """Return the account's orders that ended behind event ``after``, first ended first; from
    ``from_ns`` on and before ``until_ns``, if they are given.

    With the ``event`` of the last frame that you have seen: what ended while you were away.
    """
    users = services.user_stream
    ended = users.ended_orders(me.account, after, limit, TimeRange(from_ns, until_ns))
    following = ended[-1].ended_event if len(ended) == limit else None
    whole = users.is_whole(me.account, after)
    rows = order_rows(users, ended)
    return Answer(schemas.EndedOrders(rows, following, whole))


@router.get(
    "/orders/{order}",
    dependencies=[Charged],
    openapi_extra=documented(schemas.OwnOrder, rejections=FIND, proof="session"),
)
async def read_order(services: Here, me: Me, order: str) -> Answer:
    """Return one order of the account, open or among the last that ended."""
    return found(services.user_stream, me.account, order_id(order))


@router.get(
    "/orders/by-digest/{digest}",
    dependencies=[Charged],
    openapi_extra=documented(schemas.OwnOrder, rejections=FIND, proof="session"),
)
async def read_order_by_digest(
    services: Here, me: Me, digest: Annotated[str, Path(pattern=HASH_PATTERN)]
) -> Answer:
    """Return the order that was signed with ``digest``."""
    return found(services.user_stream, me.account, unhex(digest))


@router.get(
    "/orders/by-client-id/{client_id}",
    dependencies=[Charged],
    openapi_extra=documented(schemas.OwnOrder, rejections=FIND, proof="session"),
)
async def read_order_by_client_id(
    services: Here, me: Me, client_id: Annotated[str, Path(max_length=CLIENT_ID_CHARS_MAX)]
) -> Answer:
    """Return the last order that its trader called ``client_id``."""
    return found(services.user_stream, me.account, client_id)


@router.get(
    "/balances",
    dependencies=[Charged],
    openapi_extra=documented(schemas.Balances, rejections=READ, proof="session"),
)
async def list_balances(services: Here, me: Me) -> Answer:
    """Return what the account has: available, and held for its open orders."""
    balances = balance_rows(services.user_stream.balances(me.account))
    return Answer(schemas.Balances(hexed(me.account), balances))


@router.get(
    "/fills",
    dependencies=[Charged],
    openapi_extra=documented(schemas.Fills, rejections=(400, *READ), proof="session"),
)
async def list_fills(
    written: Written,
    me: Me,
    limit: Annotated[int, Query(ge=1, le=FILLS_LIMIT_MAX)] = 50,
    before: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
    from_ns: Cursor = ALWAYS.from_ns,
    until_ns: Cursor = ALWAYS.until_ns,
) -> Answer:
    """Return the account's last fills before trade ``before``, each with its settlement state; from
    ``from_ns`` on and before ``until_ns``, if they are given."""
    rows, following = written.fills(me.account, limit, before, TimeRange(from_ns, until_ns))
    return Answer({"fills": rows, "next": following})


@router.get(
    "/sessions/nonce",
    dependencies=[Charged],
    openapi_extra=documented(schemas.LogonNonce),
)
async def read_logon_nonce(services: Here) -> Answer:
    """Return what a message of EIP-4361 (Sign-In with Ethereum) has to say to open a session."""
    return Answer(nonce_row(services))


@router.post(
    "/sessions",
    status_code=201,
    dependencies=[Charged],
    openapi_extra=documented(
        schemas.Opened, body=Login, status=201, rejections=(400, 401, 413, 422, 429, 503)
    ),
)
async def log_in(
    services: Here, entry: Entry, login: Annotated[Login, Depends(body_of(Login))]
) -> Answer:
    """Open a session of 24 hours for the wallet that signed the login, or of as long as its
    EIP-4361 message says, if that is less."""
    return Answer(await open_session(services, entry, login), 201)


@router.post(
    "/withdrawals",
    status_code=202,
    dependencies=[Charged],
    openapi_extra=documented(schemas.Withdrawing, body=Withdraw, status=202, rejections=TAKEN),
)
async def withdraw(
    services: Here,
    entry: Entry,
    asked: Annotated[Withdraw, Depends(body_of(Withdraw))],
) -> Answer:
    """Debit the account; settlement pays on chain after all earlier trades. A drained exchange
    takes it too: what gets money out waits for no operator."""
    return Answer(await submit_withdrawal(services.exchange.domain, entry, asked), 202)


def found(users: UserStream, account: bytes, name: int | bytes | str) -> Answer:
    """Return an order of an account as an answer; refused when there is none of that name."""
    order = users.order(account, name)
    if order is None:
        raise Rejection(
            Outcome.NOT_FOUND, "no such order of this account stands or is among its last"
        )
    return Answer(order_row(users.market_of(order), order))
