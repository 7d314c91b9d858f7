"""What does an order lose when its owner makes it smaller? Lots and what they held, no more."""

import pytest

from engine.commands import Kind, command
from tests.ladder import SMALL, Driver
from tests.spec.conftest import Build

QUEUE = "101 sell Alice 5, Bob 2, Carol 3"


def test_it_stays_in_front_of_those_behind_it(driver: Driver) -> None:
    driver.rest(QUEUE)

    assert driver.amend("Alice", driver.id_of("Alice", 101), 1) == ["Alice keeps 1 at 101"]
    assert driver.book() == "101 sell Alice 1, Bob 2, Carol 3"
    assert driver.buy("Tara", 2, 101) == ["1 at 101 with Alice", "1 at 101 with Bob"]


def test_only_downwards_and_never_to_nothing(driver: Driver) -> None:
    driver.rest(QUEUE)
    alice = driver.id_of("Alice", 101)

    assert driver.amend("Alice", alice, 5) == ["refused: AMEND_NOT_SMALLER"]
    assert driver.amend("Alice", alice, 6) == ["refused: AMEND_NOT_SMALLER"]
    assert driver.amend("Alice", alice, 0) == ["refused: QUANTITY_OUT_OF_RANGE"]
    assert driver.amend("Bob", alice, 1) == ["refused: NOT_OWNER"]


def test_what_counts_is_what_is_open_not_what_was_ordered(driver: Driver) -> None:
    driver.rest(QUEUE)
    driver.buy("Tara", 3, 101)
    alice = driver.id_of("Alice", 101)

    assert driver.amend("Alice", alice, 2) == ["refused: AMEND_NOT_SMALLER"]
    assert driver.amend("Alice", alice, 1) == ["Alice keeps 1 at 101"]
    driver.buy("Tara", 1, 101)
    assert driver.amend("Alice", alice, 1) == ["refused: NOT_RESTING"]


@pytest.mark.parametrize("lots", [1, 2, 998, 999])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_it_then_holds_what_an_order_of_that_size_holds(build: Build, side: str, lots: int) -> None:
    amended, fresh = Driver(build(SMALL)), Driver(build(SMALL))
    amended.send(amended.place("Alice", side, 1000, 101))
    fresh.send(fresh.place("Alice", side, lots, 101))

    amended.amend("Alice", amended.id_of("Alice", 101), lots)

    assert amended.money("Alice") == fresh.money("Alice")
    amended.cancel("Alice", amended.id_of("Alice", 101))
    assert amended.money("Alice") == amended.money("Bob")


def test_the_event_says_what_is_open_and_what_left_the_book(driver: Driver) -> None:
    driver.rest(QUEUE)
    alice = driver.id_of("Alice", 101)

    event = driver.send(command(Kind.AMEND, account=0, order_id=alice, amount=2))[0]

    fields = ("account", "side", "order_id", "price_ticks", "amount", "order_left", "outcome")
    assert [int(event[name]) for name in fields] == [0, 1, alice, 101, 2, 3, 0]
