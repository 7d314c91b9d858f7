"""A digest that was taken is known by its first answer; client ids stand for one open order."""

import msgspec
import pytest

from engine.commands import Kind
from engine.log_entries import event_rows
from engine.types import Outcome, Side
from settlement.orders.admission import Admission
from settlement.orders.first_answers import AGAIN_NS
from settlement.orders.standing import EXPIRIES_SPARE
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    LANE,
    NS,
    START,
    Driver,
    grant_for,
    order_id_of,
    rejection,
)

TOO_MUCH = {"lots": 10**10, "ticks": 4000}


def test_the_first_answer_is_kept_and_comes_back_after_a_replay():
    driver = Driver()
    order = ALICE.order(Side.SELL, lane=LANE)
    order_id = order_id_of(driver.place(order))
    driver.now_ns += NS
    driver.place(BOB.order(lots=10))

    for seen_by in (driver, driver.replayed()):
        first = seen_by.admission.first(order.digest)
        assert first.outcome == Outcome.ACCEPTED
        assert (first.order_id, first.time_ns) == (order_id, START * NS)
        assert first.sequence == driver.engine.sequence - 1


def test_the_first_answer_has_the_fills_and_the_rest_that_the_first_had():
    driver = Driver()
    driver.place(ALICE.order(Side.SELL, lots=3, lane=LANE))
    driver.place(ALICE.order(Side.SELL, lots=4, lane=LANE + 1))
    order = BOB.order(lots=10, lane=LANE)
    events = driver.place(order)
    driver.place(ALICE.order(Side.SELL, lots=1))

    for seen_by in (driver, driver.replayed()):
        assert seen_by.admission.first(order.digest).events() == event_rows(events)
    assert not driver.admission.may_try_again(order, driver.now_ns), "it was taken"


def test_an_order_on_its_way_has_no_answer_yet():
    driver = Driver()
    order = ALICE.order()
    driver.admit(order)

    assert driver.admission.first(order.digest) is None
    assert driver.admission.first(bytes(32)) is None


def refused(lane=0, **changes):
    driver = Driver()
    order = ALICE.order(lane=lane, **TOO_MUCH, **changes)
    driver.place(order)
    return driver, order


def test_an_order_that_the_engine_refused_may_be_tried_again_for_a_while():
    """Found: after the deposit that was missing it was still INSUFFICIENT_BALANCE."""
    for lane in (0, LANE):
        driver, order = refused(lane)
        for seen_by in (driver, driver.replayed()):
            first = seen_by.admission.first(order.digest)
            assert (first.outcome, first.order_id) == (Outcome.INSUFFICIENT_BALANCE, 0)
            assert seen_by.admission.may_try_again(order, driver.now_ns)
            assert rejection(seen_by.asks(order)) is None

        driver.now_ns += AGAIN_NS - NS
        driver.place(order)
        assert driver.admission.first(order.digest).sequence == driver.engine.sequence
        driver.now_ns += NS + 1
        for seen_by in (driver, driver.replayed()):
            late = seen_by.admission.may_try_again(order, driver.now_ns)
            assert not late, "trying again does not prolong it"
            assert rejection(seen_by.asks(order)) == Outcome.NONCE_USED


def test_a_refused_order_is_dead_behind_a_later_one():
    """Who has gone on does not expect it any more, and the chain might not take it."""
    for lane in (0, LANE):
        driver, order = refused(lane)
        driver.place(ALICE.order(nonce=2, lane=lane))
        assert not driver.admission.may_try_again(order, driver.now_ns)
        assert rejection(driver.asks(order)) == Outcome.NONCE_USED


def test_a_refused_order_is_dead_when_the_chain_cancels_its_nonce():
    for lane in (0, LANE):
        driver, order = refused(lane)
        driver.admission.cancelled_on_chain(ALICE.address, lane, upper_half=False, nonce=1)
        assert not driver.admission.may_try_again(order, driver.now_ns)


def test_an_order_is_taken_at_the_second_try_as_if_it_were_the_first():
    driver = Driver()
    order = ALICE.order(lots=10**8, ticks=1000, lane=LANE, client_id="tea")
    driver.commit(as_refused(driver.admit(order)), order)
    assert driver.admission.first(order.digest).outcome == Outcome.FEE_CAP_TOO_LOW

    row = driver.admit(order)
    assert (
        rejection(driver.asks(ALICE.order(nonce=2, client_id="tea"))) == Outcome.DUPLICATE_CLIENT_ID
    )
    order_id = order_id_of(driver.commit(row, order))

    for seen_by in (driver, driver.replayed()):
        first = seen_by.admission.first(order.digest)
        assert (first.outcome, first.order_id) == (Outcome.ACCEPTED, order_id)
        assert not seen_by.admission.may_try_again(order, driver.now_ns)
        assert rejection(seen_by.asks(ALICE.order(nonce=2, lane=LANE))) == Outcome.LANE_BUSY
    assert driver.replayed().admission.save() == driver.admission.save()


def as_refused(row):
    """Return a PLACE row that the engine will refuse, whatever was signed."""
    row = row.copy()
    row["fee_cap_ppm"] = 0
    return row


def test_a_second_try_that_is_taken_back_leaves_the_first_refusal():
    driver, order = refused(LANE)
    before = driver.admission.save()
    driver.admit(order)
    assert driver.admission.save() == before, "what is in flight is no part of a snapshot"
    driver.admission.roll_back(order.digest)

    assert driver.admission.save() == before
    assert driver.admission.may_try_again(order, driver.now_ns)


def test_what_broke_an_assertion_is_never_tried_again():
    driver = Driver()
    order = ALICE.order(lane=LANE)
    row = driver.admit(order)
    row["kind"] = Kind.POISON
    driver.commit(row, order)

    assert driver.admission.first(order.digest).outcome == Outcome.POISONED
    assert not driver.admission.may_try_again(order, driver.now_ns)


@pytest.mark.parametrize("lane", [0, LANE])
def test_found_the_answer_to_a_second_try_was_the_oldest_and_forgotten_at_once(lane):
    """Found: the order's end asked for it then, which ended the process, and each one after it that
    replayed the journal."""
    driver = Driver()
    driver.admission = Admission(driver.catalog, driver.keys, answers_max=3)
    for batch in driver.history:
        driver.admission.consume(batch)
    order = ALICE.order(lots=5, ticks=100, lane=lane, client_id="tea")
    driver.commit(as_refused(driver.admit(order)), order)
    resting = [
        order_id_of(driver.place(BOB.order(Side.SELL, ticks=200, lane=LANE + number)))
        for number in range(4)
    ]
    for nonce in range(1, 3):
        driver.place(BOB.order(nonce=nonce))
    for order_id in resting:
        driver.cancel(BOB, order_id)

    order_id = order_id_of(driver.place(order))
    if lane:
        driver.cancel(ALICE, order_id)
    assert driver.admission.first(order.digest).order_id == order_id
    again = ALICE.order(nonce=9, client_id="tea")
    assert rejection(driver.asks(again)) == Outcome.DUPLICATE_CLIENT_ID


def test_answers_are_bounded_and_those_to_open_orders_outlive_the_rest():
    driver = Driver()
    driver.admission = Admission(driver.catalog, driver.keys, answers_max=3)
    for batch in driver.history:
        driver.admission.consume(batch)
    standing = ALICE.order(Side.SELL, ticks=200, lane=LANE)
    driver.place(standing)
    shots = [ALICE.order(nonce=nonce) for nonce in range(1, 9)]
    for shot in shots:
        driver.place(shot)

    known = [driver.admission.first(shot.digest) is not None for shot in shots]
    assert known == [False] * 5 + [True] * 3
    assert driver.admission.first(standing.digest) is not None
    assert rejection(driver.asks(shots[0])) == Outcome.NONCE_USED, (
        "it is taken once, remembered or not"
    )


def test_expiries_of_orders_that_left_are_not_kept():
    """Found: each order left its expiry behind until then, were it in a year."""
    driver = Driver()
    for nonce in range(1, EXPIRIES_SPARE + 100):
        order = msgspec.structs.replace(
            TEMPLATE, nonce=nonce, digest=nonce.to_bytes(32, "big"), expiry=START + 86_400
        )
        driver.cancel(ALICE, order_id_of(driver.place(order)))

    assert driver.admission.standing.expiry_count <= EXPIRIES_SPARE


def test_a_key_that_signed_a_refused_order_has_its_notional_for_the_second_try():
    driver = Driver()
    order = ALICES_KEY.order(lane=LANE)
    cap = order.quote_amount
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    driver.commit(as_refused(driver.admit(order)), order)
    assert driver.admission.budgets.left(ALICE.address, ALICES_KEY.address) == cap
    driver.place(order)
    for seen_by in (driver, driver.replayed()):
        assert seen_by.admission.budgets.left(ALICE.address, ALICES_KEY.address) == 0


TEMPLATE = ALICE.order(Side.SELL, lane=LANE)
