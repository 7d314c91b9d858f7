"""Is a price far away from all others a price like any other?"""

import pytest

from engine.types import PRICE_MAX, Phase
from tests.ladder import SMALL, Driver, tidy
from tests.spec.conftest import Build

FAR = f"""
    {PRICE_MAX} sell  Alice 1
    {PRICE_MAX - 1} sell  Bob 2+3
    1000000007 sell  Carol 1, Bob 1
    4097 sell  Dave 3
    4096 buy   Dave 4
    4095 buy   Carol 5, Bob 1
    2 buy   Alice 2+5
    1 buy   Bob 1
"""


@pytest.fixture
def driver(build: Build) -> Driver:
    """Return a driver whose money is small enough for any price."""
    driver = Driver(build(SMALL))
    driver.set_terms(lot_pips=1, tick_pips=1)
    return driver


def test_a_ladder_may_span_all_prices(driver: Driver) -> None:
    driver.rest(FAR)

    assert driver.book() == tidy(FAR)
    driver.engine.check()


def test_an_order_sweeps_from_the_first_price_to_the_last(driver: Driver) -> None:
    driver.rest(FAR)

    said = driver.buy("Tara", 11, PRICE_MAX)

    assert [words for words in said if "with" in words] == [
        "3 at 4097 with Dave",
        "1 at 1000000007 with Carol",
        "1 at 1000000007 with Bob",
        f"2 at {PRICE_MAX - 1} with Bob",
        f"2 at {PRICE_MAX - 1} with Bob",
        f"1 at {PRICE_MAX - 1} with Bob",
        f"1 at {PRICE_MAX} with Alice",
    ]
    assert driver.sell("Tara", 18, 1)[-1] == "1 at 1 with Bob"
    assert driver.book() == ""
    driver.engine.check()


def test_it_can_be_left_alone_cancelled_amended_and_replaced_there(driver: Driver) -> None:
    driver.rest(FAR)

    assert driver.amend("Bob", driver.id_of("Bob", PRICE_MAX - 1), 1) == [
        f"Bob keeps 1 at {PRICE_MAX - 1}"
    ]
    assert (
        driver.replace("Alice", driver.id_of("Alice", PRICE_MAX), 1, 4098)[-1] == "rests 1 at 4098"
    )
    driver.cancel("Carol", driver.id_of("Carol", 10**9 + 7))
    driver.cancel("Dave", driver.id_of("Dave", 4097))
    driver.cancel("Bob", driver.id_of("Bob", 1))
    assert driver.book() == tidy(f"""
        {PRICE_MAX - 1} sell Bob 1
        1000000007 sell Bob 1
        4098 sell Alice 1
        4096 buy Dave 4
        4095 buy Carol 5, Bob 1
        2 buy Alice 2+5
    """)
    driver.engine.check()


def test_stops_and_bands_reach_as_far(driver: Driver) -> None:
    driver.rest(f"{PRICE_MAX} sell Alice 2\n1 buy Bob 2")
    driver.stop("Carol", "buy", 1, PRICE_MAX, PRICE_MAX)
    driver.stop("Dave", "sell", 1, 1, 1)

    assert driver.buy("Tara", 1, PRICE_MAX) == [
        f"1 at {PRICE_MAX} with Alice",
        f"Carol wakes 1 at {PRICE_MAX} from {PRICE_MAX}",
        f"1 at {PRICE_MAX} with Alice",
    ]
    assert driver.sell("Tara", 1, 1)[-1] == "1 at 1 with Bob"
    assert driver.set_band(1, PRICE_MAX) == [f"band 1 to {PRICE_MAX}"]


def test_an_auction_may_cross_from_end_to_end(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    driver.buy("Alice", 3, PRICE_MAX)
    driver.sell("Bob", 3, 1)

    assert driver.phase(Phase.OPEN)[:2] == ["3 at 1: Alice buys from Bob", "uncrossed 3 at 1"]


@pytest.mark.parametrize("price", [0, -1, PRICE_MAX + 1, 2**62])
def test_beyond_the_bounds_there_is_nothing(driver: Driver, price: int) -> None:
    assert driver.buy("Tara", 1, price) == ["refused: PRICE_OUT_OF_RANGE"]


@pytest.mark.parametrize("ticks", [64, 4096, 2**20])
def test_the_size_of_the_window_never_shows(build: Build, ticks: int) -> None:
    hashes = set()
    for window in (ticks, SMALL.ladder_ticks):
        driver = Driver(build(SMALL._replace(ladder_ticks=window)))
        driver.set_terms(lot_pips=1, tick_pips=1)
        driver.rest(FAR)
        driver.buy("Tara", 4, PRICE_MAX)
        hashes.add(driver.engine.state_hash())

    assert len(hashes) == 1
