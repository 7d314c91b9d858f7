"""A deposit is credited once, and a trade goes from the book to the chain and is final there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import EventKind
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState
from settlement.ports import TradeState
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import deposit_address
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
from tests.chain.road import ALICE, BOB, CAROL, NS, Road, transact


@pytest.fixture
def road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, devchain, clock)
    yield built
    built.close()


@pytest.fixture
def deep_road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    """A road that wants three confirmations."""
    built = Road(tmp_path, devchain, clock, confirmations=3)
    yield built
    built.close()


def state_of(road: Road, trade_id: int) -> str:
    return road.settler.trade_state(trade_id).state


def test_a_deposit_is_credited_once_however_often_it_is_seen(road: Road):
    road.deposit(ALICE, road.usd, 5 * 10**6)
    poll = road.watcher.poll()
    first = road.credit()
    road.watcher.done(poll)

    assert [(value.account, value.amount) for value in first] == [(ALICE.address, 5 * 10**8)]
    assert road.credit() == []
    road.reopen()
    assert road.credit() == []
    road.assert_books_agree()


def test_a_crash_between_journal_and_cursor_credits_nothing_twice(road: Road):
    road.deposit(ALICE, road.usd, 5 * 10**6)
    credited = road.credit(moves_cursor=False)
    road.reopen()

    assert credited
    assert [observation.value for observation in road.watcher.poll().observations] == credited
    assert road.credit() == []
    assert road.watcher.poll().observations == []
    road.assert_books_agree()


def test_a_deposit_waits_for_its_confirmations(deep_road: Road):
    deep_road.deposit(ALICE, deep_road.usd, 10**6)
    for confirmations in (1, 2):
        (observation,) = deep_road.watcher.poll().observations
        assert (observation.confirmations, observation.confirmed) == (confirmations, False)
        assert deep_road.credit() == []
        deep_road.devchain.mine()

    assert len(deep_road.credit()) == 1
    assert deep_road.watcher.poll().observations == []


def test_a_trade_becomes_final_and_the_vault_agrees_to_the_pip(deep_road: Road, clock: Clock):
    road = deep_road
    road.fund()
    trade_id = road.trade(1)

    assert road.settler.trade_state(trade_id) == TradeState("matched")
    assert not road.settler.step(), "the batch is not old enough"
    clock.ahead_ns += 3 * NS
    seen = []
    for _ in range(8):
        road.settler.step()
        seen.append(state_of(road, trade_id))
        road.devchain.mine()

    assert seen[-1] == "final"
    assert seen == sorted(seen, key=["submitted", "mined", "final"].index)
    states = [change.state for change in road.settler.changes(0)]
    assert states == ["sealed", "signed", "broadcast", "mined", "final"]
    (batch,) = road.settler.batches(10)
    assert batch.batch.number == 1 and road.next_batch() == 2
    found = road.settler.trade_state(trade_id)
    assert found.batch == 1 and found.tx_hash is not None
    assert road.chain.receipt(found.tx_hash) is not None
    road.assert_books_agree()


def test_many_batches_are_sent_without_waiting_for_each_other(road: Road):
    road.fund()
    last = 0
    for turn in range(1, 6):
        last = road.trade(turn)
        road.settler.seal_now()
    until(lambda: road.settler.step() or state_of(road, last) == "final")
    until(lambda: not road.settler.step())

    assert [state.state for state in road.settler.batches(10)] == [ActionState.FINAL] * 5
    assert road.next_batch() == 6
    road.assert_books_agree()


def test_a_withdrawal_is_paid_after_the_trades_before_it(road: Road):
    road.fund()
    road.trade(1)
    events = road.withdraw(BOB, road.usd, 2 * 10**8, nonce=1)
    assert events[0]["kind"] == EventKind.WITHDRAWN
    road.trade(2)

    until(lambda: not road.settler.step())

    actions = road.outbox.in_state(ActionState.FINAL, ActionState.SEALED, limit=10)
    assert [action.kind for action in actions] == [ActionKind.BATCH, ActionKind.WITHDRAWAL]
    assert [action.state for action in actions] == [ActionState.FINAL, ActionState.FINAL]
    paid = encode_call("balanceOf", BOB.address, contract="TestToken")
    assert int.from_bytes(road.chain.call(road.usd, paid), "big") == 2 * 10**6
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    road.assert_books_agree()


def test_a_refused_withdrawal_fails_with_the_contracts_words_and_stops_nothing(
    road: Road, clock: Clock
):
    road.fund()
    road.withdraw(BOB, road.token, 10**8, nonce=1, expires_in_s=60)
    road.settler.seal_now()  # Countersigned in time, sent too late.
    clock.ahead_ns += 120 * NS
    road.devchain.mine()
    until(lambda: not road.settler.step())
    road.trade(1)
    road.settler.seal_now()
    until(lambda: not road.settler.step())

    assert road.outbox.count(ActionState.FAILED) == 0, "a node may be behind, so it has to last"
    clock.ahead_ns += 25 * NS
    until(lambda: not road.settler.step())
    (failed,) = road.outbox.in_state(ActionState.FAILED, limit=10)
    assert failed.kind is ActionKind.WITHDRAWAL and failed.nonce is None, "no gas was spent on it"
    assert failed.error is not None and failed.error.startswith("Expired(")
    assert road.settler.halted is None
    assert road.next_batch() == 2


def test_a_payment_at_an_invoice_address_is_seen_swept_and_credited(deep_road: Road):
    road, ref = deep_road, b"\x07" * 32
    address = road.settler.deposit_address(BOB.address, ref)
    road.watcher.watch(address)
    road.mint(CAROL, road.token, 10**18)
    road.credit()
    pay = encode_call("transfer", address, 10**18, contract="TestToken")
    assert transact(road.devchain.chain, CAROL, road.token, pay).succeeded

    (seen,) = road.watcher.poll().observations
    assert isinstance(seen.value, Transferred)
    assert (seen.value.receiver, seen.value.raw_amount) == (address, 10**18)
    assert (seen.confirmations, seen.confirmed) == (1, False)

    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    until(lambda: not road.settler.step())
    road.devchain.mine(3)
    (credited,) = road.credit()
    assert (credited.account, credited.amount, credited.ref) == (BOB.address, 10**8, ref)
    road.watcher.unwatch(address)
    assert road.watcher.poll().observations == []


def test_many_small_payments_are_gathered_into_few_sweeps(road: Road):
    """Anybody may send dust to an address that a shop has shown."""
    ref = b"\x08" * 32
    address = road.settler.deposit_address(BOB.address, ref)
    road.mint(CAROL, road.token, 10**18)
    pay = encode_call("transfer", address, 10**10, contract="TestToken")
    road.settler.enqueue_sweep(BOB.address, ref, road.token)
    until(lambda: not road.settler.step())
    assert road.outbox.count(ActionState.SEALED) == 1, "nothing to sweep yet, and no gas spent"
    for _ in range(5):
        assert transact(road.devchain.chain, CAROL, road.token, pay).succeeded
        road.settler.enqueue_sweep(BOB.address, ref, road.token)
    until(lambda: not road.settler.step())

    assert road.outbox.count(*ActionState) == 1
    assert road.vault(BOB.address, road.token) == 5
    sweep_wei = road.settler.sweep_wei()
    (sweep,) = road.outbox.in_state(ActionState.FINAL, limit=9)
    receipt = road.chain.receipt(sweep.mined_hash or b"")
    assert receipt is not None and receipt.gas_used * receipt.gas_price <= sweep_wei


def test_a_grant_is_relayed_and_the_key_history_survives_a_restart(road: Road):
    expiry = road.clock() // NS + 3_600
    key = CAROL.address
    grant = KeyGrant(ALICE.address, key, road.token, road.usd, 2, expiry, 10**12, 5, nonce=1)
    signature = ALICE.sign_digest(grant_digest(road.domain, grant))
    road.settler.enqueue_grant(grant, signature)
    road.settler.enqueue_grant(grant, signature)
    until(lambda: not road.settler.step())
    (granted,) = road.watcher.poll().observations
    revoke = encode_call("revokeKey", key, 2)
    assert transact(road.devchain.chain, ALICE, road.domain.contract, revoke).succeeded
    poll = road.watcher.poll()
    road.watcher.done(poll)

    assert isinstance(granted.value, KeyGranted)
    assert granted.value.grant == grant._replace(nonce=0)
    road.reopen()
    shown = [observation.value for observation in road.watcher.poll().observations]
    assert shown[-2] == granted.value, "read again, in case its block has gone meanwhile"
    first, second = road.watcher.history()
    assert first == granted.value
    assert isinstance(second, KeyRevoked) and (second.account, second.key) == (ALICE.address, key)


def test_exits_are_told_from_request_to_end(road: Road, clock: Clock):
    road.deposit(ALICE, road.usd, 10**6)
    chain, exchange = road.devchain.chain, road.domain.contract
    request = encode_call("requestExit", road.usd, 10**8)
    for call in (request, encode_call("cancelExit", road.usd), request):
        assert transact(chain, ALICE, exchange, call).succeeded
    clock.ahead_ns += 7_300 * NS
    finish = encode_call("finishExit", ALICE.address, road.usd)
    assert transact(chain, BOB, exchange, finish).succeeded

    values = [observation.value for observation in road.watcher.poll().observations]

    kinds = [Deposited, ExitRequested, ExitCancelled, ExitRequested, ExitFinished]
    assert [type(value) for value in values] == kinds
    assert isinstance(values[1], ExitRequested) and values[1].amount == 10**8
    assert isinstance(values[4], ExitFinished) and values[4].amount == 10**8
    assert {value.account for value in values} == {ALICE.address}


def test_the_deposit_address_is_the_one_the_contract_computes(road: Road):
    deployment, ref = road.deployment, b"\x05" * 32
    ours = deposit_address(
        deployment.invoice_deposits, deployment.invoice_implementation, ALICE.address, ref
    )
    call = encode_call("addressOf", ALICE.address, ref, contract="InvoiceDeposits")

    assert road.chain.call(deployment.invoice_deposits, call)[12:] == ours
    assert road.settler.deposit_address(ALICE.address, ref) == ours
