"""However many actions have failed, what has to be dealt with is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.types import Side
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.outbox import Outbox
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import ZERO_REF
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, BOB, CAROL, LANE, NS, OPERATOR, Road
from tests.chain.test_refused_batches import settle, steal, undo


@pytest.fixture
def chain(tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        yield chain


@pytest.fixture
def road(chain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, chain, clock)
    built.fund()
    built.deposit(CAROL, built.usd, 10**12)
    built.credit()
    yield built
    built.close()


def fail_many(road: Road, count: int, kind: ActionKind, calldata: bytes = b"") -> None:
    """As many refused actions as somebody cares to cause; their keys are far from any other."""
    for number in range(count):
        call = Call(kind, str(10**9 + number), road.domain.contract, calldata, 50_000)
        road.outbox.rejected(road.outbox.enqueue(call, road.clock()), "refused", road.clock())


def test_found_a_refused_batch_was_not_seen_behind_a_thousand_failures(road: Road, clock: Clock):
    fail_many(road, 1_010, ActionKind.SWEEP)
    steal(road, CAROL, road.usd, 10**14)
    road.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE)
    road.place(CAROL, Side.BUY, 2_500, 10, nonce=1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    clock.ahead_ns += 30 * NS
    until(lambda: not road.settler.step())
    assert road.settler.halted is not None
    road.reopen()
    road.settler.step()

    assert road.settler.halted is not None, "the record is enough"
    assert settle(road, clock) == [1]
    assert road.settler.halted is None


def test_found_a_refused_withdrawal_was_not_given_back_behind_a_hundred_others(
    road: Road, clock: Clock
):
    before = road.engine.available(road.account(CAROL.address), 0)
    lives_long = (ALICE.address, road.usd, 100, bytes(20), 1, 4_000_000_000)
    fail_many(road, 110, ActionKind.WITHDRAWAL, encode_call("withdraw", lives_long, 0, b"", b""))
    steal(road, CAROL, road.usd, 10**14)
    road.withdraw(CAROL, road.usd, 10**13, nonce=2, expires_in_s=500)
    settle(road, clock)

    clock.ahead_ns += 500 * NS
    settle(road, clock)

    assert road.engine.available(road.account(CAROL.address), 0) == before
    assert road.settler.reversals_due() == []


def test_however_many_withdrawals_have_expired_all_are_given_back(road: Road, clock: Clock):
    count = 105
    before = road.engine.available(road.account(CAROL.address), 0)
    for nonce in range(2, count + 2):
        road.withdraw(CAROL, road.usd, 100, nonce=nonce, expires_in_s=300)
    road.settler.seal_now()
    for action_id, _, _ in road.outbox.names(ActionState.SEALED):
        road.outbox.rejected(action_id, "refused", clock())
    clock.ahead_ns += 400 * NS
    road.devchain.mine()

    for _ in range(3):
        road.settler.step()
        undo(road)

    assert road.engine.available(road.account(CAROL.address), 0) == before
    assert road.settler.reversals_due() == []


def test_one_that_has_expired_is_given_back_behind_a_hundred_that_still_last(
    road: Road, clock: Clock
):
    """H4 in ``reversals.look``: the oldest hundred of all that had failed were looked at, again and
    again, and those can still be paid by anybody who sends them."""
    fail_many(road, 110, ActionKind.SWEEP)
    for nonce in range(2, 112):
        road.withdraw(CAROL, road.usd, 100, nonce=nonce, expires_in_s=3_500)
    last = road.withdraw(CAROL, road.usd, 700, nonce=112, expires_in_s=300)
    road.settler.seal_now()
    for action_id, _, _ in road.outbox.names(ActionState.SEALED):
        road.outbox.rejected(action_id, "refused", clock())
    clock.ahead_ns += 400 * NS
    road.devchain.mine()
    road.settler.step()

    due = [(due.sequence, due.account, due.amount) for due in road.settler.reversals_due()]
    assert due == [(int(last[0]["sequence"]), CAROL.address, 700)]


def test_a_withdrawal_that_waits_holds_up_nobody(road: Road, clock: Clock):
    """The contract refuses it for now; a batch, a sweep and a payout behind it go on."""
    steal(road, CAROL, road.usd, 10**14)
    for nonce in range(2, 30):
        road.withdraw(CAROL, road.usd, 100, nonce=nonce, expires_in_s=3_000)
    trade = road.trade(1)
    road.withdraw(ALICE, road.usd, 10**8, nonce=1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())

    assert road.settler.trade_state(trade).state == "final"
    assert road.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 1
    assert road.outbox.count(ActionState.SEALED, kind=ActionKind.WITHDRAWAL) == 28
    assert road.chain.nonce(OPERATOR.address, pending=True) == 2
    clock.ahead_ns += 30 * NS
    until(lambda: not road.settler.step())
    assert road.outbox.count(ActionState.FAILED) == 28, "refused, and no gas was spent on it"


def test_what_is_in_flight_is_asked_for_by_nonce(tmp_path: Path):
    """Later decisions can have earlier nonces, and the lowest one is what all wait for."""
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for place, nonce in enumerate((7, 8, 5)):
        action_id = outbox.enqueue(Call(ActionKind.OTHER, str(place), ZERO_REF, b"", 1), 0)
        outbox.signed(action_id, nonce, b"", bytes([nonce]), 1, 1, 0)
    assert [action.nonce for action in outbox.in_flight(2)] == [5, 7]
    outbox.close()
