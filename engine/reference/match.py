"""Whom does an incoming order trade with, and at what price?"""

from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.ledger import fee_of
from engine.reference.state import State
from engine.reference.validate import DECREMENT, EXPIRE_MAKER, EXPIRE_TAKER
from engine.types import Outcome, Side


class Matching:
    """Continuous trading: one order against the book."""

    def __init__(self, state: State, cancels: Cancels) -> None:
        """Match in ``state``; ``cancels`` takes out who may not be met."""
        self.state = state
        self.cancels = cancels

    def match(self, taker: Order, self_mode: int, fills_max: int) -> Outcome:
        """Fill ``taker`` while it meets prices it accepts; return why it had to stop early."""
        market = self.state.markets[taker.market]
        fills = passes = 0
        while taker.lots and market.crossed_by(taker.side, taker.price_ticks):
            if fills == fills_max:
                return Outcome.FILLS_EXHAUSTED
            maker = market.first(Side.SELL if taker.side == Side.BUY else Side.BUY)
            is_expired = self.state.is_expired(maker)
            if is_expired or maker.account == taker.account:
                if passes == self.state.passes_max:
                    return Outcome.WORK_EXHAUSTED
                passes += 1
                self.state.work_left -= 1
                if is_expired:
                    self.cancels.remove(maker, Outcome.EXPIRED)
                    continue
                if not self.meet_oneself(taker, maker, self_mode):
                    return Outcome.SELF_TRADE
                continue
            self.trade(market, taker, maker)
            fills += 1
        return Outcome.ACCEPTED

    def meet_oneself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        """Deal with an own order that ``taker`` meets; return whether ``taker`` goes on."""
        if self_mode == EXPIRE_TAKER:
            return False
        if self_mode != DECREMENT:
            self.cancels.remove(maker, Outcome.SELF_TRADE)
            return self_mode == EXPIRE_MAKER
        if maker.lots_open > taker.lots:
            self.cancels.shrink(maker, maker.lots_open - taker.lots, Outcome.SELF_TRADE)
            return False
        gone = maker.lots_open
        self.cancels.remove(maker, Outcome.SELF_TRADE)
        if gone == taker.lots:
            return False
        self.cancels.shrink(taker, taker.lots - gone, Outcome.SELF_TRADE)
        return True

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        """Exchange what both can give now, at the maker's price."""
        lots = min(taker.lots, maker.lots)
        notional = market.notional(lots, maker.price_ticks)
        fee = fee_of(notional, market.taker_ppm)
        maker_fee = fee_of(notional, market.maker_ppm)
        self.exchange(market, taker, maker, lots, maker.price_ticks, (fee, maker_fee))
        self.after_filled(maker)

    def exchange(
        self,
        market: Market,
        taker: Order,
        maker: Order,
        lots: int,
        price_ticks: int,
        fees: tuple[int, int],
        why: Outcome = Outcome.ACCEPTED,
    ) -> None:
        """Move lots and money between two orders, say so, and remember the price."""
        state, notional = self.state, market.notional(lots, price_ticks)
        for order, own_fee in zip((taker, maker), fees, strict=True):
            order.lots -= lots
            state.set_hold(order)
            self.settle(market, order, lots, notional, own_fee)
        state.emit(
            EventKind.TRADE,
            side=taker.side,
            outcome=why,
            market=taker.market,
            account=taker.account,
            maker_account=maker.account,
            order_id=taker.order_id,
            maker_id=maker.order_id,
            price_ticks=price_ticks,
            amount=lots,
            order_left=taker.lots_open,
            maker_left=maker.lots_open,
            fee=fees[0],
            maker_fee=fees[1],
        )
        self.note_price(market, price_ticks)

    def note_price(self, market: Market, price_ticks: int) -> None:
        """Remember a price that was traded at, for the stops."""
        market.last_ticks = price_ticks
        self.state.low_ticks = min(self.state.low_ticks, price_ticks)
        self.state.high_ticks = max(self.state.high_ticks, price_ticks)

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        """Move the money of one side of one fill."""
        base_pips = lots * market.lot_pips
        ledger, account = self.state.ledger, order.account
        if order.side == Side.BUY:
            ledger.add(account, market.base, base_pips)
            ledger.add(account, market.quote, -notional - fee)
        else:
            ledger.add(account, market.base, -base_pips)
            ledger.add(account, market.quote, notional - fee)
        ledger.fees[market.quote] += fee

    def after_filled(self, order: Order) -> None:
        """After a trade: let a resting order leave or show its next slice if it has to."""
        if not order.lots_open:
            self.cancels.forget(order)
        elif not order.lots:
            self.show_next_slice(order)

    def show_next_slice(self, order: Order) -> None:
        """Show the next slice of an iceberg whose visible lots are gone: last in its queue."""
        self.state.markets[order.market].delete(order)
        order.show()
        self.state.markets[order.market].insert(order)
        self.state.emit_order(EventKind.REFILLED, order)
