"""Found: the facilitator read what strangers sent, a millisecond of it, before it asked for
a key."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.api.x402.facilitator import Facilitator
from gateway.api.x402.routes import X402Routes
from gateway.http.clients import Clients
from gateway.http.problems import answer_of
from gateway.trading.budgets import ShopBudgets, ShopLimits
from gateway.trading.rejection import Rejection
from tests.merchants.fixtures import World

WRONG_MAX = 3


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def site_of(world):
    """Return the routes over a facilitator whose chain nobody gets as far as to ask."""
    venue, app = world.venue, FastAPI()
    facilitator = Facilitator(venue.catalog, None, None, 31337, world.clock)
    budgets = ShopBudgets(wrong_keys_per_address=WRONG_MAX)
    routes = X402Routes(venue.merchants, venue.catalog, facilitator, Clients(), ShopLimits(budgets))
    app.include_router(routes.router)

    @app.exception_handler(Rejection)
    async def refuse(_request, rejected):
        return answer_of(rejected)

    return TestClient(app)


@pytest.mark.parametrize("path", ["/x402/verify", "/x402/settle", "/x402/offers"])
def test_found_what_a_stranger_sent_was_read_before_he_was_asked_for_a_key(world, path):
    client, junk = site_of(world), b'{"x402Version": 2, "extra": ' + b"[" * 999
    wrong = {"Authorization": "Bearer tbk_none"}
    codes = [client.post(path, content=junk, headers=wrong).status_code for _ in range(5)]
    assert codes == [401] * WRONG_MAX + [429] * 2


def test_a_key_that_may_make_invoices_is_heard_and_another_is_not(world):
    client, store = site_of(world), world.venue.approved_store()
    keys = world.venue.merchants.stores.keys
    owner = keys.authenticate(store.api_key)
    seer = keys.make(owner, "", ["btcpay.store.canviewinvoices"]).api_key
    for key, code in ((store.api_key, 400), (seer, 403)):
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post("/x402/verify", content=b"{}", headers=headers).status_code == code
