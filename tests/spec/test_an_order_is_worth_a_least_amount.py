"""What is too small to be worth the gas of a trade? Each market says it, in quote."""

import pytest

from engine.types import OrderFlag, Phase
from tests.ladder import IOC, POST_ONLY, TICK_PIPS, Driver

LEAST = 1_000
"""Lots times ticks."""

REFUSED = ["refused: BELOW_LEAST_NOTIONAL"]


@pytest.fixture
def market(driver: Driver) -> Driver:
    """Return a driver whose market has a least notional."""
    assert driver.set_terms(least_notional_pips=LEAST * TICK_PIPS) == ["terms_set"]
    return driver


def test_an_order_of_the_least_amount_is_taken_and_a_smaller_one_is_not(market: Driver) -> None:
    assert market.buy("Alice", 9, 100) == REFUSED
    assert market.buy("Alice", 10, 100) == ["rests 10 at 100"]
    assert market.sell("Bob", 9, 110) == REFUSED
    assert market.sell("Bob", 10, 110) == ["rests 10 at 110"]


def test_part_of_a_tick_counts_as_a_whole_one(driver: Driver) -> None:
    driver.set_terms(least_notional_pips=LEAST * TICK_PIPS - TICK_PIPS + 1)

    assert driver.buy("Alice", 1, LEAST - 1) == REFUSED
    assert driver.buy("Alice", 1, LEAST) == ["rests 1 at 1000"]


def test_a_trade_may_leave_less_than_that(market: Driver) -> None:
    market.rest("100 sell Bob 15")

    assert market.buy("Alice", 10, 100) == ["10 at 100 with Bob"]
    assert market.book() == "100 sell Bob 5"


def test_a_far_limit_does_not_make_a_large_order_of_a_small_one(market: Driver) -> None:
    market.rest("100 sell Bob 15\n90 buy Dave 20")

    assert market.buy("Alice", 1, 1_000_000, **IOC) == REFUSED
    assert market.sell("Alice", 15, 1, **IOC) == ["15 at 90 with Dave"], "it is worth 1,350"


def test_an_order_may_not_be_amended_below_it(market: Driver) -> None:
    market.rest("100 sell Bob 15")

    assert market.amend("Bob", market.id_of("Bob", 100), 9) == REFUSED
    assert market.amend("Bob", market.id_of("Bob", 100), 10) == ["Bob keeps 10 at 100"]


def test_a_replacement_is_judged_like_a_new_order(market: Driver) -> None:
    market.rest("100 sell Bob 15")

    assert market.replace("Bob", market.id_of("Bob", 100), 9, 100) == REFUSED


def test_a_stop_counts_at_its_trigger(market: Driver) -> None:
    assert market.stop("Alice", "buy", 9, 10**6, 100) == REFUSED
    assert market.stop("Alice", "sell", 10, 1, 100) == ["waits 10 at 1 from 100"]
    assert market.amend("Alice", market.id_of("Alice", 1), 9) == REFUSED


def test_each_part_of_an_iceberg_is_worth_it(market: Driver) -> None:
    assert market.iceberg("Alice", "buy", 90, 100, 9) == REFUSED
    assert market.iceberg("Alice", "buy", 90, 100, 10) == ["rests 10+80 at 100"]


def test_no_order_is_too_small_where_nothing_is_said(driver: Driver) -> None:
    assert driver.buy("Alice", 1, 1) == ["rests 1 at 1"]


def test_a_price_and_lots_at_their_bounds_are_not_small(market: Driver) -> None:
    flags = int(OrderFlag.STOP)

    said = market.sell("Alice", 2**36, 2, order_id=2**31 - 1, flags=flags)

    assert said == [f"waits {2**36} at 2 from {2**31 - 1}"]


def test_terms_with_a_senseless_least_amount_are_refused(driver: Driver) -> None:
    assert driver.set_terms(least_notional_pips=-1) == ["refused: BAD_LISTING"]
    assert driver.set_terms(least_notional_pips=2**61) == ["refused: BAD_LISTING"]


def test_it_holds_in_an_auction_and_for_post_only_orders(market: Driver) -> None:
    assert market.buy("Alice", 9, 100, **POST_ONLY) == REFUSED
    market.phase(Phase.AUCTION)
    assert market.buy("Alice", 9, 100) == REFUSED
