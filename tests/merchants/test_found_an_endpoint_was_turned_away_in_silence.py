"""Found: whoever might change webhooks turned an endpoint to a place of his own, had it told other
things, or changed its secret twice, and no other endpoint was told, so that what he did next was
told to nobody."""

import json

import pytest
from starlette.testclient import TestClient

from gateway.trading.budgets import ShopBudgets
from merchants.webhooks.endpoints import EndpointChange, EndpointRequest
from tests.merchants.fixtures import World
from tests.merchants.site import site
from tests.merchants.test_shops_over_rest import bearer

ALARM, SHOP = "https://alarm.example/", "https://shop.example/services/T0/s3cret?token=s3cret"
FEW = 3


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.open_store(webhook_url="")


@pytest.fixture
def endpoint(world, store):
    endpoints = world.venue.merchants.endpoints
    endpoints.make(store.store_id, EndpointRequest(ALARM))
    return endpoints.make(store.store_id, EndpointRequest(SHOP)).row


def told(world, store):
    """Return what is told to whom: the type, the endpoint told, and what it is told."""
    merchants = world.venue.merchants
    urls = {row.id: row.url for row in merchants.endpoints.of_store(store.store_id)}
    return [
        (row.event.type, urls.get(row.endpoint_id), json.loads(row.event.body)["data"])
        for row in merchants.reader.webhook_deliveries(store.store_id)
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (EndpointChange(url="https://thief.example/"), "it is elsewhere"),
        (EndpointChange(types=("invoice.created",)), "it is told of other events"),
        (EndpointChange(format="greenfield"), "it is told in other words"),
    ],
)
def test_found_an_endpoint_was_changed_and_the_others_knew_nothing(
    world, store, endpoint, change, why
):
    changed = world.venue.merchants.endpoints.change(store.store_id, endpoint.id, change)
    ((kind, whom, said),) = told(world, store)
    assert (kind, whom) == ("endpoint.changed", ALARM)
    assert said["endpoint"] == {
        "id": endpoint.id,
        "host": changed.url.split("/")[2],
        "why": why,
    }


def test_found_a_secret_was_changed_and_the_others_knew_nothing(world, store, endpoint):
    secret = world.venue.merchants.endpoints.rotate_secret(store.store_id, endpoint.id)
    ((kind, whom, said),) = told(world, store)
    assert (kind, whom, said["endpoint"]["why"]) == ("endpoint.changed", ALARM, "another secret")
    assert secret not in json.dumps(said)


def test_what_stays_as_it_is_is_told_to_nobody(world, store, endpoint):
    same = EndpointChange(url=SHOP, types=(), format="standard", enabled=True)
    world.venue.merchants.endpoints.change(store.store_id, endpoint.id, same)
    assert told(world, store) == []


def test_changes_that_are_told_are_kept_as_often_as_a_shop_may(world, store, endpoint):
    client = TestClient(site(world.venue, budgets=ShopBudgets(kept_per_store=FEW)))
    path = f"/v1/stores/{store.store_id}/webhooks/{endpoint.id}"
    headers = bearer(store.api_key)
    bodies = [{"url": f"{ALARM}{number}"} for number in range(FEW)]
    assert [client.patch(path, json=body, headers=headers).status_code for body in bodies] == (
        [200] * FEW
    )
    assert client.patch(path, json={"event_types": []}, headers=headers).status_code == 429
    assert client.post(f"{path}/secret", headers=headers).status_code == 429
    theirs = f"/api/v1/webhooks/{endpoint.id}"
    body = {"url": f"{ALARM}{FEW - 1}"}
    assert client.put(theirs, json=body, headers=headers).status_code == 200, "as it is"
    body = {"url": f"{ALARM}x"}
    assert client.put(theirs, json=body, headers=headers).status_code == 429
