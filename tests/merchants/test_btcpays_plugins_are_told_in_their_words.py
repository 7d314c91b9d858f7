"""What BTCPay's plugins listen to, from a whole sale: words, fields and signature."""

import hashlib
import hmac
import json
from typing import NamedTuple

import pytest

from merchants.records.refunds import RefundVariant
from merchants.webhooks.greenfield_words import (
    WORDS,
    body_of,
    has_words,
    headers_of,
    names_of,
    types_named,
)
from tests.merchants.fixtures import World, address_bytes
from tests.merchants.refunding import claimed, opened, paid, pay

WOOCOMMERCE = {
    "InvoiceReceivedPayment",
    "InvoicePaymentSettled",
    "InvoiceProcessing",
    "InvoiceExpired",
    "InvoiceSettled",
    "InvoiceInvalid",
}


class Sent(NamedTuple):
    type: str
    body: str
    store_id: str
    invoice_id: str
    endpoint_id: str = "whk_1"
    delivery_id: str = "8"
    first_delivery_id: str = "8"
    created_at: int = 1_800_000_000


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def told(world, store):
    """Return what a plugin is told of all events so far."""
    rows = world.venue.merchants.reader.events_after(store.store_id, 0)
    found = []
    for row in rows:
        body = bytes(row.body).decode()
        kind = json.loads(body)["type"]
        if has_words(kind):
            invoice = json.loads(body)["data"]["invoice"]["id"]
            found.append(json.loads(body_of(Sent(kind, body, store.store_id, invoice))))
    return found


def test_a_sale_is_told_as_they_read_it(world):
    store = world.venue.approved_store()
    invoice = paid(world, store)
    events = told(world, store)
    assert [one["type"] for one in events] == [
        "InvoiceCreated",
        "InvoiceReceivedPayment",
        "InvoiceProcessing",
        "InvoiceSettled",
    ]
    base = {
        *("deliveryId", "webhookId", "originalDeliveryId", "isRedelivery", "type", "timestamp"),
        *("storeId", "invoiceId", "metadata"),
    }
    assert all(base <= set(one) for one in events)
    received, settled = events[1], events[-1]
    assert received["afterExpiration"] is False
    assert (received["payment"]["value"], received["paymentMethodId"]) == ("0.025", "TOKEN-CHAIN")
    assert (settled["overPaid"], settled["manuallyMarked"]) == (False, False)
    assert (settled["invoiceId"], settled["isRedelivery"]) == (invoice.id, False)


def test_exceptions_have_the_fields_that_plugins_switch_on(world):
    store = world.venue.approved_store()
    invoice = paid(world, store, raw=10 * 10**15)
    world.pass_time(901)
    for _ in range(3):
        world.venue.tick()
        world.venue.settle_sweeps()
    expired, short = told(world, store)[-2:]
    assert (expired["type"], expired["partiallyPaid"]) == ("InvoiceExpired", True)
    assert (short["type"], short["afterExpiration"]) == ("InvoicePaymentSettled", True)

    over = paid(world, store, raw=40 * 10**15)
    assert told(world, store)[-1]["overPaid"] is True
    world.transfer(address_bytes(over.deposit_address), 10**16)
    pay(world, over, raw=10**16)
    besides = told(world, store)[-1]
    assert (besides["type"], besides["afterExpiration"]) == ("InvoicePaymentSettled", False)
    assert invoice.id != over.id


def test_a_refund_is_told_as_a_payout(world):
    store = world.venue.approved_store()
    refund = opened(world, store, paid(world, store), RefundVariant.RATE_THEN)
    claimed(world, refund)
    payout = told(world, store)[-1]
    assert (payout["type"], payout["payoutState"]) == ("PayoutCreated", "AwaitingPayment")
    assert payout["payoutId"] == refund.id


def test_every_event_that_woocommerce_listens_to_has_a_source():
    assert set(WORDS.values()) >= WOOCOMMERCE
    assert set(names_of(types_named(WOOCOMMERCE))) == WOOCOMMERCE
    assert types_named(["LightningThing"]) == ()


def test_the_signature_is_over_the_very_bytes_by_the_secret_as_it_was_given():
    body = b'{"type":"InvoiceSettled"}'
    made = hmac.new(b"whsec_x", body, hashlib.sha256).hexdigest()
    assert headers_of("whsec_x", body) == {"BTCPay-Sig": "sha256=" + made}
