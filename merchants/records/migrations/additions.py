"""What do tables lack that a schema has?

Made without rewriting a row: a new column may be empty or has a default in the database.
"""

from sqlalchemy import Column, Connection, MetaData, inspect, text
from sqlalchemy.schema import CreateColumn


def add_what_is_new(connection: Connection, schema: MetaData) -> set[tuple[str, str]]:
    """Make tables, columns and indexes of ``schema`` that are not there; return the new columns of
    tables that were, by table and name."""
    known = inspect(connection)
    tables = set(known.get_table_names())
    added = set()
    for table in schema.sorted_tables:
        if table.name not in tables:
            table.create(connection)
            continue
        columns = {row["name"] for row in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                _add(connection, column)
                added.add((table.name, column.name))
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    return added


def _add(connection: Connection, column: Column[object]) -> None:
    assert column.nullable or column.server_default is not None, f"{column} has no default"
    # SQLAlchemy's own words for it: nothing in them ever came from outside.
    spelled = str(CreateColumn(column).compile(dialect=connection.dialect))
    for key in column.foreign_keys:
        spelled += f" REFERENCES {key.column.table.name} ({key.column.name})"
    connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {spelled}"))
