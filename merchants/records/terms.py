"""In which lots and ticks was a stored row counted?

A market's lot and tick may change; what was promised, sold and brought does not. So every row
that counts lots or ticks keeps how many pips one was (``lot_pips``, ``tick_pips``). Rows from
before have 0 there: the market's present terms, until the first change writes them in.
"""

from typing import Protocol

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.types import PIPS_PER_TOKEN
from merchants.records.options import Option
from merchants.records.tables import Conversion, Fill, Invoice
from settlement.orders.catalog import Catalog, Market


class Counted(Protocol):
    """A row that counts lots and ticks."""

    lot_pips: int
    tick_pips: int


def market_of(catalog: Catalog, symbol: str) -> Market:
    """Return the market called ``symbol``, which one of our rows names."""
    market = catalog.market(symbol)
    assert market is not None, "a listed market is never delisted"
    return market


def lot_pips_of(market: Market, row: Counted) -> int:
    """Return the base pips of one lot of ``row``."""
    return row.lot_pips or market.lot_pips


def pips_of(market: Market, row: Conversion | Fill) -> int:
    """Return the base pips that a conversion is to sell, or that a fill has sold."""
    return row.lots * lot_pips_of(market, row)


def sold_pips(market: Market, conversion: Conversion) -> int:
    """Return the base pips of a conversion that are sold."""
    return conversion.lots_filled * lot_pips_of(market, conversion) + conversion.odd_pips


def unsold_pips(market: Market, conversion: Conversion) -> int:
    """Return the base pips of a conversion that are still to be sold."""
    taken_out = conversion.to_pot_pips + conversion.reversed_pips
    return pips_of(market, conversion) - taken_out - sold_pips(market, conversion)


def sell(market: Market, conversion: Conversion, pips: int) -> None:
    """Count ``pips`` more as sold; fewer, if it is negative."""
    lot_pips, sold = lot_pips_of(market, conversion), sold_pips(market, conversion) + pips
    assert 0 <= sold <= pips_of(market, conversion), "no more is sold than was ordered"
    conversion.lots_filled, conversion.odd_pips = divmod(sold, lot_pips)


def price_of(market: Market, fill: Fill) -> int:
    """Return the price of a fill in quote pips for a whole base token."""
    tick_pips = fill.tick_pips or market.tick_pips
    return fill.price_ticks * tick_pips * PIPS_PER_TOKEN // lot_pips_of(market, fill)


def ticks_now(market: Market, row: Counted, ticks: int) -> int:
    """Return the lowest price in the market's present ticks that is not under ``ticks`` of
    ``row``."""
    price = ticks * (row.tick_pips or market.tick_pips) * market.lot_pips
    return -(-price // (market.tick_pips * lot_pips_of(market, row)))


def keep_terms(session: Session, market: Market) -> None:
    """Write the present terms into the rows that do not have any: they are about to change."""
    terms = {"lot_pips": market.lot_pips, "tick_pips": market.tick_pips}
    here = select(Conversion.id).where(Conversion.market == market.symbol)
    settled = select(Invoice.id).where(
        Invoice.id == Option.invoice_id, Invoice.settle == market.quote.address
    )
    for table, *is_of_it in (
        (Fill, Fill.conversion_id.in_(here)),
        (Conversion, Conversion.market == market.symbol),
        (Option, Option.token == market.base.address, settled.exists()),
    ):
        session.execute(update(table).where(table.lot_pips == 0, *is_of_it).values(terms))
