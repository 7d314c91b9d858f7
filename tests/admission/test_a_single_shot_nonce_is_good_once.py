"""A single-shot nonce is good once, in any order within a window of 24, as on chain."""

import pytest

from engine.types import Outcome
from settlement.orders.nonces import (
    SINGLE_SHOT_CLOCK_NS,
    SINGLE_SHOT_NONCE_MAX,
    SINGLE_SHOT_STEP_MAX,
    WINDOW_SIZE,
    Nonces,
    Window,
)
from tests.admission.fixtures import ALICE, BOB, LANE, NS, START, TOKEN, Driver, rejection

CLOCK = START * NS // SINGLE_SHOT_CLOCK_NS


def test_a_nonce_is_good_once_and_a_later_one_leaves_those_before_it_good():
    """Found: two threads that send single shots raced, though the contract has a window."""
    driver = Driver()
    driver.place(ALICE.order(nonce=100))

    for nonce in (100, 100 - WINDOW_SIZE, 1):
        for seen_by in (driver, driver.replayed()):
            again = ALICE.order(nonce=nonce, lots=11)
            assert rejection(seen_by.asks(again)) == Outcome.NONCE_USED
    for nonce in (101 - WINDOW_SIZE, 99, 98, 105, 101):
        driver.place(ALICE.order(nonce=nonce))
    for nonce in (101 - WINDOW_SIZE, 98, 99, 100, 101, 105):
        assert rejection(driver.asks(ALICE.order(nonce=nonce, lots=11))) == Outcome.NONCE_USED


def test_the_window_is_that_of_the_contract():
    window, spent = Window(), set()
    for nonce in (3, 1, 2, 20, 4, 28, 5, 4, 6, 60, 36, 37, 59, 10**9, 10**9 - 23, 10**9 - 24):
        highest = max(spent, default=0)
        good = nonce not in spent and nonce > highest - WINDOW_SIZE
        assert window.has_spent(nonce) != good, nonce
        if good:
            window = window.spent(nonce)
            spent.add(nonce)


def test_the_refusal_names_the_last_nonce():
    driver = Driver()
    driver.place(ALICE.order(nonce=70))

    assert driver.admit(ALICE.order(nonce=3)).detail == {"last": "70", "nonce": "3"}


def test_nonces_belong_to_one_account():
    driver = Driver()
    driver.place(ALICE.order(nonce=100))

    assert rejection(driver.admit(BOB.order(nonce=1))) is None


def test_the_next_nonce_is_always_free():
    driver = Driver()
    assert driver.admission.next_nonce(ALICE.address) == 1
    for _ in range(3):
        driver.place(ALICE.order(nonce=driver.admission.next_nonce(ALICE.address) + 4))
    for seen_by in (driver, driver.replayed()):
        assert seen_by.admission.next_nonce(ALICE.address) == 16


def test_an_order_that_the_engine_refuses_has_spent_its_nonce_for_all_others():
    driver = Driver()
    events = driver.place(ALICE.order(lots=10**10, ticks=4000, nonce=1))

    assert events[0]["outcome"] == Outcome.INSUFFICIENT_BALANCE
    assert rejection(driver.admit(ALICE.order(nonce=1))) == Outcome.NONCE_USED


@pytest.mark.parametrize("nonce", [0, SINGLE_SHOT_NONCE_MAX + 1, START * 1000])
def test_a_nonce_that_no_window_holds_is_refused(nonce):
    assert rejection(Driver().admit(ALICE.order(nonce=nonce))) == Outcome.BAD_NONCE


def test_a_clock_of_hundredths_is_a_nonce_and_nothing_far_ahead_of_it():
    """Found: one nonce of 2**40 - 1 left its account none, for ever."""
    driver = Driver()
    farthest = CLOCK + SINGLE_SHOT_STEP_MAX

    for nonce in (farthest + 1, SINGLE_SHOT_NONCE_MAX):
        answer = driver.asks(ALICE.order(nonce=nonce))
        assert rejection(answer) == Outcome.NONCE_TOO_FAR
        assert answer.detail == {"highest": str(farthest), "nonce": str(nonce)}
    for nonce in (START, CLOCK, farthest, farthest + SINGLE_SHOT_STEP_MAX):
        driver.place(ALICE.order(nonce=nonce))


def test_a_window_at_its_end_says_so():
    nonces = Nonces()
    last = SINGLE_SHOT_NONCE_MAX
    nonces.cancelled_on_chain((ALICE.address, 0, 0), last - 2)
    nonces.spend(ALICE.order(nonce=last))
    assert nonces.next_single_shot(ALICE.address) == last - 1
    nonces.spend(ALICE.order(nonce=last - 1))
    assert nonces.next_single_shot(ALICE.address) == 0, "none is left"


def test_what_was_cancelled_on_chain_stays_so_when_an_order_is_taken_back():
    driver = Driver()
    order = ALICE.order(nonce=3)
    driver.admit(order)
    driver.admission.cancelled_on_chain(ALICE.address, 0, upper_half=False, nonce=9)
    driver.admission.roll_back(order.digest)

    assert rejection(driver.asks(order)) == Outcome.NONCE_USED
    assert driver.admission.next_nonce(ALICE.address) == 10


def test_a_single_shot_order_has_no_lane():
    driver = Driver()
    order = ALICE.order()
    on_lane = ALICE.order(lane=LANE, flags=order.flags)

    assert rejection(driver.admit(on_lane)) == Outcome.BAD_LANE


def test_lane_nonces_and_single_shot_nonces_are_apart():
    driver = Driver()
    driver.place(ALICE.order(nonce=50, lane=LANE))

    assert rejection(driver.admit(ALICE.order(nonce=1))) is None


def test_one_that_never_reached_the_journal_takes_no_younger_nonce_with_it():
    """An answer is heard a turn after it is given, and in that turn the next may be admitted."""
    driver = Driver()
    first, second = ALICE.order(nonce=5), ALICE.order(nonce=6)
    assert rejection(driver.admit(first)) is None
    assert rejection(driver.admit(second)) is None
    driver.admission.roll_back(first.digest)
    assert rejection(driver.admit(ALICE.order(nonce=6, lots=11))) == Outcome.NONCE_USED

    withdraw = driver.admission.admit_withdrawal
    earlier, later = ALICE.withdrawal(nonce=5), ALICE.withdrawal(nonce=6, token=TOKEN)
    assert withdraw(earlier, driver.now_ns) is None
    assert withdraw(later, driver.now_ns) is None
    driver.admission.roll_back(earlier.digest)
    assert rejection(withdraw(ALICE.withdrawal(nonce=6), driver.now_ns)) == Outcome.NONCE_USED
