"""What is one market's book, said as plainly as possible?

A sorted map from price to the orders at that price, oldest first, and another from trigger price to
the stops that wait for it. Nothing is clever here: this is what the kernels are judged by.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from engine.types import MONEY_MAX, Phase, Side, fee_pips


@dataclass(slots=True)
class Order:
    """One order, resting, armed or just coming in.

    ``lots`` are those that can be met now: of a resting iceberg the visible ones, of every other
    order all it has. ``trigger_ticks`` is 0 unless the order is an armed stop.
    """

    order_id: int
    market: int
    account: int
    side: int
    price_ticks: int
    lots: int
    expiry_ns: int
    tif: int = 0
    flags: int = 0
    display: int = 0
    hidden: int = 0
    trigger_ticks: int = 0
    held_pips: int = 0

    @property
    def lots_open(self) -> int:
        """Return all lots that can still be filled."""
        return self.lots + self.hidden

    def show(self) -> None:
        """Of what is open, make visible what an iceberg shows; the rest is hidden."""
        lots = self.lots_open
        self.lots = min(self.display, lots) if self.display else lots
        self.hidden = lots - self.lots


Queue = dict[int, Order]
"""Order id to order; a dict keeps the order of arrival."""


def _two_ladders() -> "tuple[SortedDict[int, Queue], SortedDict[int, Queue]]":
    """Return an empty ladder for the buys and one for the sells."""
    return SortedDict(), SortedDict()


@dataclass(slots=True)
class Market:
    """One listing, the two sides of its book and the stops that wait beside it."""

    base: int
    quote: int
    lot_pips: int
    tick_pips: int
    maker_ppm: int
    taker_ppm: int
    area_min: int = 0
    """Least lots * price_ticks of an order that may come in."""
    phase: int = Phase.OPEN
    last_ticks: int = 0
    """Price of the last trade, 0 before the first."""
    band_low: int = 0
    band_high: int = 0
    """The prices that may trade; both 0 when all may."""
    pending_low: int = 0
    pending_high: int = 0
    """Between which prices trades have reached stops that are still to wake; 0 for none."""
    auction_ticks: int = 0
    """The price of an auction that goes on with the next command, else 0."""
    sides: "tuple[SortedDict[int, Queue], SortedDict[int, Queue]]" = field(
        default_factory=_two_ladders
    )
    """Buys and sells: price to the queue at that price."""
    armed: "tuple[SortedDict[int, Queue], SortedDict[int, Queue]]" = field(
        default_factory=_two_ladders
    )
    """Buy stops and sell stops: trigger price to those that wait for it, oldest first."""

    # Money.

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

    def reckoned_price(self, side: int, price_ticks: int, trigger_ticks: int) -> int:
        """Return at which price the size of an order counts: where it would trade first.

        An own limit far from there must not make a large order of a small one.
        """
        if trigger_ticks:
            return trigger_ticks
        against = self.best(Side.SELL if side == Side.BUY else Side.BUY)
        if against is not None and self.crossed_by(side, price_ticks):
            return against
        return price_ticks

    def outside_band(self, side: int, price_ticks: int) -> bool:
        """Return whether an order of ``side`` at this limit could trade outside the band."""
        if self.band_high == 0:
            return False
        return price_ticks > self.band_high if side == Side.BUY else price_ticks < self.band_low

    # Who is met.

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

    def is_crossed(self) -> bool:
        """Return whether buys and sells of the book itself meet, as they may in an auction."""
        bid = self.best(Side.BUY)
        return bid is not None and self.crossed_by(Side.BUY, bid)

    def first(self, side: int) -> Order:
        """Return the best and oldest resting order of one side."""
        queue = self.sides[side].peekitem(-1 if side == Side.BUY else 0)[1]
        oldest: Order = next(iter(queue.values()))
        return oldest

    def levels_against(self, side: int, price_ticks: int) -> Iterator[list[Order]]:
        """Yield the queues an order of ``side`` at this limit may meet, best price first."""
        against = Side.SELL if side == Side.BUY else Side.BUY
        for price in self.prices(against):
            if price > price_ticks if side == Side.BUY else price < price_ticks:
                return
            yield list(self.sides[against][price].values())

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        """Return the stop that trades between these prices trigger first, if there is one.

        Buys go before sells, the one nearest to the old price first, then the oldest.
        """
        buys, sells = self.armed
        if buys and buys.peekitem(0)[0] <= high_ticks:
            queue = buys.peekitem(0)[1]
        elif sells and sells.peekitem(-1)[0] >= low_ticks:
            queue = sells.peekitem(-1)[1]
        else:
            return None
        oldest: Order = next(iter(queue.values()))
        return oldest

    # Who is where.

    def insert(self, order: Order) -> None:
        """Put an order at the end of the queue of its price, a stop at that of its trigger."""
        ladder, price = self._place_of(order)
        queue = ladder.get(price)
        if queue is None:
            queue = ladder[price] = {}
        queue[order.order_id] = order

    def delete(self, order: Order) -> None:
        """Take an order out of its queue."""
        ladder, price = self._place_of(order)
        queue = ladder[price]
        del queue[order.order_id]
        if not queue:
            del ladder[price]

    def _place_of(self, order: Order) -> "tuple[SortedDict[int, Queue], int]":
        """Return the ladder that ``order`` belongs on, and where on it."""
        if order.trigger_ticks:
            return self.armed[order.side], order.trigger_ticks
        return self.sides[order.side], order.price_ticks
