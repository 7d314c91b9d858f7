"""What it costs to look at the chain follows the invoices of a month, not of all years."""

import pytest

from engine.types import Outcome
from merchants.sales.invoices import WATCHED_NS
from merchants.service import ROWS_MAX
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    NS,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    option,
)

MONTH_S = WATCHED_NS // NS


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def addresses(invoices):
    return [address_bytes(invoice.deposit_address) for invoice in invoices]


def test_found_nobody_told_the_watcher_that_an_address_is_old(world):
    venue = world.venue
    store = venue.approved_store()
    paid, unpaid = (venue.invoice(store, amount="50") for _ in range(2))
    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), confirmations=CONFIRMATIONS)
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
    world.pass_time(MONTH_S)
    young = venue.invoice(store, amount="50", token="USD")
    venue.tick()
    assert venue.unwatched == []
    world.pass_time(1)
    venue.tick()
    assert sorted(venue.unwatched) == sorted(addresses([paid, unpaid]))
    assert venue.merchants.watched_addresses() == addresses([young])
    venue.tick()
    assert len(venue.unwatched) == 2, "once"


def test_more_than_a_step_takes_are_taken_by_the_next(world):
    venue = world.venue
    store = venue.approved_store()
    made = [venue.invoice(store, token="USD") for _ in range(ROWS_MAX + 1)]
    world.pass_time(MONTH_S + 1)
    venue.tick()
    venue.tick()
    venue.tick()
    assert sorted(venue.unwatched) == sorted(addresses(made))


def test_what_is_on_its_way_stays_watched_and_is_again_after_a_restart(world):
    """Its sweep is asked for and not booked: who does not see it leave counts it twice."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.pass_time(MONTH_S - 1)
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    venue.watch()
    venue.tick()
    world.pass_time(10)
    venue.tick()
    world.restart()
    assert (venue.unwatched, world.venue.unwatched) == ([], [])
    assert world.venue.merchants.watched_addresses() == addresses([invoice])


def test_a_transfer_that_may_still_leave_the_chain_keeps_its_address_watched(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.pass_time(MONTH_S)
    world.transfer(address_bytes(invoice.deposit_address), 10**10, confirmations=1)
    venue.watch()
    world.pass_time(1)
    venue.tick()
    assert venue.unwatched == []


def test_what_is_paid_after_a_month_is_fetched_when_the_shop_asks(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    rescans = venue.merchants.rescans
    assert rescans.ask(store.store_id, invoice.id).outcome is Outcome.INVOICE_CLOSED, "watched"
    world.pass_time(MONTH_S + 1)
    venue.tick()
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    venue.settle_sweeps()
    assert venue.merchants.reader.invoice(invoice.id).received == "0", "nobody looks there"
    assert rescans.ask("another", invoice.id).outcome is Outcome.NOT_FOUND
    for _ in range(2):
        looked_again(venue, store, invoice)
        venue.settle_sweeps()
        venue.tick()
    found = venue.merchants.reader.invoice(invoice.id)
    assert (found.status, found.exception) == ("settled", "paid_late")
    assert option(found).credited == option(found).amount_due, "once, however often it is asked"


def looked_again(venue, store, invoice):
    """Let a shop have an old address looked at."""
    rescans = venue.merchants.rescans
    old = rescans.ask(store.store_id, invoice.id)
    rescans.fetch(old, rescans.lying(old))


def test_found_single_units_at_old_addresses_were_swept_at_our_cost(world):
    """Of each token that is worth less than its gas nothing is swept; it adds up to what is."""
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    world.pass_time(MONTH_S + 1)
    venue.tick()
    address = address_bytes(invoice.deposit_address)
    for token in (TOKEN, USD):
        world.transfer(address, 1, token, confirmations=CONFIRMATIONS)
    looked_again(venue, store, invoice)
    assert world.sweeps_wanted == {}, "a unit of each"
    world.transfer(address, 60_000, USD, confirmations=CONFIRMATIONS)
    looked_again(venue, store, invoice)
    assert world.sweeps_wanted == {}, "six cents"
    world.transfer(address, 60_000, USD, confirmations=CONFIRMATIONS)
    looked_again(venue, store, invoice)
    assert [token for _, _, token in world.sweeps_wanted] == [USD], "twelve cents together"


def test_where_no_node_answers_nothing_is_swept_and_the_shop_is_told(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    world.pass_time(MONTH_S + 1)
    venue.tick()
    world.is_chain_away = True
    rescans = venue.merchants.rescans
    found = rescans.lying(rescans.ask(store.store_id, invoice.id))
    assert found.outcome is Outcome.OVERLOADED
