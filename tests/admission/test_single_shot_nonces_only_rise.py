"""A single-shot order spends a nonce above the account's last, whatever becomes of the order."""

import pytest

from engine.types import Outcome
from settlement.admission import SINGLE_SHOT_NONCE_MAX
from tests.admission.rig import ALICE, BOB, LANE, Desk, refusal


def test_a_nonce_is_good_once():
    desk = Desk()
    desk.place(ALICE.order(nonce=7))

    for nonce in (1, 6, 7):
        again = ALICE.order(nonce=nonce, lots=11)
        assert refusal(desk.admit(again)) == Outcome.NONCE_USED
    assert refusal(desk.admit(ALICE.order(nonce=8))) is None


def test_the_refusal_names_the_last_nonce():
    desk = Desk()
    desk.place(ALICE.order(nonce=7))

    assert desk.admit(ALICE.order(nonce=3)).detail == {"last": "7", "nonce": "3"}


def test_nonces_belong_to_one_account():
    desk = Desk()
    desk.place(ALICE.order(nonce=100))

    assert refusal(desk.admit(BOB.order(nonce=1))) is None


def test_the_next_nonce_is_always_free():
    desk = Desk()
    assert desk.admission.next_nonce(ALICE.address) == 1
    for _ in range(3):
        desk.place(ALICE.order(nonce=desk.admission.next_nonce(ALICE.address) + 4))
    assert desk.admission.next_nonce(ALICE.address) == 16


def test_an_order_that_the_engine_refuses_has_spent_its_nonce():
    desk = Desk()
    events = desk.place(ALICE.order(lots=10**10, ticks=4000, nonce=1))

    assert events[0]["outcome"] == Outcome.INSUFFICIENT_BALANCE
    assert refusal(desk.admit(ALICE.order(nonce=1))) == Outcome.NONCE_USED


@pytest.mark.parametrize("nonce", [0, SINGLE_SHOT_NONCE_MAX + 1])
def test_a_nonce_that_no_window_holds_is_refused(nonce):
    assert refusal(Desk().admit(ALICE.order(nonce=nonce))) == Outcome.BAD_NONCE


def test_the_largest_nonce_is_good():
    assert refusal(Desk().admit(ALICE.order(nonce=SINGLE_SHOT_NONCE_MAX))) is None


def test_a_single_shot_order_has_no_lane():
    desk = Desk()
    order = ALICE.order()
    on_lane = ALICE.order(lane=LANE, flags=order.flags)

    assert refusal(desk.admit(on_lane)) == Outcome.BAD_LANE


def test_lane_nonces_and_single_shot_nonces_are_apart():
    desk = Desk()
    desk.place(ALICE.order(nonce=50, lane=LANE))

    assert refusal(desk.admit(ALICE.order(nonce=1))) is None
