"""Refunds, pull payments and payouts in BTCPay's words.

All three are our refund: a pull payment is one, and its payout is the same once it was claimed. A
pull payment's id carries the secret of its link, for whoever knows one of theirs may claim it.
"""

from typing import Annotated, Final

import msgspec
from fastapi import Depends, Path, Query, Response

from engine.types import Outcome
from gateway.api.greenfield.doors import Greenfield, Here, holding, new_router, on_both
from gateway.api.greenfield.errors import Invalid, NotThere, accepted, json_answer
from gateway.api.greenfield.shapes import (
    PIPS_A_PPM,
    Shape,
    payout_shape,
    pull_payment_shape,
    refund_preview_shape,
    text_of,
    token_of,
)
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.documents.refunds import REFUNDS_SHOWN, RefundDocument
from merchants.records import rejection
from merchants.records.amounts import pips_of_decimal
from merchants.records.refunds import RefundState, RefundVariant
from merchants.sales.refunds import Claim, RefundRequest
from merchants.stores.api_keys import Holder
from merchants.stores.scopes import (
    ARCHIVE_PULL_PAYMENTS,
    CREATE_PULL_PAYMENTS,
    CREATE_UNAPPROVED_PULL_PAYMENTS,
    MANAGE_PAYOUTS,
    VIEW_INVOICES,
    VIEW_PAYOUTS,
    VIEW_PULL_PAYMENTS,
    sees_claims,
)

VARIANTS: Final = {
    "RateThen": RefundVariant.RATE_THEN,
    "CurrentRate": RefundVariant.CURRENT_RATE,
    "Fiat": RefundVariant.FIAT,
    "OverpaidAmount": RefundVariant.OVERPAID,
    "Custom": RefundVariant.CUSTOM,
}
NO_RAW: Final = msgspec.Raw(b"")
NOTHING: Final = (NO_RAW, msgspec.Raw(b"null"))
"""A field that was left out, or says nothing."""

Id = Annotated[str, Path(max_length=160)]


class RefundInvoice(msgspec.Struct, rename="camel"):
    """A refund of an invoice; old clients say ``paymentMethod`` for ``payoutMethodId``."""

    refund_variant: str = ""
    name: str | None = None
    description: str | None = None
    payout_method_id: str | None = None
    payment_method: str | None = None
    subtract_percentage: msgspec.Raw = NO_RAW
    custom_amount: msgspec.Raw = NO_RAW
    custom_currency: str | None = None


class CreatePayout(msgspec.Struct, rename="camel"):
    """A claim: where the money goes, and how much of it; without an amount all that is left."""

    destination: str = ""
    amount: msgspec.Raw = NO_RAW
    payout_method_id: str | None = None
    payment_method: str | None = None


class ApprovePayout(msgspec.Struct, rename="camel"):
    """The shop's word on a payout as it has seen it."""

    revision: int = 0
    rate_rule: str | None = None


class MarkPayout(msgspec.Struct):
    """What a payout is to be."""

    state: str = ""


router = new_router()


def _pull_payment(here: Greenfield, refund: RefundDocument, holder: Holder | None = None) -> Shape:
    key = _claim_key(here, refund, holder)
    return pull_payment_shape(refund, key, here.public_url)


def _claim_key(here: Greenfield, refund: RefundDocument, holder: Holder | None) -> str:
    """Return the key of a refund's link, for who has it already, opens refunds or pays them; empty
    for a ``holder`` who may only look."""
    if holder is not None and not sees_claims(holder.scopes):
        return ""
    return here.merchants.refunding.refunds.claim_key(refund.part_of or refund.id)


def _payout(here: Greenfield, refund: RefundDocument, holder: Holder | None = None) -> Shape:
    key = _claim_key(here, refund, holder)
    return payout_shape(refund, key, here.network)


@on_both(router, "POST", "/invoices/{invoice_id}/refund")
async def refund_invoice(
    here: Here,
    holder: Annotated[Holder, Depends(holding(CREATE_UNAPPROVED_PULL_PAYMENTS))],
    invoice_id: Id,
    body: Annotated[RefundInvoice, Depends(body_of(RefundInvoice))],
) -> Response:
    """Open a refund. It is approved at once where the key may do that; one in another token than
    came waits for the shop's word, as theirs do."""
    invoice = await here.readers.ask(here.merchants.reader.invoice, invoice_id, holder.store.id)
    if invoice is None:
        raise NotThere("invoice")
    variant = VARIANTS.get(body.refund_variant)
    if variant is None:
        raise Invalid("refundVariant", "One of " + ", ".join(VARIANTS))
    token = token_of(body.payout_method_id or body.payment_method or "")
    is_in_kind = variant is not RefundVariant.FIAT and body.custom_currency in (None, "", token)
    request = RefundRequest(
        variant=variant,
        token=token,
        deduct_ppm=_share(body.subtract_percentage),
        custom_pips=_pips(body.custom_amount, "customAmount") if body.custom_amount else 0,
        custom_token=body.custom_currency or "",
        reason=(body.description or body.name or "")[:256],
        is_approved=is_in_kind and holder.may(CREATE_PULL_PAYMENTS),
    )
    made = here.merchants.refunding.refunds.create(holder.store.id, invoice_id, request)
    return json_answer(_pull_payment(here, accepted(made)))


def _share(raw: msgspec.Raw) -> int:
    """Return a percentage in ppm, rounded up: the customer is told what he gets."""
    written = text_of(raw) if raw else "0"
    pips = pips_of_decimal(written)
    if pips is None or not 0 <= pips < 100 * 10**8:
        raise Invalid("subtractPercentage", "A percentage from 0 up to, and less than, 100")
    return -(-pips // PIPS_A_PPM)


def _pips(raw: msgspec.Raw, path: str) -> int:
    pips = pips_of_decimal(text_of(raw))
    if not pips:
        raise Invalid(path, "No amount, or a finer one than there is")
    return pips


@on_both(router, "GET", "/invoices/{invoice_id}/refund/{method}")
async def preview_refund(
    here: Here,
    holder: Annotated[Holder, Depends(holding(VIEW_INVOICES))],
    invoice_id: Id,
    method: Id,
) -> Response:
    """Return what a refund would come to, before it is opened: on the loop, for present prices
    are its."""
    refunds = here.merchants.refunding.refunds
    found = refunds.preview(holder.store.id, invoice_id, token_of(method))
    if isinstance(found, rejection.Rejection):
        missing = "invoice" if found.outcome is Outcome.NOT_FOUND else "payment-method"
        raise NotThere(missing)
    return json_answer(refund_preview_shape(found))


@on_both(router, "GET", "/pull-payments")
async def list_pull_payments(
    here: Here,
    holder: Annotated[Holder, Depends(holding(VIEW_PULL_PAYMENTS))],
    include_archived: Annotated[bool, Query(alias="includeArchived")] = False,
) -> Response:
    """Return the newest refunds as pull payments, 25 at most."""
    list_refunds = here.merchants.reader.list_refunds
    found = await here.readers.ask(list_refunds, holder.store.id, with_parts=False)
    shown = [
        _pull_payment(here, one, holder)
        for one in found or ()
        if include_archived or one.status is not RefundState.CANCELLED
    ]
    return json_answer(shown)


@router.post("/stores/{store_id}/pull-payments")
async def create_pull_payment(
    here: Here, holder: Annotated[Holder, Depends(holding(CREATE_PULL_PAYMENTS))]
) -> Response:
    """Refuse: what a refund account pays by itself is bounded by what came for an invoice, and
    whoever has found a key could else empty it (ADR 39)."""
    raise Invalid("name", "A pull payment is made by the refund of an invoice, and in no other way")


@on_both(router, "DELETE", "/pull-payments/{pull_payment_id}")
async def archive_pull_payment(
    here: Here,
    holder: Annotated[Holder, Depends(holding(ARCHIVE_PULL_PAYMENTS))],
    pull_payment_id: Id,
) -> Response:
    """Give a refund up."""
    refunds, name = here.merchants.refunding.refunds, pull_payment_id.partition(".")[0]
    _of(refunds.cancel(holder.store.id, name), "pull-payment")
    return json_answer({})


# What whoever knows a pull payment may ask


def _claimed(here: Greenfield, pull_payment_id: str) -> tuple[str, str]:
    """Return the refund and the key in a pull payment's id; NotThere where they do not belong."""
    name, _, key = pull_payment_id.partition(".")
    if not key.isascii() or not here.merchants.refunding.refunds.is_claimant(name, key):
        raise NotThere("pull-payment")
    return name, key


async def _public(here: Greenfield, pull_payment_id: str) -> Claim:
    name, key = _claimed(here, pull_payment_id)
    found = await here.readers.ask(here.merchants.refunding.refunds.claim_of, name, key)
    if found is None:
        raise NotThere("pull-payment")
    return found


def _payouts_of(claim: Claim) -> list[RefundDocument]:
    """Return what was claimed of a pull payment, the parts before what was left then."""
    return [one for one in (*claim.parts, claim.document) if one.receiver is not None]


@router.get("/pull-payments/{pull_payment_id}")
async def read_pull_payment(here: Here, pull_payment_id: Id) -> Response:
    """Return a pull payment."""
    return json_answer(_pull_payment(here, (await _public(here, pull_payment_id)).document))


@router.get("/pull-payments/{pull_payment_id}/payouts")
async def list_payouts_of(
    here: Here,
    pull_payment_id: Id,
    include_cancelled: Annotated[bool, Query(alias="includeCancelled")] = False,
) -> Response:
    """Return the payouts of a pull payment: none before it was claimed."""
    found = _payouts_of(await _public(here, pull_payment_id))
    shown = [
        _payout(here, one)
        for one in found
        if include_cancelled or one.status is not RefundState.CANCELLED
    ]
    return json_answer(shown)


@router.get("/pull-payments/{pull_payment_id}/payouts/{payout_id}")
async def read_payout_of(here: Here, pull_payment_id: Id, payout_id: Id) -> Response:
    """Return one payout of a pull payment."""
    found = _payouts_of(await _public(here, pull_payment_id))
    payout = next((one for one in found if one.id == payout_id), None)
    if payout is None:
        raise NotThere("payout")
    return json_answer(_payout(here, payout))


@router.post("/pull-payments/{pull_payment_id}/payouts")
async def claim(
    here: Here,
    pull_payment_id: Id,
    body: Annotated[CreatePayout, Depends(body_of(CreatePayout))],
) -> Response:
    """Claim a refund for an address, or a part of it."""
    await _public(here, pull_payment_id)
    name, key = _claimed(here, pull_payment_id)
    pips = None if body.amount in NOTHING else _pips(body.amount, "amount")
    claimed = here.merchants.refunding.refunds.claim(name, key, body.destination, pips)
    return json_answer(_payout(here, accepted(claimed)))


# What the shop does with payouts


@on_both(router, "GET", "/payouts")
async def list_payouts(
    here: Here,
    holder: Annotated[Holder, Depends(holding(VIEW_PAYOUTS))],
    include_cancelled: Annotated[bool, Query(alias="includeCancelled")] = False,
) -> Response:
    """Return the newest payouts, of the newest 25 refunds."""
    limit = REFUNDS_SHOWN
    found = await here.readers.ask(here.merchants.reader.list_refunds, holder.store.id, limit=limit)
    shown = [
        _payout(here, one, holder)
        for one in found or ()
        if one.receiver is not None
        and (include_cancelled or one.status is not RefundState.CANCELLED)
    ]
    return json_answer(shown)


@on_both(router, "GET", "/payouts/{payout_id}")
async def read_payout(
    here: Here, holder: Annotated[Holder, Depends(holding(VIEW_PAYOUTS))], payout_id: Id
) -> Response:
    """Return one payout."""
    found = await here.readers.ask(here.merchants.reader.refund, holder.store.id, payout_id)
    if found is None or found.receiver is None:
        raise NotThere("payout")
    return json_answer(_payout(here, found, holder))


@on_both(router, "POST", "/payouts/{payout_id}")
async def approve_payout(
    here: Here,
    holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))],
    payout_id: Id,
    body: Annotated[ApprovePayout, Depends(body_of(ApprovePayout))],
) -> Response:
    """Approve a payout as the shop has seen it."""
    refunds = here.merchants.refunding.refunds
    done = _of(refunds.approve(holder.store.id, payout_id, body.revision), "payout")
    return json_answer(_payout(here, done))


@on_both(router, "DELETE", "/payouts/{payout_id}")
async def cancel_payout(
    here: Here, holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))], payout_id: Id
) -> Response:
    """Give a payout up, and its refund with it."""
    _of(here.merchants.refunding.refunds.cancel(holder.store.id, payout_id), "payout")
    return json_answer({})


@on_both(router, "POST", "/payouts/{payout_id}/mark-paid")
async def mark_payout_paid(
    here: Here, holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))], payout_id: Id
) -> Response:
    """Take the shop's word that it has paid otherwise."""
    _of(here.merchants.refunding.refunds.mark_paid(holder.store.id, payout_id, ""), "payout")
    return json_answer({})


@on_both(router, "POST", "/payouts/{payout_id}/mark")
async def mark_payout(
    here: Here,
    holder: Annotated[Holder, Depends(holding(MANAGE_PAYOUTS))],
    payout_id: Id,
    body: Annotated[MarkPayout, Depends(body_of(MarkPayout))],
) -> Response:
    """As ``mark-paid``, or give it up."""
    refunds = here.merchants.refunding.refunds
    match body.state:
        case "Completed":
            _of(refunds.mark_paid(holder.store.id, payout_id, ""), "payout")
        case "Cancelled":
            _of(refunds.cancel(holder.store.id, payout_id), "payout")
        case _:
            raise Invalid("state", "A payout is marked as Completed or as Cancelled")
    return json_answer({})


def _of(answer: RefundDocument | rejection.Rejection, what: str) -> RefundDocument:
    if isinstance(answer, rejection.Rejection):
        if answer.outcome is Outcome.NOT_FOUND:
            raise NotThere(what)
        raise Rejection(answer.outcome, figures=answer.detail)
    return answer
