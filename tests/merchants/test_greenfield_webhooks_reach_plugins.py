"""A plugin of BTCPay sets up its webhook, is told in its words, and asks for what it missed."""

import hashlib
import hmac
import json

import pytest

from tests.merchants.fixtures import World
from tests.merchants.test_greenfield_answers_as_its_clients_read import Asking, new_invoice, sale

URL = "https://plugin.example/hook"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store(webhook_url="")


@pytest.fixture
def ask(world, store):
    return Asking(world, store.api_key)


def made(ask, store, **fields):
    return ask("POST", f"/stores/{store.store_id}/webhooks", json={"url": URL} | fields)


def told(world):
    world.venue.tick()
    return [(headers, json.loads(body), body) for headers, body in world.received]


def test_a_sale_is_told_in_their_words_and_with_their_signature(world, store, ask):
    secret = made(ask, store)["secret"]
    assert "secret" not in ask("GET", f"/stores/{store.store_id}/webhooks")[0], "shown once"
    invoice_id = sale(world, ask, store)
    events = told(world)
    types = [body["type"] for _, body, _ in events]
    assert types[0] == "InvoiceCreated" and types[-1] == "InvoiceSettled"
    for headers, body, raw in events:
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        assert headers["BTCPay-Sig"] == f"sha256={signature}"
        assert (body["invoiceId"], body["isRedelivery"]) == (invoice_id, False)
        assert body["metadata"]["orderId"] == "WC-7"


def test_only_the_events_that_were_named_are_told(world, store, ask):
    wanted = {"everything": False, "specificEvents": ["InvoiceSettled"]}
    webhook = made(ask, store, authorizedEvents=wanted)
    assert webhook["authorizedEvents"] == wanted
    sale(world, ask, store)
    assert [body["type"] for _, body, _ in told(world)] == ["InvoiceSettled"]
    nothing = {"everything": False, "specificEvents": ["InvoiceEnchanted"]}
    path = f"/stores/{store.store_id}/webhooks"
    refused = ask("POST", path, 422, json={"url": URL, "authorizedEvents": nothing})
    assert refused[0]["path"] == "authorizedEvents.specificEvents"


def test_a_delivery_is_looked_at_and_sent_again(world, store, ask):
    webhook = made(ask, store)
    new_invoice(ask, store)
    ((_, first, _),) = told(world)
    path = f"/stores/{store.store_id}/webhooks/{webhook['id']}/deliveries"
    (delivery,) = ask("GET", path)
    assert (delivery["status"], delivery["id"]) == ("HttpSuccess", first["deliveryId"])
    assert ask("GET", f"{path}/{delivery['id']}") == delivery
    assert ask("GET", f"{path}/{delivery['id']}/request") == first
    again = ask("POST", f"{path}/{delivery['id']}/redeliver")
    _, second, _ = told(world)[-1]
    assert (second["deliveryId"], second["originalDeliveryId"]) == (again, delivery["id"])
    assert second["isRedelivery"]
    assert ask("GET", f"{path}/999", 404)["code"] == "webhookdelivery-not-found"


def test_a_webhook_is_changed_and_taken_away(world, store, ask):
    webhook = made(ask, store)
    path = f"/stores/{store.store_id}/webhooks/{webhook['id']}"
    changed = ask("PUT", path, json={"url": "https://other.example/", "enabled": False})
    assert (changed["url"], changed["enabled"]) == ("https://other.example/", False)
    new_invoice(ask, store)
    assert told(world) == []
    assert ask("DELETE", path) == {}
    assert ask("GET", path, 404)["code"] == "webhook-not-found"
