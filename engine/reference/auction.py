"""At which one price does a call auction trade, and who trades?

While a market is in an auction its orders rest without matching, and buys may stand above sells.
When it opens again they are uncrossed: everybody who trades does so at the same price.
"""

from typing import NamedTuple

from engine.events import EventKind
from engine.reference.book import Market, Order
from engine.reference.cancel import Cancels
from engine.reference.ledger import fee_of
from engine.reference.match import Matching
from engine.reference.state import State
from engine.types import Outcome, Side


class Candidate(NamedTuple):
    """A price, and the lots that would buy or sell there."""

    price_ticks: int
    demand: int
    supply: int

    @property
    def volume(self) -> int:
        """Return how many lots would change hands."""
        return min(self.demand, self.supply)

    @property
    def surplus(self) -> int:
        """Return the lots bid and not sold, negative for the lots offered and not bought."""
        return self.demand - self.supply


class Auction:
    """Uncrosses books."""

    def __init__(self, state: State, cancels: Cancels, matching: Matching) -> None:
        """Uncross the books of ``state``; ``matching`` moves what is traded."""
        self.state = state
        self.cancels = cancels
        self.matching = matching

    def uncross(self, number: int) -> bool:
        """Trade what crosses in one market at one price; return whether nothing does any more.

        What is too much for one command goes on with the next, at the same price. Should cancels
        in between have left what crosses but does not take that price, it gets one of its own.
        """
        state, market = self.state, self.state.markets[number]
        if not market.auction_ticks and not market.is_crossed():
            return True
        self.cancels.sweep_expired()
        if any(map(state.is_expired, state.orders.values())):
            return False
        if market.auction_ticks:
            self.matching.note_price(market, market.auction_ticks)
        while market.is_crossed():
            if not self.may_go_on():
                return False
            market.auction_ticks = market.auction_ticks or self.clearing_price(market)
            self.trade_at(number, market.auction_ticks)
            if self.both_accept(market, market.auction_ticks):
                return False
            market.auction_ticks = 0
        market.auction_ticks = 0
        return True

    def may_go_on(self) -> bool:
        """Return whether this command may let two more orders meet."""
        return self.state.trades_left > 0 and self.state.work_left > 0

    def trade_at(self, number: int, price_ticks: int) -> None:
        """Let buyers and sellers meet at one price while there is room, and say what came of it."""
        market, traded = self.state.markets[number], 0
        if not self.both_accept(market, price_ticks):
            return
        while self.both_accept(market, price_ticks) and self.may_go_on():
            buyer, seller = market.first(Side.BUY), market.first(Side.SELL)
            lots = min(buyer.lots, seller.lots)
            if buyer.account == seller.account:
                self.state.work_left -= 1
                self.decrement(buyer, lots)
                self.decrement(seller, lots)
            else:
                self.exchange(market, buyer, seller, lots, price_ticks)
                traded += lots
        goes_on = self.both_accept(market, price_ticks)
        self.state.emit(
            EventKind.UNCROSSED,
            market=number,
            price_ticks=price_ticks,
            amount=traded,
            outcome=Outcome.MORE_REMAINS if goes_on else Outcome.ACCEPTED,
        )

    def both_accept(self, market: Market, price_ticks: int) -> bool:
        """Return whether the best buyer and the best seller both take this price."""
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        return bid is not None and ask is not None and bid >= price_ticks >= ask

    def clearing_price(self, market: Market) -> int:
        """Return the price at which most lots change hands and the fewest are left over.

        Where several do equally well, the side that is left over decides; where that does not
        decide either, the price nearest to the last trade, and of two such the lower.
        """
        candidates = self.candidates(market)
        volume = max(candidate.volume for candidate in candidates)
        candidates = [c for c in candidates if c.volume == volume]
        left_over = min(abs(candidate.surplus) for candidate in candidates)
        candidates = [c for c in candidates if abs(c.surplus) == left_over]
        prices = sorted(candidate.price_ticks for candidate in candidates)
        if all(candidate.surplus > 0 for candidate in candidates):
            return prices[-1]
        if all(candidate.surplus < 0 for candidate in candidates):
            return prices[0]
        if market.last_ticks == 0:
            return prices[0]
        return min(prices, key=lambda price_ticks: abs(price_ticks - market.last_ticks))

    def candidates(self, market: Market) -> list[Candidate]:
        """Return every price with orders between the best ask and the best bid."""
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        assert bid is not None and ask is not None, "only a crossed book has an auction price"
        buys, sells = (
            {
                price: sum(order.lots_open for order in queue.values())
                for price, queue in market.sides[side].items()
            }
            for side in (Side.BUY, Side.SELL)
        )
        return [
            Candidate(
                price,
                sum(lots for limit, lots in buys.items() if limit >= price),
                sum(lots for limit, lots in sells.items() if limit <= price),
            )
            for price in sorted(buys.keys() | sells.keys())
            if ask <= price <= bid
        ]

    def exchange(
        self, market: Market, buyer: Order, seller: Order, lots: int, price_ticks: int
    ) -> None:
        """Trade at the auction's price; both pay what a maker pays, and nobody earns a rebate."""
        fee = fee_of(market.notional(lots, price_ticks), max(market.maker_ppm, 0))
        fees = (fee, fee)
        self.matching.exchange(market, buyer, seller, lots, price_ticks, fees, Outcome.AUCTION)
        self.matching.after_filled(buyer)
        self.matching.after_filled(seller)

    def decrement(self, order: Order, lots: int) -> None:
        """Take visible lots from an order that met one of its own account."""
        state = self.state
        if order.lots_open == lots:
            self.cancels.remove(order, Outcome.SELF_TRADE)
            return
        order.lots -= lots
        state.set_hold(order)
        state.emit_order(EventKind.AMENDED, order, Outcome.SELF_TRADE, lots)
        self.matching.after_filled(order)
