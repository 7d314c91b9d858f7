"""Which orders does CANCEL_ALL take, and in which order?"""

from engine.commands import Kind, command, list_market
from engine.events import EventKind
from engine.types import ALL_MARKETS
from tests.ladder import BASE, QUOTE, Driver, tidy


def test_all_orders_of_the_account_and_of_nobody_else_go_in_slot_order(driver: Driver) -> None:
    driver.rest("""
        103 sell  Alice 1
        101 sell  Bob 2, Alice 3, Carol 4
         99 buy   Alice 5
         98 buy   Dave 6
    """)

    assert driver.cancel_all("Alice") == [
        "Alice leaves 1 at 103: CANCELLED_BY_OWNER",
        "Alice leaves 3 at 101: CANCELLED_BY_OWNER",
        "Alice leaves 5 at 99: CANCELLED_BY_OWNER",
        "Alice cancelled 3",
    ]
    assert driver.book() == tidy("""
        101 sell  Bob 2, Carol 4
         98 buy   Dave 6
    """)
    assert driver.money("Alice") == driver.money("Tara")


def test_an_account_without_orders_gets_an_answer_too(driver: Driver) -> None:
    driver.rest("101 sell Bob 2")

    assert driver.cancel_all("Alice") == ["Alice cancelled 0"]
    assert driver.cancel_all("Bob", 0) == [
        "Bob leaves 2 at 101: CANCELLED_BY_OWNER",
        "Bob cancelled 1",
    ]


def test_the_operator_takes_everybodys_orders_in_slot_order(driver: Driver) -> None:
    driver.rest("103 sell Alice 1+2\n101 sell Bob 2\n99 buy Carol 5")
    driver.stop("Tara", "buy", 1, 108, 107)

    assert driver.cancel_everybody() == [
        "Alice leaves 1+2 at 103: CANCELLED_BY_OPERATOR",
        "Bob leaves 2 at 101: CANCELLED_BY_OPERATOR",
        "Carol leaves 5 at 99: CANCELLED_BY_OPERATOR",
        "Tara leaves 1 at 108 from 107: CANCELLED_BY_OPERATOR",
        "everybody cancelled 4: CANCELLED_BY_OPERATOR",
    ]
    assert driver.book() == ""


def test_the_operator_too_may_name_one_market(driver: Driver) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    driver.send(list_market(1, BASE, QUOTE, **terms))
    driver.rest("101 sell Bob 2")
    driver.send(driver.place("Alice", "sell", 1, 101, market=1))

    assert driver.cancel_everybody(0)[-1] == "everybody cancelled 1: CANCELLED_BY_OPERATOR"
    assert driver.engine.orders_live == 1
    assert driver.cancel_everybody(2) == ["refused: UNKNOWN_MARKET"]
    driver.cancel_everybody(1)


def cancelled_in(driver: Driver, market: int) -> list[int]:
    """Cancel Alice's orders in ``market``; return the markets of what went."""
    events = driver.send(command(Kind.CANCEL_ALL, account=0, market=market))
    last = events[-1]
    assert (last["kind"], last["market"]) == (EventKind.CANCELLED_ALL, market)
    assert (last["account"], last["amount"]) == (0, len(events) - 1)
    return [int(number) for number in events["market"][:-1]]


def test_one_market_or_all_of_them(driver: Driver) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    driver.send(list_market(1, BASE, QUOTE, **terms))
    for price in (101, 102, 103):
        for market in (1, 0):
            driver.send(driver.place("Alice", "sell", 1, price, market=market))

    assert cancelled_in(driver, 1) == [1, 1, 1]
    assert cancelled_in(driver, 1) == []
    driver.send(driver.place("Alice", "sell", 1, 104, market=1))
    assert cancelled_in(driver, ALL_MARKETS) == [0, 0, 1, 0]
