"""How does a shop's accountant get his reports?

In pages, as JSON or as CSV; pages of CSV put one behind the other are one file, for the names of
the columns are in the first alone. A page is read on the shops' own threads.
"""

from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from engine.types import Outcome
from gateway.api.v1.openapi import documented
from gateway.api.v1.report_schemas import (
    ConversionsReport,
    FeesReport,
    PaymentsReport,
    PayoutsReport,
    ReconciliationReport,
    RefundsReport,
    SettlementReport,
)
from gateway.api.v1.shop_doors import Here, Shops, having_own
from gateway.trading.rejection import Rejection
from merchants.records.tables import Store
from merchants.reports.page import Asked, BadCursor, Page
from merchants.reports.reports import KINDS, ROWS_MAX, ReportKind
from merchants.reports.written import csv_of
from merchants.stores.scopes import VIEW_REPORTS

NEXT_HEADER: Final = "X-Next-Cursor"
FOREVER_NS: Final = 2**63 - 1

REPLIES: Final[dict[ReportKind, type[Any]]] = {
    ReportKind.PAYMENTS: PaymentsReport,
    ReportKind.CONVERSIONS: ConversionsReport,
    ReportKind.FEES: FeesReport,
    ReportKind.SETTLEMENT: SettlementReport,
    ReportKind.REFUNDS: RefundsReport,
    ReportKind.PAYOUTS: PayoutsReport,
    ReportKind.RECONCILIATION: ReconciliationReport,
}


class Format(StrEnum):
    """How a page is written."""

    JSON = "json"
    CSV = "csv"


class Lots(StrEnum):
    """Which lots a sale takes: the store's oldest, its invoice's, or those that were named."""

    FIFO = "fifo"
    INVOICE = "invoice"
    CHOSEN = "chosen"


class Question:
    """The parameters that all reports have."""

    def __init__(
        self,
        since: Annotated[str, Query(alias="from", max_length=40)] = "",
        until: Annotated[str, Query(alias="to", max_length=40)] = "",
        format: Format = Format.JSON,  # noqa: A002 -- the parameter's own name
        zone: Annotated[str, Query(max_length=64)] = "UTC",
        lots: Lots = Lots.FIFO,
        cursor: Annotated[str, Query(max_length=128)] = "",
        limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = ROWS_MAX,
    ) -> None:
        """``from`` and ``to`` are ISO 8601; without a zone of their own they are in ``zone``."""
        self.format = format
        place = _zone(zone)
        self.asked = Asked(
            _moment("from", since, place) if since else 0,
            _moment("to", until, place) if until else FOREVER_NS,
            place,
            cursor,
            limit,
            lots is Lots.INVOICE,
            by_choice=lots is Lots.CHOSEN,
        )


router = APIRouter(prefix="/v1/stores/{store_id}/reports", tags=["merchants"])


def _report_documented(kind: ReportKind) -> dict[str, Any]:
    extra = documented(
        REPLIES[kind],
        rejections=(400, 401, 403, 404, 429),
        proof="store",
        scope=VIEW_REPORTS,
    )
    extra["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return extra


def _add(kind: ReportKind) -> None:
    @router.get(
        f"/{kind.value}", name=f"report_{kind.value}", openapi_extra=_report_documented(kind)
    )
    async def report(
        shops: Here,
        store: Annotated[Store, Depends(having_own(VIEW_REPORTS))],
        question: Annotated[Question, Depends(Question)],
    ) -> Response:
        reports, asked = shops.merchants.reports, question.asked
        if kind is ReportKind.RECONCILIATION:
            asked = reports.accounted(asked, store.wallet)
        return await shops.readers.ask(_written, shops, kind, store, asked, question.format)

    report.__doc__ = KINDS[kind].row.__doc__


for each in ReportKind:
    _add(each)


def _written(
    shops: Shops, kind: ReportKind, store: Store, asked: Asked, wanted: Format
) -> Response:
    try:
        page = shops.merchants.reports.page(kind, store.id, asked)
    except BadCursor:
        detail = "cursor is none that a page of this report has named"
        raise Rejection(Outcome.MALFORMED, detail, {"cursor": asked.cursor}) from None
    if wanted is Format.CSV:
        return _csv(kind, asked, page)
    reply = REPLIES[kind](page.rows, page.following or None)
    return Response(msgspec.json.encode(reply), media_type="application/json")


def _csv(kind: ReportKind, asked: Asked, page: Page) -> Response:
    text = csv_of(KINDS[kind].row, page.rows, is_first=not asked.cursor)
    headers = {"Content-Disposition": f'attachment; filename="{kind.value}.csv"'}
    if page.following:
        headers[NEXT_HEADER] = page.following
    return Response(text, media_type="text/csv", headers=headers)


def _zone(name: str) -> tzinfo:
    """Return a zone by its IANA name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        detail = "zone is none that this server knows: say one as Asia/Kolkata"
        raise Rejection(Outcome.MALFORMED, detail, {"zone": name}) from None


def _moment(field: str, text: str, zone: tzinfo) -> int:
    """Return unix nanoseconds."""
    try:
        found = datetime.fromisoformat(text)
        at = found if found.tzinfo is not None else found.replace(tzinfo=zone)
        seconds = int(at.timestamp())
    except (ValueError, OverflowError):
        detail = f"{field} is no time: say one as 2027-01-31 or 2027-01-31T12:00:00Z"
        raise Rejection(Outcome.MALFORMED, detail, {field: text}) from None
    return max(0, min(seconds * 10**9, FOREVER_NS))
