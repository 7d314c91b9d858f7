"""Found: each withdrawal that a stranger had paid first cost a question at every final block, for
ever; and one that a reorganisation took back after it was final was never given back."""

from collections import Counter
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
from tests.chain.road import CAROL, DEPLOYER, NS, Road, transact

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
def road(tmp_path: Path, clock: Clock) -> Iterator[Road]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = opened(tmp_path, chain, clock)
        yield built
        built.close()


def opened(directory: Path, chain: DevChain, clock: Clock) -> Road:
    road = Road(directory, chain, clock, confirmations=CONFIRMATIONS)
    road.reopen(Counting(chain.chain))  # type: ignore[arg-type]
    road.deposit(CAROL, road.usd, 10**12)
    chain.mine(CONFIRMATIONS)
    road.credit()
    return road


def judge_of(road: Road) -> Reconciler:
    return Reconciler(
        road.chain,
        road.outbox,
        road.settler.queue,
        road.settler.reversals,
        road.catalog,
        road.deployment,
        lambda: road.engine,
        Counter,
    )


def differences(road: Road, judge: Reconciler) -> list[str]:
    """Compare twice at the last final block, as a difference has to show twice."""
    final = road.devchain.chain.head().number - CONFIRMATIONS + 1
    found = [*judge.compare(judge.cut(), final), *judge.compare(judge.cut(), final)]
    return [str(one) for one in found]


def withdrawal(road: Road) -> Action:
    """Return the newest one as the outbox has it."""
    key = road.outbox.last_key(ActionKind.WITHDRAWAL)
    assert key is not None
    action = road.outbox.find(ActionKind.WITHDRAWAL, key)
    assert action is not None
    return action


def countersigned(road: Road, nonce: int) -> Action:
    road.withdraw(CAROL, road.usd, PIPS, nonce=nonce, expires_in_s=LASTS_S)
    road.settler.seal_now()
    return withdrawal(road)


def stranger_pays(road: Road, action: Action) -> None:
    chain, exchange = road.devchain.chain, road.domain.contract
    assert transact(chain, DEPLOYER, exchange, action.calldata).succeeded


def turns(road: Road, clock: Clock, count: int) -> None:
    """Do what the chain's loop does, while blocks come."""
    for _ in range(count):
        until(lambda: not road.settler.step())
        road.settler.reversals_due()
        assert road.settler.late_payments() == []
        clock.ahead_ns += 25 * NS
        road.devchain.mine()


def test_a_payment_by_somebody_else_is_found_once(road: Road, clock: Clock):
    judge = judge_of(road)
    for nonce in (1, 2):
        stranger_pays(road, countersigned(road, nonce))
        turns(road, clock, 3)
        assert withdrawal(road).state is ActionState.FAILED
        assert differences(road, judge) == []
        assert withdrawal(road).state is ActionState.MINED, "from here on it is like one of ours"
    turns(road, clock, 1)
    assert road.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 2

    counting: Any = road.chain
    counting.count = 0
    turns(road, clock, 3)
    assert differences(road, judge) == []
    assert counting.count == 0
    assert road.settler.reversals.unpaid(CAROL.address, road.usd) is None
    assert road.settler.reversals_due() == []


def test_one_that_is_to_be_sent_anew_may_be_paid_by_whoever_saw_it_before(road: Road, clock: Clock):
    judge = judge_of(road)
    action = countersigned(road, 1)
    road.outbox.signed(action.id, 7, b"raw", b"\x01" * 32, 1, 1, clock())
    road.outbox.broadcast(action.id, clock())
    road.outbox.unsigned(action.id, "its nonce was used by another transaction", clock())
    stranger_pays(road, action)
    road.devchain.mine(CONFIRMATIONS)

    assert differences(road, judge) == []
    turns(road, clock, 1)
    assert withdrawal(road).state is ActionState.FINAL


def test_what_is_in_flight_is_left_to_whoever_looks_after_its_nonce(road: Road, clock: Clock):
    judge = judge_of(road)
    action = countersigned(road, 1)
    road.outbox.signed(action.id, 7, b"raw", b"\x01" * 32, 1, 1, clock())
    road.outbox.broadcast(action.id, clock())
    stranger_pays(road, action)
    road.devchain.mine(CONFIRMATIONS)

    assert differences(road, judge) == []
    assert withdrawal(road).state is ActionState.BROADCAST


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_payment_that_is_lost_after_it_was_final_is_given_back(
    anvil: DevChain, tmp_path: Path, clock: Clock, is_restarted: bool
):
    road = opened(tmp_path, anvil, clock)
    road.devchain.mine(8)
    action = countersigned(road, 1)
    turns(road, clock, CONFIRMATIONS + 1)
    assert withdrawal(road).state is ActionState.FINAL
    assert road.settler.reversals.unpaid(CAROL.address, road.usd) is None

    height = withdrawal(road).block_number
    assert height is not None
    road.devchain.rpc("anvil_reorg", [road.devchain.chain.head().number - height + 1, []])
    clock.ahead_ns += LASTS_S * NS
    road.devchain.mine(CONFIRMATIONS)
    if is_restarted:
        road.reopen(road.chain)
    turns(road, clock, CONFIRMATIONS + 1)
    assert withdrawal(road).state is ActionState.FAILED, "it has expired"
    road.devchain.mine(REORG_BLOCKS_MAX)
    until(lambda: not road.settler.step())

    due = road.settler.reversals_due()
    assert [(one.sequence, one.amount) for one in due] == [(int(action.key), PIPS)]
    road.close()


def test_it_is_forgotten_when_no_reorganisation_reaches_it(road: Road, clock: Clock):
    countersigned(road, 1)
    turns(road, clock, CONFIRMATIONS + 1)
    sequence = int(withdrawal(road).key)
    kept = road.settler.reversals.save()
    road.devchain.mine(REORG_BLOCKS_MAX)
    turns(road, clock, 1)

    assert road.settler.reversals.save() != kept
    assert not road.settler.reversals.is_void(sequence), "it was paid"
