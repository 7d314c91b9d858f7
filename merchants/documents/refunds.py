"""In what shape do shops see their refunds?"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from merchants.records.amounts import decimal_of_pips, hex_of
from merchants.records.refunds import Payer, Refund, RefundState, RefundVariant
from settlement.orders.catalog import Catalog
from settlement.protocol.checksum import checksum_address

REFUNDS_SHOWN: Final = 25
"""Most refunds in an invoice's document, the newest."""


class RefundDocument(msgspec.Struct, frozen=True):
    """What is given back of an invoice.

    ``amount`` of ``token`` is paid out, which is ``of_amount`` of the ``of_token`` that came and
    was worth ``worth`` at the invoice's rate. ``part_of`` is the refund of which it is a part that
    was claimed alone, null for a whole one; of that, ``opened`` is what it was of ``token`` before
    parts of it were claimed. ``receiver`` is null until it is claimed; ``note``
    says why it waits or has ended. Times are unix seconds.
    """

    id: str
    invoice_id: str
    status: RefundState
    revision: int
    variant: RefundVariant
    reason: str
    token: str
    amount: str
    of_token: str
    of_amount: str
    worth: str
    receiver: str | None
    payer: Payer
    note: str
    tx_hash: str | None
    created_at: int
    claim_until: int
    opened: str
    part_of: str | None


def refund_document(catalog: Catalog, refund: Refund) -> RefundDocument:
    """Return one refund as shops see it."""
    return RefundDocument(
        id=refund.id,
        invoice_id=refund.invoice_id,
        status=refund.state,
        revision=refund.revision,
        variant=refund.variant,
        reason=refund.reason,
        token=_symbol(catalog, refund.token),
        amount=decimal_of_pips(refund.pips),
        of_token=_symbol(catalog, refund.of_token),
        of_amount=decimal_of_pips(refund.of_pips),
        worth=decimal_of_pips(refund.worth_pips),
        receiver=checksum_address(refund.receiver) if refund.receiver else None,
        payer=refund.payer,
        note=refund.note,
        tx_hash=None if refund.tx_hash is None else hex_of(refund.tx_hash),
        created_at=refund.created_ns // 10**9,
        claim_until=refund.claim_until_ns // 10**9,
        opened=decimal_of_pips(refund.whole_pips or refund.pips),
        part_of=refund.part_of,
    )


_REFUNDS: Final = (
    select(Refund)
    .where(Refund.invoice_id.in_(bindparam("ids", expanding=True)))
    .order_by(Refund.created_ns, Refund.id)
)


def refunds_of(session: Session, invoice_ids: Iterable[str]) -> Mapping[str, list[Refund]]:
    """Return the refunds of some invoices, the oldest first: one question for all of them."""
    names = list(invoice_ids)
    found: dict[str, list[Refund]] = {name: [] for name in names}
    for refund in session.scalars(_REFUNDS, {"ids": names}):
        found[refund.invoice_id].append(refund)
    return found


def refunded_worth(refunds: Iterable[Refund]) -> int:
    """Return what all that is given back was worth, in pips of the stablecoin."""
    return sum(one.worth_pips for one in refunds if one.state is not RefundState.CANCELLED)


def _symbol(catalog: Catalog, address: bytes) -> str:
    token = catalog.token_by_address(address)
    assert token is not None, "a listed token is never delisted"
    return token.symbol
