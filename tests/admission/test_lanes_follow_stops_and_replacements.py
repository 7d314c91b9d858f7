"""Is a lane busy exactly while its order stands, hidden, armed, replaced or poisoned?"""

import numpy as np
import pytest

from engine.commands import Kind, command
from engine.types import Outcome, Side
from settlement.protocol.evidence import OrderBits
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


def stop(who=ALICE, lots=10, trigger=101, bits=0, **changes):
    """Return a signed stop that buys at 105 at most."""
    bits |= OrderBits.STOP
    return who.order(
        Side.BUY, lots=lots, ticks=105, lane=LANE, bits=bits, trigger=trigger, **changes
    )


def replayed_alike(driver: Driver) -> None:
    """Assert that a restart would remember the same lanes."""
    order = resting(nonce=9)
    assert rejection(driver.asks(order)) == rejection(driver.replayed().asks(order))


def test_an_armed_stop_keeps_its_lane_until_it_has_traded():
    driver = Driver()
    driver.place(stop(lots=3))
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
    armed = order_id_of(driver.place(stop(ALICES_KEY)))
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0
    assert driver.admission.open_orders_of_key(ALICE.account, ALICES_KEY.address) == [armed]

    driver.cancel(ALICE, armed)

    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap
    assert rejection(driver.asks(resting(nonce=2))) is None


@pytest.mark.parametrize(
    ("bits", "lots_used"), [(OrderBits.IMMEDIATE, 3), (OrderBits.FILL_OR_KILL, 0)]
)
def test_a_stop_that_wakes_and_is_dropped_frees_all_that_it_held(bits, lots_used):
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = stop(ALICES_KEY, bits=bits)
    driver.place(order)
    driver.place(BOB.order(Side.SELL, lots=4, ticks=101, lane=LANE))
    driver.place(ALICE.order(Side.BUY, lots=1, ticks=101, nonce=2))

    used = lots_used * 105 * TICK_PIPS
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used
    assert driver.admission.open_orders_of_key(ALICE.account, ALICES_KEY.address) == []
    assert rejection(driver.asks(resting(nonce=2))) is None, "the lane is free"
    replayed_alike(driver)


def test_a_stop_that_wakes_and_rests_keeps_its_lane_and_its_keys_notional():
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order_id = order_id_of(driver.place(stop(ALICES_KEY)))
    driver.place(BOB.order(Side.SELL, lots=4, ticks=101, lane=LANE))
    driver.place(ALICE.order(Side.BUY, lots=1, ticks=101, nonce=2))

    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0
    assert rejection(driver.asks(resting(nonce=2))) == Outcome.LANE_BUSY
    driver.cancel(ALICE, order_id)
    used = 3 * 105 * TICK_PIPS
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used
    replayed_alike(driver)


def test_a_stop_that_is_never_triggered_leaves_when_it_expires():
    driver = Driver()
    driver.place(stop(expiry=START + 5))
    driver.now_ns += 5 * NS
    assert driver.admission.has_expired(driver.now_ns)

    driver.commit(command(Kind.CLOCK))

    assert not driver.admission.has_expired(driver.now_ns)
    assert rejection(driver.asks(resting(nonce=2))) is None
    replayed_alike(driver)


def test_a_key_has_back_what_its_order_asks_for_at_its_own_limit():
    """Found: a sale that was priced again and cancelled gave back its price in the book, which was
    more than it had taken; the contract would have refused what was matched with the rest."""
    driver = Driver()
    cap = 10 * 100 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    driver.place(BOB.order(Side.BUY, lots=1, ticks=120, lane=LANE))
    bits = OrderBits.POST_ONLY | OrderBits.REPRICE
    order = ALICES_KEY.order(Side.SELL, lots=10, ticks=100, lane=LANE, bits=bits)
    events = driver.place(order)
    assert events[-1]["price_ticks"] == 121, "a tick behind what it would have met"
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0

    driver.cancel(ALICE, order_id_of(events))

    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap


@pytest.mark.parametrize("lots", [4, 10])
def test_what_two_orders_of_one_account_lose_without_a_trade_is_not_charged(lots):
    driver = Driver()
    cap = 100 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    driver.place(ALICES_KEY.order(Side.SELL, lots=lots, ticks=100, lane=LANE))
    bits = OrderBits.SELF_DECREMENT
    order = ALICES_KEY.order(Side.BUY, lots=6, ticks=105, lane=LANE + 1, bits=bits)
    driver.place(order)

    resting_lots, incoming_lots = max(lots - 6, 0), max(6 - lots, 0)
    used = (resting_lots * 100 + incoming_lots * 105) * TICK_PIPS
    assert driver.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used
    sale = rejection(driver.asks(resting(nonce=2)))
    purchase = rejection(driver.asks(resting(nonce=2, lane=LANE + 1)))
    left = (
        Outcome.LANE_BUSY if resting_lots else None,
        Outcome.LANE_BUSY if incoming_lots else None,
    )
    assert (sale, purchase) == left
    replayed_alike(driver)


def test_a_hidden_rest_is_given_back_with_the_visible_one():
    driver = Driver()
    cap = 10 * 105 * TICK_PIPS
    driver.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(
        Side.BUY, lots=10, ticks=105, lane=LANE, bits=OrderBits.ICEBERG, shown=2
    )
    iceberg = order_id_of(driver.place(order))
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
