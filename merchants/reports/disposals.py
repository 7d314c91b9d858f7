"""Which lots did each trade sell, for how much?

A disposal for the accountant: what was sold, of which lot (what one deposit brought), at what it
was worth then and when the customer ordered. By FIFO the store's oldest lots go first; by specific
identification those of the invoice that was sold, of a pot's sale those of who gave into it; or by
choice those that the shop has named for the trade. Parts of a trade are cut so that they add up to
it, to the unit. A booking that has left the chain is no lot: what was sold of it the account owes,
and what comes next stands for it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from engine.types import PIPS_PER_TOKEN
from merchants.records.amounts import decimal_of_pips, exact_sum, hex_of, sum_of
from merchants.records.lot_choices import LotChoice
from merchants.records.options import Option
from merchants.records.pots import Gift
from merchants.records.spread import spread_ppm
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Conversion, Credit, Fill, Invoice, Store
from merchants.records.terms import lot_pips_of, market_of
from merchants.reports.page import Asked, House, Page
from merchants.reports.rows import DisposalRow
from merchants.reports.written import moment
from settlement.orders.catalog import Market

AT_ONCE: Final = 1_000
"""Lots that are read at once."""


class Lot(NamedTuple):
    """What one deposit brought, or what an invoice gave of it."""

    pips: int
    booked_ns: int
    tx_hash: bytes
    log_index: int
    chosen_ns: int = 0
    """When it was named; 0 where it was not."""


NOWHERE: Final = Lot(2**63, 0, b"", 0)
"""Where more was sold than is known to have come."""


class Sale(NamedTuple):
    """One trade with whose it is."""

    fill: Fill
    conversion: Conversion
    order_id: str
    market: Market
    pips: int
    worth_pips: int | None
    """What it was worth by the price of whoever paid it; None where that is not known."""


class Part(NamedTuple):
    """What a trade took of one lot: its pips from ``start`` up to ``end``."""

    lot: Lot
    start: int
    end: int


def disposals(session: Session, house: House, store: Store, asked: Asked) -> Page:
    """Return parts of trades in the order in which they were traded.

    The cursor is the last trade and how much of it was shown: one may be cut into many.
    """
    last, shown = asked.numbers(2)
    rows: list[DisposalRow] = []
    queues: dict[str, _Queue] = {}
    for sale in _sales(session, house, store, asked, last):
        if sale.fill.trade_id == last and shown >= sale.pips:
            continue
        for part in _parts(session, queues, sale, asked):
            if sale.fill.trade_id == last and part.end <= shown:
                continue
            rows.append(_row(house, asked, sale, part))
            if len(rows) == asked.limit:
                return Page(rows, f"{sale.fill.trade_id}.{part.end}")
    return Page(rows, "")


def assigned(
    session: Session, house: House, store: Store, from_ns: int, to_ns: int, limit: int
) -> Iterator[tuple[Fill, bytes, list[Lot]]]:
    """Yield trades with their token and what they take of each lot where stores may choose."""
    asked = Asked(from_ns, to_ns, UTC, "", limit, by_invoice=False, by_choice=True)
    queues: dict[str, _Queue] = {}
    # All of them first: what is written down on the way must not change what comes after.
    found = [
        (sale.fill, sale.market.base.address, [*_parts(session, queues, sale, asked)])
        for sale in _sales(session, house, store, asked, 0)
    ]
    for fill, token, parts in found:
        lots: dict[tuple[bytes, int], Lot] = {}
        for lot, start, end in parts:
            key = lot.tx_hash, lot.log_index
            before = lots.get(key, lot._replace(pips=0))
            chosen_ns = max(before.chosen_ns, lot.chosen_ns)
            lots[key] = lot._replace(pips=before.pips + end - start, chosen_ns=chosen_ns)
        yield fill, token, list(lots.values())


def _parts(
    session: Session, queues: dict[str, "_Queue"], sale: Sale, asked: Asked
) -> Iterator[Part]:
    """Yield what a trade takes of which lot: what it names first, and the rest by its queue."""
    start = 0
    if asked.by_choice:
        for lot in _chosen(session, sale):
            yield Part(lot, start, start + lot.pips)
            start += lot.pips
    if start < sale.pips:
        queue = _queue_of(session, queues, sale, asked)
        yield from queue.take(start, sale.pips)


def _chosen(session: Session, sale: Sale) -> list[Lot]:
    """Return the lots that a trade names, of those that are on the chain."""
    query = (
        select(LotChoice, Credit.booked_ns)
        .join(Credit, _is_lot())
        .where(LotChoice.trade_id == sale.fill.trade_id, Credit.state.in_(ON_CHAIN))
        .order_by(LotChoice.position)
    )
    return [
        Lot(row.pips, booked_ns, row.tx_hash, row.log_index, row.chosen_ns)
        for row, booked_ns in session.execute(query)
    ]


def _is_lot() -> ColumnElement[bool]:
    return (Credit.tx_hash == LotChoice.tx_hash) & (Credit.log_index == LotChoice.log_index)


def _sales(session: Session, house: House, store: Store, asked: Asked, last: int) -> Iterator[Sale]:
    query = (
        select(Fill, Conversion, Invoice.order_id)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .join(Invoice, Invoice.id == Conversion.invoice_id)
        .where(
            Fill.store_id == store.id,
            Fill.trade_id >= last,
            Fill.traded_ns >= asked.from_ns,
            Fill.traded_ns < asked.to_ns,
        )
        .order_by(Fill.trade_id)
        .limit(asked.limit + 1)
    )
    pots: dict[str, tuple[int, int] | None] = {}
    for fill, conversion, order_id in session.execute(query):
        market = market_of(house.exchange.catalog, conversion.market)
        pips, worth = fill.lots * lot_pips_of(market, fill), None
        if conversion.quoted_ticks is not None:
            price = conversion.quoted_ticks * (conversion.tick_pips or market.tick_pips)
            worth = pips * price // lot_pips_of(market, conversion)
        elif conversion.from_pot:
            if conversion.id not in pots:
                pots[conversion.id] = _given(session, conversion.id)
            given = pots[conversion.id]
            worth = None if given is None else given[1] * pips // given[0]
        yield Sale(fill, conversion, order_id, market, pips, worth)


def _given(session: Session, conversion_id: str) -> tuple[int, int] | None:
    """Return how much invoices gave into a pot's sale, and what that was worth by the price that
    each of them had quoted; None where one had quoted none for this token."""
    query = (
        select(Gift.pips, func.coalesce(Option.rate_pips, 0))
        .outerjoin(Option, (Option.invoice_id == Gift.invoice_id) & (Option.token == Gift.token))
        .where(Gift.conversion_id == conversion_id)
    )
    given, worth = 0, 0
    # One by one: the database's whole numbers would not hold the products.
    for pips, rate_pips in session.execute(query.execution_options(yield_per=AT_ONCE)):
        if not rate_pips:
            return None
        given, worth = given + pips, worth + pips * rate_pips
    return (given, worth // PIPS_PER_TOKEN) if given else None


class _Queue:
    """Lots in the order in which they are sold, from some place on."""

    def __init__(self, lots: Iterator[Lot], sold: int) -> None:
        """``sold`` pips of them are gone."""
        self._lots = lots
        self._lot, self._left = NOWHERE, 0
        while sold >= self._left:
            sold -= self._left
            self._lot = next(self._lots, NOWHERE)
            self._left = self._lot.pips
        self._left -= sold

    def take(self, start: int, pips: int) -> Iterator[Part]:
        """Yield the parts of a trade of ``pips`` from ``start`` on."""
        while start < pips:
            end = min(pips, start + self._left)
            self._left -= end - start
            part = Part(self._lot, start, end)
            if self._left == 0:
                self._lot = next(self._lots, NOWHERE)
                self._left = self._lot.pips
            yield part
            start = end


def _queue_of(session: Session, queues: dict[str, _Queue], sale: Sale, asked: Asked) -> _Queue:
    """Return the lots that a sale takes from, as far as trades before it have left them."""
    token, conversion = sale.market.base.address, sale.conversion
    booked = select(Credit).where(
        Credit.store_id == conversion.store_id,
        Credit.token == token,
        Credit.state.in_(ON_CHAIN),
    )
    before = Fill.trade_id < sale.fill.trade_id
    mine = (Conversion.store_id == conversion.store_id, Conversion.market == conversion.market)
    earlier: tuple[ColumnElement[bool], ...]
    if not asked.by_invoice:
        key = sale.market.symbol
        lots, earlier = _credits(session, booked), (before, *mine)
    elif conversion.from_pot:
        key = conversion.id
        lots, earlier = _gifts(session, conversion.id), (before, Conversion.id == key)
    else:
        key = f"{conversion.invoice_id} {sale.market.symbol}"
        whose = conversion.invoice_id
        lots = _credits(session, booked.where(Credit.invoice_id == whose))
        own = (Conversion.invoice_id == whose, Conversion.from_pot.is_(False))
        earlier = (before, *mine, *own)
    if key not in queues:
        sums = (
            select(Fill.lot_pips, *exact_sum(Fill.lots))
            .join(Conversion, Conversion.id == Fill.conversion_id)
            .where(Fill.store_id == conversion.store_id, *earlier)
            .group_by(Fill.lot_pips)
        )
        sold = sum(
            sum_of(halves) * (lot_pips or sale.market.lot_pips)
            for lot_pips, *halves in session.execute(sums)
        )
        if asked.by_choice:
            named, earlier_pips = _named(session, sale, token)
            lots, sold = _left(lots, named), sold - earlier_pips
        queues[key] = _Queue(lots, sold)
    return queues[key]


def _named(session: Session, sale: Sale, token: bytes) -> tuple[dict[tuple[bytes, int], int], int]:
    """Return how much of each lot trades of the store name, and how much those of it name that are
    of this market and before ``sale``."""
    query = (
        select(LotChoice, Conversion.market)
        .join(Fill, Fill.trade_id == LotChoice.trade_id)
        .join(Conversion, Conversion.id == Fill.conversion_id)
        .join(Credit, _is_lot())
        .where(
            LotChoice.store_id == sale.fill.store_id,
            LotChoice.token == token,
            Credit.state.in_(ON_CHAIN),
        )
    )
    named: Counter[tuple[bytes, int]] = Counter()
    earlier = 0
    for row, market in session.execute(query.execution_options(yield_per=AT_ONCE)):
        named[row.tx_hash, row.log_index] += row.pips
        if row.trade_id < sale.fill.trade_id and market == sale.conversion.market:
            earlier += row.pips
    return named, earlier


def _left(lots: Iterator[Lot], named: Mapping[tuple[bytes, int], int]) -> Iterator[Lot]:
    """Yield lots without what is named of them."""
    for lot in lots:
        left = lot.pips - named.get((lot.tx_hash, lot.log_index), 0)
        if left > 0:
            yield lot._replace(pips=left)


def _credits(session: Session, query: Select[Credit]) -> Iterator[Lot]:
    rows = query.order_by(Credit.sequence)
    for row in session.scalars(rows.execution_options(yield_per=AT_ONCE)):
        yield Lot(row.amount_pips, row.booked_ns, row.tx_hash, row.log_index)


def _gifts(session: Session, conversion_id: str) -> Iterator[Lot]:
    """Yield what each invoice gave into a sale, as come with the invoice's last deposit."""
    query = select(Gift).where(Gift.conversion_id == conversion_id).order_by(Gift.id)
    for gift in session.scalars(query).all():
        last = session.scalar(
            select(Credit)
            .where(
                Credit.invoice_id == gift.invoice_id,
                Credit.token == gift.token,
                Credit.state.in_(ON_CHAIN),
            )
            .order_by(Credit.sequence.desc())
            .limit(1)
        )
        came = (0, b"", 0) if last is None else (last.booked_ns, last.tx_hash, last.log_index)
        yield Lot(gift.pips, *came)


def _row(house: House, asked: Asked, sale: Sale, part: Part) -> DisposalRow:
    fill, conversion, lot = sale.fill, sale.conversion, part.lot

    def share(whole: int) -> int:
        """Cut at both ends and rounded down, so that the parts are the whole."""
        return whole * part.end // sale.pips - whole * part.start // sale.pips

    worth = ""
    if sale.worth_pips is not None:
        worth = decimal_of_pips(share(sale.worth_pips))
    proceeds, fee = share(fill.proceeds_pips), share(fill.fee_pips)
    # Of the whole trade: parts of some pips would say nothing.
    middle = fill.at_middle_pips
    spread = None if middle is None else spread_ppm(middle, fill.proceeds_pips)
    return DisposalRow(
        time_utc=moment(fill.traded_ns),
        time_local=moment(fill.traded_ns, asked.zone),
        invoice=conversion.invoice_id,
        order_id=sale.order_id,
        conversion=conversion.id,
        trade=fill.trade_id,
        token=sale.market.base.symbol,
        amount=decimal_of_pips(part.end - part.start),
        lot_utc=moment(lot.booked_ns),
        lot_tx_hash=hex_of(lot.tx_hash) if lot.tx_hash else "",
        lot_log_index=str(lot.log_index) if lot.tx_hash else "",
        currency=sale.market.quote.symbol,
        worth_at_sale=worth,
        proceeds=decimal_of_pips(proceeds),
        fee=decimal_of_pips(fee),
        net=decimal_of_pips(proceeds - fee),
        status=fill.state,
        batch="" if fill.batch is None else str(fill.batch),
        tx_hash="" if fill.tx_hash is None else hex_of(fill.tx_hash),
        at_middle="" if middle is None else decimal_of_pips(share(middle)),
        spread_ppm="" if spread is None else str(spread),
        lot_chosen_utc=moment(lot.chosen_ns),
    )
