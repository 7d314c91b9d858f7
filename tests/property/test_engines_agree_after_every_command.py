"""Can any short life of an exchange make the two engines differ, or break an invariant?

Hypothesis invents the life and shrinks a failure to the fewest commands that still show it.
"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine import core, reference
from engine.commands import Kind, batch_of, command, list_market
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, LOTS_MAX, MONEY_MAX, Limits, Side
from tests.property.audit import Audit

TINY = Limits(tokens=3, markets=2, accounts=4, orders=12, ladder_ticks=200, generations=6)
ACCOUNTS = st.integers(0, 3)
TOKENS = st.integers(0, 2)
PRICES = st.one_of(st.integers(62, 67), st.integers(126, 130), st.integers(-1, 201))
LOTS = st.one_of(st.integers(1, 9), st.sampled_from([0, -1, 2**31, LOTS_MAX, LOTS_MAX + 1]))
AMOUNTS = st.one_of(
    st.integers(0, 10**6), st.sampled_from([-1, MONEY_MAX, MONEY_MAX - 10**6, 2**63 - 1])
)


class TwoEngines(RuleBasedStateMachine):
    """One life lived twice, and audited."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.oracle = core.Engine(TINY), reference.Engine(TINY)
        self.audit = Audit()
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

    @initialize(tick_pips=st.sampled_from([1, 1000, 2**50]), ppm=st.sampled_from([0, 999, 10_000]))
    def open(self, tick_pips: int, ppm: int) -> None:
        terms = {"lot_pips": 3, "tick_pips": tick_pips, "maker_fee_ppm": 70, "taker_fee_ppm": ppm}
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
            [(0, 0), (0, 0), (0, 1), (1, 0), (1, 2), (1, 1), (0, 2), (2, 0), (2, 2), (2, 1), (3, 0)]
        ),
        self_mode=st.sampled_from([0, 0, 4, 8, 12, 16]),
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
    )
    def move_money(self, kind: Kind, account: int, token: int, amount: int) -> None:
        self.send(command(kind, account=account, token=token, amount=amount))

    @rule(account=ACCOUNTS, market=st.sampled_from([0, 1, 2, ALL_MARKETS]))
    def cancel_all(self, account: int, market: int) -> None:
        self.send(command(Kind.CANCEL_ALL, account=account, market=market))

    @rule(market=st.integers(0, 1), phase=st.sampled_from([0, 0, 0, 1, 2, 3, 4, -1]))
    def set_phase(self, market: int, phase: int) -> None:
        self.send(command(Kind.SET_PHASE, market=market, amount=phase))

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
                assert self.kernel.depth(0, side, 5) == self.oracle.depth(0, side, 5)
            self.audit.agree(self.kernel, 3, 2)


TestTwoEngines = TwoEngines.TestCase
TestTwoEngines.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
