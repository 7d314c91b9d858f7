"""What rests, waits and is owned, if the events are all one knows?

The audit's own books. They are slow and plain, lists and sums over everything, and share nothing
with either engine but the words; so they can say who ought to have been met next.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from engine.types import PRICE_MAX, Phase, Side

SLOT = 2**32 - 1


@dataclass
class Open:
    """An order that still has open lots; ``lots`` are the visible ones, ``trigger`` of a stop."""

    order_id: int
    market: int
    side: int
    account: int
    price: int
    lots: int
    arrival: int
    expiry_ns: int
    tif: int
    flags: int
    display: int = 0
    hidden: int = 0
    trigger: int = 0

    @property
    def all_lots(self) -> int:
        """Return what can still be filled, seen or not."""
        return self.lots + self.hidden

    @property
    def slot(self) -> int:
        """Return the place in the engine's table."""
        return self.order_id & SLOT


@dataclass
class Listing:
    """One market as the commands have made it."""

    base: int
    quote: int
    lot_pips: int
    tick_pips: int
    maker_ppm: int
    taker_ppm: int
    phase: int = Phase.OPEN
    last: int = 0
    low: int = 0
    high: int = 0
    least_pips: int = 0

    def notional(self, lots: int, price: int) -> int:
        """Return the quote pips of ``lots`` at ``price``."""
        return lots * price * self.tick_pips

    def worst(self, side: int, lots: int, price: int) -> tuple[int, int]:
        """Return with which token an order pays, and the most that it can come to."""
        if side == Side.SELL:
            return self.base, lots * self.lot_pips
        notional = self.notional(lots, price)
        return self.quote, notional + notional * max(self.maker_ppm, self.taker_ppm) // 10**6

    def allows(self, side: int, price: int) -> bool:
        """Return whether the band lets an order of ``side`` have this limit."""
        if (self.low, self.high) == (0, 0):
            return True
        return price <= self.high if side == Side.BUY else price >= self.low


def toward(side: int) -> int:
    """Return 1 for a buyer, who wants low prices, and -1 for a seller."""
    return 1 if side == Side.BUY else -1


class Reach(NamedTuple):
    """Between which prices one command has traded."""

    low: int = PRICE_MAX + 1
    high: int = 0

    def and_price(self, price: int) -> "Reach":
        """Return the range with one more price in it."""
        return Reach(min(self.low, price), max(self.high, price))


class Shadow:
    """Everything that is open, and everything that is owned."""

    def __init__(self) -> None:
        self.listings: list[Listing] = []
        self.resting: dict[int, Open] = {}
        self.armed: dict[int, Open] = {}
        self.deadlines: dict[int, int] = {}
        self.exits: defaultdict[int, int] = defaultdict(int)
        self.owned: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.fees: defaultdict[int, int] = defaultdict(int)

    def everything(self) -> list[Open]:
        """Return all that rests or is armed, in slot order."""
        both = [*self.resting.values(), *self.armed.values()]
        return sorted(both, key=lambda order: order.slot)

    def queue(self, market: int, side: int) -> list[Open]:
        """Return one side of a book, who is met first first."""
        here = [o for o in self.resting.values() if (o.market, o.side) == (market, side)]
        return sorted(here, key=lambda order: (-toward(side) * order.price, order.arrival))

    def is_small(self, order: Open) -> bool:
        """Return whether an order that comes in is below the least notional of its market.

        A stop counts at its trigger, any other order where it would trade first; of an iceberg
        that comes in only the part that it will show.
        """
        listing, price = self.listings[order.market], order.trigger or order.price
        first, sign = self.first(order.market, 1 - order.side), toward(order.side)
        if not order.trigger and first is not None and sign * first.price <= sign * price:
            price = first.price
        return listing.notional(order.display or order.lots, price) < listing.least_pips

    def owes(self, account: int) -> bool:
        """Return whether an account has less than nothing of some token."""
        return any(pips < 0 for (owner, _), pips in self.owned.items() if owner == account)

    def first(self, market: int, side: int) -> Open | None:
        """Return the best and oldest order of one side."""
        here = [o for o in self.resting.values() if (o.market, o.side) == (market, side)]
        return min(
            here, key=lambda order: (-toward(side) * order.price, order.arrival), default=None
        )

    def is_crossed(self, market: int) -> bool:
        """Return whether the best bid is not below the best ask."""
        bid, ask = self.first(market, Side.BUY), self.first(market, Side.SELL)
        return bid is not None and ask is not None and bid.price >= ask.price

    def next_stop(self, market: int, reach: Reach) -> Open | None:
        """Return the stop that comes next after trades in ``reach``."""
        here = [stop for stop in self.armed.values() if stop.market == market]
        buys = [s for s in here if s.side == Side.BUY and s.trigger <= reach.high]
        if buys:
            return min(buys, key=lambda stop: (stop.trigger, stop.arrival))
        sells = [s for s in here if s.side == Side.SELL and s.trigger >= reach.low]
        return min(sells, key=lambda stop: (-stop.trigger, stop.arrival), default=None)

    def fills(self, taker: Open, now_ns: int, makes_way: bool) -> int | None:
        """Return in how many fills ``taker`` would be filled to its last lot, None if it is not.

        The queue is played through on copies: whoever has shown all its lots and hides more goes
        to the end of its price.
        """
        sign = toward(taker.side)
        queue = [
            (sign * maker.price, maker.arrival, maker.lots, maker.hidden, maker)
            for maker in self.queue(taker.market, 1 - taker.side)
            if sign * maker.price <= sign * taker.price
        ]
        left, fills = taker.lots, 0
        late = max((order.arrival for order in self.resting.values()), default=0)
        while queue:
            price, _, lots, hidden, maker = heapq.heappop(queue)
            if maker.expiry_ns <= now_ns:
                continue
            if maker.account == taker.account:
                if makes_way:
                    continue
                return None
            left, fills, late = left - lots, fills + 1, late + 1
            if left <= 0:
                return fills
            if hidden:
                part = min(maker.display, hidden)
                heapq.heappush(queue, (price, late, part, hidden - part, maker))
        return None

    def auction_price(self, market: int) -> int:
        """Return the price at which a crossed book trades, by trying every one."""
        bids, asks = self.queue(market, Side.BUY), self.queue(market, Side.SELL)
        candidates = {order.price for order in bids + asks}
        candidates = {p for p in candidates if asks[0].price <= p <= bids[0].price}

        def surplus(price: int) -> int:
            bid = sum(order.all_lots for order in bids if order.price >= price)
            return bid - sum(order.all_lots for order in asks if order.price <= price)

        def volume(price: int) -> int:
            bid = sum(order.all_lots for order in bids if order.price >= price)
            return min(bid, bid - surplus(price))

        best = max(map(volume, candidates))
        candidates = {p for p in candidates if volume(p) == best}
        least = min(abs(surplus(p)) for p in candidates)
        tied = sorted(p for p in candidates if abs(surplus(p)) == least)
        signs = {(surplus(p) > 0) - (surplus(p) < 0) for p in tied}
        if signs == {1}:
            return tied[-1]
        last = self.listings[market].last
        if signs == {-1} or last == 0:
            return tied[0]
        return sorted((abs(p - last), p) for p in tied)[0][1]

    def undo(self, row: dict[str, int], event: dict[str, int]) -> None:
        """Let a busted trade go back: what one side gets is what the other, and the house, lose."""
        asked = row["account"], row["fee_cap_ppm"], row["price_ticks"], row["amount"]
        told = ("account", "maker_account", "price_ticks", "amount")
        assert asked == tuple(event[name] for name in told), "what was asked"
        listing, owned = self.listings[event["market"]], self.owned
        buyer, seller = event["account"], event["maker_account"]
        fees = event["fee_pips"] + event["maker_fee_pips"]
        assert buyer != seller and fees >= 0, "I9"
        owned[buyer, listing.base] -= event["price_ticks"]
        owned[seller, listing.base] += event["price_ticks"]
        owned[buyer, listing.quote] += event["amount"] + event["fee_pips"]
        owned[seller, listing.quote] -= event["amount"] - event["maker_fee_pips"]
        self.fees[listing.quote] -= fees

    def held(self) -> dict[tuple[int, int], int]:
        """Return what must be held for all that is open, by owner and token."""
        held: defaultdict[tuple[int, int], int] = defaultdict(int)
        for order in self.everything():
            token, pips = self.listings[order.market].worst(order.side, order.all_lots, order.price)
            held[order.account, token] += pips
        return dict(held)

    def depth(self, market: int, side: int) -> list[tuple[int, int]]:
        """Return (price, visible lots) of one side, best first."""
        lots: dict[int, int] = {}
        for order in self.queue(market, side):
            lots[order.price] = lots.get(order.price, 0) + order.lots
        return list(lots.items())
