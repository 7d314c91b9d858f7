"""Who pays what where makers are rewarded, to the pip?"""

import pytest

from engine.commands import Kind, command
from engine.types import FEE_MAX_PPM
from tests.ladder import Desk


def exchange(desk: Desk, maker_side: str, lots: int, price: int) -> tuple[int, int, int]:
    """Trade between Alice, who rests, and Bob; return notional and both fees."""
    if maker_side == "sell":
        desk.sell("Alice", lots, price)
        row = desk.place("Bob", "buy", lots, price, fee_cap_ppm=FEE_MAX_PPM)
    else:
        desk.buy("Alice", lots, price, fee_cap_ppm=FEE_MAX_PPM)
        row = desk.place("Bob", "sell", lots, price, fee_cap_ppm=FEE_MAX_PPM)
    event = desk.send(row)[1]
    return lots * price, int(event["fee_pips"]), int(event["maker_fee_pips"])


@pytest.mark.parametrize("maker_side", ["buy", "sell"])
@pytest.mark.parametrize(("lots", "price"), [(1, 1), (1, 999), (1, 1001), (999, 1001), (7, 2003)])
def test_the_rebate_comes_out_of_the_takers_fee_rounded_down(
    desk: Desk, maker_side: str, lots: int, price: int
) -> None:
    desk.set_terms(tick_pips=1, maker_fee_ppm=-700, taker_fee_ppm=1000)
    alice, bob = desk.money("Alice"), desk.money("Bob")

    notional, fee, maker_fee = exchange(desk, maker_side, lots, price)

    assert fee == notional * 1000 // 10**6
    assert maker_fee == -(notional * 700 // 10**6)
    sign = 1 if maker_side == "sell" else -1
    assert desk.money("Alice")[2] - alice[2] == sign * notional - maker_fee
    assert desk.money("Bob")[2] - bob[2] == -sign * notional - fee
    assert desk.engine.fees(1) == fee + maker_fee >= 0


@pytest.mark.parametrize("notional", [1, 99, 100, 101, 9_999, 10_001, 123_457])
def test_a_rebate_as_high_as_the_takers_fee_leaves_the_house_nothing(
    desk: Desk, notional: int
) -> None:
    desk.set_terms(tick_pips=1, maker_fee_ppm=-FEE_MAX_PPM, taker_fee_ppm=FEE_MAX_PPM)

    _, fee, maker_fee = exchange(desk, "sell", 1, notional)

    assert fee + maker_fee == 0
    assert desk.engine.fees(1) == 0


def test_an_order_holds_for_the_takers_fee_though_it_may_earn(desk: Desk) -> None:
    desk.set_terms(tick_pips=1, maker_fee_ppm=-700, taker_fee_ppm=1000)
    desk.buy("Alice", 10, 1000)

    assert desk.money("Alice")[3] == 10_000 + 10


def test_the_cap_of_an_order_is_about_what_it_may_pay(desk: Desk) -> None:
    desk.set_terms(maker_fee_ppm=-700, taker_fee_ppm=1000)

    assert desk.buy("Alice", 1, 100, fee_cap_ppm=999) == ["refused: FEE_CAP_TOO_LOW"]
    assert desk.buy("Alice", 1, 100, fee_cap_ppm=1000) == ["rests 1 at 100"]


def test_what_was_earned_can_be_withdrawn(desk: Desk) -> None:
    desk.set_terms(tick_pips=1000, maker_fee_ppm=-1000, taker_fee_ppm=1000)
    exchange(desk, "sell", 100, 100)
    available = desk.money("Alice")[2]

    row = command(Kind.WITHDRAW, account=0, token=1, amount=available)
    assert desk.words(desk.send(row)) == ["withdrawn"]
    assert desk.money("Alice")[2] == 0
