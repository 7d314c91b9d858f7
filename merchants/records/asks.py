"""How much do open invoices already ask of what may be sold?

One row a store, token and stablecoin, and one of all stores together (``EVERYBODY``), kept when an
invoice opens and when it is open no more: nobody has to add up open invoices to make another.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from merchants.records.tables import Digits, Invoice, Table

EVERYBODY: Final = ""
"""Where the id of a store stands."""


class Ask(Table):
    """What all open invoices together would be paid for one token, in pips of the stablecoin;
    ``pressed_pips`` of it by invoices that customers made by pressing a button of the shop's."""

    __tablename__ = "asks"

    store_id: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[bytes] = mapped_column(primary_key=True)
    settle: Mapped[bytes] = mapped_column(primary_key=True)
    open_pips: Mapped[int] = mapped_column(Digits, default=0)
    pressed_pips: Mapped[int] = mapped_column(Digits, default=0)


class Open(NamedTuple):
    """What is asked of one token's sale already: by a store's own invoices, by those that were
    pressed at it, and by all stores'."""

    own_pips: int = 0
    pressed_pips: int = 0
    all_pips: int = 0


def open_asks(
    session: Session, store_id: str, settle: bytes, tokens: Iterable[bytes]
) -> dict[bytes, Open]:
    """Return what is asked by token, in one query."""
    wanted = list(tokens)
    rows = _rows(session, store_id, settle, wanted) if wanted else {}
    found = {}
    for token in wanted:
        own, everybody = rows.get((store_id, token)), rows.get((EVERYBODY, token))
        pressed = own.pressed_pips if own else 0
        found[token] = Open(
            own.open_pips - pressed if own else 0,
            pressed,
            everybody.open_pips if everybody else 0,
        )
    return found


def count_open(session: Session, invoice: Invoice, times: int) -> None:
    """Count what an invoice asks that is open now; ``times`` is -1 for one that is no more."""
    asked = {
        option.token: option.proceeds_pips
        for option in invoice.options
        if option.token != invoice.settle
    }
    if not asked:
        return
    rows = _rows(session, invoice.store_id, invoice.settle, list(asked))
    for token, pips in asked.items():
        for whose in (invoice.store_id, EVERYBODY):
            row = rows.get((whose, token))
            if row is None:
                row = Ask(
                    store_id=whose,
                    token=token,
                    settle=invoice.settle,
                    open_pips=0,
                    pressed_pips=0,
                )
                session.add(row)
                session.info[Ask][whose, token, invoice.settle] = row
            row.open_pips = max(0, row.open_pips + times * pips)
            if invoice.is_pressed:
                row.pressed_pips = max(0, row.pressed_pips + times * pips)


_ROWS: Final = select(Ask).where(
    Ask.store_id.in_(bindparam("whose", expanding=True)),
    Ask.settle == bindparam("settle"),
    Ask.token.in_(bindparam("tokens", expanding=True)),
)


def _rows(
    session: Session, store_id: str, settle: bytes, tokens: list[bytes]
) -> dict[tuple[str, bytes], Ask]:
    """Return what rows there are; they are read once a transaction, whichever invoices open or end
    in it."""
    known: dict[tuple[str, bytes, bytes], Ask | None] = session.info.setdefault(Ask, {})
    whose = (store_id, EVERYBODY)
    missing = {(one, token, settle) for one in whose for token in tokens} - known.keys()
    if missing:
        rows = session.scalars(_ROWS, {"whose": whose, "settle": settle, "tokens": tokens})
        known |= dict.fromkeys(missing)
        known |= {(row.store_id, row.token, row.settle): row for row in rows}
    found = {(one, token): known[one, token, settle] for one in whose for token in tokens}
    return {key: row for key, row in found.items() if row is not None}
