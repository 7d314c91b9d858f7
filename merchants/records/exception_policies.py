"""What does a store want done with money that does not come as it was asked for?

A store without a row keeps it: then what came late is weighed, what is short waits, what is over is
sold, and another token lies on the store's account.
"""

from enum import StrEnum

from sqlalchemy import Enum, ForeignKey
from sqlalchemy.orm import Mapped, Session, mapped_column

from merchants.records.tables import Table


class ExceptionAction(StrEnum):
    """What is done by itself."""

    KEEP = "keep"
    RETURN = "return"
    """It is given back: a refund waits for the customer's address."""
    REQUOTE = "requote"
    """The invoice gets a new price, once, and only what is missing at it is asked for."""


_Action = Enum(
    ExceptionAction,
    native_enum=False,
    length=16,
    values_callable=lambda members: [member.value for member in members],
)


class ExceptionPolicy(Table):
    """One store's policy: for what came ``late`` and would pay, for what is ``short``, for what is
    ``over`` and for another listed token."""

    __tablename__ = "exception_policies"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    late: Mapped[ExceptionAction] = mapped_column(_Action)
    short: Mapped[ExceptionAction] = mapped_column(_Action)
    over: Mapped[ExceptionAction] = mapped_column(_Action)
    other_token: Mapped[ExceptionAction] = mapped_column(_Action)


def keep_all(store_id: str) -> ExceptionPolicy:
    """Return the policy of a store that has chosen none."""
    keep = ExceptionAction.KEEP
    return ExceptionPolicy(store_id=store_id, late=keep, short=keep, over=keep, other_token=keep)


def exception_policy_of(session: Session, store_id: str) -> ExceptionPolicy:
    """Return a store's policy."""
    return session.get(ExceptionPolicy, store_id) or keep_all(store_id)
