"""Who sends an order twice under one client id, by mistake or after a lost answer, gets one."""

import msgspec
import pytest

from engine.types import Outcome, Side
from settlement.orders.client_ids import KEPT_NS, ClientIds, Ended
from tests.admission.fixtures import ALICE, BOB, LANE, Driver, order_id_of, rejection

TOO_MUCH = {"lots": 10**10, "ticks": 4000}


def both(driver):
    return driver, driver.replayed()


def test_a_client_id_stands_for_one_order_of_one_account():
    driver = Driver()
    order = ALICE.order(Side.SELL, lane=LANE, client_id="tea")
    row = driver.admit(order)
    second = ALICE.order(nonce=2, client_id="tea")
    answer = driver.asks(second)
    assert rejection(answer) == Outcome.DUPLICATE_CLIENT_ID, "the first is on its way"
    assert answer.detail == {"client_id": "tea", "digest": "0x" + order.digest.hex()}
    order_id = order_id_of(driver.commit(row, order))

    for seen_by in both(driver):
        answer = seen_by.asks(second)
        assert rejection(answer) == Outcome.DUPLICATE_CLIENT_ID
        assert answer.detail["order_id"] == str(order_id)
        assert rejection(seen_by.asks(BOB.order(client_id="tea"))) is None
        assert rejection(seen_by.asks(msgspec.structs.replace(second, client_id="milk"))) is None


@pytest.mark.parametrize("end", ["cancelled", "filled", "dropped"])
def test_it_stays_the_orders_for_a_day_from_when_it_was_accepted(end):
    driver = Driver()
    if end == "dropped":
        order = ALICE.order(client_id="tea")
    else:
        order = ALICE.order(Side.SELL, lane=LANE, client_id="tea")
    order_id = order_id_of(driver.place(order))
    accepted_ns = driver.now_ns
    if end == "cancelled":
        driver.cancel(ALICE, order_id)
    elif end == "filled":
        driver.place(BOB.order(lots=10))
    for late_ns, outcome in ((0, Outcome.DUPLICATE_CLIENT_ID), (1, Outcome.DUPLICATE_CLIENT_ID)):
        driver.now_ns = accepted_ns + late_ns * (KEPT_NS - 1)
        again = ALICE.order(nonce=9, client_id="tea", expiry=driver.now_ns // 10**9 + 60)
        for seen_by in both(driver):
            answer = seen_by.asks(again)
            assert rejection(answer) == outcome
            assert answer.detail["order_id"] == str(order_id)
            assert answer.detail["digest"] == "0x" + order.digest.hex()
    driver.now_ns = accepted_ns + KEPT_NS
    again = ALICE.order(nonce=9, client_id="tea", expiry=driver.now_ns // 10**9 + 60)
    for seen_by in both(driver):
        assert rejection(seen_by.asks(again)) is None


def test_it_is_free_again_after_a_refusal():
    driver = Driver()
    events = driver.place(ALICE.order(nonce=2, client_id="tea", **TOO_MUCH))
    assert events[0]["outcome"] == Outcome.INSUFFICIENT_BALANCE
    for seen_by in both(driver):
        assert rejection(seen_by.asks(ALICE.order(nonce=9, client_id="tea"))) is None


def test_found_a_few_accounts_made_us_forget_the_names_of_all_others():
    ids = ClientIds(of_account_max=4, ended_max=8)
    ids.end(b"bob", "first", Ended(b"b", 1, 0), 0)
    for number in range(40):
        for owner in (b"eve", b"mallory"):
            name = f"{number}"
            ids.end(owner, name, Ended(name.encode(), number, number), number)
    assert ids.ended_of(b"bob", "first") is not None
    assert len(ids.save().ended) <= 8
    twin = ClientIds(of_account_max=4, ended_max=8)
    twin.load(ids.save())
    assert twin.save().ended == ids.save().ended


def test_names_that_are_kept_are_bounded_and_one_account_forgets_only_its_own():
    ids = ClientIds(of_account_max=4, ended_max=5)
    ids.end(b"bob", "first", Ended(b"b", 1, 0), 0)
    for number in range(10):
        name = f"alice-{number}"
        ids.take(b"alice", name, name.encode())
        ids.end(b"alice", name, Ended(name.encode(), number, number), number)
    kept = [n for n in range(10) if ids.ended_of(b"alice", f"alice-{n}")]
    assert kept == [6, 7, 8, 9]
    assert ids.ended_of(b"bob", "first") is not None, "it is another's"
    ids.end(b"carol", "c", Ended(b"c", 1, 0), 10)
    assert ids.ended_of(b"bob", "first") is None, "five of all, the first ended first"
    ids.end(b"carol", "d", Ended(b"d", 1, KEPT_NS + 20), KEPT_NS + 20)
    twin = ClientIds()
    twin.load(ids.save())
    assert [name for _, name, _ in twin.save().ended] == ["d"], "what is older than a day is gone"
