"""What if the ledger must follow the chain, and a balance does not have what is gone?

It is booked all the same: what is missing is owed. Who owes has no order, can neither order nor
withdraw, and is free again when money has come in.
"""

import numpy as np

from engine.commands import Kind, command
from engine.types import MONEY_MAX, MoneyFlag
from tests.ladder import BASE, FUNDS, LOT_PIPS, MAKER_PPM, NAMES, QUOTE, TAKER_PPM, TICK_PIPS, Desk

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


def trade(desk: Desk) -> None:
    desk.rest(f"{PRICE} sell Bob {LOTS}")
    assert desk.buy("Tara", LOTS, PRICE) == [f"{LOTS} at {PRICE} with Bob"]


def move(desk: Desk, kind: Kind, name: str, token: int, amount: int, **fields: int) -> list[str]:
    row = command(kind, account=NAMES.index(name), token=token, amount=amount, **fields)
    return desk.words(desk.send(row))


def leave_only(desk: Desk, name: str, token: int, pips: int) -> None:
    has = desk.engine.available(NAMES.index(name), token)
    assert move(desk, Kind.WITHDRAW, name, token, has - pips) == ["withdrawn"]


def test_found_a_bust_that_a_spent_balance_stopped(desk: Desk) -> None:
    before = desk.money("Bob")
    trade(desk)
    leave_only(desk, "Tara", BASE, 1)

    assert desk.words(desk.send(bust())) == ["trade_busted"]

    assert desk.money("Tara")[0] == 1 - BASE_PIPS
    assert desk.money("Bob") == before, "the honest side has all that it gave"


def test_a_seller_who_has_spent_the_price_owes_it_too(desk: Desk) -> None:
    before = desk.money("Tara")
    trade(desk)
    leave_only(desk, "Bob", QUOTE, 0)

    desk.send(bust())

    assert desk.money("Tara") == before
    assert desk.money("Bob")[2] == QUOTE_PIPS * MAKER_PPM // 10**6 - QUOTE_PIPS


def test_who_owes_can_neither_order_nor_withdraw_until_money_has_come_in(desk: Desk) -> None:
    trade(desk)
    leave_only(desk, "Tara", BASE, 0)
    desk.send(bust())

    assert desk.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(desk, Kind.WITHDRAW, "Tara", QUOTE, 5) == ["refused: IN_DEBT"]
    assert move(desk, Kind.DEPOSIT, "Tara", BASE, BASE_PIPS - 1) == ["deposited"]
    assert desk.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(desk, Kind.DEPOSIT, "Tara", BASE, 1) == ["deposited"]
    assert desk.buy("Tara", 1, 1) == ["rests 1 at 1"]
    assert move(desk, Kind.WITHDRAW, "Tara", QUOTE, 5) == ["withdrawn"]


def test_orders_of_who_cannot_give_it_back_leave_everywhere(desk: Desk) -> None:
    trade(desk)
    leave_only(desk, "Tara", BASE, 30)
    desk.rest("120 sell Tara 2\n90 buy Bob 1, Tara 1")
    assert desk.stop("Tara", "buy", 1, 130, 125) == ["waits 1 at 130 from 125"]

    assert desk.words(desk.send(bust())) == [
        "trade_busted",
        "Tara leaves 2 at 120: IN_DEBT",
        "Tara leaves 1 at 90: IN_DEBT",
        "Tara leaves 1 at 130 from 125: IN_DEBT",
    ]
    assert desk.book() == "90 buy Bob 1"
    assert desk.money("Tara")[:2] == (30 - BASE_PIPS, 0)


def test_orders_that_held_enough_pay_and_nothing_is_owed(desk: Desk) -> None:
    trade(desk)
    leave_only(desk, "Tara", BASE, BASE_PIPS)
    desk.rest(f"120 sell Tara {LOTS}")

    said = desk.words(desk.send(bust()))

    assert said == ["trade_busted", f"Tara leaves {LOTS} at 120: IN_DEBT"]
    assert desk.money("Tara")[:2] == (0, 0)
    assert desk.buy("Tara", 1, 1) == ["rests 1 at 1"]


def test_who_leaves_and_owes_is_bound_by_both(desk: Desk) -> None:
    trade(desk)
    leave_only(desk, "Tara", BASE, 0)
    desk.send(bust(), command(Kind.EXIT_BEGIN, account=TARA))

    assert desk.buy("Tara", 1, 1) == ["refused: ACCOUNT_FROZEN"]
    assert move(desk, Kind.EXIT_END, "Tara", QUOTE, 0) == ["exit_ended"]
    assert desk.buy("Tara", 1, 1) == ["refused: IN_DEBT"]
    assert move(desk, Kind.EXIT_END, "Tara", QUOTE, 0) == ["refused: NOT_FROZEN"]


def test_an_exit_takes_what_is_there_before_what_was_to_be_paid_out(desk: Desk) -> None:
    leave_only(desk, "Tara", BASE, 100)
    desk.send(command(Kind.EXIT_BEGIN, account=TARA))

    row = command(
        Kind.EXIT_END, account=TARA, token=BASE, amount=130, price_ticks=FUNDS - 100, flags=ALWAYS
    )
    events = desk.send(row)

    assert (events[0]["amount"], events[0]["order_left"]) == (100, 30)
    assert desk.money("Tara")[0] == 0
    assert desk.buy("Tara", 1, 1) == ["rests 1 at 1"], "the exit has ended"


def test_an_exit_of_more_than_anybody_knows_of_leaves_a_debt(desk: Desk) -> None:
    leave_only(desk, "Tara", BASE, 100)
    desk.send(command(Kind.EXIT_BEGIN, account=TARA))

    assert move(desk, Kind.EXIT_END, "Tara", BASE, 130, price_ticks=20, flags=ALWAYS) == [
        "exit_ended"
    ]
    assert desk.money("Tara")[0] == -10


def test_an_exit_that_nobody_saw_begin_is_booked_too(desk: Desk) -> None:
    said = move(desk, Kind.EXIT_END, "Tara", BASE, 7, flags=ALWAYS)

    assert said == ["exit_ended"]
    assert desk.money("Tara")[0] == FUNDS - 7


def test_a_payout_that_came_after_all_is_booked_whatever_there_is(desk: Desk) -> None:
    leave_only(desk, "Tara", BASE, 5)
    desk.send(command(Kind.EXIT_BEGIN, account=TARA))

    assert move(desk, Kind.WITHDRAW, "Tara", BASE, 8, flags=ALWAYS) == ["withdrawn"]
    assert desk.money("Tara")[0] == -3


def test_no_debt_is_so_large_that_a_number_wraps(desk: Desk) -> None:
    row = {"token": BASE, "amount": MONEY_MAX, "flags": ALWAYS}

    assert move(desk, Kind.WITHDRAW, "Tara", **row) == ["withdrawn"]
    assert move(desk, Kind.WITHDRAW, "Bob", **row) == ["refused: AMOUNT_OUT_OF_RANGE"]
    assert move(desk, Kind.DEPOSIT, "Bob", BASE, MONEY_MAX) == ["refused: AMOUNT_OUT_OF_RANGE"]
