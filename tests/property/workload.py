"""Who sends the commands that a careful client would never send, together with those it would?

A traders draws everything from one seed: mostly orders near each other's prices, cancels of orders
that live, died or never were, and now and then garbage in any field. It learns from events what
there is to be named, and counts what it has brought about.
"""

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

import numpy as np

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.events import EventKind, Events
from engine.types import (
    ALL_ACCOUNTS,
    ALL_MARKETS,
    FEE_MAX_PPM,
    LOTS_MAX,
    MONEY_MAX,
    PRICE_MAX,
    Limits,
    MoneyFlag,
    OrderFlag,
    Outcome,
    Phase,
    TimeInForce,
)

FEW: Final = {"account_orders": 25, "fills": 6, "trades": 12, "passes": 2, "work": 20}
"""So little that each bound is met every day."""
WORLD: Final = Limits(tokens=14, markets=40, accounts=16, orders=250, ladder_ticks=700, **FEW)
LISTINGS: Final = (
    {"lot_pips": 10, "tick_pips": 100, "maker_fee_ppm": 150, "taker_fee_ppm": 900},
    {"lot_pips": 7, "tick_pips": 3, "maker_fee_ppm": FEE_MAX_PPM, "taker_fee_ppm": 0},
    {"lot_pips": 2**40, "tick_pips": 2**38, "maker_fee_ppm": 1, "taker_fee_ppm": 9_999},
    {"lot_pips": 13, "tick_pips": 77, "maker_fee_ppm": -650, "taker_fee_ppm": 900},
)
PAIRS: Final = ((0, 1), (1, 2), (0, 2), (2, 1))
BARRED_MAX: Final = 12
DEBT_MAX: Final = 2**40
"""So much anybody may come to owe; more than a deposit can make up for would bar him for good."""
LISTED_MIN: Final = 4
"""With fewer markets than this the traders lists another one."""

WEIGHTS: Final = {
    Kind.PLACE: 620,
    Kind.CANCEL: 140,
    Kind.AMEND: 50,
    Kind.REPLACE: 60,
    Kind.CANCEL_ALL: 1.5,
    Kind.CANCEL_AFTER: 7,
    Kind.SET_PHASE: 24,
    Kind.SET_BAND: 5,
    Kind.SET_TERMS: 0.9,
    Kind.DELIST: 0.6,
    Kind.POISON: 0.6,
    Kind.BUST: 2,
    Kind.DEPOSIT: 60,
    Kind.WITHDRAW: 20,
    Kind.CLOCK: 8,
    Kind.EXIT_END: 8,
    Kind.EXIT_BEGIN: 1.2,
    Kind.LIST_TOKEN: 2,
    Kind.LIST_MARKET: 4,
    Kind.OPEN_ACCOUNT: 2,
}
GROWING: Final = WEIGHTS | {
    Kind.CANCEL: 8,
    Kind.CANCEL_ALL: 0,
    Kind.CANCEL_AFTER: 0,
    Kind.SET_BAND: 0.5,
    Kind.SET_TERMS: 0,
    Kind.DELIST: 0,
}
"""What is sent while the book grows to its limit: nothing that empties it at one blow."""

LOTS: Final = (*(1,) * 60, *(2,) * 30, *(3,) * 20, *(8,) * 9, LOTS_MAX)
WHOLE_LOTS: Final = (1, 2, 3, 4, 6, 9)
ICEBERG_LOTS: Final = (2, 3, 5, 9, 20, 65)
SELF_MODES: Final = (0, 0, 0, 0, 4, 8, 12)
PHASES: Final = (*(0,) * 30, 1, 2, 3, *(4,) * 8, 5)
"""Mostly open: in the other phases less happens, and each lasts until the next choice."""
NEAR: Final = (-2, 0, 1, 2, 3, 5, 8, 13, 30)
DEEP: Final = (3, 4, 5, 6, 7, 8, 13, 21)
FLOORS: Final = (60, 60, 60, 5_000, 100_000, PRICE_MAX - 2_000)
"""Above which price the middle wanders that day: in a small window, far outside, at the end."""
FAR_AWAY: Final = (10_000, 10**6, 10**9)
LIFETIMES_NS: Final = (0, *(100,) * 5, *(1000,) * 10, *(2**40,) * 14)
EDGES: Final = (
    *(0, 1, -1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)),
    *(MONEY_MAX, LOTS_MAX, LOTS_MAX + 1, PRICE_MAX, PRICE_MAX + 1),
)
MOOD: Final = 900
"""So many commands the book grows, so many it lives: that is a day."""
WHALE: Final = 0
"""The account that sweeps; it never rests, or it would be stopped by its own orders."""
RICH: Final = 6
FOUNDERS: Final = 10
"""How many accounts, of which so many are rich, there are to begin with."""

ALWAYS: Final = int(MoneyFlag.ALWAYS)
ENGINE_END: Final = 200
"""From this number on outcomes are not the engine's."""

FIELDS: Final = COMMAND.names or ()
Row = dict[str, int]

FLAGS_OF: Final = {
    "post-only": int(OrderFlag.POST_ONLY),
    "priced again": int(OrderFlag.POST_ONLY | OrderFlag.REPRICE),
    "single shot": int(OrderFlag.SINGLE_SHOT),
    "iceberg": int(OrderFlag.ICEBERG),
    "stop": int(OrderFlag.STOP),
}
SELF_MODE_NAMES: Final = ("expire taker", "expire maker", "expire both", "decrement")
ORDER_TYPES: Final = (
    *(tif.name for tif in TimeInForce),
    *(f"stop {tif.name}" for tif in TimeInForce),
    *("good till date", "replacement", *FLAGS_OF, *SELF_MODE_NAMES),
)


class Traders:
    """Draws batches of commands for one engine's life."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.sequence = 0
        self.time_ns = 0
        self.floor = FLOORS[0]
        self.middle = 350
        self.day = 0
        self.known: deque[tuple[int, int]] = deque(maxlen=300)
        self.building = True
        """Whether the book is just growing to its limit, or lives an ordinary day."""
        self.live: dict[int, int] = {}
        """Owner of each order that rests or is armed."""
        self.frozen: list[int] = []
        self.barred: list[tuple[int, int]] = []
        """Accounts that were told so, and the tokens in which they may owe."""
        self.tokens = self.accounts = self.markets = 0
        """How many there are by now."""
        self.listed: list[int] = []
        """Markets that are not delisted."""
        self.events_seen: Counter[EventKind] = Counter()
        self.outcomes_seen: Counter[Outcome] = Counter()
        self.phases_seen: Counter[Phase] = Counter()
        self.types_seen: Counter[str] = Counter()
        self._draw: dict[Kind, Callable[[int], Row]] = {
            Kind.PLACE: self.order,
            Kind.CANCEL: self.cancel,
            Kind.AMEND: self.amend,
            Kind.REPLACE: self.replacement,
            Kind.CANCEL_ALL: self.cancel_all,
            Kind.CANCEL_AFTER: self.deadline,
            Kind.SET_PHASE: self.phase,
            Kind.SET_BAND: self.band,
            Kind.SET_TERMS: self.terms,
            Kind.DELIST: self.delisting,
            Kind.POISON: self.poison,
            Kind.BUST: self.bust,
            Kind.DEPOSIT: self.deposit,
            Kind.WITHDRAW: self.transfer,
            Kind.EXIT_BEGIN: self.exit_begin,
            Kind.EXIT_END: self.exit_end,
            Kind.LIST_TOKEN: lambda _: {"token": self.next_or_not(self.tokens)},
            Kind.LIST_MARKET: self.listing,
            Kind.OPEN_ACCOUNT: lambda _: {"account": self.next_or_not(self.accounts)},
            Kind.CLOCK: lambda _: {},
        }

    # Batches.

    def opening(self) -> Commands:
        """Return three tokens, four markets and ten accounts, some of them rich."""
        rows = [command(Kind.LIST_TOKEN, token=token) for token in range(3)]
        for market, pair in enumerate(PAIRS):
            rows.append(list_market(market, *pair, **LISTINGS[market]))
        for account in range(FOUNDERS):
            rows.append(command(Kind.OPEN_ACCOUNT, account=account))
            amount = 2**56 if account < RICH else 10**5
            rows += [
                command(Kind.DEPOSIT, account=account, token=token, amount=amount)
                for token in range(3)
            ]
        return self.stamp(batch_of(rows))

    def batch(self, size: int) -> Commands:
        """Return the next ``size`` commands."""
        self.building = self.sequence // MOOD % 2 == 0
        day = self.sequence // (2 * MOOD)
        if day != self.day:
            self.day, self.floor = day, self.random.choice(FLOORS)
            self.middle = self.floor + self.random.randrange(100, 500)
        weights = GROWING if self.building else WEIGHTS
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

    def garble(self, row: Row) -> Row:
        """Seldom put an extreme number into one field."""
        if self.random.random() < 0.05:
            name = self.random.choice(FIELDS[:-2])
            bits = 8 * COMMAND[name].itemsize
            edge = self.random.choice(EDGES)
            row[name] = edge if COMMAND[name].kind == "i" else edge % 2**bits
        return row

    # What it learns.

    def learn(self, commands: Commands, events: Events) -> None:
        """Remember what there is now, and count what this traders has brought about."""
        names = ("kind", "outcome", "order_id", "account", "market", "maker_id")
        columns = (events[name].tolist() for name in (*names, "order_left", "maker_left"))
        for kind, outcome, order_id, account, market, maker_id, order_left, maker_left in zip(
            *columns, strict=True
        ):
            if kind == EventKind.ACCEPTED:
                self.known.append((order_id, account))
            elif kind in (EventKind.RESTED, EventKind.ARMED):
                self.live[order_id] = account
            elif kind in (EventKind.CANCELLED, EventKind.TRIGGERED):
                del self.live[order_id]
            elif kind == EventKind.TRADE:
                if maker_left == 0:
                    del self.live[maker_id]
                if order_left == 0:  # In an auction the buyer rested too.
                    self.live.pop(order_id, None)
            elif outcome == Outcome.IN_DEBT and len(self.barred) < BARRED_MAX:
                self.barred += [(account, token) for token in range(3)]
            elif kind == EventKind.EXIT_BEGUN:
                self.frozen.append(account)
            elif kind == EventKind.EXIT_ENDED and account in self.frozen:
                self.frozen.remove(account)
            elif kind == EventKind.TOKEN_LISTED:
                self.tokens += 1
            elif kind == EventKind.ACCOUNT_OPENED:
                self.accounts += 1
            elif kind == EventKind.MARKET_LISTED:
                self.listed.append(market)
                self.markets += 1
            elif kind == EventKind.MARKET_DELISTED:
                self.listed.remove(market)
        self.count(commands, events)

    def count(self, commands: Commands, events: Events) -> None:
        """Count kinds of events, outcomes, phases that were entered and types of orders taken."""
        kinds = events["kind"]
        add(self.events_seen, EventKind, kinds)
        add(self.outcomes_seen, Outcome, events["outcome"])
        add(self.phases_seen, Phase, events["amount"][kinds == EventKind.PHASE_SET])
        self.phases_seen[Phase.DELISTED] += int((kinds == EventKind.MARKET_DELISTED).sum())
        taken = events["sequence"][kinds == EventKind.ACCEPTED]
        if not taken.size:
            return
        rows = commands[taken - commands["sequence"][0]]
        flags, is_stop = rows["flags"], rows["flags"] & OrderFlag.STOP != 0
        for tif in TimeInForce:
            self.types_seen[tif.name] += int(((rows["tif"] == tif) & ~is_stop).sum())
            self.types_seen[f"stop {tif.name}"] += int(((rows["tif"] == tif) & is_stop).sum())
        for name, wanted in FLAGS_OF.items():
            self.types_seen[name] += int((flags & wanted == wanted).sum())
        for mode, name in enumerate(SELF_MODE_NAMES):
            self.types_seen[name] += int((flags >> 2 & 3 == mode).sum())
        dated = (rows["tif"] == TimeInForce.GTC) & (rows["expiry_ns"] < 2**40)
        self.types_seen["good till date"] += int(dated.sum())
        self.types_seen["replacement"] += int((rows["kind"] == Kind.REPLACE).sum())

    def coverage(self) -> dict[str, int]:
        """Return how often each event, outcome, phase and type of order has occurred."""
        return {
            **{f"event {kind.name}": self.events_seen[kind] for kind in EventKind},
            **{
                f"outcome {outcome.name}": self.outcomes_seen[outcome]
                for outcome in Outcome
                if outcome < ENGINE_END
            },
            **{f"phase {phase.name}": self.phases_seen[phase] for phase in Phase},
            **{f"order {name}": self.types_seen[name] for name in ORDER_TYPES},
        }

    # What it draws.

    def draw(self, kind: Kind) -> Row:
        """Draw one command that makes sense."""
        return self._draw[kind](self.random.randrange(WHALE + 1, FOUNDERS))

    def market(self) -> int:
        """Draw a market, seldom one that was delisted or never listed."""
        random = self.random
        if not self.listed or random.random() < 0.01:
            return random.randrange(self.markets + 1)
        first = self.listed[0]
        return first if random.random() < 0.5 else random.choice(self.listed)

    def somebodys(self, stranger: int, chance: float) -> tuple[int, int]:
        """Draw an order that lives, and its owner or seldom ``stranger``."""
        order_id, owner = self.random.choice(list(self.live.items()) or [(1, 0)])
        return order_id, owner if self.random.random() < chance else stranger

    def next_or_not(self, count: int) -> int:
        """Draw the next free number or the one after it."""
        return count + self.random.choice((0, 0, 1))

    def cancel(self, account: int) -> Row:
        """Draw a CANCEL of an order that lives, or of one that may be gone."""
        if self.random.random() < 0.9 or not self.known:
            order_id, owner = self.somebodys(account, 0.97)
        else:
            order_id, owner = self.random.choice(self.known)
        return {"account": owner, "order_id": order_id}

    def amend(self, account: int) -> Row:
        """Draw an AMEND."""
        order_id, owner = self.somebodys(account, 0.9)
        lots = self.random.choice((0, 1, 1, 2, 4, 7))
        return {"account": owner, "order_id": order_id, "amount": lots}

    def replacement(self, account: int) -> Row:
        """Draw a REPLACE with the terms of some other order, seldom one that is a contradiction."""
        random = self.random
        order_id, owner = self.somebodys(account, 0.95)
        row = self.order(owner) | {"market": 0, "side": random.choice((0,) * 30 + (1,))}
        row["flags"] &= ~OrderFlag.STOP if random.random() < 0.98 else 255
        if random.random() < 0.7:
            row["flags"] &= ~OrderFlag.ICEBERG
        return row | {"account": owner, "order_id": order_id}

    def cancel_all(self, account: int) -> Row:
        """Draw a CANCEL_ALL of one account or of all, in one market or in all."""
        market = self.market() if self.random.random() < 0.7 else ALL_MARKETS
        if self.random.random() < 0.3:
            account = ALL_ACCOUNTS
        return {"account": account, "market": market}

    def deadline(self, account: int) -> Row:
        """Draw a CANCEL_AFTER soon to come, seldom one that has passed or disarms."""
        ahead = self.random.choice((20, 200, 200, 2**40, 2**40, -3))
        deadline_ns = self.time_ns + ahead if self.random.random() < 0.8 else 0
        return {"account": account, "expiry_ns": deadline_ns}

    def phase(self, _: int) -> Row:
        """Draw a SET_PHASE, seldom of a market that is gone, and seldom of the first one."""
        market = self.market()
        market = self.market() if market in self.listed[:1] else market
        market = self.gone() if self.random.random() < 0.08 else market
        return {"market": market, "amount": self.random.choice(PHASES)}

    def band(self, _: int) -> Row:
        """Draw a SET_BAND around the middle, often none at all."""
        random, market = self.random, self.market()
        if random.random() < 0.6:
            return {"market": market}
        low, high = self.middle - random.choice((1, 9, 60)), self.middle + random.choice((0, 9, 60))
        if random.random() < 0.1:
            low, high = high + 1, low
        return {"market": market, "price_ticks": low, "amount": min(high, PRICE_MAX)}

    def some_terms(self) -> Row:
        """Draw lot, tick and fees, seldom senseless ones, and sometimes a least notional."""
        terms = self.random.choice(LISTINGS)
        maker_ppm = -(FEE_MAX_PPM) if self.random.random() < 0.1 else terms["maker_fee_ppm"]
        return {
            "order_id": terms["lot_pips"],
            "price_ticks": terms["tick_pips"],
            "amount": maker_ppm,
            "fee_cap_ppm": terms["taker_fee_ppm"],
            "expiry_ns": self.random.choice((*(0,) * 5, *(700 * terms["tick_pips"],) * 4, -1)),
        }

    def terms(self, _: int) -> Row:
        """Draw a SET_TERMS."""
        return self.some_terms() | {"market": self.market()}

    def listing(self, _: int) -> Row:
        """Draw a LIST_MARKET: the next one where some are missing, else one out of turn."""
        base, quote = self.random.choice(PAIRS)
        out_of_turn = len(self.listed) >= LISTED_MIN and self.markets < WORLD.markets
        number = self.random.randrange(self.markets + 3) if out_of_turn else self.markets
        number = self.markets + 1 if out_of_turn and number == self.markets else number
        quote = WORLD.tokens if self.random.random() < 0.1 else quote
        return self.some_terms() | {"market": number, "account": base, "token": quote}

    def delisting(self, _: int) -> Row:
        """Draw a DELIST that leaves enough markets, or of one that is gone already."""
        if len(self.listed) >= LISTED_MIN and self.markets < WORLD.markets:
            return {"market": self.random.choice(self.listed)}
        return {"market": self.gone()}

    def gone(self) -> int:
        """Draw a market that was delisted, or the next one to be listed."""
        gone = set(range(self.markets + 1)) - set(self.listed)
        return self.random.choice(sorted(gone))

    def poison(self, account: int) -> Row:
        """Draw a POISON in place of an order."""
        return self.order(account)

    def bust(self, account: int) -> Row:
        """Draw a BUST of a trade that may never have been; somebody may be too poor for it."""
        random = self.random
        quote = random.choice((*(1, 10**3, 10**4) * 5, 0, MONEY_MAX))
        base = random.choice((*(1, 10, 10**4) * 5, 0, MONEY_MAX))
        return {
            "market": self.market(),
            "account": account,
            "fee_cap_ppm": random.randrange(self.accounts),
            "price_ticks": base,
            "amount": quote,
            "order_id": random.choice((0, 1, 1, 5, quote, -1)),
            "expiry_ns": random.choice((0, 1, -1, 3)),
            "flags": ALWAYS if random.random() < 0.5 and max(base, quote) <= DEBT_MAX else 0,
        }

    def transfer(self, account: int) -> Row:
        """Draw a DEPOSIT or WITHDRAW, of those some that have been paid already."""
        amount = self.random.choice((*(1, 10**4, 10**6, 10**7) * 5, 0, MONEY_MAX))
        token = WORLD.tokens if self.random.random() < 0.02 else self.random.randrange(3)
        flags = ALWAYS if self.random.random() < 0.1 and amount <= DEBT_MAX else 0
        return {"account": account, "token": token, "amount": amount, "flags": flags}

    def deposit(self, account: int) -> Row:
        """Draw a DEPOSIT, first of all for those who were barred by what they owe."""
        if self.barred and self.random.random() < 0.7:
            account, token = self.barred.pop(0)
            return {"account": account, "token": token, "amount": 2 * DEBT_MAX}
        return self.transfer(account)

    def exit_begin(self, _: int) -> Row:
        """Draw an EXIT_BEGIN of one of those who may leave."""
        return {"account": self.random.choice((5, 6, 7, 8, 9))}

    def exit_end(self, account: int) -> Row:
        """Draw an EXIT_END, mostly of somebody who is leaving."""
        amount = self.random.choice((0, 0, 1, 10**4))
        if self.frozen and self.random.random() < 0.95:
            account = self.random.choice(self.frozen)
        row = {"account": account, "token": self.random.randrange(3), "amount": amount}
        if self.random.random() < 0.25:
            # Sometimes far more than the account has, some of it from unpaid withdrawals.
            row["amount"] = self.random.choice((amount, DEBT_MAX))
            row |= {"flags": ALWAYS, "price_ticks": self.random.choice((0, 5, 10**6, MONEY_MAX))}
        return row

    def order(self, account: int) -> Row:
        """Draw an order near the wandering middle; whales sweep many levels."""
        random = self.random
        step = random.choice((-1, 0, 0, 1))
        self.middle = min(max(self.middle + step, self.floor), self.floor + 580)
        side = random.randrange(2)
        whale = random.random() < (0.002 if self.building else 0.005)
        away = -50 if whale else random.choice(DEEP if self.building else NEAR)
        away = random.choice(FAR_AWAY) if random.random() < 0.005 else away
        tif = random.choice((*(0,) * 12, 1, 1, 2, 2))
        row = {
            "market": self.market(),
            "account": account,
            "side": side,
            "tif": tif,
            "flags": random.choice(SELF_MODES) | random.choice((0, 0, 2) if tif else (0, 0, 1)),
            "price_ticks": self.middle + (-away if side == 0 else away),
            "amount": random.choice(WHOLE_LOTS if tif == TimeInForce.FOK else LOTS),
            "fee_cap_ppm": 100 if random.random() < 0.02 else FEE_MAX_PPM,
            "expiry_ns": self.time_ns + random.choice(LIFETIMES_NS),
        }
        if whale:
            flags = random.choice((0, *(2,) * 9))
            market = self.listed[0] if self.listed else 0
            sweep = {"market": market, "account": WHALE, "tif": 1, "flags": flags}
            return row | sweep | {"amount": random.choice((200, 1000))}
        return row | self.specialty(row)

    def specialty(self, row: Row) -> Row:
        """Draw what makes some orders special: a trigger, a part in sight, another price."""
        random, flags = self.random, row["flags"]
        chance = random.random()
        if chance < 0.12:
            ahead = random.choice((-2, 0, 1, 2, 4, 8, 15))
            toward = 1 if row["side"] == 0 else -1
            trigger = 0 if random.random() < 0.02 else self.middle + toward * ahead
            return {
                "flags": flags & ~OrderFlag.POST_ONLY | OrderFlag.STOP,
                "order_id": trigger,
                "tif": random.choice((0, 0, 1, 2)) if not flags & OrderFlag.SINGLE_SHOT else 1,
                "price_ticks": trigger + toward * random.choice((0, 0, 2, 9)),
            }
        if chance < 0.28 and row["tif"] == TimeInForce.GTC:
            lots = random.choice(ICEBERG_LOTS)
            display = random.choice((1, 1, 2, 3, 0 if random.random() < 0.1 else 1))
            return {"flags": flags | OrderFlag.ICEBERG, "order_id": display, "amount": lots}
        if chance < 0.33 and row["tif"] == TimeInForce.GTC:
            toward = 1 if row["side"] == 0 else -1
            price = row["price_ticks"] + toward * random.choice((0, 5, 9))
            return {
                "flags": flags | OrderFlag.POST_ONLY | OrderFlag.REPRICE,
                "price_ticks": price,
            }
        return {}


def add(counter: Counter[Any], words: Callable[[int], Any], column: np.ndarray) -> None:
    """Count each number of a column as the word it stands for."""
    for number, count in zip(*np.unique(column, return_counts=True), strict=True):
        counter[words(int(number))] += int(count)
