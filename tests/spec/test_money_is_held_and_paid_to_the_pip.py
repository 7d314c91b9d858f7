"""What does an order hold, what does a fill cost, and where do the fees go?"""

from engine.commands import Kind, command
from engine.types import fee_pips
from tests.ladder import (
    BASE,
    FUNDS,
    IOC,
    LOT_PIPS,
    MAKER_PPM,
    QUOTE,
    SMALL,
    TAKER_PPM,
    TICK_PIPS,
    Driver,
)
from tests.spec.conftest import Build

NOTHING_HELD = (FUNDS, 0, FUNDS, 0)


def cost(lots: int, price: int) -> int:
    return lots * price * TICK_PIPS


def hold(lots: int, price: int) -> int:
    return cost(lots, price) + fee_pips(cost(lots, price), TAKER_PPM)


def test_a_resting_buy_holds_its_cost_and_the_higher_fee(driver: Driver) -> None:
    driver.buy("Alice", 7, 101)

    assert driver.money("Alice") == (FUNDS, 0, FUNDS - hold(7, 101), hold(7, 101))


def test_a_resting_sell_holds_its_lots(driver: Driver) -> None:
    driver.sell("Alice", 7, 101)

    assert driver.money("Alice") == (FUNDS - 7 * LOT_PIPS, 7 * LOT_PIPS, FUNDS, 0)


def test_cancel_and_expiry_give_everything_back(driver: Driver) -> None:
    driver.buy("Alice", 7, 101)
    driver.sell("Alice", 7, 102)
    driver.sell("Bob", 7, 102, expiry_ns=5)
    driver.cancel("Alice", driver.id_of("Alice", 101))
    driver.cancel("Alice", driver.id_of("Alice", 102))
    driver.clock(5)

    assert driver.money("Alice") == NOTHING_HELD
    assert driver.money("Bob") == NOTHING_HELD


def test_both_sides_pay_the_makers_price_and_their_own_fee(driver: Driver) -> None:
    driver.sell("Alice", 10, 101)

    driver.buy("Tara", 4, 150)

    paid, made = cost(4, 101), cost(4, 101)
    taker_fee, maker_fee = fee_pips(paid, TAKER_PPM), fee_pips(made, MAKER_PPM)
    assert driver.money("Tara") == (FUNDS + 4 * LOT_PIPS, 0, FUNDS - paid - taker_fee, 0)
    assert driver.money("Alice") == (
        FUNDS - 10 * LOT_PIPS,
        6 * LOT_PIPS,
        FUNDS + made - maker_fee,
        0,
    )
    assert driver.engine.fees(QUOTE) == taker_fee + maker_fee


def test_a_buy_that_rests_after_better_fills_holds_only_for_its_rest(driver: Driver) -> None:
    driver.sell("Alice", 3, 90)

    driver.buy("Tara", 10, 101)

    spent = cost(3, 90) + fee_pips(cost(3, 90), TAKER_PPM)
    left = FUNDS - spent - hold(7, 101)
    assert driver.money("Tara") == (FUNDS + 3 * LOT_PIPS, 0, left, hold(7, 101))


def test_a_buy_maker_gets_back_the_fee_it_did_not_need(driver: Driver) -> None:
    driver.buy("Alice", 7, 101)

    for _ in range(7):
        driver.sell("Tara", 1, 101)

    fees = 7 * fee_pips(cost(1, 101), MAKER_PPM)
    assert driver.money("Alice") == (FUNDS + 7 * LOT_PIPS, 0, FUNDS - cost(7, 101) - fees, 0)


def test_fees_are_floored_fill_by_fill(driver: Driver) -> None:
    driver.buy("Alice", 1, 7)
    driver.buy("Alice", 1, 7)

    driver.sell("Tara", 2, 7)

    assert fee_pips(cost(1, 7), TAKER_PPM) == 7
    assert fee_pips(cost(1, 7), MAKER_PPM) == 1
    assert fee_pips(cost(2, 7), MAKER_PPM) == 2
    assert driver.engine.fees(QUOTE) == 2 * 7 + 2 * 1


def test_an_order_must_be_affordable_at_its_worst(build: Build) -> None:
    poor = Driver(build(SMALL), funded=False)
    poor.send(
        command(Kind.DEPOSIT, account=0, token=QUOTE, amount=hold(5, 100)),
        command(Kind.DEPOSIT, account=0, token=BASE, amount=5 * LOT_PIPS),
    )

    assert poor.buy("Alice", 6, 100) == ["refused: INSUFFICIENT_BALANCE"]
    assert poor.sell("Alice", 6, 100) == ["refused: INSUFFICIENT_BALANCE"]
    assert poor.buy("Alice", 5, 100) == ["rests 5 at 100"]
    assert poor.sell("Alice", 5, 101) == ["rests 5 at 101"]
    assert poor.money("Alice") == (0, 5 * LOT_PIPS, 0, hold(5, 100))
    assert poor.buy("Alice", 1, 1) == ["refused: INSUFFICIENT_BALANCE"]


def test_an_immediate_order_that_fails_to_fill_costs_nothing(driver: Driver) -> None:
    driver.buy("Tara", 7, 101, **IOC)

    assert driver.money("Tara") == NOTHING_HELD


def test_what_was_received_can_be_spent_by_the_next_command(build: Build) -> None:
    driver = Driver(build(SMALL), funded=False)
    driver.send(
        command(Kind.DEPOSIT, account=0, token=BASE, amount=5 * LOT_PIPS),
        command(Kind.DEPOSIT, account=1, token=QUOTE, amount=hold(5, 100)),
    )
    driver.sell("Alice", 5, 100)
    driver.buy("Bob", 5, 100)

    assert driver.sell("Bob", 5, 101) == ["rests 5 at 101"]
    assert driver.buy("Alice", 4, 100) == ["rests 4 at 100"]
