"""When does a fill-or-kill order trade, and what does it leave alone when it does not?"""

import pytest

from engine.types import FILLS_MAX, OrderFlag, TimeInForce
from tests.ladder import FOK, SMALL, Driver, tidy
from tests.spec.conftest import Build

BOOK = """
    104 sell  Dave 50
    103 sell  Carol 5
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10, Carol 2
     97 buy   Alice 4
"""


def test_it_takes_all_it_wants_over_all_levels_up_to_its_limit(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 15, 103, **FOK) == [
        "3 at 101 with Alice",
        "7 at 101 with Bob",
        "5 at 103 with Carol",
    ]
    assert driver.sell("Tara", 16, 97, **FOK) == [
        "10 at 99 with Dave",
        "2 at 99 with Carol",
        "4 at 97 with Alice",
    ]
    assert driver.book() == "104 sell Dave 50"


def test_one_lot_too_many_and_nothing_happens(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 16, 103, **FOK) == ["drops 16 at 103: NOT_FILLABLE_WHOLE"]
    assert driver.sell("Tara", 13, 98, **FOK) == ["drops 13 at 98: NOT_FILLABLE_WHOLE"]
    assert driver.book() == tidy(BOOK)
    assert driver.money("Tara") == Driver(type(driver.engine)(SMALL)).money("Tara")


def test_an_empty_side_fills_nothing(driver: Driver) -> None:
    assert driver.buy("Tara", 1, 103, **FOK) == ["drops 1 at 103: NOT_FILLABLE_WHOLE"]
    assert driver.sell("Tara", 1, 1, **FOK) == ["drops 1 at 1: NOT_FILLABLE_WHOLE"]


def test_lots_count_and_not_orders(driver: Driver) -> None:
    driver.rest("101 sell Alice 30")

    assert driver.buy("Tara", 30, 101, **FOK) == ["30 at 101 with Alice"]


def test_expired_makers_do_not_count_and_stay_if_it_is_dropped(driver: Driver) -> None:
    driver.sell("Alice", 5, 101, expiry_ns=100)
    driver.sell("Bob", 5, 101)
    driver.time_ns = 100

    assert driver.buy("Tara", 6, 101, **FOK) == ["drops 6 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.book() == "101 sell Alice 5, Bob 5"
    assert driver.buy("Tara", 5, 101, **FOK) == [
        "Alice leaves 5 at 101: EXPIRED",
        "5 at 101 with Bob",
    ]


@pytest.mark.parametrize("flags", [0, OrderFlag.SELF_EXPIRE_BOTH, OrderFlag.SELF_DECREMENT])
def test_an_own_order_in_the_way_prevents_it(driver: Driver, flags: int) -> None:
    driver.rest("101 sell Alice 3, Tara 1, Bob 7")

    terms = FOK | {"flags": int(flags)}
    assert driver.buy("Tara", 4, 101, **terms) == ["drops 4 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.buy("Tara", 3, 101, **terms) == ["3 at 101 with Alice"]
    assert driver.book() == "101 sell Tara 1, Bob 7"


def test_an_own_order_that_makes_way_is_not_counted_but_goes(driver: Driver) -> None:
    driver.rest("101 sell Alice 3, Tara 1, Bob 7")

    terms = FOK | {"flags": int(OrderFlag.SELF_EXPIRE_MAKER)}
    assert driver.buy("Tara", 11, 101, **terms) == ["drops 11 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.buy("Tara", 10, 101, **terms) == [
        "3 at 101 with Alice",
        "Tara leaves 1 at 101: SELF_TRADE",
        "7 at 101 with Bob",
    ]


@pytest.mark.parametrize("extra", [0, 1])
def test_a_single_shot_must_manage_with_its_fills(build: Build, extra: int) -> None:
    driver = Driver(build(SMALL._replace(orders=100)))
    lots = FILLS_MAX + extra
    for _ in range(lots):
        driver.send(driver.place("Alice", "sell", 1, 100))

    terms = {"tif": int(TimeInForce.FOK), "flags": int(OrderFlag.SINGLE_SHOT)}
    said = driver.buy("Tara", lots, 100, **terms)

    dropped = [f"drops {lots} at 100: NOT_FILLABLE_WHOLE"]
    assert said == (dropped if extra else ["1 at 100 with Alice"] * FILLS_MAX)
