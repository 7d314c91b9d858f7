"""Vault and ledger agree to the unit at each final block, whatever is on its way, or it shows."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import Kind, command
from engine.types import Side
from settlement.audit.reconcile import ACCOUNTS_A_ROUND, Difference, Reconciler
from settlement.chain.dev.devchain import start_devchain
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import ExitEvidence
from tests.chain.conftest import Clock, until
from tests.chain.test_refused_batches import steal
from tests.chain.venue import ALICE, BOB, CAROL, DEPLOYER, LANE, NS, Venue, transact

CONFIRMATIONS = 3


@pytest.fixture
def venue(tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Venue(tmp_path, chain, clock, confirmations=CONFIRMATIONS)
        built.fund()
        built.deposit(CAROL, built.usd, 10**12)
        yield built
        built.close()


def reconciler(venue: Venue) -> Reconciler:
    return venue.reconciler()


def compared(venue: Venue, judge: Reconciler) -> list[Difference]:
    """Book what is confirmed and compare twice at the last final block."""
    venue.credit()
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    return [*judge.compare(judge.cut(), final), *judge.compare(judge.cut(), final)]


@pytest.mark.parametrize(
    ("seed", "steps_count"),
    [(11, 40), *(pytest.param(s, 400, marks=pytest.mark.soak) for s in range(8))],
)
def test_it_agrees_after_every_step_of_a_long_day(venue: Venue, seed: int, steps_count: int):
    judge, dice = reconciler(venue), random.Random(seed)
    nonce = dict.fromkeys((ALICE, BOB, CAROL), 0)
    compared_count = 0

    def trade() -> None:
        nonce[BOB] += 1
        nonce[ALICE] += 1
        lots, price = dice.randrange(1, 40), dice.randrange(2_000, 3_000)
        venue.place(BOB, Side.SELL, price, lots, nonce[BOB], lane=LANE + nonce[BOB])
        venue.place(ALICE, Side.BUY, price, dice.randrange(1, lots + 1), nonce[ALICE])

    def withdraw() -> None:
        owner = dice.choice((ALICE, CAROL))
        nonce[CAROL] += 1
        venue.withdraw(
            owner, venue.usd, dice.randrange(1, 10**6) * 100, nonce=10_000 + nonce[CAROL]
        )

    steps = (
        trade,
        trade,
        withdraw,
        lambda: venue.deposit(CAROL, venue.token, dice.randrange(1, 10**9) * 10**10),
        lambda: venue.settler.seal_now() or venue.settler.step(),
        lambda: until(lambda: not venue.settler.step()),
        venue.devchain.mine,
        lambda: sweep(venue),
        venue.reopen,
    )
    venue.credit()
    for _ in range(steps_count):
        step = dice.choice(steps)
        step()
        if step == venue.reopen:
            judge = reconciler(venue)
        assert compared(venue, judge) == []
        compared_count += 1
    assert venue.next_batch() > 2 and compared_count == steps_count
    assert set(judge.surplus.values()) == {0}


def sweep(venue: Venue) -> None:
    """Take the fees out, if there are any; anybody may."""
    fees = venue.chain.call(venue.domain.contract, encode_call("feesOf", venue.usd))
    if int.from_bytes(fees, "big") > 100:
        call = encode_call("sweepFees", venue.usd)
        assert transact(venue.devchain.chain, DEPLOYER, venue.domain.contract, call).succeeded


def settled(venue: Venue) -> None:
    venue.trade(1)
    venue.settler.seal_now()
    for _ in range(CONFIRMATIONS):
        until(lambda: not venue.settler.step())
        venue.devchain.mine()
    until(lambda: not venue.settler.step())


def test_one_pip_too_many_in_the_ledger_is_seen_and_named(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    assert compared(venue, judge) == []
    number = venue.account(ALICE.address)
    venue.engine.state.ledger.bring_in(number, 0, 1)

    differences = compared(venue, judge)

    account, custody = differences
    assert (account.symbol, account.expected - account.found) == ("USD", 1)
    assert ALICE.address.hex() in str(account)
    assert (custody.what, custody.expected - custody.found) == ("custody", 1)
    assert judge.standing == {venue.usd: account}, "until a comparison finds it no more"

    venue.engine.state.ledger.take_out(number, 0, 1)
    assert (compared(venue, judge), judge.standing) == ([], {})


def test_how_an_account_stood_at_a_block_is_kept_with_what_is_on_its_way(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    venue.credit()
    venue.trade(2)  # In no batch yet.
    venue.withdraw(CAROL, venue.usd, 500, nonce=1)
    assert compared(venue, judge) == []
    final = venue.devchain.chain.block(judge.block)
    assert final is not None
    held = {}
    for who in (ALICE, BOB, CAROL):
        standing = venue.standings.of(who.address)
        assert standing is not None
        assert (standing.block, standing.block_hash) == (final.number, final.hash)
        assert standing.block_s == final.timestamp
        assert standing.sequence == venue.settler.queue.last_sequence and standing.trade_id == 2
        held[who] = standing.held
        assert all(one.ledger == one.chain for one in standing.held.values())
    assert held[CAROL][venue.usd].on_the_way == -500
    assert held[ALICE][venue.token].on_the_way > 0 > held[BOB][venue.token].on_the_way


def test_who_is_asked_for_comes_into_the_next_comparison(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    for number in range(3 * ACCOUNTS_A_ROUND):
        venue.account(number.to_bytes(20, "big"))
    last = (3 * ACCOUNTS_A_ROUND - 1).to_bytes(20, "big")
    venue.credit()
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    judge.compare(judge.cut(), final)
    assert venue.standings.of(last) is None
    judge.compare(judge.cut(), final)
    assert venue.standings.of(last) is not None


def test_who_differs_is_looked_at_until_he_does_not(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    for number in range(3 * ACCOUNTS_A_ROUND):
        venue.account(number.to_bytes(20, "big"))
    venue.engine.state.ledger.bring_in(venue.account(ALICE.address), 0, 1)
    for _ in range(4):
        compared(venue, judge)
        assert ALICE.address.hex() in str(judge.standing[venue.usd])


def test_a_difference_has_to_show_twice(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    venue.credit()
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    number = venue.account(ALICE.address)
    venue.engine.state.ledger.bring_in(number, 0, 1)
    assert judge.compare(judge.cut(), final) == []
    venue.engine.state.ledger.take_out(number, 0, 1)
    assert judge.compare(judge.cut(), final) == []
    assert judge.compare(judge.cut(), final) == []


def test_money_that_left_the_vault_unknown_to_the_ledger_is_seen(venue: Venue):
    judge = reconciler(venue)
    settled(venue)
    venue.credit()
    steal(venue, CAROL, venue.usd, 5 * 10**10)
    venue.devchain.mine(CONFIRMATIONS)

    whats = {difference.what for difference in compared(venue, judge)}
    assert whats == {"custody", f"account 0x{CAROL.address.hex()}"}


def test_tokens_that_nobody_deposited_are_shown_as_surplus(venue: Venue):
    judge = reconciler(venue)
    venue.mint(BOB, venue.usd, 7)
    pay = encode_call("transfer", venue.deployment.custodian, 7, contract="TestToken")
    assert transact(venue.devchain.chain, BOB, venue.usd, pay).succeeded
    venue.devchain.mine(CONFIRMATIONS)

    assert compared(venue, judge) == []
    assert judge.surplus == {"USD": 700, "TOKEN": 0}


def test_an_exit_is_no_difference(venue: Venue, clock: Clock):
    judge = reconciler(venue)
    venue.credit()
    exchange = venue.domain.contract
    request = encode_call("requestExit", venue.usd, 10**10)
    assert transact(venue.devchain.chain, ALICE, exchange, request).succeeded
    clock.ahead_ns += 7_300 * NS
    finish = encode_call("finishExit", ALICE.address, venue.usd)
    assert transact(venue.devchain.chain, BOB, exchange, finish).succeeded
    assert compared(venue, judge) == [], "not final yet, not booked yet"
    venue.devchain.mine(CONFIRMATIONS)
    number = venue.account(ALICE.address)
    venue.commit(command(Kind.EXIT_BEGIN, account=number), ExitEvidence(b"\x01" * 32, 0, 1))
    final = venue.devchain.chain.head().number - CONFIRMATIONS + 1
    judge.compare(judge.cut(), final)
    assert judge.compare(judge.cut(), final) != [], "paid there, not booked here"

    paid = command(Kind.EXIT_END, account=number, token=0, amount=10**10)
    venue.commit(paid, ExitEvidence(b"\x01" * 32, 1, 1))
    assert compared(venue, judge) == []
