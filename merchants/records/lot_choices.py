"""Which lots did a shop say that a trade has sold, and up to when are its books closed?"""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from merchants.records.tables import Table


class LotChoice(Table):
    """``pips`` of the lot that a deposit brought (``tx_hash``, ``log_index``: its ``Credit``) are
    sold by a trade. ``chosen_ns`` is when the store said so, 0 where that was written down when the
    period was closed: then it is what the report had said."""

    __tablename__ = "lot_choices"
    __table_args__ = (Index("lot_choices_of_store", "store_id", "token", "trade_id"),)

    trade_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    token: Mapped[bytes]
    tx_hash: Mapped[bytes]
    log_index: Mapped[int]
    pips: Mapped[int]
    chosen_ns: Mapped[int]


class LotClosing(Table):
    """Lots of what a store sold before ``until_ns`` are chosen no more."""

    __tablename__ = "lot_closings"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    until_ns: Mapped[int]
