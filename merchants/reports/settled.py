"""What did each batch change in a shop's account, and what did each day cost?"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import case, func, literal_column, select, tuple_
from sqlalchemy.orm import Session

from merchants.records.amounts import decimal_of_pips, exact_sum, hex_of, sum_of
from merchants.records.tables import Conversion, Fill, Store
from merchants.records.terms import market_of
from merchants.reports.page import Asked, BadCursor, House, Page
from merchants.reports.rows import FeeRow, SettlementRow
from merchants.reports.written import moment
from settlement.orders.catalog import Market

DAY_NS: Final = 86_400 * 10**9

# As a number in the words: a parameter would be another one where it is grouped by.
_DAY: Final = Fill.traded_ns.op("/")(literal_column(str(DAY_NS)))

SOLD: Final = (
    *exact_sum(Fill.lots * Fill.lot_pips),
    # Those from before their terms were kept, in the market's present ones.
    *exact_sum(case((Fill.lot_pips == 0, Fill.lots), else_=0)),
    *exact_sum(Fill.proceeds_pips),
    *exact_sum(Fill.fee_pips),
)
"""What some fills of one market come to; ``sums_in`` puts it together."""


def sums_in(market: Market, halves: Sequence[Any]) -> tuple[int, int, int]:
    """Return base pips, proceeds and fees of ``SOLD``."""
    known, in_lots, proceeds, fee = (sum_of(halves[n : n + 2]) for n in (0, 2, 4, 6))
    return known + in_lots * market.lot_pips, proceeds, fee


def settlement(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return one row for each batch and market, the first batch first."""
    query = (
        select(Fill.batch, Conversion.market, func.count(), func.min(Fill.traded_ns), *SOLD)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .where(*_range(store, asked), Fill.batch.is_not(None))
        .group_by(Fill.batch, Conversion.market)
        .order_by(Fill.batch, Conversion.market)
    )
    if asked.cursor:
        query = query.where(tuple_(Fill.batch, Conversion.market) > tuple_(*_place(asked.cursor)))
    found = session.execute(query.limit(asked.limit)).all()
    states = _states(session, store, [row[0] for row in found if row[0] is not None])
    rows = []
    for number, symbol, count, first_ns, *halves in found:
        assert number is not None, "the query says so"
        market = market_of(house.exchange.catalog, symbol)
        sold, proceeds, fee = sums_in(market, halves)
        state, tx_hash = states[number]
        rows.append(
            SettlementRow(
                batch=number,
                status=state,
                tx_hash="" if tx_hash is None else hex_of(tx_hash),
                first_trade_utc=moment(first_ns),
                market=symbol,
                token=market.base.symbol,
                sold=decimal_of_pips(sold),
                currency=market.quote.symbol,
                proceeds=decimal_of_pips(proceeds),
                fee=decimal_of_pips(fee),
                net=decimal_of_pips(proceeds - fee),
                trades=count,
            )
        )
    is_last = len(found) < asked.limit
    return Page(rows, "" if is_last else f"{found[-1][0]}.{found[-1][1]}")


def fees(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return one row for each UTC day and market."""
    query = (
        select(_DAY, Conversion.market, func.count(), *SOLD)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .where(*_range(store, asked))
        .group_by(_DAY, Conversion.market)
        .order_by(_DAY, Conversion.market)
    )
    if asked.cursor:
        query = query.where(tuple_(_DAY, Conversion.market) > tuple_(*_place(asked.cursor)))
    found = session.execute(query.limit(asked.limit)).all()
    rows = []
    for day, symbol, count, *halves in found:
        market = market_of(house.exchange.catalog, symbol)
        _, proceeds, fee = sums_in(market, halves)
        rows.append(
            FeeRow(
                day_utc=moment(day * DAY_NS)[:10],
                market=symbol,
                trades=count,
                currency=market.quote.symbol,
                proceeds=decimal_of_pips(proceeds),
                fee=decimal_of_pips(fee),
            )
        )
    is_last = len(found) < asked.limit
    return Page(rows, "" if is_last else f"{found[-1][0]}.{found[-1][1]}")


def _range(store: Store, asked: Asked) -> tuple[Any, ...]:
    traded = Fill.traded_ns
    return (Fill.store_id == store.id, traded >= asked.from_ns, traded < asked.to_ns)


def _place(cursor: str) -> tuple[int, str]:
    number, _, market = cursor.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadCursor(cursor)
    return int(number), market


def _states(
    session: Session, store: Store, numbers: Sequence[int]
) -> dict[int, tuple[str, bytes | None]]:
    """Return how far each of some batches is, and in which transaction."""
    query = select(Fill.batch, Fill.state, Fill.tx_hash).distinct()
    found = session.execute(query.where(Fill.store_id == store.id, Fill.batch.in_(set(numbers))))
    return {number: (state, tx_hash) for number, state, tx_hash in found if number is not None}
