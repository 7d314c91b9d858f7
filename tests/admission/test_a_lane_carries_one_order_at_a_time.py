"""A lane half is busy while its order may trade; after that only a higher nonce may use it."""

import pytest

from engine.commands import Kind, command
from engine.types import Outcome, Side
from settlement.orders.nonces import LANE_FIRST, LANE_LAST, WIDE_STEP_MAX
from settlement.protocol.evidence import ExitEvidence, OrderBits
from tests.admission.fixtures import ALICE, BOB, LANE, NS, START, Driver, order_id_of, rejection


def resting(nonce=1, lane=LANE, **changes):
    return ALICE.order(Side.SELL, nonce=nonce, lane=lane, **changes)


def busy():
    driver = Driver()
    return driver, order_id_of(driver.place(resting()))


def test_a_second_order_is_refused_while_the_first_rests():
    driver, _ = busy()

    answer = driver.admit(resting(nonce=2))

    assert rejection(answer) == Outcome.LANE_BUSY
    assert answer.detail == {"lane": str(LANE), "nonce_open": "1"}


def test_a_second_order_is_refused_while_the_first_is_on_its_way_to_disk():
    driver = Driver()
    assert rejection(driver.admit(resting())) is None

    assert rejection(driver.admit(resting(nonce=2))) == Outcome.LANE_BUSY


def test_other_lanes_halves_and_accounts_are_free():
    driver, _ = busy()
    flags = int(OrderBits.SELL | OrderBits.UPPER_HALF)

    assert rejection(driver.asks(resting(lane=LANE + 1))) is None
    assert rejection(driver.asks(resting(flags=flags))) is None
    assert rejection(driver.asks(BOB.order(Side.SELL, lane=LANE))) is None


def test_a_cancel_frees_the_lane():
    driver, order_id = busy()
    driver.cancel(ALICE, order_id)

    assert rejection(driver.admit(resting(nonce=2))) is None


def test_only_the_last_fill_frees_the_lane():
    driver, _ = busy()
    driver.place(BOB.order(lots=9))
    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY

    driver.place(BOB.order(lots=1, nonce=2))
    assert rejection(driver.asks(resting(nonce=2))) is None


def test_expiry_frees_the_lane():
    driver = Driver()
    driver.place(resting(expiry=START + 10))
    driver.now_ns += 10 * NS
    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY, "still in the book"

    driver.commit(command(Kind.CLOCK))
    assert rejection(driver.asks(resting(nonce=2))) is None


def test_an_expired_maker_that_a_taker_swept_frees_its_lane():
    driver = Driver()
    driver.place(resting(expiry=START + 10))
    driver.now_ns += 10 * NS
    driver.place(BOB.order(lots=1))

    assert rejection(driver.asks(resting(nonce=2))) is None


def test_an_exit_frees_all_lanes():
    driver, _ = busy()
    driver.place(resting(lane=LANE + 1))
    driver.commit(command(Kind.EXIT_BEGIN, account=0), ExitEvidence(bytes(32), 0, 1))

    for lane in (LANE, LANE + 1):
        assert rejection(driver.asks(resting(nonce=2, lane=lane))) is None


def test_an_order_that_never_rests_frees_its_lane_at_once():
    driver = Driver()
    driver.place(resting())
    filled = BOB.order(lots=10, lane=LANE)
    refused = BOB.order(lots=10**10, ticks=4000, nonce=2, lane=LANE)
    own = ALICE.order(lots=5, lane=LANE + 1)
    driver.place(filled)
    assert rejection(driver.asks(BOB.order(nonce=2, lane=LANE))) is None, "filled on arrival"
    driver.place(refused)
    assert rejection(driver.asks(BOB.order(nonce=3, lane=LANE))) is None, "refused by the engine"
    driver.place(resting(nonce=2))
    driver.place(own)
    assert rejection(driver.asks(ALICE.order(nonce=2, lane=LANE + 1))) is None, "met its own order"


def test_the_lane_nonce_only_rises():
    driver = Driver()
    driver.cancel(ALICE, order_id_of(driver.place(resting(nonce=5))))

    for nonce in (1, 4, 5):
        answer = driver.admit(resting(nonce=nonce, lots=11))
        assert rejection(answer) == Outcome.NONCE_USED
        assert answer.detail == {"last": "5", "nonce": str(nonce)}
    assert rejection(driver.admit(resting(nonce=6))) is None


@pytest.mark.parametrize("lane", [0, 1, LANE_FIRST - 1, LANE_LAST + 1])
def test_a_number_that_is_no_lane_is_refused(lane):
    order = resting(flags=int(OrderBits.SELL), lane=lane)

    assert rejection(Driver().admit(order)) == Outcome.BAD_LANE


@pytest.mark.parametrize("lane", [LANE_FIRST, LANE_LAST])
def test_the_first_and_last_lane_are_good(lane):
    assert rejection(Driver().admit(resting(lane=lane))) is None


def test_a_nonce_may_follow_any_clock_and_is_never_far_ahead_of_it():
    """Found: one nonce of 2**64 - 1 closed a lane half for ever."""
    assert rejection(Driver().admit(resting(nonce=0))) == Outcome.BAD_NONCE
    for per_second in (1, 10**3, 10**6, NS):
        assert rejection(Driver().admit(resting(nonce=START * per_second))) is None
    farthest = START * NS + WIDE_STEP_MAX
    answer = Driver().admit(resting(nonce=farthest + 1))
    assert rejection(answer) == Outcome.NONCE_TOO_FAR
    assert answer.detail == {"highest": str(farthest), "nonce": str(farthest + 1)}
    assert rejection(Driver().admit(resting(nonce=farthest))) is None


def test_the_next_nonce_of_a_lane_and_its_order_are_told_after_a_restart_too():
    driver, order_id = busy()

    for seen_by in (driver, driver.replayed()):
        told = seen_by.admission.lane_now
        assert told(ALICE.address, LANE, upper_half=False) == (2, order_id)
        assert told(ALICE.address, LANE, upper_half=True) == (1, 0)


def test_an_order_is_taken_on_a_lane_whose_cancel_is_queued_ahead_of_it():
    driver, order_id = busy()
    driver.admission.cancel_queued(ALICE.address, order_id)

    second = resting(nonce=2)
    row = driver.admit(second)
    assert rejection(row) is None
    assert rejection(driver.asks(resting(nonce=3))) == Outcome.LANE_BUSY, "one is on its way"

    driver.cancel(ALICE, order_id)
    assert rejection(driver.asks(resting(nonce=3))) == Outcome.LANE_BUSY, "it still is"
    standing = order_id_of(driver.commit(row, second))
    assert rejection(driver.asks(resting(nonce=3))) == Outcome.LANE_BUSY, "it stands"
    assert driver.admission.lane_now(ALICE.address, LANE, upper_half=False) == (3, standing)
    assert driver.replayed().admission.save() == driver.admission.save()


def test_an_order_that_was_filled_ahead_of_its_cancel_leaves_the_lane_free_as_well():
    driver, order_id = busy()
    taker = BOB.order(lots=10)
    taking = driver.admit(taker)
    driver.admission.cancel_queued(ALICE.address, order_id)
    second = resting(nonce=2)
    row = driver.admit(second)

    driver.commit(taking, taker)
    assert driver.cancel(ALICE, order_id)[0]["outcome"] == Outcome.NOT_RESTING
    driver.admission.cancel_answered(order_id)
    order_id_of(driver.commit(row, second))

    assert rejection(driver.asks(resting(nonce=3))) == Outcome.LANE_BUSY


def test_an_order_taken_back_leaves_the_lane_as_its_cancel_will_find_it():
    driver, order_id = busy()
    driver.admission.cancel_queued(ALICE.address, order_id)
    second = resting(nonce=2)
    driver.admit(second)
    driver.admission.roll_back(second.digest)
    driver.admission.cancel_answered(order_id)

    assert rejection(driver.asks(second)) == Outcome.LANE_BUSY, "the cancel was not written either"
    driver.cancel(ALICE, order_id)
    assert rejection(driver.asks(second)) is None


def test_nobody_frees_another_accounts_lane():
    driver, order_id = busy()
    driver.admission.cancel_queued(BOB.address, order_id)

    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY
