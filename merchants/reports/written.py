"""How is a page of a report spelled as CSV and as JSON?

A spreadsheet takes a cell that begins with one of ``= + - @`` for a formula, and customers choose
order ids: such a cell has an apostrophe in front (OWASP). A number of ours may be negative: it is
left alone, for it is spelled by us.
"""

import csv
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def csv_of(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct], *, is_first: bool) -> bytes:
    """Return ``rows``; under the names of the columns if it is the first page, so that pages put
    one behind the other are one file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    if is_first:
        writer.writerow(kind.__struct_fields__)
    for row in rows:
        writer.writerow(harmless(str(cell)) for cell in msgspec.structs.astuple(row))
    return out.getvalue().encode()


def harmless(cell: str) -> str:
    """Return ``cell`` so that no spreadsheet computes it."""
    is_formula = cell.startswith(FORMULA) and NUMBER.fullmatch(cell) is None
    return "'" + cell if is_formula else cell


def moment(time_ns: int, zone: tzinfo = UTC) -> str:
    """Return a time as people read it in ``zone``; nothing for one that was not kept."""
    if time_ns == 0:
        return ""
    return datetime.fromtimestamp(time_ns // 10**9, zone).isoformat()


def signed_decimal(units: int, decimals: int = 8) -> str:
    """Return an amount that may be negative as a decimal string."""
    whole, rest = divmod(abs(units), 10**decimals)
    digits = str(rest).rjust(decimals, "0").rstrip("0") if rest else ""
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
