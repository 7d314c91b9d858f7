"""Does fill-or-kill count icebergs exactly as it would then be filled?"""

import pytest

from engine.types import FILLS_MAX, OrderFlag, TimeInForce
from tests.ladder import FOK, SMALL, Driver
from tests.spec.conftest import Build

EXPIRE_MAKER = FOK | {"flags": int(OrderFlag.SELF_EXPIRE_MAKER)}


@pytest.mark.parametrize("lots", [15, 16])
def test_hidden_lots_count(driver: Driver, lots: int) -> None:
    driver.rest("102 sell Bob 3\n101 sell Alice 3+9")

    said = driver.buy("Tara", lots, 102, **FOK)

    dropped = ["drops 16 at 102: NOT_FILLABLE_WHOLE"]
    assert said[-1:] == (["3 at 102 with Bob"] if lots == 15 else dropped)


def test_an_own_order_behind_the_visible_part_prevents_only_what_reaches_it(driver: Driver) -> None:
    driver.rest("101 sell Alice 3+9, Tara 1")

    assert driver.buy("Tara", 4, 101, **FOK) == ["drops 4 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.buy("Tara", 3, 101, **FOK) == ["3 at 101 with Alice", "Alice shows 3+6 at 101"]
    assert driver.book() == "101 sell Tara 1, Alice 3+6"


def test_an_own_iceberg_that_makes_way_counts_for_nothing_hidden_or_not(driver: Driver) -> None:
    driver.rest("101 sell Tara 3+9, Alice 2+2")

    assert driver.buy("Tara", 5, 101, **EXPIRE_MAKER) == ["drops 5 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.buy("Tara", 4, 101, **EXPIRE_MAKER) == [
        "Tara leaves 3+9 at 101: SELF_TRADE",
        "2 at 101 with Alice",
        "Alice shows 2 at 101",
        "2 at 101 with Alice",
    ]


def test_an_expired_iceberg_counts_for_nothing_hidden_or_not(driver: Driver) -> None:
    driver.iceberg("Alice", "sell", 12, 101, 3, expiry_ns=100)
    driver.sell("Bob", 2, 101)
    driver.time_ns = 100

    assert driver.buy("Tara", 3, 101, **FOK) == ["drops 3 at 101: NOT_FILLABLE_WHOLE"]
    assert driver.buy("Tara", 2, 101, **FOK) == [
        "Alice leaves 3+9 at 101: EXPIRED",
        "2 at 101 with Bob",
    ]


@pytest.mark.parametrize("extra", [0, 1])
def test_the_fills_of_a_single_shot_are_those_of_all_parts(build: Build, extra: int) -> None:
    """Alice shows 2 of 80 lots, Bob has 30 and stands between: 1 + 1 + 39 fills at this price."""
    driver = Driver(build(SMALL))
    driver.iceberg("Alice", "sell", 80, 101, 2)
    driver.sell("Bob", 30, 101)
    for _ in range(FILLS_MAX - 41 + extra):
        driver.send(driver.place("Carol", "sell", 1, 102))

    lots = 110 + FILLS_MAX - 41 + extra
    terms = {"tif": int(TimeInForce.FOK), "flags": int(OrderFlag.SINGLE_SHOT)}
    said = driver.buy("Tara", lots, 102, **terms)

    if extra:
        assert said == [f"drops {lots} at 102: NOT_FILLABLE_WHOLE"]
    else:
        assert sum("with" in words for words in said) == FILLS_MAX
        assert driver.book() == ""
