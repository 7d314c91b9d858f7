"""Who is met, how much is taken, and what becomes of both: mistakes in the book."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.fill_or_kill import FillOrKill
from engine.reference.match import Matching
from engine.reference.state import State
from engine.reference.validate import DECREMENT, EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER
from engine.types import Outcome, Side

# Priority and the book.


class PriorityLostOnPartialFill(Matching):
    """A half-filled maker goes to the end of its queue."""

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        super().trade(market, taker, maker)
        if maker.lots:
            market.delete(maker)
            market.insert(maker)


class PriorityLostOnAmend(Cancels):
    """An order that was made smaller goes to the end of its queue."""

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        super().shrink(order, lots, why)
        if order.order_id in self.state.orders:
            self.state.markets[order.market].delete(order)
            self.state.markets[order.market].insert(order)


class YoungestFirst(Market):
    """A queue is served from the wrong end."""

    def first(self, side: int) -> Order:
        oldest = super().first(side)
        return next(reversed(self.sides[side][oldest.price_ticks].values()))


class PhantomLevel(Market):
    """A level that was emptied stays, and is the best price of nobody."""

    __slots__ = ("ghost",)

    def delete(self, order: Order) -> None:
        super().delete(order)
        if order.price_ticks not in self.sides[order.side]:
            self.ghost = (order.side, order.price_ticks)

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        ghost = getattr(self, "ghost", None)
        return super().crossed_by(side, price_ticks) or ghost == (1 - side, price_ticks)


class TouchingPricesDoNotTrade(Market):
    """A limit equal to the best opposite price is taken for a miss."""

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        return super().crossed_by(side, price_ticks + (1 if side == Side.SELL else -1))


class SellWalksPastItsLimit(Market):
    """A sell accepts one tick less than its limit."""

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        return super().crossed_by(side, price_ticks - (side == Side.SELL))


# Icebergs.


class RefillKeepsItsPlace(Matching):
    """The next slice of an iceberg stays where the last one was."""

    def show_next_slice(self, order: Order) -> None:
        market = self.state.markets[order.market]
        behind = [o for o in market.sides[order.side][order.price_ticks].values() if o is not order]
        super().show_next_slice(order)
        for other in behind:
            market.delete(other)
            market.insert(other)


class RefillShowsEverything(Matching):
    """Once an iceberg has been hit, all of it is in sight."""

    def show_next_slice(self, order: Order) -> None:
        order.display = order.lots_open
        super().show_next_slice(order)


class AmendTakesVisibleLotsFirst(Cancels):
    """Making an iceberg smaller takes from what is in sight while it can."""

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        if order.hidden >= lots > 0:
            order.lots, order.hidden = 1, order.lots_open - 1
        super().shrink(order, lots, why)


class DecrementSeesWhatIsVisible(Matching):
    """Decrementing compares with an iceberg's visible slice."""

    def meet_oneself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        if self_mode != DECREMENT:
            return super().meet_oneself(taker, maker, self_mode)
        hidden, maker.hidden = maker.hidden, 0
        try:
            return super().meet_oneself(taker, maker, self_mode)
        finally:
            maker.hidden = hidden if maker.order_id in self.state.orders else 0


# Time in force.


class WholeOrNothingTakesAPart(FillOrKill):
    """FOK is treated as IOC."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        return True


class WholeCountsItsOwnOrders(FillOrKill):
    """FOK counts the lots of its own account as if they could be taken."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        account, taker.account = taker.account, -1
        try:
            return super().is_fillable(taker, self_mode, fills_max)
        finally:
            taker.account = account


class WholeCountsExpiredOrders(FillOrKill):
    """FOK counts makers that will be found expired."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        with at_time(self.state, -1):
            return super().is_fillable(taker, self_mode, fills_max)


class WholeLooksAtTheBestLevelOnly(FillOrKill):
    """FOK asks whether the first price can fill it."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        market, limit = self.state.markets[taker.market], taker.price_ticks
        best = market.best(1 - taker.side)
        if best is None or not market.crossed_by(taker.side, limit):
            return False
        taker.price_ticks = best
        try:
            return super().is_fillable(taker, self_mode, fills_max)
        finally:
            taker.price_ticks = limit


class WholeCountsOrdersForLots(FillOrKill):
    """FOK compares its lots with the number of orders."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        levels = self.state.markets[taker.market].levels_against(taker.side, taker.price_ticks)
        enough = sum(map(len, levels)) >= taker.lots
        return enough and super().is_fillable(taker, self_mode, fills_max)


class WholeIgnoresHiddenLots(FillOrKill):
    """FOK counts what an iceberg shows and no more."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        with as_seen(self.state, hidden_added=False):
            return super().is_fillable(taker, self_mode, fills_max)


class WholeTakesIcebergsInOnePiece(FillOrKill):
    """FOK forgets that others stand between the slices of an iceberg."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        with as_seen(self.state, hidden_added=True):
            return super().is_fillable(taker, self_mode, fills_max)


class ExpiredMakersTrade(Matching):
    """Nobody looks at the maker's expiry while matching."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        with at_time(self.state, -1):
            return super().match(taker, self_mode, fills_max)


class ExpiryIsOneTickLate(Matching):
    """An order still trades in the nanosecond in which it is dead."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        with at_time(self.state, self.state.time_ns - 1):
            return super().match(taker, self_mode, fills_max)


class OneFillTooMany(Matching):
    """The bound on fills is off by one."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        return super().match(taker, self_mode, fills_max + 1)


class AnOrderStopsShortOfItsLastFill(Matching):
    """An order may have one fill fewer than it may."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        return super().match(taker, self_mode, fills_max - 1)


class WholeCountsOneFillTooMany(FillOrKill):
    """FOK is taken for fillable though the last lot would need one fill more than it may have."""

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        return super().is_fillable(taker, self_mode, fills_max + 1)


class TheDeadInTheWayAreNotCounted(Matching):
    """An order may remove any number of orders it cannot trade with."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        most, self.state.passes_max = self.state.passes_max, 10**9
        try:
            return super().match(taker, self_mode, fills_max)
        finally:
            self.state.passes_max = most


class CrossedRemaindersRest(Matching):
    """What may have no more fills rests where it crosses."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        why = super().match(taker, self_mode, fills_max)
        return Outcome.ACCEPTED if why == Outcome.FILLS_EXHAUSTED else why


# Self-trade.


class SelfTradeIsLet(Matching):
    """An account may fill itself."""

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        market = self.state.markets[taker.market]
        if market.crossed_by(taker.side, taker.price_ticks):
            maker = market.first(1 - taker.side)
            if maker.account == taker.account and maker.expiry_ns > self.state.time_ns:
                self.trade(market, taker, maker)
        return super().match(taker, self_mode, fills_max)


class DecrementLeaks(Matching):
    """Decrementing takes the lots from the incoming order alone."""

    def meet_oneself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        if self_mode != DECREMENT or maker.lots_open <= taker.lots:
            return super().meet_oneself(taker, maker, self_mode)
        return False


class MakerAndTakerAreSwapped(Matching):
    """Expire maker means expire taker."""

    def meet_oneself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        mode = {EXPIRE_MAKER: EXPIRE_TAKER}.get(self_mode, self_mode)
        return super().meet_oneself(taker, maker, mode)


class BothMeansOne(Matching):
    """Expire both leaves the incoming order in the market."""

    def meet_oneself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        mode = {EXPIRE_BOTH: EXPIRE_MAKER}.get(self_mode, self_mode)
        return super().meet_oneself(taker, maker, mode)


@contextmanager
def at_time(state: State, time_ns: int) -> Iterator[None]:
    """Let ``state`` believe that it is another time."""
    now_ns, state.time_ns = state.time_ns, time_ns
    try:
        yield
    finally:
        state.time_ns = now_ns


@contextmanager
def as_seen(state: State, *, hidden_added: bool) -> Iterator[None]:
    """Let icebergs hide nothing for a while, because it is in sight or because it is not there."""
    hiding = [(order, order.lots, order.hidden) for order in state.orders.values() if order.hidden]
    for order, lots, hidden in hiding:
        order.lots, order.hidden = lots + hidden * hidden_added, 0
    try:
        yield
    finally:
        for order, lots, hidden in hiding:
            order.lots, order.hidden = lots, hidden
