"""Is a lane busy exactly while its order stands, hidden, armed, replaced or poisoned?"""

import numpy as np

from engine.commands import Kind, command
from engine.types import OrderFlag, Outcome, Side
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    LANE,
    NS,
    START,
    TICK_PIPS,
    Driver,
    grant_for,
    order_id_of,
    rejection,
)


def resting(nonce=1, lane=LANE, **changes):
    return ALICE.order(Side.SELL, nonce=nonce, lane=lane, **changes)


def as_stop(row: np.void, trigger: int) -> np.void:
    """Return a PLACE row as that of a stop."""
    row["flags"] |= OrderFlag.STOP
    row["order_id"] = trigger
    return row


def replayed_alike(driver: Driver) -> None:
    """Assert that a restart would remember the same lanes."""
    order = resting(nonce=9)
    assert rejection(driver.asks(order)) == rejection(driver.replayed().asks(order))


def test_an_armed_stop_keeps_its_lane_until_it_has_traded():
    driver = Driver()
    order = ALICE.order(Side.BUY, lots=3, ticks=105, lane=LANE)
    driver.commit(as_stop(driver.admit(order), 101), order)
    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY

    driver.place(BOB.order(Side.SELL, lots=9, ticks=101, lane=LANE))
    driver.place(BOB.order(Side.SELL, lots=9, ticks=101, lane=LANE + 1))
    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY, "nothing has traded"
    carol = ALICE.order(Side.BUY, lots=1, ticks=101, nonce=1)
    driver.place(carol)

    assert rejection(driver.asks(resting(nonce=2))) is None
    replayed_alike(driver)


def test_an_armed_stop_that_is_cancelled_frees_its_lane_and_its_keys_notional():
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, lane=LANE)
    stop = order_id_of(driver.commit(as_stop(driver.admit(order), 101), order))
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0
    assert driver.admission.open_orders_of_key(ALICE.account, ALICES_KEY.address) == [stop]

    driver.cancel(ALICE, stop)

    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap
    assert rejection(driver.asks(resting(nonce=2))) is None


def test_a_stop_that_wakes_and_is_dropped_gives_the_rest_back():
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, nonce=1)
    driver.commit(as_stop(driver.admit(order), 101), order)
    driver.place(BOB.order(Side.SELL, lots=4, ticks=101, lane=LANE))
    driver.place(ALICE.order(Side.BUY, lots=1, ticks=101, nonce=2))

    used = 3 * 105 * TICK_PIPS
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used


def test_a_hidden_rest_is_given_back_with_the_visible_one():
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, lane=LANE)
    row = driver.admit(order)
    row["flags"] |= OrderFlag.ICEBERG
    row["order_id"] = 2
    iceberg = order_id_of(driver.commit(row, order))
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0

    driver.place(BOB.order(Side.SELL, lots=3, ticks=105, nonce=1))
    driver.cancel(ALICE, iceberg)

    used = 3 * 105 * TICK_PIPS
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used


def replacement(driver: Driver, order_id: int, order) -> np.void:
    """Return the REPLACE that puts ``order`` in the place of another."""
    row = driver.admission.admit(order, driver.now_ns)
    assert not rejection(row), row
    row["kind"], row["order_id"] = Kind.REPLACE, order_id
    row["market"] = row["side"] = 0
    return row


def test_a_replacement_takes_its_own_lane_and_frees_the_old_one():
    driver = Driver()
    old = order_id_of(driver.place(resting()))
    order = resting(nonce=1, lane=LANE + 1, ticks=104)

    driver.commit(replacement(driver, old, order), order)

    assert rejection(driver.asks(resting(nonce=2))) is None
    assert rejection(driver.asks(resting(nonce=2, lane=LANE + 1))) == Outcome.LANE_BUSY
    replayed_alike(driver)


def test_a_refused_replacement_leaves_both_as_they_were():
    driver = Driver()
    old = order_id_of(driver.place(resting()))
    order = resting(nonce=1, lane=LANE + 1, lots=10**9)
    row = replacement(driver, old, order)
    row["fee_cap_ppm"] = 0

    driver.commit(row, order)

    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY
    assert rejection(driver.asks(resting(nonce=2, lane=LANE + 1))) is None
    assert driver.admission.first(order.digest).outcome == Outcome.FEE_CAP_TOO_LOW


def test_a_poisoned_order_has_its_answer_and_its_nonce_is_spent():
    driver = Driver()
    order = resting()
    row = driver.admit(order)
    row["kind"] = Kind.POISON

    driver.commit(row, order)

    assert driver.admission.first(order.digest).outcome == Outcome.POISONED
    assert rejection(driver.asks(resting(lots=11))) == Outcome.NONCE_USED
    assert rejection(driver.asks(resting(nonce=2))) is None, "the lane is free"
    replayed_alike(driver)


def test_a_dead_mans_switch_in_front_of_an_order_is_not_its_answer():
    driver = Driver()
    driver.place(resting())
    driver.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=(START + 5) * NS))
    driver.now_ns += 5 * NS
    order = resting(nonce=1, lane=LANE + 1)

    events = driver.place(order)

    assert events[0]["outcome"] == Outcome.CANCELLED_AFTER
    first = driver.admission.first(order.digest)
    assert first.outcome == Outcome.ACCEPTED and first.order_id > 0
    assert rejection(driver.asks(resting(nonce=2))) is None, "the switch has freed it"
    assert rejection(driver.asks(resting(nonce=2, lane=LANE + 1))) == Outcome.LANE_BUSY
    replayed_alike(driver)
