"""A step that finds nothing to do costs one statement, and none passes over what is due.

It cost forty-one in nineteen transactions, a few times a second in every process. That each kind of
work is found due by its own rows the tests of that work show: none of it happens but in a step.
"""

import asyncio
from functools import partial

import pytest
from sqlalchemy import Boolean, bindparam

from merchants.steps import AtOnce, InTurns, Steps
from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw
from tests.merchants.test_a_burst_costs_few_statements import Statements

READ = 2
"""A transaction that only reads, and what it asks."""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def step(world):
    return asyncio.run(world.venue.merchants.step())


def test_a_step_with_nothing_to_do_asks_once(world):
    venue = world.venue
    store = venue.approved_store()
    paid, _ = venue.invoice(store, amount="50"), venue.invoice(store, amount="50")
    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), confirmations=CONFIRMATIONS)
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
    venue.tick()
    assert "invoice.settled" in venue.types(store)
    asked = Statements(venue.database)

    assert asked.of(partial(step, world)) == READ
    assert asked.commits == 1


def test_what_falls_due_by_time_news_or_a_start_is_found_by_the_next_step(world):
    venue = world.venue
    store = venue.approved_store()
    unpaid, paid = venue.invoice(store, amount="50"), venue.invoice(store, amount="50")
    venue.tick()
    told = len(world.received)

    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), confirmations=CONFIRMATIONS)
    venue.watch()
    venue.tick()
    assert len(world.sweeps_wanted) == 1, "by news from the chain"
    assert len(world.received) > told
    venue.settle_sweeps()
    venue.tick()
    assert "conversion.filled" in venue.types(store), "by the log"
    world.trades_are("final")
    venue.tick()
    assert "conversion.final" in venue.types(store), "by news of the settler"
    world.pass_time(24 * 3600)
    venue.tick()
    assert venue.merchants.reader.invoice(unpaid.id).status == "expired", "by time"


class Kinds:
    """Three kinds of work, due by a word of the test."""

    def __init__(self, database, clock):
        self.due = {"a": False, "b": False, "c": False}
        self.done = []
        self.leaves = {}  # What is due behind each.
        self.is_more = set()
        flag = partial(bindparam, type_=Boolean)
        works = (
            AtOnce(flag("a"), partial(self.act, "a")),
            InTurns(flag("b"), partial(self.move_on, "b")),
            AtOnce(flag("c"), partial(self.act, "c")),
        )
        self.steps = Steps(database, clock, lambda: self.due, works)

    def do(self, name):
        self.done.append(name)
        self.due[name] = False
        self.due.update(dict.fromkeys(self.leaves.get(name, ""), True))

    async def act(self, name):
        self.do(name)
        return name not in self.is_more

    def move_on(self, name, _session, _now_ns, turn):
        self.do(name)
        turn.is_whole = name not in self.is_more


@pytest.fixture
def kinds(world):
    return Kinds(world.venue.database, world.clock)


@pytest.mark.parametrize("names", ["", "a", "b", "c", "ab", "ac", "bc", "abc"])
def test_what_is_due_is_done_in_order_and_nothing_else(kinds, names):
    kinds.due.update(dict.fromkeys(names, True))
    assert asyncio.run(kinds.steps.step()) is False
    assert kinds.done == list(names)


def test_what_one_kind_leaves_is_done_by_those_behind_it_and_by_the_next_step(kinds):
    kinds.due["b"], kinds.leaves = True, {"b": "ac"}
    asyncio.run(kinds.steps.step())
    assert kinds.done == ["b", "c"]
    asyncio.run(kinds.steps.step())
    assert kinds.done == ["b", "c", "a"]


@pytest.mark.parametrize("name", ["a", "c"])
def test_a_step_says_that_there_is_more(kinds, name):
    kinds.due.update(a=True, b=True, c=True)
    kinds.is_more = {name}
    assert asyncio.run(kinds.steps.step()) is True
