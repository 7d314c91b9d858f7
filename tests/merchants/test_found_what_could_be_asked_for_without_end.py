"""Found: what a shop, or whoever has a checkout's link, could ask for again and again, each time at
a cost that stays: rows and secrets on disk, deliveries that wait, proofs put together anew."""

import asyncio

import pytest
from starlette.testclient import TestClient

from gateway.pages.checkout_looks import Looks
from gateway.pages.checkout_view import CheckoutPage, PageFacts
from gateway.trading.budgets import ShopBudgets
from tests.merchants.fixtures import World
from tests.merchants.people_site import Browser, make_store, people_site
from tests.merchants.site import site
from tests.merchants.test_a_shop_is_told_at_several_endpoints import told
from tests.merchants.test_shops_over_rest import NEW_STORE

FEW = 4
REFUND_KEY = {"lifetime_s": 86_400, "slippage_ppm": 1_000}
HOOK = {"url": "https://shop.example/hook"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def made_and_ended(client, path):
    """Return, of each kind of thing that is kept, what making it and ending it at once answer."""

    def made(where, body, end=True):
        answer = client.post(path + where, json=body)
        if end and answer.status_code == 201 and "id" in answer.json():
            gone = client.request("DELETE", f"{path}{where}/{answer.json()['id']}", json={})
            assert gone.status_code == 200, gone.text
        return answer.status_code

    scopes = ["btcpay.store.canviewinvoices"]
    yield lambda: made("/api-keys", {"label": "", "scopes": scopes})
    yield lambda: made("/webhooks", HOOK)
    yield lambda: made("/pay-buttons", {"name": "tea", "amount": "5"})
    yield lambda: made("/refund-key", REFUND_KEY, end=False)
    yield lambda: made("/grants", {"token": "TOKEN"}, end=False)
    yield lambda: client.post("/api/v1/api-keys", json={"permissions": scopes}).status_code


@pytest.mark.parametrize("kind", range(6))
def test_found_rows_and_secrets_were_made_and_ended_without_end(world, kind):
    store = world.venue.approved_store()
    client = TestClient(
        site(world.venue, budgets=ShopBudgets(kept_per_store=FEW)),
        headers={"Authorization": f"Bearer {store.api_key}"},
    )
    once = list(made_and_ended(client, f"/v1/stores/{store.store_id}"))[kind]
    answers = [once() for _ in range(FEW + 1)]
    assert [code // 100 for code in answers] == [2] * FEW + [4]
    assert answers[-1] == 429
    assert client.get(f"/v1/stores/{store.store_id}").status_code == 200


def test_found_a_person_made_stores_without_end(world):
    world.people_terms = world.people_terms._replace(sign_up=True)
    world.restart()
    browser = Browser(people_site(world), world)
    browser.sign_in()
    body = {**NEW_STORE, "wallet": "0x" + browser.wallet.hex()}
    most = ShopBudgets().kept_per_store
    codes = [browser.ask("POST", "/v1/stores", body).status_code for _ in range(most + 1)]
    assert codes == [201] * most + [429]


def test_found_a_person_was_renamed_without_end(world):
    app = people_site(world)
    make_store(app)
    browser = Browser(app, world)
    browser.sign_in()
    most = ShopBudgets().kept_per_store
    codes = [
        browser.ask("PATCH", "/v1/people/me", {"name": f"he {number}"}).status_code
        for number in range(most + 1)
    ]
    assert codes == [200] * most + [429]
    assert browser.me()["name"] == f"he {most - 1}"


def test_found_redeliveries_of_one_event_piled_up(world):
    venue = world.venue
    store = venue.approved_store(webhook_url="https://a/")
    venue.invoice(store, token="USD")
    assert len(told(world).seen) == 1
    client = TestClient(site(venue), headers={"Authorization": f"Bearer {store.api_key}"})
    path = f"/v1/stores/{store.store_id}/webhook-deliveries"
    again = {client.post(f"{path}/1/redelivery").json()["id"] for _ in range(20)}
    assert len(again) == 1
    assert len(client.get(path).json()["deliveries"]) == 2
    assert len(told(world, {"https://a/": 503}).seen) == 1
    assert {client.post(f"{path}/1/redelivery").json()["id"]} == again, "it waits still"
    assert len(told(world).seen) == 1, "and leaves at once"


class CountingProofs:
    """A reader of which it is counted how often proofs are put together."""

    def __init__(self, reader):
        self.reader, self.count = reader, 0

    def sales(self, invoice_id):
        self.count += 1
        return self.reader.sales(invoice_id)

    def receipts(self, sales):
        return self.reader.receipts(sales)


def test_found_who_asked_at_once_had_proofs_put_together_each(world):
    invoice = world.venue.invoice(world.venue.approved_store())
    proofs = CountingProofs(world.venue.merchants.reader)
    looks = Looks(proofs, CheckoutPage(PageFacts("net")), 1, lambda: 0.0)

    async def ask():
        return await asyncio.gather(*(looks.proofs(invoice.id) for _ in range(50)))

    assert len(set(asyncio.run(ask()))) == 1
    assert proofs.count == 1
