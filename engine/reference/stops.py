"""When does a stop wake up?

An armed stop waits outside the book. After the order that came in is finished, the trades of this
command wake the stops they have reached, one after the other; what a stop itself trades counts too.
"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.matching import Matching
from engine.reference.state import State
from engine.types import Outcome


class Stops:
    """Arms stops and lets them come in."""

    def __init__(self, state: State, matching: Matching) -> None:
        """Let the stops of ``state`` come in through ``matching``."""
        self.state = state
        self.matching = matching

    def arm(self, order: Order, trigger_ticks: int) -> None:
        """Let ``order`` wait for a trade at its trigger price or beyond."""
        order.trigger_ticks = trigger_ticks
        self.state.enter(order)
        self.state.emit_order(EventKind.ARMED, order, order_left=trigger_ticks)

    def activate(self, market: int) -> None:
        """Let every stop come in that the trades of this command have reached."""
        state = self.state
        while order := state.markets[market].reached_stop(state.low_ticks, state.high_ticks):
            if order.expiry_ns <= state.time_ns:
                state.remove(order, Outcome.EXPIRED)
            else:
                self.trigger(order)

    def trigger(self, order: Order) -> None:
        """Let one stop come in, like an order that has just arrived."""
        self.state.withdraw(order)
        self.state.emit_order(EventKind.TRIGGERED, order, order_left=order.trigger_ticks)
        order.trigger_ticks = 0
        self.matching.come_in(order)
