"""Where does a post-only order rest that asked to be priced again rather than refused?"""

import pytest

from engine.commands import Kind, command
from engine.types import MONEY_MAX, PRICE_MAX, OrderFlag, Phase
from tests.ladder import TAKER_PPM, TICK_PIPS, Driver, tidy

BOOK = """
    103 sell  Alice 3
     99 buy   Bob 2
"""
REPRICE = {"flags": int(OrderFlag.POST_ONLY | OrderFlag.REPRICE)}


def test_one_tick_behind_the_best_opposite_price(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 1, 110, **REPRICE) == ["rests 1 at 102"]
    assert driver.sell("Carol", 1, 50, **REPRICE) == ["rests 1 at 103"]
    assert driver.book() == tidy("""
        103 sell  Alice 3, Carol 1
        102 buy   Tara 1
         99 buy   Bob 2
    """)


def test_where_it_meets_nobody_it_rests_as_ordered(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.buy("Tara", 1, 101, **REPRICE) == ["rests 1 at 101"]
    assert driver.buy("Tara", 1, 103, **REPRICE) == ["rests 1 at 102"]


def test_acceptance_names_the_price_at_which_it_rests(driver: Driver) -> None:
    driver.rest(BOOK)

    events = driver.send(driver.place("Tara", "buy", 1, 110, **REPRICE))

    assert events["price_ticks"].tolist() == [102, 102]


def test_it_holds_for_the_price_at_which_it_rests(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.buy("Tara", 1, 110, **REPRICE)

    notional = 102 * TICK_PIPS
    assert driver.money("Tara")[3] == notional + notional * TAKER_PPM // 10**6


def test_it_must_be_able_to_pay_the_price_as_ordered(driver: Driver) -> None:
    driver.rest(BOOK)
    notional = 102 * TICK_PIPS
    enough = notional + notional * TAKER_PPM // 10**6
    available = driver.money("Tara")[2]
    driver.send(command(Kind.WITHDRAW, account=4, token=1, amount=available - enough))

    assert driver.buy("Tara", 1, 110, **REPRICE) == ["refused: INSUFFICIENT_BALANCE"]
    assert driver.buy("Tara", 1, 102, **REPRICE) == ["rests 1 at 102"]


def test_there_is_no_price_below_the_first(driver: Driver) -> None:
    driver.rest("1 sell Alice 1")

    assert driver.buy("Tara", 1, 5, **REPRICE) == ["refused: POST_ONLY_WOULD_TRADE"]


def test_there_is_no_price_above_the_last(driver: Driver) -> None:
    driver.set_terms(tick_pips=1)
    driver.rest(f"{PRICE_MAX} buy Alice 1")

    assert driver.sell("Tara", 1, 5, **REPRICE) == ["refused: POST_ONLY_WOULD_TRADE"]


@pytest.mark.parametrize("extra", [0, 1])
def test_a_sell_that_does_not_fit_at_the_higher_price_is_refused(
    driver: Driver, extra: int
) -> None:
    highest = 101
    driver.set_terms(tick_pips=MONEY_MAX // 2 // highest, taker_fee_ppm=0, maker_fee_ppm=0)
    all_there_is = MONEY_MAX - driver.engine.supply(1)
    driver.send(command(Kind.DEPOSIT, account=0, token=1, amount=all_there_is))
    price = highest - 1 + extra
    assert driver.buy("Alice", 1, price) == [f"rests 1 at {price}"]

    said = driver.sell("Tara", 1, 5, **REPRICE)

    assert said == (["refused: POST_ONLY_WOULD_TRADE"] if extra else [f"rests 1 at {price + 1}"])


def test_in_a_post_only_market_too(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.phase(Phase.POST_ONLY)

    assert driver.buy("Tara", 1, 103, **REPRICE) == ["rests 1 at 102"]


def test_an_iceberg_may_ask_for_it(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.iceberg("Tara", "buy", 9, 104, 2, **REPRICE) == ["rests 2+7 at 102"]


def test_the_band_is_asked_about_the_price_as_ordered(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.set_band(90, 105)

    assert driver.buy("Tara", 1, 106, **REPRICE) == ["refused: OUTSIDE_BAND"]
    assert driver.buy("Tara", 1, 105, **REPRICE) == ["rests 1 at 102"]
