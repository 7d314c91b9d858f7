"""Who pays what where makers are rewarded, to the pip?"""

import pytest

from engine.commands import Kind, command
from engine.types import FEE_MAX_PPM
from tests.ladder import Driver


def exchange(driver: Driver, maker_side: str, lots: int, price: int) -> tuple[int, int, int]:
    """Trade between Alice, who rests, and Bob; return notional and both fees."""
    if maker_side == "sell":
        driver.sell("Alice", lots, price)
        row = driver.place("Bob", "buy", lots, price, fee_cap_ppm=FEE_MAX_PPM)
    else:
        driver.buy("Alice", lots, price, fee_cap_ppm=FEE_MAX_PPM)
        row = driver.place("Bob", "sell", lots, price, fee_cap_ppm=FEE_MAX_PPM)
    event = driver.send(row)[1]
    return lots * price, int(event["fee_pips"]), int(event["maker_fee_pips"])


@pytest.mark.parametrize("maker_side", ["buy", "sell"])
@pytest.mark.parametrize(("lots", "price"), [(1, 1), (1, 999), (1, 1001), (999, 1001), (7, 2003)])
def test_the_rebate_comes_out_of_the_takers_fee_rounded_down(
    driver: Driver, maker_side: str, lots: int, price: int
) -> None:
    driver.set_terms(tick_pips=1, maker_fee_ppm=-700, taker_fee_ppm=1000)
    alice, bob = driver.money("Alice"), driver.money("Bob")

    notional, fee, maker_fee = exchange(driver, maker_side, lots, price)

    assert fee == notional * 1000 // 10**6
    assert maker_fee == -(notional * 700 // 10**6)
    sign = 1 if maker_side == "sell" else -1
    assert driver.money("Alice")[2] - alice[2] == sign * notional - maker_fee
    assert driver.money("Bob")[2] - bob[2] == -sign * notional - fee
    assert driver.engine.fees(1) == fee + maker_fee >= 0


@pytest.mark.parametrize("notional", [1, 99, 100, 101, 9_999, 10_001, 123_457])
def test_a_rebate_as_high_as_the_takers_fee_leaves_the_house_nothing(
    driver: Driver, notional: int
) -> None:
    driver.set_terms(tick_pips=1, maker_fee_ppm=-FEE_MAX_PPM, taker_fee_ppm=FEE_MAX_PPM)

    _, fee, maker_fee = exchange(driver, "sell", 1, notional)

    assert fee + maker_fee == 0
    assert driver.engine.fees(1) == 0


def test_an_order_holds_for_the_takers_fee_though_it_may_earn(driver: Driver) -> None:
    driver.set_terms(tick_pips=1, maker_fee_ppm=-700, taker_fee_ppm=1000)
    driver.buy("Alice", 10, 1000)

    assert driver.money("Alice")[3] == 10_000 + 10


def test_the_cap_of_an_order_is_about_what_it_may_pay(driver: Driver) -> None:
    driver.set_terms(maker_fee_ppm=-700, taker_fee_ppm=1000)

    assert driver.buy("Alice", 1, 100, fee_cap_ppm=999) == ["refused: FEE_CAP_TOO_LOW"]
    assert driver.buy("Alice", 1, 100, fee_cap_ppm=1000) == ["rests 1 at 100"]


def test_what_was_earned_can_be_withdrawn(driver: Driver) -> None:
    driver.set_terms(tick_pips=1000, maker_fee_ppm=-1000, taker_fee_ppm=1000)
    exchange(driver, "sell", 100, 100)
    available = driver.money("Alice")[2]

    row = command(Kind.WITHDRAW, account=0, token=1, amount=available)
    assert driver.words(driver.send(row)) == ["withdrawn"]
    assert driver.money("Alice")[2] == 0
