"""Found: half came, was given back, and with the other half the invoice was settled."""

import pytest

from merchants.records.rejection import Rejection
from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw, option
from tests.merchants.refunding import claimed, opened, pay


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def halves(world, token):
    store = world.venue.approved_store()
    invoice = world.venue.invoice(store, amount="50", token=token)
    return store, invoice, due_raw(invoice) // 2


@pytest.mark.parametrize("token", ["TOKEN", "USD"])
def test_found_half_was_given_back_and_the_other_half_settled_it(world, token):
    store, invoice, half = halves(world, token)
    world.transfer(
        address_bytes(invoice.deposit_address),
        half,
        world.venue.catalog.token(option(invoice).token).address,
    )
    world.confirm(CONFIRMATIONS)
    world.pass_time(901)
    for _ in range(3):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
    refund = opened(world, store, invoice)
    assert not isinstance(refund, Rejection), refund
    claimed(world, refund)
    after = pay(world, invoice, half)
    world.pass_time(60)
    world.venue.tick()
    after = world.venue.merchants.reader.invoice(invoice.id)
    assert (after.status, after.conversions) == ("expired", [])
    assert "invoice.settled" not in world.venue.types(store)


def test_a_refund_that_was_called_off_is_in_nobodys_way(world):
    store, invoice, half = halves(world, "USD")
    world.pass_time(901)
    world.venue.tick()
    pay(world, invoice, half)
    refund = opened(world, store, invoice)
    world.venue.merchants.refunding.refunds.cancel(store.store_id, refund.id)
    assert pay(world, invoice, half).status == "settled"
