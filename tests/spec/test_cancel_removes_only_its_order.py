"""What does a cancel take away, and which ids mean an order at all?"""

import pytest

from tests.ladder import SMALL, Driver
from tests.spec.conftest import Build

QUEUE = "101 sell Alice 1, Bob 2, Carol 3, Dave 4"


@pytest.mark.parametrize("gone", ["Alice", "Bob", "Carol", "Dave"])
def test_the_siblings_keep_their_places(driver: Driver, gone: str) -> None:
    driver.rest(QUEUE)

    lots = {"Alice": 1, "Bob": 2, "Carol": 3, "Dave": 4}
    said = driver.cancel(gone, driver.id_of(gone, 101))
    assert said == [f"{gone} leaves {lots.pop(gone)} at 101: CANCELLED_BY_OWNER"]

    filled = driver.buy("Tara", 10, 101)
    assert filled[:3] == [f"{count} at 101 with {name}" for name, count in lots.items()]


def test_a_cancelled_best_price_is_gone_at_once(driver: Driver) -> None:
    driver.rest("103 sell Bob 1\n101 sell Alice 1\n99 buy Carol 1\n97 buy Dave 1")

    driver.cancel("Alice", driver.id_of("Alice", 101))
    driver.cancel("Carol", driver.id_of("Carol", 99))

    assert driver.book() == "103 sell Bob 1\n97 buy Dave 1"


def test_only_the_owner_can_cancel(driver: Driver) -> None:
    driver.rest(QUEUE)

    assert driver.cancel("Bob", driver.id_of("Alice", 101)) == ["refused: NOT_OWNER"]


def test_an_order_cannot_be_cancelled_twice_or_after_its_fill(driver: Driver) -> None:
    driver.rest(QUEUE)
    alice, bob = driver.id_of("Alice", 101), driver.id_of("Bob", 101)
    driver.cancel("Alice", alice)
    driver.buy("Tara", 2, 101)

    assert driver.cancel("Alice", alice) == ["refused: NOT_RESTING"]
    assert driver.cancel("Bob", bob) == ["refused: NOT_RESTING"]


@pytest.mark.parametrize(
    "order_id", [0, -1, 5, 64, 65, 2**32, 2**32 + 1, 2**62, 2**63 - 1, -(2**63)]
)
def test_an_id_that_was_never_given_is_refused(driver: Driver, order_id: int) -> None:
    driver.rest(QUEUE)

    assert driver.cancel("Alice", order_id) == ["refused: NOT_RESTING"]


def test_a_slot_is_reused_under_a_new_id(driver: Driver) -> None:
    driver.rest(QUEUE)
    old = driver.id_of("Bob", 101)
    driver.cancel("Bob", old)
    driver.sell("Bob", 9, 105)
    new = driver.id_of("Bob", 105)

    assert new == old + 2**32
    assert driver.cancel("Bob", old) == ["refused: NOT_RESTING"]
    assert driver.cancel("Bob", new) == ["Bob leaves 9 at 105: CANCELLED_BY_OWNER"]


@pytest.mark.parametrize("how", ["cancelled", "filled"])
def test_what_is_gone_can_be_neither_cancelled_amended_nor_replaced(
    driver: Driver, how: str
) -> None:
    driver.rest(QUEUE)
    alice = driver.id_of("Alice", 101)
    if how == "cancelled":
        driver.cancel("Alice", alice)
    else:
        driver.buy("Tara", 1, 101)
    driver.sell("Alice", 5, 101)

    assert driver.id_of("Alice", 101) != alice
    assert driver.cancel("Alice", alice) == ["refused: NOT_RESTING"]
    assert driver.amend("Alice", alice, 1) == ["refused: NOT_RESTING"]
    assert driver.replace("Alice", alice, 1, 101) == ["refused: NOT_RESTING"]


def test_slots_are_reused_last_in_first_out(driver: Driver) -> None:
    driver.rest(QUEUE)
    alice, carol = driver.id_of("Alice", 101), driver.id_of("Carol", 101)
    driver.cancel("Alice", alice)
    driver.cancel("Carol", carol)
    for price in (201, 202, 203):
        driver.sell("Tara", 1, price)

    found = [driver.id_of("Tara", price) for price in (201, 202, 203)]
    assert found == [carol + 2**32, alice + 2**32, 5]


def test_a_slot_whose_ids_are_used_up_is_never_given_again(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=2, generations=3)))
    ids = []
    for _ in range(6):
        driver.sell("Tara", 1, 101)
        ids.append(driver.id_of("Tara", 101))
        driver.cancel("Tara", ids[-1])

    assert ids == [1, 2**32 + 1, 2**33 + 1, 2, 2**32 + 2, 2**33 + 2]
    assert driver.sell("Tara", 1, 101) == ["refused: CAPACITY"]
    driver.engine.check()
