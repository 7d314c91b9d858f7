"""What stays of a command that broke an assertion and was replaced?"""

import numpy as np

from engine.commands import Kind, command, list_market
from engine.events import EventKind
from engine.types import Outcome, Phase
from tests.ladder import BASE, QUOTE, Desk, tidy

BOOK = """
    101 sell  Alice 3+4
     99 buy   Bob 2
"""


def poison(**fields: int) -> np.void:
    """Return what the sequencer writes in place of a command with these fields."""
    return command(Kind.POISON, **fields)


def test_its_market_is_halted_and_nothing_else_is_touched(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.stop("Carol", "buy", 1, 105, 104)

    assert desk.words(desk.send(poison(account=1))) == ["poisoned"]
    assert desk.buy("Tara", 1, 101) == ["refused: MARKET_HALTED"]
    assert desk.book() == tidy(BOOK)
    assert len(desk.waiting()) == 1


def test_the_event_names_what_the_row_named(desk: Desk) -> None:
    row = poison(account=3, order_id=77, price_ticks=-5, amount=2**62, side=200, flags=255)

    (event,) = desk.send(row)

    named = [int(event[name]) for name in ("kind", "market", "account", "order_id", "outcome")]
    assert named == [EventKind.POISONED, 0, 3, 77, Outcome.POISONED]


def test_other_markets_go_on(desk: Desk) -> None:
    terms = {"lot_pips": 1, "tick_pips": 1, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
    desk.send(list_market(1, BASE, QUOTE, **terms))
    desk.rest(BOOK)
    desk.send(poison(market=1))

    assert desk.buy("Tara", 1, 101) == ["1 at 101 with Alice"]
    assert desk.words(desk.send(desk.place("Tara", "buy", 1, 101, market=1))) == [
        "refused: MARKET_HALTED"
    ]


def test_a_market_that_does_not_exist_cannot_be_halted(desk: Desk) -> None:
    desk.rest(BOOK)

    assert desk.words(desk.send(poison(market=999, account=2**32 - 1))) == ["poisoned"]
    assert desk.buy("Tara", 1, 101) == ["1 at 101 with Alice"]


def test_a_delisted_market_stays_delisted(desk: Desk) -> None:
    desk.delist()
    before = desk.buy("Tara", 1, 101)
    desk.send(poison())

    assert desk.buy("Tara", 1, 101) == before == ["refused: MARKET_DELISTED"]


def test_in_an_auction_the_book_stays_crossed_until_it_opens(desk: Desk) -> None:
    desk.phase(Phase.AUCTION)
    desk.sell("Alice", 3, 99)
    desk.buy("Bob", 3, 101)
    desk.send(poison())

    assert desk.book() == "101 buy Bob 3\n99 sell Alice 3"
    assert desk.phase(Phase.OPEN)[0] == "3 at 99: Bob buys from Alice"


def test_a_dead_mans_switch_comes_first_here_too(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.cancel_after("Bob", 100)
    desk.time_ns = 100

    assert desk.words(desk.send(poison())) == [
        "Bob leaves 2 at 99: CANCELLED_AFTER",
        "Bob cancelled 1: CANCELLED_AFTER",
        "poisoned",
    ]
