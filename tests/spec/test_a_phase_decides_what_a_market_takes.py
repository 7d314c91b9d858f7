"""What can be done in a market that is not open? Leaving always can."""

import pytest

from engine.commands import Kind, command
from engine.types import Phase
from tests.ladder import IOC, POST_ONLY, Driver, tidy

BOOK = """
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10
"""
CLOSED = [Phase.POST_ONLY, Phase.CANCEL_ONLY, Phase.HALTED]


def test_a_market_begins_open_and_opens_again(driver: Driver) -> None:
    driver.rest(BOOK)

    assert driver.phase(Phase.HALTED) == ["phase HALTED"]
    assert driver.buy("Tara", 1, 101) == ["refused: MARKET_HALTED"]
    assert driver.phase(Phase.OPEN) == ["phase OPEN"]
    assert driver.buy("Tara", 1, 101) == ["1 at 101 with Alice"]


def test_post_only_takes_what_cannot_trade(driver: Driver) -> None:
    driver.rest(BOOK)
    driver.phase(Phase.POST_ONLY)

    assert driver.buy("Tara", 1, 100) == ["refused: MARKET_POST_ONLY"]
    assert driver.buy("Tara", 1, 101, **IOC) == ["refused: MARKET_POST_ONLY"]
    assert driver.buy("Tara", 1, 101, **POST_ONLY) == ["refused: POST_ONLY_WOULD_TRADE"]
    assert driver.buy("Tara", 1, 100, **POST_ONLY) == ["rests 1 at 100"]


def test_cancel_only_and_halted_take_no_order(driver: Driver) -> None:
    driver.rest(BOOK)

    driver.phase(Phase.CANCEL_ONLY)
    assert driver.buy("Tara", 1, 100, **POST_ONLY) == ["refused: MARKET_CANCEL_ONLY"]
    driver.phase(Phase.HALTED)
    assert driver.buy("Tara", 1, 100, **POST_ONLY) == ["refused: MARKET_HALTED"]
    assert driver.book() == tidy(BOOK)


@pytest.mark.parametrize("phase", CLOSED)
def test_cancels_exits_and_age_work_in_each_phase(driver: Driver, phase: Phase) -> None:
    driver.rest(BOOK)
    driver.sell("Carol", 1, 105, expiry_ns=50)
    driver.phase(phase)

    assert driver.cancel("Alice", driver.id_of("Alice", 101)) == [
        "Alice leaves 3 at 101: CANCELLED_BY_OWNER"
    ]
    assert driver.cancel_all("Bob")[-1] == "Bob cancelled 1"
    assert driver.clock(50) == ["Carol leaves 1 at 105: EXPIRED"]
    said = driver.words(driver.send(command(Kind.EXIT_BEGIN, account=3)))
    assert said == ["exit_begun", "Dave leaves 10 at 99: EXITING"]
    assert driver.book() == ""


def test_an_order_may_shrink_unless_the_market_is_halted(driver: Driver) -> None:
    driver.rest(BOOK)
    bob = driver.id_of("Bob", 101)

    driver.phase(Phase.CANCEL_ONLY)
    assert driver.amend("Bob", bob, 6) == ["Bob keeps 6 at 101"]
    driver.phase(Phase.POST_ONLY)
    assert driver.amend("Bob", bob, 5) == ["Bob keeps 5 at 101"]
    driver.phase(Phase.HALTED)
    assert driver.amend("Bob", bob, 4) == ["refused: MARKET_HALTED"]


def test_a_phase_is_part_of_the_state_and_of_its_market_alone(driver: Driver) -> None:
    hashes = {driver.engine.state_hash()}
    driver.phase(Phase.OPEN)
    before = driver.engine.state_hash()
    driver.phase(Phase.HALTED)
    hashes |= {before, driver.engine.state_hash()}

    assert len(hashes) == 3
    assert driver.phase(Phase.HALTED, market=1) == ["refused: UNKNOWN_MARKET"]
