"""Each endpoint has its URL, its secret, its events; one that is gone silences no other."""

import asyncio
import json

import pytest
from starlette.testclient import TestClient

from merchants.records.rejection import Rejection
from merchants.webhooks.deliver import PER_STORE_MAX
from merchants.webhooks.egress import Answer
from merchants.webhooks.endpoints import ENDPOINTS_MAX, EndpointChange, EndpointRequest
from merchants.webhooks.sign import signature_of
from tests.merchants.fixtures import World, address_bytes, due_raw
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_shops_over_rest import NEW_STORE, bearer
from tests.merchants.test_webhooks_arrive import Held, deliveries_to, run

HOOK = {"url": "https://books.example/hook"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def client(world):
    return TestClient(site(world.venue))


@pytest.fixture
def shop(client):
    """Return (path of the store, headers) of a store that is told nowhere."""
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    assert made["webhook_secret"] is None
    return f"/v1/stores/{made['id']}", bearer(made["api_key"])


class Recorder:
    """Notes what comes to which URL."""

    def __init__(self, answers=None):
        self.seen, self.answers = [], answers or {}

    async def post(self, url, headers, body):
        self.seen.append((url, headers, body))
        return Answer(self.answers.get(url, 200))

    def urls(self):
        return sorted(url for url, _, _ in self.seen)


def endpoint(world, store, url, **fields):
    """Make another endpoint of a store."""
    request = EndpointRequest(url)._replace(**fields)
    made = world.venue.merchants.endpoints.make(store.store_id, request)
    assert not isinstance(made, Rejection), made
    return made


def told(world, answers=None):
    """Let all that is due leave; return who noted it."""
    recorder = Recorder(answers)
    run(deliveries_to(world, recorder))
    return recorder


def test_every_endpoint_is_told_and_each_signature_is_its_own(world):
    store = world.venue.approved_store(webhook_url="https://a/")
    other = endpoint(world, store, "https://b/")
    world.venue.invoice(store, token="USD")
    seen = sorted(told(world).seen)
    assert [url for url, _, _ in seen] == ["https://a/", "https://b/"]
    assert len({headers["webhook-id"] for _, headers, _ in seen}) == 1, "it is one event"
    for (_, headers, body), secret in zip(seen, (store.endpoint.secret, other.secret), strict=True):
        when = int(headers["webhook-timestamp"])
        expected = signature_of(secret, headers["webhook-id"], when, body)
        assert headers["webhook-signature"] == expected


def test_an_endpoint_is_told_what_it_asked_for(world):
    venue = world.venue
    store = venue.approved_store(webhook_url="https://all/")
    endpoint(world, store, "https://paid/", types=("invoice.received_payment",))
    invoice = venue.invoice(store, token="USD")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), b"\xbb" * 20)
    venue.watch()
    seen = told(world).seen
    types = [json.loads(body)["type"] for url, _, body in seen if url == "https://paid/"]
    assert types == ["invoice.received_payment"]
    assert len([url for url, _, _ in seen if url == "https://all/"]) == len(venue.types(store))


def test_one_that_is_gone_silences_no_other_and_is_opened_again(world):
    venue = world.venue
    store = venue.approved_store(webhook_url="https://gone/")
    endpoint(world, store, "https://stays/")
    venue.invoice(store, token="USD")
    told(world, {"https://gone/": 410})
    gone = venue.merchants.endpoints.read(store.store_id, store.endpoint.row.id)
    assert (gone.enabled, gone.last_status) == (False, 410) and "410" in gone.why
    venue.invoice(store, token="USD")
    assert told(world).urls() == ["https://stays/"]
    opened = venue.merchants.endpoints.change(store.store_id, gone.id, EndpointChange(enabled=True))
    assert (opened.enabled, opened.why) == (True, "")
    venue.invoice(store, token="USD")
    assert told(world).urls() == ["https://gone/", "https://stays/"]


def test_what_waits_goes_where_the_endpoint_is_now(world):
    venue = world.venue
    store = venue.approved_store(webhook_url="https://old/")
    venue.invoice(store, token="USD")
    assert told(world, {"https://old/": 503}).urls() == ["https://old/"]
    row = store.endpoint.row
    venue.merchants.endpoints.change(store.store_id, row.id, EndpointChange(url="https://new/"))
    world.pass_time(10)
    assert told(world).urls() == ["https://new/"]


def test_a_stale_answer_that_the_old_url_is_gone_closes_not_the_new_one(world):
    venue = world.venue
    store = venue.approved_store(webhook_url="https://old/")
    venue.invoice(store, token="USD")
    held = Held(410)

    async def play():
        deliveries = deliveries_to(world, held)
        deliveries.start_due()
        await held.arrived(1)
        change = EndpointChange(url="https://new/")
        venue.merchants.endpoints.change(store.store_id, store.endpoint.row.id, change)
        held.release(1)
        await deliveries.drain()

    asyncio.run(play())
    assert venue.merchants.endpoints.read(store.store_id, store.endpoint.row.id).enabled
    world.pass_time(10)
    assert told(world).urls() == ["https://new/"]


def test_found_endpoints_that_hang_took_the_places_of_the_shops_good_one(world):
    """All but one endpoint of a store hang: that one is told of everything meanwhile."""
    venue = world.venue
    store = venue.approved_store(webhook_url="https://good/")
    for number in range(ENDPOINTS_MAX - 1):
        endpoint(world, store, f"https://hangs{number}/")
    some = Some()

    async def play():
        deliveries = deliveries_to(world, some)
        venue.invoice(store, token="USD")
        deliveries.start_due()
        await deliveries.drain()
        world.pass_time(10)
        some.release.clear()
        for _ in range(PER_STORE_MAX):
            venue.invoice(store, token="USD")
        for _ in range(200):
            deliveries.start_due()
            await asyncio.sleep(0)
        assert some.good == 1 + PER_STORE_MAX
        some.release.set()
        await deliveries.close()

    asyncio.run(play())


class Some:
    """One endpoint that is well, and others that fail once they answer."""

    def __init__(self):
        self.good, self.release = 0, asyncio.Event()
        self.release.set()

    async def post(self, url, headers, body):
        if url == "https://good/":
            self.good += 1
            return Answer(200)
        await self.release.wait()
        return Answer(503)


def test_a_redelivery_is_another_delivery_of_the_same_event(world, client, shop):
    path, headers = shop
    client.post(f"{path}/webhooks", json=HOOK, headers=headers)
    client.post("/v1/invoices", json={"amount": "5", "tokens": ["USD"]}, headers=headers)
    first = told(world).seen
    (row,) = client.get(f"{path}/webhook-deliveries", headers=headers).json()["deliveries"]
    assert (row["status"], row["first_id"]) == ("delivered", None)
    for _ in range(2):
        answer = client.post(f"{path}/webhook-deliveries/{row['id']}/redelivery", headers=headers)
        assert answer.status_code == 201
        again = answer.json()
        assert (again["first_id"], again["webhook_id"]) == (row["id"], row["webhook_id"])
        (sent,) = told(world).seen
        assert sent[1]["webhook-id"] == first[0][1]["webhook-id"] and sent[2] == first[0][2]
    assert len(client.get(f"{path}/webhook-deliveries", headers=headers).json()["deliveries"]) == 3
    none = client.post(f"{path}/webhook-deliveries/99/redelivery", headers=headers)
    assert none.status_code == 404


def test_an_old_event_is_redelivered_and_not_given_up_for_its_age(world, client, shop):
    path, headers = shop
    client.post(f"{path}/webhooks", json=HOOK, headers=headers)
    client.post("/v1/invoices", json={"amount": "5", "tokens": ["USD"]}, headers=headers)
    told(world)
    world.pass_time(30 * 86_400)
    client.post(f"{path}/webhook-deliveries/1/redelivery", headers=headers)
    assert len(told(world).seen) == 1


def test_an_endpoint_is_made_read_changed_pinged_and_deleted(world, client, shop):
    path, headers = shop
    made = client.post(f"{path}/webhooks", json=HOOK, headers=headers)
    assert made.status_code == 201
    where = f"{path}/webhooks/{made.json()['id']}"
    secret = made.json()["secret"]
    read = client.get(where, headers=headers).json()
    assert read["url"] == HOOK["url"] and secret not in str(read) and read["last_answer_at"] is None

    assert client.post(f"{where}/ping", headers=headers).json() == {"status": 200, "error": ""}
    ((sent, body),) = world.received
    assert json.loads(body)["type"] == "ping"
    when = int(sent["webhook-timestamp"])
    assert sent["webhook-signature"] == signature_of(secret, sent["webhook-id"], when, body)

    renewed = client.post(f"{where}/secret", headers=headers).json()["webhook_secret"]
    client.post(f"{where}/ping", headers=headers)
    assert len(world.received[-1][0]["webhook-signature"].split(" ")) == 2 and renewed != secret

    change = {"event_types": ["invoice.settled"], "enabled": False}
    changed = client.patch(where, json=change, headers=headers).json()
    assert (changed["event_types"], changed["enabled"]) == (["invoice.settled"], False)
    assert changed["url"] == HOOK["url"], "what is not named stays"

    assert client.delete(where, headers=headers).status_code == 200
    for answer in (client.get(where, headers=headers), client.delete(where, headers=headers)):
        assert answer.status_code == 404
    assert client.get(f"{path}/webhooks", headers=headers).json()["webhooks"] == []


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"url": "https://10.0.0.1/"}, "BAD_WEBHOOK_URL"),
        ({"url": ""}, "MALFORMED"),
        (HOOK | {"event_types": ["invoice.none"]}, "MALFORMED"),
        (HOOK | {"format": "carrier-pigeon"}, "MALFORMED"),
    ],
)
def test_what_can_never_be_told_is_refused(client, shop, body, outcome):
    path, headers = shop
    assert client.post(f"{path}/webhooks", json=body, headers=headers).json()["outcome"] == outcome
    made = client.post(f"{path}/webhooks", json=HOOK, headers=headers).json()
    where = f"{path}/webhooks/{made['id']}"
    assert client.patch(where, json=body, headers=headers).json()["outcome"] == outcome
    assert client.get(where, headers=headers).json()["url"] == HOOK["url"]


def test_a_store_has_so_many_endpoints_and_no_more(client, shop):
    path, headers = shop
    made = [client.post(f"{path}/webhooks", json=HOOK, headers=headers) for _ in range(6)]
    assert [answer.status_code for answer in made] == [201] * ENDPOINTS_MAX + [403]


def test_deliveries_and_endpoints_are_listed_in_pages(world, client, shop):
    path, headers = shop
    of_invoices = HOOK | {"event_types": ["invoice.created"]}
    for _ in range(3):
        world.pass_time(1)
        client.post(f"{path}/webhooks", json=of_invoices, headers=headers)
    client.post("/v1/invoices", json={"amount": "5", "tokens": ["USD"]}, headers=headers)
    for what, name in (("webhooks", "webhooks"), ("webhook-deliveries", "deliveries")):
        seen, query = [], "?limit=2"
        while query:
            page = client.get(f"{path}/{what}{query}", headers=headers).json()
            seen += [row["id"] for row in page[name]]
            query = f"?limit=2&before={page['next']}" if page["next"] else ""
        assert len(seen) == len(set(seen)) == 3
    one = client.get(f"{path}/webhooks", headers=headers).json()["webhooks"][0]["id"]
    mine = client.get(f"{path}/webhooks/{one}/deliveries", headers=headers).json()["deliveries"]
    assert [row["endpoint_id"] for row in mine] == [one]


def test_another_stores_endpoint_is_none(client, shop):
    path, headers = shop
    one = client.post(f"{path}/webhooks", json=HOOK, headers=headers).json()["id"]
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    other = bearer(made["api_key"])
    where = f"/v1/stores/{made['id']}/webhooks/{one}"
    for answer in (
        client.get(where, headers=other),
        client.patch(where, json={"enabled": False}, headers=other),
        client.delete(where, headers=other),
        client.post(f"{where}/secret", headers=other),
        client.post(f"{where}/ping", headers=other),
    ):
        assert answer.status_code == 404
