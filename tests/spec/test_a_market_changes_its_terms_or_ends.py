"""What survives when lot, tick or fees change, and when a market is delisted?"""

import pytest

from engine.commands import Kind, command, list_market
from engine.types import ALL_MARKETS, Phase
from tests.ladder import BASE, QUOTE, Driver, tidy

BOOK = """
    103 sell  Alice 3+4
    101 sell  Bob 2
     99 buy   Carol 2
"""
GONE = [
    "Alice leaves 3+4 at 103: {why}",
    "Bob leaves 2 at 101: {why}",
    "Carol leaves 2 at 99: {why}",
    "Tara leaves 1 at 108 from 107: {why}",
]


def lived_in(driver: Driver) -> None:
    """Draw the book, with a stop beside it."""
    driver.rest(BOOK)
    driver.stop("Tara", "buy", 1, 108, 107)


def gone(why: str) -> list[str]:
    """Return what is said when everything leaves."""
    return [words.format(why=why) for words in GONE]


def test_no_order_survives_a_change_of_terms(driver: Driver) -> None:
    lived_in(driver)

    assert driver.set_terms(tick_pips=7) == [*gone("TERMS_CHANGED"), "terms_set"]
    assert driver.book() == "" and driver.waiting() == []
    for name in ("Alice", "Bob", "Carol"):
        assert driver.money(name) == driver.money("Dave")


def test_what_comes_afterwards_is_counted_in_the_new_terms(driver: Driver) -> None:
    driver.set_terms(lot_pips=3, tick_pips=7, maker_fee_ppm=0, taker_fee_ppm=500)
    before = driver.money("Tara")
    driver.sell("Alice", 100, 1000)

    event = driver.send(driver.place("Tara", "buy", 100, 1000))[1]

    notional = 100 * 1000 * 7
    fee = notional * 500 // 10**6
    assert (event["fee_pips"], event["maker_fee_pips"]) == (fee, 0)
    assert driver.money("Tara") == (before[0] + 300, 0, before[2] - notional - fee, 0)


def test_the_last_price_and_the_band_mean_nothing_any_more(driver: Driver) -> None:
    driver.rest("101 sell Bob 2")
    driver.buy("Tara", 1, 101)
    driver.set_band(100, 102)
    driver.set_terms(tick_pips=10)

    assert driver.stop("Tara", "buy", 1, 205, 1) == ["waits 1 at 205 from 1"]


@pytest.mark.parametrize("phase", [Phase.POST_ONLY, Phase.CANCEL_ONLY, Phase.HALTED, Phase.AUCTION])
def test_the_phase_stays_whatever_it_is(driver: Driver, phase: Phase) -> None:
    driver.phase(phase)
    driver.set_terms(tick_pips=10)

    said = driver.buy("Tara", 1, 100, tif=1)
    refusal = "MARKET_IN_AUCTION" if phase == Phase.AUCTION else f"MARKET_{phase.name}"
    assert said == [f"refused: {refusal}"]


def test_a_delisted_market_gives_its_orders_back_and_takes_no_more(driver: Driver) -> None:
    lived_in(driver)

    assert driver.delist() == [*gone("DELISTED"), "market_delisted"]
    assert driver.buy("Tara", 1, 100) == ["refused: MARKET_DELISTED"]
    assert driver.phase(Phase.OPEN) == ["refused: MARKET_DELISTED"]
    assert driver.set_band(1, 2) == ["refused: MARKET_DELISTED"]
    assert driver.set_terms() == ["refused: MARKET_DELISTED"]
    assert driver.delist() == ["refused: MARKET_DELISTED"]


def test_its_number_is_not_given_again_and_others_go_on(driver: Driver) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    driver.send(list_market(1, BASE, QUOTE, **terms))
    driver.send(driver.place("Alice", "sell", 1, 103, market=1))
    driver.delist()

    assert driver.words(driver.send(list_market(0, BASE, QUOTE, **terms))) == [
        "refused: BAD_LISTING"
    ]
    assert driver.words(driver.send(driver.place("Bob", "buy", 1, 103, market=1))) == [
        "1 at 103 with Alice"
    ]


def test_sweeps_of_a_delisted_market_find_nothing(driver: Driver) -> None:
    lived_in(driver)
    driver.delist()

    assert driver.cancel_all("Alice", 0) == ["Alice cancelled 0"]
    assert driver.cancel_everybody(0) == ["everybody cancelled 0: CANCELLED_BY_OPERATOR"]


def test_others_keep_their_orders_when_one_market_changes(driver: Driver) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    lived_in(driver)
    driver.send(list_market(1, BASE, QUOTE, **terms))
    driver.send(command(Kind.DELIST, market=1))

    assert driver.book() == tidy(BOOK)
    assert driver.cancel_everybody(ALL_MARKETS)[-1] == (
        "everybody cancelled 4: CANCELLED_BY_OPERATOR"
    )
