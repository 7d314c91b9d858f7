"""How does an order get an id, and how does one take the place of another?"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.cancel import Cancels
from engine.reference.incoming import Incoming
from engine.reference.state import State
from engine.reference.stops import Stops
from engine.reference.triggers import Triggers
from engine.reference.validate import ICEBERG, STOP, Row, Validation
from engine.types import Outcome, Phase


class Placement:
    """Carries out PLACE and REPLACE."""

    def __init__(
        self,
        state: State,
        validation: Validation,
        cancels: Cancels,
        incoming: Incoming,
        stops: Stops,
        triggers: Triggers,
    ) -> None:
        """Let ``validation`` decide what comes in, and ``incoming`` what becomes of it."""
        self.state = state
        self.validation = validation
        self.cancels = cancels
        self.incoming = incoming
        self.stops = stops
        self.triggers = triggers

    def place(self, row: Row) -> Outcome:
        """Carry out PLACE; the stops that were there before it go first."""
        if not self.triggers.may_come_in(row["market"], is_stop=bool(row["flags"] & STOP)):
            return Outcome.STOPS_PENDING
        self.triggers.no_reach()
        outcome = self.validation.validate(row)
        if outcome == Outcome.ACCEPTED:
            self.admit(row)
        return outcome

    def replace(self, row: Row) -> Outcome:
        """Carry out REPLACE: one order gives way to another, or stays as it was."""
        named = self.state.orders.get(row["order_id"])
        if named is not None and not self.triggers.may_come_in(named.market, is_stop=False):
            return Outcome.STOPS_PENDING
        self.triggers.no_reach()
        old = self.order_of(row)
        if isinstance(old, Outcome):
            return old
        if row["market"] or row["side"] or row["token"] or row["flags"] & STOP:
            return Outcome.BAD_ORDER
        if row["flags"] & ICEBERG and not old.display:
            return Outcome.BAD_ORDER
        display = old.display if row["flags"] & ICEBERG else 0
        wanted = row | {"market": old.market, "side": old.side, "order_id": display}
        outcome = self.validation.validate(wanted, old)
        if outcome == Outcome.ACCEPTED:
            self.cancels.remove(old, Outcome.REPLACED)
            self.admit(wanted)
        return outcome

    def admit(self, row: Row) -> None:
        """Give an accepted order its id: hold the worst case, then let it come in or wait."""
        state, market, flags = self.state, self.state.markets[row["market"]], row["flags"]
        order = Order(
            order_id=state.slots.take_slot(),
            market=row["market"],
            account=row["account"],
            side=row["side"],
            price_ticks=self.validation.price_behind(market, row),
            lots=row["amount"],
            expiry_ns=row["expiry_ns"],
            tif=row["tif"],
            flags=flags,
            display=row["order_id"] if flags & ICEBERG else 0,
        )
        state.set_hold(order)
        state.emit_order(EventKind.ACCEPTED, order)
        if flags & STOP:
            self.stops.arm(order, row["order_id"])
        elif market.phase == Phase.AUCTION:
            self.incoming.rest(order)
        else:
            self.incoming.carry_out(order)
            self.triggers.wake_stops(order.market)

    def order_of(self, row: Row) -> Order | Outcome:
        """Return the resting order to be replaced, or why its account may not touch it."""
        order = self.cancels.validate_owner(row)
        armed = isinstance(order, Order) and order.trigger_ticks
        return Outcome.NOT_RESTING if armed else order
