"""What can a shop's accountant ask, and how is one page of it found?

A page is read in one moment of the rows (``reading``), of as many rows as are asked for, and says
where the next begins. So a report of years costs a thread some milliseconds at a time.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from merchants.records.database import reading
from merchants.records.tables import Store
from merchants.reports.disposals import disposals
from merchants.reports.money import payouts, reconciliation
from merchants.reports.page import Asked, BadCursor, House, Page
from merchants.reports.payments import payments
from merchants.reports.refunds import refunds
from merchants.reports.rows import (
    DisposalRow,
    FeeRow,
    PaymentRow,
    PayoutRow,
    ReconciliationRow,
    RefundRow,
    SettlementRow,
)
from merchants.reports.settled import fees, settlement
from settlement.ports import ExchangePort, SettlementPort

__all__ = ["Asked", "BadCursor", "Reports"]

ROWS_MAX: Final = 500


class ReportKind(StrEnum):
    """What there is."""

    PAYMENTS = "payments"
    CONVERSIONS = "conversions"
    FEES = "fees"
    SETTLEMENT = "settlement"
    REFUNDS = "refunds"
    PAYOUTS = "payouts"
    RECONCILIATION = "reconciliation"


class Kind(NamedTuple):
    """The columns of a report, and who finds its rows."""

    row: type[msgspec.Struct]
    find: Callable[[Session, House, Store, Asked], Page]


KINDS: Final = {
    ReportKind.PAYMENTS: Kind(PaymentRow, payments),
    ReportKind.CONVERSIONS: Kind(DisposalRow, disposals),
    ReportKind.FEES: Kind(FeeRow, fees),
    ReportKind.SETTLEMENT: Kind(SettlementRow, settlement),
    ReportKind.REFUNDS: Kind(RefundRow, refunds),
    ReportKind.PAYOUTS: Kind(PayoutRow, payouts),
    ReportKind.RECONCILIATION: Kind(ReconciliationRow, reconciliation),
}


class Reports:
    """Answers on any thread."""

    def __init__(
        self, database: Engine, exchange: ExchangePort, settlement: SettlementPort
    ) -> None:
        self._database = database
        self._house = House(exchange, settlement)
        self._undone_at = 0

    def page(self, kind: ReportKind, store_id: str, asked: Asked) -> Page:
        """Return one page. Raises ``BadCursor`` for one that no page has named."""
        with reading(self._database) as session:
            store = session.get_one(Store, store_id)
            return KINDS[kind].find(session, self._house, store, asked)

    def undone(self, sequence: int) -> None:
        """Command ``sequence`` took something back: what rows were before it they say no more."""
        self._undone_at = sequence

    def ledger(self, wallet: bytes) -> dict[bytes, int]:
        """Return what ``wallet`` has of each token; on the event loop, where it cannot change."""
        exchange = self._house.exchange
        tokens = [token.address for token in exchange.catalog.tokens]
        return {token: sum(exchange.balance(wallet, token)) for token in tokens}

    def accounted(self, asked: Asked, wallet: bytes) -> Asked:
        """Return a question with what ``wallet`` has of each token, and had at a block; on the
        event loop, where neither can change."""
        compared = self._house.settlement.compared(wallet)
        if compared is not None and compared.sequence < self._undone_at:
            compared = None
        return asked._replace(ledger=self.ledger(wallet), compared=compared)


def asked(
    from_ns: int = 0,
    to_ns: int = 2**63 - 1,
    *,
    zone: tzinfo = UTC,
    cursor: str = "",
    limit: int = ROWS_MAX,
    by_invoice: bool = False,
    by_choice: bool = False,
    ledger: Mapping[bytes, int] = MappingProxyType({}),
) -> Asked:
    """Return a question with what is usual left out."""
    rows = min(limit, ROWS_MAX)
    return Asked(from_ns, to_ns, zone, cursor, rows, by_invoice, ledger, by_choice)
