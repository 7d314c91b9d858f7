"""Who sends the commands that a careful client would never send, together with those it would?

A crowd draws everything from one seed: mostly orders near each other's prices, cancels of orders
that live, died or never were, and now and then garbage in any field. It learns ids from events.
"""

from collections import Counter, deque
from random import Random
from typing import Final

import numpy as np

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, FEE_MAX_PPM, LOTS_MAX, MONEY_MAX, Limits, Outcome

WORLD: Final = Limits(tokens=4, markets=3, accounts=10, orders=400, ladder_ticks=700)
LISTINGS: Final = (
    {"lot_pips": 10, "tick_pips": 100, "maker_fee_ppm": 150, "taker_fee_ppm": 900},
    {"lot_pips": 7, "tick_pips": 3, "maker_fee_ppm": FEE_MAX_PPM, "taker_fee_ppm": 0},
    {"lot_pips": 2**40, "tick_pips": 2**38, "maker_fee_ppm": 1, "taker_fee_ppm": 9_999},
)
PAIRS: Final = ((0, 1), (1, 2), (0, 2))
WEIGHTS: Final = {
    Kind.PLACE: 620,
    Kind.CANCEL: 170,
    Kind.AMEND: 50,
    Kind.CANCEL_ALL: 1,
    Kind.SET_PHASE: 9,
    Kind.DEPOSIT: 60,
    Kind.WITHDRAW: 20,
    Kind.CLOCK: 8,
    Kind.EXIT_END: 8,
    Kind.EXIT_BEGIN: 2,
    Kind.LIST_TOKEN: 3,
    Kind.LIST_MARKET: 4,
    Kind.OPEN_ACCOUNT: 3,
}
LOTS: Final = (*(1,) * 60, *(2,) * 30, *(3,) * 20, *(8,) * 9, LOTS_MAX)
SELF_MODES: Final = (0, 0, 0, 0, 4, 8, 12)
PHASES: Final = (*(0,) * 30, 1, 2, 3, 4)
"""Mostly open: in the other phases little happens, and each lasts until the next choice."""
NEAR: Final = (-2, 0, 1, 2, 3, 5, 8, 13, 30)
FAR: Final = (3, 4, 5, 6, 7, 8, 13, 21)
LIFETIMES_NS: Final = (0, *(100,) * 5, *(1000,) * 10, *(2**40,) * 14)
EDGES: Final = (
    *(0, 1, -1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)),
    *(MONEY_MAX, LOTS_MAX, LOTS_MAX + 1),
)
MOOD: Final = 900
WHALE: Final = 0
"""The account that sweeps; it never rests, or it would be stopped by its own orders."""

FIELDS: Final = COMMAND.names or ()
Row = dict[str, int]


class Crowd:
    """Draws batches of commands for one engine's life."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.sequence = 0
        self.time_ns = 0
        self.middle = 350
        self.known: deque[tuple[int, int]] = deque(maxlen=300)
        self.building = True
        """Whether the book is just growing to its limit, or lives an ordinary day."""
        self.live: dict[int, int] = {}
        self.frozen: list[int] = []
        self.events_seen: Counter[EventKind] = Counter()
        self.outcomes_seen: Counter[Outcome] = Counter()

    def opening(self) -> Commands:
        """Return three tokens, three markets and ten accounts, some of them rich."""
        rows = [command(Kind.LIST_TOKEN, token=token) for token in range(3)]
        for market, (pair, terms) in enumerate(zip(PAIRS, LISTINGS, strict=True)):
            rows.append(list_market(market, *pair, **terms))
        for account in range(WORLD.accounts):
            rows.append(command(Kind.OPEN_ACCOUNT, account=account))
            amount = 10**8 if account < 6 else 10**5
            rows += [
                command(Kind.DEPOSIT, account=account, token=token, amount=amount)
                for token in range(3)
            ]
        rows += [
            command(Kind.DEPOSIT, account=account, token=token, amount=2**58)
            for account in range(3)
            for token in range(3)
        ]
        return self.stamp(batch_of(rows))

    def batch(self, size: int) -> Commands:
        """Return the next ``size`` commands."""
        self.building = self.sequence // MOOD % 2 == 0
        weights = WEIGHTS | {Kind.CANCEL: 10, Kind.CANCEL_ALL: 0} if self.building else WEIGHTS
        kinds = self.random.choices(list(weights), list(weights.values()), k=size)
        rows = [self.garble({"kind": kind} | self.draw(kind)) for kind in kinds]
        return self.stamp(
            np.array([tuple(row.get(name, 0) for name in FIELDS) for row in rows], COMMAND)
        )

    def stamp(self, commands: Commands) -> Commands:
        """Number ``commands`` and let time go on, seldom backwards."""
        first = self.sequence + 1
        self.sequence += commands.size
        commands["sequence"] = np.arange(first, self.sequence + 1)
        times = []
        for _ in range(commands.size):
            self.time_ns += self.random.choice((0, 0, 1, 3))
            times.append(self.time_ns - self.random.choice((0, 0, 0, 5)))
        commands["time_ns"] = times
        return commands

    def learn(self, events: Events) -> None:
        """Remember ids, and count what this crowd has brought about."""
        columns = ("kind", "order_id", "account", "maker_id", "maker_left")
        for event in zip(*(events[name].tolist() for name in columns), strict=True):
            kind, order_id, account, maker_id, maker_left = event
            if kind == EventKind.ACCEPTED:
                self.known.append((order_id, account))
            elif kind == EventKind.RESTED:
                self.live[order_id] = account
            elif kind == EventKind.CANCELLED:
                del self.live[order_id]
            elif kind == EventKind.TRADE and maker_left == 0:
                del self.live[maker_id]
            elif kind == EventKind.EXIT_BEGUN:
                self.frozen.append(account)
            elif kind == EventKind.EXIT_ENDED:
                self.frozen.remove(account)
        for kind, count in zip(*np.unique(events["kind"], return_counts=True), strict=True):
            self.events_seen[EventKind(kind)] += int(count)
        for outcome, count in zip(*np.unique(events["outcome"], return_counts=True), strict=True):
            self.outcomes_seen[Outcome(outcome)] += int(count)

    def draw(self, kind: Kind) -> Row:
        """Draw one command that makes sense."""
        random = self.random
        account, token = random.randrange(WHALE + 1, WORLD.accounts), random.randrange(3)
        if kind == Kind.PLACE:
            return self.order(account)
        if kind == Kind.CANCEL:
            ids = list(self.live.items()) if random.random() < 0.7 else self.known
            order_id, owner = random.choice(ids) if ids else (1, 0)
            owner = owner if random.random() < 0.97 else account
            return {"account": owner, "order_id": order_id}
        if kind == Kind.AMEND:
            order_id, owner = random.choice(list(self.live.items()) or [(1, 0)])
            owner = owner if random.random() < 0.9 else account
            return {"account": owner, "order_id": order_id, "amount": random.choice((0, 1, 1, 2))}
        if kind == Kind.CANCEL_ALL:
            return {"account": account, "market": random.choice((0, 1, 2, 3, ALL_MARKETS))}
        if kind == Kind.SET_PHASE:
            return {"market": random.choice((0, 1, 1, 1, 2)), "amount": random.choice(PHASES)}
        if kind == Kind.EXIT_END:
            amount = random.choice((0, 0, 1, 10**4))
            if self.frozen and random.random() < 0.95:
                account = random.choice(self.frozen)
            return {"account": account, "token": token, "amount": amount}
        if kind in (Kind.DEPOSIT, Kind.WITHDRAW):
            amount = random.choice((*(1, 10**4, 10**6, 10**7) * 5, 0, MONEY_MAX))
            token = 9 if random.random() < 0.02 else token
            return {"account": account, "token": token, "amount": amount}
        if kind == Kind.EXIT_BEGIN:
            return {"account": random.choice((5, 6, 7, 8, 9))}
        if kind == Kind.LIST_MARKET:
            return {
                "market": random.choice((3, 3, 2)),
                "account": 0,
                "token": 1,
                "order_id": 1,
                "price_ticks": 1,
            }
        if kind == Kind.LIST_TOKEN:
            return {"token": random.choice((3, 4, 5))}
        if kind == Kind.OPEN_ACCOUNT:
            return {"account": random.choice((10, 11))}
        return {}

    def order(self, account: int) -> Row:
        """Draw an order near the wandering middle; whales sweep many levels."""
        random = self.random
        self.middle = min(max(self.middle + random.choice((-1, 0, 0, 1)), 60), 640)
        side = random.randrange(2)
        whale = random.random() < (0.002 if self.building else 0.005)
        away = -50 if whale else random.choice(FAR if self.building else NEAR)
        tif = random.choice((*(0,) * 13, 1, 1, 2))
        flags = random.choice((0, 0, 2)) if tif else random.choice((0, 0, 1))
        flags |= random.choice(SELF_MODES)
        if whale:
            tif, flags = 1, random.choice((0, *(2,) * 9))
        return {
            "market": 0 if whale else random.choice((0, 0, 0, 1, 1, 2)),
            "account": WHALE if whale else account,
            "side": side,
            "tif": tif,
            "flags": flags,
            "price_ticks": self.middle + (-away if side == 0 else away),
            "amount": random.choice((200, 1000) if whale else LOTS),
            "fee_cap_ppm": 100 if random.random() < 0.02 else FEE_MAX_PPM,
            "expiry_ns": self.time_ns + random.choice(LIFETIMES_NS),
        }

    def garble(self, row: Row) -> Row:
        """Seldom put an extreme number into one field."""
        if self.random.random() < 0.05:
            name = self.random.choice(FIELDS[:-2])
            bits = 8 * COMMAND[name].itemsize
            edge = self.random.choice(EDGES)
            row[name] = edge if COMMAND[name].kind == "i" else edge % 2**bits
        return row
