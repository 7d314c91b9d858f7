"""Expired is not the end: the same invoice, new quotes, and what came counts at them."""

import pytest

from engine.types import Outcome
from merchants.records.refunds import RefundVariant
from merchants.records.rejection import Rejection
from merchants.sales.invoices import REQUOTES_MAX
from settlement.protocol.eip712 import address_of_secret
from tests.merchants.fixtures import (
    DOLLAR,
    MAKER_SECRET,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    option,
    sole,
)
from tests.merchants.refunding import opened
from tests.merchants.test_late_and_mixed_money_is_weighed import THIEF, fall
from tests.merchants.test_several_options_pay_one_invoice import made, send, settle


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    for token in (TOKEN, USD):
        world.venue.fund(address_of_secret(THIEF), token, 10**7 * DOLLAR)
    return world


def expired(world, store, **fields):
    invoice = made(world, store=store, **fields)
    world.pass_time(901)
    world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def anew(world, invoice):
    answer = world.venue.merchants.requote(invoice.id)
    assert not isinstance(answer, Rejection), answer
    return answer


def test_the_same_invoice_is_paid_at_todays_price(world):
    venue = world.venue
    store = venue.approved_store(floor_price=100 * DOLLAR)
    invoice = expired(world, store)
    fall(world, 100_000)
    fresh = anew(world, invoice)
    assert (fresh.id, fresh.status, fresh.price) == (invoice.id, "new", "50")
    assert fresh.expires_at == world.now_ns // 10**9 + 900
    assert (option(invoice, "TOKEN").amount_due, option(fresh, "TOKEN").amount_due) == (
        "0.025",
        "0.05",
    )
    send(world, fresh, "TOKEN", due_raw(fresh, "TOKEN"))
    paid = settle(world, fresh)
    assert (paid.status, paid.exception) == ("settled", "none")
    assert venue.types(store)[1:3] == ["invoice.expired", "invoice.requoted"]


def test_what_came_counts_at_the_new_price_and_the_rest_is_asked_for(world):
    venue = world.venue
    store = venue.approved_store(floor_price=100 * DOLLAR)
    invoice = made(world, store=store)
    send(world, invoice, "TOKEN", due_raw(invoice, "TOKEN") // 2)
    world.pass_time(901)
    settle(world, invoice)
    fall(world, 100_000)
    fresh = anew(world, invoice)
    assert (fresh.status, fresh.received, fresh.short) == ("new", "12.5", "0")
    assert (option(fresh, "TOKEN").remaining, option(fresh, "USD").remaining) == ("0.0375", "37.5")
    send(world, fresh, "USD", int(option(fresh, "USD").remaining_raw))
    paid = settle(world, fresh)
    assert (paid.status, paid.exception, paid.over) == ("settled", "none", "0")


def test_bounds_and_refusals_change_nothing(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = made(world, store=store)
    requote = venue.merchants.requote
    assert requote(invoice.id).outcome is Outcome.INVOICE_CLOSED, "it is not expired"
    assert requote("inv_none").outcome is Outcome.NOT_FOUND
    assert requote(invoice.id, "sto_other").outcome is Outcome.NOT_FOUND
    for _ in range(REQUOTES_MAX):
        world.pass_time(901)
        venue.tick()
        anew(world, invoice)
    world.pass_time(901)
    venue.tick()
    assert requote(invoice.id).outcome is Outcome.INVOICE_CLOSED


def test_a_token_in_which_money_came_needs_a_price_and_others_are_left_out(world):
    venue = world.venue
    store = venue.approved_store()
    half, empty = (made(world, store=store) for _ in range(2))
    send(world, half, "TOKEN", due_raw(half, "TOKEN") // 2)
    world.pass_time(901)
    settle(world, half)
    for order_id in (1, 2, 3):
        venue.cancel(MAKER_SECRET, order_id)
    before = venue.merchants.reader.invoice(half.id)
    refused = venue.merchants.requote(half.id)
    assert refused.outcome is Outcome.NO_QUOTE
    assert venue.merchants.reader.invoice(half.id) == before
    fresh = anew(world, empty)
    assert [one.token for one in fresh.options] == ["USD"]


def test_what_was_given_back_pays_no_invoice(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = made(world, store=store)
    venue.fund(MERCHANT, USD, 25 * DOLLAR, bytes.fromhex(invoice.ref[2:]))
    world.pass_time(901)
    settle(world, invoice)
    given = opened(world, store, invoice, RefundVariant.RATE_THEN, token="USD")
    assert not isinstance(given, Rejection), given
    assert venue.merchants.requote(invoice.id).outcome is Outcome.INVOICE_CLOSED


def test_dust_of_a_stranger_keeps_nobody_from_a_new_price(world):
    store = world.venue.approved_store()
    invoice = expired(world, store)
    send(world, invoice, "USD", 10)
    fresh = anew(world, invoice)
    assert fresh.status == "new"
    send(world, fresh, "USD", int(option(fresh, "USD").remaining_raw))
    assert sole({settle(world, fresh).status}) == "settled"


def test_found_an_address_that_nobody_watched_any_more_was_paid_at_a_new_price(world):
    """A month after it was made an invoice's address is watched no more: who pays there by a new
    price would not be seen."""
    venue = world.venue
    old = expired(world, venue.approved_store(floor_price=100 * DOLLAR))
    world.pass_time(28 * 86_400)
    young = anew(world, old)
    world.pass_time(901)
    venue.tick()
    assert address_bytes(young.deposit_address) in venue.merchants.watched_addresses()
    world.pass_time(86_400)
    answer = venue.merchants.requote(old.id)
    assert isinstance(answer, Rejection) and answer.outcome is Outcome.INVOICE_CLOSED
    assert "so old" in answer.detail["why"]
    assert venue.merchants.reader.invoice(old.id).status == "expired"
