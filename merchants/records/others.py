"""What came for an invoice in listed tokens that it did not offer, and how much of it counts?

One row a token. Nothing was promised for such money, so it has no quote: it counts by what it sold
for when it was seen final, each payment at the price of its own moment.
"""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from engine.types import MONEY_MAX
from merchants.records.tables import Table

if TYPE_CHECKING:
    from merchants.records.tables import Invoice


class Other(Table):
    """One token that came and was not offered.

    In the token: ``seen_pips`` lie at the address, deep enough; ``credited_pips`` are booked;
    ``timely_pips`` of both came before the expiry; ``returned_pips`` were given back before the
    invoice settled. ``valued_pips`` of what is left have a value: ``worth_pips`` of the stablecoin,
    of which ``timely_worth_pips`` were there before the expiry; what had a value and was given back
    had counted for ``given_worth_pips``. ``quoted_ticks`` is the price that
    their sale takes its limit from, in the terms ``lot_pips`` and ``tick_pips``. ``value_at_ns`` is
    when to look for a price again, None for not before more comes; ``why`` says why what has no
    value has none.
    """

    __tablename__ = "others"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    token: Mapped[bytes] = mapped_column(primary_key=True)
    seen_pips: Mapped[int] = mapped_column(default=0)
    credited_pips: Mapped[int] = mapped_column(default=0)
    timely_pips: Mapped[int] = mapped_column(default=0)
    returned_pips: Mapped[int] = mapped_column(default=0)
    valued_pips: Mapped[int] = mapped_column(default=0)
    worth_pips: Mapped[int] = mapped_column(default=0)
    timely_worth_pips: Mapped[int] = mapped_column(default=0)
    given_worth_pips: Mapped[int] = mapped_column(default=0)
    quoted_ticks: Mapped[int] = mapped_column(default=0)
    lot_pips: Mapped[int] = mapped_column(default=0)
    tick_pips: Mapped[int] = mapped_column(default=0)
    value_at_ns: Mapped[int | None] = mapped_column(index=True)
    why: Mapped[str] = mapped_column(default="")

    invoice: Mapped["Invoice"] = relationship(back_populates="others")

    @property
    def came_pips(self) -> int:
        """Return what came of it: what is booked, and what lies at the address."""
        return min(self.seen_pips + self.credited_pips, MONEY_MAX)

    @property
    def left_pips(self) -> int:
        """Return what came of it and was not given back before it could pay."""
        return max(0, self.came_pips - self.returned_pips)

    def worth_of(self, pips: int) -> int:
        """Return how much of a price ``pips`` of what has a value pay, rounded down."""
        return pips * self.worth_pips // self.valued_pips if self.valued_pips else 0


def give_back(other: Other, returned_pips: int) -> None:
    """Let refunds give back ``returned_pips`` of it in all. What has no value is given back first;
    what goes of the rest takes its value along, and what comes later finds none of it."""
    other.returned_pips = returned_pips
    worth = other.worth_pips
    keep_what_is_left(other)
    other.given_worth_pips = min(other.given_worth_pips + worth - other.worth_pips, MONEY_MAX)


def keep_what_is_left(other: Other) -> None:
    """Let what has a value be no more than what is left of what came."""
    if other.valued_pips > other.left_pips:
        other.worth_pips = other.worth_of(other.left_pips)
        other.valued_pips = other.left_pips
    timely = min(other.valued_pips, max(0, other.timely_pips - other.returned_pips))
    other.timely_worth_pips = min(other.timely_worth_pips, other.worth_of(timely))


def new_other(invoice: "Invoice", token: bytes) -> Other:
    """Return the row of a token of which nothing has come before."""
    zeros = (
        *("seen_pips", "credited_pips", "timely_pips", "returned_pips", "valued_pips"),
        *("worth_pips", "timely_worth_pips", "given_worth_pips"),
        *("quoted_ticks", "lot_pips", "tick_pips"),
    )
    other = Other(token=token, value_at_ns=None, why="", **dict.fromkeys(zeros, 0))
    invoice.others.append(other)
    invoice.other_count += 1
    return other


def others_of(invoice: "Invoice") -> list[Other]:
    """Return what came of tokens that were not offered. Few invoices have any, and the others need
    no look into the rows for it."""
    return invoice.others if invoice.other_count else []


def other_of(invoice: "Invoice", token: bytes) -> Other | None:
    """Return what came of ``token``, which the invoice did not offer."""
    return next((other for other in others_of(invoice) if other.token == token), None)
