"""Can any short life of an exchange make the two engines differ, or break an invariant?

Hypothesis invents the life and shrinks a failure to the fewest commands that still show it.
"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine import core, reference
from engine.commands import Kind, batch_of, command, list_market, set_terms
from engine.events import EventKind, Events
from engine.types import (
    ALL_ACCOUNTS,
    ALL_MARKETS,
    LOTS_MAX,
    MONEY_MAX,
    PRICE_MAX,
    Limits,
    MoneyFlag,
    OrderFlag,
    Side,
)
from tests.property.audit import Audit

FEW = {"account_orders": 6, "fills": 2, "trades": 3, "passes": 1, "work": 3}
TINY = Limits(tokens=3, markets=3, accounts=4, orders=12, ladder_ticks=128, generations=6, **FEW)
ACCOUNTS = st.integers(0, 3)
TOKENS = st.integers(0, 2)
NEAR = st.integers(62, 67)
PRICES = st.one_of(
    NEAR,
    st.integers(126, 130),
    st.integers(-1, 201),
    st.sampled_from([5_000, 2**20, PRICE_MAX - 1, PRICE_MAX, PRICE_MAX + 1]),
)
ALWAYS = int(MoneyFlag.ALWAYS)
SELF_MODES = st.sampled_from([0, 0, 4, 8, 12])
POST_ONLY, REPRICE = int(OrderFlag.POST_ONLY), int(OrderFlag.REPRICE)
STOP, ICEBERG = int(OrderFlag.STOP), int(OrderFlag.ICEBERG)
LOTS = st.one_of(st.integers(1, 9), st.sampled_from([0, -1, 2**31, LOTS_MAX, LOTS_MAX + 1]))
AMOUNTS = st.one_of(
    st.integers(0, 10**6), st.sampled_from([-1, MONEY_MAX, MONEY_MAX - 10**6, 2**63 - 1])
)


class TwoEngines(RuleBasedStateMachine):
    """One life lived twice, and audited."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.oracle = core.Engine(TINY), reference.Engine(TINY)
        self.audit = Audit(TINY)
        self.sequence = self.time_ns = 0
        self.ids: list[int] = [1]

    def send(self, *rows: np.void) -> Events:
        """Apply ``rows`` to both as one batch; they must answer alike."""
        commands = batch_of(list(rows))
        commands["sequence"] = np.arange(self.sequence + 1, self.sequence + 1 + len(rows))
        commands["time_ns"] = self.time_ns
        self.sequence += len(rows)
        events = self.kernel.apply(commands)
        assert np.array_equal(events, self.oracle.apply(commands))
        self.audit.follow(commands, events)
        self.ids += events["order_id"][events["kind"] == EventKind.ACCEPTED].tolist()
        return events

    @initialize(
        tick_pips=st.sampled_from([1, 1000, 2**50]),
        fees=st.sampled_from([(70, 0), (70, 999), (10_000, 10_000), (-999, 999), (-1, 10_000)]),
        least_ticks=st.sampled_from([0, 0, 130]),
    )
    def open(self, tick_pips: int, fees: tuple[int, int], least_ticks: int) -> None:
        maker_ppm, taker_ppm = fees
        terms = {"maker_fee_ppm": maker_ppm, "taker_fee_ppm": taker_ppm}
        terms |= {"lot_pips": 3, "tick_pips": tick_pips}
        terms |= {"least_notional_pips": min(least_ticks * tick_pips, MONEY_MAX // 2)}
        self.send(
            *(command(Kind.LIST_TOKEN, token=token) for token in range(2)),
            list_market(0, 0, 1, **terms),
            *(command(Kind.OPEN_ACCOUNT, account=account) for account in range(3)),
            *(
                command(Kind.DEPOSIT, account=account, token=token, amount=10**7)
                for account in range(3)
                for token in range(2)
            ),
        )

    @rule(
        account=ACCOUNTS,
        side=st.integers(0, 1),
        terms=st.sampled_from(
            [
                *((0, 0), (0, 0), (0, POST_ONLY), (0, POST_ONLY | REPRICE), (0, REPRICE), (0, 2)),
                *((1, 0), (1, 2), (1, POST_ONLY), (2, 0), (2, 2), (2, POST_ONLY), (3, 0), (0, 128)),
            ]
        ),
        self_mode=SELF_MODES,
        price_ticks=PRICES,
        lots=LOTS,
        market=st.sampled_from([0, 0, 0, 0, 1]),
        life_ns=st.sampled_from([0, 1, 5, 2**40, 2**40, 2**40]),
    )
    def place(self, account: int, terms: tuple[int, int], lots: int, **rest: int) -> None:
        tif, flags = terms
        flags |= rest.pop("self_mode")
        expiry_ns = self.time_ns + rest.pop("life_ns")
        fields = {"account": account, "tif": tif, "flags": flags, "amount": lots} | rest
        self.send(command(Kind.PLACE, fee_cap_ppm=10_000, expiry_ns=expiry_ns, **fields))

    @rule(
        account=ACCOUNTS,
        side=st.integers(0, 1),
        tif=st.sampled_from([0, 0, 1, 2]),
        self_mode=SELF_MODES,
        price_ticks=st.one_of(NEAR, PRICES),
        trigger=st.one_of(NEAR, PRICES),
        lots=st.integers(1, 9),
        life_ns=st.sampled_from([1, 5, 2**40, 2**40]),
        flags=st.sampled_from([0, 0, 0, 0, 0, 2, POST_ONLY, ICEBERG]),
    )
    def arm(self, self_mode: int, flags: int, life_ns: int, **rest: int) -> None:
        fields = {"order_id": rest.pop("trigger"), "amount": rest.pop("lots")} | rest
        fields["flags"] = STOP | self_mode | flags
        expiry_ns = self.time_ns + life_ns
        self.send(command(Kind.PLACE, fee_cap_ppm=10_000, expiry_ns=expiry_ns, **fields))

    @rule(
        account=ACCOUNTS,
        side=st.integers(0, 1),
        tif=st.sampled_from([0, 0, 0, 0, 1]),
        self_mode=SELF_MODES,
        price_ticks=NEAR,
        display=st.sampled_from([1, 1, 2, 3, 0, -1]),
        lots=st.sampled_from([1, 2, 3, 5, 9, 64, 65, 130]),
        flags=st.sampled_from([0, 0, POST_ONLY, POST_ONLY | REPRICE]),
    )
    def hide(self, self_mode: int, flags: int, **rest: int) -> None:
        fields = {"order_id": rest.pop("display"), "amount": rest.pop("lots")} | rest
        fields["flags"] = ICEBERG | self_mode | flags
        self.send(command(Kind.PLACE, fee_cap_ppm=10_000, expiry_ns=2**40, **fields))

    @rule(
        choice=st.integers(0, 2**30),
        account=ACCOUNTS,
        tif=st.sampled_from([0, 0, 0, 1, 2]),
        flags=st.sampled_from([0, 0, ICEBERG, ICEBERG, POST_ONLY, POST_ONLY | REPRICE, STOP, 2]),
        self_mode=SELF_MODES,
        price_ticks=st.one_of(NEAR, PRICES),
        amount=LOTS,
        side=st.sampled_from([0, 0, 0, 0, 0, 1]),
    )
    def replace(self, choice: int, flags: int, self_mode: int, **rest: int) -> None:
        recent = self.ids[-12:]
        fields = {"order_id": recent[choice % len(recent)], "flags": flags | self_mode} | rest
        self.send(command(Kind.REPLACE, fee_cap_ppm=10_000, expiry_ns=2**40, **fields))

    @rule(account=ACCOUNTS, ahead_ns=st.sampled_from([-1, 0, 1, 3, 6]), armed=st.booleans())
    def cancel_after(self, account: int, ahead_ns: int, armed: bool) -> None:
        deadline_ns = self.time_ns + ahead_ns if armed else 0
        self.send(command(Kind.CANCEL_AFTER, account=account, expiry_ns=deadline_ns))

    @rule(side=st.integers(0, 1), prices=st.lists(st.integers(60, 70), min_size=2, max_size=6))
    def place_many(self, side: int, prices: list[int]) -> None:
        terms = {"side": side, "fee_cap_ppm": 10_000, "expiry_ns": 2**40, "amount": 2}
        self.send(
            *(
                command(Kind.PLACE, account=i % 3, price_ticks=price, **terms)
                for i, price in enumerate(prices)
            )
        )

    @rule(choice=st.integers(0, 2**30), account=ACCOUNTS)
    def cancel(self, choice: int, account: int) -> None:
        recent = self.ids[-12:]
        order_id = recent[choice % len(recent)]
        self.send(command(Kind.CANCEL, account=account, order_id=order_id))

    @rule(choice=st.integers(0, 2**30), account=ACCOUNTS, lots=LOTS)
    def amend(self, choice: int, account: int, lots: int) -> None:
        recent = self.ids[-12:]
        order_id = recent[choice % len(recent)]
        self.send(command(Kind.AMEND, account=account, order_id=order_id, amount=lots))

    @rule(order_id=st.integers(-(2**63), 2**63 - 1), account=ACCOUNTS)
    def cancel_anything(self, order_id: int, account: int) -> None:
        self.send(command(Kind.CANCEL, account=account, order_id=order_id))

    @rule(later_ns=st.integers(0, 6))
    def time_passes(self, later_ns: int) -> None:
        self.time_ns += later_ns
        self.send(command(Kind.CLOCK))

    @rule(
        kind=st.sampled_from([Kind.DEPOSIT, Kind.WITHDRAW, Kind.EXIT_END]),
        account=ACCOUNTS,
        token=TOKENS,
        amount=AMOUNTS,
        flags=st.sampled_from([0, 0, ALWAYS]),
    )
    def move_money(self, kind: Kind, **fields: int) -> None:
        self.send(command(kind, **fields))

    @rule(account=ACCOUNTS, token=TOKENS, amount=AMOUNTS, unpaid=AMOUNTS)
    def exit_was_first(self, unpaid: int, **fields: int) -> None:
        self.send(command(Kind.EXIT_END, price_ticks=unpaid, flags=ALWAYS, **fields))

    @rule(
        buyer=ACCOUNTS,
        seller=ACCOUNTS,
        base_pips=AMOUNTS,
        quote_pips=AMOUNTS,
        fees=st.sampled_from([(0, 0), (1, 0), (1, -1), (0, 1)]),
        flags=st.sampled_from([0, ALWAYS, ALWAYS]),
    )
    def bust(
        self,
        buyer: int,
        seller: int,
        base_pips: int,
        quote_pips: int,
        fees: tuple[int, int],
        flags: int,
    ) -> None:
        row = {"account": buyer, "fee_cap_ppm": seller, "flags": flags}
        row |= {"price_ticks": base_pips, "amount": quote_pips}
        self.send(command(Kind.BUST, order_id=fees[0], expiry_ns=fees[1], **row))

    @rule(
        account=st.one_of(ACCOUNTS, st.just(ALL_ACCOUNTS)),
        market=st.sampled_from([0, 1, 2, ALL_MARKETS]),
    )
    def cancel_all(self, account: int, market: int) -> None:
        self.send(command(Kind.CANCEL_ALL, account=account, market=market))

    @rule(
        market=st.sampled_from([0, 0, 0, 1]),
        phase=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 5, -1]),
    )
    def set_phase(self, market: int, phase: int) -> None:
        self.send(command(Kind.SET_PHASE, market=market, amount=phase))

    @rule(low=NEAR, high=st.one_of(NEAR, st.just(PRICE_MAX)), lifted=st.booleans())
    def set_band(self, low: int, high: int, lifted: bool) -> None:
        low, high = (0, 0) if lifted else (low, high)
        self.send(command(Kind.SET_BAND, price_ticks=low, amount=high))

    @rule(
        market=st.sampled_from([0, 1, 2, 9]),
        tick_pips=st.sampled_from([0, 1, 1000, 2**50]),
        maker_ppm=st.sampled_from([70, -70, -10_000]),
        rare=st.integers(0, 5),
    )
    def change_terms(self, market: int, tick_pips: int, maker_ppm: int, rare: int) -> None:
        terms = {"maker_fee_ppm": maker_ppm, "taker_fee_ppm": 999}
        if rare == 0:
            self.send(set_terms(market, lot_pips=3, tick_pips=tick_pips, **terms))

    @rule(market=st.sampled_from([1, 2, 9]), kind=st.sampled_from([Kind.DELIST, Kind.POISON]))
    def delist_or_poison(self, market: int, kind: Kind) -> None:
        self.send(command(kind, market=market, account=1, order_id=5))

    @rule(account=ACCOUNTS, rare=st.integers(0, 5))
    def poison(self, account: int, rare: int) -> None:
        if rare == 0:
            self.send(command(Kind.POISON, account=account))

    @rule(account=ACCOUNTS)
    def leave(self, account: int) -> None:
        self.send(command(Kind.EXIT_BEGIN, account=account))

    @rule(
        kind=st.sampled_from([Kind.LIST_TOKEN, Kind.LIST_MARKET, Kind.OPEN_ACCOUNT]),
        number=st.integers(0, 4),
    )
    def list_something(self, kind: Kind, number: int) -> None:
        terms = {"order_id": 1, "price_ticks": 1} if kind == Kind.LIST_MARKET else {}
        self.send(command(kind, token=number, market=number % 3, account=number, **terms))

    @invariant()
    def engines_agree(self) -> None:
        assert self.kernel.state_hash() == self.oracle.state_hash()
        self.kernel.check()
        self.oracle.check()
        if self.sequence:
            for side in Side:
                assert self.kernel.best(0, side) == self.oracle.best(0, side)
            self.audit.agree(self.kernel, 3, 2)


TestTwoEngines = TwoEngines.TestCase
TestTwoEngines.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
