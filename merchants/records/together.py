"""What is asked of the rows once for many invoices, so that none of them asks for itself?

A block may pay two hundred invoices, and what each of them had to read made two hundred times as
many statements. Who is about to move many on reads first, by ``TOGETHER`` and these functions, all
that they will look at; who moves one reads what he finds missing, as ever. All of it lasts for one
transaction.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import select, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from merchants.records.pots import Gift
from merchants.records.tables import Conversion, Invoice, Order, Payment, Sweep

TOGETHER: Final = tuple(
    selectinload(rows) for rows in (Invoice.payments, Invoice.sweeps, Invoice.credits)
)
"""Options of a query for invoices: what came for them and what left comes along."""

WITH_INVOICE: Final = selectinload(Conversion.invoice)
JOINED_INVOICE: Final = joinedload(Conversion.invoice, innerjoin=True)
"""Options of a query for many sales, and for one: whose it is comes along."""

WITH_SALE: Final = joinedload(Order.conversion, innerjoin=True).joinedload(
    Conversion.invoice, innerjoin=True
)
"""Option of a query for an order: what it sells, and whose that is, come along."""

Place = tuple[bytes, int]
"""A transfer or a log entry: its transaction, and which there."""

Placed = TypeVar("Placed", Payment, Sweep)
Found = TypeVar("Found")


READ_MAX: Final = 100
"""Most invoices that are asked for at once."""


def read_invoices(
    session: Session, column: InstrumentedAttribute[bytes], names: Collection[bytes]
) -> Iterator[Invoice]:
    """Yield the invoices that have one of ``names``, with all that their moving on looks at."""
    rest = iter(sorted(names))
    while chunk := list(islice(rest, READ_MAX)):
        query = select(Invoice).where(column.in_(chunk)).options(*TOGETHER)
        invoices = session.scalars(query).all()
        know_unsold(session, invoices)
        yield from invoices


def know_unsold(session: Session, invoices: Sequence[Invoice]) -> None:
    """See, before anything is sold, of which invoices nothing was sold or given to a pot so far."""
    names = [invoice.id for invoice in invoices]
    of_sales, of_gifts = (
        select(kind.invoice_id).where(kind.invoice_id.in_(names)) for kind in (Conversion, Gift)
    )
    sold = set(session.scalars(union(of_sales, of_gifts))) if names else set()
    for invoice in invoices:
        if invoice.id not in sold:
            set_committed_value(invoice, "conversions", [])
            set_committed_value(invoice, "gifts", [])


def know_ungiven(session: Session, invoices: Sequence[Invoice]) -> None:
    """See which invoices have given nothing to a pot so far."""
    names = {invoice.id for invoice in invoices}
    query = select(Gift.invoice_id).where(Gift.invoice_id.in_(sorted(names))).distinct()
    given = set(session.scalars(query)) if names else set()
    for invoice in invoices:
        if invoice.id not in given:
            set_committed_value(invoice, "gifts", [])


def has_none(invoice: Invoice, *names: str) -> bool:
    """Return whether it is known, without asking, that ``invoice`` has no rows of these names."""
    return all(not invoice.__dict__.get(name, True) for name in names)


def read_places(session: Session, kind: type[Placed], places: Collection[Place]) -> None:
    """Read the rows that stand at some places, so that ``row_at`` need not ask for them."""
    at = tuple_(kind.tx_hash, kind.log_index)
    rows = session.scalars(select(kind).where(at.in_(sorted(places)))).all() if places else ()
    known = session.info.setdefault(kind, {})
    known |= dict.fromkeys(places)
    known |= {(row.tx_hash, row.log_index): row for row in rows}


def row_at(session: Session, kind: type[Placed], place: Place) -> Placed | None:
    """Return the row at a place, which is none of those that this transaction has made."""
    known: dict[Place, Placed | None] = session.info.get(kind, {})
    return known[place] if place in known else session.get(kind, place)


def once(session: Session, key: Hashable, find: Callable[[], Found]) -> Found:
    """Return what ``find`` found when it was first asked for ``key`` in this transaction; for rows
    that the transaction does not change."""
    known: dict[Any, Found] = session.info
    if key not in known:
        known[key] = find()
    return known[key]
