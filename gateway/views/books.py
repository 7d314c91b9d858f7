"""What does one market's book look like from outside?

Aggregated levels (price, total lots), kept from events alone. A change is a ``BookDiff``; two diffs
merge into one wider diff, so a slow reader gets fewer frames, never a gap.

Numbers: ``u`` is the engine's event index after which the book looks like this; ``prev`` the ``u``
before it; ``U`` = ``prev`` + 1. A reader that sees ``prev`` differ from its own last ``u`` must
take a new snapshot. ``checksum`` is CRC32 over the ten best asks, then the ten best bids, each
``price_ticks:lots``, all joined by commas: it finds a wrong book where ``u`` finds a missing
diff.
"""

from itertools import islice
from typing import Final, NamedTuple, Self
from zlib import crc32

import orjson
from sortedcontainers import SortedDict

from engine.types import Side
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import price_text, quantity_text
from settlement.orders.catalog import Market

CHECKSUM_LEVELS: Final = 10

Level = tuple[int, int]
"""(price_ticks, lots)"""


class BookDiff:
    """The levels that changed, with their new totals; 0 lots means the level is gone."""

    __slots__ = ("_text", "changed", "checksum", "market", "prev", "time_ns", "u")

    def __init__(
        self,
        market: Market,
        *,
        prev: int,
        u: int,
        changed: dict[tuple[Side, int], int],
        checksum: int,
        time_ns: int,
    ) -> None:
        self.market = market
        self.prev = prev
        self.u = u
        self.changed = changed
        self.checksum = checksum
        self.time_ns = time_ns
        self._text: str | None = None

    def merged(self, newer: Self) -> "BookDiff":
        """Return one diff that does what this and then ``newer`` do."""
        assert newer.prev == self.u, "diffs of one channel are consecutive"
        return BookDiff(
            self.market,
            prev=self.prev,
            u=newer.u,
            changed=self.changed | newer.changed,
            checksum=newer.checksum,
            time_ns=newer.time_ns,
        )

    def text(self) -> str:
        """Return the frame as JSON text, made once."""
        if self._text is None:
            bids = [(t, n) for (side, t), n in self.changed.items() if side == Side.BUY]
            asks = [(t, n) for (side, t), n in self.changed.items() if side == Side.SELL]
            frame = {
                "channel": f"book:{self.market.symbol}",
                "type": "diff",
                "U": self.prev + 1,
                "u": self.u,
                "prev": self.prev,
                "checksum": self.checksum,
                "time_ns": str(self.time_ns),
                "bids": level_rows(self.market, bids),
                "asks": level_rows(self.market, asks),
            }
            self._text = orjson.dumps(frame).decode()
        return self._text


class BookMemory(NamedTuple):
    """A book as a snapshot keeps it; bids by negated ticks."""

    u: int
    bids: list[Level]
    asks: list[Level]


class Book:
    """Both sides of one market."""

    def __init__(self) -> None:
        self._bids: SortedDict[int, int] = SortedDict()  # Keys are negated ticks: best first.
        self._asks: SortedDict[int, int] = SortedDict()
        self.u = 0
        self.version = 0
        """Another number after each change: what was made of the book before may be kept."""
        self._changed: set[tuple[Side, int]] = set()
        self._rows: dict[Side, dict[int, bytes]] = {side: {} for side in Side}
        """Levels as JSON, made when first asked for: a deep book changes at few prices."""

    def memory(self) -> "BookMemory":
        """Return all of it, between two batches."""
        return BookMemory(self.u, list(self._bids.items()), list(self._asks.items()))

    @classmethod
    def remembered(cls, memory: "BookMemory") -> Self:
        """Return the book that ``memory`` was taken of."""
        book = cls()
        book.u = memory.u
        book._bids.update(memory.bids)
        book._asks.update(memory.asks)
        return book

    def add(self, side: Side, ticks: int, lots: int) -> None:
        """Add ``lots`` (negative: take away) at one price."""
        levels, key = self._place(side, ticks)
        left = levels.get(key, 0) + lots
        assert left >= 0, "a level never holds less than nothing"
        if left:
            levels[key] = left
        else:
            del levels[key]
        self.version += 1
        self._changed.add((side, ticks))
        self._rows[side].pop(key, None)

    def seal(self, market: Market, u: int, time_ns: int) -> BookDiff | None:
        """Close the changes up to event ``u`` and return them; None when nothing changed."""
        if not self._changed:
            return None
        changed = {}
        for side, ticks in self._changed:
            levels, key = self._place(side, ticks)
            changed[side, ticks] = levels.get(key, 0)
        diff = BookDiff(
            market,
            prev=self.u,
            u=u,
            changed=changed,
            checksum=self.checksum(),
            time_ns=time_ns,
        )
        self.skip(u)
        return diff

    def skip(self, u: int) -> None:
        """Close the changes up to event ``u`` when nobody listens."""
        if self._changed:
            self._changed.clear()
            self.u = u

    def levels(self, side: Side, count: int) -> list[Level]:
        """Return up to ``count`` levels, best first."""
        if side == Side.BUY:
            return [(-key, lots) for key, lots in islice(self._bids.items(), count)]
        return list(islice(self._asks.items(), count))

    def rows(self, market: Market, side: Side, count: int) -> orjson.Fragment:
        """Return up to ``count`` levels as a JSON array, best first."""
        known, levels = self._rows[side], self._bids if side == Side.BUY else self._asks
        keys = list(islice(levels, count))
        try:
            texts = [known[key] for key in keys]
        except KeyError:  # Seldom more than a few have changed since the last reader.
            for key in [key for key in keys if key not in known]:
                (row,) = level_rows(market, [(abs(key), levels[key])])
                known[key] = orjson.dumps(row)
            texts = [known[key] for key in keys]
        return orjson.Fragment(b"[%b]" % b",".join(texts))

    def terms_changed(self) -> None:
        """Forget what was written under other terms."""
        self.version += 1
        for rows in self._rows.values():
            rows.clear()

    def checksum(self) -> int:
        """Return the CRC32 that the module's first lines define."""
        top = self.levels(Side.SELL, CHECKSUM_LEVELS) + self.levels(Side.BUY, CHECKSUM_LEVELS)
        return crc32(",".join(f"{ticks}:{lots}" for ticks, lots in top).encode())

    def _place(self, side: Side, ticks: int) -> tuple["SortedDict[int, int]", int]:
        return (self._bids, -ticks) if side == Side.BUY else (self._asks, ticks)


def level_rows(market: Market, levels: list[Level]) -> list[schemas.Level]:
    """Return levels as JSON rows: what people read and the integers behind it."""
    return [
        {
            "price": price_text(market, ticks),
            "quantity": quantity_text(market, lots),
            "price_ticks": ticks,
            "lots": lots,
        }
        for ticks, lots in levels
    ]
