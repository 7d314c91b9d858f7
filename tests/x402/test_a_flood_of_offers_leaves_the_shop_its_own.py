"""Found: who asks a shop behind x402 for its terms makes an invoice each time, and pays for none:
the open ones counted as the shop's own and used up all that it may sell."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.api.x402.facilitator import Facilitator
from gateway.api.x402.routes import X402Routes
from gateway.http.clients import Clients
from gateway.http.problems import answer_of
from gateway.trading.budgets import ShopBudgets, ShopLimits
from gateway.trading.rejection import Rejection
from settlement.outbox.authorizations import TokenDomain
from tests.merchants.fixtures import DOLLAR, World
from tests.merchants.test_open_invoices_count_against_what_may_be_sold import ask


class Domains:
    """A node that knows in which domain every token takes signatures."""

    operator = b"\x0b" * 20

    def domain_of(self, token):
        return TokenDomain("Token", "1")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def offers(world, store, amount, count):
    """Return the answers to buyers who ask for terms, one after the other."""
    venue, app = world.venue, FastAPI()
    facilitator = Facilitator(venue.catalog, Domains(), None, 31337, world.clock)
    limits = ShopLimits(ShopBudgets())
    routes = X402Routes(venue.merchants, venue.catalog, facilitator, Clients(), limits)
    app.include_router(routes.router)

    @app.exception_handler(Rejection)
    async def refuse(_request, rejected):
        return answer_of(rejected)

    headers = {"Authorization": f"Bearer {store.api_key}"}
    body = {"amount": amount, "token": "TOKEN", "resource": "https://shop.example/article"}
    with TestClient(app) as client:
        return [
            client.post("/x402/offers", json=body, headers=headers).status_code
            for _ in range(count)
        ]


def test_a_flood_of_offers_takes_a_part_of_the_bids_and_no_more(world):
    store = world.venue.approved_store()
    codes = offers(world, store, "90", 12)
    assert codes[0] == 201 and set(codes[4:]) == {503}
    assert ask(world, store, "500").status == "new", "the shop's own is not touched"


def test_a_flood_of_offers_takes_half_of_what_the_key_may_sell_and_no_more(world):
    store = world.venue.approved_store(notional_cap=100 * DOLLAR)
    codes = offers(world, store, "20", 6)
    assert codes == [201] * 2 + [409] * 4
    assert ask(world, store, "50").status == "new"


def test_offers_that_nobody_paid_are_forgotten_when_they_expire(world):
    store = world.venue.approved_store(notional_cap=100 * DOLLAR)
    assert offers(world, store, "50", 2) == [201, 409]
    world.pass_time(901)
    world.venue.tick()
    assert offers(world, store, "50", 1) == [201]
