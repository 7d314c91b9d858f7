"""May a shop say itself which lots a trade has sold?

Specific identification: each trade may name lots of its token that had come before it, as much as
nobody else has named. What it does not name goes by FIFO over what is left. When a period is closed
what the report says of its trades is written down, so that nothing which is said later changes it.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.amounts import decimal_of_pips, hex_of
from merchants.records.database import reading, transaction
from merchants.records.lot_choices import LotChoice, LotClosing
from merchants.records.rejection import Rejection
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Conversion, Credit, Fill, Store
from merchants.records.terms import lot_pips_of, market_of
from merchants.reports.disposals import assigned
from merchants.reports.page import House

NS: Final = 10**9
LOTS_MAX: Final = 50
"""Lots that one trade may name."""

CHOICES_MAX: Final = 20_000
"""Lots that all trades of a store may name, closed ones not counted."""

CLOSED_MAX: Final = 5_000
"""Trades of a period that is closed at once."""

SETTLED_NS: Final = 3_600 * NS
"""So long after a trade all of them are read."""


class NamedLot(NamedTuple):
    """``pips`` of what one deposit brought; ``chosen_ns`` is when that was said, 0 for never."""

    tx_hash: bytes
    log_index: int
    pips: int
    chosen_ns: int = 0


class Lots:
    """Keeps what stores have chosen. What only reads may be called on any thread."""

    def __init__(self, database: Engine, house: House, clock: Callable[[], int]) -> None:
        self._database = database
        self._house = house
        self._clock = clock

    def of(self, store_id: str, trade_id: int) -> list[NamedLot] | Rejection:
        """Return the lots that a trade names; NOT_FOUND where it is none of the store's."""
        with reading(self._database) as session:
            fill = session.get(Fill, trade_id)
            if fill is None or fill.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"trade": str(trade_id)})
            return _named(session, trade_id)

    def closed_until(self, store_id: str) -> int:
        """Return up to when (unix nanoseconds) a store's lots are chosen no more; 0 for never."""
        with reading(self._database) as session:
            row = session.get(LotClosing, store_id)
            return 0 if row is None else row.until_ns

    def choose(
        self, store_id: str, trade_id: int, lots: Sequence[NamedLot]
    ) -> list[NamedLot] | Rejection:
        """Let a trade have sold ``lots``, instead of those that it named before; none lets it go
        by FIFO.

        Rejects NOT_FOUND (trade or lot), INVOICE_CLOSED where its period is closed, MALFORMED for
        a lot that is named twice or came after the trade, AMOUNT_OUT_OF_RANGE for more than the
        trade sold or the lot has left, CAPACITY for too many.
        """
        with transaction(self._database) as session:
            fill = session.get(Fill, trade_id)
            if fill is None or fill.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"trade": str(trade_id)})
            closing = session.get(LotClosing, store_id)
            if closing is not None and fill.traded_ns < closing.until_ns:
                return Rejection(Outcome.INVOICE_CLOSED, {"why": "its period is closed"})
            conversion = session.get_one(Conversion, fill.conversion_id)
            market = market_of(self._house.exchange.catalog, conversion.market)
            if len({(lot.tx_hash, lot.log_index) for lot in lots}) != len(lots):
                return Rejection(Outcome.MALFORMED, {"why": "a lot is named twice"})
            whole = fill.lots * lot_pips_of(market, fill)
            if sum(lot.pips for lot in lots) > whole:
                return Rejection(Outcome.AMOUNT_OUT_OF_RANGE, {"sold": decimal_of_pips(whole)})
            wrong = self._why_not(session, fill, market.base.address, lots)
            if wrong is not None:
                return wrong
            session.execute(delete(LotChoice).where(LotChoice.trade_id == trade_id))
            now_ns = self._clock()
            made = [lot._replace(chosen_ns=now_ns) for lot in lots]
            _write(session, fill, market.base.address, made)
            return made

    def _why_not(
        self, session: Session, fill: Fill, token: bytes, lots: Sequence[NamedLot]
    ) -> Rejection | None:
        count = select(func.count()).where(
            LotChoice.store_id == fill.store_id,
            LotChoice.chosen_ns > 0,
            LotChoice.trade_id != fill.trade_id,
        )
        if len(lots) > LOTS_MAX or (session.scalar(count) or 0) + len(lots) > CHOICES_MAX:
            return Rejection(Outcome.CAPACITY, {"trade": str(LOTS_MAX), "store": str(CHOICES_MAX)})
        for lot in lots:
            name = {"lot": f"{hex_of(lot.tx_hash)}.{lot.log_index}"}
            at = (Credit.tx_hash == lot.tx_hash, Credit.log_index == lot.log_index)
            whose = (Credit.store_id == fill.store_id, Credit.token == token)
            booked = session.scalars(select(Credit).where(*at, *whose)).all()
            if not booked:
                return Rejection(Outcome.NOT_FOUND, name)
            # Of all that a reorganisation has put in one place, one is there now.
            credit = next((one for one in booked if one.state in ON_CHAIN), None)
            if credit is None:
                return Rejection(Outcome.NOT_FOUND, {**name, "why": "it has left the chain"})
            if credit.booked_ns > fill.traded_ns:
                return Rejection(Outcome.MALFORMED, {**name, "why": "it came after the trade"})
            named = session.scalar(
                select(func.coalesce(func.sum(LotChoice.pips), 0))
                .join(Fill, Fill.trade_id == LotChoice.trade_id)
                .where(
                    LotChoice.tx_hash == lot.tx_hash,
                    LotChoice.log_index == lot.log_index,
                    LotChoice.trade_id != fill.trade_id,
                )
            )
            left = credit.amount_pips - int(named or 0)
            if not 0 < lot.pips <= left:
                return Rejection(
                    Outcome.AMOUNT_OUT_OF_RANGE, {**name, "left": decimal_of_pips(max(left, 0))}
                )
        return None

    def close(self, store_id: str, until_ns: int) -> int | Rejection:
        """Choose no more for what was sold before ``until_ns``; return that. What the report says
        of it with ``lots=chosen`` stands from now on.

        Rejects UNKNOWN_STORE, INVOICE_CLOSED for what is closed already, MALFORMED for the last
        hour and the future, CAPACITY for a period of too many trades: close it by parts.
        """
        if until_ns > self._clock() - SETTLED_NS:
            return Rejection(Outcome.MALFORMED, {"why": "the last hour cannot be closed yet"})
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            row = session.get(LotClosing, store_id) or LotClosing(store_id=store_id, until_ns=0)
            if until_ns < row.until_ns:
                return Rejection(Outcome.INVOICE_CLOSED, {"why": "it is closed for good"})
            span = (
                Fill.store_id == store_id,
                Fill.traded_ns >= row.until_ns,
                Fill.traded_ns < until_ns,
            )
            if (session.scalar(select(func.count()).where(*span)) or 0) > CLOSED_MAX:
                return Rejection(Outcome.CAPACITY, {"trades": str(CLOSED_MAX)})
            for fill, token, lots in assigned(
                session, self._house, store, row.until_ns, until_ns, CLOSED_MAX
            ):
                session.execute(delete(LotChoice).where(LotChoice.trade_id == fill.trade_id))
                found = [
                    NamedLot(lot.tx_hash, lot.log_index, lot.pips, lot.chosen_ns)
                    for lot in lots
                    if lot.tx_hash
                ]
                _write(session, fill, token, found)
            row.until_ns = until_ns
            session.add(row)
            return until_ns


def _named(session: Session, trade_id: int) -> list[NamedLot]:
    rows = select(LotChoice).where(LotChoice.trade_id == trade_id).order_by(LotChoice.position)
    return [
        NamedLot(row.tx_hash, row.log_index, row.pips, row.chosen_ns)
        for row in session.scalars(rows)
    ]


def _write(session: Session, fill: Fill, token: bytes, lots: Sequence[NamedLot]) -> None:
    for position, lot in enumerate(lots):
        session.add(
            LotChoice(
                trade_id=fill.trade_id,
                position=position,
                store_id=fill.store_id,
                token=token,
                tx_hash=lot.tx_hash,
                log_index=lot.log_index,
                pips=lot.pips,
                chosen_ns=lot.chosen_ns,
            )
        )
    session.flush()
