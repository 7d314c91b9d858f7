"""Found: an invoice that was paid short, whose money was given back, was settled by what came next,
though the shop had only that: all that was ever booked was weighed."""

import pytest

from merchants.records.refunds import RefundVariant
from merchants.records.rejection import Rejection
from tests.merchants.fixtures import MERCHANT, TOKEN, USD, World, due_raw, option, sole
from tests.merchants.refunding import claimed, look, opened, wallet_signs
from tests.merchants.test_late_and_mixed_money_is_weighed import deposit, send, settle

LOT_RAW = 10**15


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def refunded(world, store, invoice):
    """Give back all that came, on chain."""
    refund = opened(world, store, invoice)
    assert not isinstance(refund, Rejection), refund
    assert not isinstance(claimed(world, refund), Rejection)
    assert not isinstance(wallet_signs(world, store, refund), Rejection)
    world.venue.tick()
    assert look(world, store, refund).status == "in_progress"


def paid_short(world, store, lots=15):
    invoice = world.venue.invoice(store, amount="50")
    send(world, invoice, lots * LOT_RAW)
    world.pass_time(901)
    return settle(world, invoice)


def test_what_was_given_back_is_weighed_no_more(world):
    venue = world.venue
    store = venue.approved_store()
    short = paid_short(world, store)
    assert (short.status, short.short) == ("expired", "20")
    refunded(world, store, short)
    assert venue.pips(MERCHANT, TOKEN) == 0
    send(world, short, 10 * LOT_RAW)
    again = settle(world, short)
    assert (again.status, again.short, again.received) == ("expired", "30", "20")
    send(world, short, 15 * LOT_RAW)
    paid = settle(world, short)
    assert (paid.status, paid.exception, paid.over) == ("settled", "paid_late", "0")
    assert sole(paid.conversions).proceeds == "50", "what there is, and no more"
    assert venue.pips(MERCHANT, TOKEN) == 0


def test_what_is_promised_counts_no_more_and_counts_again_when_that_is_given_up(world):
    venue = world.venue
    store = venue.approved_store()
    short = paid_short(world, store)
    refund = opened(world, store, short)
    send(world, short, 10 * LOT_RAW)
    assert settle(world, short).status == "expired"
    venue.merchants.refunding.refunds.cancel(store.store_id, refund.id)
    send(world, short, LOT_RAW)
    paid = settle(world, short)
    assert (paid.status, paid.over, venue.pips(MERCHANT, TOKEN)) == ("settled", "2", 0)


def test_what_is_given_back_while_it_is_open_pays_nothing_and_is_asked_for_again(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    deposit(world, invoice, 10)
    refunded(world, store, invoice)
    send(world, invoice, 15 * LOT_RAW)
    part = settle(world, invoice)
    assert (part.status, part.received, option(part).remaining) == ("new", "30", "0.01")
    send(world, invoice, 10 * LOT_RAW)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.over) == ("settled", "none", "0")
    assert sole(paid.conversions).proceeds == "50"


def test_what_is_given_back_after_a_sale_keeps_nothing_from_being_sold(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    send(world, invoice, due_raw(invoice))
    paid = settle(world, invoice)
    assert not isinstance(opened(world, store, paid, RefundVariant.FIAT), Rejection)
    send(world, invoice, 5 * LOT_RAW)
    more = settle(world, invoice)
    assert (more.exception, more.over) == ("paid_over", "10")
    assert [one.proceeds for one in more.conversions] == ["50", "10"]
    assert (venue.pips(MERCHANT, TOKEN), venue.pips(MERCHANT, USD) > 0) == (0, True)
