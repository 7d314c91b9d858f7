"""Found: what waited for an endpoint that changed to words which lack it was a fault in the middle
of the queue: no webhook of any shop left any more."""

import pytest
from starlette.testclient import TestClient

from tests.merchants.fixtures import World
from tests.merchants.refunding import opened, paid
from tests.merchants.site import site
from tests.merchants.test_a_shop_is_told_at_several_endpoints import told

HANGS, WELL = "https://hangs/", "https://well/"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_found_an_endpoint_that_changed_its_words_stopped_the_queue(world):
    venue = world.venue
    bad = venue.approved_store(webhook_url=HANGS)
    good = venue.approved_store(webhook_url=WELL)
    opened(world, bad, paid(world, bad))
    told(world, {HANGS: 503})
    client = TestClient(site(venue), headers={"Authorization": f"Bearer {bad.api_key}"})
    path = f"/v1/stores/{bad.store_id}"
    hook = f"{path}/webhooks/{bad.endpoint.row.id}"
    assert client.patch(hook, json={"format": "greenfield"}).status_code == 200
    venue.invoice(good, token="USD")
    urls = []
    for _ in range(4):
        world.pass_time(400)
        urls += told(world).urls()
    assert urls == [WELL]
    rows = client.get(f"{path}/webhook-deliveries").json()["deliveries"]
    lost = [row for row in rows if row["status"] == "dead"]
    assert {row["status"] for row in rows} == {"delivered", "dead"}
    assert "refund.opened" in {row["type"] for row in lost}
    assert all("no words" in row["last_error"] for row in lost)

    answer = client.post(f"{path}/webhook-deliveries/{lost[0]['id']}/redelivery")
    assert answer.status_code == 403
    theirs = f"/api{hook}/deliveries/{lost[0]['id']}"
    assert client.get(f"{theirs}/request").status_code == 404
    assert client.post(f"{theirs}/redeliver").status_code == 403
