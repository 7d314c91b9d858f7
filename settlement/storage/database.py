"""How is a database file opened, so that what is committed stays?

SQLite in write-ahead mode with ``synchronous=FULL``: a commit that returned survives power loss.
What may write begins with the write lock (``BEGIN IMMEDIATE``), so a reader never has to be
turned into a writer and lose its work to SQLITE_BUSY. What only reads (execution option
``reads_only``) takes no lock: it sees the rows as they were when it began, and nobody waits for it.
"""

from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event

BUSY_TIMEOUT_MS: Final = 10_000


def open_file(path: Path, *, writers_take_turns: bool = False) -> Engine:
    """Open or create the database file at ``path``; its directory must exist.

    Whose ``writers_take_turns`` by a lock of their own needs none of SQLite's at the beginning.
    """
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
        options = connection.get_execution_options()
        is_plain = writers_take_turns or options.get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if is_plain else "BEGIN IMMEDIATE")

    return engine
