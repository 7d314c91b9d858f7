"""What if a token would not pay a receiver? Nobody signs or pays gas, and the money is back."""

import pytest

from engine.commands import Kind, command
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import WithdrawalReturned
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, CAROL, DELAYS, Road, transact


@pytest.fixture
def road(tmp_path, anvil: DevChain, clock: Clock):
    built = Road(tmp_path, anvil, clock)
    built.fund()
    built.deposit(CAROL, built.usd, 10**12)
    built.credit()
    yield built
    built.close()


def give_back(road: Road) -> list[str]:
    """Do what the gateway does with what is due; return why."""
    reasons = []
    for due in road.settler.reversals_due():
        token = road.catalog.token_by_address(due.token)
        row = command(Kind.DEPOSIT, account=road.account(due.account), amount=due.amount)
        row["token"] = token.number
        road.commit(row, WithdrawalReturned(due.sequence, due.reason))
        reasons.append(due.reason)
    return reasons


def test_found_the_operator_paid_for_a_refusal_it_could_have_known(road: Road, clock: Clock):
    before = road.engine.available(road.account(CAROL.address), 0)
    refused = road.withdraw(CAROL, road.usd, 100, nonce=1, expires_in_s=600, to=bytes(20))
    assert refused[0]["amount"] == 100
    road.withdraw(ALICE, road.usd, 100, nonce=1, expires_in_s=600)

    until(lambda: not road.settler.step())
    reasons = give_back(road)
    until(lambda: not road.settler.step())

    assert len(reasons) == 1 and "ERC20InvalidReceiver" in reasons[0]
    assert road.engine.available(road.account(CAROL.address), 0) == before
    assert road.settler.reversals_due() == []
    sequence = int(refused[0]["sequence"])
    assert road.outbox.find(ActionKind.WITHDRAWAL, str(sequence)) is None, "nobody signed"
    assert road.outbox.find(ActionKind.WITHDRAWAL, str(sequence + 1)) is not None, (
        "the next is paid"
    )


def test_one_that_has_expired_while_it_waited_is_given_back_at_once(road: Road, clock: Clock):
    road.withdraw(CAROL, road.usd, 100, nonce=1, expires_in_s=5)
    clock.ahead_ns += 10 * 10**9

    until(lambda: not road.settler.step())

    assert [reason.partition("(")[0] for reason in give_back(road)] == ["Expired"]


def test_found_what_an_exit_is_to_take_was_countersigned_too(road: Road):
    """The ledger learns of an exit when it is deep enough, and after a pause when it catches up."""
    ask = encode_call("requestExit", road.usd, 10**12)
    assert transact(road.chain, CAROL, road.domain.contract, ask).succeeded
    withdrawn = road.withdraw(CAROL, road.usd, 100, nonce=1, expires_in_s=600)

    until(lambda: not road.settler.step())

    assert give_back(road) == ["an exit of the same money is open"]
    sequence = int(withdrawn[0]["sequence"])
    assert road.outbox.find(ActionKind.WITHDRAWAL, str(sequence)) is None, "nobody signed"
    cancel = encode_call("cancelExit", road.usd)
    assert transact(road.chain, CAROL, road.domain.contract, cancel).succeeded
    road.withdraw(CAROL, road.usd, 100, nonce=2, expires_in_s=600)
    until(lambda: not road.settler.step())
    assert road.outbox.find(ActionKind.WITHDRAWAL, str(sequence + 2)) is not None


def test_one_of_an_older_journal_that_outlasts_an_exit_is_given_back(road: Road):
    road.withdraw(CAROL, road.usd, 100, nonce=1, expires_in_s=DELAYS.exit)

    until(lambda: not road.settler.step())

    assert give_back(road) == ["it lasts longer than 3600 s"]
