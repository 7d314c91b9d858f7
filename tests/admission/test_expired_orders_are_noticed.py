"""Admission says when the engine's clock has to move so that expired orders leave the book."""

from engine.commands import Kind, command
from engine.types import Side
from tests.admission.rig import ALICE, BOB, LANE, NS, START, Desk, order_id_of


def resting(seconds, lane=LANE):
    return ALICE.order(Side.SELL, lane=lane, expiry=START + seconds)


def test_a_tick_is_due_from_the_second_of_the_first_expiry_until_it_came():
    desk = Desk()
    desk.place(resting(20))
    desk.place(resting(10, LANE + 1))
    soon = (START + 10) * NS
    assert not desk.admission.has_expired(soon - 1)
    for seen_by in (desk, desk.replayed()):
        assert seen_by.admission.has_expired(soon)

    desk.now_ns = soon
    desk.commit(command(Kind.CLOCK))

    assert not desk.admission.has_expired(soon)
    assert desk.admission.has_expired((START + 20) * NS)
    assert desk.engine.orders_live == 1


def test_orders_that_left_in_another_way_need_no_tick():
    desk = Desk()
    desk.cancel(ALICE, order_id_of(desk.place(resting(10))))
    desk.place(resting(10, LANE + 1))
    desk.place(BOB.order(lots=10))

    assert desk.engine.orders_live == 0
    assert not desk.admission.has_expired((START + 10) * NS)


def test_an_order_that_never_rests_needs_no_tick():
    desk = Desk()
    desk.place(ALICE.order(expiry=START + 1))

    assert not desk.admission.has_expired((START + 9) * NS)
