"""Nobody gains by a reorganisation: what it took away is not given back once more."""

import pytest

from merchants.records.refunds import RefundVariant
from merchants.sales.refunds import RefundRequest
from settlement.protocol.eip712 import sign
from tests.merchants.fixtures import MERCHANT_SECRET, World
from tests.merchants.reorganising import read_again
from tests.merchants.test_a_deep_reorganisation_takes_money_back import Case

TOKENS = RefundRequest(RefundVariant.RATE_THEN, "TOKEN")
RECEIVER = "0x" + "77" * 20


def case_of(world):
    store = world.venue.approved_store()
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
