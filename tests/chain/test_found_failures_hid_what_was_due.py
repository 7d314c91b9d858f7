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
from tests.chain.test_refused_batches import settle, steal, undo
from tests.chain.venue import ALICE, BOB, CAROL, LANE, NS, OPERATOR, Venue


@pytest.fixture
def chain(tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        yield chain


@pytest.fixture
def venue(chain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, chain, clock)
    built.fund()
    built.deposit(CAROL, built.usd, 10**12)
    built.credit()
    yield built
    built.close()


def fail_many(venue: Venue, count: int, kind: ActionKind, calldata: bytes = b"") -> None:
    """As many refused actions as somebody cares to cause; their keys are far from any other."""
    for number in range(count):
        call = Call(kind, str(10**9 + number), venue.domain.contract, calldata, 50_000)
        venue.outbox.rejected(venue.outbox.enqueue(call, venue.clock()), "refused", venue.clock())


def test_found_a_refused_batch_was_not_seen_behind_a_thousand_failures(venue: Venue, clock: Clock):
    fail_many(venue, 1_010, ActionKind.SWEEP)
    steal(venue, CAROL, venue.usd, 10**14)
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE)
    venue.place(CAROL, Side.BUY, 2_500, 10, nonce=1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    clock.ahead_ns += 30 * NS
    until(lambda: not venue.settler.step())
    assert venue.settler.halted is not None
    venue.reopen()
    venue.settler.step()

    assert venue.settler.halted is not None, "the record is enough"
    assert settle(venue, clock) == [1]
    assert venue.settler.halted is None


def test_found_a_refused_withdrawal_was_not_given_back_behind_a_hundred_others(
    venue: Venue, clock: Clock
):
    before = venue.engine.available(venue.account(CAROL.address), 0)
    lives_long = (ALICE.address, venue.usd, 100, bytes(20), 1, 4_000_000_000)
    fail_many(venue, 110, ActionKind.WITHDRAWAL, encode_call("withdraw", lives_long, 0, b"", b""))
    steal(venue, CAROL, venue.usd, 10**14)
    venue.withdraw(CAROL, venue.usd, 10**13, nonce=2, expires_in_s=500)
    settle(venue, clock)

    clock.ahead_ns += 500 * NS
    settle(venue, clock)

    assert venue.engine.available(venue.account(CAROL.address), 0) == before
    assert venue.settler.reversals_due() == []


def test_however_many_withdrawals_have_expired_all_are_given_back(venue: Venue, clock: Clock):
    count = 105
    before = venue.engine.available(venue.account(CAROL.address), 0)
    for nonce in range(2, count + 2):
        venue.withdraw(CAROL, venue.usd, 100, nonce=nonce, expires_in_s=300)
    venue.settler.seal_now()
    for action_id, _, _ in venue.outbox.names(ActionState.SEALED):
        venue.outbox.rejected(action_id, "refused", clock())
    clock.ahead_ns += 400 * NS
    venue.devchain.mine()

    for _ in range(3):
        venue.settler.step()
        undo(venue)

    assert venue.engine.available(venue.account(CAROL.address), 0) == before
    assert venue.settler.reversals_due() == []


def test_one_that_has_expired_is_given_back_behind_a_hundred_that_still_last(
    venue: Venue, clock: Clock
):
    """H4 in ``reversals.look``: the oldest hundred of all that had failed were looked at, again and
    again, and those can still be paid by anybody who sends them."""
    fail_many(venue, 110, ActionKind.SWEEP)
    for nonce in range(2, 112):
        venue.withdraw(CAROL, venue.usd, 100, nonce=nonce, expires_in_s=3_500)
    last = venue.withdraw(CAROL, venue.usd, 700, nonce=112, expires_in_s=300)
    venue.settler.seal_now()
    for action_id, _, _ in venue.outbox.names(ActionState.SEALED):
        venue.outbox.rejected(action_id, "refused", clock())
    clock.ahead_ns += 400 * NS
    venue.devchain.mine()
    venue.settler.step()

    due = [(due.sequence, due.account, due.amount) for due in venue.settler.reversals_due()]
    assert due == [(int(last[0]["sequence"]), CAROL.address, 700)]


def test_a_withdrawal_that_waits_holds_up_nobody(venue: Venue, clock: Clock):
    """The contract refuses it for now; a batch, a sweep and a payout behind it go on."""
    steal(venue, CAROL, venue.usd, 10**14)
    for nonce in range(2, 30):
        venue.withdraw(CAROL, venue.usd, 100, nonce=nonce, expires_in_s=3_000)
    trade = venue.trade(1)
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())

    assert venue.settler.trade_state(trade).state == "final"
    assert venue.outbox.count(ActionState.FINAL, kind=ActionKind.WITHDRAWAL) == 1
    assert venue.outbox.count(ActionState.SEALED, kind=ActionKind.WITHDRAWAL) == 28
    assert venue.chain.nonce(OPERATOR.address, pending=True) == 2
    clock.ahead_ns += 30 * NS
    until(lambda: not venue.settler.step())
    assert venue.outbox.count(ActionState.FAILED) == 28, "refused, and no gas was spent on it"


def test_what_is_in_flight_is_asked_for_by_nonce(tmp_path: Path):
    """Later decisions can have earlier nonces, and the lowest one is what all wait for."""
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for place, nonce in enumerate((7, 8, 5)):
        action_id = outbox.enqueue(Call(ActionKind.OTHER, str(place), ZERO_REF, b"", 1), 0)
        outbox.signed(action_id, nonce, b"", bytes([nonce]), 1, 1, 0)
    assert [action.nonce for action in outbox.in_flight(2)] == [5, 7]
    outbox.close()
