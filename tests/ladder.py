"""How does a test draw a book, speak to an engine and read what it answered?

A book is drawn as a ladder, best prices in the middle, each queue with its oldest order first::

    103 sell  Carol 5
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10

``Desk`` stands before one engine: it stamps commands, knows the accounts by name and says events in
words. The ladder it draws is folded from events alone and compared with the engine's own depth.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.commands import Kind, batch_of, command, list_market
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, Limits, OrderFlag, Outcome, Phase, Side, TimeInForce

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


def parse(drawing: str) -> list[Resting]:
    """Return the orders of a ladder, level by level from the top, oldest first in each level."""
    orders = []
    for line in drawing.strip().splitlines():
        price, side, queue = line.split(maxsplit=2)
        for entry in queue.split(","):
            name, lots = entry.split()
            orders.append(Resting(name, SIDES[side], int(price), int(lots)))
    return orders


def draw(orders: list[Resting]) -> str:
    """Return the ladder of ``orders``, which are in order of arrival."""
    levels: dict[int, list[Resting]] = {}
    for order in orders:
        levels.setdefault(order.price, []).append(order)
    lines = []
    for price in sorted(levels, reverse=True):
        queue = ", ".join(f"{order.name} {order.lots}" for order in levels[price])
        lines.append(f"{price} {levels[price][0].side.name.lower()} {queue}")
    return "\n".join(lines)


def tidy(drawing: str) -> str:
    """Return a ladder without the spaces that make it pretty."""
    return "\n".join(" ".join(line.split()) for line in drawing.strip().splitlines())


class Desk:
    """One engine with two tokens, one market and five funded accounts."""

    def __init__(self, engine: Any, *, funded: bool = True) -> None:
        self.engine = engine
        self.time_ns = 0
        self.sequence = 0
        self.live: dict[int, Resting] = {}
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
        if kind == EventKind.RESTED:
            side, price = Side(event["side"]), int(event["price_ticks"])
            name = NAMES[event["account"]]
            self.live[order_id] = Resting(name, side, price, int(event["amount"]))
        elif kind == EventKind.TRADE:
            maker_id = int(event["maker_id"])
            self.live[maker_id].lots = int(event["maker_left"])
            if not event["maker_left"]:
                del self.live[maker_id]
        elif kind == EventKind.CANCELLED:
            del self.live[order_id]
        elif kind == EventKind.AMENDED and event["order_left"]:
            assert self.live[order_id].lots == event["amount"] + event["order_left"]
            self.live[order_id].lots = int(event["amount"])

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
            row = self.place(order.name, order.side.name.lower(), order.lots, order.price)
            row["flags"] = OrderFlag.POST_ONLY
            self.send(row)
        assert self.book() == tidy(drawing)

    def buy(self, name: str, lots: int, price: int, **fields: int) -> list[str]:
        """Place a buy; return what happened in words."""
        return self.words(self.send(self.place(name, "buy", lots, price, **fields)))

    def sell(self, name: str, lots: int, price: int, **fields: int) -> list[str]:
        """Place a sell; return what happened in words."""
        return self.words(self.send(self.place(name, "sell", lots, price, **fields)))

    def id_of(self, name: str, price: int) -> int:
        """Return the id of the oldest resting order of ``name`` at ``price``."""
        return next(i for i, o in self.live.items() if (o.name, o.price) == (name, price))

    def cancel(self, name: str, order_id: int) -> list[str]:
        """Cancel in the name of ``name``; return what happened in words."""
        row = command(Kind.CANCEL, account=NAMES.index(name), order_id=order_id)
        return self.words(self.send(row))

    def amend(self, name: str, order_id: int, lots: int) -> list[str]:
        """Reduce an order to ``lots`` in the name of ``name``; return what happened in words."""
        account = NAMES.index(name)
        row = command(Kind.AMEND, account=account, order_id=order_id, amount=lots)
        return self.words(self.send(row))

    def cancel_all(self, name: str, market: int = ALL_MARKETS) -> list[str]:
        """Cancel every order of ``name``; return what happened in words."""
        row = command(Kind.CANCEL_ALL, account=NAMES.index(name), market=market)
        return self.words(self.send(row))

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
        assert self.engine.orders_live == len(self.live)
        return draw(list(self.live.values()))

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
        lots_at = f"{event['amount']} at {event['price_ticks']}"
        match kind:
            case EventKind.ACCEPTED:
                return ""
            case EventKind.REJECTED:
                return f"refused: {outcome.name}"
            case EventKind.TRADE:
                return f"{lots_at} with {NAMES[event['maker_account']]}"
            case EventKind.RESTED:
                return f"rests {lots_at}"
            case EventKind.UNFILLED:
                return f"drops {lots_at}: {outcome.name}"
            case EventKind.CANCELLED:
                return f"{NAMES[event['account']]} leaves {lots_at}: {outcome.name}"
            case EventKind.AMENDED:
                why = f": {outcome.name}" if outcome else ""
                return f"{NAMES[event['account']]} keeps {lots_at}{why}"
            case EventKind.CANCELLED_ALL:
                return f"{NAMES[event['account']]} cancelled {event['amount']}"
            case EventKind.PHASE_SET:
                return f"phase {Phase(event['amount']).name}"
        return kind.name.lower()


IOC: Final = {"tif": int(TimeInForce.IOC)}
FOK: Final = {"tif": int(TimeInForce.FOK)}
POST_ONLY: Final = {"flags": int(OrderFlag.POST_ONLY)}
SINGLE_SHOT: Final = {"tif": int(TimeInForce.IOC), "flags": int(OrderFlag.SINGLE_SHOT)}
