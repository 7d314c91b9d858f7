"""Where are the merchants' rows kept, and how are they read and written?

In a file of their own, opened like settlement's (``settlement.storage.database``), or on a Postgres
server (``settlement.storage.server``). On either what may write (``transaction``) begins with the
write lock, what only reads (``reading``) takes none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from engine.journal.reader import Position
from merchants.records import (
    api_keys,
    applications,
    asks,
    confirmations,
    embedding,
    endpoints,
    exception_policies,
    grants,
    invoice_notes,
    movements,
    options,
    others,
    pay_buttons,
    people,
    policies,
    pots,
    refunds,
)
from merchants.records.schema import bring_up
from merchants.records.tables import Cursor
from settlement.storage.database import open_file
from settlement.storage.server import open_server

CURSOR_ROW: Final = 1

ROOMS: Final = (
    api_keys,
    asks,
    confirmations,
    applications,
    embedding,
    endpoints,
    exception_policies,
    grants,
    invoice_notes,
    movements,
    options,
    others,
    pay_buttons,
    people,
    policies,
    pots,
    refunds,
)
"""Files with tables of their own: imported, so that ``Table.metadata`` knows these."""


def open_database(place: Path | str) -> Engine:
    """Open or create the database in the file at ``place``, whose directory must exist, or on the
    server that ``place`` is the URL of: an empty database of ours alone.

    Raises ``SchemaUnknown``; of a server ``BadAddress`` and ``ServerLost``.
    """
    engine = open_file(place) if isinstance(place, Path) else open_server(place)
    bring_up(engine)
    with reading(engine) as session:
        is_new = session.get(Cursor, CURSOR_ROW) is None
    if is_new:
        with transaction(engine) as session:
            if session.get(Cursor, CURSOR_ROW) is None:
                session.add(Cursor(id=CURSOR_ROW, sequence=0, head=b""))
    return engine


def name_of(engine: Engine) -> str:
    """Return what operators know the database by."""
    where = engine.url
    if where.drivername == "sqlite":
        return Path(where.database or "").name
    return f"{where.database} at {where.host or 'a socket'}"


def sequence_in(session: Session) -> int:
    """Return the last command of which the consequences are in these rows."""
    return session.get_one(Cursor, CURSOR_ROW).sequence


def place_in(session: Session) -> Position | None:
    """Return how far these rows have come in the log; None where they do not say of which."""
    row = session.get_one(Cursor, CURSOR_ROW)
    return None if row.head is None else Position(row.sequence, row.head)


def move_cursor(session: Session, place: Position) -> None:
    """Note that everything up to ``place`` is in these rows."""
    there = {"sequence": place.sequence, "head": place.head}
    session.execute(update(Cursor).where(Cursor.id == CURSOR_ROW).values(there))


def is_there(engine: Engine, query: str, name: str | bytes) -> bool:
    """Return whether ``query``, with ``name`` in it, finds a row: one statement on its own.

    For names that anybody may make up: a transaction locks the file and costs twenty times this.
    ``query`` has a ``?`` for the name, which is how SQLite wants it, and nothing else of one.
    """
    if isinstance(name, str) and "\0" in name:
        return False  # Postgres would not even read it.
    if engine.dialect.name != "sqlite":
        query = query.replace("?", "%s")
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(query, (name,))
        return cursor.fetchone() is not None
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
