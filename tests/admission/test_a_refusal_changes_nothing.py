"""Whatever is refused, admission knows afterwards exactly what it knew before."""

from copy import deepcopy

import pytest

from engine.types import Side
from settlement.orders.nonces import Rejection
from settlement.orders.session_keys import MAY_BUY
from settlement.protocol.evidence import OrderBits
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOBS_KEY,
    LANE,
    OTHER,
    START,
    STRANGER,
    Driver,
    grant_for,
    state_of,
)

CHEAP = 10 * 100 * 100
REFUSED = {
    "unknown market": ALICE.order(nonce=9, base=OTHER),
    "unknown flags": ALICE.order(nonce=9, flags=16),
    "client id taken": ALICE.order(nonce=9, client_id="mine"),
    "nonce too far": ALICE.order(nonce=2**40 - 1),
    "expires too late": ALICE.order(nonce=9, expiry=START + 31 * 86_400),
    "expired": ALICE.order(nonce=9, expiry=START),
    "off lot": ALICE.order(nonce=9, base_amount=1),
    "off tick": ALICE.order(nonce=9, quote_amount=1),
    "nonce used": ALICE.order(nonce=2, lots=11),
    "nonce out of range": ALICE.order(nonce=0),
    "no lane": ALICE.order(nonce=9, flags=int(OrderBits.SELL)),
    "lane busy": ALICE.order(Side.SELL, nonce=9, lane=LANE),
    "lane nonce used": ALICE.order(Side.SELL, nonce=1, lane=LANE, lots=11),
    "unknown key": BOBS_KEY.order(nonce=9),
    "wrong side": ALICES_KEY.order(Side.SELL, nonce=9),
    "outlives the key": ALICES_KEY.order(nonce=9, expiry=START + 7201),
    "notional used up": ALICES_KEY.order(nonce=9, lots=11),
    "unknown account": STRANGER.order(nonce=9),
}


@pytest.fixture(scope="module")
def lived():
    driver = Driver()
    driver.grant(grant_for(ALICES_KEY, sides=MAY_BUY, notional_cap=CHEAP))
    driver.place(ALICE.order(nonce=2))
    driver.place(ALICE.order(Side.SELL, nonce=1, lane=LANE, client_id="mine"))
    return driver


@pytest.mark.parametrize("why", REFUSED)
def test_nothing_is_different_afterwards(lived, why):
    before = deepcopy(state_of(lived.admission))

    assert isinstance(lived.admit(REFUSED[why]), Rejection)

    assert state_of(lived.admission) == before


def test_a_refused_withdrawal_changes_nothing(lived):
    driver = deepcopy(lived)
    assert driver.admission.admit_withdrawal(ALICE.withdrawal(nonce=5), driver.now_ns) is None
    before = deepcopy(state_of(driver.admission))

    assert isinstance(
        driver.admission.admit_withdrawal(ALICE.withdrawal(nonce=5), driver.now_ns), Rejection
    )

    assert state_of(driver.admission) == before


def test_an_admission_is_noticed_by_this_comparison(lived):
    driver = deepcopy(lived)
    before = deepcopy(state_of(driver.admission))

    driver.place(ALICES_KEY.order(nonce=9))

    assert state_of(driver.admission) != before
