"""What becomes of the lots that found no counterpart?"""

from engine.types import FILLS_MAX
from tests.ladder import BOUNDLESS, IOC, POST_ONLY, SINGLE_SHOT, SMALL, Driver
from tests.spec.conftest import Build


def test_the_remainder_of_an_immediate_order_never_rests(driver: Driver) -> None:
    driver.rest("101 sell Alice 3")

    assert driver.buy("Tara", 5, 101, **IOC) == [
        "3 at 101 with Alice",
        "drops 2 at 101: IMMEDIATE_REMAINDER",
    ]
    assert driver.book() == ""


def test_an_immediate_order_that_meets_nobody_is_dropped_whole(driver: Driver) -> None:
    driver.rest("101 sell Alice 3")

    assert driver.buy("Tara", 5, 100, **IOC) == ["drops 5 at 100: IMMEDIATE_REMAINDER"]
    assert driver.book() == "101 sell Alice 3"


def test_an_order_filled_to_the_last_lot_leaves_nothing(driver: Driver) -> None:
    driver.rest("101 sell Alice 3")

    assert driver.buy("Tara", 3, 101) == ["3 at 101 with Alice"]
    assert driver.book() == ""


def test_post_only_rests_or_is_refused_and_never_takes(driver: Driver) -> None:
    driver.rest("101 sell Alice 3\n99 buy Bob 3")

    assert driver.buy("Tara", 1, 101, **POST_ONLY) == ["refused: POST_ONLY_WOULD_TRADE"]
    assert driver.sell("Tara", 1, 99, **POST_ONLY) == ["refused: POST_ONLY_WOULD_TRADE"]
    assert driver.buy("Tara", 1, 100, **POST_ONLY) == ["rests 1 at 100"]


def test_a_single_shot_order_drops_what_would_need_more_fills(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=100)))
    for _ in range(FILLS_MAX + 2):
        driver.send(driver.place("Alice", "sell", 1, 100))

    said = driver.buy("Tara", FILLS_MAX + 5, 100, **SINGLE_SHOT)

    assert said[:-1] == ["1 at 100 with Alice"] * FILLS_MAX
    assert said[-1] == "drops 5 at 100: FILLS_EXHAUSTED"
    assert driver.book() == "100 sell Alice 1, Alice 1"


def test_a_single_shot_order_with_exactly_the_allowed_fills_is_not_exhausted(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=100)))
    for _ in range(FILLS_MAX):
        driver.send(driver.place("Alice", "sell", 1, 100))

    said = driver.buy("Tara", FILLS_MAX + 1, 100, **SINGLE_SHOT)

    assert said[-1] == "drops 1 at 100: IMMEDIATE_REMAINDER"


def test_what_would_rest_has_no_more_fills_either(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=600)))
    driver.send(*(driver.place("Alice", "sell", 1, 100 + i % 7) for i in range(500)))

    said = driver.buy("Tara", 501, 106)

    assert len(said) == FILLS_MAX + 1
    assert said[-1] == f"drops {501 - FILLS_MAX} at 106: FILLS_EXHAUSTED"
    driver.engine.check()


def test_where_a_journal_knows_no_such_limit_it_may_have_any_number(build: Build) -> None:
    driver = Driver(build(SMALL._replace(orders=6000, **BOUNDLESS)))
    driver.send(*(driver.place("Alice", "sell", 1, 100 + i % 7) for i in range(5000)))

    said = driver.buy("Tara", FILLS_MAX + 1, 106, **SINGLE_SHOT)
    assert said[-1] == "drops 1 at 106: FILLS_EXHAUSTED", "a single shot never"

    said = driver.buy("Tara", 5001 - FILLS_MAX, 106)
    assert len(said) == 5001 - FILLS_MAX
    assert said[-1] == "rests 1 at 106"
    driver.engine.check()
