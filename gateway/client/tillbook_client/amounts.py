"""How do amounts cross from what people write to what is signed?

Exactly: text, ``int`` or ``Decimal`` in, whole pips out; 10**8 pips are one token. No float: 0.1 is
not a tenth there.
"""

import re
from decimal import Decimal
from typing import Final

from tillbook_client.errors import InvalidAmountError

PIP_DIGITS: Final = 8
PIPS_PER_TOKEN: Final = 10**PIP_DIGITS

Amount = str | int | Decimal
"""Whole tokens, exactly."""

_PLAIN: Final = re.compile(r"(\d{1,12})(?:\.(\d+))?")


def pips(amount: Amount) -> int:
    """Return ``amount`` tokens in pips. Raises ``InvalidAmountError`` for what is none exactly."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise InvalidAmountError(f"{amount!r} is no exact number: write it as text")
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise InvalidAmountError(f"{text!r} is no amount such as 12.5")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > PIP_DIGITS:
        raise InvalidAmountError(f"{text!r} has more than {PIP_DIGITS} digits behind the point")
    return int(whole) * PIPS_PER_TOKEN + int(fraction.ljust(PIP_DIGITS, "0"))


def text(amount_pips: int) -> str:
    """Return pips as tokens, without zeros that say nothing."""
    sign = "-" if amount_pips < 0 else ""
    whole, rest = divmod(abs(amount_pips), PIPS_PER_TOKEN)
    fraction = f"{rest:0{PIP_DIGITS}d}".rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
