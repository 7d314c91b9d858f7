"""What is gathered of a store's tokens, from which invoices, until it is worth a sale?

A sale takes whole lots and no less than the market's least order. What an invoice brought beyond
that, or all of it where the store's policy says so, it gives into the store's pot of that token,
and what the pot is sold for is shared over those who gave.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, ForeignKey, Index, bindparam, case, func, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from merchants.records.amounts import exact_sum, sum_of
from merchants.records.tables import Digits, Invoice, Table, dense_id, only
from settlement.protocol.eip712 import keccak256

GIFT_WAITS: Final = text("conversion_id IS NULL AND NOT is_kept")
"""The words of the index, which SQLite has to find again in a query."""


class Pot(Table):
    """One store's gathered tokens: ``pips`` that are in no sale yet, the oldest since ``since_ns``.

    ``look_at_ns`` is when to look whether they are to be sold, None for not before more comes;
    ``slices_left`` how many sales of a run over time are still to be made.
    """

    __tablename__ = "pots"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    token: Mapped[bytes] = mapped_column(primary_key=True)
    pips: Mapped[int]
    since_ns: Mapped[int]
    look_at_ns: Mapped[int | None] = mapped_column(index=True)
    slices_left: Mapped[int] = mapped_column(default=0)


class Gift(Table):
    """What one invoice gave into a pot, and into which sale it went; ``net_pips`` is its share of
    what that sale has brought so far. What ``is_kept`` stays as it came, and is in no pot."""

    __tablename__ = "gifts"
    __table_args__ = (Index("gifts_waiting", "store_id", "token", "pips", **only(GIFT_WAITS)),)

    id: Mapped[int] = mapped_column(dense_id, primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    token: Mapped[bytes]
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    pips: Mapped[int]
    conversion_id: Mapped[str | None] = mapped_column(ForeignKey("conversions.id"), index=True)
    is_kept: Mapped[bool] = mapped_column(default=False)
    net_pips: Mapped[int] = mapped_column(Digits, default=0)

    invoice: Mapped[Invoice] = relationship(back_populates="gifts")


def keep_gathered(session: Session, store_id: str) -> None:
    """Let all that waits in a store's pots stay as it came: it will be in no sale."""
    waiting = update(Gift).where(GIFT_WAITS, Gift.store_id == store_id)
    session.execute(waiting.values(is_kept=True))
    emptied = {"pips": 0, "look_at_ns": None, "slices_left": 0}
    session.execute(update(Pot).where(Pot.store_id == store_id).values(emptied))


class Given(NamedTuple):
    """What an invoice gave of one token, in pips: in all, still in the pot, and kept as it came."""

    token: bytes
    pips: int
    waiting_pips: int
    kept_pips: int


def pot_ref(store_id: str) -> bytes:
    """Return the reference of what a store's pots are sold for, as an invoice has one."""
    return keccak256(store_id.encode())


_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_waiting = case((GIFT_WAITS, Gift.pips), else_=0)
_kept = case((Gift.is_kept, Gift.pips), else_=0)
_GIVEN: Final = (
    select(
        Gift.invoice_id,
        Gift.token,
        *exact_sum(Gift.pips),
        *exact_sum(_waiting),
        *exact_sum(_kept),
    )
    .where(Gift.invoice_id.in_(_IDS))
    .group_by(Gift.invoice_id, Gift.token)
)


def given_by(session: Session, invoice_ids: Sequence[str]) -> dict[str, tuple[Given, ...]]:
    """Return what each of some invoices gave, by token, in one query."""
    found: dict[str, tuple[Given, ...]] = dict.fromkeys(invoice_ids, ())
    for invoice_id, token, *halves in session.execute(_GIVEN, {"ids": list(invoice_ids)}):
        sums = (sum_of(halves[n : n + 2]) for n in (0, 2, 4))
        found[invoice_id] += (Given(token, *sums),)
    return found


_IN_POT: Final = select(func.coalesce(func.max(Pot.pips), 0)).where(
    Pot.store_id == bindparam("store_id"), Pot.token == bindparam("token")
)


def in_pot(session: Session, store_id: str, token: bytes) -> int:
    """Return the pips that are gathered and in no sale yet."""
    return session.scalars(_IN_POT, {"store_id": store_id, "token": token}).one()
