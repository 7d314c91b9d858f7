"""Which orders does CANCEL_ALL take, and in which order?"""

from engine.commands import Kind, command, list_market
from engine.events import EventKind
from engine.types import ALL_MARKETS
from tests.ladder import BASE, QUOTE, Desk, tidy


def test_all_orders_of_the_account_and_of_nobody_else_go_in_slot_order(desk: Desk) -> None:
    desk.rest("""
        103 sell  Alice 1
        101 sell  Bob 2, Alice 3, Carol 4
         99 buy   Alice 5
         98 buy   Dave 6
    """)

    assert desk.cancel_all("Alice") == [
        "Alice leaves 1 at 103: CANCELLED_BY_OWNER",
        "Alice leaves 3 at 101: CANCELLED_BY_OWNER",
        "Alice leaves 5 at 99: CANCELLED_BY_OWNER",
        "Alice cancelled 3",
    ]
    assert desk.book() == tidy("""
        101 sell  Bob 2, Carol 4
         98 buy   Dave 6
    """)
    assert desk.money("Alice") == desk.money("Tara")


def test_an_account_without_orders_gets_an_answer_too(desk: Desk) -> None:
    desk.rest("101 sell Bob 2")

    assert desk.cancel_all("Alice") == ["Alice cancelled 0"]
    assert desk.cancel_all("Bob", 0) == [
        "Bob leaves 2 at 101: CANCELLED_BY_OWNER",
        "Bob cancelled 1",
    ]


def test_the_operator_takes_everybodys_orders_in_slot_order(desk: Desk) -> None:
    desk.rest("103 sell Alice 1+2\n101 sell Bob 2\n99 buy Carol 5")
    desk.stop("Tara", "buy", 1, 108, 107)

    assert desk.cancel_everybody() == [
        "Alice leaves 1+2 at 103: CANCELLED_BY_OPERATOR",
        "Bob leaves 2 at 101: CANCELLED_BY_OPERATOR",
        "Carol leaves 5 at 99: CANCELLED_BY_OPERATOR",
        "Tara leaves 1 at 108 from 107: CANCELLED_BY_OPERATOR",
        "everybody cancelled 4: CANCELLED_BY_OPERATOR",
    ]
    assert desk.book() == ""


def test_the_operator_too_may_name_one_market(desk: Desk) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    desk.send(list_market(1, BASE, QUOTE, **terms))
    desk.rest("101 sell Bob 2")
    desk.send(desk.place("Alice", "sell", 1, 101, market=1))

    assert desk.cancel_everybody(0)[-1] == "everybody cancelled 1: CANCELLED_BY_OPERATOR"
    assert desk.engine.orders_live == 1
    assert desk.cancel_everybody(2) == ["refused: UNKNOWN_MARKET"]
    desk.cancel_everybody(1)


def cancelled_in(desk: Desk, market: int) -> list[int]:
    """Cancel Alice's orders in ``market``; return the markets of what went."""
    events = desk.send(command(Kind.CANCEL_ALL, account=0, market=market))
    last = events[-1]
    assert (last["kind"], last["market"]) == (EventKind.CANCELLED_ALL, market)
    assert (last["account"], last["amount"]) == (0, len(events) - 1)
    return [int(number) for number in events["market"][:-1]]


def test_one_market_or_all_of_them(desk: Desk) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    desk.send(list_market(1, BASE, QUOTE, **terms))
    for price in (101, 102, 103):
        for market in (1, 0):
            desk.send(desk.place("Alice", "sell", 1, price, market=market))

    assert cancelled_in(desk, 1) == [1, 1, 1]
    assert cancelled_in(desk, 1) == []
    desk.send(desk.place("Alice", "sell", 1, 104, market=1))
    assert cancelled_in(desk, ALL_MARKETS) == [0, 0, 1, 0]
