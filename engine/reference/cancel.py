"""How does a live order shrink or leave without a trade?

By its owner's wish, by its age, because its account or market leaves, or because it met its own
account.
"""

from collections.abc import Callable

from engine.events import EventKind
from engine.reference.book import Order
from engine.reference.state import State
from engine.reference.validate import Row
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Outcome, Phase


class Cancels:
    """Lets orders shrink and go, the same way whoever asked."""

    def __init__(self, state: State) -> None:
        """Take orders out of ``state``."""
        self.state = state

    def forget(self, order: Order) -> None:
        """Take an order without open lots out of the book and end the life of its id."""
        self.state.detach(order)
        self.state.slots.give_slot(order.order_id)

    def remove(self, order: Order, why: Outcome) -> None:
        """Cancel a resting or armed order."""
        self.state.emit_order(EventKind.CANCELLED, order, why, order.trigger_ticks)
        order.lots = order.hidden = 0
        self.state.set_hold(order)
        self.forget(order)

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        """Leave ``order``, which may rest, be armed or still be coming in, ``lots`` open lots.

        Hidden lots go first, so that nobody sees an iceberg shrink before he must.
        """
        gone = order.lots_open - lots
        from_hidden = min(gone, order.hidden)
        order.hidden -= from_hidden
        order.lots -= gone - from_hidden
        self.state.set_hold(order)
        in_book = order.order_id in self.state.orders and not order.trigger_ticks
        left = gone - from_hidden if in_book else 0
        self.state.emit_order(EventKind.AMENDED, order, why, left)

    def validate_owner(self, row: Row) -> Order | Outcome:
        """Return the order a command names, or why its account may not touch it."""
        if row["account"] >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        order = self.state.orders.get(row["order_id"])
        if order is None:
            return Outcome.NOT_RESTING
        return order if order.account == row["account"] else Outcome.NOT_OWNER

    def cancel(self, row: Row) -> Outcome:
        """Carry out CANCEL."""
        order = self.validate_owner(row)
        if isinstance(order, Outcome):
            return order
        self.remove(order, Outcome.CANCELLED_BY_OWNER)
        return Outcome.ACCEPTED

    def amend(self, row: Row) -> Outcome:
        """Carry out AMEND: fewer lots, same place."""
        order = self.validate_owner(row)
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
        self.shrink(order, row["amount"], Outcome.ACCEPTED)
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
        gone = self.sweep(meant, why, self.state.limits.work)
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

    def sweep(
        self, wanted: Callable[[Order], bool], why: Outcome, most: int | None = None
    ) -> list[Order]:
        """Remove the first ``most`` orders that are ``wanted``, in slot order; return them."""
        gone = [order for order in self.state.in_slot_order() if wanted(order)][:most]
        for order in gone:
            self.remove(order, why)
        return gone

    def sweep_expired(self) -> None:
        """Remove what is past its time, in all markets, as far as this command may."""
        most = max(self.state.work_left, 0)
        self.state.work_left -= len(self.sweep(self.state.is_expired, Outcome.EXPIRED, most))

    def sweep_silent(self) -> None:
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
        gone = self.sweep(lambda order: order.account in due, Outcome.CANCELLED_AFTER, most)
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
