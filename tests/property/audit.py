"""Do the events alone tell a lawful story? A third judge that knows neither engine.

Both engines could make the same mistake. The audit rebuilds books and balances from commands and
events and asserts the invariants that only show over time (I1, I3 to I7, I9, I10): who had to be
met next, at which price, which stop had to wake, and why each order left.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.commands import Commands, Kind
from engine.events import EventKind, Events
from engine.types import (
    ALL_ACCOUNTS,
    ALL_MARKETS,
    PRICE_MAX,
    Limits,
    OrderFlag,
    Outcome,
    Phase,
    Side,
    TimeInForce,
)
from tests.property.auctioneer import TRADING, Auctioneer
from tests.property.budget import Budget
from tests.property.purse import Purse
from tests.property.refusals import may_be_true
from tests.property.shadow import Listing, Open, Shadow, toward
from tests.property.switch import Switch
from tests.property.turns import Turns

SELF_MODES = int(OrderFlag.SELF_DECREMENT)
SWEEPS = {
    Kind.CANCEL_ALL,
    Kind.CLOCK,
    Kind.DELIST,
    Kind.EXIT_BEGIN,
    Kind.SET_BAND,
    Kind.SET_TERMS,
}
BOUNDED = SWEEPS - {Kind.EXIT_BEGIN}
"""What cancels no more than one command may; an account that leaves or owes loses all it has."""
MATCHING = {Kind.PLACE, Kind.REPLACE, Kind.SET_PHASE}
Row = dict[str, int]


class Audit:
    """Follows one engine from its first command."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sequence = self.index = self.trade_id = self.time_ns = self.arrivals = 0
        self.shadow = Shadow()
        self.budget = Budget(limits, self.shadow)
        self.auction = Auctioneer(self.shadow, self.budget)
        self.purse = Purse(self.shadow)
        self.switch = Switch(self.shadow, limits.work, lambda: self.time_ns)
        self.ids_seen: set[int] = set()
        self.incoming: Open | None = None
        self.whole: int | None = None
        self.taken = 0
        self.turns = Turns(self.shadow, self.budget)
        self.swept = 0
        """How many orders this command has cancelled, or let expire, all at once."""
        self.refill_due: list[int] = []
        self.met = 0
        """How many lots the own order had that the incoming one met last."""
        self.doomed = False
        """Whether the incoming order may not go on, because of whom it met."""
        self.replaced: Open | None = None
        self.last_slot = 0
        self._take: dict[int, Callable[[Row, Row], None]] = {
            EventKind.MARKET_LISTED: self.shadow.market_listed,
            EventKind.TERMS_SET: self.terms_set,
            EventKind.MARKET_DELISTED: self.shadow.market_delisted,
            EventKind.BAND_SET: self.shadow.band_set,
            EventKind.PHASE_SET: self.phase_set,
            EventKind.POISONED: self.shadow.poisoned,
            EventKind.DEPOSITED: self.purse.money_in,
            EventKind.WITHDRAWN: self.purse.money_out,
            EventKind.EXIT_ENDED: self.purse.money_out,
            EventKind.EXIT_BEGUN: self.purse.leaving,
            EventKind.TRADE_BUSTED: self.purse.busted,
            EventKind.TOKEN_LISTED: lambda *_: None,
            EventKind.ACCOUNT_OPENED: lambda *_: None,
            EventKind.ACCEPTED: self.accepted,
            EventKind.ARMED: self.armed,
            EventKind.TRIGGERED: self.triggered,
            EventKind.TRADE: self.trade,
            EventKind.REFILLED: self.refilled,
            EventKind.RESTED: self.rested,
            EventKind.UNFILLED: self.unfilled,
            EventKind.AMENDED: self.amended,
            EventKind.CANCELLED: self.cancelled,
            EventKind.CANCELLED_ALL: self.cancelled_all,
            EventKind.CANCEL_AFTER_SET: self.switch.set,
            EventKind.UNCROSSED: self.auction.uncrossed,
        }

    # Commands.

    def follow(self, commands: Commands, events: Events) -> None:
        """Take one batch with all its events."""
        bounds = np.searchsorted(events["sequence"], commands["sequence"])
        names, columns = commands.dtype.names or (), events.dtype.names or ()
        rows = [dict(zip(names, values, strict=True)) for values in commands.tolist()]
        told = [dict(zip(columns, values, strict=True)) for values in events.tolist()]
        for i, row in enumerate(rows):
            end = bounds[i + 1] if i + 1 < len(rows) else len(told)
            self.sequence += 1
            assert row["sequence"] == self.sequence, "I7: command numbers"
            self.time_ns = max(self.time_ns, row["time_ns"])
            self.one(row, told[bounds[i] : end])

    def one(self, row: Row, events: list[Row]) -> None:
        """Take one command with its events."""
        for event in events:
            self.index += 1
            assert event["index"] == self.index, "I7: event numbers"
        events = self.switch.fire(events)
        assert events or row["kind"] == Kind.CLOCK, "I7: a command without an answer"
        self.incoming, self.replaced, self.last_slot, self.swept = None, None, 0, 0
        self.budget.begin()
        self.turns.begin(self.shadow.market_of(row))
        refused = bool(events) and events[-1]["kind"] == EventKind.REJECTED
        if not refused:
            self.turns.reach = self.auction.prepare(row, self.time_ns, self.turns.reach)
        for event in events[:-1] if refused else events:
            due = self.refill_due[0] if self.refill_due else None
            refills = event["kind"] == EventKind.REFILLED
            assert (due is not None) == refills, "I4: a part is shown when the last one is gone"
            self._take[event["kind"]](row, event)
        if refused:
            self.refused(row, events)
        else:
            self.finish(row)

    def refused(self, row: Row, events: list[Row]) -> None:
        """A refusal is true, and nothing came before it but stops whose turn it was."""
        why, turn = events[-1]["outcome"], self.turns.market
        assert 100 <= why < 150 and (turn is not None or len(events) == 1), "I10"
        if turn is not None and row["kind"] != Kind.SET_PHASE:
            self.not_in_the_middle()
            assert self.turns.keeps_out(row) == (why == Outcome.STOPS_PENDING), "whose turn?"
        elif why == Outcome.TOO_MANY_ORDERS:
            assert len(self.shadow.forbidden_by(row)) > self.limits.work, "refused"
        if why != Outcome.STOPS_PENDING:
            assert may_be_true(self.shadow, row, why, self.time_ns), "refused"
        else:
            assert turn is not None, "nobody was to go first"

    def finish(self, row: Row) -> None:
        """After the last event of a command nothing may be left to be done."""
        shadow, market = self.shadow, row["market"]
        self.not_in_the_middle()
        self.purse.finish()
        assert not self.refill_due, "I4: the next part was never shown"
        assert self.auction.price is None, "an auction without a last word"
        if row["kind"] == Kind.CLOCK:
            self.turns.end()
            for number, reach in sorted(self.budget.pending.items()):
                self.budget.keep(number, reach)
            left = [order for order in shadow.everything() if order.expiry_ns <= self.time_ns]
            assert not left or self.swept == self.limits.work, "the dead live on"
        if row["kind"] in BOUNDED:
            assert self.swept <= self.limits.work, "too much for one command"
        if row["kind"] == Kind.REPLACE:
            assert self.replaced is not None, "the old order is still there"
        if self.replaced is not None:
            market = self.replaced.market
        if market < len(shadow.listings):
            if row["kind"] in MATCHING and shadow.listings[market].phase == Phase.OPEN:
                self.budget.keep(market, self.turns.reach)
            if shadow.listings[market].phase in TRADING:
                assert not shadow.is_crossed(market), "I3: crossed"

    def not_in_the_middle(self) -> None:
        """Between two orders that come in: was the last one dealt with?"""
        order = self.incoming
        if order is not None and order.lots == 0:
            fok = order.tif == TimeInForce.FOK
            assert not fok or self.budget.fills == self.whole, "FOK: filled though it could not be"
            self.incoming = None
        assert self.incoming is None, "I5: lots without a fate"

    # Markets.

    def terms_set(self, row: Row, event: Row) -> None:
        """Lot, tick and fees change in an empty market."""
        self.shadow.nothing_open_in(event["market"])
        self.budget.pending.pop(event["market"], None)
        self.auction.kept.pop(event["market"], None)
        old = self.shadow.listings[event["market"]]
        terms = (row["order_id"], row["price_ticks"], row["amount"], row["fee_cap_ppm"])
        self.shadow.listings[event["market"]] = Listing(
            old.base, old.quote, *terms, phase=old.phase, least_pips=row["expiry_ns"]
        )

    def phase_set(self, row: Row, event: Row) -> None:
        """A market opens, closes or collects for an auction."""
        listing = self.shadow.listings[event["market"]]
        assert row["amount"] < Phase.DELISTED != listing.phase, "which phase"
        assert event["amount"] == self.auction.phase_after(row, event, listing.phase), "which phase"
        listing.phase = event["amount"]

    # Orders that come.

    def accepted(self, row: Row, event: Row) -> None:
        """An order comes in; its phase, band and terms must have allowed it."""
        if self.turns.market is not None:
            self.not_in_the_middle()
            assert not self.turns.keeps_out(row), "stops had to go first"
        self.turns.begin(None)
        order_id, flags = event["order_id"], row["flags"]
        assert order_id > 0 and order_id not in self.ids_seen, "an id was given twice"
        self.ids_seen.add(order_id)
        assert row["kind"] in (Kind.PLACE, Kind.REPLACE) and self.incoming is None
        if row["kind"] == Kind.PLACE:
            assert (row["market"], row["side"]) == (event["market"], event["side"])
        assert (row["account"], row["amount"]) == (event["account"], event["amount"])
        assert self.shadow.exits[event["account"]] == 0, "an order of somebody who is leaving"
        assert not self.shadow.owes(event["account"]), "an order of somebody who owes"
        listing = self.shadow.listings[event["market"]]
        assert listing.allows(event["side"], row["price_ticks"]), "outside the band"
        assert 1 <= row["price_ticks"] <= PRICE_MAX and row["expiry_ns"] > self.time_ns
        assert listing.takes(row), "an order the phase forbids"
        order = Open(
            order_id,
            event["market"],
            event["side"],
            event["account"],
            event["price_ticks"],
            event["amount"],
            0,
            row["expiry_ns"],
            row["tif"],
            flags,
        )
        self.shadow.check_price(row, order)
        if flags & OrderFlag.ICEBERG:
            order.display = row["order_id"]
            if row["kind"] == Kind.REPLACE:
                assert self.replaced is not None and self.replaced.display, "it hid nothing"
                order.display = self.replaced.display
        if flags & OrderFlag.STOP:
            order.trigger = row["order_id"]
            away = toward(order.side) * (order.trigger - listing.last)
            assert listing.last == 0 or away > 0, "a stop that the last trade has reached"
        assert not self.shadow.is_small(order), "an order below the least notional"
        self.begin(order)

    def begin(self, order: Open) -> None:
        """An order begins to be matched, placed or woken."""
        self.not_in_the_middle()
        self.incoming, self.taken, self.met = order, order.lots, 0
        self.doomed = False
        makes_way = order.flags & SELF_MODES == OrderFlag.SELF_EXPIRE_MAKER
        self.whole = self.budget.comes_in(order, self.time_ns, makes_way=makes_way)

    def armed(self, row: Row, event: Row) -> None:
        """A stop waits."""
        order = self.incoming
        assert order is not None and order.trigger and self.budget.fills == 0, "what is armed here?"
        self.shadow.like(event, order, order.trigger)
        order.arrival = self.now()
        self.shadow.armed[order.order_id] = order
        self.incoming = None

    def triggered(self, row: Row, event: Row) -> None:
        """A stop wakes: the one whose turn it is."""
        stop = self.shadow.armed[event["order_id"]]
        assert self.shadow.listings[stop.market].phase == Phase.OPEN, "a stop in a closed market"
        self.not_in_the_middle()
        self.turns.take(row, stop)
        assert stop.expiry_ns > self.time_ns, "a dead stop woke"
        self.shadow.like(event, stop, stop.trigger)
        del self.shadow.armed[stop.order_id]
        stop.trigger = 0
        self.begin(stop)

    def listing_of(self, order: Open) -> Listing:
        """Return the market of an order."""
        return self.shadow.listings[order.market]

    def now(self, *, again: bool = False) -> int:
        """Return the next moment at which somebody joins a queue; not one too many may anew."""
        self.arrivals += 1
        account = self.incoming.account if self.incoming else None
        count = sum(order.account == account for order in self.shadow.everything())
        assert again or count < self.limits.account_orders, "too many orders"
        return self.arrivals

    def rested(self, row: Row, event: Row) -> None:
        """What is left of an order joins the end of its queue, an iceberg's in parts."""
        order = self.incoming
        assert order is not None and order.lots > 0 and order.tif == TimeInForce.GTC, "who rests?"
        assert not self.doomed, "I9: it could not go on"
        total = order.lots
        if order.display:
            order.lots = min(order.display, total)
            order.hidden = total - order.lots
        self.shadow.like(event, order, 0)
        order.arrival = self.now()
        self.shadow.resting[order.order_id] = order
        self.incoming = None

    def unfilled(self, row: Row, event: Row) -> None:
        """The rest of an order is dropped, for a reason that is true."""
        order, why = self.incoming, event["outcome"]
        assert order is not None and order.lots > 0, "what is dropped?"
        self.shadow.like(event, order, 0)
        first = self.shadow.first(order.market, 1 - order.side)
        sign = toward(order.side)
        meets = first is not None and sign * first.price <= sign * order.price
        if why == Outcome.NOT_FILLABLE_WHOLE:
            assert order.tif == TimeInForce.FOK and self.whole is None, "it could have been filled"
            assert order.lots == self.taken, "FOK: whole or not at all"
        elif why == Outcome.IMMEDIATE_REMAINDER:
            assert order.tif == TimeInForce.IOC and not meets, "it stopped too early"
        elif why == Outcome.FILLS_EXHAUSTED:
            assert self.budget.fills == self.budget.fills_max(order) and meets, "it may go on"
        elif why == Outcome.WORK_EXHAUSTED:
            assert self.budget.passes == self.budget.passes_each, "it may go on"
            assert meets and first is not None, "it met nobody"
            assert first.expiry_ns <= self.time_ns or first.account == order.account
        else:
            assert why == Outcome.SELF_TRADE, "why?"
            stays = order.flags & SELF_MODES == 0
            own = meets and first is not None and first.account == order.account
            assert own if stays else self.doomed, "I9: it met nobody of its own"
            if stays:
                self.budget.passed()
        if order.tif == TimeInForce.FOK:
            assert why == Outcome.NOT_FILLABLE_WHOLE, "FOK: whole or not at all"
        self.incoming = None

    # Trades.

    def trade(self, row: Row, event: Row) -> None:
        """I4, I5, I6, I7 and I9 of one trade; then the money moves."""
        self.trade_id += 1
        assert event["trade_id"] == self.trade_id, "I7: trade numbers"
        if event["outcome"] == Outcome.AUCTION:
            taker, maker = self.auction.pair(event)
            self.budget.matched()
        else:
            taker, maker = self.continuous_pair(event)
        assert maker.account == event["maker_account"] != event["account"], "I9: self trade"
        assert taker.account == event["account"] and taker.side == event["side"]
        lots, price = event["amount"], event["price_ticks"]
        for order in (taker, maker):
            assert toward(order.side) * price <= toward(order.side) * order.price, "I6: limit"
            assert order.expiry_ns > self.time_ns, "an expired order traded"
        assert 0 < lots == min(taker.lots, maker.lots), "I5: as many as both have in sight"
        for order, name in ((taker, "order_left"), (maker, "maker_left")):
            order.lots -= lots
            assert order.all_lots == event[name], "I5: left"
            if order.order_id in self.shadow.resting:
                self.after_loss(order)
        self.purse.traded(event, taker, maker)
        listing = self.shadow.listings[taker.market]
        listing.last = price
        self.turns.reach = self.turns.reach.and_price(price)
        assert listing.high == 0 or listing.low <= price <= listing.high, "outside the band"

    def continuous_pair(self, event: Row) -> tuple[Open, Open]:
        """Return who trades while the market is open: the incoming order and the first it meets."""
        taker = self.incoming
        assert taker is not None and taker.order_id == event["order_id"], "whose trade?"
        assert self.shadow.listings[taker.market].phase == Phase.OPEN, "a trade in a closed market"
        maker = self.shadow.first(taker.market, 1 - taker.side)
        assert maker is not None and maker.order_id == event["maker_id"], "I4: best and oldest"
        assert maker.price == event["price_ticks"], "I6: not the maker's price"
        assert taker.tif != TimeInForce.FOK or self.whole is not None, "FOK: it will not be whole"
        assert not self.doomed, "I9: it could not go on"
        self.budget.traded(taker)
        return taker, maker

    def after_loss(self, order: Open) -> None:
        """A resting order has lost visible lots: it is gone, shows its next part, or stays."""
        if order.all_lots == 0:
            del self.shadow.resting[order.order_id]
        elif order.lots == 0:
            self.refill_due.append(order.order_id)

    def refilled(self, row: Row, event: Row) -> None:
        """An iceberg shows its next part, last in its queue."""
        order = self.shadow.resting[event["order_id"]]
        assert order.order_id == self.refill_due.pop(0), "whose turn is it?"
        order.lots = min(order.display, order.hidden)
        order.hidden -= order.lots
        assert order.lots > 0
        self.shadow.like(event, order, 0)
        order.arrival = self.now(again=True)

    # Orders that shrink or go.

    def amended(self, row: Row, event: Row) -> None:
        """An order has fewer lots without a trade."""
        order_id, lots, hidden = event["order_id"], event["amount"], event["maker_left"]
        rests = order_id in self.shadow.resting
        order = self.shadow.resting.get(order_id) or self.shadow.armed.get(order_id)
        order = order or self.incoming
        assert order is not None and order.order_id == order_id, "whose order?"
        lost, lost_in_sight = order.all_lots - lots - hidden, order.lots - lots
        assert lost > 0 and event["order_left"] == (lost_in_sight if rests else 0), "I5: lots"
        if self.auction.price is not None:
            assert event["outcome"] == Outcome.SELF_TRADE and hidden == order.hidden
            self.auction.lose(order, lost)
        else:
            assert lots > 0 and (lost_in_sight == 0 or hidden == 0), "hidden lots go first"
            self.why_smaller(row, event, order, lost)
        order.lots, order.hidden = lots, hidden
        if rests:
            self.after_loss(order)

    def why_smaller(self, row: Row, event: Row, order: Open, lost: int) -> None:
        """Its owner asked for it, or it met an order of its own account and both lost as many."""
        taker = self.incoming
        if event["outcome"] == Outcome.ACCEPTED:
            assert row["kind"] == Kind.AMEND and row["order_id"] == order.order_id, "who asked?"
            assert order.account == row["account"] and order.all_lots - lost == row["amount"]
            notional = self.listing_of(order).notional(row["amount"], order.trigger or order.price)
            assert notional >= self.listing_of(order).least_pips, "below the least notional"
            assert self.listing_of(order).phase != Phase.HALTED, "it stands still"
            return
        assert event["outcome"] == Outcome.SELF_TRADE and taker is not None, "why?"
        assert taker.flags & SELF_MODES == OrderFlag.SELF_DECREMENT, "I9: uncalled"
        if order is taker:
            assert lost == self.met, "I9: as many as the one it met had"
        else:
            assert order is self.shadow.first(order.market, 1 - taker.side), "I9: not met"
            assert order.account == taker.account and lost == taker.lots, "I9: all of the other"
            self.met, self.doomed = lost, True
            self.budget.passed()

    def cancelled(self, row: Row, event: Row) -> None:
        """An order is gone, for a reason that is true."""
        order_id, why, kind = event["order_id"], event["outcome"], row["kind"]
        order = self.shadow.resting.get(order_id) or self.shadow.armed[order_id]
        if why == Outcome.EXPIRED:
            assert order.expiry_ns <= self.time_ns, "removed before its time"
            over = self.auction.is_over
            if self.turns.expires(row, order, swept=self.swept, auction_over=over):
                self.not_in_the_middle()
                self.turns.take(row, order)
                self.shadow.leave(event)
                return
            if kind == Kind.CLOCK and self.incoming and self.incoming.lots:  # A stop has met it.
                assert self.shadow.first(order.market, 1 - self.incoming.side) is order, "not met"
                self.budget.passed()
                self.shadow.leave(event)
                return
            if kind in (Kind.PLACE, Kind.REPLACE):
                self.budget.passed()
            self.budget.work += kind == Kind.SET_PHASE
        elif why == Outcome.SELF_TRADE:
            self.self_traded(order)
        else:
            reasons = {
                Outcome.CANCELLED_BY_OWNER: kind == Kind.CANCEL_ALL
                or (kind == Kind.CANCEL and row["order_id"] == order_id),
                Outcome.EXITING: kind == Kind.EXIT_BEGIN,
                Outcome.REPLACED: kind == Kind.REPLACE and row["order_id"] == order_id,
                Outcome.TERMS_CHANGED: kind == Kind.SET_TERMS and order.market == row["market"],
                Outcome.DELISTED: kind == Kind.DELIST and order.market == row["market"],
                Outcome.CANCELLED_BY_OPERATOR: kind == Kind.CANCEL_ALL
                and row["account"] == ALL_ACCOUNTS,
                Outcome.BAND_MOVED: kind == Kind.SET_BAND and order.market == row["market"],
                Outcome.IN_DEBT: self.purse.may_cancel(row, order.account),
            }
            assert reasons[Outcome(why)], "why?"
            owners = (Outcome.CANCELLED_BY_OWNER, Outcome.EXITING, Outcome.REPLACED)
            assert why not in owners or order.account == row["account"], "whose order?"
        if why == Outcome.BAND_MOVED:
            outside = Listing(*(0,) * 6, low=row["price_ticks"], high=row["amount"])
            assert not outside.allows(order.side, order.price), "it was inside"
        if why == Outcome.REPLACED:
            self.replaced = order
        self.swept += kind not in (Kind.PLACE, Kind.REPLACE, Kind.SET_PHASE)
        if kind in SWEEPS:
            assert order.slot > self.last_slot, "in slot order"
            self.last_slot = order.slot
        self.shadow.leave(event)

    def self_traded(self, order: Open) -> None:
        """I9: an order leaves because it met one of its own account."""
        if self.auction.price is not None:
            assert order.hidden == 0, "an iceberg that could have gone on"
            self.auction.lose(order, order.lots)
            return
        assert self.incoming is not None and self.incoming.flags & SELF_MODES, "I9: uncalled"
        assert order.account == self.incoming.account, "I9: whose order?"
        assert self.shadow.first(order.market, 1 - self.incoming.side) is order, "I9: not met"
        assert not self.doomed, "I9: it could not go on"
        self.budget.passed()
        self.met, mode = order.all_lots, self.incoming.flags & SELF_MODES
        self.doomed = mode == OrderFlag.SELF_EXPIRE_BOTH
        if mode == OrderFlag.SELF_DECREMENT:
            assert order.all_lots <= self.incoming.lots, "I9: the larger one stays"
            self.doomed = order.all_lots == self.incoming.lots

    def cancelled_all(self, row: Row, event: Row) -> None:
        """Nobody it was about has an order left, unless they were too many for one command."""
        account, where = event["account"], event["market"]
        assert (account, where) == (row["account"], row["market"])
        by = Outcome.CANCELLED_BY_OPERATOR if account == ALL_ACCOUNTS else Outcome.ACCEPTED
        assert event["outcome"] == by
        left = [
            order
            for order in self.shadow.everything()
            if account in (order.account, ALL_ACCOUNTS) and where in (order.market, ALL_MARKETS)
        ]
        assert event["amount"] == self.swept, "how many are gone"
        assert event["order_left"] == len(left), "how many are left"
        assert not left or self.swept == self.limits.work, "an order survived"

    # What the engine itself says.

    def agree(self, engine: Any, accounts: int, tokens: int) -> None:
        """I1 and I2: the engine's balances and books are what the events add up to."""
        shadow, held = self.shadow, self.shadow.held()
        for account in range(accounts):
            for token in range(tokens):
                assert engine.held(account, token) == held.get((account, token), 0), "I2"
                found = engine.available(account, token) + engine.held(account, token)
                assert found == shadow.owned[account, token], (account, token)
        for token in range(tokens):
            assert engine.fees(token) == shadow.fees[token] >= 0, token
        assert engine.orders_live == len(shadow.resting) + len(shadow.armed)
        for number in range(len(shadow.listings)):
            for side in Side:
                assert engine.depth(number, side, 1000) == shadow.depth(number, side)
