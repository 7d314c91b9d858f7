"""A digest that was sequenced is known by its first answer; client ids stand for one order."""

import msgspec

from engine.types import Outcome, Side
from settlement.admission import PRUNE_EVERY
from tests.admission.rig import ALICE, BOB, LANE, NS, START, Desk, order_id_of, refusal


def test_the_first_answer_is_kept_and_comes_back_after_a_replay():
    desk = Desk()
    order = ALICE.order(Side.SELL, lane=LANE)
    order_id = order_id_of(desk.place(order))
    desk.now_ns += NS
    desk.place(BOB.order(lots=10))

    for seen_by in (desk, desk.replayed()):
        first = seen_by.admission.first(order.digest)
        assert first.outcome == Outcome.ACCEPTED
        assert (first.order_id, first.time_ns) == (order_id, START * NS)
        assert first.sequence == desk.engine.sequence - 1


def test_a_refusal_by_the_engine_is_a_first_answer_too():
    desk = Desk()
    order = ALICE.order(lots=10**10, ticks=4000)
    desk.place(order)

    for seen_by in (desk, desk.replayed()):
        first = seen_by.admission.first(order.digest)
        assert (first.outcome, first.order_id) == (Outcome.INSUFFICIENT_BALANCE, 0)


def test_an_order_on_its_way_has_no_answer_yet():
    desk = Desk()
    order = ALICE.order()
    desk.admit(order)

    assert desk.admission.first(order.digest) is None
    assert desk.admission.first(bytes(32)) is None


def test_a_client_id_stands_for_one_order_of_one_account():
    desk = Desk()
    desk.place(ALICE.order(client_id="tea"))
    second = ALICE.order(nonce=2, client_id="tea")

    for seen_by in (desk, desk.replayed()):
        answer = seen_by.asks(second)
        assert refusal(answer) == Outcome.DUPLICATE_CLIENT_ID
        assert answer.detail == {"client_id": "tea"}
        assert refusal(seen_by.asks(BOB.order(client_id="tea"))) is None
        assert refusal(seen_by.asks(msgspec.structs.replace(second, client_id="milk"))) is None


def test_what_expired_is_forgotten_after_many_more_orders():
    desk = Desk()
    order = ALICE.order(client_id="tea", expiry=START + 1)
    desk.place(order)
    desk.now_ns += 2 * NS
    for nonce in range(2, PRUNE_EVERY + 1):
        unsigned = msgspec.structs.replace(
            ALICE_TEMPLATE, nonce=nonce, digest=nonce.to_bytes(32, "big")
        )
        assert refusal(desk.admit(unsigned)) is None

    assert desk.admission.first(order.digest) is None
    assert refusal(desk.asks(order)) == Outcome.ORDER_EXPIRED, "and it is still refused"
    again = ALICE.order(nonce=PRUNE_EVERY + 1, client_id="tea")
    assert refusal(desk.asks(again)) is None, "its client id is free"


ALICE_TEMPLATE = ALICE.order()
