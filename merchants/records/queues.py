"""Which stores have something due, found without looking at everything that is due?

A table that is a queue has an index of the rows that still wait, by store and time. From it the
stores are read one after the other, each by a seek behind the last one, so that a store with a
hundred thousand rows costs as much as one with a single row.
"""

from typing import Any, Final

from sqlalchemy import Select, TextClause, bindparam, func, select

from merchants.records.grants import Grant
from merchants.records.tables import CONVERSION_WAITS, DELIVERY_WAITS, Conversion, Delivery


def _stores_due(queue: type[Delivery | Conversion], waits: TextClause) -> Select[Any]:
    """Return the query for the stores that have a row of ``queue`` due at ``now_ns``.

    ``waits`` are the words of the index, which SQLite has to find again in the query.
    """
    store, due_ns = queue.store_id, queue.next_attempt_ns
    walk = select(func.min(store).label("store_id")).where(waits).cte("walk", recursive=True)
    behind = select(func.min(store)).where(waits, store > walk.c.store_id).scalar_subquery()
    walk = walk.union_all(select(behind).where(walk.c.store_id.is_not(None)))
    first_ns = select(func.min(due_ns)).where(waits, store == walk.c.store_id).scalar_subquery()
    return (
        select(walk.c.store_id)
        .where(walk.c.store_id.is_not(None), first_ns <= bindparam("now_ns"))
        .order_by(first_ns)
    )


# Made once: to put them together takes longer than to carry them out.
STORES_TO_TELL: Final = _stores_due(Delivery, DELIVERY_WAITS)
"""Stores that have a delivery due at ``now_ns``, the longest due first."""

_sellers = _stores_due(Conversion, CONVERSION_WAITS)
STORES_TO_SELL_FOR: Final = _sellers.where(
    select(Grant.id)
    .where(
        Grant.store_id == _sellers.selected_columns.store_id,
        Grant.signature.is_not(None),
        Grant.revoked_ns.is_(None),
    )
    .exists()
)
"""Stores that have a sale due at ``now_ns``, the longest due first. Nothing can be sold before the
wallet has approved a key."""
