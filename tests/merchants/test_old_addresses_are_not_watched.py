"""What it costs to look at the chain follows the invoices of a month, not of all years."""

import pytest

from merchants.service import ROWS_MAX, WATCHED_NS
from tests.merchants.rig import CONFIRMATIONS, NS, World, address_bytes, due_raw

MONTH_S = WATCHED_NS // NS


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def addresses(invoices):
    return [address_bytes(invoice.deposit_address) for invoice in invoices]


def test_found_nobody_told_the_watcher_that_an_address_is_old(world):
    house = world.house
    store = house.approved_store()
    paid, unpaid = (house.invoice(store, amount_usd="50") for _ in range(2))
    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), confirmations=CONFIRMATIONS)
    for _ in range(3):
        house.watch()
        house.tick()
        house.settle_sweeps()
    world.pass_time(MONTH_S)
    young = house.invoice(store, amount_usd="50", token="USD")
    house.tick()
    assert house.unwatched == []
    world.pass_time(1)
    house.tick()
    assert sorted(house.unwatched) == sorted(addresses([paid, unpaid]))
    assert house.merchants.watched_addresses() == addresses([young])
    house.tick()
    assert len(house.unwatched) == 2, "once"


def test_more_than_a_step_takes_are_taken_by_the_next(world):
    house = world.house
    store = house.approved_store()
    made = [house.invoice(store, token="USD") for _ in range(ROWS_MAX + 1)]
    world.pass_time(MONTH_S + 1)
    house.tick()
    house.tick()
    house.tick()
    assert sorted(house.unwatched) == sorted(addresses(made))


def test_what_is_on_its_way_stays_watched_and_is_again_after_a_restart(world):
    """Its sweep is asked for and not booked: who does not see it leave counts it twice."""
    house = world.house
    invoice = house.invoice(house.approved_store(), amount_usd="50")
    world.pass_time(MONTH_S - 1)
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    house.watch()
    house.tick()
    world.pass_time(10)
    house.tick()
    world.restart()
    assert (house.unwatched, world.house.unwatched) == ([], [])
    assert world.house.merchants.watched_addresses() == addresses([invoice])


def test_a_transfer_that_may_still_leave_the_chain_keeps_its_address_watched(world):
    house = world.house
    invoice = house.invoice(house.approved_store(), amount_usd="50")
    world.pass_time(MONTH_S)
    world.transfer(address_bytes(invoice.deposit_address), 10**10, confirmations=1)
    house.watch()
    world.pass_time(1)
    house.tick()
    assert house.unwatched == []
