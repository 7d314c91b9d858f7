"""Nobody gains by a reorganisation: what it took away is not given back once more, buys nothing
together with what was given back, and is as deep as the store wants when it counts again."""

import pytest

from merchants.records.refunds import RefundVariant
from merchants.sales.confirmations import Step
from merchants.sales.refunds import RefundRequest
from settlement.ports import BlocksRead
from settlement.protocol.eip712 import sign
from tests.merchants.fixtures import CONFIRMATIONS, MERCHANT_SECRET, World
from tests.merchants.reorganising import BLOCKS_MAX, deposits_of, read_again
from tests.merchants.test_a_deep_reorganisation_takes_money_back import Case
from tests.merchants.test_every_exception_ends_well import LOT_RAW

TOKENS = RefundRequest(RefundVariant.RATE_THEN, "TOKEN")
RECEIVER = "0x" + "77" * 20


def case_of(world, *, confirmations=0):
    store = world.venue.approved_store()
    if confirmations:
        steps = [Step(0, confirmations)]
        assert world.venue.merchants.confirmations.change(store.store_id, steps) == steps
    return Case(world, store, world.venue.invoice(store, "50"))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def claimed(case):
    """Open a refund of all that came, and say where it goes."""
    refunds = case.venue.merchants.refunding.refunds
    opened = refunds.create(case.store.store_id, case.invoice.id, TOKENS)
    return refunds.claim(opened.id, refunds.claim_key(opened.id), RECEIVER)


def test_found_a_withdrawal_composed_before_the_money_went_was_signed_after_it(world):
    case = case_of(world)
    case.sold()
    payouts, refund = case.venue.merchants.refunding.payouts, claimed(case)
    asked = payouts.compose(case.store.store_id, refund.id)
    case.lose()
    case.wait()
    signature = sign(asked.digest, MERCHANT_SECRET)
    refused = payouts.sign(case.store.store_id, refund.id, signature)
    assert "left the chain" in refused.detail["why"]
    world.pass_time(3600)
    case.venue.tick()
    (ended,) = case.now().refunds
    assert (ended.status, ended.note) == ("cancelled", "its payment has left the chain")


def test_found_a_refund_of_money_that_was_not_deep_again_could_be_paid(world):
    case = case_of(world)
    case.sold()
    refund = claimed(case)
    case.lose()
    world.shallow, world.lost = set(world.lost), set()
    read_again(world)
    payouts = case.venue.merchants.refunding.payouts
    refused = payouts.compose(case.store.store_id, refund.id)
    assert "not deep" in refused.detail["why"]
    world.shallow.clear()
    read_again(world)
    assert payouts.compose(case.store.store_id, refund.id).digest


def test_found_what_was_given_back_of_a_reversed_invoice_paid_it_too(world):
    """30 of 50 came anew and were given back; 20 more are not 50."""
    case = case_of(world)
    case.sold()
    case.lose()
    case.wait()
    case.pay(15 * LOT_RAW)
    case.venue.settle_sweeps()
    case.venue.tick()
    refunds = case.venue.merchants.refunding.refunds
    opened = refunds.create(case.store.store_id, case.invoice.id, TOKENS)
    refunds.mark_paid(case.store.store_id, opened.id, "by hand")
    case.pay(10 * LOT_RAW)
    case.venue.settle_sweeps()
    case.venue.tick()
    assert (case.now().status, case.now().exception) == ("invalid", "reversed")


def test_found_what_came_back_settled_before_it_was_as_deep_as_the_store_wants(world):
    case = case_of(world, confirmations=CONFIRMATIONS + 20)
    case.booked()
    world.newest_block += 500
    case.venue.tick()
    assert case.now().status == "settled"
    case.lose()
    case.wait()
    assert case.now().status == "invalid"
    world.lost.clear()
    block = world.newest_block
    for depth, status in (
        (1, "invalid"),
        (CONFIRMATIONS + 19, "invalid"),
        (CONFIRMATIONS + 20, "settled"),
    ):
        in_block(world, block, depth)
        assert case.now().status == status


def in_block(world, block, depth):
    """Let all that was deposited be in ``block``, which is so deep by now."""
    world.newest_block = block + depth - 1
    deposits = (
        one._replace(block_number=block, confirmed=depth >= CONFIRMATIONS)
        for one in deposits_of(world)
    )
    read = BlocksRead(0, BLOCKS_MAX, world.newest_block, tuple(world.transfers), tuple(deposits))
    world.venue.merchants.blocks_read(read)
    world.pass_time(60)
    world.venue.tick()


def test_found_what_was_over_and_given_back_paid_when_the_rest_went(world):
    case = case_of(world)
    paid = case.sold()
    swept = case.sweeps()
    case.pay(25 * LOT_RAW)
    case.venue.settle_sweeps()
    case.venue.tick()
    refunds = case.venue.merchants.refunding.refunds
    over = RefundRequest(RefundVariant.OVERPAID, "TOKEN")
    opened = refunds.create(case.store.store_id, case.invoice.id, over)
    refunds.mark_paid(case.store.store_id, opened.id, "by hand")
    case.lose(paid.tx_hash, *swept)
    case.wait()
    assert (case.now().status, case.now().exception) == ("invalid", "reversed")
