"""Found: a shop's words that no door looked at. By BTCPay's dialect a customer was led back to any
URL, a script too; metadata with a number that no float holds was taken, and broke who reads it."""

import json

import pytest
from starlette.testclient import TestClient

from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from merchants.webhooks.greenfield_words import body_of
from tests.merchants.fixtures import World
from tests.merchants.site import site
from tests.merchants.test_btcpays_plugins_are_told_in_their_words import Sent

SCRIPTS = ("javascript:alert(1)", " https://a/", "data:text/html,x", "https://a/\n", "//a", "a" * 9)
UNREADABLE = ('{"a":1e999}', '{"orderId":' + "1" * 5000 + "}", "[]", "{" * 9)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize("url", SCRIPTS)
def test_found_a_customer_was_led_back_to_a_script(world, url):
    store = world.venue.approved_store()
    client = TestClient(site(world.venue), headers={"Authorization": f"token {store.api_key}"})
    body = {"amount": "50", "checkout": {"redirectURL": url}}
    answer = client.post("/api/v1/invoices", json=body)
    assert (answer.status_code, answer.json()[0]["path"]) == (422, "redirect_url")
    request = InvoiceRequest("50", redirect_url=url)
    assert isinstance(world.venue.merchants.create_invoice(store.store_id, request), Rejection)


@pytest.mark.parametrize("metadata", UNREADABLE)
def test_found_metadata_that_nobody_can_read_was_taken_or_a_fault_of_ours(world, metadata):
    store = world.venue.approved_store()
    client = TestClient(
        site(world.venue),
        headers={"Authorization": f"token {store.api_key}", "Content-Type": "application/json"},
    )
    made = client.post("/v1/invoices", json={"amount": "50"}).json()["id"]
    body = f'{{"amount": "50", "metadata": {metadata}}}'
    assert client.post("/v1/invoices", content=body).status_code == 400
    assert client.post("/api/v1/invoices", content=body).status_code == 422
    body = f'{{"metadata": {metadata}}}'
    assert client.put(f"/api/v1/invoices/{made}", content=body).status_code == 422
    assert client.get(f"/v1/invoices/{made}").json()["metadata"] == {}


def test_found_plugins_were_told_nothing_of_an_invoice_with_a_number_out_of_range():
    invoice = {"status": "new", "exception": "none", "expires_at": 1, "deposit_address": "0x"}
    told = json.dumps({"data": {"invoice": invoice | {"metadata": "MARK"}}})
    told = told.replace('"MARK"', '{"b":1e999,"a":0.10}')
    assert b'"metadata":{"b":1e999,"a":0.10}' in body_of(Sent("invoice.created", told, "s", "i"))
