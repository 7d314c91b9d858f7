"""Is a lane busy exactly while its order stands, hidden, armed, replaced or poisoned?"""

import numpy as np

from engine.commands import Kind, command
from engine.types import OrderFlag, Outcome, Side
from tests.admission.rig import (
    ALICE,
    ALICES_KEY,
    BOB,
    LANE,
    NS,
    START,
    TICK_PIPS,
    Desk,
    grant_for,
    order_id_of,
    refusal,
)


def resting(nonce=1, lane=LANE, **changes):
    return ALICE.order(Side.SELL, nonce=nonce, lane=lane, **changes)


def as_stop(row: np.void, trigger: int) -> np.void:
    """Return a PLACE row as that of a stop."""
    row["flags"] |= OrderFlag.STOP
    row["order_id"] = trigger
    return row


def replayed_alike(desk: Desk) -> None:
    """Assert that a restart would remember the same lanes."""
    order = resting(nonce=9)
    assert refusal(desk.asks(order)) == refusal(desk.replayed().asks(order))


def test_an_armed_stop_keeps_its_lane_until_it_has_traded():
    desk = Desk()
    order = ALICE.order(Side.BUY, lots=3, ticks=105, lane=LANE)
    desk.commit(as_stop(desk.admit(order), 101), order)
    assert refusal(desk.asks(resting(nonce=2))) == Outcome.LANE_BUSY

    desk.place(BOB.order(Side.SELL, lots=9, ticks=101, lane=LANE))
    desk.place(BOB.order(Side.SELL, lots=9, ticks=101, lane=LANE + 1))
    assert refusal(desk.asks(resting(nonce=2))) == Outcome.LANE_BUSY, "nothing has traded"
    carol = ALICE.order(Side.BUY, lots=1, ticks=101, nonce=1)
    desk.place(carol)

    assert refusal(desk.asks(resting(nonce=2))) is None
    replayed_alike(desk)


def test_an_armed_stop_that_is_cancelled_frees_its_lane_and_its_keys_notional():
    desk = Desk()
    cap = 10 * 105 * TICK_PIPS
    desk.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, lane=LANE)
    stop = order_id_of(desk.commit(as_stop(desk.admit(order), 101), order))
    assert desk.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0
    assert desk.admission.open_orders_of_key(ALICE.account, ALICES_KEY.address) == [stop]

    desk.cancel(ALICE, stop)

    assert desk.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap
    assert refusal(desk.asks(resting(nonce=2))) is None


def test_a_stop_that_wakes_and_is_dropped_gives_the_rest_back():
    desk = Desk()
    cap = 10 * 105 * TICK_PIPS
    desk.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, nonce=1)
    desk.commit(as_stop(desk.admit(order), 101), order)
    desk.place(BOB.order(Side.SELL, lots=4, ticks=101, lane=LANE))
    desk.place(ALICE.order(Side.BUY, lots=1, ticks=101, nonce=2))

    used = 3 * 105 * TICK_PIPS
    assert desk.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used


def test_a_hidden_rest_is_given_back_with_the_visible_one():
    desk = Desk()
    cap = 10 * 105 * TICK_PIPS
    desk.grant(grant_for(ALICES_KEY, notional_cap=cap))
    order = ALICES_KEY.order(Side.BUY, lots=10, ticks=105, lane=LANE)
    row = desk.admit(order)
    row["flags"] |= OrderFlag.ICEBERG
    row["order_id"] = 2
    iceberg = order_id_of(desk.commit(row, order))
    assert desk.admission.budgets.left(ALICE.account, ALICES_KEY.address) == 0

    desk.place(BOB.order(Side.SELL, lots=3, ticks=105, nonce=1))
    desk.cancel(ALICE, iceberg)

    used = 3 * 105 * TICK_PIPS
    assert desk.admission.budgets.left(ALICE.account, ALICES_KEY.address) == cap - used


def replacement(desk: Desk, order_id: int, order) -> np.void:
    """Return the REPLACE that puts ``order`` in the place of another."""
    row = desk.admission.admit(order, desk.now_ns)
    assert not refusal(row), row
    row["kind"], row["order_id"] = Kind.REPLACE, order_id
    row["market"] = row["side"] = 0
    return row


def test_a_replacement_takes_its_own_lane_and_frees_the_old_one():
    desk = Desk()
    old = order_id_of(desk.place(resting()))
    order = resting(nonce=1, lane=LANE + 1, ticks=104)

    desk.commit(replacement(desk, old, order), order)

    assert refusal(desk.asks(resting(nonce=2))) is None
    assert refusal(desk.asks(resting(nonce=2, lane=LANE + 1))) == Outcome.LANE_BUSY
    replayed_alike(desk)


def test_a_refused_replacement_leaves_both_as_they_were():
    desk = Desk()
    old = order_id_of(desk.place(resting()))
    order = resting(nonce=1, lane=LANE + 1, lots=10**9)
    row = replacement(desk, old, order)
    row["fee_cap_ppm"] = 0

    desk.commit(row, order)

    assert refusal(desk.asks(resting(nonce=2))) == Outcome.LANE_BUSY
    assert refusal(desk.asks(resting(nonce=2, lane=LANE + 1))) is None
    assert desk.admission.first(order.digest).outcome == Outcome.FEE_CAP_TOO_LOW


def test_a_poisoned_order_has_its_answer_and_its_nonce_is_spent():
    desk = Desk()
    order = resting()
    row = desk.admit(order)
    row["kind"] = Kind.POISON

    desk.commit(row, order)

    assert desk.admission.first(order.digest).outcome == Outcome.POISONED
    assert refusal(desk.asks(resting(lots=11))) == Outcome.NONCE_USED
    assert refusal(desk.asks(resting(nonce=2))) is None, "the lane is free"
    replayed_alike(desk)


def test_a_dead_mans_switch_in_front_of_an_order_is_not_its_answer():
    desk = Desk()
    desk.place(resting())
    desk.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=(START + 5) * NS))
    desk.now_ns += 5 * NS
    order = resting(nonce=1, lane=LANE + 1)

    events = desk.place(order)

    assert events[0]["outcome"] == Outcome.CANCELLED_AFTER
    first = desk.admission.first(order.digest)
    assert first.outcome == Outcome.ACCEPTED and first.order_id > 0
    assert refusal(desk.asks(resting(nonce=2))) is None, "the switch has freed it"
    assert refusal(desk.asks(resting(nonce=2, lane=LANE + 1))) == Outcome.LANE_BUSY
    replayed_alike(desk)
