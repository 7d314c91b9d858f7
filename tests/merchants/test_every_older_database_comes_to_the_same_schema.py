"""An empty database and one of each earlier revision come to the tables that are declared.

Somebody who adds a column without a revision that makes it sees the first of these fail.
"""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from merchants.records import schema
from merchants.records.database import open_database
from merchants.records.migrations import first
from merchants.records.schema import SchemaUnknown
from merchants.records.tables import Table
from settlement.storage.database import open_file
from settlement.storage.server import open_server

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """Where an empty database is, not even with our tables."""
    if request.param == "sqlite":
        yield tmp_path / "merchants.sqlite"
        return
    server = request.getfixturevalue("server")
    name = server.fresh()
    yield server.url(name)
    server.drop(name)


def opened(place):
    return open_server(place) if isinstance(place, str) else open_file(place)


def differences(engine):
    """Return in what the tables are not those that are declared."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return compare_metadata(context, Table.metadata)


def conditions(engine):
    """Return of which rows each partial index is."""
    found = {}
    for table in Table.metadata.sorted_tables:
        for index in inspect(engine).get_indexes(table.name):
            if index.get("duplicates_constraint"):
                continue  # Postgres lists those that a constraint makes.
            options = index.get("dialect_options", {})
            condition = str(options.get(f"{engine.dialect.name}_where", ""))
            found[index["name"]] = re.findall(r"'(\w+)'", condition)
    return found


def first_made(engine):
    with engine.begin() as connection:
        first.SCHEMA.create_all(connection)
        connection.execute(text("INSERT INTO cursor (id, sequence, head) VALUES (1, 0, NULL)"))
        schema.stamp(connection, schema.FIRST)


def test_revisions_one_after_the_other_make_what_is_declared(place):
    engine = opened(place)
    with engine.begin() as connection:
        schema.upgrade(connection)
        assert schema.revision_of(connection) == schema.HEAD
    assert differences(engine) == []
    engine.dispose()


def test_an_empty_database_gets_what_is_declared_at_once(place):
    engine = open_database(place)
    assert differences(engine) == []
    with engine.connect() as connection:
        assert schema.revision_of(connection) == schema.HEAD
    engine.dispose()


def test_both_roads_lead_to_the_same_indexes(place, tmp_path):
    straight = open_database(tmp_path / "straight")
    engine = opened(place)
    first_made(engine)
    open_database(place).dispose()
    engine.dispose()  # A connection of before has the tables of before in mind.
    assert conditions(engine) == conditions(straight)
    assert ["pending"] in conditions(engine).values()
    for one in (engine, straight):
        one.dispose()


def test_a_database_of_the_first_revision_keeps_its_rows(place):
    engine = opened(place)
    first_made(engine)
    fill(engine)
    before = rows_of(engine)
    open_database(place).dispose()
    assert differences(engine) == []
    assert rows_of(engine) == before
    engine.dispose()


def fill(engine):
    """Put one row of made up values into each table, parents first."""
    with engine.begin() as connection:
        for table in first.SCHEMA.sorted_tables:
            if table.name != "cursor":
                connection.execute(table.insert().values({c.name: made_up(c) for c in table.c}))


def made_up(column):
    kind = column.type.python_type
    if column.name == "state":
        states = {"invoices": "settled", "payments": "final", "conversions": "final"}
        return {"deliveries": "delivered", "fills": "final", **states}[column.table.name]
    if column.name == "exception":
        return "none"
    return {int: 1, bool: True, bytes: b"\x01" * 20, str: "1"}[kind]


MOVED = {"deliveries": "webhook_deliveries"}
"""Tables of the first revision that have another name today."""


def rows_of(engine):
    """Return of each table of the first revision what its columns hold that are still there."""
    with engine.connect() as connection:
        kept = {}
        for table in first.SCHEMA.sorted_tables:
            today = MOVED.get(table.name, table.name)
            where = table.name if inspect(connection).has_table(table.name) else today
            there = {row["name"] for row in inspect(connection).get_columns(where)}
            declared = Table.metadata.tables[today].c.keys()
            names = [c.name for c in table.c if c.name in there and c.name in declared]
            found = connection.execute(text(f"SELECT {', '.join(names)} FROM {where}"))
            kept[table.name] = [dict(zip(names, row, strict=True)) for row in found]
        return kept


def test_a_database_of_a_later_version_is_left_alone(place):
    engine = open_database(place)
    with engine.begin() as connection:
        schema.stamp(connection, "9999")
    with pytest.raises(SchemaUnknown, match="9999"):
        open_database(place)
    with engine.connect() as connection:
        assert schema.revision_of(connection) == "9999"
    engine.dispose()


def test_a_revision_that_fails_leaves_the_database_as_it_was(place):
    """The lock, the tables and the stamp are of one transaction."""
    engine = opened(place)
    first_made(engine)
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        schema.upgrade(connection)
        raise ZeroDivisionError
    with engine.connect() as connection:
        assert schema.revision_of(connection) == schema.FIRST
    open_database(place).dispose()
    assert differences(engine) == []
    engine.dispose()


def test_the_version_that_is_written_down_is_that_of_the_last_revision():
    config = Config()
    config.set_main_option("script_location", schema.__file__.replace("schema.py", "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]
    known = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert sorted(known) == sorted(schema.KNOWN)
