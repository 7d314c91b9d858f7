"""What happens to a trade that the chain refuses? Its money goes back, to the pip."""

import numpy as np
import pytest

from engine.commands import Kind, command
from engine.events import EventKind
from engine.types import MONEY_MAX, Outcome
from tests.ladder import BASE, LOT_PIPS, MAKER_PPM, NAMES, QUOTE, TAKER_PPM, TICK_PIPS, Driver

LOTS, PRICE = 4, 101
BASE_PIPS = LOTS * LOT_PIPS
QUOTE_PIPS = LOTS * PRICE * TICK_PIPS
BUYER_FEE = QUOTE_PIPS * TAKER_PPM // 10**6
SELLER_FEE = QUOTE_PIPS * MAKER_PPM // 10**6


def bust(**changed: int) -> np.void:
    """Return the command that undoes what Tara bought of Bob."""
    fields = {
        "account": NAMES.index("Tara"),
        "fee_cap_ppm": NAMES.index("Bob"),
        "price_ticks": BASE_PIPS,
        "amount": QUOTE_PIPS,
        "order_id": BUYER_FEE,
        "expiry_ns": SELLER_FEE,
    }
    return command(Kind.BUST, **(fields | changed))


def trade(driver: Driver) -> None:
    driver.rest(f"{PRICE} sell Bob {LOTS}")
    assert driver.buy("Tara", LOTS, PRICE) == [f"{LOTS} at {PRICE} with Bob"]


def test_both_have_what_they_had_and_the_house_earned_nothing(driver: Driver) -> None:
    before = driver.money("Tara"), driver.money("Bob"), driver.engine.fees(QUOTE)
    trade(driver)
    assert (driver.money("Tara"), driver.money("Bob"), driver.engine.fees(QUOTE)) != before

    events = driver.send(bust())

    assert [EventKind(kind) for kind in events["kind"]] == [EventKind.TRADE_BUSTED]
    names = ("account", "maker_account", "price_ticks", "amount", "fee_pips", "maker_fee_pips")
    told = [int(events[0][name]) for name in names]
    assert told == [4, 1, BASE_PIPS, QUOTE_PIPS, BUYER_FEE, SELLER_FEE]
    assert (driver.money("Tara"), driver.money("Bob"), driver.engine.fees(QUOTE)) == before


def test_a_rebate_goes_back_too(driver: Driver) -> None:
    trade(driver)
    had = driver.money("Bob")[2]

    events = driver.send(bust(order_id=BUYER_FEE, expiry_ns=-3))

    assert events[0]["kind"] == EventKind.TRADE_BUSTED
    assert driver.money("Bob")[2] == had - QUOTE_PIPS - 3


def test_orders_stay_as_they_are(driver: Driver) -> None:
    driver.rest(f"{PRICE} sell Bob {LOTS + 5}")
    driver.buy("Tara", LOTS, PRICE)

    driver.send(bust())

    assert driver.book() == f"{PRICE} sell Bob 5"


def test_what_was_spent_cannot_go_back(driver: Driver) -> None:
    trade(driver)
    has = driver.money("Tara")[0]
    driver.send(command(Kind.WITHDRAW, account=NAMES.index("Tara"), token=BASE, amount=has - 1))

    assert driver.words(driver.send(bust())) == ["refused: INSUFFICIENT_BALANCE"]


REFUSED = {
    "no such market": ({"market": 9}, Outcome.UNKNOWN_MARKET),
    "no such buyer": ({"account": 99}, Outcome.UNKNOWN_ACCOUNT),
    "no such seller": ({"fee_cap_ppm": 99}, Outcome.UNKNOWN_ACCOUNT),
    "with oneself": ({"fee_cap_ppm": NAMES.index("Tara")}, Outcome.BAD_ORDER),
    "nothing": ({"price_ticks": 0}, Outcome.AMOUNT_OUT_OF_RANGE),
    "for nothing": ({"amount": 0}, Outcome.AMOUNT_OUT_OF_RANGE),
    "too much": ({"amount": MONEY_MAX + 1}, Outcome.AMOUNT_OUT_OF_RANGE),
    "a fee above all": ({"order_id": QUOTE_PIPS + 1}, Outcome.AMOUNT_OUT_OF_RANGE),
    "a rebate above the fee": ({"expiry_ns": -BUYER_FEE - 1}, Outcome.AMOUNT_OUT_OF_RANGE),
    "more than the buyer has": ({"price_ticks": MONEY_MAX}, Outcome.INSUFFICIENT_BALANCE),
    "more than the seller has": ({"amount": MONEY_MAX}, Outcome.INSUFFICIENT_BALANCE),
    "more than the house earned": ({"order_id": QUOTE_PIPS}, Outcome.INSUFFICIENT_BALANCE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bust_that_cannot_be_is_refused_and_changes_nothing(driver: Driver, case: str) -> None:
    changed, why = REFUSED[case]
    trade(driver)
    before = [driver.money(name) for name in NAMES], driver.engine.fees(QUOTE)

    assert [Outcome(event["outcome"]) for event in driver.send(bust(**changed))] == [why]
    assert ([driver.money(name) for name in NAMES], driver.engine.fees(QUOTE)) == before
