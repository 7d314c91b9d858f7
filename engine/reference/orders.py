"""What may an owner ask of an order: place, replace, amend, cancel, and let time decide?"""

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.judge import Judge, Row
from engine.reference.matching import Matching
from engine.reference.state import NOWHERE, State
from engine.reference.stops import Stops
from engine.reference.terms import ICEBERG, STOP
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Outcome, Phase


class Orders:
    """Carries out the commands about orders."""

    def __init__(self, state: State, judge: Judge, matching: Matching, stops: Stops) -> None:
        """Let ``judge`` decide what comes in, and ``matching`` and ``stops`` what becomes of it."""
        self.state = state
        self.judge = judge
        self.matching = matching
        self.stops = stops

    def place(self, row: Row) -> Outcome:
        """Carry out PLACE; the stops that were there before it go first."""
        if self.stops.keep_out(row["market"], is_stop=bool(row["flags"] & STOP)):
            return Outcome.STOPS_PENDING
        self.state.low_ticks, self.state.high_ticks = NOWHERE
        outcome = self.judge.place(row)
        if outcome == Outcome.ACCEPTED:
            self.take(row)
        return outcome

    def replace(self, row: Row) -> Outcome:
        """Carry out REPLACE: one order gives way to another, or stays as it was."""
        named = self.state.orders.get(row["order_id"])
        if named is not None and self.stops.keep_out(named.market, is_stop=False):
            return Outcome.STOPS_PENDING
        self.state.low_ticks, self.state.high_ticks = NOWHERE
        old = self.order_of(row)
        if isinstance(old, Outcome):
            return old
        if row["market"] or row["side"] or row["token"] or row["flags"] & STOP:
            return Outcome.BAD_ORDER
        if row["flags"] & ICEBERG and not old.display:
            return Outcome.BAD_ORDER
        display = old.display if row["flags"] & ICEBERG else 0
        wanted = row | {"market": old.market, "side": old.side, "order_id": display}
        outcome = self.judge.place(wanted, old)
        if outcome == Outcome.ACCEPTED:
            self.state.remove(old, Outcome.REPLACED)
            self.take(wanted)
        return outcome

    def take(self, row: Row) -> None:
        """Take an order that was judged: hold the worst case, then let it come in or wait."""
        state, market, flags = self.state, self.state.markets[row["market"]], row["flags"]
        order = Order(
            order_id=state.slots.take(),
            market=row["market"],
            account=row["account"],
            side=row["side"],
            price_ticks=self.judge.price(market, row),
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
            self.matching.rest(order)
        else:
            self.matching.come_in(order)
            self.stops.activate(order.market)

    def order_of(self, row: Row) -> Order | Outcome:
        """Return the resting order to be replaced, or why its account may not touch it."""
        order = self.live_order_of(row)
        armed = isinstance(order, Order) and order.trigger_ticks
        return Outcome.NOT_RESTING if armed else order

    def live_order_of(self, row: Row) -> Order | Outcome:
        """Return the order a command names, or why its account may not touch it."""
        if row["account"] >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        order = self.state.orders.get(row["order_id"])
        if order is None:
            return Outcome.NOT_RESTING
        return order if order.account == row["account"] else Outcome.NOT_OWNER

    def cancel(self, row: Row) -> Outcome:
        """Carry out CANCEL."""
        order = self.live_order_of(row)
        if isinstance(order, Outcome):
            return order
        self.state.remove(order, Outcome.CANCELLED_BY_OWNER)
        return Outcome.ACCEPTED

    def amend(self, row: Row) -> Outcome:
        """Carry out AMEND: fewer lots, same place."""
        order = self.live_order_of(row)
        if isinstance(order, Outcome):
            return order
        if self.state.markets[order.market].phase == Phase.HALTED:
            return Outcome.MARKET_HALTED
        if row["amount"] < 1:
            return Outcome.QUANTITY_OUT_OF_RANGE
        if row["amount"] >= order.lots_open:
            return Outcome.AMEND_NOT_SMALLER
        reckoned = order.trigger_ticks or order.price_ticks
        if row["amount"] * reckoned < self.state.markets[order.market].area_min:
            return Outcome.BELOW_LEAST_NOTIONAL
        self.state.shrink(order, row["amount"], Outcome.ACCEPTED)
        return Outcome.ACCEPTED

    def cancel_all(self, row: Row) -> Outcome:
        """Carry out CANCEL_ALL: of one account, or by the operator of all of them."""
        account, market = row["account"], row["market"]
        if market != ALL_MARKETS and market >= len(self.state.markets):
            return Outcome.UNKNOWN_MARKET
        everybody = account == ALL_ACCOUNTS
        if not everybody and account >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        by_operator = Outcome.CANCELLED_BY_OPERATOR

        def meant(order: Order) -> bool:
            return (everybody or order.account == account) and market in (order.market, ALL_MARKETS)

        why = by_operator if everybody else Outcome.CANCELLED_BY_OWNER
        gone = self.state.sweep(meant, why, self.state.limits.work)
        self.state.emit(
            EventKind.CANCELLED_ALL,
            market=market,
            account=account,
            outcome=by_operator if everybody else Outcome.ACCEPTED,
            amount=len(gone),
            order_left=sum(map(meant, self.state.orders.values())),
        )
        return Outcome.ACCEPTED

    # What time decides.

    def clock(self, row: Row) -> Outcome:
        """Carry out CLOCK: stops that were left wake, and expired orders go, in slot order."""
        self.stops.resume_all()
        self.state.work_left = self.state.limits.work
        self.state.sweep_expired()
        return Outcome.ACCEPTED

    def cancel_after(self, row: Row) -> Outcome:
        """Carry out CANCEL_AFTER: set an account's deadline, or take it back."""
        account, deadline_ns = row["account"], row["expiry_ns"]
        if account >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        if deadline_ns != 0 and deadline_ns <= self.state.time_ns:
            return Outcome.DEADLINE_PASSED
        self.state.deadlines.pop(account, None)
        if deadline_ns:
            self.state.deadlines[account] = deadline_ns
        self.state.emit(EventKind.CANCEL_AFTER_SET, account=account, amount=deadline_ns)
        return Outcome.ACCEPTED

    def meet_deadlines(self) -> None:
        """Before anything else: cancel all orders of the accounts whose deadline has come.

        Only of so many accounts, and so many orders, as one command may; the rest is for the next.
        """
        state, most = self.state, self.state.limits.work
        due = sorted(
            account
            for account, deadline_ns in state.deadlines.items()
            if deadline_ns <= state.time_ns
        )[:most]
        if not due:
            return
        gone = state.sweep(lambda order: order.account in due, Outcome.CANCELLED_AFTER, most)
        unfinished = {order.account for order in state.orders.values()}
        for account in due:
            if account in unfinished:
                state.deadlines[account] = state.time_ns
                continue
            del state.deadlines[account]
            state.emit(
                EventKind.CANCELLED_ALL,
                market=ALL_MARKETS,
                account=account,
                outcome=Outcome.CANCELLED_AFTER,
                amount=sum(order.account == account for order in gone),
            )
