"""What can be done in a market that is not open? Leaving always can."""

import pytest

from engine.commands import Kind, command
from engine.types import Phase
from tests.ladder import IOC, POST_ONLY, Desk, tidy

BOOK = """
    101 sell  Alice 3, Bob 7
     99 buy   Dave 10
"""
CLOSED = [Phase.POST_ONLY, Phase.CANCEL_ONLY, Phase.HALTED]


def test_a_market_begins_open_and_opens_again(desk: Desk) -> None:
    desk.rest(BOOK)

    assert desk.phase(Phase.HALTED) == ["phase HALTED"]
    assert desk.buy("Tara", 1, 101) == ["refused: MARKET_HALTED"]
    assert desk.phase(Phase.OPEN) == ["phase OPEN"]
    assert desk.buy("Tara", 1, 101) == ["1 at 101 with Alice"]


def test_post_only_takes_what_cannot_trade(desk: Desk) -> None:
    desk.rest(BOOK)
    desk.phase(Phase.POST_ONLY)

    assert desk.buy("Tara", 1, 100) == ["refused: MARKET_POST_ONLY"]
    assert desk.buy("Tara", 1, 101, **IOC) == ["refused: MARKET_POST_ONLY"]
    assert desk.buy("Tara", 1, 101, **POST_ONLY) == ["refused: POST_ONLY_WOULD_TRADE"]
    assert desk.buy("Tara", 1, 100, **POST_ONLY) == ["rests 1 at 100"]


def test_cancel_only_and_halted_take_no_order(desk: Desk) -> None:
    desk.rest(BOOK)

    desk.phase(Phase.CANCEL_ONLY)
    assert desk.buy("Tara", 1, 100, **POST_ONLY) == ["refused: MARKET_CANCEL_ONLY"]
    desk.phase(Phase.HALTED)
    assert desk.buy("Tara", 1, 100, **POST_ONLY) == ["refused: MARKET_HALTED"]
    assert desk.book() == tidy(BOOK)


@pytest.mark.parametrize("phase", CLOSED)
def test_cancels_exits_and_age_work_in_each_phase(desk: Desk, phase: Phase) -> None:
    desk.rest(BOOK)
    desk.sell("Carol", 1, 105, expiry_ns=50)
    desk.phase(phase)

    assert desk.cancel("Alice", desk.id_of("Alice", 101)) == [
        "Alice leaves 3 at 101: CANCELLED_BY_OWNER"
    ]
    assert desk.cancel_all("Bob")[-1] == "Bob cancelled 1"
    assert desk.clock(50) == ["Carol leaves 1 at 105: EXPIRED"]
    said = desk.words(desk.send(command(Kind.EXIT_BEGIN, account=3)))
    assert said == ["exit_begun", "Dave leaves 10 at 99: EXITING"]
    assert desk.book() == ""


def test_an_order_may_shrink_unless_the_market_is_halted(desk: Desk) -> None:
    desk.rest(BOOK)
    bob = desk.id_of("Bob", 101)

    desk.phase(Phase.CANCEL_ONLY)
    assert desk.amend("Bob", bob, 6) == ["Bob keeps 6 at 101"]
    desk.phase(Phase.POST_ONLY)
    assert desk.amend("Bob", bob, 5) == ["Bob keeps 5 at 101"]
    desk.phase(Phase.HALTED)
    assert desk.amend("Bob", bob, 4) == ["refused: MARKET_HALTED"]


def test_a_phase_is_part_of_the_state_and_of_its_market_alone(desk: Desk) -> None:
    hashes = {desk.engine.state_hash()}
    desk.phase(Phase.OPEN)
    before = desk.engine.state_hash()
    desk.phase(Phase.HALTED)
    hashes |= {before, desk.engine.state_hash()}

    assert len(hashes) == 3
    assert desk.phase(Phase.HALTED, market=1) == ["refused: UNKNOWN_MARKET"]
