"""What does a cancel take away, and which ids mean an order at all?"""

import pytest

from tests.ladder import SMALL, Desk
from tests.spec.conftest import Build

QUEUE = "101 sell Alice 1, Bob 2, Carol 3, Dave 4"


@pytest.mark.parametrize("gone", ["Alice", "Bob", "Carol", "Dave"])
def test_the_siblings_keep_their_places(desk: Desk, gone: str) -> None:
    desk.rest(QUEUE)

    lots = {"Alice": 1, "Bob": 2, "Carol": 3, "Dave": 4}
    said = desk.cancel(gone, desk.id_of(gone, 101))
    assert said == [f"{gone} leaves {lots.pop(gone)} at 101: CANCELLED_BY_OWNER"]

    filled = desk.buy("Tara", 10, 101)
    assert filled[:3] == [f"{count} at 101 with {name}" for name, count in lots.items()]


def test_a_cancelled_best_price_is_gone_at_once(desk: Desk) -> None:
    desk.rest("103 sell Bob 1\n101 sell Alice 1\n99 buy Carol 1\n97 buy Dave 1")

    desk.cancel("Alice", desk.id_of("Alice", 101))
    desk.cancel("Carol", desk.id_of("Carol", 99))

    assert desk.book() == "103 sell Bob 1\n97 buy Dave 1"


def test_only_the_owner_can_cancel(desk: Desk) -> None:
    desk.rest(QUEUE)

    assert desk.cancel("Bob", desk.id_of("Alice", 101)) == ["refused: NOT_OWNER"]


def test_an_order_cannot_be_cancelled_twice_or_after_its_fill(desk: Desk) -> None:
    desk.rest(QUEUE)
    alice, bob = desk.id_of("Alice", 101), desk.id_of("Bob", 101)
    desk.cancel("Alice", alice)
    desk.buy("Tara", 2, 101)

    assert desk.cancel("Alice", alice) == ["refused: NOT_RESTING"]
    assert desk.cancel("Bob", bob) == ["refused: NOT_RESTING"]


@pytest.mark.parametrize(
    "order_id", [0, -1, 5, 64, 65, 2**32, 2**32 + 1, 2**62, 2**63 - 1, -(2**63)]
)
def test_an_id_that_was_never_given_is_refused(desk: Desk, order_id: int) -> None:
    desk.rest(QUEUE)

    assert desk.cancel("Alice", order_id) == ["refused: NOT_RESTING"]


def test_a_slot_is_reused_under_a_new_id(desk: Desk) -> None:
    desk.rest(QUEUE)
    old = desk.id_of("Bob", 101)
    desk.cancel("Bob", old)
    desk.sell("Bob", 9, 105)
    new = desk.id_of("Bob", 105)

    assert new == old + 2**32
    assert desk.cancel("Bob", old) == ["refused: NOT_RESTING"]
    assert desk.cancel("Bob", new) == ["Bob leaves 9 at 105: CANCELLED_BY_OWNER"]


@pytest.mark.parametrize("how", ["cancelled", "filled"])
def test_what_is_gone_can_be_neither_cancelled_amended_nor_replaced(desk: Desk, how: str) -> None:
    desk.rest(QUEUE)
    alice = desk.id_of("Alice", 101)
    if how == "cancelled":
        desk.cancel("Alice", alice)
    else:
        desk.buy("Tara", 1, 101)
    desk.sell("Alice", 5, 101)

    assert desk.id_of("Alice", 101) != alice
    assert desk.cancel("Alice", alice) == ["refused: NOT_RESTING"]
    assert desk.amend("Alice", alice, 1) == ["refused: NOT_RESTING"]
    assert desk.replace("Alice", alice, 1, 101) == ["refused: NOT_RESTING"]


def test_slots_are_reused_last_in_first_out(desk: Desk) -> None:
    desk.rest(QUEUE)
    alice, carol = desk.id_of("Alice", 101), desk.id_of("Carol", 101)
    desk.cancel("Alice", alice)
    desk.cancel("Carol", carol)
    for price in (201, 202, 203):
        desk.sell("Tara", 1, price)

    found = [desk.id_of("Tara", price) for price in (201, 202, 203)]
    assert found == [carol + 2**32, alice + 2**32, 5]


def test_a_slot_whose_ids_are_used_up_is_never_given_again(build: Build) -> None:
    desk = Desk(build(SMALL._replace(orders=2, generations=3)))
    ids = []
    for _ in range(6):
        desk.sell("Tara", 1, 101)
        ids.append(desk.id_of("Tara", 101))
        desk.cancel("Tara", ids[-1])

    assert ids == [1, 2**32 + 1, 2**33 + 1, 2, 2**32 + 2, 2**33 + 2]
    assert desk.sell("Tara", 1, 101) == ["refused: CAPACITY"]
    desk.engine.check()
