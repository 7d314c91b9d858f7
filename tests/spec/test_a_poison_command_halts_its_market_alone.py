"""What stays of a command that broke an assertion and was replaced?"""

import numpy as np

from engine.commands import Kind, command, list_market
from engine.events import EventKind
from engine.types import Outcome, Phase
from tests.ladder import BASE, QUOTE, Driver, tidy

BOOK = """
    101 sell  Alice 3+4
     99 buy   Bob 2
"""


def poison(**fields: int) -> np.void:
    """Return what the sequencer writes in place of a command with these fields."""
    return command(Kind.POISON, **fields)


def test_its_market_is_halted_and_nothing_else_is_touched(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.stop("Carol", "buy", 1, 105, 104)

    assert driver.words(driver.send(poison(account=1))) == ["poisoned"]
    assert driver.buy("Tara", 1, 101) == ["refused: MARKET_HALTED"]
    assert driver.book() == tidy(BOOK)
    assert len(driver.waiting()) == 1


def test_the_event_names_what_the_row_named(driver: Driver) -> None:
    row = poison(account=3, order_id=77, price_ticks=-5, amount=2**62, side=200, flags=255)

    (event,) = driver.send(row)

    named = [int(event[name]) for name in ("kind", "market", "account", "order_id", "outcome")]
    assert named == [EventKind.POISONED, 0, 3, 77, Outcome.POISONED]


def test_other_markets_go_on(driver: Driver) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    driver.send(list_market(1, BASE, QUOTE, **terms))
    driver.rest(BOOK)
    driver.send(poison(market=1))

    assert driver.buy("Tara", 1, 101) == ["1 at 101 with Alice"]
    assert driver.words(driver.send(driver.place("Tara", "buy", 1, 101, market=1))) == [
        "refused: MARKET_HALTED"
    ]


def test_a_market_that_does_not_exist_cannot_be_halted(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.words(driver.send(poison(market=999, account=2**32 - 1))) == ["poisoned"]
    assert driver.buy("Tara", 1, 101) == ["1 at 101 with Alice"]


def test_a_delisted_market_stays_delisted(driver: Driver) -> None:
    driver.delist()
    before = driver.buy("Tara", 1, 101)
    driver.send(poison())

    assert driver.buy("Tara", 1, 101) == before == ["refused: MARKET_DELISTED"]


def test_in_an_auction_the_book_stays_crossed_until_it_opens(driver: Driver) -> None:
    driver.phase(Phase.AUCTION)
    driver.sell("Alice", 3, 99)
    driver.buy("Bob", 3, 101)
    driver.send(poison())

    assert driver.book() == "101 buy Bob 3\n99 sell Alice 3"
    assert driver.phase(Phase.OPEN)[0] == "3 at 99: Bob buys from Alice"


def test_a_dead_mans_switch_comes_first_here_too(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.cancel_after("Bob", 100)
    driver.time_ns = 100

    assert driver.words(driver.send(poison())) == [
        "Bob leaves 2 at 99: CANCELLED_AFTER",
        "Bob cancelled 1: CANCELLED_AFTER",
        "poisoned",
    ]
