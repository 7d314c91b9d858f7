"""Do the events alone tell a lawful story? A third judge that knows neither engine.

Both engines could make the same mistake. The audit rebuilds books and balances from commands and
events and asserts the invariants that only show over time (I1, I3 to I7, I9).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.commands import Commands, Kind
from engine.events import EventKind, Events
from engine.types import (
    ALL_MARKETS,
    FILLS_MAX,
    OrderFlag,
    Outcome,
    Phase,
    Side,
    TimeInForce,
    fee_pips,
)

SELF_MODES = int(OrderFlag.SELF_DECREMENT)


@dataclass
class Open:
    """An order that still has open lots."""

    market: int
    side: int
    account: int
    price: int
    lots: int
    arrival: int
    expiry_ns: int


class Audit:
    """Follows one engine from its first command."""

    def __init__(self) -> None:
        self.sequence = self.index = self.trade_id = self.time_ns = 0
        self.listings: list[np.void] = []
        self.owned: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.phases: defaultdict[int, Phase] = defaultdict(lambda: Phase.OPEN)
        self.fees: defaultdict[int, int] = defaultdict(int)
        self.ids_seen: set[int] = set()
        self.resting: dict[int, Open] = {}
        self.incoming: tuple[int, Open] | None = None
        self.whole = False

    def follow(self, commands: Commands, events: Events) -> None:
        """Take one batch with all its events."""
        bounds = np.searchsorted(events["sequence"], commands["sequence"])
        for i, row in enumerate(commands):
            end = bounds[i + 1] if i + 1 < len(commands) else len(events)
            self.sequence += 1
            assert row["sequence"] == self.sequence, "I7: command numbers"
            self.time_ns = max(self.time_ns, int(row["time_ns"]))
            self.one(row, events[bounds[i] : end])

    def one(self, row: np.void, events: Events) -> None:
        """Take one command with its events."""
        assert len(events) or row["kind"] == Kind.CLOCK, "I7: a command without an answer"
        self.incoming = None
        for event in events:
            self.index += 1
            assert event["index"] == self.index, "I7: event numbers"
            if event["kind"] == EventKind.REJECTED:
                assert len(events) == 1 and 100 <= event["outcome"] < 150, "I10"
                return
            self.take(row, event)
        if row["kind"] == Kind.PLACE and row["tif"] == TimeInForce.FOK:
            traded = int(events["amount"][events["kind"] == EventKind.TRADE].sum())
            assert traded == (row["amount"] if self.whole else 0), "FOK: whole or not at all"
            assert self.whole or len(events) == 2, "FOK: a dropped order touched the book"
        assert self.incoming is None or self.incoming[1].lots == 0, "I5: lots without a fate"
        self.not_crossed(int(row["market"]))

    def take(self, row: np.void, event: np.void) -> None:
        """Take one event that is no refusal."""
        kind, order_id = EventKind(event["kind"]), int(event["order_id"])
        owner = int(event["account"]), int(event["token"])
        if kind == EventKind.MARKET_LISTED:
            self.listings.append(row.copy())
        elif kind == EventKind.DEPOSITED:
            self.owned[owner] += int(event["amount"])
        elif kind in (EventKind.WITHDRAWN, EventKind.EXIT_ENDED):
            self.owned[owner] -= int(event["amount"])
        elif kind == EventKind.ACCEPTED:
            assert order_id > 0 and order_id not in self.ids_seen, "an id was given twice"
            self.ids_seen.add(order_id)
            self.incoming = (order_id, self.opened(row, event))
            self.whole = self.fills_whole(row)
        elif kind == EventKind.TRADE:
            self.trade(event)
        elif kind == EventKind.CANCELLED:
            gone = self.resting.pop(order_id)
            assert gone.lots == event["amount"], "I5: cancelled lots"
            if event["outcome"] == Outcome.EXPIRED:
                assert gone.expiry_ns <= self.time_ns, "removed before its time"
            elif event["outcome"] == Outcome.SELF_TRADE:
                assert self.incoming is not None and int(row["flags"]) & SELF_MODES, "I9: uncalled"
                assert gone.account == self.incoming[1].account, "I9: whose order?"
        elif kind == EventKind.AMENDED:
            self.amended(row, event)
        elif kind == EventKind.PHASE_SET:
            self.phases[int(event["market"])] = Phase(event["amount"])
        elif kind == EventKind.CANCELLED_ALL:
            where = int(event["market"])
            left = [
                order
                for order in self.resting.values()
                if order.account == event["account"] and where in (order.market, ALL_MARKETS)
            ]
            assert not left, "an order survived"
        elif kind in (EventKind.RESTED, EventKind.UNFILLED):
            self.finish(kind, order_id, event)

    def fills_whole(self, row: np.void) -> bool:
        """Return whether this order must be filled to its last lot, were it to be whole."""
        toward = 1 if row["side"] == Side.BUY else -1
        lots, fills = int(row["amount"]), 0
        makers = [
            order
            for order in self.resting.values()
            if (order.market, order.side) == (row["market"], 1 - row["side"])
            and toward * order.price <= toward * row["price_ticks"]
            and order.expiry_ns > self.time_ns
        ]
        for maker in sorted(makers, key=lambda order: (toward * order.price, order.arrival)):
            if maker.account != row["account"]:
                lots, fills = lots - maker.lots, fills + 1
            elif int(row["flags"]) & SELF_MODES != OrderFlag.SELF_EXPIRE_MAKER:
                return False
            if lots <= 0:
                return fills <= FILLS_MAX or not int(row["flags"]) & OrderFlag.SINGLE_SHOT
        return False

    def amended(self, row: np.void, event: np.void) -> None:
        """An order has fewer lots; if it rests they have left the book."""
        order_id, lots, gone = (int(event[name]) for name in ("order_id", "amount", "order_left"))
        if self.incoming is not None and self.incoming[0] == order_id:
            order = self.incoming[1]
            assert gone == 0 and event["outcome"] == Outcome.SELF_TRADE, "not in the book yet"
        else:
            order = self.resting[order_id]
            assert gone == order.lots - lots, "I5: lots that left the book"
        by_owner = row["kind"] == Kind.AMEND and row["order_id"] == order_id
        assert by_owner == (event["outcome"] == Outcome.ACCEPTED), "who asked?"
        assert 0 < lots < order.lots and order.account == row["account"], "I5: amended"
        order.lots = lots

    def opened(self, row: np.void, event: np.void) -> Open:
        """Return the incoming order; the event must repeat what was ordered."""
        for name in ("market", "side", "account", "price_ticks", "amount"):
            assert row[name] == event[name], name
        phase = self.phases[int(row["market"])]
        if phase != Phase.OPEN:
            posts = int(row["flags"]) & OrderFlag.POST_ONLY
            assert posts and phase == Phase.POST_ONLY, "an order the phase forbids"
        return Open(
            int(row["market"]),
            int(row["side"]),
            int(row["account"]),
            int(row["price_ticks"]),
            int(row["amount"]),
            self.sequence,
            int(row["expiry_ns"]),
        )

    def finish(self, kind: EventKind, order_id: int, event: np.void) -> None:
        """The incoming order rests or its rest is dropped."""
        assert self.incoming is not None and self.incoming[0] == order_id, "whose order?"
        order = self.incoming[1]
        assert order.lots == event["amount"] > 0, "I5: lots left"
        if kind == EventKind.RESTED:
            self.resting[order_id] = order
            self.incoming = None
        else:
            order.lots = 0

    def trade(self, event: np.void) -> None:
        """I4, I5, I6 and I9 of one trade; then the money moves."""
        self.trade_id += 1
        assert event["trade_id"] == self.trade_id, "I7: trade numbers"
        assert self.incoming is not None and self.incoming[0] == event["order_id"], "whose trade?"
        taker, maker_id = self.incoming[1], int(event["maker_id"])
        maker, lots, price = self.resting[maker_id], int(event["amount"]), int(event["price_ticks"])
        assert maker.account == event["maker_account"] != taker.account, "I9: self trade"
        assert price == maker.price, "I6: not the maker's price"
        assert self.phases[taker.market] == Phase.OPEN, "a trade in a closed market"
        toward = 1 if taker.side == Side.BUY else -1
        assert toward * price <= toward * taker.price, "I6: beyond the taker's limit"
        assert maker.expiry_ns > self.time_ns, "an expired order traded"
        queue = [
            other
            for other in self.resting.values()
            if (other.market, other.side) == (taker.market, 1 - taker.side)
        ]
        first = min(queue, key=lambda other: (toward * other.price, other.arrival))
        assert first is maker, "I4: not the best and oldest"

        assert 0 < lots <= min(taker.lots, maker.lots), "I5"
        taker.lots -= lots
        maker.lots -= lots
        assert (taker.lots, maker.lots) == (event["order_left"], event["maker_left"]), "I5: left"
        if maker.lots == 0:
            del self.resting[maker_id]
        self.move(event, taker, maker, lots, price)

    def move(self, event: np.void, taker: Open, maker: Open, lots: int, price: int) -> None:
        """I6: the buyer's debit is the seller's credit and the fees, exactly."""
        listing = self.listings[taker.market]
        base, quote = int(listing["account"]), int(listing["token"])
        base_pips = lots * int(listing["order_id"])
        notional = lots * price * int(listing["price_ticks"])
        for order, name, ppm in (
            (taker, "fee_pips", listing["fee_cap_ppm"]),
            (maker, "maker_fee_pips", listing["amount"]),
        ):
            fee = fee_pips(notional, int(ppm))
            assert event[name] == fee, name
            sign = 1 if order.side == Side.BUY else -1
            self.owned[order.account, base] += sign * base_pips
            self.owned[order.account, quote] -= sign * notional + fee
            self.fees[quote] += fee

    def not_crossed(self, market: int) -> None:
        """I3: no bid at or above an ask."""
        here = [order for order in self.resting.values() if order.market == market]
        bid = max((order.price for order in here if order.side == Side.BUY), default=0)
        ask = min((order.price for order in here if order.side == Side.SELL), default=2**63)
        assert bid < ask, "I3: crossed"

    def agree(self, engine: Any, accounts: int, tokens: int) -> None:
        """I1: the engine's balances are what the events add up to."""
        for account in range(accounts):
            for token in range(tokens):
                found = engine.available(account, token) + engine.held(account, token)
                assert found == self.owned[account, token] >= 0, (account, token)
        for token in range(tokens):
            assert engine.fees(token) == self.fees[token], token
        assert engine.orders_live == len(self.resting)
