"""What does an iceberg show, what does it lose by hiding, and what do others see of it?"""

import pytest

from engine.commands import Kind, command
from engine.types import ICEBERG_SLICES_MAX, OrderFlag, Side
from tests.ladder import IOC, SMALL, Driver, tidy
from tests.spec.conftest import Build

BOOK = "101 sell Alice 3+9, Bob 2"


def test_depth_shows_the_visible_part_alone(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.engine.depth(0, Side.SELL, 5) == [(101, 5)]
    assert driver.book() == BOOK


def test_it_holds_for_what_it_hides(build: Build) -> None:
    for side in ("buy", "sell"):
        hiding, plain = Driver(build(SMALL)), Driver(build(SMALL))
        hiding.iceberg("Alice", side, 12, 101, 3)
        plain.send(plain.place("Alice", side, 12, 101))
        assert hiding.money("Alice") == plain.money("Alice")


def test_a_new_part_goes_to_the_end_of_its_queue(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 4, 101) == [
        "3 at 101 with Alice",
        "Alice shows 3+6 at 101",
        "1 at 101 with Bob",
    ]
    assert driver.book() == "101 sell Bob 1, Alice 3+6"


def test_it_keeps_its_place_until_the_visible_part_is_gone(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.buy("Tara", 2, 101)

    assert driver.book() == "101 sell Alice 1+9, Bob 2"
    assert driver.buy("Tara", 1, 101) == ["1 at 101 with Alice", "Alice shows 3+6 at 101"]


def test_a_large_order_takes_part_after_part(driver: Driver) -> None:
    driver.rest("101 sell Alice 3+4, Bob 2, Carol 1+1")

    assert driver.buy("Tara", 11, 101, **IOC) == [
        "3 at 101 with Alice",
        "Alice shows 3+1 at 101",
        "2 at 101 with Bob",
        "1 at 101 with Carol",
        "Carol shows 1 at 101",
        "3 at 101 with Alice",
        "Alice shows 1 at 101",
        "1 at 101 with Carol",
        "1 at 101 with Alice",
    ]
    assert driver.book() == ""
    assert driver.money("Alice")[1] == driver.money("Carol")[1] == 0


def test_a_trade_says_all_that_is_left_hidden_or_not(driver: Driver) -> None:
    driver.rest("101 sell Alice 3+4")

    events = driver.send(driver.place("Tara", "buy", 5, 101))

    trades = events[events["maker_id"] > 0]
    assert trades["amount"].tolist() == [3, 2]
    assert trades["maker_left"].tolist() == [4, 2]
    assert trades["order_left"].tolist() == [2, 0]


def test_coming_in_it_takes_with_all_its_lots_and_hides_the_rest(driver: Driver) -> None:
    driver.rest("102 sell Bob 2\n101 sell Alice 5")

    assert driver.iceberg("Tara", "buy", 15, 102, 4) == [
        "5 at 101 with Alice",
        "2 at 102 with Bob",
        "rests 4+4 at 102",
    ]


def test_a_small_rest_shows_all_it_has(driver: Driver) -> None:
    driver.rest("101 sell Alice 5")

    assert driver.iceberg("Tara", "buy", 8, 101, 4) == ["5 at 101 with Alice", "rests 3 at 101"]


def test_one_that_shows_everything_is_allowed(driver: Driver) -> None:
    assert driver.iceberg("Alice", "buy", 3, 99, 3) == ["rests 3 at 99"]


@pytest.mark.parametrize("extra", [0, 1])
def test_its_parts_are_bounded(driver: Driver, extra: int) -> None:
    said = driver.iceberg("Alice", "buy", 2 * ICEBERG_SLICES_MAX + extra, 99, 2)

    bound = 2 * ICEBERG_SLICES_MAX - 2
    assert said == (["refused: DISPLAY_OUT_OF_RANGE"] if extra else [f"rests 2+{bound} at 99"])


def test_the_smallest_parts_can_be_taken_one_by_one(driver: Driver) -> None:
    driver.iceberg("Alice", "sell", ICEBERG_SLICES_MAX, 101, 1)

    said = driver.buy("Tara", ICEBERG_SLICES_MAX, 101)

    assert said.count("1 at 101 with Alice") == ICEBERG_SLICES_MAX
    assert len(said) == 2 * ICEBERG_SLICES_MAX - 1, "no part comes after the last"
    assert driver.book() == ""


# Shrinking and leaving.


def test_amending_takes_hidden_lots_first_and_keeps_the_place(driver: Driver) -> None:
    driver.rest(BOOK)
    alice = driver.id_of("Alice", 101)

    assert driver.amend("Alice", alice, 12) == ["refused: AMEND_NOT_SMALLER"]
    assert driver.amend("Alice", alice, 11) == ["Alice keeps 3+8 at 101"]
    assert driver.amend("Alice", alice, 3) == ["Alice keeps 3 at 101"]
    assert driver.amend("Alice", alice, 2) == ["Alice keeps 2 at 101"]
    assert driver.book() == "101 sell Alice 2, Bob 2"


def test_the_event_says_how_many_visible_lots_left_the_book(driver: Driver) -> None:
    driver.rest(BOOK)
    alice = driver.id_of("Alice", 101)

    def amend(lots: int) -> list[int]:
        event = driver.send(command(Kind.AMEND, account=0, order_id=alice, amount=lots))[0]
        return [int(event[name]) for name in ("amount", "maker_left", "order_left")]

    assert amend(5) == [3, 2, 0]
    assert amend(1) == [1, 0, 2]


def test_amending_does_not_change_what_it_shows(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.buy("Tara", 2, 101)
    driver.amend("Alice", driver.id_of("Alice", 101), 8)

    assert driver.book() == "101 sell Alice 1+7, Bob 2"
    driver.buy("Tara", 1, 101)
    assert driver.book() == "101 sell Bob 2, Alice 3+4"


def test_it_leaves_with_all_it_hides(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.cancel("Alice", driver.id_of("Alice", 101)) == [
        "Alice leaves 3+9 at 101: CANCELLED_BY_OWNER"
    ]
    assert driver.money("Alice") == driver.money("Tara")


def test_it_expires_as_a_whole(driver: Driver) -> None:
    driver.iceberg("Alice", "sell", 12, 101, 3, expiry_ns=100)
    driver.sell("Bob", 1, 102)
    driver.time_ns = 100

    assert driver.buy("Tara", 1, 102) == ["Alice leaves 3+9 at 101: EXPIRED", "1 at 102 with Bob"]


# Meeting itself.


@pytest.mark.parametrize(
    ("lots", "said"),
    [
        (8, ["Tara keeps 3+1 at 101: SELF_TRADE", "drops 8 at 101: SELF_TRADE"]),
        (9, ["Tara keeps 3 at 101: SELF_TRADE", "drops 9 at 101: SELF_TRADE"]),
        (11, ["Tara keeps 1 at 101: SELF_TRADE", "drops 11 at 101: SELF_TRADE"]),
        (12, ["Tara leaves 3+9 at 101: SELF_TRADE", "drops 12 at 101: SELF_TRADE"]),
        (
            13,
            [
                "Tara leaves 3+9 at 101: SELF_TRADE",
                "Tara keeps 1 at 101: SELF_TRADE",
                "1 at 101 with Bob",
            ],
        ),
    ],
)
def test_decrementing_compares_all_lots_and_takes_hidden_ones_first(
    driver: Driver, lots: int, said: list[str]
) -> None:
    driver.rest("101 sell Tara 3+9, Bob 2")

    assert driver.buy("Tara", lots, 101, flags=int(OrderFlag.SELF_DECREMENT)) == said


def test_expiring_the_maker_takes_what_it_hides_too(driver: Driver) -> None:
    driver.rest("101 sell Tara 3+9, Bob 2")

    assert driver.buy("Tara", 2, 101, flags=int(OrderFlag.SELF_EXPIRE_MAKER)) == [
        "Tara leaves 3+9 at 101: SELF_TRADE",
        "2 at 101 with Bob",
    ]


def test_post_only_icebergs_rest_or_are_refused(driver: Driver) -> None:
    driver.rest(BOOK)
    post_only = int(OrderFlag.POST_ONLY)

    said = driver.iceberg("Tara", "buy", 9, 101, 2, flags=post_only)
    assert said == ["refused: POST_ONLY_WOULD_TRADE"]
    assert driver.iceberg("Tara", "buy", 9, 100, 2, flags=post_only) == ["rests 2+7 at 100"]
    assert driver.book() == tidy("""
        101 sell  Alice 3+9, Bob 2
        100 buy   Tara 2+7
    """)


def test_each_fill_of_a_part_counts_for_a_single_shot(build: Build) -> None:
    driver = Driver(build(SMALL))
    driver.iceberg("Alice", "sell", ICEBERG_SLICES_MAX, 101, 1)
    driver.sell("Bob", 1, 102)

    terms = IOC | {"flags": int(OrderFlag.SINGLE_SHOT)}
    said = driver.buy("Tara", ICEBERG_SLICES_MAX + 1, 102, **terms)

    assert said[-1] == "drops 1 at 102: FILLS_EXHAUSTED"
