"""Was an auction held as it must be? At one price, best and oldest first, and nobody with himself.

The part of the audit that wakes up when a market with a crossed book opens. What is too much for
one command goes on at the same price, and meanwhile nobody may come in.
"""

from engine.commands import Kind
from engine.types import Outcome, Phase, Side
from tests.property.budget import Budget
from tests.property.shadow import Open, Reach, Shadow

TRADING = (Phase.OPEN, Phase.POST_ONLY)
Row = dict[str, int]


class Auctioneer:
    """Knows the price before the first trade is told."""

    def __init__(self, shadow: Shadow, budget: Budget) -> None:
        self.shadow, self.budget = shadow, budget
        self.price: int | None = None
        """At which price the auction trades that is going on, None if there is none."""
        self.kept: dict[int, int] = {}
        """By market: the price of an auction that goes on with the next command."""
        self.stuck = False
        """Whether so much has expired that this command gets no further."""
        self.is_over = False
        self.traded = 0
        self.owed: tuple[int, int] | None = None
        """The seller that must lose lots next, and how many, since its buyer has."""

    def prepare(self, row: Row, now_ns: int, reach: Reach) -> Reach:
        """Before a market opens: at which price must its crossed book trade?

        Return the prices whose stops have to hear of it: those of an auction that goes on, too.
        """
        self.price, self.traded, self.stuck, self.is_over = None, 0, False, False
        if row["kind"] != Kind.SET_PHASE or row["amount"] not in TRADING:
            return reach
        market = row["market"]
        kept = self.kept.get(market)
        if market >= len(self.shadow.listings):
            return reach
        if kept is None and not self.shadow.is_crossed(market):
            return reach
        everything = self.shadow.everything()
        expired = sum(order.expiry_ns <= now_ns for order in everything)
        self.stuck = expired > self.budget.limits.work
        if self.stuck:
            return reach
        alive = Shadow()
        alive.listings = self.shadow.listings
        alive.resting = {
            order_id: order
            for order_id, order in self.shadow.resting.items()
            if order.expiry_ns > now_ns
        }
        may_go_on = expired < self.budget.limits.work
        if may_go_on:
            self.price = self.next_price(alive, market)
        return reach if kept is None else reach.and_price(kept)

    def next_price(self, shadow: Shadow, market: int) -> int | None:
        """Return the price that is kept, if anybody still takes it, or a new one if it is due."""
        if not shadow.is_crossed(market):
            return None
        kept = self.kept.get(market)
        if kept is not None and both_accept(shadow, market, kept):
            return kept
        return shadow.auction_price(market)

    def firsts(self, market: int) -> tuple[Open, Open]:
        """Return the buyer and the seller whose turn it is."""
        buyer = self.shadow.first(market, Side.BUY)
        seller = self.shadow.first(market, Side.SELL)
        assert self.price is not None and buyer is not None and seller is not None
        assert buyer.price >= self.price >= seller.price, "I6: one of them would not"
        assert self.owed is not None or self.budget.may_go_on(), "too much for one command"
        return buyer, seller

    def pair(self, event: Row) -> tuple[Open, Open]:
        """Return who trades: the first buyer and the first seller, at the one price."""
        assert event["price_ticks"] == self.price, "I6: one price for everybody"
        assert self.owed is None, "I9: only one of two lost its lots"
        buyer, seller = self.firsts(event["market"])
        told = (event["order_id"], event["maker_id"])
        assert told == (buyer.order_id, seller.order_id), "I4: best and oldest"
        self.traded += event["amount"]
        return buyer, seller

    def lose(self, order: Open, lots: int) -> None:
        """I9: an order loses lots without a trade, the buyer first and its seller as many."""
        if self.owed is not None:
            assert self.owed == (order.order_id, lots), "I9: the seller loses what the buyer lost"
            self.owed = None
            return
        buyer, seller = self.firsts(order.market)
        assert order is buyer and buyer.account == seller.account, "I9: nobody met himself"
        assert lots == min(buyer.lots, seller.lots), "I9: as many as both have in sight"
        self.owed = (seller.order_id, lots)
        self.budget.work += 1

    def uncrossed(self, row: Row, event: Row) -> None:
        """An auction is over, or goes on: then two who agree are left, and no room for them."""
        market, price = event["market"], event["price_ticks"]
        assert (price, event["amount"]) == (self.price, self.traded), "the auction's figures"
        assert market == row["market"] and self.owed is None
        self.kept.pop(market, None)
        self.price, self.traded = None, 0
        if both_accept(self.shadow, market, price):
            assert not self.budget.may_go_on(), "two who agree did not trade"
            assert event["outcome"] == Outcome.MORE_REMAINS, "it goes on"
            self.kept[market] = price
            return
        assert event["outcome"] == Outcome.ACCEPTED, "it is over"
        if self.budget.may_go_on():
            self.price = self.next_price(self.shadow, market)

    def phase_after(self, row: Row, event: Row, before: int) -> int:
        """Return the phase a market must be in after a SET_PHASE."""
        assert self.price is None, "an auction without a last word"
        market = row["market"]
        opens = row["amount"] in TRADING
        if opens and (self.stuck or self.shadow.is_crossed(market)):
            assert event["outcome"] == Outcome.MORE_REMAINS, "I3: still crossed"
            return int(Phase.CANCEL_ONLY) if market in self.kept else before
        assert event["outcome"] == Outcome.ACCEPTED, "nothing remains"
        self.is_over = True
        if opens or row["amount"] == Phase.AUCTION:
            self.kept.pop(market, None)
        return row["amount"]


def both_accept(shadow: Shadow, market: int, price: int) -> bool:
    """Return whether the first buyer and the first seller both take this price."""
    bid, ask = shadow.first(market, Side.BUY), shadow.first(market, Side.SELL)
    return bid is not None and ask is not None and bid.price >= price >= ask.price
