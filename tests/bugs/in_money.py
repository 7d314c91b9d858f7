"""Holds, fees and rebates: mistakes of a pip or more."""

from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.match import Matching
from engine.reference.state import State
from engine.types import Outcome, Side


class TakerPricedTrade(Matching):
    """A trade is settled at the taker's limit."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        if notional and lots > 1 and order.side == Side.SELL:
            notional += lots * market.tick_pips
        super().settle(market, order, lots, notional, fee)


class FeeRoundedUp(Matching):
    """The buyer's fee is rounded against the buyer."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        extra = order.side == Side.BUY and notional * market.maker_ppm % 10**6 != 0
        super().settle(market, order, lots, notional, fee + extra)


class FeeRoundingLeak(Matching):
    """The exchange books the fee it would have liked, not the one it took."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        super().settle(market, order, lots, notional, fee)
        self.state.ledger.fees[market.quote] += notional * market.taker_ppm % 10**6 >= 500_000


class RebateRoundedUp(Matching):
    """A rebate is rounded in favour of the maker."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        exact = notional * market.maker_ppm % 10**6 == 0
        super().settle(market, order, lots, notional, fee - (fee < 0 and not exact))


class RebateIsPaidByNobody(Matching):
    """What a maker earns does not come out of the fees."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        super().settle(market, order, lots, notional, fee)
        self.state.ledger.fees[market.quote] -= min(fee, 0)


class MakerPaysTheTakersFee(Matching):
    """The roles of the two fees are swapped."""

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        market.maker_ppm, market.taker_ppm = market.taker_ppm, market.maker_ppm
        try:
            super().trade(market, taker, maker)
        finally:
            market.maker_ppm, market.taker_ppm = market.taker_ppm, market.maker_ppm


class ImprovementIsKept(State):
    """What a taker saved against its limit stays held until the order is gone."""

    def set_hold(self, order: Order) -> None:
        if order.order_id in self.orders or order.held_pips == 0 or order.lots == 0:
            super().set_hold(order)


class HiddenLotsAreNotHeld(State):
    """An iceberg holds for what it shows."""

    def set_hold(self, order: Order) -> None:
        hidden, order.hidden = order.hidden, 0
        try:
            super().set_hold(order)
        finally:
            order.hidden = hidden


class AmendKeepsTheHold(Cancels):
    """An order that was made smaller goes on holding what it held."""

    def shrink(self, order: Order, lots: int, why: Outcome) -> None:
        held = order.held_pips
        super().shrink(order, lots, why)
        if why == Outcome.ACCEPTED:
            token = self.state.markets[order.market].paid_token(order.side)
            self.state.ledger.held[order.account, token] += held - order.held_pips
            self.state.ledger.available[order.account, token] -= held - order.held_pips


class StopsHoldNothing(State):
    """A stop that waits holds nothing until it wakes."""

    def insert(self, order: Order) -> None:
        super().insert(order)
        if order.trigger_ticks:
            token = self.markets[order.market].paid_token(order.side)
            self.ledger.hold(order.account, token, -order.held_pips)
            order.held_pips = 0
