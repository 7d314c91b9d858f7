"""What falls due by itself, and which rows is that seen by?

Each query is put twice: by a step, many of them in one statement, to see whether it would find
anything (``merchants.steps``), and by whoever then does the work. So the two cannot disagree. What
it compares with (``Bounds``) is said when it is put.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    String,
    bindparam,
    func,
    select,
    tuple_,
)

from merchants.records.endpoints import DELIVERY_WAITS, Delivery
from merchants.records.grants import GRANT_WAITS, REVOCATION_WAITS, Grant
from merchants.records.others import Other
from merchants.records.pots import Pot
from merchants.records.queues import ENDPOINTS_TO_TELL, STORES_TO_SELL_FOR
from merchants.records.refunds import (
    REFUNDS_OPEN,
    Refund,
    RefundKey,
    RefundOrder,
    RefundState,
    RefundWithdrawal,
)
from merchants.records.states import CreditState, InvoiceState
from merchants.records.tables import CREDIT_ASTRAY, Credit, Invoice, Order

Bounds: TypeAlias = Mapping[str, Any]
"""Now, the newest block and the like, by the names that they have in the queries."""


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


NOW_NS: Final = _number("now_ns")

IS_FOLLOWED: Final[ColumnElement[bool]] = bindparam("is_followed", type_=Boolean)
"""What no row says: whether there is a sale of which some trade has come further."""

# Grants

TO_RELAY: Final = select(Grant).where(GRANT_WAITS).order_by(Grant.nonce)
"""Approvals that the settler has not got, in the order of their nonces: a later one would make
the earlier worthless."""
TO_TAKE_BACK: Final = select(Grant).where(REVOCATION_WAITS).order_by(Grant.revocation_nonce)

# Invoices

UNPAID: Final = select(Invoice).where(
    Invoice.state == InvoiceState.NEW, Invoice.expires_ns <= NOW_NS
)
STUCK: Final = select(Invoice).where(
    Invoice.state == InvoiceState.PROCESSING, Invoice.processing_ns <= _number("stuck_ns")
)
AWAY: Final = (InvoiceState.EXPIRED, InvoiceState.INVALID)
TO_JUDGE: Final = select(Invoice).where(
    Invoice.judge_at_ns <= NOW_NS,
    # By what it is not, which no index has: SQLite would go through all that ever expired.
    Invoice.state.not_in([state for state in InvoiceState if state not in AWAY]),
)
TO_VALUE: Final = select(Other).where(Other.value_at_ns <= NOW_NS)
DEEP: Final = select(Invoice).where(Invoice.deep_at_block <= _number("newest_block"))
TO_SWEEP: Final = select(Invoice).where(Invoice.sweep_at_ns <= NOW_NS)
OLD: Final = (
    select(Invoice)
    .where(
        tuple_(Invoice.created_ns, Invoice.id)
        > tuple_(_number("unwatched_ns"), bindparam("unwatched_id", type_=String)),
        Invoice.created_ns < _number("watched_ns"),
    )
    .order_by(Invoice.created_ns, Invoice.id)
)
"""Invoices that are too old to be watched, behind the last that is not."""
LOST: Final = select(Credit).where(
    CREDIT_ASTRAY,
    Credit.state == CreditState.MISSING,
    Credit.missed_at_block <= _number("lost_block"),
)
"""Bookings that have been in no block for so long that they will not come back."""

# Sales

POTS_TO_LOOK_AT: Final = select(Pot).where(Pot.look_at_ns <= NOW_NS)
UNRESOLVED: Final = select(Order.conversion_id).where(Order.outcome.is_(None))
"""Sales with an order of which it is not known what became of it."""

# Refunds

UNCLAIMED: Final = select(Refund).where(
    Refund.state.in_(REFUNDS_OPEN), Refund.claim_until_ns <= NOW_NS, Refund.receiver == b""
)
UNSIGNED: Final = select(RefundWithdrawal).where(
    RefundWithdrawal.outcome.is_(None),
    RefundWithdrawal.signature.is_(None),
    RefundWithdrawal.expiry <= _number("unread_s"),
)
"""What was never signed and can be taken no more."""
TO_RETURN: Final = select(RefundKey).where(RefundKey.next_ns <= NOW_NS).order_by(RefundKey.next_ns)
TO_PAY: Final = (
    select(Refund)
    .where(
        Refund.next_ns <= NOW_NS,
        Refund.state == RefundState.AWAITING_PAYMENT,
        Refund.receiver != b"",
    )
    .order_by(Refund.next_ns)
)
TO_BUY: Final = select(RefundOrder).where(RefundOrder.outcome.is_(None))
_is_signed: Final = (RefundWithdrawal.outcome.is_(None), RefundWithdrawal.signature.is_not(None))
_first = (
    select(RefundWithdrawal.account, func.min(RefundWithdrawal.nonce).label("nonce"))
    .where(*_is_signed)
    .group_by(RefundWithdrawal.account)
    .subquery()
)
SIGNED: Final = (
    select(RefundWithdrawal)
    .join(
        _first,
        (RefundWithdrawal.account == _first.c.account) & (RefundWithdrawal.nonce == _first.c.nonce),
    )
    .where(*_is_signed, RefundWithdrawal.next_ns <= NOW_NS)
    .order_by(RefundWithdrawal.next_ns, RefundWithdrawal.nonce)
)
"""Of each account the first withdrawal that is signed, where it is to be sent now."""
ON_THEIR_WAY: Final = (
    select(Refund.sequence)
    .where(Refund.next_ns <= NOW_NS, Refund.state == RefundState.IN_PROGRESS, Refund.sequence > 0)
    .order_by(Refund.next_ns)
)
"""Commands that pay refunds, of which the chain is to be asked how far they are."""

# Webhooks

OLDEST_FIRST: Final = select(Delivery.id).where(DELIVERY_WAITS).order_by(Delivery.id)
TOO_OLD: Final = select(Delivery.id).where(
    Delivery.id == OLDEST_FIRST.limit(1).scalar_subquery(),
    Delivery.created_ns <= _number("dead_ns"),
)
"""The oldest delivery, if it is to be given up."""


def any_of(*queries: Select[Any]) -> ColumnElement[bool]:
    """Return whether one of ``queries`` finds something; the last are not asked if a first does."""
    first, *others = (query.order_by(None).exists() for query in queries)
    is_any: ColumnElement[bool] = first
    for other in others:
        is_any |= other
    return is_any


TO_SELL: Final = any_of(UNRESOLVED, STORES_TO_SELL_FOR)
TO_SEND: Final = any_of(TO_BUY, SIGNED, ON_THEIR_WAY)
TO_TELL: Final = any_of(TOO_OLD, ENDPOINTS_TO_TELL)
