"""Was an auction held as it must be? At one price, best and oldest first, and nobody with himself.

The part of the audit that wakes up when a market with a crossed book opens.
"""

from engine.commands import Kind
from engine.types import Phase, Side
from tests.property.shadow import Open, Shadow

TRADING = (Phase.OPEN, Phase.POST_ONLY)
Row = dict[str, int]


class Auctioneer:
    """Knows the price before the first trade is told."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.price: int | None = None
        """At which price the auction trades that is going on, None if there is none."""
        self.traded = 0
        self.owed: tuple[int, int] | None = None
        """The seller that must lose lots next, and how many, since its buyer has."""

    def prepare(self, row: Row, now_ns: int) -> None:
        """Before a market opens: at which price must its crossed book trade?"""
        self.price, self.traded = None, 0
        if row["kind"] != Kind.SET_PHASE or row["amount"] not in TRADING:
            return
        if row["market"] >= len(self.shadow.listings):
            return
        if not self.shadow.is_crossed(row["market"]):
            return
        alive = Shadow()
        alive.listings = self.shadow.listings
        alive.resting = {
            order_id: order
            for order_id, order in self.shadow.resting.items()
            if order.expiry_ns > now_ns
        }
        if alive.is_crossed(row["market"]):
            self.price = alive.auction_price(row["market"])

    def firsts(self, market: int) -> tuple[Open, Open]:
        """Return the buyer and the seller whose turn it is."""
        buyer = self.shadow.first(market, Side.BUY)
        seller = self.shadow.first(market, Side.SELL)
        assert self.price is not None and buyer is not None and seller is not None
        assert buyer.price >= self.price >= seller.price, "I6: one of them would not"
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

    def uncrossed(self, row: Row, event: Row) -> None:
        """An auction is over: nobody is left who would trade at its price."""
        market, price = event["market"], event["price_ticks"]
        assert (price, event["amount"]) == (self.price, self.traded), "the auction's figures"
        assert market == row["market"] and self.owed is None
        bid, ask = self.shadow.first(market, Side.BUY), self.shadow.first(market, Side.SELL)
        both = bid is not None and ask is not None and bid.price >= price >= ask.price
        assert not both, "two who agree did not trade"
        assert not self.shadow.is_crossed(market), "I3: still crossed"
        self.price = None
