"""A customer may claim a part of what is given back, and the rest later: together they are what was
opened, and each part is approved, paid and counted as a refund of its own."""

import pytest

from engine.types import Outcome
from merchants.records.amounts import decimal_of_pips, pips_of_decimal
from merchants.records.database import reading
from merchants.records.refunds import Refund, RefundVariant
from merchants.records.rejection import Rejection
from merchants.sales.refund_parts import PARTS_MAX
from tests.merchants.fixtures import DOLLAR, MERCHANT, USD, World
from tests.merchants.refunding import (
    CUSTOMER_WALLET,
    ELSEWHERE,
    chain_pays,
    claimed,
    look,
    opened,
    paid,
    part_claimed,
    wallet_signs,
    withdrawals,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store()


def sums(world):
    with reading(world.venue.database) as session:
        rows = session.query(Refund).all()
        return tuple(sum(getattr(row, name) for row in rows) for name in COUNTED)


COUNTED = ("pips", "of_pips", "worth_pips")


def test_a_part_and_the_rest_are_what_was_opened(world, store):
    refund = opened(world, store, paid(world, store, "12.34", token="USD"))
    whole = sums(world)
    part = part_claimed(world, refund, 4 * DOLLAR)
    assert (part.amount, part.part_of, part.receiver) == ("4", refund.id, CUSTOMER_WALLET)
    left = look(world, store, refund)
    assert (left.amount, left.opened, left.receiver) == ("8.34", "12.34", None)
    assert sums(world) == whole
    rest = claimed(world, refund, ELSEWHERE)
    assert (rest.amount, rest.receiver) == ("8.34", ELSEWHERE)
    assert isinstance(part_claimed(world, refund, DOLLAR), Rejection), "all of it is claimed"
    world.venue.fund(MERCHANT, USD, 20 * DOLLAR)
    for one in (part, rest):
        wallet_signs(world, store, one)
        world.venue.tick()
        chain_pays(world)
    assert [look(world, store, one).status for one in (part, rest)] == ["completed"] * 2
    assert sorted(row.amount for row in withdrawals(world)) == [4 * DOLLAR, 834 * DOLLAR // 100]


def test_in_another_token_than_came_each_part_uses_up_its_share(world, store):
    refund = opened(world, store, paid(world, store, "50"), RefundVariant.FIAT)
    whole = sums(world)
    for pips in (DOLLAR, 7 * DOLLAR, 3_333_300):
        assert not isinstance(part_claimed(world, refund, pips), Rejection)
        assert sums(world) == whole


def test_no_part_is_more_than_is_left_or_less_than_can_be_paid(world, store):
    refund = opened(world, store, paid(world, store, "12.34", token="USD"))
    whole = pips_of_decimal(refund.amount)
    for pips in (whole + 1, 2 * whole):
        assert part_claimed(world, refund, pips).outcome is Outcome.AMOUNT_OUT_OF_RANGE
    world.least_withdrawals["USD"] = 2 * DOLLAR
    for pips in (1, 2 * DOLLAR - 1, whole - 2 * DOLLAR + 1, whole - 1):
        refused = part_claimed(world, refund, pips)
        assert refused.outcome is Outcome.BELOW_LEAST_WITHDRAWAL, pips
    world.least_withdrawals["USD"] = 1
    assert part_claimed(world, refund, DOLLAR, "0x" + "00" * 20).outcome is Outcome.BAD_RECEIVER
    assert look(world, store, refund) == refund


def test_found_a_part_finer_than_the_chain_moves_it_was_taken_and_never_paid(world, store):
    refund = opened(world, store, paid(world, store, "12.34", token="USD"))
    for pips in (DOLLAR + 1, 4 * DOLLAR - 1, DOLLAR + 99):
        refused = part_claimed(world, refund, pips)
        assert refused.outcome is Outcome.AMOUNT_OUT_OF_RANGE, pips
        assert refused.detail == {"why": "USD has 6 decimals on chain"}
    assert look(world, store, refund) == refund
    world.venue.fund(MERCHANT, USD, 20 * DOLLAR)
    for one in (part_claimed(world, refund, DOLLAR + 100), claimed(world, refund)):
        wallet_signs(world, store, one)
        world.venue.tick()
        chain_pays(world)
        assert look(world, store, one).status == "completed"


def test_a_part_that_is_all_that_is_left_claims_it(world, store):
    refund = opened(world, store, paid(world, store, "12.34", token="USD"))
    part_claimed(world, refund, 4 * DOLLAR)
    left = pips_of_decimal("8.34")
    for _ in range(2):
        rest = part_claimed(world, refund, left)
        assert (rest.id, rest.amount, rest.receiver) == (refund.id, "8.34", CUSTOMER_WALLET)
    other = part_claimed(world, refund, left, ELSEWHERE)
    assert other.outcome is Outcome.INVOICE_CLOSED


def test_it_has_so_many_parts_and_no_more(world, store):
    refund = opened(world, store, paid(world, store, "1000", token="USD"))
    said = [part_claimed(world, refund, DOLLAR) for _ in range(PARTS_MAX + 1)]
    assert said[-1].outcome is Outcome.CAPACITY
    assert look(world, store, refund).amount == decimal_of_pips((1_000 - PARTS_MAX) * DOLLAR)


def test_a_part_waits_for_approval_as_the_whole_does_and_changes_what_was_seen(world, store):
    refunds = world.venue.merchants.refunding.refunds
    refund = opened(world, store, paid(world, store, "12.34", token="USD"), is_approved=False)
    part = part_claimed(world, refund, 4 * DOLLAR)
    assert part.status == "awaiting_approval"
    seen_before = refunds.approve(store.store_id, refund.id, refund.revision)
    assert seen_before.outcome is Outcome.INVOICE_CLOSED
    approved = refunds.approve(store.store_id, part.id, part.revision)
    assert (approved.status, approved.amount) == ("awaiting_payment", "4")
    assert look(world, store, refund).status == "awaiting_approval"


def test_a_part_that_is_given_up_is_the_shops_again_and_the_rest_stays(world, store):
    refunds = world.venue.merchants.refunding.refunds
    invoice = paid(world, store, "12.34", token="USD")
    refund = opened(world, store, invoice)
    part = part_claimed(world, refund, 4 * DOLLAR)
    assert refunds.cancel(store.store_id, part.id).status == "cancelled"
    assert look(world, store, refund).amount == "8.34"
    again = opened(world, store, invoice)
    assert again.amount == "4", "what was given up of it"


def test_with_another_links_key_nothing_is_claimed(world, store):
    invoice = paid(world, store, "12.34", token="USD")
    refund, other = (
        opened(world, store, invoice, RefundVariant.CUSTOM, custom_pips=5 * DOLLAR)
        for _ in range(2)
    )
    refunds = world.venue.merchants.refunding.refunds
    key = refunds.claim_key(other.id)
    stolen = refunds.claim(refund.id, key, CUSTOMER_WALLET, DOLLAR)
    assert stolen.outcome is Outcome.NOT_FOUND
