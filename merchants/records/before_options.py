"""How does a file from when an invoice had one token get its options?

The columns of that token move into an option; an invoice's own are in its stablecoin afterwards.
"""

from typing import Final

from sqlalchemy import Connection, inspect, select, text

from merchants.records.options import Option
from merchants.records.tables import Invoice

MOVED: Final = (
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
"""Columns that an invoice had and its options have."""


def split_options(connection: Connection) -> None:
    """Move what invoices say of their token into options; nothing where that was done before."""
    had = {column["name"] for column in inspect(connection).get_columns("invoices")}
    if "token" not in had:
        return
    values = {name: name if name in had else "0" for name in MOVED}
    if "timely_pips" not in had:
        # Until then seen_pips was all that came, now it is what is not booked yet.
        values["timely_pips"] = "seen_pips"
        values["seen_pips"] = "MAX(0, seen_pips - credited_pips)"
    columns, given = ", ".join(values), ", ".join(values.values())
    # Names of our own columns, never something that came from outside.
    connection.execute(
        text(
            f"INSERT INTO options (invoice_id, number, {columns}) "
            f"SELECT id, 0, {given} FROM invoices"
        )
    )
    connection.execute(
        text("UPDATE invoices SET settle = (SELECT settle FROM stores WHERE id = store_id)")
    )
    over = connection.execute(
        select(Invoice.id, Invoice.over_pips, Invoice.amount_pips, Option.due_pips)
        .join(Option, Option.invoice_id == Invoice.id)
        .where(Invoice.over_pips > 0)
    )
    for name, pips, amount_pips, due_pips in over.all():
        worth = {"name": name, "pips": pips * amount_pips // due_pips}
        connection.execute(text("UPDATE invoices SET over_pips = :pips WHERE id = :name"), worth)
    for name in MOVED:
        if name in had:
            connection.execute(text(f"ALTER TABLE invoices DROP COLUMN {name}"))
