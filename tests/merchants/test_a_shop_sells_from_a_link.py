"""A pay button costs what its shop has said, and a till's key makes invoices and nothing else."""

import pytest
from starlette.testclient import TestClient

from gateway.trading.budgets import PressBudgets
from tests.merchants.fixtures import World
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer

COFFEE = {"name": "Coffee <b>", "amount": "4.50", "tokens": ["TOKEN"]}
SALE = {"amount": "12.5", "tokens": ["TOKEN"], "order_id": "table 7"}


@pytest.fixture
def venue(tmp_path):
    return World(tmp_path).venue


@pytest.fixture
def client(venue):
    return TestClient(site(venue), follow_redirects=False)


@pytest.fixture
def shop(client):
    """Return (store id, headers of its first key)."""
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    approve(client, made)
    return made["id"], bearer(made["api_key"])


def button(client, shop, **changes):
    store, headers = shop
    path = f"/v1/stores/{store}/pay-buttons"
    answer = client.post(path, json=COFFEE | changes, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def key_with(client, shop, *scopes):
    store, headers = shop
    body = {"scopes": list(scopes)}
    made = client.post(f"/v1/stores/{store}/api-keys", json=body, headers=headers)
    return bearer(made.json()["api_key"])


def test_a_press_makes_an_invoice_at_the_shops_price(client, shop, venue):
    made = button(client, shop, redirect_url="https://shop.example/thanks")
    path = made["url"].removeprefix("http://shop.test")
    assert path == f"/pay/{shop[0]}/{made['id']}"
    page = client.get(path, headers={"Accept-Language": "de"})
    assert "4,50\u00a0$ bezahlen" in page.text and "Coffee &lt;b&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text

    pressed = client.post(f"{path}?lang=de", data={"amount": "0.01"})
    assert pressed.status_code == 303
    where, _, lang = pressed.headers["location"].partition("?")
    assert lang == "lang=de"
    invoice = venue.merchants.reader.invoice(where.removeprefix("/checkout/"))
    assert (invoice.amount, invoice.order_id) == ("4.50", "Coffee <b>"), "nothing was tampered"
    assert invoice.redirect_url == "https://shop.example/thanks"
    assert client.get(pressed.headers["location"]).status_code == 200


def test_a_button_that_was_ended_sells_no_more_and_is_no_others_shop(client, shop):
    store, headers = shop
    made = button(client, shop)
    own = f"/v1/stores/{store}/pay-buttons"
    listed = client.get(own, headers=headers).json()["pay_buttons"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert client.get(f"/pay/sto_other/{made['id']}").status_code == 404
    for _ in range(2):
        ended = client.delete(f"{own}/{made['id']}", headers=headers)
        assert ended.status_code == 200 and ended.json()["ended_at"] is not None
    assert client.get(own, headers=headers).json()["pay_buttons"] == []
    for ask in (client.get, client.post):
        assert ask(f"/pay/{store}/{made['id']}").status_code == 404
        assert ask(f"/pay/{store}/{'x' * 5000}").status_code == 404
    assert client.delete(f"{own}/pay_none", headers=headers).status_code == 404


def test_who_may_not_change_the_shop_makes_no_button(client, shop):
    clerk = key_with(client, shop, "btcpay.store.cancreateinvoice")
    path = f"/v1/stores/{shop[0]}/pay-buttons"
    assert client.post(path, json=COFFEE, headers=clerk).status_code == 403
    assert client.get(path, headers=clerk).status_code == 403
    for wrong in ({"amount": "0"}, {"amount": "1e3"}, {"name": ""}, {"redirect_url": "x:y"}):
        answer = client.post(path, json=COFFEE | wrong, headers=shop[1])
        assert answer.status_code in (400, 422), wrong


def test_presses_are_charged_to_who_presses_and_to_the_button(venue, shop, client):
    quick = TestClient(
        site(venue, presses=PressBudgets(per_address=3, per_button=100)), follow_redirects=False
    )
    made = button(client, shop)
    path = f"/pay/{shop[0]}/{made['id']}"
    answers = [quick.post(path) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert quick.get(path).status_code == 200


def test_a_till_takes_a_key_that_makes_invoices_and_nothing_else(client, shop, venue):
    clerk = key_with(client, shop, "btcpay.store.cancreateinvoice")
    sold = client.post("/v1/till-sales", json=SALE, headers=clerk)
    assert sold.status_code == 201, sold.text
    invoice = venue.merchants.reader.invoice(sold.json()["invoice_id"])
    assert (invoice.amount, invoice.order_id) == ("12.5", "table 7")
    assert invoice.redirect_url == "http://shop.test/pos"
    assert client.get("/v1/invoices", headers=clerk).status_code == 403
    strong = key_with(client, shop, "btcpay.store.cancreateinvoice", "btcpay.store.canviewinvoices")
    for headers in (shop[1], strong):
        refused = client.post("/v1/till-sales", json=SALE, headers=headers)
        assert refused.status_code == 403
    assert client.post("/v1/till-sales", json=SALE, headers=bearer("x")).status_code == 401
    assert "tbk_" not in client.get("/pos").text
