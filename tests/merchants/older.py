"""How does a file of today become one of the first revision, as the version before had it?

For tests alone: the product goes forward. What a revision moves is moved back here (``FORMER``).
"""

from contextlib import closing
from sqlite3 import connect

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from merchants.records.migrations import first
from merchants.records.tables import Table

_GRANT = "(SELECT {} FROM grants WHERE grants.store_id = stores.id ORDER BY nonce LIMIT 1)"

FORMER = {
    ("stores", column): _GRANT.format(column.removeprefix("grant_"))
    for column in (
        *("base", "quote", "key_address", "grant_expiry", "grant_notional_cap"),
        *("grant_floor_price", "grant_nonce", "grant_signature", "grant_relayed"),
    )
}
FORMER |= {
    ("invoices", column): f"(SELECT {column} FROM options WHERE invoice_id = invoices.id LIMIT 1)"
    for column in (
        *("token", "lots", "quoted_ticks", "lot_pips", "tick_pips", "rate_pips", "due_pips"),
        *("due_raw", "proceeds_pips", "fee_pips", "seen_pips", "credited_pips", "timely_pips"),
    )
}
"""What a column of the first revision held, said in the tables of today."""

FORMER["stores", "api_key_hash"] = (
    "(SELECT hash FROM api_keys WHERE api_keys.store_id = stores.id ORDER BY created_ns LIMIT 1)"
)

for _name in ("url", "secrets", "enabled"):
    FORMER["stores", f"webhook_{_name}"] = (
        f"(SELECT {_name} FROM endpoints WHERE endpoints.store_id = stores.id LIMIT 1)"
    )

GONE = {
    "deliveries": "INSERT INTO deliveries SELECT event_id, store_id, subject_id, state, attempts,"
    " next_attempt_ns, last_status, last_error FROM webhook_deliveries"
}
"""What a table of the first revision held that is there no more."""


def made_first(path):
    """Take away what came later, and bring back what has gone; the file says no revision."""
    with closing(connect(path)) as file, file:
        for table in first.SCHEMA.sorted_tables:
            if table.name in GONE:
                file.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    file.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
                file.execute(GONE[table.name])
                continue
            there = {row[1] for row in file.execute(f"PRAGMA table_info({table.name})")}
            for column in table.c:
                if column.name not in there:
                    file.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.name}")
                    was = FORMER[table.name, column.name]
                    file.execute(f"UPDATE {table.name} SET {column.name} = {was}")
        for table in reversed(Table.metadata.sorted_tables):
            before = first.SCHEMA.tables.get(table.name)
            if before is None:
                file.execute(f"DROP TABLE {table.name}")
                continue
            known = {index.name for index in before.indexes}
            for index in table.indexes:
                if index.name not in known:
                    file.execute(f"DROP INDEX {index.name}")
            for column in table.c:
                if column.name not in before.c:
                    file.execute(f"ALTER TABLE {table.name} DROP COLUMN {column.name}")
        file.execute("DROP TABLE alembic_version")
