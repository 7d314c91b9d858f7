"""How does a customer claim a part of what is given back to him?

The part becomes a refund of its own, and the one that it is of gives back so much less: together
they are at each moment what was opened. So all that holds for a refund holds for a part: it is
paid once, approved as it was seen, and counts as long as it is not cancelled.
"""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.amounts import decimal_of_pips
from merchants.records.refunds import Payer, Refund, RefundState
from merchants.records.rejection import Rejection
from settlement.orders.catalog import Token

PARTS_MAX: Final = 20
"""Parts of one refund: each is a transaction of its own on the chain."""


def why_no_part(
    session: Session, refund: Refund, token: Token, pips: int, least: int
) -> Rejection | None:
    """Return why ``pips`` of an unclaimed refund are not claimed alone; None if they may be.

    Rejects AMOUNT_OUT_OF_RANGE for more than is left or finer than the chain moves it,
    BELOW_LEAST_WITHDRAWAL where the part or the rest could never be paid, and CAPACITY for too
    many.
    """
    if pips >= refund.pips:
        left = {"left": decimal_of_pips(refund.pips)}
        return Rejection(Outcome.AMOUNT_OUT_OF_RANGE, {"why": "so much is not left", **left})
    if min(pips, refund.pips - pips) < least:
        why = "a part, and what is left then, may not be less than can be paid"
        return Rejection(
            Outcome.BELOW_LEAST_WITHDRAWAL, {"why": why, "least": decimal_of_pips(least)}
        )
    if token.pips_of(token.raw_of(pips)) != pips:
        why = f"{token.symbol} has {token.decimals} decimals on chain"
        return Rejection(Outcome.AMOUNT_OUT_OF_RANGE, {"why": why})
    parts = select(func.count()).select_from(Refund).where(Refund.part_of == refund.id)
    if (session.scalar(parts) or 0) >= PARTS_MAX:
        why = f"it is claimed in at most {PARTS_MAX} parts and what is left then"
        return Rejection(Outcome.CAPACITY, {"why": why})
    return None


def split(session: Session, refund: Refund, pips: int, name: str) -> Refund:
    """Return ``pips`` of a refund that nobody has claimed as one of its own, called ``name``.

    What it uses up of what came, and what that was worth, goes along by its share, rounded down:
    the rest has the rest, so that both together are what they were.
    """
    assert 0 < pips < refund.pips, "a part is less than the whole"
    assert not refund.receiver, "nobody has claimed it"
    of_pips = refund.of_pips * pips // refund.pips
    worth_pips = refund.worth_pips * pips // refund.pips
    part = Refund(
        id=name,
        store_id=refund.store_id,
        invoice_id=refund.invoice_id,
        invoice=refund.invoice,
        state=refund.state,
        revision=0,
        variant=refund.variant,
        reason=refund.reason,
        token=refund.token,
        pips=pips,
        of_token=refund.of_token,
        of_pips=of_pips,
        worth_pips=worth_pips,
        created_ns=refund.created_ns,
        claim_until_ns=refund.claim_until_ns,
        receiver=b"",
        payer=Payer.NOBODY,
        next_ns=None,
        attempts=0,
        note="",
        sequence=0,
        tx_hash=None,
        part_of=refund.id,
        of_paid=refund.of_paid,
    )
    refund.whole_pips = refund.whole_pips or refund.pips
    refund.pips -= pips
    refund.of_pips -= of_pips
    refund.worth_pips -= worth_pips
    if refund.state is RefundState.AWAITING_APPROVAL:
        refund.revision += 1  # Who has seen it before approves something else.
    session.add(part)
    session.flush()
    return part
