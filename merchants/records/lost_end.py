"""May the shops go on where a log was cut off, though they have seen more of it?

Deposits of the lost end are booked again by the same log of the chain, and count once. A sale of
the lost end is none: what these rows say of it, trades of others will have the numbers of. Nor was
a refund paid that was debited there.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from sqlalchemy import delete, select, update

from engine.journal.reader import Position
from merchants.records.database import (
    move_cursor,
    name_of,
    open_database,
    sequence_in,
    transaction,
)
from merchants.records.movements import Movement
from merchants.records.refunds import RefundOrder, RefundWithdrawal
from merchants.records.tables import Order

TOLD: Final = (
    (Order, "a sale"),
    (RefundWithdrawal, "a refund"),
    (RefundOrder, "a purchase for a refund"),
)
"""Rows that name the command that carried them out."""


class SoldInWhatIsLost(Exception):
    """The rows tell of a sale or a refund that the log does not have."""


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
        for table, what in TOLD:
            later = select(table.sequence).where(table.sequence > end.sequence)
            lost = session.scalar(later.order_by(table.sequence).limit(1))
            if lost is not None:
                told = f"{what} by command {lost}, which is lost"
                raise SoldInWhatIsLost(f"{name_of(engine)} tells of {told}")
        session.execute(delete(Movement).where(Movement.sequence > end.sequence))
        session.execute(
            update(Movement)
            .where(Movement.returned_at > end.sequence)
            .values(returned_pips=0, returned_at=0)
        )
        move_cursor(session, end)
        return seen
