"""Are the five scenarios what the challenge publishes, and does the library report them rightly?"""

import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from benchmarks.challenge.build import HERE, build_program
from benchmarks.challenge.layout import MESSAGE, REPORT
from benchmarks.challenge.oracle import Oracle
from benchmarks.challenge.scenarios import (
    SCENARIOS,
    messages_of,
    with_ids_in_sequence,
    with_scattered_ids,
)
from benchmarks.challenge.statistics import statistics_of
from benchmarks.challenge.words import MessageType, ReportType, judged_hash, judged_lines
from tests.challenge.fixtures import Library, buy, cancel, expected, play_in_host, sell, stream

ORDERS = 3_000
ORDERS_SOAKED = 200_000
SEEDS_SOAKED = 40
ORDERS_MEASURED = 120_000

FILLS = dict.fromkeys(SCENARIOS, (60, 78)) | {"static": (0.5, 1.6)}
"""Thousands of fills of a million orders. Published: 62 to 70, and 0.8."""
STANDING = {
    "static": (20_900, 41_800),
    "normal": (2_700, 5_500),
    "swing-25": (1_300, 2_600),
    "swing-40": (700, 1_400),
    "flash-crash": (240, 500),
}
"""Published orders in the book, on average and at most, of a million."""
LEVELS = {
    "static": (60, 90),
    "normal": (250, 380),
    "swing-25": (620, 1_400),
    "swing-40": (500, 1_400),
    "flash-crash": (150, 500),
}
"""Prices with orders, on average. Published: 60 to 90, 290 to 330, 830 to 1,400 and nothing."""


@pytest.fixture(scope="module")
def library():
    return Library()


def random_runs(messages, seed):
    """Cut ``messages`` into runs of 1 to 300."""
    cuts = np.cumsum(np.random.default_rng(seed).integers(1, 300, messages.size))
    return np.split(messages, cuts[cuts < messages.size])


def agrees(library, messages, seed):
    """Play ``messages`` in random runs and compare lines and answers with the oracle's."""
    oracle, parts = Oracle(), []
    with library.opened():
        for run in random_runs(messages, seed):
            parts.append(library.batch(run))
            oracle.play(run)
            bid, ask = oracle.best_bid(), oracle.best_ask()
            assert (library.best_bid(), library.best_ask()) == (bid, ask)
            assert library.depth_at(bid, 0) == oracle.depth_at(bid, 0)
            assert library.depth_at(ask, 1) == oracle.depth_at(ask, 1)
    assert judged_hash(np.concatenate(parts)) == judged_hash(oracle.reports())


@pytest.mark.cc
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_scenario_is_reported_as_the_oracle_does(library, scenario, seed):
    agrees(library, messages_of(scenario, ORDERS, seed), seed)


@pytest.mark.cc
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("renamed", [with_scattered_ids, with_ids_in_sequence])
def test_other_ids_are_as_good_as_permuted_ones(library, scenario, renamed):
    agrees(library, renamed(messages_of(scenario, ORDERS, 4)), 4)


@pytest.mark.cc
def test_a_hundred_thousand_named_orders_rest_and_none_is_lost(library):
    far = [sell(2**40 + 977 * number, 10**6 + number % 1000, 1) for number in range(100_000)]
    messages = stream([*far, *(cancel(order[1]) for order in far[::2]), buy(1, 10**9, 10**6)])

    with library.opened():
        reports = np.concatenate([library.batch(run) for run in np.array_split(messages, 5)])

    counts = np.bincount(reports["type"], minlength=len(ReportType))
    assert counts.tolist() == [100_001, 50_000, 50_000, 0, 0, 0]


@pytest.mark.cc
def test_an_engine_can_be_opened_again_and_begins_empty(library):
    for price in (100, 200):
        with library.opened():
            assert (library.best_bid(), library.best_ask()) == (-(2**63), 2**63 - 1)
            library.batch(stream([buy(1, price, 5)]))
            assert library.best_bid() == price


@pytest.mark.cc
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_host_that_is_not_python_gets_the_same(scenario):
    messages = messages_of(scenario, ORDERS, 5)

    reports = play_in_host(messages, 257)

    assert judged_lines(reports) == expected(messages)


@pytest.mark.cc
def test_a_host_may_call_message_by_message():
    messages = messages_of("normal", ORDERS, 6)

    reports = play_in_host(messages, 0)

    assert judged_lines(reports) == expected(messages)


@pytest.mark.cc
def test_a_host_may_bring_its_own_queue():
    sweep = [*(sell(number, 100, 1) for number in range(1, 5001)), buy(9999, 100, 5001)]
    messages = np.concatenate([messages_of("swing-25", ORDERS, 7), stream(sweep)])
    messages["sequence"] = np.arange(messages.size)

    reports = play_in_host(messages, 1000, own_queue=False)

    assert judged_lines(reports) == expected(messages)


@pytest.mark.cc
def test_the_queue_loses_and_turns_round_nothing_in_many_laps():
    sources = Path(__file__).with_name("queue_laps.c"), HERE / "queue.c"

    done = subprocess.run([build_program("queue_laps", *sources)], check=False, timeout=100)

    assert done.returncode == 0, done


@pytest.mark.cc
@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_large_streams_of_many_seeds(library, scenario):
    for seed in range(SEEDS_SOAKED):
        messages = messages_of(scenario, ORDERS_SOAKED, seed)
        agrees(library, with_scattered_ids(messages) if seed % 2 else messages, seed)


def agrees_with_the_published(scenario, orders):
    """Generate a scenario of so many orders and return its statistics, which are of a million."""
    counted = statistics_of(messages_of(scenario, orders, 1))
    per_million = 1_000_000 / orders
    fills = counted.fills * per_million / 1000
    average, most = counted.standing_average * per_million, counted.standing_most * per_million
    levels, messages = counted.levels_average, counted.messages / orders
    assert FILLS[scenario][0] <= fills <= FILLS[scenario][1]
    assert 0.75 * STANDING[scenario][0] <= average <= 1.25 * STANDING[scenario][0]
    assert 0.75 * STANDING[scenario][1] <= most <= 1.25 * STANDING[scenario][1]
    assert 1.95 <= messages <= 2.05, "about 2.0 M messages"
    return levels


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_statistics_are_those_published(scenario):
    agrees_with_the_published(scenario, ORDERS_MEASURED)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_million_orders_stand_at_the_published_prices(scenario):
    levels = agrees_with_the_published(scenario, 1_000_000)

    assert LEVELS[scenario][0] <= levels <= LEVELS[scenario][1]


def test_orders_cancels_and_modifies_have_the_published_shares():
    messages = messages_of("normal", ORDERS_MEASURED, 1)
    new = messages[messages["type"] == MessageType.NEW]
    modifies = messages[messages["type"] == MessageType.MODIFY]
    cancels = messages[messages["type"] == MessageType.CANCEL]
    lasting = np.count_nonzero(new["ioc"] == 0)

    assert new.size == ORDERS_MEASURED
    assert 0.14 <= np.mean(new["ioc"]) <= 0.16
    assert 0.94 <= np.unique(cancels["order_id"]).size / lasting <= 0.96
    assert 1.015 <= cancels.size / np.unique(cancels["order_id"]).size <= 1.025, "duplicates"
    assert 0.20 <= modifies.size / lasting <= 0.23, "one in five, and the stale ones"
    assert (new["quantity"].min(), new["quantity"].max()) == (1, 100)
    assert np.intersect1d(new["order_id"][new["ioc"] == 1], cancels["order_id"]).size == 0


def test_ids_are_a_permutation_and_renaming_changes_nothing_else():
    permuted = messages_of("normal", ORDERS, 1)
    new = permuted["type"] == MessageType.NEW
    sequential = with_ids_in_sequence(permuted)

    assert sorted(permuted["order_id"][new]) == list(range(1, ORDERS + 1))
    assert np.mean(np.diff(permuted["order_id"][new].astype(np.int64)) == 1) < 0.01, "no order"
    assert sequential["order_id"][new].tolist() == list(range(1, ORDERS + 1))
    for renamed in (sequential, with_scattered_ids(permuted)):
        pairs = np.unique(np.stack([permuted["order_id"], renamed["order_id"]]), axis=1)
        assert pairs.shape[1] == np.unique(renamed["order_id"]).size == ORDERS, "one for one"
        for field in ("type", "sequence", "price_ticks", "quantity", "side", "ioc"):
            assert np.array_equal(permuted[field], renamed[field])


def test_the_hash_is_of_the_text_without_a_last_newline():
    reports = np.zeros(2, REPORT)
    reports["sequence"] = [1, 2]

    assert judged_hash(reports) == sha256(b"0,1,0,0,0,0\n0,2,0,0,0,0").hexdigest()


def test_a_seed_gives_the_same_messages_and_another_gives_others():
    first = messages_of("normal", 1000, 1)

    assert first.dtype == MESSAGE and np.array_equal(first, messages_of("normal", 1000, 1))
    assert not np.array_equal(first, messages_of("normal", 1000, 2))


def test_the_judged_text_is_sorted_by_sequence_and_type_and_stable():
    reports = np.zeros(4, REPORT)
    reports["type"] = [ReportType.CANCEL_ACK, ReportType.TRADE, ReportType.TRADE, 0]
    reports["sequence"] = [7, 7, 7, 3]
    reports["quantity"] = [0, 5, 4, 9]
    reports["maker_order_id"] = [0, 2**63 + 1, 2, 0]

    assert judged_lines(reports) == [
        "0,3,0,0,0,9",
        f"1,7,0,5,{2**63 + 1},0",
        "1,7,0,4,2,0",
        "2,7,0,0,0",
    ]
