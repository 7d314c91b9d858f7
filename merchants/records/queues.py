"""Who has something due, found without looking at everything that is due?

A table that is a queue has an index of the rows that still wait, by owner (a store, an endpoint)
and time. From it the owners are read one after the other, each by a seek behind the last one, so
that one with a hundred thousand rows costs as much as one with a single row.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Select, TextClause, bindparam, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from merchants.records.endpoints import DELIVERY_WAITS, Delivery, Endpoint
from merchants.records.grants import Grant
from merchants.records.states import InvoiceState
from merchants.records.tables import CONVERSION_WAITS, Conversion, Invoice


def _owners_due(
    owner: InstrumentedAttribute[str],
    due_ns: InstrumentedAttribute[int],
    waits: TextClause,
    name: str,
) -> Select[Any]:
    """Return the query for the owners that have a row due at ``now_ns``.

    ``waits`` are the words of the index, which SQLite has to find again in the query; ``name`` is
    its own, so that one statement may have two.
    """
    walk = select(func.min(owner).label("owner")).where(waits).cte(name, recursive=True)
    behind = select(func.min(owner)).where(waits, owner > walk.c.owner).scalar_subquery()
    walk = walk.union_all(select(behind).where(walk.c.owner.is_not(None)))
    first_ns = select(func.min(due_ns)).where(waits, owner == walk.c.owner).scalar_subquery()
    return (
        select(walk.c.owner)
        .where(walk.c.owner.is_not(None), first_ns <= bindparam("now_ns"))
        .order_by(first_ns)
    )


# Made once: to put them together takes longer than to carry them out.
_told = _owners_due(Delivery.endpoint_id, Delivery.next_attempt_ns, DELIVERY_WAITS, "told")
ENDPOINTS_TO_TELL: Final = _told.add_columns(
    Endpoint.store_id, Endpoint.enabled, Endpoint.last_ns, Endpoint.last_status
).join(Endpoint, Endpoint.id == _told.selected_columns.owner)
"""Endpoints that have a delivery due at ``now_ns``, the longest due first: whose they are, whether
they are enabled, and what they answered last."""


def _longest_due() -> Select[Any]:
    first, now_ns = aliased(Delivery), bindparam("now_ns", type_=BigInteger)
    earliest = (
        select(first.id)
        .where(
            DELIVERY_WAITS,
            first.endpoint_id == Delivery.endpoint_id,
            first.subject_id == Delivery.subject_id,
            # A sum, which no index has: SQLite would go through all that waits for one subject's.
            first.next_attempt_ns + 0 <= now_ns,
        )
        .order_by(first.id)
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(Delivery.subject_id, earliest)
        .where(
            DELIVERY_WAITS,
            Delivery.endpoint_id == bindparam("endpoint_id"),
            Delivery.next_attempt_ns <= now_ns,
            Delivery.subject_id.not_in(bindparam("taken", expanding=True)),
        )
        .order_by(Delivery.next_attempt_ns)
        .limit(bindparam("rows_max", type_=BigInteger))
    )


LONGEST_DUE: Final = _longest_due()
"""Subjects, none of ``taken``, of which something is due to ``endpoint_id`` at ``now_ns``, the
longest due first, ``rows_max`` rows at most; with each the first of its deliveries that is due."""

_sellers = _owners_due(Conversion.store_id, Conversion.next_attempt_ns, CONVERSION_WAITS, "sellers")
STORES_TO_SELL_FOR: Final = _sellers.where(
    select(Grant.id)
    .where(
        Grant.store_id == _sellers.selected_columns.owner,
        Grant.signature.is_not(None),
        Grant.revoked_ns.is_(None),
    )
    .exists()
)
"""Stores that have a sale due at ``now_ns``, the longest due first. Nothing can be sold before the
wallet has approved a key."""

SALES_MAX: Final = 8
TO_SELL_FIRST: Final = (
    select(Conversion.id)
    .where(
        CONVERSION_WAITS,
        Conversion.store_id == bindparam("store_id"),
        Conversion.next_attempt_ns <= bindparam("now_ns", type_=BigInteger),
    )
    .order_by(Conversion.next_attempt_ns)
    .limit(SALES_MAX)
)
"""What a store has to sell at ``now_ns``, the longest due first, some of it."""

SETTLING_MANY: Final = 32
SETTLING: Final = (
    select(Invoice.id)
    .where(
        Invoice.state == InvoiceState.PROCESSING,
        Invoice.processing_ns >= bindparam("since_ns", type_=BigInteger),
    )
    .limit(SETTLING_MANY)
)
"""Invoices of which all was seen at ``since_ns`` or later and is not booked, so many at most."""
