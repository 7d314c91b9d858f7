"""What is a page of each report, as JSON?"""

import msgspec

from merchants.reports.rows import (
    DisposalRow,
    FeeRow,
    PaymentRow,
    PayoutRow,
    ReconciliationRow,
    RefundRow,
    SettlementRow,
)


class PaymentsReport(msgspec.Struct, frozen=True):
    """Transfers, the first first; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[PaymentRow]
    next: str | None


class ConversionsReport(msgspec.Struct, frozen=True):
    """Disposals, the first first; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[DisposalRow]
    next: str | None


class FeesReport(msgspec.Struct, frozen=True):
    """Fees by day and market; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[FeeRow]
    next: str | None


class SettlementReport(msgspec.Struct, frozen=True):
    """Batches, the first first; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[SettlementRow]
    next: str | None


class RefundsReport(msgspec.Struct, frozen=True):
    """Refunds, the first first; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[RefundRow]
    next: str | None


class PayoutsReport(msgspec.Struct, frozen=True):
    """Withdrawals, the first first; ask again with ``cursor`` set to ``next``, null at the end."""

    rows: list[PayoutRow]
    next: str | None


class ReconciliationReport(msgspec.Struct, frozen=True):
    """One row a token, all of it in one page; it knows no range of times: ``next`` is null."""

    rows: list[ReconciliationRow]
    next: str | None
