"""Found by a seed: the exchange was down for a day between a payment and its sweep.

At the next start the invoice was called invalid, and nothing swept the money that lay at its
address: paid, confirmed, and never the shop's.
"""

import pytest

from tests.merchants.rig import CONFIRMATIONS, World, address_bytes, due_raw


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_invalid_invoice_whose_payment_is_confirmed_still_settles(world):
    house = world.house
    invoice = house.invoice(house.approved_store(), amount_usd="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    house.watch()
    world.pass_time(86_401)
    world.confirm(CONFIRMATIONS)

    for _ in range(3):
        house.watch()
        house.tick()
        house.settle_sweeps()
        world.pass_time(601)
    house.tick()

    assert house.merchants.invoice(invoice.id).status == "settled"


def test_an_announced_payment_that_was_never_mined_is_not_swept_for_ever(world):
    house = world.house
    invoice = house.invoice(house.approved_store(), amount_usd="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    house.watch()
    world.pass_time(86_401)

    house.tick()
    world.sweeps_wanted.clear()
    for _ in range(5):
        world.pass_time(601)
        house.tick()

    assert house.merchants.invoice(invoice.id).status == "invalid"
    assert not world.sweeps_wanted, "no gas for what is not there"
