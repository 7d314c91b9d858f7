"""What rests, waits and is owned, if the events are all one knows?

The audit's own books. They are slow and plain, lists and sums over everything, and share nothing
with either engine but the words; so they can say who ought to have been met next.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from engine.commands import Kind
from engine.types import PRICE_MAX, OrderFlag, Outcome, Phase, Side, TimeInForce

SLOT = 2**32 - 1
Row = dict[str, int]


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

    def takes(self, row: Row) -> bool:
        """Return whether the phase lets such an order come in."""
        posts = bool(row["flags"] & OrderFlag.POST_ONLY)
        if self.phase == Phase.POST_ONLY:
            return posts
        if self.phase == Phase.AUCTION:  # What waits for it must be able to wait.
            waits = row["flags"] & OrderFlag.STOP or row["tif"] == TimeInForce.GTC
            return bool(waits) and not posts
        return self.phase == Phase.OPEN

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

    def fills(
        self, taker: Open, now_ns: int, makes_way: bool, bounds: tuple[int, int]
    ) -> tuple[int | None, int]:
        """Return in how many fills ``taker`` would be filled to its last lot, None if it is not.

        And how many orders it would pass over; ``bounds`` are the most fills and the most of these.
        The queue is played through on copies: whoever has shown all its lots and hides more goes
        to the end of its price.
        """
        sign = toward(taker.side)
        queue = [
            (sign * maker.price, maker.arrival, maker.lots, maker.hidden, maker)
            for maker in self.queue(taker.market, 1 - taker.side)
            if sign * maker.price <= sign * taker.price
        ]
        left, fills, passes = taker.lots, 0, 0
        late = max((order.arrival for order in self.resting.values()), default=0)
        while queue:
            price, _, lots, hidden, maker = heapq.heappop(queue)
            if maker.expiry_ns <= now_ns or maker.account == taker.account:
                if passes == bounds[1] or not (maker.expiry_ns <= now_ns or makes_way):
                    return None, passes
                passes += 1
                continue
            if fills == bounds[0]:
                return None, passes
            left, fills, late = left - lots, fills + 1, late + 1
            if left <= 0:
                return fills, passes
            if hidden:
                part = min(maker.display, hidden)
                heapq.heappush(queue, (price, late, part, hidden - part, maker))
        return None, passes

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
        """Let a busted trade go back: what one side gets is what the other, and the venue, lose."""
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

    def market_listed(self, row: Row, event: Row) -> None:
        """A market appears."""
        assert event["market"] == len(self.listings), "market numbers"
        terms = (row["order_id"], row["price_ticks"], row["amount"], row["fee_cap_ppm"])
        least = {"least_pips": row["expiry_ns"]}
        self.listings.append(Listing(row["account"], row["token"], *terms, **least))

    def market_delisted(self, row: Row, event: Row) -> None:
        """A market ends, empty."""
        self.nothing_open_in(event["market"])
        assert self.listings[event["market"]].phase != Phase.DELISTED
        self.listings[event["market"]].phase = Phase.DELISTED

    def nothing_open_in(self, market: int) -> None:
        """Assert that no order of a market survives."""
        assert all(order.market != market for order in self.everything()), "an order is left"

    def poisoned(self, row: Row, event: Row) -> None:
        """One market is halted, unless it is not there or has ended."""
        assert event["outcome"] == Outcome.POISONED
        for name in ("market", "account", "order_id"):
            assert row[name] == event[name], name
        if event["market"] < len(self.listings):
            listing = self.listings[event["market"]]
            if listing.phase != Phase.DELISTED:
                listing.phase = Phase.HALTED

    def market_of(self, row: Row) -> int | None:
        """Return the market whose stops a command lets go first, if it is such a command."""
        if row["kind"] in (Kind.PLACE, Kind.SET_PHASE):
            return row["market"]
        if row["kind"] == Kind.REPLACE:
            order = self.resting.get(row["order_id"]) or self.armed.get(row["order_id"])
            return None if order is None else order.market
        return None

    def forbidden_by(self, row: Row) -> list[Open]:
        """Return the orders that could not stay if this command were carried out."""
        here = [order for order in self.everything() if order.market == row["market"]]
        if row["kind"] != Kind.SET_BAND:
            return here
        band = Listing(*(0,) * 6, low=row["price_ticks"], high=row["amount"])
        return [order for order in here if not band.allows(order.side, order.price)]

    def band_set(self, row: Row, event: Row) -> None:
        """The band moves; what it forbids has left."""
        listing = self.listings[event["market"]]
        listing.low, listing.high = event["price_ticks"], event["amount"]
        assert (listing.low, listing.high) == (row["price_ticks"], row["amount"]), "which band"
        for order in self.everything():
            if order.market == event["market"]:
                assert listing.allows(order.side, order.price), "it could trade outside the band"

    def check_price(self, row: Row, order: Open) -> None:
        """A post-only order meets nobody; priced again, it stands one tick behind the first."""
        if not row["flags"] & OrderFlag.POST_ONLY:
            assert order.price == row["price_ticks"], "whose price is this?"
            return
        sign = toward(order.side)
        first = self.first(order.market, 1 - order.side)
        if first is not None and sign * row["price_ticks"] >= sign * first.price:
            assert row["flags"] & OrderFlag.REPRICE and order.price == first.price - sign
        else:
            assert order.price == row["price_ticks"], "priced again without need"

    def like(self, event: Row, order: Open, order_left: int) -> None:
        """Assert that an event describes ``order``."""
        told = [event[n] for n in ("market", "side", "account", "order_id", "price_ticks")]
        known = [order.market, order.side, order.account, order.order_id, order.price]
        assert told == known, "whose order?"
        assert event["amount"] == order.lots and event["maker_left"] == order.hidden, "I5: lots"
        assert event["order_left"] == order_left

    def leave(self, event: Row) -> None:
        """Forget an order that was cancelled."""
        order_id = event["order_id"]
        where = self.armed if order_id in self.armed else self.resting
        order = where.pop(order_id)
        self.like(event, order, order.trigger)

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
