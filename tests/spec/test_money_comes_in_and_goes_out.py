"""How do deposits, withdrawals and exits move money and freeze accounts?"""

from engine.commands import Kind, command
from engine.types import MONEY_MAX, Limits
from tests.ladder import BASE, FUNDS, NAMES, QUOTE, Desk
from tests.spec.conftest import Build

ALICE = NAMES.index("Alice")


def begin(desk: Desk) -> list[str]:
    return desk.words(desk.send(command(Kind.EXIT_BEGIN, account=ALICE)))


def end(desk: Desk, amount: int) -> list[str]:
    row = command(Kind.EXIT_END, account=ALICE, token=BASE, amount=amount)
    return desk.words(desk.send(row))


def test_a_deposit_can_be_withdrawn_again(desk: Desk) -> None:
    desk.send(command(Kind.WITHDRAW, account=ALICE, token=QUOTE, amount=FUNDS))

    assert desk.money("Alice") == (FUNDS, 0, 0, 0)
    assert desk.engine.supply(QUOTE) == (len(NAMES) - 1) * FUNDS


def test_all_deposits_of_a_token_together_fit_into_the_numbers(build: Build) -> None:
    desk = Desk(build(Limits(accounts=8, orders=8, markets=1, ladder_ticks=64)), funded=False)
    half = MONEY_MAX // 2

    first = desk.send(command(Kind.DEPOSIT, account=0, token=0, amount=half))
    more = desk.send(command(Kind.DEPOSIT, account=1, token=0, amount=MONEY_MAX - half + 1))
    exact = desk.send(command(Kind.DEPOSIT, account=1, token=0, amount=MONEY_MAX - half))

    said = [desk.words(events) for events in (first, more, exact)]
    assert said == [["deposited"], ["refused: AMOUNT_OUT_OF_RANGE"], ["deposited"]]
    desk.engine.check()


def test_an_exit_takes_the_accounts_orders_out_of_the_book(desk: Desk) -> None:
    desk.rest("102 sell Alice 1\n101 sell Bob 2, Alice 3\n99 buy Alice 4")

    assert begin(desk) == [
        "exit_begun",
        "Alice leaves 1 at 102: EXITING",
        "Alice leaves 3 at 101: EXITING",
        "Alice leaves 4 at 99: EXITING",
    ]
    assert desk.book() == "101 sell Bob 2"
    assert desk.money("Alice") == (FUNDS, 0, FUNDS, 0)


def test_nothing_new_is_taken_until_every_exit_has_ended(desk: Desk) -> None:
    begin(desk)
    begin(desk)

    assert desk.buy("Alice", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert end(desk, 0) == ["exit_ended"]
    assert desk.buy("Alice", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert end(desk, 40) == ["exit_ended"]
    assert desk.buy("Alice", 1, 1) == ["rests 1 at 1"]
    assert end(desk, 0) == ["refused: NOT_FROZEN"]
    assert desk.engine.available(ALICE, BASE) == FUNDS - 40


def test_a_frozen_account_still_receives(desk: Desk) -> None:
    begin(desk)

    said = desk.words(desk.send(command(Kind.DEPOSIT, account=ALICE, token=BASE, amount=5)))

    assert said == ["deposited"]
    assert desk.money("Alice")[0] == FUNDS + 5
