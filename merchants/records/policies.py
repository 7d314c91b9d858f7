"""When is what a store was paid sold, and how much of it at once?

A store without a row sells at once. Every policy but that one gathers in the store's pots.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, Session, mapped_column

from engine.types import PPM
from merchants.records.tables import Table

SLICES_MAX: Final = 1_000


class PolicyKind(StrEnum):
    """How a store sells."""

    AT_ONCE = "at_once"
    THRESHOLD = "threshold"
    """All that is gathered, when it is worth ``worth_pips`` or older than ``age_s``."""
    TWAP = "twap"
    """What is gathered in ``slices`` over ``period_s``, each at the price of its moment."""
    KEEP = "keep"
    """At once, but for ``keep_ppm`` of each payment, which stay as they came."""


class ConversionPolicy(Table):
    """One store's policy. What its kind does not use is 0; an ``age_s`` of 0 is no age."""

    __tablename__ = "conversion_policies"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    kind: Mapped[str]
    worth_pips: Mapped[int] = mapped_column(default=0)
    age_s: Mapped[int] = mapped_column(default=0)
    slices: Mapped[int] = mapped_column(default=0)
    period_s: Mapped[int] = mapped_column(default=0)
    keep_ppm: Mapped[int] = mapped_column(default=0)

    @property
    def gathers_all(self) -> bool:
        """Return whether whole lots go into the pot as well."""
        return self.kind in (PolicyKind.THRESHOLD, PolicyKind.TWAP)

    def kept_pips(self, pips: int) -> int:
        """Return how much of ``pips`` stays as it came, rounded down."""
        return pips * self.keep_ppm // PPM if self.kind == PolicyKind.KEEP else 0


def at_once(store_id: str) -> ConversionPolicy:
    """Return the policy of a store that has chosen none."""
    return ConversionPolicy(
        store_id=store_id,
        kind=PolicyKind.AT_ONCE,
        worth_pips=0,
        age_s=0,
        slices=0,
        period_s=0,
        keep_ppm=0,
    )


def policy_of(session: Session, store_id: str) -> ConversionPolicy:
    """Return a store's policy."""
    return session.get(ConversionPolicy, store_id) or at_once(store_id)
