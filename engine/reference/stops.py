"""Where does a stop wait for a trade to reach its trigger?"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.state import State


class Stops:
    """Arms stops, outside the book."""

    def __init__(self, state: State) -> None:
        """Keep the stops of ``state``."""
        self.state = state

    def arm(self, order: Order, trigger_ticks: int) -> None:
        """Let ``order`` wait for a trade at its trigger price or beyond."""
        order.trigger_ticks = trigger_ticks
        self.state.insert(order)
        self.state.emit_order(EventKind.ARMED, order, order_left=trigger_ticks)
