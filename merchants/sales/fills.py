"""What does one trade change in the row of its sale, and how far are a sale's trades?"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.log_entries import EventRow, LogEntry
from merchants.records import spread
from merchants.records.tables import Conversion, Fill, Order
from settlement.orders.catalog import Market
from settlement.protocol.evidence import SignedOrder


def fill_of(
    market: Market, order: Order, signed: SignedOrder, entry: LogEntry, trade: EventRow
) -> Fill:
    """Return the row of one trade of ``order``, which was ``signed`` and carried out in ``entry``;
    how far it is on its way to the chain the caller says."""
    pips = market.base_pips(trade.amount)
    proceeds = market.quote_pips(trade.amount, trade.price_ticks)
    is_worth = proceeds * signed.base_amount >= signed.quote_amount * pips
    assert is_worth, "nothing is sold under the limit"
    return Fill(
        trade_id=trade.trade_id,
        conversion_id=order.conversion.id,
        store_id=order.conversion.store_id,
        traded_ns=entry.command.time_ns,
        lots=trade.amount,
        price_ticks=trade.price_ticks,
        lot_pips=market.lot_pips,
        tick_pips=market.tick_pips,
        proceeds_pips=proceeds,
        fee_pips=trade.fee_pips,
        at_middle_pips=spread.part_of(order.at_middle_pips, signed, pips),
    )


def count(conversion: Conversion, fill: Fill, times: int) -> None:
    """Count what ``fill`` has brought; ``times`` is -1 where it is taken back."""
    conversion.proceeds_pips += times * fill.proceeds_pips
    conversion.fee_pips += times * fill.fee_pips
    if fill.at_middle_pips is not None:
        conversion.at_middle_pips += times * fill.at_middle_pips
        conversion.compared_pips += times * fill.proceeds_pips
    if not conversion.from_pot:
        conversion.invoice.net_pips += times * (fill.proceeds_pips - fill.fee_pips)


def states_of(session: Session, conversions: Sequence[Conversion]) -> dict[str, set[str]]:
    """Return by sale in which states its fills are, in one query: of thousands of fills most news
    change nothing in their sale."""
    found: dict[str, set[str]] = {conversion.id: set() for conversion in conversions}
    query = select(Fill.conversion_id, Fill.state).where(Fill.conversion_id.in_(sorted(found)))
    for name, state in session.execute(query.distinct()):
        found[name].add(state)
    return found
