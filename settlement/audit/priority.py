"""Did every trade go to the order that was first in line?

Rebuilt from events alone, without an engine: who rests at which price, in which order they came.
A trade must take the best price of the other side, and there the oldest order; where both orders
rest (an auction), both must be first on their side. What was hidden and becomes visible goes to
the end of the line, and shrinking keeps the place.
"""

from collections.abc import Iterator, Sequence

from engine.events import EventKind
from engine.log_entries import EventRow
from engine.types import Side

Line = dict[int, None]
"""Order ids, the oldest first."""


class Priority:
    """The lines of all markets; ``follow`` says who was passed over."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, int], dict[int, Line]] = {}
        """By market and side: a line for each price."""
        self._place: dict[int, tuple[int, int, int]] = {}
        """Market, side and price of each resting order."""

    def follow(self, events: Sequence[EventRow]) -> Iterator[str]:
        """Take the events of one command; yield a sentence for each trade out of turn."""
        for event in events:
            kind, order_id = event.kind, event.order_id
            if kind == EventKind.RESTED:
                self._join(order_id, event)
            elif kind == EventKind.REFILLED:
                self._leave(order_id)
                self._join(order_id, event)
            elif kind == EventKind.CANCELLED:
                self._leave(order_id)
            elif kind == EventKind.TRADE:
                yield from self._trade(order_id, event.maker_id, event)

    def _trade(self, taker: int, maker: int, event: EventRow) -> Iterator[str]:
        trade, price = event.trade_id, event.price_ticks
        is_auction = taker in self._place
        for order_id in (taker, maker) if is_auction else (maker,):
            first = self._first_beside(order_id)
            if first is None:
                yield f"trade {trade}: order {order_id} was not in the book"
            elif first != order_id:
                yield f"trade {trade} passed over order {first} for order {order_id}"
        place = self._place.get(maker)
        if place is not None and not is_auction and place[2] != price:
            yield f"trade {trade} was made at {price}, its maker rests at {place[2]}"
        if event.maker_left == 0:
            self._leave(maker)
        if event.order_left == 0:
            self._leave(taker)

    def _first_beside(self, order_id: int) -> int | None:
        """Return who is first in line where ``order_id`` rests; None if it rests nowhere."""
        if order_id not in self._place:
            return None
        market, side, _ = self._place[order_id]
        lines = self._lines[market, side]
        best = max(lines) if side == Side.BUY else min(lines)
        return next(iter(lines[best]))

    def _join(self, order_id: int, event: EventRow) -> None:
        market, side = event.market, event.side
        price = event.price_ticks
        self._lines.setdefault((market, side), {}).setdefault(price, {})[order_id] = None
        self._place[order_id] = (market, side, price)

    def _leave(self, order_id: int) -> None:
        place = self._place.pop(order_id, None)
        if place is None:
            return
        market, side, price = place
        line = self._lines[market, side][price]
        del line[order_id]
        if not line:
            del self._lines[market, side][price]
