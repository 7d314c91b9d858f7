"""Which pay buttons has a shop made: what it sells at a fixed price to whoever presses?"""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class PayButton(Table):
    """One thing at one price. ``amount`` is the decimal string of ``currency`` that the shop has
    typed; ``tokens`` are symbols, space separated, none for all that the store takes. ``ended_ns``
    is when it stopped to sell, None for not yet."""

    __tablename__ = "pay_buttons"
    __table_args__ = (Index("pay_buttons_by_store", "store_id", "created_ns", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    name: Mapped[str]
    amount: Mapped[str]
    currency: Mapped[str]
    tokens: Mapped[str]
    redirect_url: Mapped[str]
    created_ns: Mapped[int]
    ended_ns: Mapped[int | None]
