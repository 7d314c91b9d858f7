"""A deposit is credited once, and a trade goes from the book to the chain and is final there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import EventKind
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState, WithdrawalState
from settlement.ports import TradeState
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import SweepPlace, deposit_address
from settlement.protocol.eip712 import KeyGrant, grant_digest
from settlement.watching.watcher import (
    Deposited,
    ExitCancelled,
    ExitFinished,
    ExitRequested,
    KeyGranted,
    KeyRevoked,
    Transferred,
)
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, NS, Venue, transact


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    yield built
    built.close()


@pytest.fixture
def deep_road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    """A venue that wants three confirmations."""
    built = Venue(tmp_path, devchain, clock, confirmations=3)
    yield built
    built.close()


def state_of(venue: Venue, trade_id: int) -> str:
    return venue.settler.trade_state(trade_id).state


def test_a_deposit_is_credited_once_however_often_it_is_seen(venue: Venue):
    venue.deposit(ALICE, venue.usd, 5 * 10**6)
    poll = venue.watcher.poll()
    first = venue.credit()
    venue.watcher.done(poll)

    assert [(value.account, value.amount) for value in first] == [(ALICE.address, 5 * 10**8)]
    assert venue.credit() == []
    venue.reopen()
    assert venue.credit() == []
    venue.assert_books_agree()


def test_a_crash_between_journal_and_cursor_credits_nothing_twice(venue: Venue):
    venue.deposit(ALICE, venue.usd, 5 * 10**6)
    credited = venue.credit(moves_cursor=False)
    venue.reopen()

    assert credited
    assert [observation.value for observation in venue.watcher.poll().observations] == credited
    assert venue.credit() == []
    assert venue.watcher.poll().observations == []
    venue.assert_books_agree()


def test_a_deposit_waits_for_its_confirmations(deep_road: Venue):
    deep_road.deposit(ALICE, deep_road.usd, 10**6)
    for confirmations in (1, 2):
        (observation,) = deep_road.watcher.poll().observations
        assert (observation.confirmations, observation.confirmed) == (confirmations, False)
        assert deep_road.credit() == []
        deep_road.devchain.mine()

    assert len(deep_road.credit()) == 1
    assert deep_road.watcher.poll().observations == []


def test_a_trade_becomes_final_and_the_vault_agrees_to_the_pip(deep_road: Venue, clock: Clock):
    venue = deep_road
    venue.fund()
    trade_id = venue.trade(1)

    assert venue.settler.trade_state(trade_id) == TradeState("matched")
    assert not venue.settler.step(), "the batch is not old enough"
    clock.ahead_ns += 3 * NS
    seen = []
    for _ in range(8):
        venue.settler.step()
        seen.append(state_of(venue, trade_id))
        venue.devchain.mine()

    assert seen[-1] == "final"
    assert seen == sorted(seen, key=["submitted", "mined", "final"].index)
    states = [change.state for change in venue.settler.changes(0)]
    assert states == ["sealed", "signed", "broadcast", "mined", "final"]
    (batch,) = venue.settler.batches(10)
    assert batch.batch.number == 1 and venue.next_batch() == 2
    found = venue.settler.trade_state(trade_id)
    assert found.batch == 1 and found.tx_hash is not None
    assert venue.chain.receipt(found.tx_hash) is not None
    venue.assert_books_agree()


def test_many_batches_are_sent_without_waiting_for_each_other(venue: Venue):
    venue.fund()
    last = 0
    for turn in range(1, 6):
        last = venue.trade(turn)
        venue.settler.seal_now()
    until(lambda: venue.settler.step() or state_of(venue, last) == "final")
    until(lambda: not venue.settler.step())

    assert [state.state for state in venue.settler.batches(10)] == [ActionState.FINAL] * 5
    assert venue.next_batch() == 6
    venue.assert_books_agree()


def test_a_withdrawal_is_paid_after_the_trades_before_it(venue: Venue):
    venue.fund()
    venue.trade(1)
    events = venue.withdraw(BOB, venue.usd, 2 * 10**8, nonce=1)
    assert events[0]["kind"] == EventKind.WITHDRAWN
    venue.trade(2)

    until(lambda: not venue.settler.step())

    actions = venue.outbox.in_state(ActionState.FINAL, ActionState.SEALED, limit=10)
    assert [action.kind for action in actions] == [ActionKind.BATCH, ActionKind.WITHDRAWAL]
    assert [action.state for action in actions] == [ActionState.FINAL, ActionState.FINAL]
    asked = int(actions[1].key)
    told = venue.settler.withdrawal_states([asked, 10**6])
    assert told == {asked: WithdrawalState("final", actions[1].mined_hash, None)}
    paid = encode_call("balanceOf", BOB.address, contract="TestToken")
    assert int.from_bytes(venue.chain.call(venue.usd, paid), "big") == 2 * 10**6
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    venue.assert_books_agree()


def test_a_refused_withdrawal_fails_with_the_contracts_words_and_stops_nothing(
    venue: Venue, clock: Clock
):
    venue.fund()
    venue.withdraw(BOB, venue.token, 10**8, nonce=1, expires_in_s=60)
    venue.settler.seal_now()  # Countersigned in time, sent too late.
    clock.ahead_ns += 120 * NS
    venue.devchain.mine()
    until(lambda: not venue.settler.step())
    venue.trade(1)
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())

    assert venue.outbox.count(ActionState.FAILED) == 0, "a node may be behind, so it has to last"
    clock.ahead_ns += 25 * NS
    until(lambda: not venue.settler.step())
    (failed,) = venue.outbox.in_state(ActionState.FAILED, limit=10)
    assert failed.kind is ActionKind.WITHDRAWAL and failed.nonce is None, "no gas was spent on it"
    assert failed.error is not None and failed.error.startswith("Expired(")
    assert venue.settler.halted is None
    assert venue.next_batch() == 2


def test_a_payment_at_an_invoice_address_is_seen_swept_and_credited(deep_road: Venue):
    venue, ref = deep_road, b"\x07" * 32
    address = venue.settler.deposit_address(BOB.address, ref)
    venue.watcher.watch(address)
    venue.mint(CAROL, venue.token, 10**18)
    venue.credit()
    pay = encode_call("transfer", address, 10**18, contract="TestToken")
    assert transact(venue.devchain.chain, CAROL, venue.token, pay).succeeded

    (seen,) = venue.watcher.poll().observations
    assert isinstance(seen.value, Transferred)
    assert (seen.value.receiver, seen.value.raw_amount) == (address, 10**18)
    assert (seen.confirmations, seen.confirmed) == (1, False)

    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    until(lambda: not venue.settler.step())
    venue.devchain.mine(3)
    (credited,) = venue.credit()
    assert (credited.account, credited.amount, credited.ref) == (BOB.address, 10**8, ref)
    venue.watcher.unwatch(address)
    assert venue.watcher.poll().observations == []


def test_many_small_payments_are_gathered_into_few_sweeps(venue: Venue):
    """Anybody may send dust to an address that a shop has shown."""
    ref = b"\x08" * 32
    address = venue.settler.deposit_address(BOB.address, ref)
    venue.mint(CAROL, venue.token, 10**18)
    pay = encode_call("transfer", address, 10**10, contract="TestToken")
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    until(lambda: not venue.settler.step())
    assert venue.outbox.count(ActionState.SEALED) == 1, "nothing to sweep yet, and no gas spent"
    for _ in range(5):
        assert transact(venue.devchain.chain, CAROL, venue.token, pay).succeeded
        venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref, venue.token)])
    until(lambda: not venue.settler.step())

    assert venue.outbox.count(*ActionState) == 1
    assert venue.vault(BOB.address, venue.token) == 5
    sweep_wei = venue.settler.sweep_wei()
    (sweep,) = venue.outbox.in_state(ActionState.FINAL, limit=9)
    receipt = venue.chain.receipt(sweep.mined_hash or b"")
    assert receipt is not None and receipt.gas_used * receipt.gas_price <= sweep_wei


def test_a_grant_is_relayed_and_the_key_history_survives_a_restart(venue: Venue):
    expiry = venue.clock() // NS + 3_600
    key = CAROL.address
    grant = KeyGrant(ALICE.address, key, venue.token, venue.usd, 2, expiry, 10**12, 5, nonce=1)
    signature = ALICE.sign_digest(grant_digest(venue.domain, grant))
    venue.settler.enqueue_grant(grant, signature)
    venue.settler.enqueue_grant(grant, signature)
    until(lambda: not venue.settler.step())
    (granted,) = venue.watcher.poll().observations
    revoke = encode_call("revokeKey", key, 2)
    assert transact(venue.devchain.chain, ALICE, venue.domain.contract, revoke).succeeded
    poll = venue.watcher.poll()
    venue.watcher.done(poll)

    assert isinstance(granted.value, KeyGranted)
    assert granted.value.grant == grant._replace(nonce=0)
    venue.reopen()
    shown = [observation.value for observation in venue.watcher.poll().observations]
    assert shown[-2] == granted.value, "read again, in case its block has gone meanwhile"
    first, second = venue.watcher.history()
    assert first == granted.value
    assert isinstance(second, KeyRevoked) and (second.account, second.key) == (ALICE.address, key)


def test_exits_are_told_from_request_to_end(venue: Venue, clock: Clock):
    venue.deposit(ALICE, venue.usd, 10**6)
    chain, exchange = venue.devchain.chain, venue.domain.contract
    request = encode_call("requestExit", venue.usd, 10**8)
    for call in (request, encode_call("cancelExit", venue.usd), request):
        assert transact(chain, ALICE, exchange, call).succeeded
    clock.ahead_ns += 7_300 * NS
    finish = encode_call("finishExit", ALICE.address, venue.usd)
    assert transact(chain, BOB, exchange, finish).succeeded

    values = [observation.value for observation in venue.watcher.poll().observations]

    kinds = [Deposited, ExitRequested, ExitCancelled, ExitRequested, ExitFinished]
    assert [type(value) for value in values] == kinds
    assert isinstance(values[1], ExitRequested) and values[1].amount == 10**8
    assert isinstance(values[4], ExitFinished) and values[4].amount == 10**8
    assert {value.account for value in values} == {ALICE.address}


def test_the_deposit_address_is_the_one_the_contract_computes(venue: Venue):
    deployment, ref = venue.deployment, b"\x05" * 32
    ours = deposit_address(
        deployment.invoice_deposits, deployment.invoice_implementation, ALICE.address, ref
    )
    call = encode_call("addressOf", ALICE.address, ref, contract="InvoiceDeposits")

    assert venue.chain.call(deployment.invoice_deposits, call)[12:] == ours
    assert venue.settler.deposit_address(ALICE.address, ref) == ours
