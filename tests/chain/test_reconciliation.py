"""Vault and ledger agree to the unit at each final block, whatever is on its way, or it shows."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import Kind, command
from engine.types import Side
from settlement.audit.reconcile import Difference, Reconciler
from settlement.chain.dev.devchain import start_devchain
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import ExitEvidence
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, BOB, CAROL, DEPLOYER, LANE, NS, Road, transact
from tests.chain.test_refused_batches import steal

CONFIRMATIONS = 3


@pytest.fixture
def road(tmp_path: Path, clock: Clock) -> Iterator[Road]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Road(tmp_path, chain, clock, confirmations=CONFIRMATIONS)
        built.fund()
        built.deposit(CAROL, built.usd, 10**12)
        yield built
        built.close()


def reconciler(road: Road) -> Reconciler:
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


def compared(road: Road, judge: Reconciler) -> list[Difference]:
    """Book what is confirmed and compare twice at the last final block."""
    road.credit()
    final = road.devchain.chain.head().number - CONFIRMATIONS + 1
    return [*judge.compare(judge.cut(), final), *judge.compare(judge.cut(), final)]


@pytest.mark.parametrize(
    ("seed", "steps_count"),
    [(11, 40), *(pytest.param(s, 400, marks=pytest.mark.soak) for s in range(8))],
)
def test_it_agrees_after_every_step_of_a_long_day(road: Road, seed: int, steps_count: int):
    judge, dice = reconciler(road), random.Random(seed)
    nonce = dict.fromkeys((ALICE, BOB, CAROL), 0)
    compared_count = 0

    def trade() -> None:
        nonce[BOB] += 1
        nonce[ALICE] += 1
        lots, price = dice.randrange(1, 40), dice.randrange(2_000, 3_000)
        road.place(BOB, Side.SELL, price, lots, nonce[BOB], lane=LANE + nonce[BOB])
        road.place(ALICE, Side.BUY, price, dice.randrange(1, lots + 1), nonce[ALICE])

    def withdraw() -> None:
        owner = dice.choice((ALICE, CAROL))
        nonce[CAROL] += 1
        road.withdraw(owner, road.usd, dice.randrange(1, 10**6) * 100, nonce=10_000 + nonce[CAROL])

    steps = (
        trade,
        trade,
        withdraw,
        lambda: road.deposit(CAROL, road.token, dice.randrange(1, 10**9) * 10**10),
        lambda: road.settler.seal_now() or road.settler.step(),
        lambda: until(lambda: not road.settler.step()),
        road.devchain.mine,
        lambda: sweep(road),
        road.reopen,
    )
    road.credit()
    for _ in range(steps_count):
        step = dice.choice(steps)
        step()
        if step == road.reopen:
            judge = reconciler(road)
        assert compared(road, judge) == []
        compared_count += 1
    assert road.next_batch() > 2 and compared_count == steps_count
    assert set(judge.surplus.values()) == {0}


def sweep(road: Road) -> None:
    """Take the fees out, if there are any; anybody may."""
    fees = road.chain.call(road.domain.contract, encode_call("feesOf", road.usd))
    if int.from_bytes(fees, "big") > 100:
        call = encode_call("sweepFees", road.usd)
        assert transact(road.devchain.chain, DEPLOYER, road.domain.contract, call).succeeded


def settled(road: Road) -> None:
    road.trade(1)
    road.settler.seal_now()
    for _ in range(CONFIRMATIONS):
        until(lambda: not road.settler.step())
        road.devchain.mine()
    until(lambda: not road.settler.step())


def test_one_pip_too_many_in_the_ledger_is_seen_and_named(road: Road):
    judge = reconciler(road)
    settled(road)
    assert compared(road, judge) == []
    number = road.account(ALICE.address)
    road.engine.state.ledger.bring_in(number, 0, 1)

    differences = compared(road, judge)

    account, custody = differences
    assert (account.symbol, account.expected - account.found) == ("USD", 1)
    assert ALICE.address.hex() in str(account)
    assert (custody.what, custody.expected - custody.found) == ("custody", 1)


def test_a_difference_has_to_show_twice(road: Road):
    judge = reconciler(road)
    settled(road)
    road.credit()
    final = road.devchain.chain.head().number - CONFIRMATIONS + 1
    number = road.account(ALICE.address)
    road.engine.state.ledger.bring_in(number, 0, 1)
    assert judge.compare(judge.cut(), final) == []
    road.engine.state.ledger.take_out(number, 0, 1)
    assert judge.compare(judge.cut(), final) == []
    assert judge.compare(judge.cut(), final) == []


def test_money_that_left_the_vault_unknown_to_the_ledger_is_seen(road: Road):
    judge = reconciler(road)
    settled(road)
    road.credit()
    steal(road, CAROL, road.usd, 5 * 10**10)
    road.devchain.mine(CONFIRMATIONS)

    whats = {difference.what for difference in compared(road, judge)}
    assert whats == {"custody", f"account 0x{CAROL.address.hex()}"}


def test_tokens_that_nobody_deposited_are_shown_as_surplus(road: Road):
    judge = reconciler(road)
    road.mint(BOB, road.usd, 7)
    pay = encode_call("transfer", road.deployment.custodian, 7, contract="TestToken")
    assert transact(road.devchain.chain, BOB, road.usd, pay).succeeded
    road.devchain.mine(CONFIRMATIONS)

    assert compared(road, judge) == []
    assert judge.surplus == {"USD": 700, "TOKEN": 0}


def test_an_exit_is_no_difference(road: Road, clock: Clock):
    judge = reconciler(road)
    road.credit()
    exchange = road.domain.contract
    request = encode_call("requestExit", road.usd, 10**10)
    assert transact(road.devchain.chain, ALICE, exchange, request).succeeded
    clock.ahead_ns += 7_300 * NS
    finish = encode_call("finishExit", ALICE.address, road.usd)
    assert transact(road.devchain.chain, BOB, exchange, finish).succeeded
    assert compared(road, judge) == [], "not final yet, not booked yet"
    road.devchain.mine(CONFIRMATIONS)
    number = road.account(ALICE.address)
    road.commit(command(Kind.EXIT_BEGIN, account=number), ExitEvidence(b"\x01" * 32, 0, 1))
    final = road.devchain.chain.head().number - CONFIRMATIONS + 1
    judge.compare(judge.cut(), final)
    assert judge.compare(judge.cut(), final) != [], "paid there, not booked here"

    paid = command(Kind.EXIT_END, account=number, token=0, amount=10**10)
    road.commit(paid, ExitEvidence(b"\x01" * 32, 1, 1))
    assert compared(road, judge) == []
