"""What was not offered and can be sold pays by what it sold for when it was final, and no more."""

import pytest

from engine.types import PIPS_PER_TOKEN, Side
from merchants.records.refunds import RefundVariant
from merchants.reports.reports import ReportKind
from merchants.reports.reports import asked as reports_asked
from merchants.sales.reference_prices import NoPrice
from merchants.sales.refunds import RefundRequest
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MAKER_SECRET,
    MERCHANT,
    TOKEN,
    USD,
    address_bytes,
    option,
    pips_of_decimal,
    sole,
)
from tests.merchants.test_late_and_mixed_money_is_weighed import fall, send, settle, world

__all__ = ["world"]
LOT_RAW = 10**15


def asked(world, amount="50", store=None):
    """Return an invoice that asks for the stablecoin alone, of a store that may sell TOKEN."""
    store = store or world.venue.approved_store(floor_price=100 * DOLLAR)
    return world.venue.invoice(store, amount, token="USD")


def test_it_settles_the_invoice_and_is_sold_like_what_was_asked_for(world):
    invoice = asked(world)
    send(world, invoice, 25 * LOT_RAW)
    seen = world.venue.merchants.reader.invoice(invoice.id)
    assert (seen.status, seen.received, seen.remaining) == ("processing", "50", "0")
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.over) == ("settled", "none", "0")
    other = sole(paid.others)
    assert (other.token, other.received, other.counted, other.worth) == (
        *("TOKEN", "0.025", "0.025"),
        "50",
    )
    assert (sole(paid.conversions).sold, sole(paid.conversions).proceeds) == ("0.025", "50")
    assert world.venue.pips(MERCHANT, TOKEN) == 0
    assert world.venue.pips(MERCHANT, USD) == pips_of_decimal(paid.net)
    (row,) = reconciled(world, paid.store_id, "TOKEN")
    assert (row.paid_in, row.sold, row.difference) == ("0.025", "0.025", "0")


def reconciled(world, store_id, token):
    reports = world.venue.merchants.reports
    wanted = reports_asked(ledger=reports.ledger(MERCHANT))
    page = reports.page(ReportKind.RECONCILIATION, store_id, wanted)
    return [row for row in page.rows if row.token == token]


def test_it_counts_when_its_block_is_deep_enough_and_not_before(world):
    invoice = asked(world)
    world.transfer(address_bytes(invoice.deposit_address), 25 * LOT_RAW, TOKEN, CONFIRMATIONS - 1)
    world.venue.watch()
    assert world.venue.merchants.reader.invoice(invoice.id).received == "0"
    world.confirm(CONFIRMATIONS)
    world.venue.watch()
    assert world.venue.merchants.reader.invoice(invoice.id).received == "50"


def test_parts_in_what_was_asked_for_and_in_what_was_not_add_up(world):
    invoice = asked(world)
    send(world, invoice, 10 * LOT_RAW)
    part = world.venue.merchants.reader.invoice(invoice.id)
    assert (part.received, option(part).remaining) == ("20", "30")
    keys = [one.key for one in world.venue.merchants.reader.checkout(invoice.id).sayings]
    assert keys == ["say_partial", "say_other_counted"]
    send(world, invoice, int(option(part).remaining_raw), USD)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.received) == ("settled", "none", "50")


def test_its_value_is_of_the_moment_it_was_final_and_no_later_price_changes_it(world):
    invoice = asked(world)
    fall(world, 100_000)
    send(world, invoice, 25 * LOT_RAW)
    half = world.venue.merchants.reader.invoice(invoice.id)
    assert (half.status, half.received, sole(half.others).worth) == ("new", "25", "25")
    fall(world, 90_000)
    send(world, invoice, 1, USD)
    assert sole(world.venue.merchants.reader.invoice(invoice.id).others).worth == "25"


def test_many_small_payments_bring_no_more_than_a_large_one(world):
    """The bids: 50 lots at 2.00 and 500 at 1.999. Each payment is valued behind those before."""
    store = world.venue.approved_store()
    large, small = asked(world, "500", store), asked(world, "500", store)
    send(world, large, 100 * LOT_RAW)
    for _ in range(10):
        send(world, small, 10 * LOT_RAW)
    of_large, of_small = (
        sole(world.venue.merchants.reader.invoice(one.id).others) for one in (large, small)
    )
    assert (of_large.worth, of_small.worth) == ("199.95", "199.95")


def test_no_price_no_value_until_there_is_one(world):
    invoice = asked(world)
    for order_id in (1, 2, 3):
        world.venue.cancel(MAKER_SECRET, order_id)
    send(world, invoice, 25 * LOT_RAW)
    waits = world.venue.merchants.reader.invoice(invoice.id)
    assert (waits.received, sole(waits.others).why) == ("0", NoPrice.EMPTY)
    world.venue.quote(Side.BUY, 200_000, 500)
    world.venue.quote(Side.SELL, 200_100, 500)
    world.pass_time(11)
    world.venue.tick()
    assert world.venue.merchants.reader.invoice(invoice.id).status == "processing"


@pytest.mark.parametrize("floor", [100 * DOLLAR, 2001 * DOLLAR])
def test_what_the_key_may_not_sell_pays_nothing_and_says_why(world, floor):
    store = world.venue.approved_store(floor_price=floor, notional_cap=49 * DOLLAR)
    invoice = asked(world, store=store)
    send(world, invoice, 25 * LOT_RAW)
    world.pass_time(901)
    left = settle(world, invoice)
    assert (left.status, left.received, left.conversions) == ("expired", "0", [])
    assert ("floor" if floor > 200_000 * 10**6 else "notional") in sole(left.others).why
    assert world.venue.pips(MERCHANT, TOKEN) == 25 * LOT


def test_late_it_is_weighed_with_all_that_is_booked(world):
    invoice = asked(world)
    send(world, invoice, 10 * LOT_RAW)
    world.pass_time(901)
    short = settle(world, invoice)
    assert (short.status, short.exception, short.short) == ("expired", "paid_partial", "30")
    world.venue.quote(Side.BUY, 200_000, 50)
    world.venue.quote(Side.SELL, 200_100, 50)
    world.pass_time(5)
    send(world, invoice, 30 * 10**6, USD)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, sole(paid.conversions).proceeds) == (
        *("settled", "paid_late"),
        "20",
    )


def test_a_refund_of_it_is_at_the_value_that_it_counted_at(world):
    invoice = asked(world)
    send(world, invoice, 30 * LOT_RAW)
    paid = settle(world, invoice)
    assert (paid.exception, paid.over) == ("paid_over", "10")
    refunds = world.venue.merchants.refunding.refunds
    over = refunds.create(paid.store_id, paid.id, RefundRequest(RefundVariant.OVERPAID))
    assert (over.amount, over.token, over.worth) == ("0.005", "TOKEN", "10")


def test_a_new_price_offers_it_and_counts_what_came_of_it(world):
    """It was left out for want of a price, came, and is offered by the next quote."""
    venue = world.venue
    store = venue.approved_store()
    for order_id in (1, 2, 3):
        venue.cancel(MAKER_SECRET, order_id)
    created = venue.invoice(store, "50", tokens=())
    assert [one.token for one in created.options] == ["USD"]
    send(world, created, 10 * LOT_RAW)
    world.pass_time(901)
    settle(world, created)
    venue.quote(Side.BUY, 200_000, 500)
    venue.quote(Side.SELL, 200_100, 500)
    world.pass_time(5)
    fresh = venue.merchants.requote(created.id)
    assert [one.token for one in fresh.options] == ["USD", "TOKEN"]
    assert (fresh.received, fresh.others) == ("20", [])
    send(world, fresh, int(option(fresh, "TOKEN").remaining_raw))
    paid = settle(world, fresh)
    assert (paid.status, sole(paid.conversions).sold) == ("settled", "0.025")


def test_killed_between_being_seen_and_being_booked_it_counts_once(world):
    invoice = asked(world)
    send(world, invoice, 25 * LOT_RAW)
    world.restart()
    world.venue.watch()
    world.venue.tick()
    world.venue.settle_sweeps()
    world.restart()
    paid = settle(world, invoice)
    assert (paid.status, paid.received, sole(paid.others).worth) == ("settled", "50", "50")
    assert PIPS_PER_TOKEN * 25 // 1000 == 25 * LOT
    assert sole(paid.conversions).sold == "0.025"
