"""Which stores have something due, found without looking at everything that is due?

A table that is a queue has an index of the rows that still wait, by store and time. From it the
stores are read one after the other, each by a seek behind the last one, so that a store with a
hundred thousand rows costs as much as one with a single row.
"""

from typing import Any

from sqlalchemy import Select, TextClause, func, select

from merchants.records.tables import Conversion, Delivery


def stores_due(
    queue: type[Delivery | Conversion], waits: TextClause, now_ns: int
) -> Select[tuple[Any]]:
    """Return the query for the stores that have a row of ``queue`` due, the longest due first.

    ``waits`` are the words of the index, which SQLite has to find again in the query.
    """
    store, due_ns = queue.store_id, queue.next_attempt_ns
    walk = select(func.min(store).label("store_id")).where(waits).cte("walk", recursive=True)
    behind = select(func.min(store)).where(waits, store > walk.c.store_id).scalar_subquery()
    walk = walk.union_all(select(behind).where(walk.c.store_id.is_not(None)))
    first_ns = select(func.min(due_ns)).where(waits, store == walk.c.store_id).scalar_subquery()
    return (
        select(walk.c.store_id)
        .where(walk.c.store_id.is_not(None), first_ns <= now_ns)
        .order_by(first_ns)
    )
