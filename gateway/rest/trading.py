"""How does an account trade over REST?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from gateway import replies
from gateway.answers import Answer, documented
from gateway.bodies import body_of
from gateway.orders import (
    DryRun,
    PlaceOrder,
    Withdraw,
    cancel_order,
    checked_order,
    digest_row,
    submit_order,
    submit_withdrawal,
)
from gateway.rest.depends import Here, Life, Me, Signers, charged, charged_cancel
from gateway.sessionlogin import Login, open_session
from gateway.wire import hexed, order_id

FILLS_LIMIT_MAX: Final = 500

TAKEN: Final = (400, 401, 403, 404, 409, 413, 422, 429, 503)
READ: Final = (401, 429)

router = APIRouter(prefix="/v1", tags=["trading"])
Charged = Depends(charged)


@router.post(
    "/orders",
    status_code=201,
    dependencies=[Charged],
    openapi_extra=documented(replies.Placed, body=PlaceOrder, status=201, refusals=TAKEN),
)
async def place_order(
    services: Here,
    signers: Signers,
    life: Life,
    order: Annotated[PlaceOrder, Depends(body_of(PlaceOrder))],
) -> Answer:
    """Place one signed limit order; the answer comes after the journal has it, never before.

    The account's wallet or a session key of it may sign. The same order again is answered with
    the first order id and placed once only.
    """
    life.require_open()
    signed = await signers.order(checked_order(order))
    return Answer(await submit_order(services, signed), 201)


@router.post(
    "/orders/digest",
    dependencies=[Charged],
    openapi_extra=documented(replies.Digest, body=DryRun, refusals=(400, 413, 422, 429)),
)
async def digest_order(
    services: Here, signers: Signers, order: Annotated[DryRun, Depends(body_of(DryRun))]
) -> Answer:
    """Say what we would check the signature against; nothing is placed."""
    signed = await signers.order(checked_order(order))
    return Answer(digest_row(services.exchange.domain, signed))


@router.delete(
    "/orders/{order}",
    dependencies=[Depends(charged_cancel)],
    openapi_extra=documented(replies.Cancelled, refusals=(400, 401, 403, 409, 429)),
)
async def delete_order(services: Here, me: Me, order: str) -> Answer:
    """Take one order off the book."""
    return Answer(await cancel_order(services, me.account, order_id(order)))


@router.get(
    "/orders",
    dependencies=[Charged],
    openapi_extra=documented(replies.OpenOrders, refusals=READ),
)
async def list_orders(services: Here, me: Me) -> Answer:
    """Return the account's resting orders, oldest first."""
    return Answer({"orders": services.user_stream.open_orders(me.account)})


@router.get(
    "/balances",
    dependencies=[Charged],
    openapi_extra=documented(replies.Balances, refusals=READ),
)
async def list_balances(services: Here, me: Me) -> Answer:
    """Return what the account has: available, and held for its open orders."""
    balances = services.user_stream.balances(me.account)
    return Answer({"account": hexed(me.account), "balances": balances})


@router.get(
    "/fills",
    dependencies=[Charged],
    openapi_extra=documented(replies.Fills, refusals=(400, *READ)),
)
async def list_fills(
    services: Here, me: Me, limit: Annotated[int, Query(ge=1, le=FILLS_LIMIT_MAX)] = 50
) -> Answer:
    """Return the account's last fills, each with its settlement state."""
    return Answer({"fills": services.user_stream.fills(me.account, limit)})


@router.post(
    "/sessions",
    status_code=201,
    dependencies=[Charged],
    openapi_extra=documented(replies.Opened, body=Login, status=201, refusals=(400, 401, 413, 429)),
)
async def log_in(
    services: Here, signers: Signers, login: Annotated[Login, Depends(body_of(Login))]
) -> Answer:
    """Open a session of 24 hours for the wallet that signed the login."""
    return Answer(await open_session(services, signers, login), 201)


@router.post(
    "/withdrawals",
    status_code=202,
    dependencies=[Charged],
    openapi_extra=documented(replies.Withdrawing, body=Withdraw, status=202, refusals=TAKEN),
)
async def withdraw(
    services: Here,
    signers: Signers,
    life: Life,
    asked: Annotated[Withdraw, Depends(body_of(Withdraw))],
) -> Answer:
    """Debit the account; settlement pays on chain after all earlier trades."""
    life.require_open()
    return Answer(await submit_withdrawal(services, signers, asked), 202)
