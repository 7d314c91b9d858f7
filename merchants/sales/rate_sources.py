"""In which forms do sources publish exchange rates, and how long is each good for?

Two are read: the European Central Bank's daily XML, and the JSON of Open Exchange Rates, which
others serve as well. What is not in that form is no table, never an error of ours.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Annotated, Final
from xml.etree import ElementTree

import msgspec

from merchants.records.currencies import EXPONENTS
from merchants.sales.rates import SCALE_DIGITS, RateTable

ECB_NAMESPACE: Final = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}"
FIXED_AT_H: Final = 14
"""Around 14:10 in Frankfurt; by UTC it is never earlier than 12 and this errs by little."""

DUE_AT_H: Final = 18
"""By then the next day's are out, in winter and summer."""

FRESH_S: Final = 3 * 3600
LEAST: Final = Decimal(1).scaleb(-6)
MOST: Final = Decimal(10**9)
"""No currency is further from another."""

XML_ERRORS: Final = (ElementTree.ParseError, ValueError, LookupError, OverflowError)
"""All that a hostile document can raise: an encoding nobody knows, the last day of all time."""

JSON_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that a hostile document can raise; deep nesting ends in RecursionError."""


def ecb_table(body: bytes) -> RateTable | None:
    """Return the ECB's daily rates; None if ``body`` is not in that form."""
    try:
        root = ElementTree.fromstring(body)  # Expat bounds what entities may grow to.
        of_day = root.find(f".//{ECB_NAMESPACE}Cube[@time]")
        if of_day is None:
            return None
        day = date.fromisoformat(of_day.attrib["time"])
        good_until_s = _seconds(_next_target_day(day), DUE_AT_H)
    except XML_ERRORS:
        return None
    rates = {row.get("currency", ""): _decimal(row.get("rate", "")) for row in of_day}
    return _table("EUR", _seconds(day, FIXED_AT_H), good_until_s, rates)


class _OpenExchangeRates(msgspec.Struct):
    base: str
    timestamp: Annotated[int, msgspec.Meta(ge=0, lt=10**11)]
    rates: dict[str, Decimal]


def open_exchange_rates_table(body: bytes) -> RateTable | None:
    """Return rates in the form of Open Exchange Rates; None if ``body`` is not in that form."""
    try:
        said = msgspec.json.decode(body, type=_OpenExchangeRates)
    except JSON_ERRORS:
        return None
    if said.base not in EXPONENTS:
        return None
    return _table(said.base, said.timestamp, said.timestamp + FRESH_S, said.rates)


FORMS: Final[Mapping[str, Callable[[bytes], RateTable | None]]] = MappingProxyType(
    {"ecb": ecb_table, "openexchangerates": open_exchange_rates_table}
)
"""By the name that an operator's setting calls them."""


def _table(
    base: str, as_of_s: int, good_until_s: int, rates: Mapping[str, Decimal]
) -> RateTable | None:
    """Return what of ``rates`` is a rate of a currency; one that is none takes no other along."""
    known = {
        code: int(rate.scaleb(SCALE_DIGITS))
        for code, rate in rates.items()
        if code in EXPONENTS and rate.is_finite() and LEAST <= rate <= MOST
    }
    return RateTable(base, as_of_s, good_until_s, known) if known else None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _seconds(day: date, hour: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())


def _next_target_day(day: date) -> date:
    """Return the first day after ``day`` on which the euro system works: no weekend, no New Year's
    Day, Good Friday, Easter Monday, Labour Day, Christmas and Boxing Day."""
    following = day + timedelta(days=1)
    while following.weekday() > 4 or _is_closed(following):
        following += timedelta(days=1)
    return following


def _is_closed(day: date) -> bool:
    easter = _easter(day.year)
    moving = (easter - timedelta(days=2), easter + timedelta(days=1))
    return day in moving or (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26))


def _easter(year: int) -> date:
    """Return Easter Sunday, by the anonymous Gregorian computus."""
    golden, century, of_century = year % 19, year // 100, year % 100
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - correction + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
