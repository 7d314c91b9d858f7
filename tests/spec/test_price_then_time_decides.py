"""Does the best price trade first, and the oldest order within a price?"""

import pytest

from tests.ladder import IOC, Driver, tidy

BOOK = """
    103 sell  Carol 5
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10, Carol 2
     98 buy   Alice 4
"""


def test_a_buy_takes_the_lowest_price_then_the_oldest(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 11, 103) == [
        "3 at 101 with Alice",
        "7 at 101 with Bob",
        "1 at 103 with Carol",
    ]
    assert driver.book() == tidy("""
        103 sell  Carol 4
         99 buy   Dave 10, Carol 2
         98 buy   Alice 4
    """)


def test_a_sell_takes_the_highest_price_then_the_oldest(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.sell("Tara", 13, 98) == [
        "10 at 99 with Dave",
        "2 at 99 with Carol",
        "1 at 98 with Alice",
    ]
    assert driver.book() == tidy("""
        103 sell  Carol 5
        101 sell  Alice 3, Bob 7
         98 buy   Alice 3
    """)


def test_a_half_filled_order_keeps_its_place(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 2, 101) == ["2 at 101 with Alice"]
    driver.send(driver.place("Dave", "sell", 9, 101))
    assert driver.buy("Tara", 2, 101) == ["1 at 101 with Alice", "1 at 101 with Bob"]


def test_an_order_never_walks_past_its_own_limit(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 50, 102) == [
        "3 at 101 with Alice",
        "7 at 101 with Bob",
        "rests 40 at 102",
    ]
    assert driver.book().splitlines()[:2] == ["103 sell Carol 5", "102 buy Tara 40"]


def test_a_swept_side_can_be_built_again_on_the_prices_of_the_other(driver: Driver) -> None:
    driver.rest("101 sell Alice 3\n100 sell Bob 3\n99 buy Dave 1")

    driver.buy("Tara", 6, 105)
    assert driver.buy("Carol", 2, 101) == ["rests 2 at 101"]
    assert driver.sell("Tara", 2, 100) == ["2 at 101 with Carol"]
    assert driver.sell("Tara", 2, 100) == ["rests 2 at 100"]


@pytest.mark.parametrize("gap", [1, 63, 64, 65, 1000, 4032])
def test_the_next_price_is_found_however_far_away(driver: Driver, gap: int) -> None:
    far, near = 1 + gap, 1
    driver.send(driver.place("Alice", "sell", 1, far), driver.place("Bob", "sell", 1, near))

    assert driver.buy("Tara", 2, 4095, **IOC) == [f"1 at {near} with Bob", f"1 at {far} with Alice"]

    high, low = 4095, 4095 - gap
    driver.send(driver.place("Alice", "buy", 1, low), driver.place("Bob", "buy", 1, high))

    assert driver.sell("Tara", 2, 1, **IOC) == [f"1 at {high} with Bob", f"1 at {low} with Alice"]
