"""Anybody may write a log that names an invoice's address; what was paid for it stays what it was.

A token lets everybody move nothing from anywhere: a transfer of 0 needs no allowance.
"""

import pytest

from engine.types import Outcome
from merchants.sales.asked import InvoiceRequest
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    option,
)

STRANGER = b"\x0c" * 20


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def send(world, invoice, raw, token=TOKEN):
    world.transfer(address_bytes(invoice.deposit_address), raw, token, CONFIRMATIONS)
    world.venue.watch()


def settle(world, invoice, rounds=3):
    for _ in range(rounds):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


@pytest.mark.parametrize("is_watched_first", [True, False])
def test_found_a_transfer_of_nothing_made_a_payment_vanish(world, is_watched_first):
    """With a deposit of one lot behind it in its transaction it looked like the sweep."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    send(world, invoice, due_raw(invoice))
    address, ref = address_bytes(invoice.deposit_address), bytes.fromhex(invoice.ref[2:])
    nothing = world.transfer(STRANGER, 0, TOKEN, CONFIRMATIONS, sender=address)
    if is_watched_first:
        venue.watch()
    venue.fund(MERCHANT, TOKEN, LOT, ref, nothing.tx_hash)
    paid = settle(world, invoice)
    assert (paid.status, paid.received, option(paid).credited) == ("settled", "52", "0.026")


def test_found_transfers_of_nothing_filled_the_list_of_payments(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    for _ in range(5):
        send(world, invoice, 0)
    assert venue.merchants.reader.invoice(invoice.id).payments == []
    assert venue.types(store) == ["invoice.created"]


def test_found_a_deposit_of_dust_was_an_event_each_time(world):
    """Straight into the vault with the invoice's reference: gas for him, a webhook for the shop."""
    venue = world.venue
    store = venue.approved_store()
    unpaid, half = (venue.invoice(store, amount="50") for _ in range(2))
    world.pass_time(1000)
    venue.tick()
    venue.fund(MERCHANT, TOKEN, 12 * LOT, bytes.fromhex(half.ref[2:]))
    venue.tick()
    assert venue.types(store)[-1] == "invoice.short"
    before = venue.types(store)
    for invoice in (unpaid, half) * 3:
        venue.fund(MERCHANT, TOKEN, 1, bytes.fromhex(invoice.ref[2:]))
        venue.tick()
    assert venue.types(store) == before
    assert [venue.merchants.reader.invoice(i.id).short for i in (unpaid, half)] == ["0", "26"]
    venue.fund(MERCHANT, TOKEN, LOT, bytes.fromhex(half.ref[2:]))
    venue.tick()
    assert venue.merchants.reader.invoice(half.id).short == "23.99994"
    assert venue.types(store) == [*before, "invoice.short"]


def test_found_an_invoice_of_nothing_cost_the_operator_a_sweep(world):
    """A shop and its customer could have a ten thousandth of a cent fetched as often as they
    wished, also by a store that tolerates all but that."""
    venue = world.venue
    store = venue.approved_store(tolerance_pips=1000 * DOLLAR)
    small = venue.merchants.create_invoice(
        store.store_id, InvoiceRequest("0.0999", tokens=("USD",))
    )
    assert (small.outcome, small.detail["least"]) == (Outcome.MALFORMED, "0.1")
    invoice = venue.invoice(store, amount="50", token="USD")
    send(world, invoice, 99_999, USD)
    assert settle(world, invoice).status == "new" and not world.sweeps_wanted
    send(world, invoice, 1, USD)
    assert settle(world, invoice).status == "settled"


def test_less_than_a_lot_is_weighed_to_the_pip(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    world.pass_time(1000)
    venue.tick()
    venue.fund(MERCHANT, TOKEN, LOT - 1, bytes.fromhex(invoice.ref[2:]))
    venue.tick()
    assert venue.merchants.reader.invoice(invoice.id).short == "48.00002"
    assert venue.types(store)[-1] == "invoice.short"
