"""From which price on does a store want to see a payment deeper than the exchange books it?

One row a step. A store without rows ships as soon as the engine has booked what came.
"""

from typing import Final

from sqlalchemy import ForeignKey, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from merchants.records.tables import Table


class ConfirmationStep(Table):
    """From a price of ``from_pips`` of the stablecoin on, ``confirmations`` are wanted."""

    __tablename__ = "confirmation_steps"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    from_pips: Mapped[int] = mapped_column(primary_key=True)
    confirmations: Mapped[int]


def steps_of(session: Session, store_id: str) -> list[ConfirmationStep]:
    """Return a store's steps, the lowest price first."""
    own = select(ConfirmationStep).where(ConfirmationStep.store_id == store_id)
    return list(session.scalars(own.order_by(ConfirmationStep.from_pips)))


_WANTED: Final = (
    select(ConfirmationStep.confirmations)
    .where(
        ConfirmationStep.store_id == bindparam("store_id"),
        ConfirmationStep.from_pips <= bindparam("price_pips"),
    )
    .order_by(ConfirmationStep.from_pips.desc())
    .limit(1)
)


def wanted_of(session: Session, store_id: str, price_pips: int) -> int:
    """Return how many confirmations a store wants for a price; 0 for as many as the exchange."""
    return session.scalar(_WANTED, {"store_id": store_id, "price_pips": price_pips}) or 0
