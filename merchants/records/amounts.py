"""How does an amount cross JSON without losing a unit?

Outside, amounts are decimal strings. Inside they are integers: pips for anything the exchange
holds (8 decimals), raw units for anything that lies on chain in a token of its own decimals.
"""

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Integer, SQLColumnExpression, func, literal

from engine.types import MONEY_MAX
from settlement.orders.catalog import Token

PIPS_DECIMALS: Final = 8
HALF_BITS: Final = 32

DUST_SHARE: Final = 1_000
"""What is less than one part in so many of what is due is dust: it counts and is not told of."""

_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,18}))?")


def decimal_of(units: int, decimals: int) -> str:
    """Return ``units`` of 10**-decimals as a decimal string without needless zeros."""
    assert units >= 0, "amounts shown to people are never negative"
    whole, rest = divmod(units, 10**decimals)
    digits = str(rest).rjust(decimals, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def decimal_of_pips(pips: int) -> str:
    """Return pips as a decimal string in whole tokens."""
    return decimal_of(pips, PIPS_DECIMALS)


def pips_of_decimal(text: str) -> int | None:
    """Return the pips in a decimal string; None if it is no amount or finer than a pip."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > PIPS_DECIMALS:
        return None
    pips = int(match[1] + fraction.ljust(PIPS_DECIMALS, "0"))
    return pips if pips <= MONEY_MAX else None


def counted(so_far: int, more: int) -> int:
    """Return ``so_far`` and ``more``, or the most that a column counts to.

    The ledger bounds what there is at one time, nobody what came and went over the years. What was
    counted stays counted: others have reckoned with it.
    """
    return max(so_far, min(so_far + more, MONEY_MAX))


def exact_sum(amount: SQLColumnExpression[int]) -> tuple[ColumnElement[int | None], ...]:
    """Return the columns whose values ``sum_of`` puts together: SQLite adds up to 2**63 only.

    Postgres adds to any size, and its answer is a Decimal; there they are whole numbers all the
    same."""
    # Postgres shifts by a number of 32 bits alone.
    high = amount.op(">>")(literal(HALF_BITS, Integer))
    return func.sum(high), func.sum(amount.op("&")((1 << HALF_BITS) - 1))


def sum_of(halves: Sequence[int | None]) -> int:
    """Return the sum that ``exact_sum`` asked for; that of nothing is 0."""
    high, low = (int(half or 0) for half in halves)
    return (high << HALF_BITS) + low


def raw_covering(token: Token, pips: int) -> int:
    """Return the fewest raw units of ``token`` that are worth at least ``pips``."""
    if token.unit_scale > 0:
        return pips * token.unit_scale
    return -(pips // token.unit_scale)


def hex_of(value: bytes) -> str:
    """Return bytes as 0x and lower-case hex."""
    return "0x" + value.hex()
