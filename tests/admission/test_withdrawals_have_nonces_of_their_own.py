"""A withdrawal is good once: its nonce lies above the account's last, after a restart too."""

from engine.commands import Kind, command
from engine.types import Outcome
from tests.admission.fixtures import ALICE, BOB, Driver


def withdraw(driver, owner, nonce, amount=1):
    withdrawal = owner.withdrawal(amount, nonce=nonce)
    refused = driver.admission.admit_withdrawal(withdrawal, driver.now_ns)
    if refused is None:
        account = driver.catalog.account_number(owner.address)
        driver.commit(command(Kind.WITHDRAW, account=account, token=0, amount=amount), withdrawal)
    return refused


def test_a_nonce_at_or_below_the_last_is_refused():
    driver = Driver()
    assert withdraw(driver, ALICE, 5) is None

    for seen_by in (driver, driver.replayed()):
        for nonce in (0, 1, 5):
            refused = withdraw(seen_by, ALICE, nonce)
            assert refused.outcome == Outcome.NONCE_USED
            assert refused.detail == {"last": "5", "nonce": str(nonce)}
        assert withdraw(seen_by, ALICE, 6) is None


def test_the_next_nonce_is_told_and_none_is_far_ahead():
    """Found: no one said which nonce a withdrawal takes; 2**64 - 1 was the last for ever."""
    driver = Driver()
    assert withdraw(driver, ALICE, 7) is None

    for seen_by in (driver, driver.replayed()):
        assert seen_by.admission.next_withdrawal_nonce(ALICE.address) == 8
        assert withdraw(seen_by, ALICE, 2**64 - 1).outcome == Outcome.NONCE_TOO_FAR
    assert withdraw(driver, ALICE, driver.now_ns) is None, "a clock will do"


def test_accounts_and_orders_do_not_share_the_nonce():
    driver = Driver()
    driver.place(ALICE.order(nonce=50))

    assert withdraw(driver, ALICE, 1) is None
    assert withdraw(driver, BOB, 1) is None


def test_a_withdrawal_that_the_engine_refuses_has_spent_its_nonce():
    driver = Driver()
    assert withdraw(driver, ALICE, 1, amount=10**17) is None

    for seen_by in (driver, driver.replayed()):
        assert withdraw(seen_by, ALICE, 1).outcome == Outcome.NONCE_USED
