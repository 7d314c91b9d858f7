"""How does a test draw a book, speak to an engine and read what it answered?

A book is drawn as a ladder, best prices in the middle, each queue with its oldest order first::

    103 sell  Carol 5
    101 sell  Alice 3, Bob 7+20
     99 buy   Dave 10

Bob's order is an iceberg that shows 7 lots and hides 20.

``Driver`` stands before one engine: it stamps commands, knows the accounts by name and says events
in words. The ladder it draws is folded from events alone and compared with the engine's own depth.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from engine.commands import Kind, batch_of, command, list_market, set_terms
from engine.events import EventKind, Events
from engine.types import (
    ALL_ACCOUNTS,
    ALL_MARKETS,
    UNBOUNDED,
    Limits,
    OrderFlag,
    Outcome,
    Phase,
    Side,
    TimeInForce,
)

BASE, QUOTE = 0, 1
LOT_PIPS: Final = 10
TICK_PIPS: Final = 1000
MAKER_PPM: Final = 200
TAKER_PPM: Final = 1000
FUNDS: Final = 10**12
NAMES: Final = ("Alice", "Bob", "Carol", "Dave", "Tara")
SMALL: Final = Limits(tokens=4, markets=2, accounts=8, orders=64, ladder_ticks=4096)
FOREVER_NS: Final = 2**62

SIDES = {"buy": Side.BUY, "sell": Side.SELL}


@dataclass
class Resting:
    """One order of the ladder."""

    name: str
    side: Side
    price: int
    lots: int
    hidden: int = 0

    def __str__(self) -> str:
        return f"{self.name} {size(self.lots, self.hidden)}"


@dataclass(frozen=True)
class Armed:
    """One stop that waits."""

    name: str
    side: Side
    price: int
    lots: int
    trigger: int

    def __str__(self) -> str:
        verb = self.side.name.lower()
        return f"{self.name} {verb} {self.lots} at {self.price} from {self.trigger}"


def size(lots: int, hidden: int) -> str:
    """Return visible and hidden lots as a ladder has them."""
    return f"{lots}+{hidden}" if hidden else f"{lots}"


def parse(drawing: str) -> list[Resting]:
    """Return the orders of a ladder, level by level from the top, oldest first in each level."""
    orders = []
    for line in drawing.strip().splitlines():
        price, side, queue = line.split(maxsplit=2)
        for entry in queue.split(","):
            name, lots = entry.split()
            visible, _, hidden = lots.partition("+")
            orders.append(Resting(name, SIDES[side], int(price), int(visible), int(hidden or 0)))
    return orders


def draw(orders: list[Resting]) -> str:
    """Return the ladder of ``orders``, which are in order of arrival."""
    levels: dict[tuple[int, Side], list[Resting]] = {}
    for order in orders:
        levels.setdefault((order.price, order.side), []).append(order)
    return "\n".join(
        f"{price} {side.name.lower()} {', '.join(map(str, levels[price, side]))}"
        for price, side in sorted(levels, reverse=True)
    )


def tidy(drawing: str) -> str:
    """Return a ladder without the spaces that make it pretty."""
    return "\n".join(" ".join(line.split()) for line in drawing.strip().splitlines())


class Driver:
    """One engine with two tokens, one market and five funded accounts."""

    def __init__(self, engine: Any, *, funded: bool = True) -> None:
        self.engine = engine
        self.time_ns = 0
        self.sequence = 0
        self.live: dict[int, Resting] = {}
        self.armed: dict[int, Armed] = {}
        self.send(
            command(Kind.LIST_TOKEN, token=BASE),
            command(Kind.LIST_TOKEN, token=QUOTE),
            list_market(
                0,
                BASE,
                QUOTE,
                lot_pips=LOT_PIPS,
                tick_pips=TICK_PIPS,
                maker_fee_ppm=MAKER_PPM,
                taker_fee_ppm=TAKER_PPM,
            ),
        )
        for account in range(len(NAMES)):
            self.send(command(Kind.OPEN_ACCOUNT, account=account))
            for token in (BASE, QUOTE) if funded else ():
                self.send(command(Kind.DEPOSIT, account=account, token=token, amount=FUNDS))

    def send(self, *rows: np.void) -> Events:
        """Apply ``rows`` as one batch; return the events."""
        commands = batch_of(list(rows))
        commands["sequence"] = np.arange(self.sequence + 1, self.sequence + 1 + len(rows))
        commands["time_ns"] = self.time_ns
        self.sequence += len(rows)
        events = self.engine.apply(commands)
        self.learn(events)
        return events

    def learn(self, events: Events) -> None:
        """Keep the ladder by what the events say."""
        for event in events:
            self._fold(event)

    def _fold(self, event: np.void) -> None:
        kind, order_id = EventKind(event["kind"]), int(event["order_id"])
        lots, hidden = int(event["amount"]), int(event["maker_left"])
        if kind in (EventKind.RESTED, EventKind.REFILLED):
            if kind == EventKind.REFILLED:  # The next part queues behind everybody.
                gone = self.live.pop(order_id)
                assert (gone.lots, gone.hidden) == (0, lots + hidden)
            name, side = NAMES[event["account"]], Side(event["side"])
            price = int(event["price_ticks"])
            self.live[order_id] = Resting(name, side, price, lots, hidden)
        elif kind == EventKind.ARMED:
            self.armed[order_id] = self._armed(event)
        elif kind == EventKind.TRIGGERED:
            assert self.armed.pop(order_id) == self._armed(event)
        elif kind == EventKind.TRADE:
            self._take(int(event["maker_id"]), lots, int(event["maker_left"]))
            if event["outcome"] == Outcome.AUCTION:
                self._take(order_id, lots, int(event["order_left"]))
        elif kind == EventKind.CANCELLED and order_id in self.armed:
            assert self.armed.pop(order_id) == self._armed(event)
        elif kind == EventKind.CANCELLED:
            order = self.live.pop(order_id)
            assert (order.lots, order.hidden, 0) == (lots, hidden, event["order_left"])
        elif kind == EventKind.AMENDED and order_id in self.armed:
            self.armed[order_id] = replace(self.armed[order_id], lots=lots)
        elif kind == EventKind.AMENDED and order_id in self.live:
            order = self.live[order_id]
            assert order.lots == lots + event["order_left"] and order.hidden >= hidden
            order.lots, order.hidden = lots, hidden

    @staticmethod
    def _armed(event: np.void) -> Armed:
        name, side = NAMES[event["account"]], Side(event["side"])
        price, lots, trigger = (
            int(event[field]) for field in ("price_ticks", "amount", "order_left")
        )
        return Armed(name, side, price, lots, trigger)

    def _take(self, order_id: int, lots: int, left: int) -> None:
        """Take traded lots from a resting order that has ``left`` lots now, seen or not."""
        order = self.live[order_id]
        assert order.lots + order.hidden == lots + left and order.lots >= lots
        order.lots -= lots
        if not left:
            del self.live[order_id]

    def place(self, name: str, side: str, lots: int, price: int, **fields: int) -> np.void:
        """Return a PLACE row, good till cancelled unless ``fields`` say otherwise."""
        terms = {"expiry_ns": FOREVER_NS, "fee_cap_ppm": TAKER_PPM} | fields
        return command(
            Kind.PLACE,
            account=NAMES.index(name),
            side=SIDES[side],
            amount=lots,
            price_ticks=price,
            **terms,
        )

    def rest(self, drawing: str) -> None:
        """Place the orders of a ladder; the book must look like it afterwards."""
        for order in parse(drawing):
            lots = order.lots + order.hidden
            row = self.place(order.name, order.side.name.lower(), lots, order.price)
            row["flags"] = OrderFlag.POST_ONLY
            if order.hidden:
                row["flags"] |= OrderFlag.ICEBERG
                row["order_id"] = order.lots
            self.send(row)
        assert self.book() == tidy(drawing)

    def buy(self, name: str, lots: int, price: int, **fields: int) -> list[str]:
        """Place a buy; return what happened in words."""
        return self.words(self.send(self.place(name, "buy", lots, price, **fields)))

    def sell(self, name: str, lots: int, price: int, **fields: int) -> list[str]:
        """Place a sell; return what happened in words."""
        return self.words(self.send(self.place(name, "sell", lots, price, **fields)))

    def stop(
        self, name: str, side: str, lots: int, price: int, trigger: int, **fields: int
    ) -> list[str]:
        """Place a stop; return what happened in words."""
        flags = int(OrderFlag.STOP) | fields.pop("flags", 0)
        row = self.place(name, side, lots, price, order_id=trigger, flags=flags, **fields)
        return self.words(self.send(row))

    def iceberg(
        self, name: str, side: str, lots: int, price: int, shown: int, **fields: int
    ) -> list[str]:
        """Place an iceberg that shows ``shown`` lots at a time; return what happened in words."""
        flags = int(OrderFlag.ICEBERG) | fields.pop("flags", 0)
        row = self.place(name, side, lots, price, order_id=shown, flags=flags, **fields)
        return self.words(self.send(row))

    def id_of(self, name: str, price: int) -> int:
        """Return the id of the oldest order of ``name`` at ``price``, resting or armed."""
        orders = {**self.live, **self.armed}
        return next(i for i, o in orders.items() if (o.name, o.price) == (name, price))

    def cancel(self, name: str, order_id: int) -> list[str]:
        """Cancel in the name of ``name``; return what happened in words."""
        row = command(Kind.CANCEL, account=NAMES.index(name), order_id=order_id)
        return self.words(self.send(row))

    def amend(self, name: str, order_id: int, lots: int) -> list[str]:
        """Reduce an order to ``lots`` in the name of ``name``; return what happened in words."""
        account = NAMES.index(name)
        row = command(Kind.AMEND, account=account, order_id=order_id, amount=lots)
        return self.words(self.send(row))

    def replace(self, name: str, order_id: int, lots: int, price: int, **fields: int) -> list[str]:
        """Put another order in the place of one; return what happened in words."""
        terms = {"expiry_ns": FOREVER_NS, "fee_cap_ppm": TAKER_PPM} | fields
        row = command(
            Kind.REPLACE,
            account=NAMES.index(name),
            order_id=order_id,
            amount=lots,
            price_ticks=price,
            **terms,
        )
        return self.words(self.send(row))

    def cancel_after(self, name: str, deadline_ns: int) -> list[str]:
        """Arm or disarm the dead man's switch of ``name``; return what happened in words."""
        account = NAMES.index(name)
        row = command(Kind.CANCEL_AFTER, account=account, expiry_ns=deadline_ns)
        return self.words(self.send(row))

    def cancel_all(self, name: str, market: int = ALL_MARKETS) -> list[str]:
        """Cancel every order of ``name``; return what happened in words."""
        row = command(Kind.CANCEL_ALL, account=NAMES.index(name), market=market)
        return self.words(self.send(row))

    def leave(self, name: str) -> list[str]:
        """Let an account begin its exit; return what happened in words."""
        return self.words(self.send(command(Kind.EXIT_BEGIN, account=NAMES.index(name))))

    def cancel_everybody(self, market: int = ALL_MARKETS) -> list[str]:
        """Cancel every order of all accounts; return what happened in words."""
        row = command(Kind.CANCEL_ALL, account=ALL_ACCOUNTS, market=market)
        return self.words(self.send(row))

    def set_terms(self, **changed: int) -> list[str]:
        """Change the terms of market 0; return what happened in words."""
        terms = {"lot_pips": LOT_PIPS, "tick_pips": TICK_PIPS}
        terms |= {"maker_fee_ppm": MAKER_PPM, "taker_fee_ppm": TAKER_PPM}
        return self.words(self.send(set_terms(0, **(terms | changed))))

    def delist(self, market: int = 0) -> list[str]:
        """Delist a market; return what happened in words."""
        return self.words(self.send(command(Kind.DELIST, market=market)))

    def set_band(self, low: int, high: int) -> list[str]:
        """Bound the prices that may trade in market 0; return what happened in words."""
        return self.words(self.send(command(Kind.SET_BAND, price_ticks=low, amount=high)))

    def phase(self, phase: Phase, market: int = 0) -> list[str]:
        """Put a market into a phase; return what happened in words."""
        return self.words(self.send(command(Kind.SET_PHASE, market=market, amount=phase)))

    def clock(self, time_ns: int) -> list[str]:
        """Let time pass; return what happened in words."""
        self.time_ns = time_ns
        return self.words(self.send(command(Kind.CLOCK)))

    def book(self) -> str:
        """Return the ladder, after asking the engine whether it sees the same depth."""
        for side in Side:
            lots: dict[int, int] = {}
            for order in self.live.values():
                if order.side == side:
                    lots[order.price] = lots.get(order.price, 0) + order.lots
            depth = sorted(lots.items(), reverse=side == Side.BUY)
            assert self.engine.depth(0, side, 1000) == depth
            assert self.engine.best(0, side) == (depth[0][0] if depth else None)
        assert self.engine.orders_live == len(self.live) + len(self.armed)
        return draw(list(self.live.values()))

    def waiting(self) -> list[str]:
        """Return the armed stops in words, in order of arrival."""
        return [str(stop) for stop in self.armed.values()]

    def money(self, name: str) -> tuple[int, int, int, int]:
        """Return base available, base held, quote available, quote held."""
        account, ask = NAMES.index(name), self.engine
        base = ask.available(account, BASE), ask.held(account, BASE)
        return *base, ask.available(account, QUOTE), ask.held(account, QUOTE)

    def words(self, events: Events) -> list[str]:
        """Say each event in a few words; acceptance goes without saying."""
        said = [self._say(event) for event in events]
        return [words for words in said if words]

    @staticmethod
    def _say(event: np.void) -> str:
        kind, outcome = EventKind(event["kind"]), Outcome(event["outcome"])
        amount, price = event["amount"], event["price_ticks"]
        name = "everybody" if event["account"] == ALL_ACCOUNTS else NAMES[event["account"]]
        lots_at = f"{size(amount, event['maker_left'])} at {price}"
        trigger = f" from {event['order_left']}" if event["order_left"] else ""
        why = f": {outcome.name}" if outcome else ""
        match kind:
            case EventKind.ACCEPTED:
                return ""
            case EventKind.REJECTED:
                return f"refused: {outcome.name}"
            case EventKind.TRADE if outcome == Outcome.AUCTION:
                return f"{amount} at {price}: {name} buys from {NAMES[event['maker_account']]}"
            case EventKind.TRADE:
                return f"{amount} at {price} with {NAMES[event['maker_account']]}"
            case EventKind.RESTED:
                return f"rests {lots_at}"
            case EventKind.REFILLED:
                return f"{name} shows {lots_at}"
            case EventKind.ARMED:
                return f"waits {lots_at}{trigger}"
            case EventKind.TRIGGERED:
                return f"{name} wakes {lots_at}{trigger}"
            case EventKind.UNFILLED:
                return f"drops {lots_at}{why}"
            case EventKind.CANCELLED:
                return f"{name} leaves {lots_at}{trigger}{why}"
            case EventKind.AMENDED:
                return f"{name} keeps {lots_at}{why}"
            case EventKind.CANCELLED_ALL:
                left = f", {event['order_left']} left" if event["order_left"] else ""
                return f"{name} cancelled {amount}{why}{left}"
            case EventKind.CANCEL_AFTER_SET:
                return f"{name} cancels after {amount}"
            case EventKind.PHASE_SET:
                return f"phase {Phase(amount).name}{why}"
            case EventKind.BAND_SET:
                return f"band {price} to {amount}"
            case EventKind.UNCROSSED:
                return f"uncrossed {amount} at {price}{why}"
        return kind.name.lower()


IOC: Final = {"tif": int(TimeInForce.IOC)}
FOK: Final = {"tif": int(TimeInForce.FOK)}
POST_ONLY: Final = {"flags": int(OrderFlag.POST_ONLY)}
SINGLE_SHOT: Final = {"tif": int(TimeInForce.IOC), "flags": int(OrderFlag.SINGLE_SHOT)}
LATER_LIMITS: Final = ("account_orders", "fills", "trades", "passes", "work")
BOUNDLESS: Final = dict.fromkeys(LATER_LIMITS, UNBOUNDED)
"""The limits of what one command may do in a journal that was begun before there were any."""
