"""Who stands in a market's book, for how long, and at which price may that be counted?

The engine's book knows prices and lots. Here each resting order keeps its owner and its age too, so
that a bid which was put there a moment ago, or which only one account stands behind, is told from
one that others could have sold into. A maker who prices his order again keeps his age, and counts
at the worst price he has shown since.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

import msgspec
from sortedcontainers import SortedDict

from engine.types import Side

BUY: Final = int(Side.BUY)
"""As a plain number: members of an enum cost Python 3.11 more than all else in here."""

ORDERS_MAX: Final = 20_000
"""Orders kept a side of a market; above it the farthest from the other side are forgotten."""

WALKED_MAX: Final = 2_048
"""Most orders looked at for one price."""

AGAIN_NS: Final = 10**9
"""An order this soon after its owner took one back stands in that one's place."""

TRACES_MAX: Final = 8
"""Orders taken back that are remembered, an owner and side."""

OWNERS_MAX: Final = 4_096
"""Owners and sides whose orders taken back are remembered; the oldest are forgotten."""


class Aged(NamedTuple):
    """A bid or an offer that counts, at the price at which it counts."""

    ticks: int
    lots: int
    account: int


class Claim(msgspec.Struct, array_like=True):
    """What an owner has shown without a break: ``ticks`` is the worst price since ``since_ns``.

    ``before_ticks`` is the worst since some time longer ago (0: there was none). Two of them are
    enough for a price that follows the market and is never younger than the age asked for.
    """

    ticks: int
    since_ns: int
    before_ticks: int
    lots: int

    def again(self, side: int, ticks: int, lots: int, now_ns: int, age_ns: int) -> "Claim":
        """Return the claim of an order for ``lots`` that takes this one's place."""
        worse = min if side == BUY else max
        kept = min(lots, self.lots)
        if now_ns - self.since_ns >= age_ns:
            return Claim(ticks, now_ns, worse(self.ticks, ticks), kept)
        before = worse(self.before_ticks, ticks) if self.before_ticks else 0
        return Claim(worse(self.ticks, ticks), self.since_ns, before, kept)


class Resting(msgspec.Struct, array_like=True):
    """One order in the book."""

    order_id: int
    side: int
    account: int
    ticks: int
    lots: int
    placed_ns: int
    claim: Claim

    def aged(self, now_ns: int, age_ns: int) -> Aged | None:
        """Return what of it counts at ``now_ns``; None while it is too young."""
        claim = self.claim
        is_old = now_ns - claim.since_ns >= age_ns
        ticks = claim.ticks if is_old else claim.before_ticks
        lots = self.lots if now_ns - self.placed_ns >= age_ns else min(self.lots, claim.lots)
        return Aged(ticks, lots, self.account) if ticks and lots else None


class Trace(msgspec.Struct, array_like=True):
    """An order that its owner has taken back at ``time_ns``."""

    claim: Claim
    time_ns: int


class BookMemory(msgspec.Struct):
    """A book as a snapshot keeps it."""

    orders: list[Resting]
    traces: list[tuple[int, int, list[Trace]]]


class AgedBook:
    """Both sides of one market, best prices first."""

    def __init__(self, age_ns: int) -> None:
        self._age_ns = age_ns
        self._orders: dict[int, Resting] = {}
        # By side. Keys of bids are negated ticks: best first.
        self._levels: tuple[SortedDict[int, dict[int, Resting]], ...] = (SortedDict(), SortedDict())
        self._counts = [0, 0]
        self._traces: dict[tuple[int, int], list[Trace]] = {}

    def memory(self) -> BookMemory:
        """Return all of it."""
        traces = [(side, account, kept) for (side, account), kept in self._traces.items()]
        return BookMemory(list(self._orders.values()), traces)

    @classmethod
    def remembered(cls, memory: BookMemory, age_ns: int) -> "AgedBook":
        """Return the book that ``memory`` was taken of."""
        book = cls(age_ns)
        for order in memory.orders:
            book._add(order)
        book._traces = {(side, account): kept for side, account, kept in memory.traces}
        return book

    def rest(
        self, order_id: int, side: int, account: int, ticks: int, lots: int, now_ns: int
    ) -> None:
        """Take an order into the book; it may take the place of one just taken back."""
        claim = Claim(ticks, now_ns, 0, lots)
        traces = self._traces.get((side, account))
        while traces:
            trace = traces.pop(0)
            if now_ns - trace.time_ns <= AGAIN_NS:
                claim = trace.claim.again(side, ticks, lots, now_ns, self._age_ns)
                break
        self._add(Resting(order_id, side, account, ticks, lots, now_ns, claim))
        if self._counts[side] > ORDERS_MAX:
            farthest = self._levels[side].peekitem(-1)[1]
            self._drop(next(reversed(farthest.values())))

    def show(self, order_id: int, lots: int) -> None:
        """An order now shows ``lots``: it shrank, or an iceberg has its next part out."""
        order = self._orders.get(order_id)
        if order is not None:
            order.lots = lots

    def trade(self, order_id: int, lots: int, lots_left: int) -> None:
        """An order has traded ``lots`` of what it showed; ``lots_left`` counts hidden ones too."""
        order = self._orders.get(order_id)
        if order is None:
            return
        order.lots = max(0, order.lots - lots)
        if lots_left == 0:
            self._drop(order)

    def cancel(self, order_id: int, now_ns: int) -> None:
        """An order has left without trading."""
        order = self._orders.get(order_id)
        if order is None:
            return
        self._drop(order)
        is_old = now_ns - order.placed_ns >= self._age_ns
        claim = order.claim
        claim.lots = order.lots if is_old else min(order.lots, claim.lots)
        traces = self._traces.setdefault((order.side, order.account), [])
        traces.append(Trace(claim, now_ns))
        del traces[:-TRACES_MAX]
        if len(self._traces) > OWNERS_MAX:
            del self._traces[next(iter(self._traces))]

    def best(self, side: int) -> int | None:
        """Return the best price of a side, whoever's and however young it is."""
        levels = self._levels[side]
        return abs(levels.peekitem(0)[0]) if levels else None

    def aged(self, side: int, now_ns: int) -> Iterator[Aged]:
        """Yield what counts of a side, best first by the price at which it counts, and only so much
        as is asked for: most quotes end at the first few of thousands of orders.

        No order counts at a better price than its own. So what counts at that of the order that is
        next, or at a better one, comes before all that is behind.
        """
        sign = -1 if side == BUY else 1
        waiting: list[tuple[int, int, Aged]] = []
        for count, order in enumerate(self._walk(side)):
            price = sign * order.ticks
            while waiting and waiting[0][0] <= price:
                yield heappop(waiting)[2]
            found = order.aged(now_ns, self._age_ns)
            if found is not None:
                # Among equals the first in the book is first.
                heappush(waiting, (sign * found.ticks, count, found))
        while waiting:
            yield heappop(waiting)[2]

    def _walk(self, side: int) -> Iterator[Resting]:
        left = WALKED_MAX
        for level in self._levels[side].values():
            for order in level.values():
                if left == 0:
                    return
                left -= 1
                yield order

    def _add(self, order: Resting) -> None:
        key = -order.ticks if order.side == BUY else order.ticks
        self._levels[order.side].setdefault(key, {})[order.order_id] = order
        self._orders[order.order_id] = order
        self._counts[order.side] += 1

    def _drop(self, order: Resting) -> None:
        key = -order.ticks if order.side == BUY else order.ticks
        levels = self._levels[order.side]
        del levels[key][order.order_id]
        if not levels[key]:
            del levels[key]
        del self._orders[order.order_id]
        self._counts[order.side] -= 1
