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
from typing import ClassVar, Final, NamedTuple, Self
from zlib import crc32

import msgspec
from sortedcontainers import SortedDict

from engine.types import Side
from gateway.views.channels import News
from settlement.orders.catalog import Market

CHECKSUM_LEVELS: Final = 10

BUY: Final = Side.BUY
"""To read a member of an enum costs Python 3.11 as much as to look up a level."""

Level = tuple[int, int]
"""(price_ticks, lots)"""


class BookDiff(News, frozen=True, kw_only=True):
    """The levels that changed, with their new totals; 0 lots means the level is gone."""

    is_mergeable: ClassVar[bool] = True

    market: Market
    prev: int
    u: int
    changed: dict[tuple[Side, int], int]
    checksum: int
    time_ns: int

    def takes(self, newer: Self) -> bool:
        """Return whether ``newer`` means the same prices by its ticks, and the same lots."""
        return self.market == newer.market

    def merged(self, newer: Self) -> Self:
        """Return one diff that does what this and then ``newer`` do."""
        assert newer.prev == self.u, "diffs of one channel are consecutive"
        return msgspec.structs.replace(newer, prev=self.prev, changed=self.changed | newer.changed)


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
        self._kept: dict[object, dict[Side, dict[int, bytes]]] = {}

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
        for kept in self._kept.values():
            kept[side].pop(ticks, None)

    def seal(self, market: Market, u: int, time_ns: int) -> BookDiff | None:
        """Close the changes up to event ``u`` and return them; None when nothing changed."""
        if not self._changed:
            return None
        changed = {}
        for side, ticks in self._changed:
            changed[side, ticks] = self.lots(side, ticks)
        diff = BookDiff(
            market=market,
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
        mine = self._bids if side == BUY else self._asks
        keys = list(islice(mine, count))
        ticks = [-key for key in keys] if side == BUY else keys
        return list(zip(ticks, map(mine.__getitem__, keys), strict=True))

    def best(self, side: Side) -> Level | None:
        """Return the best level; None where a side is empty."""
        mine = self._bids if side == BUY else self._asks
        if not mine:
            return None
        key, lots = mine.peekitem(0)
        return (-key if side == BUY else key), lots

    def ticks(self, side: Side, count: int) -> list[int]:
        """Return the prices of up to ``count`` levels, best first."""
        if side == BUY:
            return [-key for key in islice(self._bids, count)]
        return list(islice(self._asks, count))

    def lots(self, side: Side, ticks: int) -> int:
        """Return what stands at one price."""
        levels, key = self._place(side, ticks)
        return int(levels.get(key, 0))

    def kept(self, reader: object) -> dict[Side, dict[int, bytes]]:
        """Return what ``reader`` has made of levels, by price; it may put more there. It goes when
        its level changes: a deep book changes at few prices between two readings."""
        kept = self._kept.get(reader)
        if kept is None:
            kept = self._kept[reader] = {side: {} for side in Side}
        return kept

    def terms_changed(self) -> None:
        """Count as changed: the same ticks and lots are other prices and quantities now."""
        self.version += 1
        self._kept.clear()

    def checksum(self) -> int:
        """Return the CRC32 that the module's first lines define."""
        top = self.levels(Side.SELL, CHECKSUM_LEVELS) + self.levels(Side.BUY, CHECKSUM_LEVELS)
        return crc32(",".join(f"{ticks}:{lots}" for ticks, lots in top).encode())

    def _place(self, side: Side, ticks: int) -> tuple["SortedDict[int, int]", int]:
        return (self._bids, -ticks) if side == BUY else (self._asks, ticks)
