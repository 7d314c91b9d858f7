"""May the shops go on where a log was cut off, though they have seen more of it?

Deposits of the lost end are booked again by the same log of the chain, and count once. A sale of
the lost end is none: what these rows say of it, trades of others will have the numbers of.
"""

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select

from engine.journal.reader import Position
from merchants.records.database import (
    move_cursor,
    name_of,
    open_database,
    sequence_in,
    transaction,
)
from merchants.records.tables import Order


class SoldInWhatIsLost(Exception):
    """The rows tell of a sale that the log does not have."""


def step_back(place: Path | str, end: Position) -> int | None:
    """Let the rows at ``place`` be shown whatever follows ``end``; return how far they had come, or
    None where it is no further. Raises ``SoldInWhatIsLost``, with nothing changed."""
    engine = open_database(place)
    with ExitStack() as closing:
        closing.callback(engine.dispose)
        session = closing.enter_context(transaction(engine))
        seen = sequence_in(session)
        if seen <= end.sequence:
            return None
        sold = session.scalar(select(Order.sequence).where(Order.sequence > end.sequence).limit(1))
        if sold is not None:
            what = f"a sale by command {sold}, which is lost"
            raise SoldInWhatIsLost(f"{name_of(engine)} tells of {what}")
        move_cursor(session, end)
        return seen
