"""Whom does an order that comes in meet, and what becomes of both?"""

from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.state import State
from engine.reference.terms import DECREMENT, EXPIRE_MAKER, EXPIRE_TAKER, SINGLE_SHOT
from engine.types import FILLS_MAX, Outcome, Side, TimeInForce, fee_pips


def fee_of(notional_pips: int, fee_ppm: int) -> int:
    """Return the fee of one side of a fill; a rebate is negative, and rounded down in size."""
    if fee_ppm < 0:
        return -fee_pips(notional_pips, -fee_ppm)
    return fee_pips(notional_pips, fee_ppm)


class Matching:
    """Continuous trading: one order against the book."""

    def __init__(self, state: State) -> None:
        """Match in ``state``."""
        self.state = state

    def come_in(self, order: Order) -> None:
        """Match an order that is in no queue; then it rests, is dropped, or is done."""
        fills_max = self.state.fills_max
        if order.flags & SINGLE_SHOT:
            fills_max = min(fills_max, FILLS_MAX)
        self_mode = order.flags & DECREMENT
        if order.tif == TimeInForce.FOK:
            self.state.work_left -= FILLS_MAX  # It has looked at so many, even if it takes none.
        if order.tif == TimeInForce.FOK and not self.fills_whole(order, self_mode, fills_max):
            why = Outcome.NOT_FILLABLE_WHOLE
        else:
            why = self.match(order, self_mode, fills_max)

        if order.lots and why == Outcome.ACCEPTED and order.tif == TimeInForce.GTC:
            self.rest(order)
            return
        if order.lots:
            why = why or Outcome.IMMEDIATE_REMAINDER
            self.state.emit_order(EventKind.UNFILLED, order, why)
            order.lots = 0
            self.state.set_hold(order)
        self.state.slots.give_back(order.order_id)

    def rest(self, order: Order) -> None:
        """Put an order into the book, of an iceberg only a part in sight."""
        order.show()
        self.state.enter(order)
        self.state.emit_order(EventKind.RESTED, order)

    def fills_whole(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        """Return whether ``taker`` would be filled to its last lot.

        It walks as ``match`` would: through a level once for what is visible, then again for each
        further part of its icebergs. Nothing changes but the work that is left.
        """
        whole, passes = self.would_fill(taker, self_mode, fills_max)
        if not whole:
            self.state.work_left -= passes
        return whole

    def would_fill(self, taker: Order, self_mode: int, fills_max: int) -> tuple[bool, int]:
        """Return whether ``taker`` would be filled, and how many orders it would pass over."""
        lots, fills, passes = taker.lots, 0, 0
        market = self.state.markets[taker.market]
        for level in market.levels_against(taker.side, taker.price_ticks):
            parts = [(maker, maker.lots, maker.hidden) for maker in level]
            while parts:
                maker, visible, hidden = parts.pop(0)
                is_expired = self.state.is_expired(maker)
                if is_expired or maker.account == taker.account:
                    makes_way = is_expired or self_mode == EXPIRE_MAKER
                    if not makes_way or passes == self.state.passes_max:
                        return False, passes
                    passes += 1
                    continue
                if fills == fills_max:
                    return False, passes
                fills += 1
                lots -= visible
                if lots <= 0:
                    return True, passes
                if hidden:
                    part = min(maker.display, hidden)
                    parts.append((maker, part, hidden - part))
        return False, passes

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
                    self.state.remove(maker, Outcome.EXPIRED)
                    continue
                if not self.survives_itself(taker, maker, self_mode):
                    return Outcome.SELF_TRADE
                continue
            self.trade(market, taker, maker)
            fills += 1
        return Outcome.ACCEPTED

    def survives_itself(self, taker: Order, maker: Order, self_mode: int) -> bool:
        """Deal with an own order that ``taker`` meets; return whether ``taker`` goes on."""
        if self_mode == EXPIRE_TAKER:
            return False
        if self_mode != DECREMENT:
            self.state.remove(maker, Outcome.SELF_TRADE)
            return self_mode == EXPIRE_MAKER
        if maker.lots_open > taker.lots:
            self.state.shrink(maker, maker.lots_open - taker.lots, Outcome.SELF_TRADE)
            return False
        gone = maker.lots_open
        self.state.remove(maker, Outcome.SELF_TRADE)
        if gone == taker.lots:
            return False
        self.state.shrink(taker, taker.lots - gone, Outcome.SELF_TRADE)
        return True

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        """Exchange what both can give now, at the maker's price."""
        lots = min(taker.lots, maker.lots)
        notional = market.notional(lots, maker.price_ticks)
        fee = fee_of(notional, market.taker_ppm)
        maker_fee = fee_of(notional, market.maker_ppm)
        self.exchange(market, taker, maker, lots, maker.price_ticks, (fee, maker_fee))
        self.state.settle_visible(maker)

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
