"""Which stops have the trades of a command triggered, and when do they come in?

An armed stop waits outside the book. After the order that came in is finished, the trades of this
command wake the stops they have reached, one after the other; what a stop itself trades counts too.
"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.cancel import Cancels
from engine.reference.incoming import Incoming
from engine.reference.state import NOWHERE, State
from engine.types import Outcome, Phase


class Triggers:
    """Lets stops come in."""

    def __init__(self, state: State, cancels: Cancels, incoming: Incoming) -> None:
        """Let the stops of ``state`` come in through ``incoming``, but for what has expired."""
        self.state = state
        self.cancels = cancels
        self.incoming = incoming

    def no_reach(self) -> None:
        """Begin with no price traded at."""
        self.state.low_ticks, self.state.high_ticks = NOWHERE

    def has_room(self) -> bool:
        """Return whether this command may let one more order come in, whatever that one does."""
        state = self.state
        return state.trades_left >= state.fills_max and state.work_left > state.passes_max

    def wake_stops(self, market: int) -> None:
        """Let every stop come in that trades have reached, while this command has room for them.

        Whose turn does not come is woken by a later command, before anything else trades there.
        """
        state = self.state
        if state.markets[market].phase != Phase.OPEN:
            return
        while self.has_room() and (order := self.first_triggered(market)):
            state.work_left -= 1
            if order.expiry_ns <= state.time_ns:
                self.cancels.remove(order, Outcome.EXPIRED)
            else:
                self.trigger(order)
        self.keep_reach(market)

    def first_triggered(self, market: int) -> Order | None:
        """Return the stop whose turn it is."""
        state = self.state
        return state.markets[market].reached_stop(state.low_ticks, state.high_ticks)

    def keep_reach(self, number: int) -> None:
        """Keep the prices traded at for the next command if they reach a stop that still waits."""
        state, market = self.state, self.state.markets[number]
        waits = self.first_triggered(number) is not None
        market.pending_low = state.low_ticks if waits else 0
        market.pending_high = state.high_ticks if waits else 0

    def recall_reach(self, number: int) -> None:
        """Begin with the prices that have reached stops which no command could wake so far."""
        market = self.state.markets[number]
        self.no_reach()
        if market.pending_high:
            self.state.low_ticks = market.pending_low
            self.state.high_ticks = market.pending_high

    def resume_market(self, number: int) -> None:
        """Let those stops of one market have their turn that no command could wake so far."""
        self.recall_reach(number)
        if self.state.markets[number].phase == Phase.OPEN:
            self.wake_stops(number)
        else:
            self.keep_reach(number)

    def may_come_in(self, number: int, *, is_stop: bool) -> bool:
        """Return whether an order may come in; the stops that were there before it go first.

        None overtakes a stop that a trade has reached before it came; and no new stop is armed
        while the prices that wake the old ones are still remembered.
        """
        if number >= len(self.state.markets) or not self.state.markets[number].pending_high:
            return True
        self.resume_market(number)
        market = self.state.markets[number]
        if market.pending_high:
            return market.phase != Phase.OPEN and not is_stop
        return self.has_room()

    def resume_stops(self) -> None:
        """Let the stops of every market have their turn, in the order of the markets."""
        for number, market in enumerate(self.state.markets):
            if market.pending_high:
                self.resume_market(number)

    def trigger(self, order: Order) -> None:
        """Let one stop come in, like an order that has just arrived."""
        self.state.detach(order)
        self.state.emit_order(EventKind.TRIGGERED, order, order_left=order.trigger_ticks)
        order.trigger_ticks = 0
        self.incoming.carry_out(order)
