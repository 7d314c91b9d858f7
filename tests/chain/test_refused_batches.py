"""A trade that the contract refuses is found, busted, and the others settle without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import Kind, command
from engine.types import Outcome, Side
from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.actions import Action, ActionKind, ActionState
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import countersignature_digest
from settlement.protocol.evidence import WithdrawalPaid, WithdrawalReturned
from settlement.repair.busts import bust_command, bust_evidence
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, DEPLOYER, LANE, NS, OPERATOR, Venue, transact


@pytest.fixture
def chain(tmp_path: Path, clock: Clock) -> Iterator[DevChain]:
    """One node is enough: what is asked here is asked of contract and outbox."""
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


PAID = WithdrawalPaid(0)


def undo(venue: Venue) -> list[int]:
    """Do what the gateway does with what is due; return the trades that were busted."""
    busted = []
    for bust in venue.settler.busts_due():
        row = bust_command(venue.catalog, bust.trade)
        events = venue.commit(row, bust_evidence(bust))
        assert events[0]["outcome"] == Outcome.ACCEPTED
        busted.append(bust.trade.trade_id)
    for due in venue.settler.reversals_due():
        account, token = venue.account(due.account), venue.catalog.token_by_address(due.token)
        assert token is not None
        row = command(Kind.DEPOSIT, account=account, token=token.number, amount=due.amount)
        venue.commit(row, WithdrawalReturned(due.sequence, due.reason))
    return busted


def settle(venue: Venue, clock: Clock) -> list[int]:
    """Step, wait and undo until nothing moves; return the trades that were busted."""
    busted: list[int] = []
    for _ in range(4):
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())
        busted += undo(venue)
        clock.ahead_ns += 30 * NS
        venue.devchain.mine()
        until(lambda: not venue.settler.step())
        busted += undo(venue)
    return busted


def trade_on(venue: Venue, turn: int, buyer=ALICE, expires_in_s: int = 1_800) -> int:
    venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE + turn, expires_in_s=expires_in_s)
    events = venue.place(buyer, Side.BUY, 2_500, 10, nonce=turn, expires_in_s=expires_in_s)
    return int(events["trade_id"].max())


def steal(venue: Venue, owner, token: bytes, pips: int) -> None:
    """Take money out of the contract behind the ledger's back, as no user can: with the operator's
    signature, which only settlement gives."""
    expiry = venue.clock() // NS + 600
    payout = (owner.address, token, pips, owner.address, 1, expiry)
    raw = venue.chain.call(venue.domain.contract, encode_call("withdrawalDigest", payout))
    consent = countersignature_digest(venue.domain, raw, 0)
    signatures = owner.sign_digest(raw), OPERATOR.sign_digest(consent)
    call = encode_call("withdraw", payout, 0, *signatures)
    assert transact(venue.devchain.chain, DEPLOYER, venue.domain.contract, call).succeeded


@pytest.mark.parametrize("bad", [{3}, {1}, {8}, {2, 3, 7}, set(range(1, 9))])
def test_bisection_finds_every_trade_that_cannot_settle(venue: Venue, clock: Clock, bad: set[int]):
    steal(venue, CAROL, venue.usd, 10**14)
    trades = [trade_on(venue, turn, CAROL if turn in bad else ALICE) for turn in range(1, 9)]
    assert trades == list(range(1, 9))

    busted = settle(venue, clock)

    assert set(busted) == bad and len(busted) == len(bad)
    assert venue.settler.halted is None
    assert {venue.settler.trade_state(t).state for t in bad} == {"busted"}
    assert {venue.settler.trade_state(t).state for t in set(trades) - bad} <= {"final"}
    venue.engine.check()
    for owner in (ALICE, BOB):
        for token in venue.catalog.tokens:
            number = venue.account(owner.address)
            ledger = venue.engine.available(number, token.number)
            assert ledger == venue.vault(owner.address, token.address)
    assert venue.next_batch() == 2, "one batch, sealed anew"


def test_batches_sealed_on_top_of_a_refused_one_are_sealed_anew(venue: Venue, clock: Clock):
    steal(venue, CAROL, venue.usd, 10**14)
    for turn in range(1, 5):
        trade_on(venue, turn, CAROL if turn == 1 else ALICE)
        venue.settler.seal_now()
    busted = settle(venue, clock)

    assert busted == [1]
    (together,) = venue.settler.batches(9)
    assert (together.state, together.batch.last_trade) == (ActionState.FINAL, 4)
    abandoned = venue.outbox.in_state(ActionState.ABANDONED, limit=9)
    assert [action.key for action in abandoned] == ["1", "2", "3", "4"]
    assert {venue.settler.trade_state(t).state for t in (2, 3, 4)} == {"final"}


def test_a_restart_at_any_step_of_the_repair_ends_the_same(venue: Venue, clock: Clock):
    steal(venue, CAROL, venue.usd, 10**14)
    for turn in range(1, 4):
        trade_on(venue, turn, CAROL if turn == 2 else ALICE)
    venue.settler.seal_now()
    busted: list[int] = []
    for _ in range(12):
        venue.settler.step()
        venue.reopen()
        clock.ahead_ns += 10 * NS
        venue.settler.step()
        clock.ahead_ns += 21 * NS
        venue.settler.step()
        busted += undo(venue)
        venue.reopen()
        venue.devchain.mine()

    assert set(busted) == {2}
    assert venue.settler.trade_state(2).state == "busted"
    assert venue.settler.trade_state(3).state == "final"
    assert venue.settler.halted is None


def test_found_a_trade_whose_proceeds_were_spent_stopped_settlement(venue: Venue, clock: Clock):
    """C1: the seller sold on, withdrew it all, and no bust could be booked ever again."""
    steal(venue, CAROL, venue.usd, 10**14)
    trade_on(venue, 1, CAROL)
    account = venue.account(CAROL.address)
    had = {token: venue.engine.available(account, token) for token in (0, 1)}
    venue.place(CAROL, Side.SELL, 9_999, 5, nonce=1, lane=LANE)
    venue.commit(command(Kind.WITHDRAW, flags=1, account=account, token=1, amount=had[1]), PAID)

    assert settle(venue, clock) == [1]

    assert venue.settler.halted is None
    assert venue.engine.available(account, 1) == -10 * 10**6, "what it sold is owed"
    assert venue.engine.orders_live == 0
    trade_on(venue, 2)
    settle(venue, clock)
    assert venue.settler.trade_state(2).state == "final", "everybody else goes on"


def test_trades_left_for_longer_than_the_horizon_settle_if_their_orders_live(
    venue: Venue, clock: Clock
):
    """Found in README: a killed process that was started late halted settlement for good."""
    alive = trade_on(venue, 1, expires_in_s=100_000)
    dead = trade_on(venue, 2, expires_in_s=600)
    again = trade_on(venue, 3, expires_in_s=100_000)
    venue.settler.seal_now()
    clock.ahead_ns += 5_000 * NS
    venue.reopen()

    assert settle(venue, clock) == [dead]

    assert venue.settler.halted is None
    assert [venue.settler.trade_state(t).state for t in (alive, dead, again)] == [
        "final",
        "busted",
        "final",
    ]
    venue.assert_books_agree()


def test_unsealed_trades_older_than_the_horizon_are_treated_the_same(venue: Venue, clock: Clock):
    alive = trade_on(venue, 1, expires_in_s=100_000)
    dead = trade_on(venue, 2, expires_in_s=600)
    clock.ahead_ns += 5_000 * NS
    venue.reopen()

    assert settle(venue, clock) == [dead]
    assert venue.settler.trade_state(alive).state == "final"
    venue.assert_books_agree()


def test_a_withdrawal_that_was_refused_is_given_back_once_it_can_never_be_paid(
    venue: Venue, clock: Clock
):
    before = venue.engine.available(venue.account(CAROL.address), 0)
    steal(venue, CAROL, venue.usd, 10**14)
    venue.withdraw(CAROL, venue.usd, 10**13, nonce=2, expires_in_s=500)
    settle(venue, clock)
    assert venue.engine.available(venue.account(CAROL.address), 0) == before - 10**13, "may be sent"

    clock.ahead_ns += 500 * NS
    for _ in range(2):
        settle(venue, clock)
        venue.reopen()

    assert venue.engine.available(venue.account(CAROL.address), 0) == before
    venue.engine.check()


def test_a_withdrawal_that_somebody_else_sent_is_not_given_back(venue: Venue, clock: Clock):
    before = venue.engine.available(venue.account(CAROL.address), 0)
    venue.withdraw(CAROL, venue.usd, 10**13, nonce=2, expires_in_s=500)
    venue.settler.seal_now()
    (action,) = venue.outbox.in_state(ActionState.SEALED, limit=9)
    sent = transact(venue.devchain.chain, BOB, action.to, action.calldata)
    assert sent.succeeded
    clock.ahead_ns += 600 * NS
    settle(venue, clock)

    found = venue.outbox.action(action.id)
    assert found.error, "ours came too late"
    assert (found.state, found.mined_hash) == (ActionState.FINAL, sent.tx_hash)
    assert venue.engine.available(venue.account(CAROL.address), 0) == before - 10**13
    venue.assert_books_agree()


def sealed_withdrawal(venue: Venue) -> Action:
    """Seal everything and return the withdrawal that waits to be sent."""
    venue.settler.seal_now()
    sealed = venue.outbox.in_state(ActionState.SEALED, limit=99)
    (found,) = (action for action in sealed if action.kind is ActionKind.WITHDRAWAL)
    return found


def test_found_anybody_could_put_a_withdrawal_in_front_of_the_batch_it_stands_behind(
    venue: Venue, clock: Clock
):
    bought = trade_on(venue, 1, CAROL)
    left = venue.engine.available(venue.account(CAROL.address), 0)
    venue.withdraw(CAROL, venue.usd, left - left % 100, nonce=1)
    action = sealed_withdrawal(venue)

    sent = transact(venue.devchain.chain, BOB, action.to, action.calldata)
    assert not sent.succeeded, "both signatures are public, and it waits all the same"

    assert settle(venue, clock) == [] and venue.settler.halted is None
    assert venue.settler.trade_state(bought).state == "final"
    assert venue.outbox.action(action.id).state is ActionState.FINAL
    venue.assert_books_agree()


def test_a_withdrawal_waits_for_the_same_trades_when_their_batch_is_cut_anew(
    venue: Venue, clock: Clock
):
    steal(venue, CAROL, venue.usd, 10**14)
    for turn in range(1, 5):
        trade_on(venue, turn, CAROL if turn == 1 else ALICE)
    traded = int(venue.history()[-1].last_sequence)
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1)
    action = sealed_withdrawal(venue)
    while venue.settler.step():
        pass
    assert [state.batch.number for state in venue.settler.batches(9)] == [1]
    venue.gas_max = 1  # A batch a command: number 1 carries less from now on.
    venue.reopen()

    view = encode_call("nextSequence")
    for _ in range(8):
        while venue.settler.step():
            covered = int.from_bytes(venue.chain.call(venue.domain.contract, view), "big") - 1
            if covered < traded:
                early = transact(venue.devchain.chain, BOB, action.to, action.calldata)
                assert not early.succeeded, covered
        undo(venue)
        clock.ahead_ns += 30 * NS
        venue.devchain.mine()

    assert venue.next_batch() == 5, "four batches, where one was sealed at first"
    assert venue.outbox.action(action.id).state is ActionState.FINAL
