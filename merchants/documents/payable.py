"""What may still be paid at an invoice's address, and who has paid there?

For whoever relays payments with gas of the house: nothing is sent that no invoice waits for.
"""

from typing import NamedTuple

from sqlalchemy import Engine, select

from merchants.records.database import reading
from merchants.records.states import InvoiceState
from merchants.records.tables import Invoice


class Paid(NamedTuple):
    """One transfer to the address."""

    token: bytes
    sender: bytes
    raw: int
    tx_hash: bytes


class Payable(NamedTuple):
    """An invoice as its address shows it; ``due_raw`` by token, empty once it waits for nothing."""

    invoice_id: str
    amount_pips: int
    expires_ns: int
    due_raw: dict[bytes, int]
    paid: list[Paid]


def payable_at(database: Engine, store_id: str, address: bytes) -> Payable | None:
    """Return what the store's invoice at ``address`` waits for; None if there is none."""
    with reading(database) as session:
        invoice = session.scalar(
            select(Invoice).where(Invoice.deposit_address == address, Invoice.store_id == store_id)
        )
        if invoice is None:
            return None
        is_open = invoice.state is InvoiceState.NEW and not invoice.payments
        return Payable(
            invoice.id,
            invoice.amount_pips,
            invoice.expires_ns,
            {option.token: int(option.due_raw) for option in invoice.options if is_open},
            [Paid(row.token, row.sender, int(row.raw), row.tx_hash) for row in invoice.payments],
        )
