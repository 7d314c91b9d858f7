"""Revision 0002: what this version adds to the shops' rows.

How to add a table or a column while this version is in the making:

1. Declare it (a new file in ``merchants/records/``, or ``tables.py``) and import the file in
   ``merchants/records/database.py``. A new column of an old table is nullable or has a
   ``server_default`` (``"0"``, ``""``; a boolean's is ``"0"`` as well). Nothing else is to be done:
   the tables, columns and indexes of ``Table.metadata`` that are not there are made below. A
   partial index has ``sqlite_where`` and ``postgresql_where``.
2. Where rows of before mean something else now, or fill the new table: a function of yours, called
   at the end of ``upgrade``, in plain SQL that both SQLite and Postgres read. No model classes:
   they will be others when somebody comes with a file of today.
3. A column that goes: ``op.drop_column(table, name)`` after its rows were moved. Its indexes first.
   One that is kept but no longer written has to become nullable or get a default, else no row can
   be added: it is simpler to let it go.

``tests/merchants/test_every_older_database_comes_to_the_same_schema.py`` holds it to the
declarations, on both databases; tests that need a file of before make one with
``tests/merchants/older.py``, which is told what a moved column had held. When this version is
released the revision is frozen: its tables are copied as ``first.py`` was, and the next revision is
a file of its own.
"""

from collections import Counter
from typing import Final

from alembic import op
from sqlalchemy import Connection, String, inspect, text

from merchants.records.migrations.additions import add_what_is_new
from merchants.records.tables import Table

revision = "0002"
down_revision = "0001"

_GRANT_OF_STORE: Final = (
    "base",
    "quote",
    "key_address",
    "grant_expiry",
    "grant_notional_cap",
    "grant_floor_price",
    "grant_nonce",
    "grant_signature",
    "grant_relayed",
)

_ENDPOINT_OF_STORE: Final = ("webhook_url", "webhook_secrets", "webhook_enabled")


_OPTION_OF_INVOICE: Final = (
    "token",
    "lots",
    "quoted_ticks",
    "lot_pips",
    "tick_pips",
    "rate_pips",
    "due_pips",
    "due_raw",
    "proceeds_pips",
    "fee_pips",
    "seen_pips",
    "credited_pips",
    "timely_pips",
)


def upgrade() -> None:
    """Add what is new, then see to the rows of before."""
    connection = op.get_bind()
    add_what_is_new(connection, Table.metadata)
    _move_grants(connection)
    _move_api_keys(connection)
    _move_options(connection)
    _say_whose(connection)
    _say_to_whom(connection)
    _move_endpoints(connection)
    op.drop_index("ix_conversions_state", "conversions")  # ``conversions_by_state`` has its rows.
    _rebuild()
    _count_open(connection)


def _rebuild() -> None:
    """Let go what a column was bound by: SQLite makes the table anew for that."""
    with op.batch_alter_table("stores") as stores:
        stores.drop_column("api_key_hash")
    options = {"sqlite_autoincrement": True}
    with op.batch_alter_table("events", table_kwargs=options) as events:
        events.alter_column("invoice_id", existing_type=String(), nullable=True)
    # What was booked is known by its command, beside where its log was.
    known = inspect(op.get_bind()).get_pk_constraint("credits")["name"]
    by_command = ["tx_hash", "log_index", "sequence"]
    with op.batch_alter_table("credits") as booked:
        if known is not None:
            booked.drop_constraint(known, type_="primary")
        booked.create_primary_key("credits_pkey", by_command)


def _count_open(connection: Connection) -> None:
    """Count what invoices ask that are open; none was made by a customer's press before."""
    of_open = text(
        "SELECT i.store_id, o.token, i.settle, o.proceeds_pips FROM options o"
        " JOIN invoices i ON i.id = o.invoice_id"
        " WHERE i.state = 'new' AND o.token <> i.settle"
    )
    asked: Counter[tuple[str, bytes, bytes]] = Counter()
    for store_id, token, settle, pips in connection.execute(of_open):
        for whose in (store_id, ""):
            asked[whose, bytes(token), bytes(settle)] += pips
    add = text(
        "INSERT INTO asks (store_id, token, settle, open_pips, pressed_pips)"
        " VALUES (:store_id, :token, :settle, :pips, '0')"
    )
    for (store_id, token, settle), pips in asked.items():
        row = {"store_id": store_id, "token": token, "settle": settle, "pips": str(pips)}
        connection.execute(add, row)


def _say_whose(connection: Connection) -> None:
    """Reports go through a store's rows in order: each says whose it is."""
    for table, parent, key in (
        ("payments", "invoices", "invoice_id"),
        ("credits", "invoices", "invoice_id"),
        ("fills", "conversions", "conversion_id"),
    ):
        whose = f"SELECT store_id FROM {parent} WHERE {parent}.id = {table}.{key}"
        connection.execute(text(f"UPDATE {table} SET store_id = ({whose})"))


def _say_to_whom(connection: Connection) -> None:
    """An invoice keeps its wallet when its store gets another; none has got one before."""
    whose = "SELECT wallet FROM stores WHERE stores.id = invoices.store_id"
    connection.execute(text(f"UPDATE invoices SET wallet = ({whose})"))


def _move_grants(connection: Connection) -> None:
    """Give each store which had one grant in its own row, that as a ``Grant``."""
    connection.execute(text("UPDATE stores SET settle = quote"))
    connection.execute(
        text(
            "INSERT INTO grants (id, store_id, wallet, base, quote, created_ns, key_address,"
            " expiry, notional_cap, floor_price, nonce, signature, relayed, revocation_nonce,"
            " revocation_relayed)"
            " SELECT 'gra_' || substr(id, 5), id, wallet, base, quote, created_ns, key_address,"
            " grant_expiry, grant_notional_cap, grant_floor_price, grant_nonce, grant_signature,"
            " grant_relayed, 0, FALSE FROM stores"
        )
    )
    for name in _GRANT_OF_STORE:
        connection.execute(text(f"ALTER TABLE stores DROP COLUMN {name}"))


def _move_api_keys(connection: Connection) -> None:
    """Give each store, which had one key that could do all, that as a row."""
    connection.execute(
        text(
            "INSERT INTO api_keys (id, store_id, hash, hint, label, scopes, created_ns)"
            " SELECT 'key_' || substr(id, 5), id, api_key_hash, '', 'first', 'unrestricted',"
            " created_ns FROM stores"
        )
    )


def _move_options(connection: Connection) -> None:
    """Give each invoice, which was to be paid in one token, that as an ``Option``; what came on top
    is counted in the stablecoin afterwards."""
    columns = ", ".join(_OPTION_OF_INVOICE)
    connection.execute(
        text(
            f"INSERT INTO options (invoice_id, number, {columns})"
            f" SELECT id, 0, {columns} FROM invoices"
        )
    )
    connection.execute(
        text("UPDATE invoices SET settle = (SELECT settle FROM stores WHERE id = store_id)")
    )
    over = text("SELECT id, over_pips, amount_pips, due_pips FROM invoices WHERE over_pips > 0")
    for name, pips, amount_pips, due_pips in connection.execute(over).all():
        worth = {"name": name, "pips": pips * amount_pips // due_pips}
        connection.execute(text("UPDATE invoices SET over_pips = :pips WHERE id = :name"), worth)
    for name in _OPTION_OF_INVOICE:
        connection.execute(text(f"ALTER TABLE invoices DROP COLUMN {name}"))


def _move_endpoints(connection: Connection) -> None:
    """Give each store which had one URL in its own row, that as an ``Endpoint``, with all that was
    and is to be delivered to it."""
    connection.execute(
        text(
            "INSERT INTO endpoints (id, store_id, url, secrets, format, types, enabled, why,"
            " created_ns, last_ns, last_status, last_error)"
            " SELECT 'whk_' || substr(id, 5), id, webhook_url, webhook_secrets, 'standard', '',"
            " webhook_enabled, CASE WHEN webhook_enabled THEN '' ELSE 'it answered 410' END,"
            " created_ns, 0, 0, '' FROM stores WHERE webhook_url <> ''"
        )
    )
    connection.execute(
        text(
            "INSERT INTO webhook_deliveries (event_id, endpoint_id, store_id, subject_id, state,"
            " created_ns, attempts, next_attempt_ns, last_status, last_error)"
            " SELECT d.event_id, 'whk_' || substr(d.store_id, 5), d.store_id, d.invoice_id,"
            " d.state, e.created_ns, d.attempts, d.next_attempt_ns, d.last_status, d.last_error"
            " FROM deliveries d JOIN events e ON e.id = d.event_id ORDER BY d.event_id"
        )
    )
    connection.execute(text("DROP TABLE deliveries"))
    for name in _ENDPOINT_OF_STORE:
        connection.execute(text(f"ALTER TABLE stores DROP COLUMN {name}"))
