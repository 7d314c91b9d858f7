"""How are the merchants' rows kept on disk?

In a file of their own, opened like settlement's (``settlement.storage.database``): what may write
(``transaction``) begins with the write lock, what only reads (``reading``) takes none.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, select, text, update
from sqlalchemy.orm import Session

from engine.journal.reader import Position
from merchants.records.amounts import exact_sum, sum_of
from merchants.records.api_keys import move_keys_of_old
from merchants.records.endpoints import move_endpoints_of_old
from merchants.records.grants import move_grants_of_old
from merchants.records.tables import FORMER_INDEXES, Conversion, Cursor, Fill, Invoice, Table
from settlement.storage.database import open_file

CURSOR_ROW: Final = 1


def open_database(path: Path) -> Engine:
    """Open or create the database file at ``path``; its directory must exist."""
    engine = open_file(path)
    _add_what_is_new(engine)
    with transaction(engine) as session:
        if session.get(Cursor, CURSOR_ROW) is None:
            session.add(Cursor(id=CURSOR_ROW, sequence=0, head=b""))
    return engine


def _add_what_is_new(engine: Engine) -> None:
    """Make the tables of a new file; give those of an old one the columns and indexes it lacks.

    A new column is empty or has a default in the database, so that no row need be rewritten.
    """
    known = inspect(engine)
    tables = set(known.get_table_names())
    lacking = [
        column
        for table in Table.metadata.sorted_tables
        if table.name in tables
        for column in table.columns
        if column.name not in {row["name"] for row in known.get_columns(table.name)}
    ]
    with engine.begin() as connection:
        for column in lacking:
            assert column.nullable or column.server_default is not None, f"{column} has no default"
            name, kind = column.name, column.type.compile(engine.dialect)
            # SQLAlchemy's own plain text: "0", never something that came from outside.
            default = getattr(column.server_default, "arg", "NULL")
            empty = "" if column.nullable else " NOT NULL"
            added = f"{name} {kind}{empty} DEFAULT {default}"
            connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {added}"))
            if (column.table.name, name) == ("conversions", "store_id"):
                whose = "SELECT store_id FROM invoices WHERE id = conversions.invoice_id"
                connection.execute(text(f"UPDATE conversions SET store_id = ({whose})"))
            if (column.table.name, name) == ("invoices", "timely_pips"):
                # Until then seen_pips was all that came, now it is what is not booked yet.
                connection.execute(text("UPDATE invoices SET timely_pips = seen_pips"))
                connection.execute(
                    text("UPDATE invoices SET seen_pips = MAX(0, seen_pips - credited_pips)")
                )
        if {"proceeds_pips", "fee_pips", "net_pips"} & {
            column.name for column in lacking if column.table.name in ("conversions", "invoices")
        }:
            _add_up_fills(connection)
        Table.metadata.create_all(connection)
        move_grants_of_old(connection)
        move_keys_of_old(connection)
        move_endpoints_of_old(connection)
        for index in (index for table in Table.metadata.sorted_tables for index in table.indexes):
            index.create(connection, checkfirst=True)
        for former in FORMER_INDEXES:
            connection.execute(text(f"DROP INDEX IF EXISTS {former}"))


def _add_up_fills(connection: Connection) -> None:
    """Write down what sales have brought so far: until then it was added up at each look."""
    nets: Counter[str] = Counter()
    brought = connection.execute(
        select(
            Conversion.id,
            Conversion.invoice_id,
            *exact_sum(Fill.proceeds_pips),
            *exact_sum(Fill.fee_pips),
        )
        .join(Fill, Fill.conversion_id == Conversion.id)
        .group_by(Conversion.id)
    )
    for name, invoice_id, *halves in brought.all():
        proceeds, fee = sum_of(halves[:2]), sum_of(halves[2:])
        nets[invoice_id] += proceeds - fee
        values = {"proceeds_pips": proceeds, "fee_pips": fee}
        connection.execute(update(Conversion).where(Conversion.id == name).values(values))
    for invoice_id, net in nets.items():
        connection.execute(update(Invoice).where(Invoice.id == invoice_id).values(net_pips=net))


def sequence_in(session: Session) -> int:
    """Return the last command of which the consequences are in these rows."""
    return session.get_one(Cursor, CURSOR_ROW).sequence


def place_in(session: Session) -> Position | None:
    """Return how far these rows have come in the log; None where they do not say of which."""
    row = session.get_one(Cursor, CURSOR_ROW)
    return None if row.head is None else Position(row.sequence, row.head)


def move_cursor(session: Session, place: Position) -> None:
    """Note that everything up to ``place`` is in these rows."""
    row = session.get_one(Cursor, CURSOR_ROW)
    row.sequence, row.head = place


def is_there(engine: Engine, query: str, name: str | bytes) -> bool:
    """Return whether ``query``, with ``name`` in it, finds a row: one statement on its own.

    For names that anybody may make up: a transaction locks the file and costs twenty times this.
    """
    connection = engine.raw_connection()
    try:
        return connection.cursor().execute(query, (name,)).fetchone() is not None
    finally:
        connection.close()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Give a session whose changes are on disk when the block ends, or gone if it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Give a session that sees all rows as of one moment and holds nobody up; any thread may."""
    with transaction(engine.execution_options(reads_only=True)) as session:
        yield session
        assert not (session.dirty or session.new or session.deleted), "who writes takes the lock"
