"""In which tokens may an invoice be paid, at which price, and what came in each of them?

One row a token. The price of the invoice is one; each option has its own quote, and what came in
it pays by that quote. All options of an invoice have one address.
"""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from merchants.records.others import Other
from merchants.records.tables import Table

if TYPE_CHECKING:
    from merchants.records.tables import Invoice


class Option(Table):
    """One token that pays an invoice; ``number`` counts those of an invoice from 0.

    ``due_*``, ``seen_pips``, ``credited_pips``, ``timely_pips`` are in the token, ``proceeds_pips``
    and ``fee_pips`` in the invoice's stablecoin. ``seen_pips`` is what lies at the address as far
    as transfers are known, ``credited_pips`` what the engine has booked, by whatever road: what
    came is their sum. ``timely_pips`` is what of it came before the expiry, ``returned_pips`` what
    refunds gave back, or promise to, before the invoice settled: that pays nothing. ``lots`` and
    ``quoted_ticks`` are in the terms of the quote, ``lot_pips`` and ``tick_pips`` (see
    ``merchants.records.terms``); all four are 0 where nothing is sold.
    """

    __tablename__ = "options"

    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    token: Mapped[bytes] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(server_default="0")
    lots: Mapped[int]
    quoted_ticks: Mapped[int]
    lot_pips: Mapped[int] = mapped_column(server_default="0")
    tick_pips: Mapped[int] = mapped_column(server_default="0")
    rate_pips: Mapped[int]
    due_pips: Mapped[int]
    due_raw: Mapped[str]
    proceeds_pips: Mapped[int]
    fee_pips: Mapped[int]
    seen_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    credited_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    timely_pips: Mapped[int] = mapped_column(default=0, server_default="0")
    returned_pips: Mapped[int] = mapped_column(default=0, server_default="0")

    invoice: Mapped["Invoice"] = relationship(back_populates="options")


Way = Option | Other
"""A token in which money came, whether it was asked for or not."""


def option_of(invoice: "Invoice", token: bytes) -> Option | None:
    """Return the option to pay ``invoice`` in ``token``."""
    return next((option for option in invoice.options if option.token == token), None)
