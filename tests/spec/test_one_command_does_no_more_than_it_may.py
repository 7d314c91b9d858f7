"""What is too much for one command, and what becomes of the rest?

Here an order may have 3 fills and pass over 2 orders, and a command may cause 6 trades and do work
on 5 orders.
"""

from collections.abc import Iterator

import pytest

from engine.types import Phase, Side
from tests.ladder import FOK, IOC, SMALL, Driver, tidy
from tests.spec.conftest import Build

FEW = {"fills": 3, "trades": 6, "passes": 2, "work": 5}
EXPIRE_MAKER = {"flags": 4}
BOOK = """
    104 sell  Dave 1
    103 sell  Carol 1
    102 sell  Bob 1
    101 sell  Alice 1
"""


@pytest.fixture
def driver(build: Build) -> Iterator[Driver]:
    """Return a driver before an engine that may do little; its books are proven after the test."""
    driver = Driver(build(SMALL._replace(**FEW)))
    yield driver
    driver.book()
    driver.engine.check()


# One order.


@pytest.mark.parametrize("terms", [{}, IOC], ids=["good till cancelled", "immediate"])
def test_an_order_ends_after_its_last_fill_if_it_would_meet_more(driver: Driver, terms) -> None:
    driver.rest(BOOK)

    said = driver.buy("Tara", 5, 104, **terms)

    assert said[:-1] == ["1 at 101 with Alice", "1 at 102 with Bob", "1 at 103 with Carol"]
    assert said[-1] == "drops 2 at 104: FILLS_EXHAUSTED", "it must not rest where it crosses"
    assert driver.book() == "104 sell Dave 1"


def test_an_order_rests_after_its_last_fill_if_it_meets_nobody(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 5, 103)[-1] == "rests 2 at 103"


def test_a_replacement_has_no_more_fills_than_an_order(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.buy("Tara", 9, 90)

    said = driver.replace("Tara", driver.id_of("Tara", 90), 9, 104)

    assert said[-1] == "drops 6 at 104: FILLS_EXHAUSTED"


def test_whole_or_nothing_counts_its_fills(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 4, 104, **FOK) == ["drops 4 at 104: NOT_FILLABLE_WHOLE"]
    assert driver.book() == tidy(BOOK)
    assert len(driver.buy("Tara", 3, 104, **FOK)) == 3


def test_the_dead_in_its_way_are_removed_as_far_as_it_may(driver: Driver) -> None:
    for price in (101, 102, 103):
        driver.sell("Alice", 1, price, expiry_ns=10)
    driver.sell("Bob", 1, 104)
    driver.time_ns = 10

    assert driver.buy("Tara", 1, 104) == [
        "Alice leaves 1 at 101: EXPIRED",
        "Alice leaves 1 at 102: EXPIRED",
        "drops 1 at 104: WORK_EXHAUSTED",
    ]
    assert driver.buy("Tara", 1, 104) == ["Alice leaves 1 at 103: EXPIRED", "1 at 104 with Bob"]


def test_its_own_orders_are_removed_as_far_as_it_may(driver: Driver) -> None:
    driver.rest("101 sell Tara 1, Tara 1, Tara 1, Bob 1")

    said = driver.buy("Tara", 1, 101, **EXPIRE_MAKER)

    assert said == [*["Tara leaves 1 at 101: SELF_TRADE"] * 2, "drops 1 at 101: WORK_EXHAUSTED"]


@pytest.mark.parametrize("own", [2, 3])
def test_found_whole_or_nothing_does_not_look_past_any_number_of_its_own(
    driver: Driver, own: int
) -> None:
    driver.rest(f"101 sell {'Tara 1, ' * own}Bob 1+1")
    before = driver.book()

    said = driver.buy("Tara", 2, 101, flags=EXPIRE_MAKER["flags"], **FOK)

    if own == 2:
        assert said[-1] == "1 at 101 with Bob"
    else:
        assert said == ["drops 2 at 101: NOT_FILLABLE_WHOLE"]
        assert driver.book() == before


# Stops.


def many_stops(driver: Driver) -> None:
    """Let nine stops of one lot wait for 101, and Dave sell to each of them there."""
    driver.rest("101 sell Dave 100")
    for _ in range(9):
        driver.stop("Bob", "buy", 1, 101, 101)


def woken(said: list[str]) -> int:
    return sum("wakes" in words for words in said)


def test_stops_wake_while_an_order_more_has_room_for_all_its_fills(driver: Driver) -> None:
    many_stops(driver)

    said = driver.buy("Tara", 1, 101)

    # Three on five: each stop is work, and two of five must be left for what one may pass over.
    assert woken(said) == 3
    assert len(driver.waiting()) == 6


def test_a_stop_that_was_reached_goes_before_every_order_that_came_later(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Tara", 1, 101)

    said = driver.buy("Carol", 1, 101)
    assert (woken(said), said[-1]) == (3, "refused: STOPS_PENDING")
    said = driver.buy("Carol", 1, 101)
    assert (woken(said), said[-1]) == (3, "refused: STOPS_PENDING"), "all woke, but no room is left"
    assert driver.waiting() == []
    assert driver.buy("Carol", 1, 101) == ["1 at 101 with Dave"]


def test_a_replacement_lets_them_go_first_too(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Carol", 1, 90)
    driver.buy("Tara", 1, 101)

    said = driver.replace("Carol", driver.id_of("Carol", 90), 1, 101)

    assert (woken(said), said[-1]) == (3, "refused: STOPS_PENDING")
    assert "90 buy Carol 1" in driver.book()


def test_the_clock_wakes_them_and_so_does_the_market_when_it_opens_again(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Tara", 1, 101)

    assert woken(driver.clock(1)) == 3
    driver.phase(Phase.HALTED)
    assert woken(driver.clock(2)) == 0
    assert woken(driver.phase(Phase.OPEN)) == 3
    assert driver.clock(3) == []


def test_no_stop_is_armed_while_old_prices_are_remembered(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Tara", 1, 101)
    driver.phase(Phase.AUCTION)

    assert driver.stop("Carol", "sell", 1, 90, 95) == ["refused: STOPS_PENDING"]
    assert driver.buy("Carol", 1, 90) == ["rests 1 at 90"], "what only rests may come"


def test_a_price_is_forgotten_when_the_stops_it_reached_have_left(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Tara", 1, 101)
    driver.cancel_all("Bob")
    driver.cancel_all("Bob")

    assert driver.stop("Carol", "buy", 1, 102, 102) == ["waits 1 at 102 from 102"]
    assert driver.clock(1) == []


def test_other_markets_do_not_wait_for_them(driver: Driver) -> None:
    many_stops(driver)
    driver.buy("Tara", 1, 101)

    assert driver.buy("Carol", 1, 101, market=1) == ["refused: UNKNOWN_MARKET"]
    assert len(driver.waiting()) == 6


# Many orders at once.


def test_the_clock_removes_the_dead_in_portions(driver: Driver) -> None:
    for price in range(101, 108):
        driver.sell("Alice", 1, price, expiry_ns=10)

    assert len(driver.clock(10)) == 5
    assert driver.clock(10) == ["Alice leaves 1 at 106: EXPIRED", "Alice leaves 1 at 107: EXPIRED"]


@pytest.mark.parametrize("whose", ["Alice", "everybody"])
def test_cancelling_all_says_how_many_are_left(driver: Driver, whose: str) -> None:
    for price in range(101, 108):
        driver.sell("Alice", 1, price)

    def cancel() -> str:
        said = driver.cancel_everybody() if whose == "everybody" else driver.cancel_all("Alice")
        return said[-1].replace(": CANCELLED_BY_OPERATOR", "")

    assert cancel() == f"{whose} cancelled 5, 2 left"
    assert cancel() == f"{whose} cancelled 2"


@pytest.mark.parametrize("change", ["terms", "delist", "band"])
def test_what_would_cancel_too_many_is_refused(driver: Driver, change: str) -> None:
    for price in range(101, 107):
        driver.sell("Alice", 1, price)

    def send() -> list[str]:
        if change == "band":
            return driver.set_band(200, 300)
        return driver.set_terms(lot_pips=7) if change == "terms" else driver.delist()

    before = driver.book(), driver.money("Alice")
    assert send() == ["refused: TOO_MANY_ORDERS"]
    assert (driver.book(), driver.money("Alice")) == before
    driver.cancel("Alice", driver.id_of("Alice", 101))
    assert sum("leaves" in words for words in send()) == 5


def test_dead_mans_switches_go_off_in_portions(driver: Driver) -> None:
    for name in ("Alice", "Bob"):
        for price in range(101, 105):
            driver.sell(name, 1, price)
        driver.cancel_after(name, 10)

    said = driver.clock(10)
    assert said[-1] == "Alice cancelled 4: CANCELLED_AFTER"
    assert sum("Bob leaves" in words for words in said) == 1
    assert driver.clock(10)[-1] == "Bob cancelled 3: CANCELLED_AFTER"
    assert driver.clock(10) == []


def test_an_account_that_leaves_takes_all_its_orders_with_it(driver: Driver) -> None:
    for price in range(101, 108):
        driver.sell("Alice", 1, price)

    assert len(driver.leave("Alice")) == 8


# Auctions.


def crossed(driver: Driver, pairs: int) -> None:
    """Let so many buyers and sellers agree on 100."""
    driver.phase(Phase.AUCTION)
    for _ in range(pairs):
        driver.buy("Alice", 1, 100)
        driver.sell("Bob", 1, 100)


def test_an_auction_goes_on_at_its_price_until_it_is_over(driver: Driver) -> None:
    crossed(driver, 8)

    said = driver.phase(Phase.OPEN)
    assert said[:6] == ["1 at 100: Alice buys from Bob"] * 6
    assert said[6:] == ["uncrossed 6 at 100: MORE_REMAINS", "phase CANCEL_ONLY: MORE_REMAINS"]
    assert driver.buy("Carol", 1, 100) == ["refused: MARKET_CANCEL_ONLY"]

    assert driver.phase(Phase.OPEN) == [
        *["1 at 100: Alice buys from Bob"] * 2,
        "uncrossed 2 at 100",
        "phase OPEN",
    ]


def test_its_price_stays_though_another_would_be_found_now(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    for _ in range(7):
        driver.buy("Alice", 1, 104)
    for price in (98, 98, 98, 98, 98, 98, 104):
        driver.sell("Bob", 1, price)
    price = 104  # Seven lots: the only price at which all of them trade.

    assert driver.phase(Phase.OPEN)[-2] == f"uncrossed 6 at {price}: MORE_REMAINS"
    assert driver.phase(Phase.OPEN)[-2] == f"uncrossed 1 at {price}"


def test_what_is_left_crossed_by_a_cancel_gets_a_price_of_its_own(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    for _ in range(8):
        driver.buy("Alice", 1, 110)
    for price in (*(100,) * 8, 105):
        driver.sell("Bob", 1, price)

    assert "MORE_REMAINS" in driver.phase(Phase.OPEN)[-2]
    driver.cancel("Bob", driver.id_of("Bob", 100))
    driver.cancel("Bob", driver.id_of("Bob", 100))
    said = driver.phase(Phase.OPEN)

    assert said[-1] == "phase OPEN"
    assert driver.engine.best(0, Side.SELL) is None


def test_collecting_anew_forgets_the_price(driver: Driver) -> None:
    crossed(driver, 8)
    driver.phase(Phase.OPEN)
    driver.phase(Phase.AUCTION)
    for _ in range(3):
        driver.buy("Carol", 1, 107)
        driver.sell("Dave", 1, 107)

    assert driver.phase(Phase.OPEN)[-1] == "phase OPEN"


def test_stops_hear_of_an_auction_when_all_of_it_is_over(driver: Driver) -> None:
    driver.stop("Carol", "buy", 1, 100, 100)
    crossed(driver, 8)

    assert woken(driver.phase(Phase.OPEN)) == 0
    driver.cancel_all("Alice")
    driver.cancel_all("Bob")
    assert woken(driver.phase(Phase.OPEN)) == 1


def test_the_dead_leave_an_auction_in_portions_and_never_trade(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    for _ in range(6):
        driver.buy("Alice", 1, 100, expiry_ns=10)
    driver.buy("Carol", 1, 100)
    driver.sell("Bob", 1, 100)
    driver.time_ns = 10

    assert driver.phase(Phase.OPEN)[-1] == "phase AUCTION: MORE_REMAINS"
    assert driver.phase(Phase.OPEN)[-3:] == [
        "1 at 100: Carol buys from Bob",
        "uncrossed 1 at 100",
        "phase OPEN",
    ]
