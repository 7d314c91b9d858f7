"""Any request to a shop's routes that fits the document, and any that does not: no fault of ours,
and each answer is what the document says of it (see the test of that name in ``tests/api``)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.api.v1.openapi import schema_of
from gateway.api.v1.shops import merchants_router
from gateway.http.mounting import mount
from tests.any_request import PLENTY, drawn, held
from tests.api.fixtures import Venue
from tests.merchants.fixtures import DOMAIN, World
from tests.merchants.refunding import pay
from tests.merchants.site import OPERATOR_TOKEN, served
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer


class Shop(NamedTuple):
    """A served shop: its API key, and what its objects are called."""

    url: str
    api_key: str
    names: dict[str, str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    world = World(tmp_path_factory.mktemp("world"))
    merchants = world.venue.merchants
    router = merchants_router(merchants, DOMAIN, OPERATOR_TOKEN, "http://shop.test")
    app = Venue(PLENTY).app(routers=(router,))  # As the product: it answers what nobody takes.
    client = TestClient(app)
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    approve(client, made)
    body = {"amount": "5", "tokens": ["TOKEN"]}
    invoice = client.post("/v1/invoices", json=body, headers=bearer(made["api_key"])).json()
    names = {"store_id": made["id"], "invoice_id": invoice["id"]}
    names["grant_id"] = made["grants"][0]["id"]
    hook = {"url": "https://shop.example/hook"}
    webhooks = f"/v1/stores/{made['id']}/webhooks"
    endpoint = client.post(webhooks, json=hook, headers=bearer(made["api_key"])).json()
    names["endpoint_id"] = endpoint["id"]
    pay(world, merchants.reader.invoice(invoice["id"]))
    refund = {"variant": "custom", "amount": "0.001", "currency": "TOKEN", "approve": False}
    path = f"/v1/invoices/{invoice['id']}/refunds"
    opened = client.post(path, json=refund, headers=bearer(made["api_key"])).json()
    names["refund_id"] = opened["id"]
    with served(app) as url:
        yield Shop(url, made["api_key"], names)


def document() -> dict[str, Any]:
    """Return the document of the routes alone: nobody stands behind them."""
    app = FastAPI()
    nobody: Any = None
    mount(app, merchants_router(nobody, DOMAIN, OPERATOR_TOKEN, "http://shop.test"))
    return schema_of(app)


schema = schemathesis.openapi.from_dict(document())


@schema.parametrize()
@drawn(examples=12)
def test_any_request_is_answered_as_the_document_says(case: Any, shop: Shop) -> None:
    held(case, shop.url)
    there = {name: value for name, value in shop.names.items() if name in case.path_parameters}
    case.path_parameters.update(there)
    for token in (shop.api_key, OPERATOR_TOKEN):
        held(case, shop.url, token)
