"""Whose turn is it to wake? The part of the audit that follows stops from command to command.

What a command could not wake goes first in a later one: before an order that comes in there, with
a CLOCK, or when the market opens again.
"""

from engine.commands import Kind
from engine.types import OrderFlag, Phase
from tests.property.budget import Budget
from tests.property.shadow import Open, Reach, Shadow

Row = dict[str, int]


class Turns:
    """Knows between which prices trades have reached stops."""

    def __init__(self, shadow: Shadow, budget: Budget) -> None:
        self.shadow, self.budget = shadow, budget
        self.reach = Reach()
        self.market: int | None = None
        """The market whose stops, left by an earlier command, have their turn; None for none."""

    def begin(self, market: int | None) -> None:
        """Begin with the prices that are remembered for the stops of a market, if there are."""
        left = None if market is None else self.budget.pending.get(market)
        self.market = None if left is None else market
        self.reach = Reach() if left is None else left

    def keeps_out(self, row: Row) -> bool:
        """End the turn of a market; return whether the order that comes may not come in."""
        assert self.market is not None
        self.budget.keep(self.market, self.reach)
        is_stop = row["kind"] == Kind.PLACE and bool(row["flags"] & OrderFlag.STOP)
        return self.budget.keeps_out(self.market, is_stop=is_stop)

    def take(self, row: Row, stop: Open) -> None:
        """Of all stops it was this one's turn to wake, or to be found expired."""
        if row["kind"] == Kind.CLOCK and self.market != stop.market:
            assert self.market is None or self.market < stop.market, "in the order of the markets"
            self.end()
            self.begin(stop.market)
        assert self.shadow.next_stop(stop.market, self.reach) is stop, "another stop had to wake"
        self.budget.woken()

    def end(self) -> None:
        """A CLOCK goes on to the next market, or to what has expired."""
        if self.market is not None:
            self.budget.keep(self.market, self.reach)
        self.market = None

    def expires(self, row: Row, order: Open, *, swept: int, auction_over: bool) -> bool:
        """Return whether an expired stop is removed because a trade has reached it."""
        if not order.trigger:
            return False
        if row["kind"] in (Kind.PLACE, Kind.REPLACE):
            return True
        if row["kind"] == Kind.SET_PHASE:  # After the auction, which lets all expire before it.
            return auction_over
        pending = self.budget.pending.get(order.market, Reach())
        reach = self.reach if self.market == order.market else pending
        is_next = self.shadow.next_stop(order.market, reach) is order
        open_now = self.shadow.listings[order.market].phase == Phase.OPEN
        turns = row["kind"] == Kind.CLOCK and not swept and open_now
        return turns and is_next and self.budget.has_room()
