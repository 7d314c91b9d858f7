"""What happens to the orders of somebody who is not heard of before the deadline he set?"""

import numpy as np
import pytest

from engine.commands import Kind, command
from engine.events import EventKind
from engine.types import ALL_MARKETS, Outcome
from tests.ladder import Driver, tidy

BOOK = """
    103 sell  Alice 1
    101 sell  Bob 2, Alice 3
     99 buy   Carol 4
     98 buy   Alice 5+10
"""


def test_the_first_command_at_the_deadline_finds_the_orders_gone(driver: Driver) -> None:
    driver.rest(BOOK)
    assert driver.cancel_after("Alice", 100) == ["Alice cancels after 100"]

    assert driver.clock(99) == []
    assert driver.clock(100) == [
        "Alice leaves 1 at 103: CANCELLED_AFTER",
        "Alice leaves 3 at 101: CANCELLED_AFTER",
        "Alice leaves 5+10 at 98: CANCELLED_AFTER",
        "Alice cancelled 3: CANCELLED_AFTER",
    ]
    assert driver.money("Alice") == driver.money("Tara")


def test_it_comes_before_what_the_command_itself_does(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Alice", 100)
    driver.time_ns = 100

    assert driver.buy("Tara", 3, 103) == [
        "Alice leaves 1 at 103: CANCELLED_AFTER",
        "Alice leaves 3 at 101: CANCELLED_AFTER",
        "Alice leaves 5+10 at 98: CANCELLED_AFTER",
        "Alice cancelled 3: CANCELLED_AFTER",
        "2 at 101 with Bob",
        "rests 1 at 103",
    ]


def test_it_stands_though_the_command_is_refused(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.time_ns = 100

    assert driver.buy("Tara", 0, 103) == [
        "Carol leaves 4 at 99: CANCELLED_AFTER",
        "Carol cancelled 1: CANCELLED_AFTER",
        "refused: QUANTITY_OUT_OF_RANGE",
    ]


def test_even_before_a_row_that_is_no_command(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.time_ns = 100
    nothing = np.zeros_like(command(Kind.CLOCK))

    assert driver.words(driver.send(nothing))[-1] == "refused: UNKNOWN_COMMAND"
    assert "99 buy" not in driver.book()


def test_it_is_not_armed_any_more_afterwards(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.clock(100)
    driver.buy("Carol", 1, 99)

    assert driver.clock(200) == []


def test_a_later_deadline_takes_the_place_of_an_earlier_one(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.time_ns = 50
    driver.cancel_after("Carol", 150)

    assert driver.clock(149) == []
    assert driver.clock(150)[-1] == "Carol cancelled 1: CANCELLED_AFTER"


def test_a_heartbeat_that_comes_at_the_deadline_is_too_late(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.time_ns = 100

    assert driver.cancel_after("Carol", 200) == [
        "Carol leaves 4 at 99: CANCELLED_AFTER",
        "Carol cancelled 1: CANCELLED_AFTER",
        "Carol cancels after 200",
    ]


def test_nought_disarms(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)

    assert driver.cancel_after("Carol", 0) == ["Carol cancels after 0"]
    assert driver.clock(100) == []
    assert driver.book() == tidy(BOOK)


def test_disarmed_is_as_if_it_had_never_been_armed(driver: Driver) -> None:
    driver.cancel_after("Carol", 0)
    before = driver.engine.state_hash()
    driver.cancel_after("Carol", 100)
    armed = driver.engine.state_hash()

    assert before != armed
    assert driver.cancel_after("Carol", 0) == ["Carol cancels after 0"]


@pytest.mark.parametrize("deadline_ns", [1, 50, -1, -(2**63)])
def test_a_deadline_that_has_passed_is_refused(driver: Driver, deadline_ns: int) -> None:
    driver.clock(50)

    assert driver.cancel_after("Carol", deadline_ns) == ["refused: DEADLINE_PASSED"]


def test_several_accounts_go_in_one_sweep_and_each_is_counted(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.cancel_after("Alice", 90)
    driver.cancel_after("Dave", 95)
    driver.cancel_after("Tara", 101)

    assert driver.clock(100) == [
        "Alice leaves 1 at 103: CANCELLED_AFTER",
        "Alice leaves 3 at 101: CANCELLED_AFTER",
        "Carol leaves 4 at 99: CANCELLED_AFTER",
        "Alice leaves 5+10 at 98: CANCELLED_AFTER",
        "Alice cancelled 3: CANCELLED_AFTER",
        "Carol cancelled 1: CANCELLED_AFTER",
        "Dave cancelled 0: CANCELLED_AFTER",
    ]


def test_the_last_row_says_all_markets(driver: Driver) -> None:
    driver.cancel_after("Dave", 100)
    driver.time_ns = 100

    last = driver.send(command(Kind.CLOCK))[-1]

    assert last["kind"] == EventKind.CANCELLED_ALL
    assert (last["account"], last["market"]) == (3, ALL_MARKETS)
    assert last["outcome"] == Outcome.CANCELLED_AFTER


def test_armed_stops_go_too(driver: Driver) -> None:
    driver.stop("Carol", "buy", 1, 105, 104)
    driver.cancel_after("Carol", 100)

    assert driver.clock(100)[0] == "Carol leaves 1 at 105 from 104: CANCELLED_AFTER"


def test_a_clock_that_runs_backwards_wakes_nothing(driver: Driver) -> None:
    driver.clock(50)
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)

    assert driver.clock(40) == []
    assert driver.book() == tidy(BOOK)


def test_an_order_placed_by_the_very_command_is_not_taken(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Carol", 100)
    driver.time_ns = 100

    assert driver.buy("Carol", 1, 97)[-1] == "rests 1 at 97"
    assert "97 buy Carol 1" in driver.book()
