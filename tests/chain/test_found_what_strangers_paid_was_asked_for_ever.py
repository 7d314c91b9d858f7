"""Found: each withdrawal that a stranger had paid first cost a question at every final block, for
ever; and one that a reorganisation took back after it was final was never given back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.audit.reconcile import Reconciler
from settlement.chain.chain import Log, Topics
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import Action, ActionKind, ActionState
from settlement.outbox.submitter import REORG_BLOCKS_MAX
from tests.chain.conftest import Clock, until
from tests.chain.venue import CAROL, DEPLOYER, NS, Venue, transact

CONFIRMATIONS = 2
PIPS = 10**8
LASTS_S = 600


class Counting:
    """The real chain; counts the questions for payments."""

    def __init__(self, chain: Any) -> None:
        self._chain, self.count = chain, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def logs(self, addresses: list[bytes], topics: Topics, first: int, last: int) -> list[Log]:
        self.count += len(topics) == 3
        return self._chain.logs(addresses, topics, first, last)  # type: ignore[no-any-return]


@pytest.fixture
def venue(tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = opened(tmp_path, chain, clock)
        yield built
        built.close()


def opened(directory: Path, chain: DevChain, clock: Clock) -> Venue:
    venue = Venue(directory, chain, clock, confirmations=CONFIRMATIONS)
    venue.reopen(Counting(chain.chain))  # type: ignore[arg-type]
    venue.deposit(CAROL, venue.usd, 10**12)
    chain.mine(CONFIRMATIONS)
    venue.credit()
    return venue


def judge_of(venue: Venue) -> Reconciler:
    return venue.reconciler()


def differences(venue: Venue, judge: Reconciler) -> list[str]:
    """Compare twice at the last final block, as a difference has to show twice."""
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    found = [*judge.compare(judge.cut(), final), *judge.compare(judge.cut(), final)]
    return [str(one) for one in found]


def withdrawal(venue: Venue) -> Action:
    """Return the newest one as the outbox has it."""
    key = venue.outbox.last_key(ActionKind.WITHDRAWAL)
    assert key is not None
    action = venue.outbox.find(ActionKind.WITHDRAWAL, key)
    assert action is not None
    return action


def countersigned(venue: Venue, nonce: int) -> Action:
    venue.withdraw(CAROL, venue.usd, PIPS, nonce=nonce, expires_in_s=LASTS_S)
    venue.settler.seal_now()
    return withdrawal(venue)


def stranger_pays(venue: Venue, action: Action) -> None:
    chain, exchange = venue.devchain.chain, venue.domain.contract
    assert transact(chain, DEPLOYER, exchange, action.calldata).succeeded


def turns(venue: Venue, clock: Clock, count: int) -> None:
    """Do what the chain's loop does, while blocks come."""
    for _ in range(count):
        until(lambda: not venue.settler.step())
        venue.settler.reversals_due()
        assert venue.settler.late_payments() == []
        clock.ahead_ns += 25 * NS
        venue.devchain.mine()


def test_a_payment_by_somebody_else_is_found_once(venue: Venue, clock: Clock):
    judge = judge_of(venue)
    for nonce in (1, 2):
        stranger_pays(venue, countersigned(venue, nonce))
        turns(venue, clock, 3)
        assert withdrawal(venue).state is ActionState.FAILED
        assert differences(venue, judge) == []
        assert withdrawal(venue).state is ActionState.MINED, "from here on it is like one of ours"
    turns(venue, clock, 1)
    assert venue.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 2

    counting: Any = venue.chain
    counting.count = 0
    turns(venue, clock, 3)
    assert differences(venue, judge) == []
    assert counting.count == 0
    assert venue.settler.reversals.unpaid(CAROL.address, venue.usd) is None
    assert venue.settler.reversals_due() == []


def test_one_that_is_to_be_sent_anew_may_be_paid_by_whoever_saw_it_before(
    venue: Venue, clock: Clock
):
    judge = judge_of(venue)
    action = countersigned(venue, 1)
    venue.outbox.signed(action.id, 7, b"raw", b"\x01" * 32, 1, 1, clock())
    venue.outbox.broadcast(action.id, clock())
    venue.outbox.unsigned(action.id, "its nonce was used by another transaction", clock())
    stranger_pays(venue, action)
    venue.devchain.mine(CONFIRMATIONS)

    assert differences(venue, judge) == []
    turns(venue, clock, 1)
    assert withdrawal(venue).state is ActionState.FINAL


def test_what_is_in_flight_is_left_to_whoever_looks_after_its_nonce(venue: Venue, clock: Clock):
    judge = judge_of(venue)
    action = countersigned(venue, 1)
    venue.outbox.signed(action.id, 7, b"raw", b"\x01" * 32, 1, 1, clock())
    venue.outbox.broadcast(action.id, clock())
    stranger_pays(venue, action)
    venue.devchain.mine(CONFIRMATIONS)

    assert differences(venue, judge) == []
    assert withdrawal(venue).state is ActionState.BROADCAST


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_payment_that_is_lost_after_it_was_final_is_given_back(
    anvil: DevChain, tmp_path: Path, clock: Clock, is_restarted: bool
):
    venue = opened(tmp_path, anvil, clock)
    venue.devchain.mine(8)
    action = countersigned(venue, 1)
    turns(venue, clock, CONFIRMATIONS + 1)
    assert withdrawal(venue).state is ActionState.FINAL
    assert venue.settler.reversals.unpaid(CAROL.address, venue.usd) is None

    height = withdrawal(venue).block_number
    assert height is not None
    venue.devchain.rpc("anvil_reorg", [venue.devchain.chain.head().number - height + 1, []])
    clock.ahead_ns += LASTS_S * NS
    venue.devchain.mine(CONFIRMATIONS)
    if is_restarted:
        venue.reopen(venue.chain)
    turns(venue, clock, CONFIRMATIONS + 1)
    assert withdrawal(venue).state is ActionState.FAILED, "it has expired"
    venue.devchain.mine(REORG_BLOCKS_MAX)
    until(lambda: not venue.settler.step())

    due = venue.settler.reversals_due()
    assert [(one.sequence, one.amount) for one in due] == [(int(action.key), PIPS)]
    venue.close()


def test_it_is_forgotten_when_no_reorganisation_reaches_it(venue: Venue, clock: Clock):
    countersigned(venue, 1)
    turns(venue, clock, CONFIRMATIONS + 1)
    sequence = int(withdrawal(venue).key)
    kept = venue.settler.reversals.save()
    venue.devchain.mine(REORG_BLOCKS_MAX)
    turns(venue, clock, 1)

    assert venue.settler.reversals.save() != kept
    assert not venue.settler.reversals.is_void(sequence), "it was paid"
