"""Placing, replacing, shrinking and leaving: mistakes about what an owner asks for."""

from collections.abc import Callable

from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.place import Placement
from engine.reference.state import SLOT_MASK, State
from engine.reference.validate import POST_ONLY, REPRICE, SINGLE_SHOT, STOP, Row, Validation
from engine.types import ALL_ACCOUNTS, Outcome, Phase, TimeInForce

# Coming in.


class RemainderOfImmediateRests(Placement):
    """Time in force is forgotten."""

    def place(self, row: Row) -> Outcome:
        forgotten = row["tif"] == TimeInForce.IOC and not row["flags"] & (SINGLE_SHOT | STOP)
        return super().place(row | {"tif": 0} if forgotten else row)


class PostOnlyTakes(Validation):
    """Post-only is checked only against an equal price, so deeper crossing slips through."""

    def price_behind(self, market: Market, row: Row) -> int:
        found = super().price_behind(market, row)
        touches = market.best(1 - row["side"]) == row["price_ticks"]
        return row["price_ticks"] if found == 0 and not touches else found


class RepricedOntoTheBestPrice(Validation):
    """A post-only order that is priced again locks the book."""

    def price_behind(self, market: Market, row: Row) -> int:
        found = super().price_behind(market, row)
        behind = found if found == row["price_ticks"] else market.best(1 - row["side"])
        return behind if found and behind else found


class RepricedEvenIfItMeetsNobody(Validation):
    """An order that asked for it is always put one tick behind the best opposite price."""

    def price_behind(self, market: Market, row: Row) -> int:
        against = market.best(1 - row["side"])
        if row["flags"] & REPRICE and row["flags"] & POST_ONLY and against is not None:
            return super().price_behind(market, row | {"price_ticks": against})
        return super().price_behind(market, row)


class LeaverMayTrade(Validation):
    """An account that is leaving can place orders."""

    def validate(self, row: Row, old: Order | None = None) -> Outcome:
        exits, self.state.exits = self.state.exits, [0] * len(self.state.exits)
        try:
            return super().validate(row, old)
        finally:
            self.state.exits = exits


class SlotsReusedOldestFirst(Placement):
    """Freed slots are reused first in, first out."""

    def place(self, row: Row) -> Outcome:
        self.state.slots.free.reverse()
        try:
            return super().place(row)
        finally:
            self.state.slots.free.reverse()


# Replacing.


class ReplaceKeepsTheOld(Placement):
    """The new order comes in and the old one stays."""

    def replace(self, row: Row) -> Outcome:
        old = self.order_of(row)
        if isinstance(old, Outcome) or row["market"] or row["side"] or row["token"]:
            return super().replace(row)
        wanted = row | {"market": old.market, "side": old.side, "order_id": 0}
        if row["flags"] or self.validation.validate(wanted, old) != Outcome.ACCEPTED:
            return super().replace(row)
        self.admit(wanted)
        return Outcome.ACCEPTED


class ReplaceCancelsBeforeItValidates(Placement):
    """Rejected, a replacement has cost the old order its place."""

    def replace(self, row: Row) -> Outcome:
        old = self.order_of(row)
        outcome = super().replace(row)
        if outcome != Outcome.ACCEPTED and isinstance(old, Order):
            self.state.detach(old)
            self.state.insert(old)
        return outcome


class RejectedReplacementFreesTheHold(Placement):
    """What the old order held is released though it stays."""

    def replace(self, row: Row) -> Outcome:
        old = self.order_of(row)
        outcome = super().replace(row)
        if outcome != Outcome.ACCEPTED and isinstance(old, Order):
            token = self.state.markets[old.market].paid_token(old.side)
            self.state.ledger.hold(old.account, token, -old.held_pips)
            old.held_pips = 0
        return outcome


class ReplacementMustPayTwice(Validation):
    """What the old order holds does not count for the new one."""

    def means(self, market: Market, row: Row, old: Order | None) -> Outcome:
        return super().means(market, row, None)


class ReplacementKeepsItsPlace(Placement):
    """At the same price a replacement goes to the front."""

    def replace(self, row: Row) -> Outcome:
        outcome = super().replace(row)
        newest = next(reversed(self.state.orders.values()), None)
        if outcome == Outcome.ACCEPTED and newest and newest.account == row["account"]:
            market = self.state.markets[newest.market]
            ladder = market.armed if newest.trigger_ticks else market.sides
            queue = ladder[newest.side][newest.trigger_ticks or newest.price_ticks]
            for other in [order for order in queue.values() if order is not newest]:
                market.delete(other)
                market.insert(other)
        return outcome


# Shrinking and leaving.


class LostSiblingAfterCancel(Cancels):
    """Cancelling the oldest of a queue also unlinks the next one."""

    def cancel(self, row: Row) -> Outcome:
        order = self.state.orders.get(row["order_id"])
        outcome = super().cancel(row)
        if order is not None and outcome == Outcome.ACCEPTED:
            queue = self.state.markets[order.market].sides[order.side].get(order.price_ticks, {})
            if len(queue) > 1:
                del queue[next(iter(queue))]
        return outcome


class StaleCancelIsAcknowledged(Cancels):
    """A cancel finds its slot and forgets to compare the generation."""

    def cancel(self, row: Row) -> Outcome:
        slot = row["order_id"] & SLOT_MASK
        generation = self.state.slots.generation.get(slot, 0)
        return super().cancel(row | {"order_id": generation << 32 | slot})


class AnybodyMayCancel(Cancels):
    """The owner of an order is not compared."""

    def validate_owner(self, row: Row) -> Order | Outcome:
        order = self.state.orders.get(row["order_id"])
        known = row["account"] < len(self.state.exits)
        return order if order is not None and known else super().validate_owner(row)


class AmendMayEnlarge(Cancels):
    """A larger size is taken like a smaller one."""

    def amend(self, row: Row) -> Outcome:
        outcome = super().amend(row)
        order = self.state.orders.get(row["order_id"])
        if outcome != Outcome.AMEND_NOT_SMALLER or order is None or row["amount"] > order.lots + 1:
            return outcome
        self.state.emit_order(EventKind.AMENDED, order)
        return Outcome.ACCEPTED


class HaltIsCancelOnly(Cancels):
    """A halted market lets orders be amended."""

    def amend(self, row: Row) -> Outcome:
        order = self.state.orders.get(row["order_id"])
        if order is None:
            return super().amend(row)
        market = self.state.markets[order.market]
        phase, market.phase = market.phase, Phase.OPEN
        try:
            return super().amend(row)
        finally:
            market.phase = phase


class CancelAllForgetsTheMarket(Cancels):
    """CANCEL_ALL in one market empties all of them."""

    def cancel_all(self, row: Row) -> Outcome:
        return super().cancel_all(row | {"market": 2**16 - 1} if row["market"] == 0 else row)


class CancelAllIsOldestFirst(State):
    """Orders go in the order of their ids, not of their slots."""

    def in_slot_order(self) -> list[Order]:
        return sorted(self.orders.values(), key=lambda order: order.order_id)


class OperatorForgetsStops(Cancels):
    """Cancelling everybody's orders leaves the armed stops."""

    def cancel_all(self, row: Row) -> Outcome:
        if row["account"] != ALL_ACCOUNTS:
            return super().cancel_all(row)
        armed = {i: order for i, order in self.state.orders.items() if order.trigger_ticks}
        for order_id in armed:
            del self.state.orders[order_id]
        outcome = super().cancel_all(row)
        self.state.orders |= armed
        return outcome


class ClockRemovesAllTheDead(Cancels):
    """However many orders have expired, one command removes them."""

    def sweep_expired(self) -> None:
        self.sweep(self.state.is_expired, Outcome.EXPIRED)


class CancelAllHasNoEnd(Cancels):
    """One command may cancel any number of orders."""

    def sweep(
        self, wanted: Callable[[Order], bool], why: Outcome, most: int | None = None
    ) -> list[Order]:
        return super().sweep(wanted, why)
