"""How do addresses, amounts and prices cross JSON?

Bytes are 0x-hex. Whole numbers that may pass 2**53 are decimal strings, because JavaScript would
round them. Token quantities and prices for human eyes are decimal strings made by integer
division; wherever one stands, the integer it came from stands beside it.
"""

import re
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta

from engine.types import MONEY_MAX, Outcome
from gateway.trading.rejection import Rejection
from settlement.orders.catalog import Market
from settlement.protocol.checksum import address_of_text

PIP_DIGITS: Final = 8
TEXTS_KEPT: Final = 1 << 15
"""The same prices and sizes are written again and again, each for several microseconds."""

STEPS_KEPT: Final = 1 << 10
UINT64_MAX: Final = 2**64 - 1
UINT32_MAX: Final = 2**32 - 1

END: Final = r"$(?!\n)"
"""The end of a pattern, in Python and in JavaScript: Python's ``$`` alone lets a newline pass."""

# In a path or query: pydantic's own engine knows no look-ahead, and its ``$`` is the very end.
ADDRESS_PATTERN: Final = "^0x[0-9a-fA-F]{40}$"
HASH_PATTERN: Final = "^0x[0-9a-fA-F]{64}$"
CLIENT_ID_CHARS_MAX: Final = 36

Address = Annotated[
    str,
    Meta(pattern="^0x[0-9a-fA-F]{40}" + END, max_length=42, description="20 bytes, 0x-hex"),
]
Hash = Annotated[
    str,
    Meta(pattern="^0x[0-9a-fA-F]{64}" + END, max_length=66, description="32 bytes, 0x-hex"),
]
WalletSignature = Annotated[
    str,
    Meta(
        pattern="^0x([0-9a-fA-F]{2}){65,2048}" + END,
        max_length=4_098,
        description="r, s, v: 65 bytes, 0x-hex; what a contract takes (ERC-1271) up to 2,048 bytes",
    ),
]
Signature = Annotated[
    str,
    Meta(
        pattern="^0x[0-9a-fA-F]{130}" + END,
        max_length=132,
        description="r, s, v: 65 bytes, 0x-hex",
    ),
]
Digits = Annotated[
    str,
    Meta(
        pattern="^(0|[1-9][0-9]{0,19})" + END, max_length=20, description="uint64, decimal digits"
    ),
]
Uint32 = Annotated[int, Meta(ge=0, le=UINT32_MAX)]
ClientId = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9._:-]*" + END,
        max_length=CLIENT_ID_CHARS_MAX,
        description="the trader's own name for the order; not signed",
    ),
]

_ORDER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


def unhex(text: str) -> bytes:
    """Return the bytes behind 0x-hex that a model has already checked."""
    return bytes.fromhex(text[2:])


def address(text: str, field: str) -> bytes:
    """Return the address behind 0x-hex; refused where its EIP-55 checksum is wrong."""
    found = address_of_text(text)
    if found is None:
        detail = f"{field} is not an address, or its EIP-55 checksum is wrong"
        raise Rejection(Outcome.MALFORMED, detail, {"field": field})
    return found


def hexed(raw: bytes) -> str:
    """Return 0x-hex in lower case."""
    return "0x" + raw.hex()


def uint64(text: str, field: str) -> int:
    """Return the number behind decimal digits; refused above 2**64 - 1."""
    number = int(text)
    if number > UINT64_MAX:
        raise Rejection(Outcome.MALFORMED, f"{field} is above 2**64 - 1", {"field": field})
    return number


def pips(text: str, field: str) -> int:
    """Return an amount in pips; refused unless 0 < amount <= ``MONEY_MAX``."""
    number = int(text)
    if not 0 < number <= MONEY_MAX:
        raise Rejection(
            Outcome.AMOUNT_OUT_OF_RANGE,
            f"{field} must be between 1 and {MONEY_MAX} pips",
            {"field": field},
        )
    return number


def order_id(text: str) -> int:
    """Return an order id from a path or frame; refused unless it is a positive int64."""
    if not _ORDER_ID.fullmatch(text) or int(text) >= 2**63:
        raise Rejection(Outcome.MALFORMED, "an order id is a decimal number below 2**63")
    return int(text)


@lru_cache(TEXTS_KEPT)
def decimal_text(amount: int, places: int = PIP_DIGITS) -> str:
    """Return ``amount`` pips as tokens with ``places`` digits behind the point.

    ``places`` below 8 must not cut off anything: the caller knows the step.
    """
    whole, rest = divmod(abs(amount), 10**PIP_DIGITS)
    sign = "-" if amount < 0 else ""
    fraction = f"{rest:0{PIP_DIGITS}d}"
    assert not fraction[places:].strip("0"), "no digit may be lost"
    return f"{sign}{whole}.{fraction[:places]}" if places else f"{sign}{whole}"


@lru_cache(STEPS_KEPT)
def places_of(step: int) -> int:
    """Return how many decimal places multiples of ``step`` pips need."""
    places = PIP_DIGITS
    while places and step % 10 == 0:
        step //= 10
        places -= 1
    return places


def price_text(market: Market, ticks: int) -> str:
    """Return a price in quote tokens per base token."""
    step = market.tick_size_pips
    return decimal_text(ticks * step, places_of(step))


def quantity_text(market: Market, lots: int) -> str:
    """Return a quantity in base tokens."""
    return decimal_text(market.base_pips(lots), places_of(market.lot_pips))
