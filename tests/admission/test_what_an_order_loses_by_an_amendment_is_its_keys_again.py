"""A smaller order gives its session key back what it will never trade, once."""

from engine.commands import Kind, command
from engine.types import Side
from settlement.protocol.evidence import OperatorAction
from tests.admission.fixtures import ALICE, ALICES_KEY, BOB, LANE, Driver, grant_for, order_id_of
from tests.admission.test_session_keys_stay_in_their_scope import left, pips

CAP = pips(100, 100)
WISH = OperatorAction("a test", "it wants that")


def amend(driver, order_id, lots):
    row = command(Kind.AMEND, account=0, order_id=order_id, amount=lots)
    return driver.commit(row, WISH)


def test_what_shrank_is_given_back_once():
    driver = Driver()
    driver.grant(grant_for(ALICES_KEY, notional_cap=CAP))
    order_id = order_id_of(driver.place(ALICES_KEY.order(Side.SELL, lots=10, lane=LANE)))
    assert left(driver) == CAP - pips(10, 100)

    driver.place(BOB.order(lots=3))
    amend(driver, order_id, 5)
    for seen_by in (driver, driver.replayed()):
        assert left(seen_by) == CAP - pips(8, 100), "three traded, five stand"
    amend(driver, order_id, 2)
    driver.place(BOB.order(lots=1, nonce=2))
    for seen_by in (driver, driver.replayed()):
        assert left(seen_by) == CAP - pips(5, 100)
    driver.cancel(ALICE, order_id)
    for seen_by in (driver, driver.replayed()):
        assert left(seen_by) == CAP - pips(4, 100), "what traded"


def test_a_refused_amendment_gives_nothing_back():
    driver = Driver()
    driver.grant(grant_for(ALICES_KEY, notional_cap=CAP))
    order_id = order_id_of(driver.place(ALICES_KEY.order(Side.SELL, lots=10, lane=LANE)))
    for lots in (10, 11, 0):
        amend(driver, order_id, lots)
    assert left(driver) == left(driver.replayed()) == CAP - pips(10, 100)


def test_a_snapshot_knows_what_is_open():
    driver = Driver()
    driver.grant(grant_for(ALICES_KEY, notional_cap=CAP))
    order_id = order_id_of(driver.place(ALICES_KEY.order(Side.SELL, lots=10, lane=LANE)))
    amend(driver, order_id, 6)
    memory = driver.admission.save()
    other = driver.replayed()
    other.admission.load(memory)
    amend(other, order_id, 1)
    assert left(other) == CAP - pips(1, 100)


def test_a_switch_that_waits_lets_the_clock_tick():
    driver = Driver()
    deadline_ns = driver.now_ns + 5 * 10**9
    driver.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=deadline_ns + 10**9), WISH)
    driver.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=deadline_ns), WISH)
    restored = driver.replayed()
    restored.admission.load(driver.admission.save())
    for seen_by in (driver, driver.replayed(), restored):
        assert not seen_by.admission.has_expired(deadline_ns - 1)
        assert seen_by.admission.has_expired(deadline_ns)
    driver.now_ns = deadline_ns
    driver.commit(command(Kind.CLOCK))
    assert not driver.admission.has_expired(deadline_ns + 10**12), "it has gone off"
    driver.commit(command(Kind.CANCEL_AFTER, account=0, expiry_ns=deadline_ns + 10**9), WISH)
    driver.commit(command(Kind.CANCEL_AFTER, account=0), WISH)
    assert not driver.admission.has_expired(deadline_ns + 10**12), "it was taken back"
