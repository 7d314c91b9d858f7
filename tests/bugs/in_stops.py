"""Which stop wakes, when and how often: mistakes about triggers and deadlines."""

from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.triggers import Triggers
from engine.reference.validate import Validation


class StopsWakeOnTheWrongSide(Market):
    """A buy stop is taken for one that waits for lower prices."""

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        for trigger, queue in self.armed[0].items():
            if low_ticks <= trigger:
                return next(iter(queue.values()))
        return super().reached_stop(low_ticks, 0)


class StopsMissTheirExactTrigger(Market):
    """A trade at the very trigger price wakes nobody."""

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        return super().reached_stop(low_ticks + 1, high_ticks - 1)


class SellStopsWakeFirst(Market):
    """Where both are reached the sells go before the buys."""

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        return super().reached_stop(low_ticks, 0) or super().reached_stop(low_ticks, high_ticks)


class TheFarthestStopWakesFirst(Market):
    """Of the sells that were reached the one with the lowest trigger goes first."""

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        stop = super().reached_stop(low_ticks, high_ticks)
        if stop is None or stop.side == 0:
            return stop
        reached = [trigger for trigger in self.armed[1] if trigger >= low_ticks]
        return next(iter(self.armed[1][reached[0]].values()))


class TheYoungestStopWakesFirst(Market):
    """Of the stops at one trigger the last to come is the first to go."""

    def reached_stop(self, low_ticks: int, high_ticks: int) -> Order | None:
        stop = super().reached_stop(low_ticks, high_ticks)
        if stop is None:
            return None
        return next(reversed(self.armed[stop.side][stop.trigger_ticks].values()))


class StopsWakeTwice(Triggers):
    """A stop that rests after it woke comes in once more."""

    def trigger(self, order: Order) -> None:
        super().trigger(order)
        if order.order_id in self.state.orders:
            self.state.detach(order)
            self.incoming.carry_out(order)


class StopsDoNotWakeEachOther(Triggers):
    """What a stop trades does not count."""

    def wake_stops(self, market: int) -> None:
        low, high = self.state.low_ticks, self.state.high_ticks
        while order := self.state.markets[market].reached_stop(low, high):
            self.trigger(order)


class OnlyTheLastPriceWakes(Triggers):
    """Prices that a sweep passed on its way are forgotten."""

    def wake_stops(self, market: int) -> None:
        if self.state.high_ticks:
            last = self.state.markets[market].last_ticks
            self.state.low_ticks = self.state.high_ticks = last
        super().wake_stops(market)


class DeadStopsWake(Triggers):
    """Nobody looks at the expiry of a stop that wakes."""

    def wake_stops(self, market: int) -> None:
        now_ns, self.state.time_ns = self.state.time_ns, -1
        try:
            super().wake_stops(market)
        finally:
            self.state.time_ns = now_ns


class ReachedStopsAreArmed(Validation):
    """A stop that the last trade has reached already waits for the next one."""

    def would_trigger(self, market: Market, side: int, trigger_ticks: int) -> bool:
        return False


class StopsThatWereLeftAreForgotten(Triggers):
    """What one command could not wake waits for the next trade."""

    def keep_reach(self, number: int) -> None:
        market = self.state.markets[number]
        market.pending_low = market.pending_high = 0


class StopsThatWereLeftAreOvertaken(Triggers):
    """An order comes in before the stops that were there before it."""

    def may_come_in(self, number: int, *, is_stop: bool) -> bool:
        return True


class StopsThatWereLeftWakeNewcomers(Triggers):
    """While old prices are remembered a stop may be armed that they reach."""

    def may_come_in(self, number: int, *, is_stop: bool) -> bool:
        return super().may_come_in(number, is_stop=False)


class PricesAreRememberedTooLong(Triggers):
    """The prices that woke stops still do when these have left."""

    def resume_market(self, number: int) -> None:
        market = self.state.markets[number]
        low, high = market.pending_low, market.pending_high
        super().resume_market(number)
        market.pending_low, market.pending_high = low, high


class OneCommandWakesEverybody(Triggers):
    """A command has room for one more order whatever it has done."""

    def has_room(self) -> bool:
        return True


class DeadMansSwitchIsCutShort(Cancels):
    """A switch that cannot cancel all at once is disarmed with the first portion."""

    def sweep_silent(self) -> None:
        super().sweep_silent()
        for account, deadline_ns in list(self.state.deadlines.items()):
            if deadline_ns <= self.state.time_ns:
                del self.state.deadlines[account]


class DeadMansSwitchFiresLate(Cancels):
    """The deadline itself is still in time."""

    def sweep_silent(self) -> None:
        self.state.time_ns -= 1
        try:
            super().sweep_silent()
        finally:
            self.state.time_ns += 1


class DeadMansSwitchStaysArmed(Cancels):
    """Having fired, it fires again."""

    def sweep_silent(self) -> None:
        armed = dict(self.state.deadlines)
        super().sweep_silent()
        self.state.deadlines |= armed


class DeadMansSwitchForgetsStops(Cancels):
    """Only what rests is cancelled, and the armed stops stay."""

    def sweep_silent(self) -> None:
        armed = {i: order for i, order in self.state.orders.items() if order.trigger_ticks}
        for order_id in armed:
            del self.state.orders[order_id]
        super().sweep_silent()
        self.state.orders |= armed
