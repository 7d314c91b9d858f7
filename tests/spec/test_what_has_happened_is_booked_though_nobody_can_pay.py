"""What if the ledger must follow the chain, and a balance does not have what is gone?

It is booked all the same: what is missing is owed. Who owes has no order, can neither order nor
withdraw, and is free again when money has come in.
"""

import numpy as np

from engine.commands import Kind, command
from engine.types import MONEY_MAX, MoneyFlag
from tests.ladder import (
    BASE,
    FUNDS,
    LOT_PIPS,
    MAKER_PPM,
    NAMES,
    QUOTE,
    TAKER_PPM,
    TICK_PIPS,
    Driver,
)

LOTS, PRICE = 4, 101
BASE_PIPS = LOTS * LOT_PIPS
QUOTE_PIPS = LOTS * PRICE * TICK_PIPS
TARA, BOB = NAMES.index("Tara"), NAMES.index("Bob")
ALWAYS = int(MoneyFlag.ALWAYS)


def bust(**changed: int) -> np.void:
    """Return the command that undoes what Tara bought of Bob, whatever they have."""
    fields = {
        "account": TARA,
        "fee_cap_ppm": BOB,
        "price_ticks": BASE_PIPS,
        "amount": QUOTE_PIPS,
        "order_id": QUOTE_PIPS * TAKER_PPM // 10**6,
        "expiry_ns": QUOTE_PIPS * MAKER_PPM // 10**6,
        "flags": ALWAYS,
    }
    return command(Kind.BUST, **(fields | changed))


def trade(driver: Driver) -> None:
    driver.rest(f"{PRICE} sell Bob {LOTS}")
    assert driver.buy("Tara", LOTS, PRICE) == [f"{LOTS} at {PRICE} with Bob"]


def move(
    driver: Driver, kind: Kind, name: str, token: int, amount: int, **fields: int
) -> list[str]:
    row = command(kind, account=NAMES.index(name), token=token, amount=amount, **fields)
    return driver.words(driver.send(row))


def leave_only(driver: Driver, name: str, token: int, pips: int) -> None:
    has = driver.engine.available(NAMES.index(name), token)
    assert move(driver, Kind.WITHDRAW, name, token, has - pips) == ["withdrawn"]


def test_found_a_bust_that_a_spent_balance_stopped(driver: Driver) -> None:
    before = driver.money("Bob")
    trade(driver)
    leave_only(driver, "Tara", BASE, 1)

    assert driver.words(driver.send(bust())) == ["trade_busted"]

    assert driver.money("Tara")[0] == 1 - BASE_PIPS
    assert driver.money("Bob") == before, "the honest side has all that it gave"


def test_a_seller_who_has_spent_the_price_owes_it_too(driver: Driver) -> None:
    before = driver.money("Tara")
    trade(driver)
    leave_only(driver, "Bob", QUOTE, 0)

    driver.send(bust())

    assert driver.money("Tara") == before
    assert driver.money("Bob")[2] == QUOTE_PIPS * MAKER_PPM // 10**6 - QUOTE_PIPS


def test_who_owes_can_neither_order_nor_withdraw_until_money_has_come_in(driver: Driver) -> None:
    trade(driver)
    leave_only(driver, "Tara", BASE, 0)
    driver.send(bust())

    assert driver.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(driver, Kind.WITHDRAW, "Tara", QUOTE, 5) == ["refused: IN_DEBT"]
    assert move(driver, Kind.DEPOSIT, "Tara", BASE, BASE_PIPS - 1) == ["deposited"]
    assert driver.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(driver, Kind.DEPOSIT, "Tara", BASE, 1) == ["deposited"]
    assert driver.buy("Tara", 1, 1) == ["rests 1 at 1"]
    assert move(driver, Kind.WITHDRAW, "Tara", QUOTE, 5) == ["withdrawn"]


def test_orders_of_who_cannot_give_it_back_leave_everywhere(driver: Driver) -> None:
    trade(driver)
    leave_only(driver, "Tara", BASE, 30)
    driver.rest("120 sell Tara 2\n90 buy Bob 1, Tara 1")
    assert driver.stop("Tara", "buy", 1, 130, 125) == ["waits 1 at 130 from 125"]

    assert driver.words(driver.send(bust())) == [
        "trade_busted",
        "Tara leaves 2 at 120: IN_DEBT",
        "Tara leaves 1 at 90: IN_DEBT",
        "Tara leaves 1 at 130 from 125: IN_DEBT",
    ]
    assert driver.book() == "90 buy Bob 1"
    assert driver.money("Tara")[:2] == (30 - BASE_PIPS, 0)


def test_orders_that_held_enough_pay_and_nothing_is_owed(driver: Driver) -> None:
    trade(driver)
    leave_only(driver, "Tara", BASE, BASE_PIPS)
    driver.rest(f"120 sell Tara {LOTS}")

    said = driver.words(driver.send(bust()))

    assert said == ["trade_busted", f"Tara leaves {LOTS} at 120: IN_DEBT"]
    assert driver.money("Tara")[:2] == (0, 0)
    assert driver.buy("Tara", 1, 1) == ["rests 1 at 1"]


def test_who_leaves_and_owes_is_bound_by_both(driver: Driver) -> None:
    trade(driver)
    leave_only(driver, "Tara", BASE, 0)
    driver.send(bust(), command(Kind.EXIT_BEGIN, account=TARA))

    assert driver.buy("Tara", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert move(driver, Kind.EXIT_END, "Tara", QUOTE, 0) == ["exit_ended"]
    assert driver.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(driver, Kind.EXIT_END, "Tara", QUOTE, 0) == ["refused: NOT_FROZEN"]


def test_an_exit_takes_what_is_there_before_what_was_to_be_paid_out(driver: Driver) -> None:
    leave_only(driver, "Tara", BASE, 100)
    driver.send(command(Kind.EXIT_BEGIN, account=TARA))

    row = command(
        Kind.EXIT_END, account=TARA, token=BASE, amount=130, price_ticks=FUNDS - 100, flags=ALWAYS
    )
    events = driver.send(row)

    assert (events[0]["amount"], events[0]["order_left"]) == (100, 30)
    assert driver.money("Tara")[0] == 0
    assert driver.buy("Tara", 1, 1) == ["rests 1 at 1"], "the exit has ended"


def test_an_exit_of_more_than_anybody_knows_of_leaves_a_debt(driver: Driver) -> None:
    leave_only(driver, "Tara", BASE, 100)
    driver.send(command(Kind.EXIT_BEGIN, account=TARA))

    assert move(driver, Kind.EXIT_END, "Tara", BASE, 130, price_ticks=20, flags=ALWAYS) == [
        "exit_ended"
    ]
    assert driver.money("Tara")[0] == -10


def test_an_exit_that_nobody_saw_begin_is_booked_too(driver: Driver) -> None:
    said = move(driver, Kind.EXIT_END, "Tara", BASE, 7, flags=ALWAYS)

    assert said == ["exit_ended"]
    assert driver.money("Tara")[0] == FUNDS - 7


def test_a_payout_that_came_after_all_is_booked_whatever_there_is(driver: Driver) -> None:
    leave_only(driver, "Tara", BASE, 5)
    driver.send(command(Kind.EXIT_BEGIN, account=TARA))

    assert move(driver, Kind.WITHDRAW, "Tara", BASE, 8, flags=ALWAYS) == ["withdrawn"]
    assert driver.money("Tara")[0] == -3


def test_no_debt_is_so_large_that_a_number_wraps(driver: Driver) -> None:
    row = {"token": BASE, "amount": MONEY_MAX, "flags": ALWAYS}

    assert move(driver, Kind.WITHDRAW, "Tara", **row) == ["withdrawn"]
    assert move(driver, Kind.WITHDRAW, "Bob", **row) == ["refused: AMOUNT_OUT_OF_RANGE"]
    assert move(driver, Kind.DEPOSIT, "Bob", BASE, MONEY_MAX) == ["refused: AMOUNT_OUT_OF_RANGE"]
