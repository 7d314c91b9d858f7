"""When does an order die of old age, and who notices?"""

from tests.ladder import POST_ONLY, Driver


def test_the_clock_removes_expired_orders_in_slot_order(driver: Driver) -> None:
    driver.sell("Alice", 1, 103, expiry_ns=100)
    driver.buy("Bob", 2, 99, expiry_ns=200)
    driver.sell("Carol", 3, 101, expiry_ns=50)

    assert driver.clock(49) == []
    assert driver.clock(100) == ["Alice leaves 1 at 103: EXPIRED", "Carol leaves 3 at 101: EXPIRED"]
    assert driver.clock(199) == []
    assert driver.clock(200) == ["Bob leaves 2 at 99: EXPIRED"]


def test_a_taker_removes_the_expired_makers_it_meets_and_goes_on(driver: Driver) -> None:
    driver.sell("Alice", 1, 101, expiry_ns=100)
    driver.sell("Bob", 2, 101)
    driver.sell("Carol", 3, 102, expiry_ns=100)
    driver.time_ns = 100

    assert driver.buy("Tara", 5, 102) == [
        "Alice leaves 1 at 101: EXPIRED",
        "2 at 101 with Bob",
        "Carol leaves 3 at 102: EXPIRED",
        "rests 3 at 102",
    ]


def test_an_expired_order_of_ones_own_is_no_self_trade(driver: Driver) -> None:
    driver.sell("Tara", 1, 101, expiry_ns=100)
    driver.sell("Bob", 1, 101)
    driver.time_ns = 100

    assert driver.buy("Tara", 1, 101) == ["Tara leaves 1 at 101: EXPIRED", "1 at 101 with Bob"]


def test_an_order_that_comes_too_late_is_refused(driver: Driver) -> None:
    driver.clock(100)

    assert driver.buy("Tara", 1, 100, expiry_ns=100) == ["refused: ORDER_EXPIRED"]
    assert driver.buy("Tara", 1, 100, expiry_ns=101) == ["rests 1 at 100"]


def test_time_never_runs_backwards(driver: Driver) -> None:
    driver.clock(100)
    driver.time_ns = 5

    assert driver.buy("Tara", 1, 100, expiry_ns=100) == ["refused: ORDER_EXPIRED"]


def test_post_only_counts_an_expired_order_until_somebody_has_removed_it(driver: Driver) -> None:
    driver.sell("Alice", 1, 101, expiry_ns=100)
    driver.time_ns = 100

    assert driver.buy("Tara", 1, 101, **POST_ONLY) == ["refused: POST_ONLY_WOULD_TRADE"]
    assert driver.clock(100) == ["Alice leaves 1 at 101: EXPIRED"]
    assert driver.buy("Tara", 1, 101, **POST_ONLY) == ["rests 1 at 101"]


def test_later_expiries_are_still_found_after_a_sweep(driver: Driver) -> None:
    for i in range(5):
        driver.sell("Alice", 1, 101 + i, expiry_ns=100 + 10 * i)

    for i in range(5):
        assert driver.clock(100 + 10 * i) == [f"Alice leaves 1 at {101 + i}: EXPIRED"]
