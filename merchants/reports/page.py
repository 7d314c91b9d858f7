"""What is asked of a report, and what is one page of it?"""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from merchants.records.amounts import hex_of
from settlement.audit.standings import Standing
from settlement.ports import ExchangePort, SettlementPort


class BadCursor(Exception):
    """A cursor that no page has named."""


class House(NamedTuple):
    """What reports need besides the rows."""

    exchange: ExchangePort
    settlement: SettlementPort

    def symbol_of(self, token: bytes) -> str:
        """Return a listed token's symbol, and another's address."""
        listed = self.exchange.catalog.token_by_address(token)
        return hex_of(token) if listed is None else listed.symbol


class Asked(NamedTuple):
    """From ``from_ns`` on and before ``to_ns``; what comes behind ``cursor``, ``limit`` rows.

    ``by_invoice`` takes each disposal from the lots of its own invoice (specific identification),
    else the oldest lots of the store go first (FIFO).
    """

    from_ns: int
    to_ns: int
    zone: tzinfo
    cursor: str
    limit: int
    by_invoice: bool
    ledger: Mapping[bytes, int] = MappingProxyType({})
    """What the exchange owes the store's wallet, by token: read where the book moves."""
    by_choice: bool = False
    """Whether each disposal takes the lots that it names, and FIFO over the rest."""
    compared: Standing | None = None
    """How its account stood at a block, where the rows can say what they were then."""

    def numbers(self, count: int) -> tuple[int, ...]:
        """Return the numbers in the cursor; zeros where there is none."""
        if not self.cursor:
            return (0,) * count
        parts = self.cursor.split(".")
        if len(parts) != count or not all(
            part.isascii() and part.isdigit() and len(part) < 20 for part in parts
        ):
            raise BadCursor(self.cursor)
        return tuple(map(int, parts))


class Page(NamedTuple):
    """Some rows, and the cursor of the next page, empty for the last."""

    rows: Sequence[msgspec.Struct]
    following: str
