"""What if a token would not pay a receiver? Nobody signs or pays gas, and the money is back."""

import pytest

from engine.commands import Kind, command
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import WithdrawalReturned
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, CAROL, DELAYS, Venue, transact


@pytest.fixture
def venue(tmp_path, anvil: DevChain, clock: Clock):
    built = Venue(tmp_path, anvil, clock)
    built.fund()
    built.deposit(CAROL, built.usd, 10**12)
    built.credit()
    yield built
    built.close()


def give_back(venue: Venue) -> list[str]:
    """Do what the gateway does with what is due; return why."""
    reasons = []
    for due in venue.settler.reversals_due():
        token = venue.catalog.token_by_address(due.token)
        row = command(Kind.DEPOSIT, account=venue.account(due.account), amount=due.amount)
        row["token"] = token.number
        venue.commit(row, WithdrawalReturned(due.sequence, due.reason))
        reasons.append(due.reason)
    return reasons


def test_found_the_operator_paid_for_a_refusal_it_could_have_known(venue: Venue, clock: Clock):
    before = venue.engine.available(venue.account(CAROL.address), 0)
    refused = venue.withdraw(CAROL, venue.usd, 100, nonce=1, expires_in_s=600, to=bytes(20))
    assert refused[0]["amount"] == 100
    venue.withdraw(ALICE, venue.usd, 100, nonce=1, expires_in_s=600)

    until(lambda: not venue.settler.step())
    reasons = give_back(venue)
    until(lambda: not venue.settler.step())

    assert len(reasons) == 1 and "ERC20InvalidReceiver" in reasons[0]
    assert venue.engine.available(venue.account(CAROL.address), 0) == before
    assert venue.settler.reversals_due() == []
    sequence = int(refused[0]["sequence"])
    assert venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence)) is None, "nobody signed"
    assert venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence + 1)) is not None, (
        "the next is paid"
    )


def test_one_that_has_expired_while_it_waited_is_given_back_at_once(venue: Venue, clock: Clock):
    venue.withdraw(CAROL, venue.usd, 100, nonce=1, expires_in_s=5)
    clock.ahead_ns += 10 * 10**9

    until(lambda: not venue.settler.step())

    assert [reason.partition("(")[0] for reason in give_back(venue)] == ["Expired"]


def test_found_what_an_exit_is_to_take_was_countersigned_too(venue: Venue):
    """The ledger learns of an exit when it is deep enough, and after a pause when it catches up."""
    ask = encode_call("requestExit", venue.usd, 10**12)
    assert transact(venue.chain, CAROL, venue.domain.contract, ask).succeeded
    withdrawn = venue.withdraw(CAROL, venue.usd, 100, nonce=1, expires_in_s=600)

    until(lambda: not venue.settler.step())

    assert give_back(venue) == ["an exit of the same money is open"]
    sequence = int(withdrawn[0]["sequence"])
    assert venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence)) is None, "nobody signed"
    cancel = encode_call("cancelExit", venue.usd)
    assert transact(venue.chain, CAROL, venue.domain.contract, cancel).succeeded
    venue.withdraw(CAROL, venue.usd, 100, nonce=2, expires_in_s=600)
    until(lambda: not venue.settler.step())
    assert venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence + 2)) is not None


def test_one_of_an_older_journal_that_outlasts_an_exit_is_given_back(venue: Venue):
    venue.withdraw(CAROL, venue.usd, 100, nonce=1, expires_in_s=DELAYS.exit)

    until(lambda: not venue.settler.step())

    assert give_back(venue) == ["it lasts longer than 3600 s"]
