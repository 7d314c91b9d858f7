"""What does an order that takes the place of another inherit, and what if it is refused?"""

import pytest

from engine.commands import Kind, command
from engine.types import OrderFlag, Phase
from tests.ladder import FOK, IOC, POST_ONLY, SMALL, Driver, tidy
from tests.spec.conftest import Build

BOOK = """
    102 sell  Carol 4
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10, Alice 2
"""


def test_the_old_order_leaves_and_the_new_one_queues_last(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.replace("Alice", driver.id_of("Alice", 101), 3, 101) == [
        "Alice leaves 3 at 101: REPLACED",
        "rests 3 at 101",
    ]
    assert driver.book() == tidy("""
        102 sell  Carol 4
        101 sell  Bob 7, Alice 3
         99 buy   Dave 10, Alice 2
    """)


def test_market_and_side_are_the_old_ones_and_the_slot_is_reused(driver: Driver) -> None:
    driver.rest(BOOK)
    old = driver.id_of("Alice", 99)

    driver.replace("Alice", old, 5, 98)

    assert driver.book().endswith("99 buy Dave 10\n98 buy Alice 5")
    assert driver.id_of("Alice", 98) == old + 2**32
    assert driver.replace("Alice", old, 5, 98) == ["refused: NOT_RESTING"]


def test_the_new_order_may_trade(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.replace("Dave", driver.id_of("Dave", 99), 12, 101) == [
        "Dave leaves 10 at 99: REPLACED",
        "3 at 101 with Alice",
        "7 at 101 with Bob",
        "rests 2 at 101",
    ]


def test_the_new_order_may_be_for_the_moment(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.replace("Dave", driver.id_of("Dave", 99), 4, 101, **IOC) == [
        "Dave leaves 10 at 99: REPLACED",
        "3 at 101 with Alice",
        "1 at 101 with Bob",
    ]
    assert driver.replace("Alice", driver.id_of("Alice", 99), 99, 102, **FOK) == [
        "Alice leaves 2 at 99: REPLACED",
        "drops 99 at 102: NOT_FILLABLE_WHOLE",
    ]


def test_the_new_order_wakes_the_stops_it_reaches(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 1, 102, 101)

    assert driver.replace("Dave", driver.id_of("Dave", 99), 3, 101)[-2:] == [
        "Tara wakes 1 at 102 from 101",
        "1 at 101 with Bob",
    ]


@pytest.mark.parametrize(
    ("lots", "price", "terms", "why"),
    [
        (10, 101, POST_ONLY, "POST_ONLY_WOULD_TRADE"),
        (10**9, 99, {}, "INSUFFICIENT_BALANCE"),
        (0, 99, {}, "QUANTITY_OUT_OF_RANGE"),
        (10, 0, {}, "PRICE_OUT_OF_RANGE"),
        (10, 99, {"expiry_ns": 0}, "ORDER_EXPIRED"),
        (10, 99, {"fee_cap_ppm": 1}, "FEE_CAP_TOO_LOW"),
        (10, 99, {"flags": int(OrderFlag.STOP)}, "BAD_ORDER"),
        (10, 99, {"flags": int(OrderFlag.ICEBERG)}, "BAD_ORDER"),
        (10, 99, {"side": 1}, "BAD_ORDER"),
        (10, 99, {"market": 1}, "BAD_ORDER"),
        (10, 99, {"token": 1}, "BAD_ORDER"),
    ],
)
def test_refused_it_leaves_the_old_order_in_its_place(
    driver: Driver, lots: int, price: int, terms: dict[str, int], why: str
) -> None:
    driver.rest(BOOK)
    money = driver.money("Dave")

    said = driver.replace("Dave", driver.id_of("Dave", 99), lots, price, **terms)

    assert said == [f"refused: {why}"]
    assert driver.book() == tidy(BOOK)
    assert driver.money("Dave") == money


def test_the_old_orders_hold_pays_for_the_new_one(driver: Driver) -> None:
    driver.rest(BOOK)
    available = driver.money("Dave")[2]
    driver.send(command(Kind.WITHDRAW, account=3, token=1, amount=available))
    dave = driver.id_of("Dave", 99)

    assert driver.replace("Dave", dave, 11, 99) == ["refused: INSUFFICIENT_BALANCE"]
    assert driver.replace("Dave", dave, 10, 100) == ["refused: INSUFFICIENT_BALANCE"]
    assert driver.replace("Dave", dave, 9, 100) == [
        "Dave leaves 10 at 99: REPLACED",
        "rests 9 at 100",
    ]


def test_a_full_engine_can_still_replace(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=2)))
    driver.rest("101 sell Alice 3\n 99 buy Bob 1")

    assert driver.buy("Bob", 1, 98) == ["refused: CAPACITY"]
    assert driver.replace("Alice", driver.id_of("Alice", 101), 5, 102)[-1] == "rests 5 at 102"


@pytest.mark.parametrize("orders", [1, 2])
def test_a_slot_at_its_last_order_needs_another_one(build: Build, orders: int) -> None:
    driver = Driver(build(SMALL._replace(orders=orders, generations=1)))
    driver.sell("Alice", 3, 101)

    said = driver.replace("Alice", driver.id_of("Alice", 101), 5, 102)

    moved = ["Alice leaves 3 at 101: REPLACED", "rests 5 at 102"]
    assert said == (moved if orders == 2 else ["refused: CAPACITY"])


def test_an_iceberg_stays_one_if_asked_and_shows_what_it_showed(driver: Driver) -> None:
    driver.rest("101 sell Alice 3+9")
    iceberg = {"flags": int(OrderFlag.ICEBERG)}

    assert driver.replace("Alice", driver.id_of("Alice", 101), 20, 103, **iceberg) == [
        "Alice leaves 3+9 at 101: REPLACED",
        "rests 3+17 at 103",
    ]
    assert driver.replace("Alice", driver.id_of("Alice", 103), 2, 103, **iceberg) == [
        "refused: DISPLAY_OUT_OF_RANGE"
    ]
    assert driver.replace("Alice", driver.id_of("Alice", 103), 3 * 64 + 1, 103, **iceberg) == [
        "refused: DISPLAY_OUT_OF_RANGE"
    ]
    assert driver.replace("Alice", driver.id_of("Alice", 103), 20, 104) == [
        "Alice leaves 3+17 at 103: REPLACED",
        "rests 20 at 104",
    ]


def test_only_what_rests_and_is_ones_own_can_be_replaced(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 1, 102, 101)

    assert driver.replace("Bob", driver.id_of("Alice", 101), 1, 101) == ["refused: NOT_OWNER"]
    assert driver.replace("Tara", driver.id_of("Tara", 102), 1, 101) == ["refused: NOT_RESTING"]
    assert driver.replace("Alice", 2**40 + 7, 1, 101) == ["refused: NOT_RESTING"]


def test_a_closed_market_takes_no_new_order_so_the_old_one_stays(driver: Driver) -> None:
    driver.rest(BOOK)
    alice = driver.id_of("Alice", 101)

    driver.phase(Phase.CANCEL_ONLY)
    assert driver.replace("Alice", alice, 3, 102) == ["refused: MARKET_CANCEL_ONLY"]
    driver.phase(Phase.POST_ONLY)
    assert driver.replace("Alice", alice, 3, 102) == ["refused: MARKET_POST_ONLY"]
    assert driver.replace("Alice", alice, 3, 102, **POST_ONLY)[-1] == "rests 3 at 102"


def test_priced_again_it_rests_behind_what_it_would_meet(driver: Driver) -> None:
    driver.rest(BOOK)
    reprice = {"flags": int(OrderFlag.POST_ONLY | OrderFlag.REPRICE)}

    assert driver.replace("Dave", driver.id_of("Dave", 99), 10, 105, **reprice) == [
        "Dave leaves 10 at 99: REPLACED",
        "rests 10 at 100",
    ]
