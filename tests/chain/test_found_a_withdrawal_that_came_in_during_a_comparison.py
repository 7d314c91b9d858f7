"""Found: vault and ledger are compared on a thread of their own, and a withdrawal that was debited
at that moment changed what the comparison was walking over. That ended the process."""

import sys
import threading

import msgspec
import pytest

from settlement.orders.withdrawals import OpenWithdrawal
from settlement.repair.reversals import WithdrawalReversals

OPEN = 400
ROUNDS = 300


@pytest.fixture
def hasty():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def remembered(first):
    """Return the memory of ``OPEN`` withdrawals from number ``first`` on."""
    found = [
        OpenWithdrawal(number, number.to_bytes(20, "big"), bytes(20), 2, taken=1)
        for number in range(first, first + OPEN)
    ]
    return msgspec.msgpack.encode({"done": [], "open": found})


def test_a_withdrawal_may_come_in_while_vault_and_ledger_are_compared(hasty):
    reversals = WithdrawalReversals(
        *(None, None, bytes(20), 0, 1, None), newest=lambda: 0, now_ns=lambda: 0
    )
    reversals.load(remembered(0))
    is_over, faults = threading.Event(), []

    def compare():
        while not is_over.is_set() and not faults:
            try:
                assert len(reversals.shortened()) >= OPEN
            except RuntimeError as fault:
                faults.append(fault)

    comparing = threading.Thread(target=compare)
    comparing.start()
    for turn in range(1, ROUNDS):
        reversals.load(remembered(turn * OPEN))
    is_over.set()
    comparing.join()
    assert faults == []
