"""What open invoices ask is asked for once: of a key's notional, and of what the bids bring."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.asks import EVERYBODY, Ask
from merchants.records.rejection import Rejection
from merchants.records.states import InvoiceState
from merchants.records.tables import Invoice
from merchants.sales.asked import InvoiceRequest
from merchants.sales.offers import ASKED_FOR
from tests.merchants.fixtures import CONFIRMATIONS, DOLLAR, TOKEN, World, address_bytes, due_raw

REACH = 1_099
"""What the bids of the fixture bring: 50 lots for 2.00, 500 for 1.999."""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def ask(world, store, amount, tokens=("TOKEN",), **about):
    request = InvoiceRequest(amount, tokens=tokens)
    made = world.venue.merchants.create_invoice(store.store_id, request, **about)
    assert kept_sums(world) == sums_of_rows(world)
    return made if isinstance(made, Rejection) else made.invoice


def kept_sums(world):
    with Session(world.venue.database) as session:
        return {
            (row.store_id, row.token): row.open_pips
            for row in session.scalars(select(Ask))
            if row.open_pips
        }


def sums_of_rows(world):
    """Add up open invoices one by one."""
    sums = {}
    with Session(world.venue.database) as session:
        for row in session.scalars(select(Invoice).where(Invoice.state == InvoiceState.NEW)):
            for option in row.options:
                for whose in (row.store_id, EVERYBODY) if option.token != row.settle else ():
                    key = whose, option.token
                    sums[key] = sums.get(key, 0) + option.proceeds_pips
    return sums


def test_two_within_the_cap_and_together_beyond_and_the_second_is_had_when_the_first_expires(world):
    store = world.venue.approved_store(notional_cap=100 * DOLLAR)
    first = ask(world, store, "60")
    refused = ask(world, store, "60")
    assert refused.outcome is Outcome.CANNOT_SELL
    assert refused.detail["why"] == ASKED_FOR
    assert (refused.detail["left"], refused.detail["needed"]) == ("100", "120")
    in_stablecoin = ask(world, store, "60", ())
    assert [one.token for one in in_stablecoin.options] == ["USD"]
    assert "open invoices" in in_stablecoin.options_left_out[0].why
    world.pass_time(901)
    world.venue.tick()
    assert world.venue.merchants.reader.invoice(first.id).status == "expired"
    assert ask(world, store, "60").status == "new"


def test_what_is_paid_is_open_no_more_and_counts_as_what_has_to_be_sold(world):
    store = world.venue.approved_store(notional_cap=100 * DOLLAR)
    paid = ask(world, store, "60")
    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), TOKEN, CONFIRMATIONS)
    world.venue.watch()
    assert world.venue.merchants.reader.invoice(paid.id).status == "processing"
    assert kept_sums(world) == {}
    assert ask(world, store, "60").outcome is Outcome.CANNOT_SELL
    assert ask(world, store, "40").status == "new"


def test_a_payment_that_leaves_the_chain_opens_it_again(world):
    store = world.venue.approved_store()
    invoice = ask(world, store, "60")
    sent = world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), TOKEN, 1)
    world.venue.watch()
    assert kept_sums(world) == {}
    world.venue.merchants.payment_orphaned(sent.tx_hash, sent.log_index)
    assert kept_sums(world) == sums_of_rows(world) != {}
    world.pass_time(901)
    world.venue.tick()
    world.venue.merchants.requote(invoice.id)
    assert kept_sums(world) == sums_of_rows(world)


def test_all_open_invoices_together_ask_no_more_than_the_bids_bring(world):
    first, second = world.venue.approved_store(), world.venue.approved_store()
    assert ask(world, first, "1000").status == "new"
    refused = ask(world, second, "100")
    assert refused.outcome is Outcome.NO_QUOTE
    assert (refused.detail["open"], refused.detail["reach"]) == ("1000.00001488", "1099.5")


def test_whoever_opens_many_takes_nobody_his_own_share(world):
    greedy, modest = world.venue.approved_store(), world.venue.approved_store()
    ask(world, greedy, "1090")
    assert isinstance(ask(world, greedy, "20"), Rejection)
    for _ in range(2):
        assert ask(world, modest, str(REACH // 16 // 2)).status == "new"
    assert isinstance(ask(world, modest, "10"), Rejection)


def test_who_presses_a_shops_button_keeps_half_of_the_key_from_nobody(world):
    store = world.venue.approved_store(notional_cap=100 * DOLLAR)
    pressed = [ask(world, store, "20", is_pressed=True) for _ in range(3)]
    assert [isinstance(one, Rejection) for one in pressed] == [False, False, True]
    assert ask(world, store, "50").status == "new"
    world.pass_time(901)
    world.venue.tick()
    assert kept_sums(world) == {}


def test_who_presses_asks_for_no_more_than_a_part_of_the_bids(world):
    store = world.venue.approved_store()
    pressed = [ask(world, store, "90", is_pressed=True) for _ in range(4)]
    assert [isinstance(one, Rejection) for one in pressed] == [False, False, False, True]
    assert ask(world, store, "500").status == "new"


def test_found_the_first_press_took_all_that_the_bids_bring(world):
    store = world.venue.approved_store()
    assert isinstance(ask(world, store, "1090", is_pressed=True), Rejection)
    assert ask(world, store, "270", is_pressed=True).status == "new"
    assert ask(world, store, "800").status == "new"


def test_the_sums_outlive_a_restart(world):
    store = world.venue.approved_store()
    ask(world, store, "60")
    world.restart()
    assert kept_sums(world) == sums_of_rows(world) != {}
