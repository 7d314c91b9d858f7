"""How do deposits, withdrawals and exits move money and freeze accounts?"""

from engine.commands import Kind, command
from engine.types import MONEY_MAX, Limits
from tests.ladder import BASE, FUNDS, NAMES, QUOTE, Driver
from tests.spec.conftest import Build

ALICE = NAMES.index("Alice")


def begin(driver: Driver) -> list[str]:
    return driver.words(driver.send(command(Kind.EXIT_BEGIN, account=ALICE)))


def end(driver: Driver, amount: int) -> list[str]:
    row = command(Kind.EXIT_END, account=ALICE, token=BASE, amount=amount)
    return driver.words(driver.send(row))


def test_a_deposit_can_be_withdrawn_again(driver: Driver) -> None:
    driver.send(command(Kind.WITHDRAW, account=ALICE, token=QUOTE, amount=FUNDS))

    assert driver.money("Alice") == (FUNDS, 0, 0, 0)
    assert driver.engine.supply(QUOTE) == (len(NAMES) - 1) * FUNDS


def test_all_deposits_of_a_token_together_fit_into_the_numbers(build: Build) -> None:
    driver = Driver(build(Limits(accounts=8, orders=8, markets=1, ladder_ticks=64)), funded=False)
    half = MONEY_MAX // 2

    first = driver.send(command(Kind.DEPOSIT, account=0, token=0, amount=half))
    more = driver.send(command(Kind.DEPOSIT, account=1, token=0, amount=MONEY_MAX - half + 1))
    exact = driver.send(command(Kind.DEPOSIT, account=1, token=0, amount=MONEY_MAX - half))

    said = [driver.words(events) for events in (first, more, exact)]
    assert said == [["deposited"], ["refused: AMOUNT_OUT_OF_RANGE"], ["deposited"]]
    driver.engine.check()


def test_an_exit_takes_the_accounts_orders_out_of_the_book(driver: Driver) -> None:
    driver.rest("102 sell Alice 1\n101 sell Bob 2, Alice 3\n99 buy Alice 4")

    assert begin(driver) == [
        "exit_begun",
        "Alice leaves 1 at 102: EXITING",
        "Alice leaves 3 at 101: EXITING",
        "Alice leaves 4 at 99: EXITING",
    ]
    assert driver.book() == "101 sell Bob 2"
    assert driver.money("Alice") == (FUNDS, 0, FUNDS, 0)


def test_nothing_new_is_taken_until_every_exit_has_ended(driver: Driver) -> None:
    begin(driver)
    begin(driver)

    assert driver.buy("Alice", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert end(driver, 0) == ["exit_ended"]
    assert driver.buy("Alice", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert end(driver, 40) == ["exit_ended"]
    assert driver.buy("Alice", 1, 1) == ["rests 1 at 1"]
    assert end(driver, 0) == ["refused: NOT_FROZEN"]
    assert driver.engine.available(ALICE, BASE) == FUNDS - 40


def test_a_frozen_account_still_receives(driver: Driver) -> None:
    begin(driver)

    said = driver.words(driver.send(command(Kind.DEPOSIT, account=ALICE, token=BASE, amount=5)))

    assert said == ["deposited"]
    assert driver.money("Alice")[0] == FUNDS + 5
