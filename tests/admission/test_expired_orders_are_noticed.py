"""Admission says when the engine's clock has to move so that expired orders leave the book."""

from engine.commands import Kind, command
from engine.types import Side
from tests.admission.fixtures import ALICE, BOB, LANE, NS, START, Driver, order_id_of


def resting(seconds, lane=LANE):
    return ALICE.order(Side.SELL, lane=lane, expiry=START + seconds)


def test_a_tick_is_due_from_the_second_of_the_first_expiry_until_it_came():
    driver = Driver()
    driver.place(resting(20))
    driver.place(resting(10, LANE + 1))
    soon = (START + 10) * NS
    assert not driver.admission.has_expired(soon - 1)
    for seen_by in (driver, driver.replayed()):
        assert seen_by.admission.has_expired(soon)

    driver.now_ns = soon
    driver.commit(command(Kind.CLOCK))

    assert not driver.admission.has_expired(soon)
    assert driver.admission.has_expired((START + 20) * NS)
    assert driver.engine.orders_live == 1


def test_orders_that_left_in_another_way_need_no_tick():
    driver = Driver()
    driver.cancel(ALICE, order_id_of(driver.place(resting(10))))
    driver.place(resting(10, LANE + 1))
    driver.place(BOB.order(lots=10))

    assert driver.engine.orders_live == 0
    assert not driver.admission.has_expired((START + 10) * NS)


def test_an_order_that_never_rests_needs_no_tick():
    driver = Driver()
    driver.place(ALICE.order(expiry=START + 1))

    assert not driver.admission.has_expired((START + 9) * NS)
