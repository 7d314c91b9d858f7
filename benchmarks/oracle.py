"""What would the plainest possible book answer to the same commands?

``engine.reference.book`` and ``slots`` under the loop of ``benchmarks/bookalone.py``: same ids and
same trades in the same order, in plain Python. It says whether the fast book is right, and how much
faster it is.
"""

from collections.abc import Iterator
from typing import Final

from benchmarks.bookalone import Tally
from engine.commands import Commands, Kind
from engine.reference.book import Market, Order
from engine.reference.slots import Slots
from engine.types import Limits, Side, TimeInForce

Row = tuple[int, int, int, int, int, int]
COLUMNS: Final = ["kind", "side", "tif", "order_id", "price_ticks", "amount"]
FACTOR: Final = 1_000_003


def rows_of(commands: Commands) -> list[Row]:
    """Return what the book needs of each command, as plain tuples."""
    rows: list[Row] = commands[COLUMNS].tolist()
    return rows


class OracleBook:
    """One market's book and nothing else."""

    def __init__(self, orders: int) -> None:
        self.slots = Slots(Limits(orders=orders))
        self.market = Market(base=0, quote=1, lot_pips=1, tick_pips=1, maker_ppm=0, taker_ppm=0)
        self.orders: dict[int, Order] = {}
        self.trades = self.lots = self.notional = self.takers = self.mixed = 0

    def play(self, rows: list[Row]) -> list[int]:
        """Carry out ``rows``; return the id given to the order of each one, or 0."""
        return [self.step(*row) for row in rows]

    def step(self, kind: int, side: int, tif: int, named: int, price: int, lots: int) -> int:
        """Carry out one command; return the id it was given, or 0."""
        if kind != Kind.PLACE:
            old = self.orders.get(named)
            if old is None:
                return 0
            self.forget(old)
            self.market.delete(old)
            if kind == Kind.CANCEL:
                return 0
            side = old.side
        taker = Order(self.slots.take_slot(), 0, 0, side, price, lots, 0)
        self.take(taker)
        if taker.lots == 0 or tif != TimeInForce.GTC:
            self.slots.give_slot(taker.order_id)
        else:
            self.orders[taker.order_id] = taker
            self.market.insert(taker)
        return taker.order_id

    def forget(self, order: Order) -> None:
        """End the life of an order that rested."""
        del self.orders[order.order_id]
        self.slots.give_slot(order.order_id)

    def take(self, taker: Order) -> None:
        """Fill what can be filled."""
        lots_before = taker.lots
        for maker in self.makers(taker):
            lots = min(taker.lots, maker.lots)
            taker.lots -= lots
            maker.lots -= lots
            self.note(maker, taker, lots)
            if maker.lots == 0:
                self.market.delete(maker)
                self.forget(maker)
        self.takers += taker.lots < lots_before

    def makers(self, taker: Order) -> Iterator[Order]:
        """Yield whom ``taker`` meets while it has lots, each one either filled or the last."""
        market, against = self.market, Side.SELL if taker.side == Side.BUY else Side.BUY
        while taker.lots > 0 and market.crossed_by(taker.side, taker.price_ticks):
            yield market.first(against)

    def note(self, maker: Order, taker: Order, lots: int) -> None:
        """Count one trade and mix it into the hash."""
        self.trades += 1
        self.lots += lots
        self.notional += lots * maker.price_ticks
        mixed = (self.mixed * FACTOR ^ maker.order_id) * FACTOR ^ taker.order_id
        self.mixed = (mixed * FACTOR ^ maker.price_ticks << 20 ^ lots) & (2**64 - 1)

    def tally(self) -> Tally:
        """Return the sums since the beginning; the hash as the signed number a kernel has."""
        trade_hash = (self.mixed ^ 2**63) - 2**63
        return Tally(
            self.trades, self.lots, self.notional, trade_hash, len(self.orders), self.takers
        )
