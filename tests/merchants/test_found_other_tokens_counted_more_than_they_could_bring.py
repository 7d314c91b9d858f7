"""What came and was not offered counts what the key can sell of it, and not once it went back."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from merchants.records.others import Other
from merchants.records.refunds import RefundVariant
from merchants.sales.refunds import RefundRequest
from tests.merchants.fixtures import DOLLAR, TOKEN, address_bytes, sole
from tests.merchants.test_another_listed_token_counts_at_its_own_value import LOT_RAW, asked
from tests.merchants.test_late_and_mixed_money_is_weighed import deposit, fall, send, settle, world

__all__ = ["world"]


def look(world, invoice):
    return world.venue.merchants.reader.invoice(invoice.id)


def given_back(world, invoice):
    refunds = world.venue.merchants.refunding.refunds
    return refunds.create(invoice.store_id, invoice.id, RefundRequest(RefundVariant.RATE_THEN))


def test_found_what_was_given_back_lent_its_value_to_what_came_later(world):
    """40 came and went back; what came when the price had fallen to a quarter counted 25."""
    invoice = asked(world)
    deposit(world, invoice, 20)
    assert look(world, invoice).received == "40"
    given_back(world, invoice)
    assert look(world, invoice).received == "0"
    fall(world, 50_000)
    send(world, invoice, 20 * LOT_RAW)
    assert look(world, invoice).received == "10"
    assert sole(look(world, invoice).others).worth == "10"


def test_found_what_was_given_back_counted_again_for_what_could_not_be_sold(world):
    """It cannot be sold, so it pays nothing, whatever the same token counted for before."""
    store = world.venue.approved_store(floor_price=1900 * DOLLAR)
    invoice = asked(world, store=store)
    deposit(world, invoice, 20)
    given_back(world, invoice)
    fall(world, 50_000)
    send(world, invoice, 20 * LOT_RAW)
    assert look(world, invoice).received == "0"
    assert "floor" in sole(look(world, invoice).others).why


def test_found_a_refund_that_was_cancelled_left_a_paid_invoice_open(world):
    invoice = world.venue.invoice(world.venue.approved_store(), "50")
    deposit(world, invoice, 20)
    refund = given_back(world, invoice)
    deposit(world, invoice, 5)
    assert look(world, invoice).status == "new"
    world.venue.merchants.refunding.refunds.cancel(invoice.store_id, refund.id)
    assert look(world, invoice).status == "settled"


def test_found_what_was_given_back_while_it_was_confirmed_left_the_invoice_processing(world):
    invoice = world.venue.invoice(world.venue.approved_store(), "50")
    deposit(world, invoice, 20)
    world.transfer(address_bytes(invoice.deposit_address), 5 * LOT_RAW, TOKEN, 1)
    world.venue.watch()
    assert look(world, invoice).status == "processing"
    given_back(world, invoice)
    reopened = look(world, invoice)
    assert (reopened.status, reopened.received) == ("new", "10")


def test_a_refund_that_is_cancelled_lets_it_count_again(world):
    invoice = asked(world)
    deposit(world, invoice, 20)
    refund = given_back(world, invoice)
    world.venue.merchants.refunding.refunds.cancel(invoice.store_id, refund.id)
    send(world, invoice, 5 * LOT_RAW)
    assert look(world, invoice).received == "50"
    assert settle(world, invoice).status == "settled"


def test_found_two_invoices_counted_what_the_key_may_sell_once(world):
    store = world.venue.approved_store(notional_cap=60 * DOLLAR)
    first, second = asked(world, store=store), asked(world, store=store)
    send(world, first, 25 * LOT_RAW)
    send(world, second, 25 * LOT_RAW)
    assert look(world, first).status == "processing"
    refused = look(world, second)
    assert (refused.status, refused.received) == ("new", "0")
    assert "notional" in sole(refused.others).why
    paid = settle(world, first)
    assert (paid.status, sole(paid.conversions).sold) == ("settled", "0.025")


def test_found_no_option_is_offered_of_what_other_tokens_take_of_the_key(world):
    store = world.venue.approved_store(notional_cap=60 * DOLLAR)
    send(world, asked(world, store=store), 20 * LOT_RAW)
    offered = world.venue.invoice(store, "50", tokens=())
    assert [one.token for one in offered.options] == ["USD"]


def test_found_the_shop_was_not_told_of_other_tokens_payments(world):
    """Dust is measured by what it is worth: half a hundredth of TOKEN is ten dollars."""
    store = world.venue.approved_store()
    invoice = asked(world, store=store)
    send(world, invoice, 5 * LOT_RAW)
    assert world.venue.types(store)[-1] == "invoice.received_payment"
    send(world, invoice, LOT_RAW // 100)
    assert world.venue.types(store).count("invoice.received_payment") == 1


def test_found_dust_kept_another_tokens_payment_from_being_noticed(world):
    invoice = asked(world)
    for _ in range(1_024):
        world.transfer(address_bytes(invoice.deposit_address), 1, TOKEN, 3)
    send(world, invoice, 25 * LOT_RAW)
    assert look(world, invoice).status == "processing"


def test_found_a_node_that_lagged_gave_what_had_counted_another_value(world):
    invoice = asked(world)
    send(world, invoice, 20 * LOT_RAW)
    fall(world, 50_000)
    world.confirm(2)
    world.venue.watch()
    assert look(world, invoice).received == "40"
    world.confirm(3)
    world.venue.watch()
    assert look(world, invoice).received == "40"


def test_found_what_was_weighed_anew_kept_the_worth_it_had_had_in_time(world):
    invoice = asked(world)
    deposit(world, invoice, 16)
    world.pass_time(901)
    fall(world, 100_000)
    world.venue.tick()
    with Session(world.venue.database) as session:
        other = sole(session.scalars(select(Other)))
        assert (other.worth_pips, other.timely_worth_pips) == (16 * DOLLAR, 16 * DOLLAR)
