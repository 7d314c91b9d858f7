"""What becomes of an order that comes in, or comes back as a triggered stop?"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.fill_or_kill import FillOrKill
from engine.reference.match import Matching
from engine.reference.state import State
from engine.reference.validate import DECREMENT, SINGLE_SHOT
from engine.types import FILLS_MAX, Outcome, TimeInForce


class Incoming:
    """Lets an order trade what it may, and then rest or go."""

    def __init__(self, state: State, matching: Matching, fill_or_kill: FillOrKill) -> None:
        """Let ``matching`` fill what ``fill_or_kill`` does not forbid."""
        self.state = state
        self.matching = matching
        self.fill_or_kill = fill_or_kill

    def carry_out(self, order: Order) -> None:
        """Match an order that is in no queue; then it rests, is dropped, or is done."""
        why = self.trade_or_not(order)
        if order.lots and why == Outcome.ACCEPTED and order.tif == TimeInForce.GTC:
            self.rest(order)
            return
        if order.lots:
            why = why or Outcome.IMMEDIATE_REMAINDER
            self.state.emit_order(EventKind.UNFILLED, order, why)
            order.lots = 0
            self.state.set_hold(order)
        self.state.slots.give_slot(order.order_id)

    def trade_or_not(self, order: Order) -> Outcome:
        """Match an order, a FOK only if that fills it; return why it had to stop early."""
        fills_max = self.state.fills_max
        if order.flags & SINGLE_SHOT:
            fills_max = min(fills_max, FILLS_MAX)
        self_mode = order.flags & DECREMENT
        if order.tif == TimeInForce.FOK:
            self.state.work_left -= FILLS_MAX  # It has looked at so many, even if it takes none.
            if not self.fill_or_kill.is_fillable(order, self_mode, fills_max):
                return Outcome.NOT_FILLABLE_WHOLE
        return self.matching.match(order, self_mode, fills_max)

    def rest(self, order: Order) -> None:
        """Put an order into the book, of an iceberg only a slice in sight."""
        order.show()
        self.state.insert(order)
        self.state.emit_order(EventKind.RESTED, order)
