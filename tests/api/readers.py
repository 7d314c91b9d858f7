"""Three small clients that keep a book of their own: by levels, order by order, and its best."""

from typing import Any
from zlib import crc32

Side = dict[int, int]


class LevelReader:
    """Keeps levels from a snapshot and diffs; demands that numbers and checksums agree."""

    def __init__(self) -> None:
        self.u: int | None = None
        self.diffs = 0
        self.sides: dict[str, Side] = {}

    def hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "snapshot":
            self.sides = {"bids": {}, "asks": {}}
        else:
            assert (frame["prev"], frame["U"]) == (self.u, frame["prev"] + 1), "a diff was lost"
            self.diffs += 1
        self.u = frame["u"]
        for side, levels in self.sides.items():
            for level in frame[side]:
                levels[level["price_ticks"]] = level["lots"]
                if not level["lots"]:
                    del levels[level["price_ticks"]]
        top = self.asks()[:10] + self.bids()[:10]
        text = ",".join(f"{ticks}:{lots}" for ticks, lots in top)
        assert crc32(text.encode()) == frame["checksum"]

    def bids(self) -> list[tuple[int, int]]:
        return sorted(self.sides["bids"].items(), reverse=True)

    def asks(self) -> list[tuple[int, int]]:
        return sorted(self.sides["asks"].items())


class OrderReader:
    """Keeps every order in its queue; of a book that was cut it keeps what was shown."""

    def __init__(self) -> None:
        self.u: int | None = None
        self.diffs = 0
        self.queues: dict[str, dict[int, dict[str, int]]] = {}
        self.is_whole = True

    def hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "snapshot":
            self.queues = {"buy": {}, "sell": {}}
            for side, name in (("buy", "bids"), ("sell", "asks")):
                for order in frame[name]:
                    self._add(side, order)
            known = (frame["bids_known_to"], frame["asks_known_to"])
            self.is_whole = known == (None, None)
        else:
            assert (frame["prev"], frame["U"]) == (self.u, frame["prev"] + 1), "a diff was lost"
            self.diffs += 1
            for change in frame["changes"]:
                self._change(change)
        self.u = frame["u"]
        if self.is_whole:
            top = self.walk("sell")[:25] + self.walk("buy")[:25]
            text = ",".join(f"{order}:{ticks}:{lots}" for order, ticks, lots in top)
            assert crc32(text.encode()) == frame["checksum"]

    def _add(self, side: str, order: dict[str, Any]) -> None:
        queue = self.queues[side].setdefault(order["price_ticks"], {})
        assert order["order_id"] not in queue
        queue[order["order_id"]] = order["lots"]

    def _change(self, change: dict[str, Any]) -> None:
        side, ticks = change["side"], change["price_ticks"]
        if change["kind"] == "add":
            self._add(side, change)
            return
        queue = self.queues[side][ticks]
        assert change["order_id"] in queue
        if change["kind"] == "change":
            queue[change["order_id"]] = change["lots"]
            return
        del queue[change["order_id"]]
        if not queue:
            del self.queues[side][ticks]

    def walk(self, side: str) -> list[tuple[str, int, int]]:
        prices = sorted(self.queues[side], reverse=side == "buy")
        return [
            (order, ticks, lots)
            for ticks in prices
            for order, lots in self.queues[side][ticks].items()
        ]

    def levels(self, side: str) -> list[tuple[int, int]]:
        prices = sorted(self.queues[side], reverse=side == "buy")
        return [(ticks, sum(self.queues[side][ticks].values())) for ticks in prices]


class BestReader:
    """Keeps the last word on the best prices."""

    def __init__(self) -> None:
        self.u = 0
        self.best: tuple[Any, Any] = (None, None)

    def hear(self, frame: dict[str, Any]) -> None:
        assert frame["u"] >= self.u, "it never runs backwards"
        self.u = frame["u"]
        self.best = tuple(
            level and (level["price_ticks"], level["lots"])
            for level in (frame["bid"], frame["ask"])
        )
