"""How does a shop give money back?

It opens a refund and sends the customer its link; then its wallet signs what pays it, or its refund
key does so by itself (``merchants.sales.refunds``).
"""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from msgspec.json import encode

from engine.types import Outcome
from gateway.api.v1.encoding import hexed, unhex
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.refund_schemas import (
    ApproveRefund,
    ClaimLink,
    CreateRefund,
    CreateRefundKey,
    MarkRefundPaid,
    RefundKeyReply,
    RefundReply,
    RefundsReply,
    RefundToSign,
    SignRefund,
)
from gateway.api.v1.shop_doors import (
    FIND,
    MAKE,
    Here,
    Id,
    Shops,
    accepted,
    amount_of,
    having,
    having_own,
    holding,
    written_reply,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.documents.refunds import REFUNDS_SHOWN, RefundDocument
from merchants.records.amounts import decimal_of_pips
from merchants.records.refunds import RefundState
from merchants.records.tables import Store
from merchants.sales.refund_keys import KeyFunds
from merchants.sales.refunds import RefundRequest
from merchants.stores.api_keys import Holder
from merchants.stores.scopes import (
    ARCHIVE_PULL_PAYMENTS,
    CREATE_PULL_PAYMENTS,
    CREATE_UNAPPROVED_PULL_PAYMENTS,
    MANAGE_PAYOUTS,
    MODIFY_SETTINGS,
    VIEW_PULL_PAYMENTS,
    VIEW_SETTINGS,
    sees_claims,
)
from settlement.protocol.checksum import checksum_address

CHANGE: Final = (400, 401, 403, 404, 409, 413, 422, 429)
Limit = Annotated[int, Query(ge=1, le=REFUNDS_SHOWN)]
Name = Annotated[str | None, Query(max_length=64)]

router = APIRouter(prefix="/v1", tags=["refunds"])


def claim_url(shops: Shops, refund_id: str) -> str:
    """Return the link that a customer claims a refund by."""
    key = shops.merchants.refunding.refunds.claim_key(refund_id)
    return f"{shops.public_url}/claim/{refund_id}?key={key}"


def _reply(shops: Shops, document: RefundDocument) -> RefundReply:
    """Return a refund as who opens or pays it reads it."""
    fields = msgspec.structs.asdict(document)
    return RefundReply(**fields, claim_url=claim_url(shops, document.id))


def _shown(shops: Shops, holder: Holder, document: RefundDocument) -> RefundReply:
    """Return a refund as ``holder`` may read it: a session may be a stolen one."""
    reply = _reply(shops, document)
    if sees_claims(holder.scopes) and not holder.by_session:
        return reply
    return msgspec.structs.replace(reply, claim_url=None)


@router.post(
    "/invoices/{invoice_id}/refunds",
    status_code=201,
    openapi_extra=documented(
        RefundReply,
        body=CreateRefund,
        status=201,
        rejections=(404, *MAKE),
        proof="store",
        scope=CREATE_UNAPPROVED_PULL_PAYMENTS,
    ),
)
async def create_refund(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(CREATE_UNAPPROVED_PULL_PAYMENTS))],
    invoice_id: Id,
    body: Annotated[CreateRefund, Depends(body_of(CreateRefund))],
) -> Response:
    """Open a refund of what came for an invoice; never more than came and was not given back. One
    that needs no more approval takes the permission to create pull payments."""
    if body.approve and not holder.may(CREATE_PULL_PAYMENTS):
        why = f"without approval it takes the permission {CREATE_PULL_PAYMENTS}"
        raise Rejection(Outcome.FORBIDDEN, why, {"missing": CREATE_PULL_PAYMENTS})
    request = RefundRequest(
        variant=body.variant,
        token=body.token,
        deduct_ppm=body.deduct_ppm,
        custom_pips=amount_of(body.amount, "amount") if body.amount else 0,
        custom_token=body.currency,
        reason=body.reason,
        is_approved=body.approve,
        to_sender=body.to_sender,
    )
    made = accepted(shops.merchants.refunding.refunds.create(holder.store.id, invoice_id, request))
    return Answer(_reply(shops, made), 201)


@router.get(
    "/refunds",
    openapi_extra=documented(
        RefundsReply, rejections=FIND, proof="store", scope=VIEW_PULL_PAYMENTS
    ),
)
async def list_refunds(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(VIEW_PULL_PAYMENTS))],
    invoice_id: Name = None,
    status: RefundState | None = None,
    before: Name = None,
    limit: Limit = REFUNDS_SHOWN,
) -> Response:
    """Return the store's refunds. Those ``awaiting_payment`` with a ``receiver`` are to be signed,
    unless a refund key pays them."""

    def written() -> bytes | None:
        found = shops.merchants.reader.list_refunds(
            holder.store.id, invoice_id=invoice_id, state=status, before=before, limit=limit
        )
        if found is None:
            return None
        following = found[-1].id if len(found) == limit else None
        return encode(RefundsReply([_shown(shops, holder, one) for one in found], following))

    return written_reply(await shops.readers.ask(written))


@router.get(
    "/refunds/{refund_id}",
    openapi_extra=documented(RefundReply, rejections=FIND, proof="store", scope=VIEW_PULL_PAYMENTS),
)
async def read_refund(
    shops: Here, holder: Annotated[Holder, Depends(holding(VIEW_PULL_PAYMENTS))], refund_id: Id
) -> Response:
    """Return one refund."""
    return await _found(shops, holder, refund_id)


async def _found(shops: Shops, holder: Holder, refund_id: str) -> Response:
    found = await shops.readers.ask(shops.merchants.reader.refund, holder.store.id, refund_id)
    if found is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(_shown(shops, holder, found))


@router.post(
    "/refunds/{refund_id}/approve",
    openapi_extra=documented(
        RefundReply, body=ApproveRefund, rejections=CHANGE, proof="store", scope=MANAGE_PAYOUTS
    ),
)
async def approve_refund(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))],
    refund_id: Id,
    body: Annotated[ApproveRefund, Depends(body_of(ApproveRefund))],
) -> Response:
    """Approve a refund; refused where it has changed since the shop looked at it."""
    refunds = shops.merchants.refunding.refunds
    approved = accepted(refunds.approve(holder.store.id, refund_id, body.revision))
    return Answer(_shown(shops, holder, approved))


@router.post(
    "/refunds/{refund_id}/cancel",
    openapi_extra=documented(
        RefundReply, rejections=(409, *FIND), proof="store", scope=ARCHIVE_PULL_PAYMENTS
    ),
)
async def cancel_refund(
    shops: Here, holder: Annotated[Holder, Depends(holding(ARCHIVE_PULL_PAYMENTS))], refund_id: Id
) -> Response:
    """Give a refund up; refused where it may be paid."""
    cancelled = accepted(shops.merchants.refunding.refunds.cancel(holder.store.id, refund_id))
    return Answer(_shown(shops, holder, cancelled))


@router.post(
    "/refunds/{refund_id}/mark-paid",
    openapi_extra=documented(
        RefundReply, body=MarkRefundPaid, rejections=CHANGE, proof="store", scope=MANAGE_PAYOUTS
    ),
)
async def mark_refund_paid(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))],
    refund_id: Id,
    body: Annotated[MarkRefundPaid, Depends(body_of(MarkRefundPaid))],
) -> Response:
    """Take the shop's word that it has paid a refund otherwise."""
    refunds = shops.merchants.refunding.refunds
    marked = accepted(refunds.mark_paid(holder.store.id, refund_id, body.note))
    return Answer(_shown(shops, holder, marked))


@router.post(
    "/refunds/{refund_id}/claim-link",
    openapi_extra=documented(ClaimLink, rejections=FIND, proof="store", scope=MANAGE_PAYOUTS),
)
async def show_claim_link(
    shops: Here, store: Annotated[Store, Depends(having(MANAGE_PAYOUTS))], refund_id: Id
) -> Response:
    """Return the link by which a refund's customer says where the money goes."""
    found = await shops.readers.ask(shops.merchants.reader.refund, store.id, refund_id)
    if found is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(ClaimLink(found.id, claim_url(shops, found.id)))


@router.post(
    "/refunds/{refund_id}/withdrawal",
    openapi_extra=documented(
        RefundToSign, rejections=(409, *FIND), proof="store", scope=MANAGE_PAYOUTS
    ),
)
async def compose_withdrawal(
    shops: Here, store: Annotated[Store, Depends(having(MANAGE_PAYOUTS))], refund_id: Id
) -> Response:
    """Return the withdrawal that the store's wallet signs to pay a refund; the same again until it
    has expired. As long as it may be taken, nothing else happens to the refund."""
    asked = accepted(shops.merchants.refunding.payouts.compose(store.id, refund_id))
    return Answer(RefundToSign(refund_id, hexed(asked.digest), asked.expiry, asked.typed))


@router.post(
    "/refunds/{refund_id}/signature",
    openapi_extra=documented(
        RefundReply, body=SignRefund, rejections=CHANGE, proof="store", scope=MANAGE_PAYOUTS
    ),
)
async def sign_withdrawal(
    shops: Here,
    holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))],
    refund_id: Id,
    body: Annotated[SignRefund, Depends(body_of(SignRefund))],
) -> Response:
    """Take the wallet's signature over the withdrawal; it is sent next."""
    signature = unhex(body.signature)
    accepted(shops.merchants.refunding.payouts.sign(holder.store.id, refund_id, signature))
    return await _found(shops, holder, refund_id)


@router.post(
    "/stores/{store_id}/refund-key",
    status_code=201,
    openapi_extra=documented(
        RefundKeyReply,
        body=CreateRefundKey,
        status=201,
        rejections=CHANGE,
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def create_refund_key(
    shops: Here,
    store: Annotated[Store, Depends(having_own(MODIFY_SETTINGS))],
    body: Annotated[CreateRefundKey, Depends(body_of(CreateRefundKey))],
) -> Response:
    """Make a refund account; the one before it ends, and its money goes to the store's wallet."""
    keys = shops.merchants.refunding.keys
    shops.limits.keeps(store.id)
    made = accepted(keys.create(store.id, body.lifetime_s, body.slippage_ppm))
    return Answer(_key_reply(made), 201)


@router.get(
    "/stores/{store_id}/refund-key",
    openapi_extra=documented(RefundKeyReply, rejections=FIND, proof="store", scope=VIEW_SETTINGS),
)
async def read_refund_key(
    shops: Here, store: Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
) -> Response:
    """Return the store's refund account and what it has."""
    found = await shops.readers.ask(shops.merchants.refunding.keys.funds, store.id)
    if found is None:
        raise Rejection(Outcome.NOT_FOUND)
    return Answer(_key_reply(found))


@router.delete(
    "/stores/{store_id}/refund-key",
    openapi_extra=documented(RefundKeyReply, rejections=FIND, proof="store", scope=MODIFY_SETTINGS),
)
async def end_refund_key(
    shops: Here, store: Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]
) -> Response:
    """End the store's refund account: what it has left goes to the store's wallet."""
    return Answer(_key_reply(accepted(shops.merchants.refunding.keys.end(store.id))))


def _key_reply(funds: KeyFunds) -> RefundKeyReply:
    return RefundKeyReply(
        account=checksum_address(funds.key_address),
        top_up_address=checksum_address(funds.top_up_address),
        expires_at=funds.expires_ns // 10**9,
        slippage_ppm=funds.slippage_ppm,
        balances={symbol: decimal_of_pips(pips) for symbol, pips in funds.balances.items()},
    )
