"""Are the four order flows shaped as they claim, and does the fast book play them right?"""

from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.bookalone import Book, dispatch
from benchmarks.oracle import OracleBook, rows_of
from benchmarks.profiles import (
    CANCEL_STORM,
    DEEP,
    LADDER_TICKS,
    MAKER,
    PROFILES,
    TAKER,
    make_day,
)
from engine.commands import Kind
from engine.types import Side, TimeInForce


class Played(NamedTuple):
    """A day and what came of it; ``main`` counts the part after the prefill."""

    day: object
    tally: object
    trades_main: int
    takers_main: int
    levels: int


def played(profile, scale):
    day = make_day(profile, 1, scale)
    book = Book(day.orders_max, LADDER_TICKS)
    book.play(day.prefill, np.zeros(day.prefill.size, np.int64))
    before = book.tally()
    book.play(day.main, np.zeros(day.main.size, np.int64))
    after = book.tally()
    orders = book.state.orders
    levels = np.unique(orders[["ladder", "price"]][orders["lots"] > 0]).size
    count = day.main.size
    return Played(
        day,
        after,
        (after.trades - before.trades) / count,
        (after.takers - before.takers) / count,
        levels,
    )


def shares_of(commands):
    """Return the shares of new, cancel, momentary (market orders among them) and replace."""
    momentary = commands["tif"] == TimeInForce.IOC
    kinds = commands["kind"]
    new = ((kinds == Kind.PLACE) & ~momentary).mean()
    return new, (kinds == Kind.CANCEL).mean(), momentary.mean(), (kinds == Kind.REPLACE).mean()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_kinds_come_in_their_shares(profile):
    new, cancel, immediate, replace, market = profile.shares
    found = shares_of(make_day(profile, 2, 10).main)
    assert found == pytest.approx((new, cancel, immediate + market, replace), abs=0.01)


def test_a_maker_day_trades_a_little_on_a_small_book():
    result = played(MAKER, 1)
    assert (result.day.prefill.size, result.day.main.size) == (5_000, 1_995_000)
    assert 0.15 < result.trades_main < 0.2 and 0.07 < result.takers_main < 0.1
    assert 4_000 < result.tally.resting < 5_200 and 350 < result.levels < 600


def test_a_taker_day_eats_its_book_down():
    result = played(TAKER, 1)
    assert (result.day.prefill.size, result.day.main.size) == (20_000, 980_000)
    assert 0.85 < result.trades_main < 0.98 and 0.5 < result.takers_main < 0.56
    assert 2_000 < result.tally.resting < 4_000 and 1_600 < result.levels < 3_000


def test_a_cancel_storm_leaves_nothing_and_trades_nothing():
    result = played(CANCEL_STORM, 1)
    assert result.day.main.size == 2_000_000 and result.day.orders_max == 1_000_000
    assert result.tally.trades == 0 and result.tally.resting == 0
    prices = result.day.main["price_ticks"][:1_000_000]
    assert np.ptp(prices) < 1 << 16, "16-bit prices are enough, as for one of the peers"
    cancels = result.day.main["order_id"][1_000_000:]
    assert np.unique(cancels).size == cancels.size
    assert abs(np.corrcoef(cancels, np.arange(cancels.size))[0, 1]) < 0.01, "in random order"


def test_a_deep_day_keeps_its_million():
    result = played(DEEP, 1)
    assert (result.day.prefill.size, result.day.main.size) == (1_000_000, 1_000_000)
    assert 0.11 < result.trades_main < 0.17 and 0.04 < result.takers_main < 0.06
    assert 900_000 < result.tally.resting < 970_000 and 250_000 < result.levels < 350_000


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_book_alone_agrees_with_the_oracle(profile):
    day = make_day(profile, 3, 50)
    book, oracle = Book(day.orders_max, LADDER_TICKS), OracleBook(day.orders_max)
    for commands in (day.prefill, day.main):
        answers = np.zeros(commands.size, np.int64)
        book.play(commands, answers)
        assert answers.tolist() == oracle.play(rows_of(commands)), "every id"
        assert book.tally() == oracle.tally()


def test_a_replace_keeps_its_side_and_so_crosses_no_more_than_others():
    day = make_day(DEEP, 4, 100)
    replaces = day.main[day.main["kind"] == Kind.REPLACE]
    ids = OracleBook(day.orders_max).play(rows_of(day.prefill))
    sides = dict(zip(ids, day.prefill["side"].tolist(), strict=True))
    known = [row for row in replaces if int(row["order_id"]) in sides]
    assert len(known) > 500
    assert all(row["side"] == sides[int(row["order_id"])] for row in known)


def test_the_floor_reads_every_command():
    day = make_day(TAKER, 5, 50)
    sums = np.zeros(5, np.int64)
    dispatch(day.main, sums)
    momentary = day.main["tif"] == TimeInForce.IOC
    kinds, mixed = day.main["kind"], day.main["price_ticks"] ^ day.main["amount"]
    assert sums.tolist() == [
        mixed[(kinds == Kind.PLACE) & ~momentary].sum(),
        mixed[momentary].sum(),
        day.main["order_id"][kinds == Kind.CANCEL].sum(),
        (day.main["order_id"] ^ day.main["price_ticks"])[kinds == Kind.REPLACE].sum(),
        0,
    ]
    assert set(day.main["side"].tolist()) == {Side.BUY, Side.SELL}
