"""How does a file from before there were migrations come to revision 0001?

Frozen. Such files do not say how old they are: what they lack is found out and added. They are
SQLite's, for there was nothing else.
"""

from collections import Counter
from typing import Final

from sqlalchemy import Connection, select, text, update

from merchants.records.amounts import exact_sum, sum_of
from merchants.records.migrations.additions import add_what_is_new
from merchants.records.migrations.first import SCHEMA

FORMER_INDEXES: Final = ("deliveries_due", "ix_fills_conversion_id")
"""Indexes that older files have and nobody asks any more."""

_COUNTED: Final = {
    ("conversions", "proceeds_pips"),
    ("conversions", "fee_pips"),
    ("invoices", "net_pips"),
}


def bring_to_first(connection: Connection) -> None:
    """Give the tables what they lack of revision 0001; what their rows mean stays the same."""
    added = add_what_is_new(connection, SCHEMA)
    if ("conversions", "store_id") in added:
        whose = "SELECT store_id FROM invoices WHERE id = conversions.invoice_id"
        connection.execute(text(f"UPDATE conversions SET store_id = ({whose})"))
    if ("invoices", "timely_pips") in added:
        # Until then seen_pips was all that came, now it is what is not booked yet.
        connection.execute(text("UPDATE invoices SET timely_pips = seen_pips"))
        unbooked = "MAX(0, seen_pips - credited_pips)"
        connection.execute(text(f"UPDATE invoices SET seen_pips = {unbooked}"))
    if _COUNTED & added:
        _add_up_fills(connection)
    for former in FORMER_INDEXES:
        connection.execute(text(f"DROP INDEX IF EXISTS {former}"))


def _add_up_fills(connection: Connection) -> None:
    """Write down what sales have brought so far: until then it was added up at each look."""
    tables = SCHEMA.tables
    invoices, conversions, fills = (tables[n] for n in ("invoices", "conversions", "fills"))
    nets: Counter[str] = Counter()
    brought = connection.execute(
        select(
            conversions.c.id,
            conversions.c.invoice_id,
            *exact_sum(fills.c.proceeds_pips),
            *exact_sum(fills.c.fee_pips),
        )
        .join(fills, fills.c.conversion_id == conversions.c.id)
        .group_by(conversions.c.id)
    )
    for name, invoice_id, *halves in brought.all():
        proceeds, fee = sum_of(halves[:2]), sum_of(halves[2:])
        nets[invoice_id] += proceeds - fee
        values = {"proceeds_pips": str(proceeds), "fee_pips": str(fee)}
        connection.execute(update(conversions).where(conversions.c.id == name).values(values))
    for invoice_id, net in nets.items():
        whose = update(invoices).where(invoices.c.id == invoice_id)
        connection.execute(whose.values(net_pips=str(net)))
