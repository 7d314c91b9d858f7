"""Is a price far away from all others a price like any other?"""

import pytest

from engine.types import PRICE_MAX, Phase
from tests.ladder import SMALL, Desk, tidy
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
def desk(build: Build) -> Desk:
    """Return a desk whose money is small enough for any price."""
    desk = Desk(build(SMALL))
    desk.set_terms(lot_pips=1, tick_pips=1)
    return desk


def test_a_ladder_may_span_all_prices(desk: Desk) -> None:
    desk.rest(FAR)

    assert desk.book() == tidy(FAR)
    desk.engine.check()


def test_an_order_sweeps_from_the_first_price_to_the_last(desk: Desk) -> None:
    desk.rest(FAR)

    said = desk.buy("Tara", 11, PRICE_MAX)

    assert [words for words in said if "with" in words] == [
        "3 at 4097 with Dave",
        "1 at 1000000007 with Carol",
        "1 at 1000000007 with Bob",
        f"2 at {PRICE_MAX - 1} with Bob",
        f"2 at {PRICE_MAX - 1} with Bob",
        f"1 at {PRICE_MAX - 1} with Bob",
        f"1 at {PRICE_MAX} with Alice",
    ]
    assert desk.sell("Tara", 18, 1)[-1] == "1 at 1 with Bob"
    assert desk.book() == ""
    desk.engine.check()


def test_it_can_be_left_alone_cancelled_amended_and_replaced_there(desk: Desk) -> None:
    desk.rest(FAR)

    assert desk.amend("Bob", desk.id_of("Bob", PRICE_MAX - 1), 1) == [
        f"Bob keeps 1 at {PRICE_MAX - 1}"
    ]
    assert desk.replace("Alice", desk.id_of("Alice", PRICE_MAX), 1, 4098)[-1] == "rests 1 at 4098"
    desk.cancel("Carol", desk.id_of("Carol", 10**9 + 7))
    desk.cancel("Dave", desk.id_of("Dave", 4097))
    desk.cancel("Bob", desk.id_of("Bob", 1))
    assert desk.book() == tidy(f"""
        {PRICE_MAX - 1} sell Bob 1
        1000000007 sell Bob 1
        4098 sell Alice 1
        4096 buy Dave 4
        4095 buy Carol 5, Bob 1
        2 buy Alice 2+5
    """)
    desk.engine.check()


def test_stops_and_bands_reach_as_far(desk: Desk) -> None:
    desk.rest(f"{PRICE_MAX} sell Alice 2\n1 buy Bob 2")
    desk.stop("Carol", "buy", 1, PRICE_MAX, PRICE_MAX)
    desk.stop("Dave", "sell", 1, 1, 1)

    assert desk.buy("Tara", 1, PRICE_MAX) == [
        f"1 at {PRICE_MAX} with Alice",
        f"Carol wakes 1 at {PRICE_MAX} from {PRICE_MAX}",
        f"1 at {PRICE_MAX} with Alice",
    ]
    assert desk.sell("Tara", 1, 1)[-1] == "1 at 1 with Bob"
    assert desk.set_band(1, PRICE_MAX) == [f"band 1 to {PRICE_MAX}"]


def test_an_auction_may_cross_from_end_to_end(desk: Desk) -> None:
    desk.phase(Phase.AUCTION)
    desk.buy("Alice", 3, PRICE_MAX)
    desk.sell("Bob", 3, 1)

    assert desk.phase(Phase.OPEN)[:2] == ["3 at 1: Alice buys from Bob", "uncrossed 3 at 1"]


@pytest.mark.parametrize("price", [0, -1, PRICE_MAX + 1, 2**62])
def test_beyond_the_bounds_there_is_nothing(desk: Desk, price: int) -> None:
    assert desk.buy("Tara", 1, price) == ["refused: PRICE_OUT_OF_RANGE"]


@pytest.mark.parametrize("ticks", [64, 4096, 2**20])
def test_the_size_of_the_window_never_shows(build: Build, ticks: int) -> None:
    hashes = set()
    for window in (ticks, SMALL.ladder_ticks):
        desk = Desk(build(SMALL._replace(ladder_ticks=window)))
        desk.set_terms(lot_pips=1, tick_pips=1)
        desk.rest(FAR)
        desk.buy("Tara", 4, PRICE_MAX)
        hashes.add(desk.engine.state_hash())

    assert len(hashes) == 1
