"""What happens when an order meets one of its own account? Each way it may ask for."""

import pytest

from engine.types import OrderFlag
from tests.ladder import IOC, Driver, tidy

EXPIRE_MAKER = {"flags": int(OrderFlag.SELF_EXPIRE_MAKER)}
EXPIRE_BOTH = {"flags": int(OrderFlag.SELF_EXPIRE_BOTH)}
DECREMENT = {"flags": int(OrderFlag.SELF_DECREMENT)}
BOOK = """
    102 sell  Bob 9
    101 sell  Alice 2, Tara 3, Bob 4
"""


def test_by_default_the_incoming_order_leaves(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 9, 102) == ["2 at 101 with Alice", "drops 7 at 102: SELF_TRADE"]
    assert driver.book() == tidy("""
        102 sell  Bob 9
        101 sell  Tara 3, Bob 4
    """)


def test_the_resting_order_leaves_and_the_incoming_one_goes_on(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 9, 102, **EXPIRE_MAKER) == [
        "2 at 101 with Alice",
        "Tara leaves 3 at 101: SELF_TRADE",
        "4 at 101 with Bob",
        "3 at 102 with Bob",
    ]
    assert driver.book() == "102 sell Bob 6"


def test_both_leave(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 9, 102, **EXPIRE_BOTH) == [
        "2 at 101 with Alice",
        "Tara leaves 3 at 101: SELF_TRADE",
        "drops 7 at 102: SELF_TRADE",
    ]
    assert driver.book() == "102 sell Bob 9\n101 sell Bob 4"


def test_the_smaller_resting_order_leaves_and_the_incoming_one_shrinks(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 9, 102, **DECREMENT) == [
        "2 at 101 with Alice",
        "Tara leaves 3 at 101: SELF_TRADE",
        "Tara keeps 4 at 102: SELF_TRADE",
        "4 at 101 with Bob",
    ]
    assert driver.book() == "102 sell Bob 9"


def test_the_larger_resting_order_shrinks_in_its_place_and_the_incoming_one_leaves(
    driver: Driver,
) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 4, 102, **DECREMENT) == [
        "2 at 101 with Alice",
        "Tara keeps 1 at 101: SELF_TRADE",
        "drops 2 at 102: SELF_TRADE",
    ]
    assert driver.book() == "102 sell Bob 9\n101 sell Tara 1, Bob 4"


def test_of_two_equal_ones_both_leave(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 5, 102, **DECREMENT) == [
        "2 at 101 with Alice",
        "Tara leaves 3 at 101: SELF_TRADE",
        "drops 3 at 102: SELF_TRADE",
    ]


def test_what_is_left_may_rest(driver: Driver) -> None:
    driver.rest("101 sell Tara 3")

    assert driver.buy("Tara", 5, 101, **DECREMENT) == [
        "Tara leaves 3 at 101: SELF_TRADE",
        "Tara keeps 2 at 101: SELF_TRADE",
        "rests 2 at 101",
    ]
    assert driver.sell("Tara", 1, 101, **EXPIRE_MAKER) == [
        "Tara leaves 2 at 101: SELF_TRADE",
        "rests 1 at 101",
    ]


@pytest.mark.parametrize("terms", [EXPIRE_MAKER, DECREMENT], ids=["maker", "decrement"])
def test_more_events_than_lots_fit(driver: Driver, terms: dict[str, int]) -> None:
    for price in range(101, 161):
        driver.send(driver.place("Tara", "sell", 1, price))

    assert len(driver.buy("Tara", 61, 160, **terms)) == (121 if terms is DECREMENT else 61)


@pytest.mark.parametrize("terms", [EXPIRE_MAKER, EXPIRE_BOTH, DECREMENT])
def test_nothing_stays_held_for_what_left(driver: Driver, terms: dict[str, int]) -> None:
    driver.rest("101 sell Tara 3")
    driver.buy("Tara", 3, 101, **(terms | IOC))

    assert driver.book() == ""
    assert driver.money("Tara") == driver.money("Carol")


def test_the_mode_is_the_incoming_orders(driver: Driver) -> None:
    driver.sell("Tara", 3, 101, **EXPIRE_BOTH)

    assert driver.buy("Tara", 2, 101) == ["drops 2 at 101: SELF_TRADE"]
    assert driver.book() == "101 sell Tara 3"
