"""Found by a seed: the exchange was down for a day between a payment and its sweep.

At the next start the invoice was called invalid, and nothing swept the money that lay at its
address: paid, confirmed, and never the shop's.
"""

import pytest

from tests.merchants.fixtures import CONFIRMATIONS, World, address_bytes, due_raw


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_invalid_invoice_whose_payment_is_confirmed_still_settles(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    venue.watch()
    world.pass_time(86_401)
    world.confirm(CONFIRMATIONS)

    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
        world.pass_time(601)
    venue.tick()

    assert venue.merchants.reader.invoice(invoice.id).status == "settled"


def test_an_announced_payment_that_was_never_mined_is_not_swept_for_ever(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    venue.watch()
    world.pass_time(86_401)

    venue.tick()
    world.sweeps_wanted.clear()
    for _ in range(5):
        world.pass_time(601)
        venue.tick()

    assert venue.merchants.reader.invoice(invoice.id).status == "invalid"
    assert not world.sweeps_wanted, "no gas for what is not there"
