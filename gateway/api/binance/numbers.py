"""How do amounts cross this dialect's JSON? As strings with eight decimals, from integers alone."""

import re
from functools import lru_cache
from typing import Final

from gateway.api.binance.errors import Code, refused
from settlement.orders.catalog import Market

DIGITS: Final = 8
WHOLE_CHARS_MAX: Final = 11
"""Digits before the point: more is above all money there can be."""

TEXTS_KEPT: Final = 1 << 15
ZERO: Final = "0.00000000"
_DECIMAL: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{0,20}))?")
NS_A_MS: Final = 1_000_000


@lru_cache(TEXTS_KEPT)
def pips_text(pips: int) -> str:
    """Return ``pips`` as tokens with eight decimals."""
    whole, rest = divmod(abs(pips), 10**DIGITS)
    return f"{'-' if pips < 0 else ''}{whole}.{rest:08d}"


def price_text(market: Market, ticks: int) -> str:
    """Return a price: quote tokens for one base token."""
    return pips_text(ticks * market.tick_size_pips)


def quantity_text(market: Market, lots: int) -> str:
    """Return a quantity of base tokens."""
    return pips_text(market.base_pips(lots))


def ppm_text(ppm: int) -> str:
    """Return millionths as a fraction with eight decimals."""
    return pips_text(ppm * 100)


def pips_of(text: str, name: str) -> int:
    """Return the pips in a decimal text; refused where it is none, or has more than eight."""
    found = _DECIMAL.fullmatch(text)
    if found is None or len(found[1].lstrip("0")) > WHOLE_CHARS_MAX:
        legal = "'^([0-9]{1,20})(\\.[0-9]{1,20})?$'"
        raise refused(
            Code.ILLEGAL_CHARS,
            f"Illegal characters found in parameter '{name}'; legal range is {legal}.",
        )
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > DIGITS:
        raise refused(Code.BAD_PRECISION, f"Parameter '{name}' has too much precision.")
    return int(found[1]) * 10**DIGITS + int(fraction.ljust(DIGITS, "0"))


def milliseconds(time_ns: int) -> int:
    """Return a time as this dialect counts it."""
    return time_ns // NS_A_MS
