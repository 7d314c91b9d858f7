"""Did each command keep to what one command may do, and was the rest not forgotten?

The part of the audit that counts: trades, what is passed over, cancelled and woken. It also keeps,
for each market, between which prices trades have reached stops whose turn is still to come.
"""

from engine.types import FILLS_MAX, LOTS_MAX, Limits, OrderFlag, Phase, TimeInForce
from tests.property.shadow import Open, Reach, Shadow


class Budget:
    """Counts what one command does."""

    def __init__(self, limits: Limits, shadow: Shadow) -> None:
        self.limits, self.shadow = limits, shadow
        self.fills_each = min(limits.fills, LOTS_MAX)
        self.passes_each = min(limits.passes, 2**31)
        self.trades = self.work = self.fills = self.passes = 0
        self.pending: dict[int, Reach] = {}
        """By market: the prices whose stops no command could wake so far."""

    def begin(self) -> None:
        """Let the next command begin."""
        self.trades = self.work = self.fills = self.passes = 0

    def fills_max(self, order: Open) -> int:
        """Return how many fills an order may have."""
        single = bool(order.flags & OrderFlag.SINGLE_SHOT)
        return min(self.fills_each, FILLS_MAX) if single else self.fills_each

    def comes_in(self, order: Open, now_ns: int, *, makes_way: bool) -> int | None:
        """Let an order begin; return in how many fills it can be filled whole, if it must be."""
        self.fills = self.passes = 0
        if order.tif != TimeInForce.FOK or order.trigger:
            return None
        bounds = self.fills_max(order), self.passes_each
        fills, passes = self.shadow.fills(order, now_ns, makes_way, bounds)
        self.work += FILLS_MAX + (passes if fills is None else 0)
        return fills

    def traded(self, order: Open) -> None:
        """The incoming order has one more fill."""
        self.fills += 1
        self.matched()
        assert self.fills <= self.fills_max(order), "too many fills"

    def matched(self) -> None:
        """Two orders have traded."""
        self.trades += 1
        assert self.trades <= self.limits.trades, "too many trades"

    def passed(self) -> None:
        """The incoming order has met one that it may not trade with."""
        self.passes += 1
        self.work += 1
        assert self.passes <= self.passes_each, "too many passed over"

    def woken(self) -> None:
        """A stop has its turn, whatever becomes of it."""
        assert self.has_room(), "a stop whose turn had not come"
        self.work += 1

    def may_go_on(self) -> bool:
        """Return whether two more orders may meet in an auction."""
        return self.trades < self.limits.trades and self.work < self.limits.work

    def has_room(self) -> bool:
        """Return whether one more order may come in, whatever it does."""
        trades_left = self.limits.trades - self.trades
        return trades_left >= self.fills_each and self.limits.work - self.work > self.passes_each

    def keep(self, market: int, reach: Reach) -> None:
        """End a market's turn: every stop that was reached woke, or had to be left."""
        self.pending.pop(market, None)
        if self.shadow.next_stop(market, reach) is not None:
            is_open = self.shadow.listings[market].phase == Phase.OPEN
            assert not is_open or not self.has_room(), "a stop that had to wake"
            self.pending[market] = reach

    def keeps_out(self, market: int, *, is_stop: bool) -> bool:
        """Return whether an order may not come in, now that the stops before it had their turn."""
        if market in self.pending:
            return self.shadow.listings[market].phase == Phase.OPEN or is_stop
        return not self.has_room()
