"""Which order stands where in the queue of its price, by what everybody may see of it?

The book order by order (level 3): an iceberg shows its slice, an armed stop nothing. Whoever keeps
it from a snapshot and the changes can prove that nobody is served before an older order.

Numbers: ``U``, ``u`` and ``prev`` as in ``books``. ``checksum`` is CRC32 over the first
``CHECKED`` asks, then the first ``CHECKED`` bids, best price first and at a price the oldest order
first, each ``order_id:price_ticks:lots``, all joined by commas.
"""

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, Final, Literal, NamedTuple, Self
from zlib import crc32

import msgspec
from sortedcontainers import SortedDict

from engine.types import Side
from gateway.views.channels import News
from settlement.orders.catalog import Market

CHECKED: Final = 25
"""Orders of a side that the checksum is over."""

SHOWN: Final = 400
"""Orders of a side in a snapshot."""

CHANGES_MAX: Final = 1_000
"""Changes that wait as one for a slow reader."""

BUY: Final = Side.BUY

ADD: Final = "add"
CHANGE: Final = "change"
REMOVE: Final = "remove"

Kind = Literal["add", "change", "remove"]


class QueuedOrder(NamedTuple):
    """An order in the book, with the lots of it that are in sight."""

    order_id: int
    price_ticks: int
    lots: int


class QueueChange(NamedTuple):
    """``add``: last at its price. ``change``: other lots, the same place. ``remove``: gone."""

    kind: Kind
    side: Side
    order: QueuedOrder


class QueueDiff(News, frozen=True, kw_only=True):
    """What has changed, in the order in which it did."""

    is_mergeable: ClassVar[bool] = True

    market: Market
    prev: int
    u: int
    changes: tuple[QueueChange, ...]
    checksum: int
    time_ns: int

    def takes(self, newer: Self) -> bool:
        """Return whether both are of the same ticks and lots, and not too many together."""
        is_few = len(self.changes) + len(newer.changes) <= CHANGES_MAX
        return is_few and self.market == newer.market

    def merged(self, newer: Self) -> Self:
        """Return one diff that does what this and then ``newer`` do: all of it is told."""
        assert newer.prev == self.u, "diffs of one channel are consecutive"
        return msgspec.structs.replace(newer, prev=self.prev, changes=self.changes + newer.changes)


class ShownSide(NamedTuple):
    """The first orders of a side: order, price in ticks, lots. ``known_to`` is the last price of
    which all orders are here; None if these are all there are. Where even the best price has more
    orders than are shown it is the step before that price: nothing is known wholly."""

    orders: list[tuple[int, int, int]]
    known_to: int | None


class QueuesMemory(NamedTuple):
    """Queues as a snapshot keeps them; bids by negated ticks."""

    u: int
    bids: list[tuple[int, list[tuple[int, int]]]]
    asks: list[tuple[int, list[tuple[int, int]]]]


class Queues:
    """Both sides of one market. The order of a ``dict`` is that of the queue."""

    def __init__(self) -> None:
        self._bids: SortedDict[int, dict[int, int]] = SortedDict()  # By negated ticks: best first.
        self._asks: SortedDict[int, dict[int, int]] = SortedDict()
        self.u = 0
        self.is_heard = False
        """Whether changes are noted, because somebody listens."""
        self._changes: list[QueueChange] = []
        self._kept: dict[object, dict[Side, dict[int, bytes]]] = {}

    def memory(self) -> QueuesMemory:
        """Return all of it, between two batches."""
        bids, asks = (
            [(key, list(queue.items())) for key, queue in levels.items()]
            for levels in (self._bids, self._asks)
        )
        return QueuesMemory(self.u, bids, asks)

    @classmethod
    def remembered(cls, memory: QueuesMemory) -> Self:
        """Return the queues that ``memory`` was taken of."""
        queues = cls()
        queues.u = memory.u
        queues._bids.update((key, dict(queue)) for key, queue in memory.bids)
        queues._asks.update((key, dict(queue)) for key, queue in memory.asks)
        return queues

    def prices(self) -> Iterator[tuple[int, int]]:
        """Yield each order and its price in ticks."""
        for key, queue in self._bids.items():
            yield from ((order_id, -key) for order_id in queue)
        for key, queue in self._asks.items():
            yield from ((order_id, key) for order_id in queue)

    def add(self, side: Side, ticks: int, order_id: int, lots: int) -> None:
        """Put an order at the end of its queue."""
        levels, key = (self._bids, -ticks) if side == BUY else (self._asks, ticks)
        queue = levels.get(key)
        if queue is None:
            queue = levels[key] = {}
        assert order_id not in queue, "an order stands in one place"
        queue[order_id] = lots
        self._forget(side, ticks)
        if self.is_heard:
            self._note(ADD, side, ticks, order_id, lots)

    def take(self, side: Side, ticks: int, order_id: int, lots: int) -> None:
        """Take lots in sight off an order, which keeps its place unless none are left."""
        levels, key = (self._bids, -ticks) if side == BUY else (self._asks, ticks)
        queue = levels[key]
        left = queue[order_id] - lots
        assert left >= 0, "an order never shows less than nothing"
        if left:
            queue[order_id] = left
        else:
            del queue[order_id]
            if not queue:
                del levels[key]
        self._forget(side, ticks)
        if self.is_heard:
            self._note(CHANGE if left else REMOVE, side, ticks, order_id, left)

    def seal(self, market: Market, u: int, time_ns: int) -> QueueDiff:
        """Close the changes up to event ``u`` and return them."""
        changes, self._changes = tuple(self._changes), []
        prev, self.u = self.u, u
        return QueueDiff(
            market=market,
            prev=prev,
            u=u,
            changes=changes,
            checksum=self.checksum(),
            time_ns=time_ns,
        )

    def skip(self, u: int) -> None:
        """Close the changes up to event ``u`` when nobody listens."""
        self._changes.clear()
        self.u = u

    def levels(self, side: Side) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield price in ticks and queue (order -> lots in sight), best price first."""
        if side == BUY:
            yield from ((-key, queue) for key, queue in self._bids.items())
        else:
            yield from self._asks.items()

    def kept(self, reader: object) -> dict[Side, dict[int, bytes]]:
        """Return what ``reader`` has made of whole queues, by price; it may put more there. It goes
        when its queue changes."""
        kept = self._kept.get(reader)
        if kept is None:
            kept = self._kept[reader] = {side: {} for side in Side}
        return kept

    def walk(self, side: Side) -> Iterator[QueuedOrder]:
        """Yield the orders of a side, the one that trades first first."""
        for ticks, queue in self.levels(side):
            yield from (QueuedOrder(order_id, ticks, lots) for order_id, lots in queue.items())

    def shown(self, side: Side) -> ShownSide:
        """Return the first orders of a side."""
        levels, sign = (self._bids, -1) if side == BUY else (self._asks, 1)
        found: list[tuple[int, int, int]] = []
        known = None
        # Plain tuples, and no views of the sorted ones: who asks when the book has changed waits
        # for all of it.
        for key in levels.islice(stop=SHOWN + 1):
            queue, ticks = levels[key], sign * key
            if known is None:
                known = ticks - sign
            room = SHOWN - len(found)
            if len(queue) > room:
                found += [(order, ticks, lots) for order, lots in islice(queue.items(), room)]
                return ShownSide(found, known)
            for order_id, lots in queue.items():
                found.append((order_id, ticks, lots))
            known = ticks
        return ShownSide(found, None)

    def checksum(self) -> int:
        """Return the CRC32 that the module's first lines define."""
        words: list[str] = []
        for levels, sign in ((self._asks, 1), (self._bids, -1)):
            enough = len(words) + CHECKED
            # Whole queues are written, and what is too much dropped: to stop within one costs more.
            for key in levels:
                ticks = sign * key
                for order_id, lots in islice(levels[key].items(), CHECKED):
                    words.append(f"{order_id}:{ticks}:{lots}")
                if len(words) >= enough:
                    break
            del words[enough:]
        return crc32(",".join(words).encode())

    def _forget(self, side: Side, ticks: int) -> None:
        for kept in self._kept.values():
            kept[side].pop(ticks, None)

    def _note(self, kind: Kind, side: Side, ticks: int, order_id: int, lots: int) -> None:
        self._changes.append(QueueChange(kind, side, QueuedOrder(order_id, ticks, lots)))
