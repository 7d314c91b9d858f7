"""What does the book look like, from a snapshot and the diffs behind it?

The rules are the exchange's: a diff's ``prev`` is the ``u`` of the last, and ``checksum`` is CRC32
over the ten best asks, then the ten best bids, each ``price_ticks:lots``, joined by commas.
"""

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

from tillbook_client.errors import GapError

CHECKSUM_LEVELS: Final = 10


class LocalBook:
    """One market's book: ``bids`` and ``asks`` are lots by price in ticks."""

    def __init__(self) -> None:
        self.u = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def apply(self, frame: Mapping[str, Any]) -> None:
        """Take a frame of the channel ``book:SYMBOL``. Raises ``GapError``: subscribe again."""
        if frame["type"] == "snapshot":
            self.bids, self.asks = {}, {}
        elif frame["prev"] != self.u:
            raise GapError(f"the book stands at {self.u}, the diff begins behind {frame['prev']}")
        for side, levels in ((self.bids, frame["bids"]), (self.asks, frame["asks"])):
            for level in levels:
                if level["lots"]:
                    side[level["price_ticks"]] = level["lots"]
                else:
                    side.pop(level["price_ticks"], None)
        self.u = frame["u"]
        if self.checksum() != frame["checksum"]:
            raise GapError(f"the book is not the exchange's at {self.u}")

    def checksum(self) -> int:
        """Return the checksum of the book as it stands."""
        asks = sorted(self.asks.items())[:CHECKSUM_LEVELS]
        bids = sorted(self.bids.items(), reverse=True)[:CHECKSUM_LEVELS]
        return crc32(",".join(f"{price}:{lots}" for price, lots in (*asks, *bids)).encode())

    def best(self) -> tuple[int | None, int | None]:
        """Return best bid and ask in ticks; None where there is none."""
        return max(self.bids, default=None), min(self.asks, default=None)
