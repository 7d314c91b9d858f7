"""What is one market's book, said as plainly as possible?

A sorted map from price to the orders at that price, oldest first. Nothing is clever here: this is
what the kernels are judged by.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from engine.types import MONEY_MAX, Phase, Side, fee_pips


@dataclass(slots=True)
class Order:
    """One order, resting or just coming in."""

    order_id: int
    market: int
    account: int
    side: int
    price_ticks: int
    lots: int
    expiry_ns: int
    held_pips: int = 0


Queue = dict[int, Order]
"""Order id to order; a dict keeps the order of arrival."""


@dataclass(slots=True)
class Market:
    """One listing and the two sides of its book."""

    base: int
    quote: int
    lot_pips: int
    tick_pips: int
    maker_ppm: int
    taker_ppm: int
    phase: int = Phase.OPEN
    sides: tuple["SortedDict[int, Queue]", "SortedDict[int, Queue]"] = field(
        default_factory=lambda: (SortedDict(), SortedDict())
    )
    """Buys and sells: price to the queue at that price."""

    def notional(self, lots: int, price_ticks: int) -> int:
        """Return the quote pips that ``lots`` cost at a price."""
        return lots * price_ticks * self.tick_pips

    def hold_pips(self, side: int, price_ticks: int, lots: int) -> int:
        """Return the most that ``lots`` open lots can still cost their owner."""
        if side == Side.SELL:
            return lots * self.lot_pips
        notional = self.notional(lots, price_ticks)
        return notional + fee_pips(notional, max(self.maker_ppm, self.taker_ppm))

    def paid_token(self, side: int) -> int:
        """Return the token an order of ``side`` pays with."""
        return self.quote if side == Side.BUY else self.base

    def amounts_fit(self, lots: int, price_ticks: int) -> bool:
        """Return whether no product of this order comes near the end of int64."""
        return (
            lots * self.lot_pips <= MONEY_MAX and self.notional(lots, price_ticks) <= MONEY_MAX // 2
        )

    def prices(self, side: int) -> Iterator[int]:
        """Yield the prices of one side, best first."""
        ladder = self.sides[side]
        return reversed(ladder) if side == Side.BUY else iter(ladder)

    def best(self, side: int) -> int | None:
        """Return the best price of one side."""
        ladder = self.sides[side]
        if not ladder:
            return None
        price: int = ladder.peekitem(-1 if side == Side.BUY else 0)[0]
        return price

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        """Return whether an order of ``side`` at this limit would meet a resting order."""
        against = self.best(Side.SELL if side == Side.BUY else Side.BUY)
        if against is None:
            return False
        return against <= price_ticks if side == Side.BUY else against >= price_ticks

    def first_against(self, side: int) -> Order:
        """Return the resting order that an incoming order of ``side`` meets first."""
        ladder = self.sides[Side.SELL if side == Side.BUY else Side.BUY]
        queue = ladder.peekitem(0 if side == Side.BUY else -1)[1]
        first: Order = next(iter(queue.values()))
        return first

    def queue_against(self, side: int, price_ticks: int) -> Iterator[Order]:
        """Yield the resting orders an order of ``side`` at this limit may meet, in that order."""
        against = Side.SELL if side == Side.BUY else Side.BUY
        for price in self.prices(against):
            if price > price_ticks if side == Side.BUY else price < price_ticks:
                return
            yield from self.sides[against][price].values()

    def insert(self, order: Order) -> None:
        """Put an order at the end of the queue of its price."""
        ladder = self.sides[order.side]
        queue = ladder.get(order.price_ticks)
        if queue is None:
            queue = ladder[order.price_ticks] = {}
        queue[order.order_id] = order

    def delete(self, order: Order) -> None:
        """Take an order out of its queue."""
        ladder = self.sides[order.side]
        queue = ladder[order.price_ticks]
        del queue[order.order_id]
        if not queue:
            del ladder[order.price_ticks]
