"""How are the merchants' rows kept on disk?

SQLite in write-ahead mode with ``synchronous=FULL``: a commit that returned survives power loss.
Every transaction begins with the write lock (``BEGIN IMMEDIATE``), so a reader never has to be
turned into a writer and lose its work to SQLITE_BUSY.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

from merchants.model import Cursor, Table

BUSY_TIMEOUT_MS: Final = 10_000
CURSOR_ROW: Final = 1


def open_database(path: Path) -> Engine:
    """Open or create the database file at ``path``; its directory must exist."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def configure(connection: SqliteConnection, _record: object) -> None:
        # The driver must not open transactions on its own: it would begin them without the lock.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    Table.metadata.create_all(engine)
    with transaction(engine) as session:
        if session.get(Cursor, CURSOR_ROW) is None:
            session.add(Cursor(id=CURSOR_ROW, sequence=0))
    return engine


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
