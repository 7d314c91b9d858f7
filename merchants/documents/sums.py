"""What do all conversions of an invoice come to, however many they are?

Anybody may pay an invoice again and again, and each payment may become a conversion: what is said
of all of them is added up in the database, and only the newest are read. What their trades have
brought is counted in the rows as it comes: many small bids make thousands of one sale.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, BindParameter, Select, and_, bindparam, case, func, not_, select
from sqlalchemy.orm import Session, aliased

from merchants.records.amounts import exact_sum, sum_of
from merchants.records.pots import Given, given_by
from merchants.records.shares import booked_pips, ways_of
from merchants.records.states import ConversionState
from merchants.records.tables import Conversion, Fill, Invoice
from merchants.records.terms import market_of
from merchants.records.together import has_none
from settlement.orders.catalog import Catalog, Market

CONVERSIONS_SHOWN: Final = 32
"""Most conversions in one document: the newest; the others are asked for in pages."""

FILLS_SHOWN: Final = 256
"""Most fills of one conversion in one document: the first."""


class Sums(NamedTuple):
    """All conversions of one invoice: how many; of those of it alone, of how many base pips they
    are by market, how many have not ended, wait since something kept them, and are held; and
    whether anything of them is sold. And what it ``given`` to its store's pots, by token."""

    number: int = 0
    base_pips: Mapping[str, int] = MappingProxyType({})
    going: int = 0
    waiting: int = 0
    held: int = 0
    is_sold: bool = False
    given: tuple[Given, ...] = ()


_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_EACH_MAX: Final = bindparam("each_max", type_=BigInteger)
_ALL_MAX: Final = bindparam("all_max", type_=BigInteger)
_NO_BOUND: Final = 2**63 - 1
"""More rows than there can be."""

# Made once: to put one together costs Python more than to ask it.


def _sums_query() -> Select[*tuple[Any, ...]]:
    state = Conversion.state
    open_states = (ConversionState.PENDING, ConversionState.EXECUTING)
    kept = and_(state.in_(open_states), Conversion.attempts > 0, Conversion.reason != "")
    alone = Conversion.from_pot.is_(False)
    is_held = and_(state == ConversionState.HELD, Conversion.reversed_pips == 0)
    taken_out = Conversion.to_pot_pips + Conversion.reversed_pips
    ended = state.in_((ConversionState.FINAL, ConversionState.HELD))
    return (
        select(
            Conversion.invoice_id,
            Conversion.market,
            Conversion.lot_pips,
            func.count(),
            func.sum(case((and_(alone, not_(ended)), 1), else_=0)),
            func.sum(case((and_(alone, kept), 1), else_=0)),
            func.sum(case((and_(alone, is_held), 1), else_=0)),
            func.max(Conversion.lots_filled) + func.max(Conversion.odd_pips),
            *exact_sum(case((alone, Conversion.lots), else_=0)),
            *exact_sum(case((alone, taken_out), else_=0)),
        )
        .where(Conversion.invoice_id.in_(_IDS))
        .group_by(Conversion.invoice_id, Conversion.market, Conversion.lot_pips)
    )


def _fills_query() -> Select[Fill]:
    other = aliased(Fill)
    beyond = (
        select(other.trade_id)
        .where(other.conversion_id == Conversion.id)
        .order_by(other.trade_id)
        .limit(1)
        .offset(_EACH_MAX)
        .scalar_subquery()
    )
    # Found once for each conversion, before its fills: SQLite would ask at each of them.
    sales = (
        select(
            Conversion.id,
            Conversion.invoice_id,
            Conversion.number,
            func.coalesce(beyond, _NO_BOUND).label("beyond"),
        )
        .where(Conversion.id.in_(_IDS))
        .cte("sales")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(Fill)
        .join(sales, Fill.conversion_id == sales.c.id)
        .where(Fill.trade_id < sales.c.beyond)
        .order_by(sales.c.invoice_id, sales.c.number, Fill.trade_id)
        .limit(_ALL_MAX)
    )


def _newest_query() -> Select[Conversion]:
    other = aliased(Conversion)
    last = (
        select(func.max(other.number))
        .where(other.invoice_id == Conversion.invoice_id)
        .scalar_subquery()
    )
    return (
        select(Conversion)
        .where(Conversion.invoice_id.in_(_IDS), Conversion.number > last - CONVERSIONS_SHOWN)
        .order_by(Conversion.invoice_id, Conversion.number)
    )


_SUMS: Final = _sums_query()
_FILLS: Final = _fills_query()
_NEWEST: Final = _newest_query()


def sums_of(session: Session, catalog: Catalog, invoice_ids: Sequence[str]) -> dict[str, Sums]:
    """Return the sums of each of some invoices, in two queries."""
    rows = session.execute(_SUMS, {"ids": list(invoice_ids)})
    given = given_by(session, invoice_ids)
    found = {invoice_id: Sums(given=given[invoice_id]) for invoice_id in invoice_ids}
    for invoice_id, symbol, lot_pips, count, going, waiting, held, sold, *halves in rows:
        so_far = found[invoice_id]
        lot = lot_pips or market_of(catalog, symbol).lot_pips
        base_pips = sum_of(halves[:2]) * lot - sum_of(halves[2:])
        found[invoice_id] = so_far._replace(
            number=so_far.number + count,
            base_pips={
                **so_far.base_pips,
                symbol: so_far.base_pips.get(symbol, 0) + base_pips,
            },
            going=so_far.going + going,
            waiting=so_far.waiting + waiting,
            held=so_far.held + held,
            is_sold=so_far.is_sold or sold > 0,
        )
    return found


def sums_of_one(session: Session, catalog: Catalog, invoice: Invoice) -> Sums:
    """Return the sums of an invoice; nothing is asked where it is known that there is nothing."""
    if has_none(invoice, "conversions", "gifts"):
        return Sums()
    return sums_of(session, catalog, (invoice.id,))[invoice.id]


def placed_pips(sums: Sums, market: Market) -> int:
    """Return how much of a market's token is in sales, or was given to a pot, or is kept."""
    given = sum(given.pips for given in sums.given if given.token == market.base.address)
    return sums.base_pips.get(market.symbol, 0) + given


def unsold_pips(session: Session, catalog: Catalog, invoice: Invoice) -> dict[bytes, int]:
    """Return by token how much of what is booked for an invoice is in no sale yet."""
    sums = sums_of_one(session, catalog, invoice)
    unsold = {}
    for way in ways_of(invoice):
        market = catalog.market_of_pair(way.token, invoice.settle)
        placed = 0 if market is None else placed_pips(sums, market)
        unsold[way.token] = max(0, booked_pips(way) - placed)
    return unsold


def first_fills(
    session: Session, conversion_ids: Sequence[str], all_max: int | None = None
) -> dict[str, list[Fill]]:
    """Return the first fills of each of some conversions, ``FILLS_SHOWN`` at most, and ``all_max``
    at most of all of them."""
    each_max = FILLS_SHOWN if all_max is None else min(FILLS_SHOWN, all_max)
    bounds = {"each_max": each_max, "all_max": _NO_BOUND if all_max is None else all_max}
    found: dict[str, list[Fill]] = {conversion_id: [] for conversion_id in conversion_ids}
    if not found:
        return found
    for row in session.scalars(_FILLS, {"ids": list(conversion_ids), **bounds}):
        found[row.conversion_id].append(row)
    return found


def newest_conversions(
    session: Session, invoices: Sequence[Invoice]
) -> dict[str, list[Conversion]]:
    """Return the newest conversions of each of some invoices, the oldest of them first."""
    found: dict[str, list[Conversion]] = {invoice.id: [] for invoice in invoices}
    names = [invoice.id for invoice in invoices if not has_none(invoice, "conversions")]
    for row in session.scalars(_NEWEST, {"ids": names}) if names else ():
        found[row.invoice_id].append(row)
    return found
