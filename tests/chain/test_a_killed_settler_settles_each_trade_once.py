"""A settler killed between any two states: each trade is on chain exactly once, to the unit."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionState
from tests.chain.conftest import Clock
from tests.chain.settler_process import MOMENTS, assert_each_trade_once, mine, run
from tests.chain.venue import ALICE, BOB, NS, Venue

CONFIRMATIONS = 2
PIPS = 10**8
ANNOUNCEMENTS_MAX = 40
"""More than a settler makes of what a life adds between two deaths, so that some survive."""


@pytest.fixture
def venue(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    venue = Venue(tmp_path, anvil, clock, CONFIRMATIONS)
    venue.fund()
    # From here on blocks come when the test says so: what is sent waits in the pool.
    anvil.rpc("evm_setAutomine", [False])
    mine(venue, 16)
    yield venue
    venue.close()


def nothing(venue: Venue) -> None:
    """The chain stands still while nobody is there."""


def drop(venue: Venue) -> None:
    """The node forgets its pool."""
    venue.devchain.rpc("anvil_dropAllTransactions", [])


SCENARIOS = [
    *((*moment, meanwhile) for moment in MOMENTS for meanwhile in (nothing, mine)),
    # Before that nothing of ours is in the pool, and after it nothing is left there.
    (ActionState.BROADCAST, False, drop),
    (ActionState.BROADCAST, True, drop),
]


def settle_elsewhere(
    venue: Venue, clock: Clock, is_last: Callable[[ActionState, bool], bool]
) -> bool:
    """Let a process of its own settle; return whether it was killed."""
    venue.close()
    try:
        return run(venue, clock.ahead_ns, is_last)
    finally:
        venue._open(venue.devchain.chain)


@pytest.mark.parametrize(("state", "is_stored", "meanwhile"), SCENARIOS)
def test_killed_between_two_states(
    venue: Venue,
    clock: Clock,
    state: ActionState,
    is_stored: bool,
    meanwhile: Callable[[Venue], None],
):
    venue.trade(1)
    venue.withdraw(BOB, venue.usd, PIPS, nonce=1)  # No batch overtakes it, so there are two.
    venue.trade(2)

    assert settle_elsewhere(venue, clock, lambda *moment: moment == (state, is_stored)), "killed"
    meanwhile(venue)
    assert not settle_elsewhere(venue, clock, lambda *_: False)

    assert assert_each_trade_once(venue) == 2
    assert venue.next_batch() == 3


class Life:
    """An exchange whose settler dies again and again, on a chain that cannot be relied on."""

    def __init__(self, venue: Venue, clock: Clock, dice: random.Random) -> None:
        self.venue, self.clock, self.dice = venue, clock, dice
        self.trades = self.withdrawals = self.deaths = 0

    def work(self) -> None:
        for _ in range(self.dice.randrange(4)):
            self.trades += 1
            self.venue.trade(self.trades)
            if self.dice.randrange(3) == 0:
                self.withdrawals += 1
                owner = self.dice.choice((ALICE, BOB))
                self.venue.withdraw(owner, self.venue.usd, PIPS, nonce=self.withdrawals)

    def settle_and_die(self) -> None:
        left = self.dice.randrange(1, ANNOUNCEMENTS_MAX)

        def is_last(*_: object) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        self.deaths += settle_elsewhere(self.venue, self.clock, is_last)

    def meanwhile(self) -> None:
        """What the chain does while nobody is there."""
        match self.dice.randrange(5):
            case 0:
                mine(self.venue, self.dice.randrange(1, 4))
            case 1:
                drop(self.venue)
            case 2:
                self.venue.devchain.rpc("anvil_reorg", [self.dice.randrange(1, 13), []])
            case 3:
                self.clock.ahead_ns += self.dice.randrange(1, 30) * NS


def live(venue: Venue, clock: Clock, seed: int, rounds: int) -> int:
    """Live ``rounds`` deaths long; return how many there really were."""
    life = Life(venue, clock, random.Random(seed))
    # What no reorganisation here reaches: by this batch a restart knows that the chain is ours.
    life.trades = 1
    venue.trade(1)
    assert not settle_elsewhere(venue, clock, lambda *_: False)
    mine(venue, 16)
    for _ in range(rounds):
        life.work()
        life.settle_and_die()
        life.meanwhile()
    for _ in range(3):
        clock.ahead_ns += 25 * NS
        assert not settle_elsewhere(venue, clock, lambda *_: False)
    assert assert_each_trade_once(venue) == life.trades
    return life.deaths


@pytest.mark.soak
def test_killed_again_and_again_at_random(venue: Venue, clock: Clock, life_seed: int):
    live(venue, clock, life_seed, rounds=12)
