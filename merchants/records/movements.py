"""What else came to a shop's account, and what did its wallet take out of it?

Deposits that paid no invoice, withdrawals and those that came back: with what invoices brought and
sales turned over, that is all of the account but for what its wallet trades by itself.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import Enum, Index
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class MovementKind(StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


KIND_SIZE: Final = 16


class Movement(Table):
    """One command that changed what a store's wallet has, from the time of its first store on.

    ``pips`` is how much; a withdrawal's ``returned_pips`` came back, for it was never paid.
    ``receiver`` is where it was to be paid, empty for a deposit; ``tx_hash`` a deposit's own.
    """

    __tablename__ = "movements"
    __table_args__ = (Index("movements_of_wallet", "wallet", "kind", "sequence"),)

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    wallet: Mapped[bytes]
    kind: Mapped[MovementKind] = mapped_column(
        Enum(
            MovementKind,
            native_enum=False,
            length=KIND_SIZE,
            values_callable=lambda members: [member.value for member in members],
        )
    )
    token: Mapped[bytes]
    pips: Mapped[int]
    returned_pips: Mapped[int] = mapped_column(default=0)
    returned_at: Mapped[int] = mapped_column(default=0, server_default="0")
    """The command that brought that back; 0 for none."""
    time_ns: Mapped[int]
    receiver: Mapped[bytes] = mapped_column(default=b"")
    tx_hash: Mapped[bytes] = mapped_column(default=b"")
