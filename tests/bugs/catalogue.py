"""Which mistakes do matching engines make? Each is one small change of the reference.

All are kinds of mistakes that were found in real engines. The property tests must tell each from
the right engine; a bug they cannot see means that the crowd, not the engine, needs work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine import reference
from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.terms import DECREMENT, EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER
from engine.types import FILLS_MAX, Outcome, Phase, Side, TimeInForce

Row = dict[str, int]
SLOT = 2**32 - 1


class Engine(reference.Engine):
    """The reference, with a place for markets of another kind."""

    market_kind: type[Market] = Market

    def list_market(self, row: Row) -> Outcome:
        outcome = super().list_market(row)
        if outcome == Outcome.ACCEPTED:
            right = self.markets[-1]
            terms = (right.lot_pips, right.tick_pips, right.maker_ppm, right.taker_ppm)
            self.markets[-1] = self.market_kind(right.base, right.quote, *terms)
        return outcome


# Priority and the book.


class PriorityLostOnPartialFill(Engine):
    """A half-filled maker goes to the end of its queue."""

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        super().trade(market, taker, maker)
        if maker.lots:
            market.delete(maker)
            market.insert(maker)


class PriorityLostOnAmend(Engine):
    """An order that was made smaller goes to the end of its queue."""

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        super().shrink(order, lots, why)
        if order.order_id in self.orders:
            self.markets[order.market].delete(order)
            self.markets[order.market].insert(order)


class YoungestFirstMarket(Market):
    """What is wrong in ``YoungestFirst``."""

    def first_against(self, side: int) -> Order:
        first = super().first_against(side)
        queue = self.sides[first.side][first.price_ticks]
        return next(reversed(queue.values()))


class YoungestFirst(Engine):
    """A queue is served from the wrong end."""

    market_kind = YoungestFirstMarket


class LostSiblingAfterCancel(Engine):
    """Cancelling the oldest of a queue also unlinks the next one."""

    def cancel(self, row: Row) -> Outcome:
        order = self.orders.get(row["order_id"])
        outcome = super().cancel(row)
        if order is not None and outcome == Outcome.ACCEPTED:
            queue = self.markets[order.market].sides[order.side].get(order.price_ticks, {})
            if len(queue) > 1:
                del queue[next(iter(queue))]
        return outcome


class PhantomLevelMarket(Market):
    """What is wrong in ``PhantomLevel``."""

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        ghost = getattr(self, "ghost", None)
        return super().crossed_by(side, price_ticks) or ghost == (1 - side, price_ticks)


class PhantomLevel(Engine):
    """A level that a cancel has emptied stays, and is the best price of nobody."""

    market_kind = PhantomLevelMarket

    def cancel(self, row: Row) -> Outcome:
        order = self.orders.get(row["order_id"])
        outcome = super().cancel(row)
        if order is not None and outcome == Outcome.ACCEPTED:
            market = self.markets[order.market]
            if order.price_ticks not in market.sides[order.side]:
                market.ghost = (order.side, order.price_ticks)  # type: ignore[attr-defined]
        return outcome


class TouchingPricesDoNotTradeMarket(Market):
    """What is wrong in ``TouchingPricesDoNotTrade``."""

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        return super().crossed_by(side, price_ticks + (1 if side == Side.SELL else -1))


class TouchingPricesDoNotTrade(Engine):
    """A limit equal to the best opposite price is taken for a miss."""

    market_kind = TouchingPricesDoNotTradeMarket


class SellWalksPastItsLimitMarket(Market):
    """What is wrong in ``SellWalksPastItsLimit``."""

    def crossed_by(self, side: int, price_ticks: int) -> bool:
        return super().crossed_by(side, price_ticks - (side == Side.SELL))


class SellWalksPastItsLimit(Engine):
    """A sell accepts one tick less than its limit."""

    market_kind = SellWalksPastItsLimitMarket


class SlotsReusedOldestFirst(Engine):
    """Freed slots are reused first in, first out."""

    def place(self, row: Row) -> Outcome:
        self.slots.free.reverse()
        try:
            return super().place(row)
        finally:
            self.slots.free.reverse()


class StaleCancelIsAcknowledged(Engine):
    """A cancel finds its slot and forgets to compare the generation."""

    def cancel(self, row: Row) -> Outcome:
        slot = row["order_id"] & SLOT
        return super().cancel(row | {"order_id": self.slots.generation.get(slot, 0) << 32 | slot})


class AnybodyMayCancel(Engine):
    """The owner of an order is not compared."""

    def resting_of(self, row: Row) -> Order | Outcome:
        order = self.orders.get(row["order_id"])
        known = row["account"] < len(self.exits)
        return order if order is not None and known else super().resting_of(row)


# Time in force.


class RemainderOfImmediateRests(Engine):
    """Time in force is forgotten."""

    def place(self, row: Row) -> Outcome:
        forgotten = row["tif"] == TimeInForce.IOC and not row["flags"] & 2
        return super().place(row | {"tif": 0} if forgotten else row)


class WholeOrNothingTakesAPart(Engine):
    """FOK is treated as IOC."""

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        return True


class WholeCountsItsOwnOrders(Engine):
    """FOK counts the lots of its own account as if they could be taken."""

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        account, taker.account = taker.account, -1
        try:
            return super().fills_whole(taker, self_mode, fills_max)
        finally:
            taker.account = account


class WholeCountsExpiredOrders(Engine):
    """FOK counts makers that will be found expired."""

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        with at_time(self, -1):
            return super().fills_whole(taker, self_mode, fills_max)


class WholeLooksAtTheBestLevelOnly(Engine):
    """FOK asks whether the first price can fill it."""

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        market, limit = self.markets[taker.market], taker.price_ticks
        best = market.best(1 - taker.side)
        if best is None or not market.crossed_by(taker.side, limit):
            return False
        taker.price_ticks = best
        try:
            return super().fills_whole(taker, self_mode, fills_max)
        finally:
            taker.price_ticks = limit


class WholeCountsOrdersForLots(Engine):
    """FOK compares its lots with the number of orders."""

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int | None) -> bool:
        queue = self.markets[taker.market].queue_against(taker.side, taker.price_ticks)
        enough = sum(1 for _ in queue) >= taker.lots
        return enough and super().fills_whole(taker, self_mode, fills_max)


class ExpiredMakersTrade(Engine):
    """Nobody looks at the maker's expiry while matching."""

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        with at_time(self, -1):
            return super().match(taker, self_mode, fills_max)


class ExpiryIsOneTickLate(Engine):
    """An order still trades in the nanosecond in which it is dead."""

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        with at_time(self, self.time_ns - 1):
            return super().match(taker, self_mode, fills_max)


class PostOnlyTakes(Engine):
    """Post-only is checked only against an equal price, so deeper crossing slips through."""

    def judge(self, row: Row) -> Outcome:
        outcome = super().judge(row)
        if outcome != Outcome.POST_ONLY_WOULD_TRADE:
            return outcome
        against = self.markets[row["market"]].best(1 - row["side"])
        return outcome if against == row["price_ticks"] else super().judge(row | {"flags": 0})


class OneFillTooMany(Engine):
    """The bound on fills is off by one."""

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        more = None if fills_max is None else FILLS_MAX + 1
        return super().match(taker, self_mode, more)


# Money.


class TakerPricedTrade(Engine):
    """A trade is settled at the taker's limit."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        if notional and lots > 1 and order.side == Side.SELL:
            notional += lots * market.tick_pips
        super().settle(market, order, lots, notional, fee)


class FeeRoundedUp(Engine):
    """The buyer's fee is rounded against the buyer."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        extra = order.side == Side.BUY and notional * market.maker_ppm % 10**6 != 0
        super().settle(market, order, lots, notional, fee + extra)


class FeeRoundingLeak(Engine):
    """The exchange books the fee it would have liked, not the one it took."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        super().settle(market, order, lots, notional, fee)
        self.ledger.fees[market.quote] += notional * market.taker_ppm % 10**6 >= 500_000


class MakerPaysTheTakersFee(Engine):
    """The roles of the two fees are swapped."""

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        market.maker_ppm, market.taker_ppm = market.taker_ppm, market.maker_ppm
        try:
            super().trade(market, taker, maker)
        finally:
            market.maker_ppm, market.taker_ppm = market.taker_ppm, market.maker_ppm


class ImprovementIsKept(Engine):
    """What a taker saved against its limit stays held until the order is gone."""

    def set_hold(self, order: Order) -> None:
        if order.order_id in self.orders or order.held_pips == 0 or order.lots == 0:
            super().set_hold(order)


class AmendKeepsTheHold(Engine):
    """An order that was made smaller goes on holding what it held."""

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        held = order.held_pips
        super().shrink(order, lots, why)
        if why == Outcome.ACCEPTED:
            market = self.markets[order.market]
            token = market.paid_token(order.side)
            self.ledger.held[order.account, token] += held - order.held_pips
            self.ledger.available[order.account, token] -= held - order.held_pips


class AmendMayEnlarge(Engine):
    """A larger size is taken like a smaller one."""

    def amend(self, row: Row) -> Outcome:
        outcome = super().amend(row)
        order = self.orders.get(row["order_id"])
        if outcome != Outcome.AMEND_NOT_SMALLER or order is None or row["amount"] > order.lots + 1:
            return outcome
        self.emit_order(EventKind.AMENDED, order, row["amount"])
        return Outcome.ACCEPTED


# Self-trade.


class SelfTradeIsLet(Engine):
    """An account may fill itself."""

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        market = self.markets[taker.market]
        if market.crossed_by(taker.side, taker.price_ticks):
            maker = market.first_against(taker.side)
            if maker.account == taker.account and maker.expiry_ns > self.time_ns:
                self.trade(market, taker, maker)
        return super().match(taker, self_mode, fills_max)


class DecrementLeaks(Engine):
    """Decrementing takes the lots from the incoming order alone."""

    def survives_itself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        if self_mode != DECREMENT or maker.lots <= taker.lots:
            return super().survives_itself(taker, maker, self_mode)
        return False


class MakerAndTakerAreSwapped(Engine):
    """Expire maker means expire taker."""

    def survives_itself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        mode = {EXPIRE_MAKER: EXPIRE_TAKER}.get(self_mode, self_mode)
        return super().survives_itself(taker, maker, mode)


class BothMeansOne(Engine):
    """Expire both leaves the incoming order in the market."""

    def survives_itself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        mode = {EXPIRE_BOTH: EXPIRE_MAKER}.get(self_mode, self_mode)
        return super().survives_itself(taker, maker, mode)


# Whole accounts and whole markets.


class CancelAllForgetsTheMarket(Engine):
    """CANCEL_ALL in one market empties all of them."""

    def cancel_all(self, row: Row) -> Outcome:
        return super().cancel_all(row | {"market": 2**16 - 1} if row["market"] == 0 else row)


class CancelAllIsOldestFirst(Engine):
    """Orders go in the order of their ids, not of their slots."""

    def in_slot_order(self) -> list[Order]:
        return sorted(self.orders.values(), key=lambda order: order.order_id)


class HaltIsCancelOnly(Engine):
    """A halted market lets orders be amended."""

    def amend(self, row: Row) -> Outcome:
        order = self.orders.get(row["order_id"])
        if order is None:
            return super().amend(row)
        market = self.markets[order.market]
        phase, market.phase = market.phase, Phase.OPEN
        try:
            return super().amend(row)
        finally:
            market.phase = phase


class PhaseOfTheFirstMarket(Engine):
    """One phase for all markets."""

    def judge(self, row: Row) -> Outcome:
        if row["market"] >= len(self.markets):
            return super().judge(row)
        market = self.markets[row["market"]]
        phase, market.phase = market.phase, self.markets[0].phase
        try:
            return super().judge(row)
        finally:
            market.phase = phase


class LeaverMayTrade(Engine):
    """An account that is leaving can place orders."""

    def judge(self, row: Row) -> Outcome:
        exits, self.exits = self.exits, [0] * len(self.exits)
        try:
            return super().judge(row)
        finally:
            self.exits = exits


@contextmanager
def at_time(engine: reference.Engine, time_ns: int) -> Iterator[None]:
    """Let ``engine`` believe that it is another time."""
    now_ns, engine.time_ns = engine.time_ns, time_ns
    try:
        yield
    finally:
        engine.time_ns = now_ns


def _catalogue() -> tuple[type[Engine], ...]:
    """Return every bug of this file."""
    return tuple(Engine.__subclasses__())


BUGS: Final = _catalogue()
