"""How are the texts of a signed order read?

An order has ten of them, and to have msgspec match a pattern for each was seven eighths of the time
it took to decode one. So each is looked at where it becomes a number or bytes, and nowhere else.
The schemas show the patterns all the same; a test holds both equal.
"""

import re
from typing import Annotated, Final

from msgspec import Meta

from engine.types import Outcome
from gateway.api.v1.encoding import CLIENT_ID_CHARS_MAX, END, pips, uint64
from gateway.trading.rejection import Rejection

DIGITS: Final = "^(0|[1-9][0-9]{0,19})"
DIGITS_MAX: Final = 20
_NAMES: Final = re.compile(r"[A-Za-z0-9._:-]*")


def shown_as(pattern: str, chars_max: int, description: str) -> Meta:
    """Return what a schema says of a text that a function of this module reads."""
    shown = {"pattern": pattern + END}
    return Meta(max_length=chars_max, description=description, extra_json_schema=shown)


def hex_of(size: int, description: str) -> Meta:
    """Return the same of so many bytes."""
    return shown_as(f"^0x[0-9a-fA-F]{{{2 * size}}}", 2 + 2 * size, description)


AddressText = Annotated[str, hex_of(20, "20 bytes, 0x-hex")]
AmountText = Annotated[str, shown_as(DIGITS, DIGITS_MAX, "uint64, decimal digits")]
SignatureText = Annotated[str, hex_of(65, "r, s, v: 65 bytes, 0x-hex")]
ClientIdText = Annotated[
    str,
    shown_as(
        f"^{_NAMES.pattern}",
        CLIENT_ID_CHARS_MAX,
        "the trader's own name for the order; not signed",
    ),
]


def octets_in(text: str, size: int, field: str) -> bytes:
    """Return the ``size`` bytes behind 0x-hex."""
    try:
        octets = bytes.fromhex(text[2:])
    except ValueError:
        octets = b""
    # ``fromhex`` passes over blanks.
    if len(octets) != size or len(text) != 2 + 2 * size or text[:2] != "0x":
        raise _malformed(field, f"{size} bytes in 0x-hex")
    return octets


def uint64_in(text: str, field: str) -> int:
    """Return the number behind decimal digits."""
    return uint64(_digits(text, field), field)


def pips_in(text: str, field: str) -> int:
    """Return the amount behind decimal digits; refused unless there may be such a one."""
    return pips(_digits(text, field), field)


def client_id_in(text: str) -> str:
    """Return a trader's own name for an order, if it may be one; empty for none."""
    if text and not _NAMES.fullmatch(text):
        raise _malformed("client_id", "letters, digits, dots, colons, hyphens and underscores")
    return text


def _digits(text: str, field: str) -> str:
    if not (text.isascii() and text.isdecimal()) or (text[0] == "0" and text != "0"):
        raise _malformed(field, "a whole number in decimal digits")
    return text


def _malformed(field: str, wanted: str) -> Rejection:
    return Rejection(Outcome.MALFORMED, f"{field} is not {wanted}", {"field": field})
