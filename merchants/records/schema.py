"""Of which version are the rows' tables, and how do they become this version's?

A revision is a file in ``migrations/versions``. An empty database gets today's tables at once; one
that has rows goes through the revisions after its own, all in one transaction under the writers'
lock: it is of this version when that is committed, or as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

from merchants.records import tables

HEAD: Final = "0002"
"""The revision that makes what is declared today."""

FIRST: Final = "0001"
KNOWN: Final = (FIRST, HEAD)

_VERSION: Final = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


class SchemaUnknown(Exception):
    """The rows were written by a later version than this one; in one line."""


def revision_of(connection: Connection) -> str | None:
    """Return the revision that the tables are of; None where they do not say."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def bring_up(engine: Engine) -> None:
    """Let the tables be those of this version. Raises ``SchemaUnknown``, with nothing changed."""
    with engine.execution_options(reads_only=True).begin() as connection:
        if revision_of(connection) == HEAD:
            return  # As nearly always: nobody is kept from writing meanwhile.
    with _rebuilding(engine) as connection:
        found = revision_of(connection)
        if found == HEAD:
            return
        if found is None and not inspect(connection).has_table("cursor"):
            tables.Table.metadata.create_all(connection)
            stamp(connection, HEAD)
            return
        if found is not None and found not in KNOWN:
            raise SchemaUnknown(
                f"the shops' rows are of revision {found}, which a later version has made; this "
                f"one knows {', '.join(KNOWN)}"
            )
        if found is None:
            from merchants.records.migrations.before import bring_to_first

            bring_to_first(connection)
            stamp(connection, FIRST)
        upgrade(connection)


@contextmanager
def _rebuilding(engine: Engine) -> Iterator[Connection]:
    """Give a transaction in which tables may be made anew: SQLite does that by dropping them, and
    then looks at its end, not at each step, whether every reference still leads to a row."""
    is_file = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None, "it is connected"
        if is_file:
            driver.execute("PRAGMA foreign_keys=OFF")  # Within a transaction it would say nothing.
        try:
            with connection.begin():
                yield connection
                if is_file:
                    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    assert lost is None, f"a row refers to one that is not there: {lost}"
        finally:
            if is_file:
                driver.execute("PRAGMA foreign_keys=ON")


def stamp(connection: Connection, revision: str) -> None:
    """Write down that the tables are of ``revision``."""
    _VERSION.create(connection, checkfirst=True)
    connection.execute(_VERSION.delete())
    connection.execute(_VERSION.insert().values(version_num=revision))


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Carry out the revisions up to ``to``, in the transaction of ``connection``."""
    # Imported where it is needed: a start without anything to do does not wait for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
