"""What do all conversions of an invoice come to, however many they are?

Anybody may pay an invoice again and again, and each payment may become a conversion: what is said
of all of them is added up in the database, and only the newest are read.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session, aliased, selectinload

from merchants.records.amounts import exact_sum, sum_of
from merchants.records.states import ConversionState
from merchants.records.tables import Conversion, Fill
from merchants.records.terms import market_of
from settlement.orders.catalog import Catalog

CONVERSIONS_SHOWN: Final = 32
"""Most conversions in one document: the newest; the others are asked for in pages."""


class Sums(NamedTuple):
    """All conversions of one invoice: how many, of how many base pips, what they have brought
    after fees; how many have not ended, wait since something kept them, and are held; and whether
    anything of them is sold."""

    number: int = 0
    base_pips: int = 0
    net_pips: int = 0
    going: int = 0
    waiting: int = 0
    held: int = 0
    is_sold: bool = False


def sums_of(session: Session, catalog: Catalog, invoice_ids: Sequence[str]) -> dict[str, Sums]:
    """Return the sums of each of some invoices, in two queries."""
    state, is_in = Conversion.state, Conversion.invoice_id.in_(invoice_ids)
    open_states = (ConversionState.PENDING, ConversionState.EXECUTING)
    kept = and_(state.in_(open_states), Conversion.attempts > 0, Conversion.reason != "")
    rows = session.execute(
        select(
            Conversion.invoice_id,
            Conversion.market,
            Conversion.lot_pips,
            func.count(),
            func.sum(case((state.in_((ConversionState.FINAL, ConversionState.HELD)), 0), else_=1)),
            func.sum(case((kept, 1), else_=0)),
            func.sum(case((state == ConversionState.HELD, 1), else_=0)),
            func.max(Conversion.lots_filled) + func.max(Conversion.odd_pips),
            *exact_sum(Conversion.lots),
        )
        .where(is_in)
        .group_by(Conversion.invoice_id, Conversion.market, Conversion.lot_pips)
    )
    found = {invoice_id: Sums() for invoice_id in invoice_ids}
    for invoice_id, symbol, lot_pips, count, going, waiting, held, sold, *lots in rows:
        so_far = found[invoice_id]
        lot = lot_pips or market_of(catalog, symbol).lot_pips
        found[invoice_id] = Sums(
            number=so_far.number + count,
            base_pips=so_far.base_pips + sum_of(lots) * lot,
            going=so_far.going + going,
            waiting=so_far.waiting + waiting,
            held=so_far.held + held,
            is_sold=so_far.is_sold or sold > 0,
        )
    nets = session.execute(
        select(Conversion.invoice_id, *exact_sum(Fill.proceeds_pips - Fill.fee_pips))
        .join(Conversion.fills)
        .where(is_in)
        .group_by(Conversion.invoice_id)
    )
    for invoice_id, *halves in nets:
        found[invoice_id] = found[invoice_id]._replace(net_pips=sum_of(halves))
    return found


def newest_conversions(session: Session, invoice_ids: Sequence[str]) -> dict[str, list[Conversion]]:
    """Return the newest conversions of each of some invoices, the oldest of them first."""
    other = aliased(Conversion)
    last = (
        select(func.max(other.number))
        .where(other.invoice_id == Conversion.invoice_id)
        .scalar_subquery()
    )
    rows = session.scalars(
        select(Conversion)
        .options(selectinload(Conversion.fills))
        .where(Conversion.invoice_id.in_(invoice_ids), Conversion.number > last - CONVERSIONS_SHOWN)
        .order_by(Conversion.invoice_id, Conversion.number)
    )
    found: dict[str, list[Conversion]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in rows:
        found[row.invoice_id].append(row)
    return found
