"""What is done to a shop, and not to one of its invoices, is told as its sales are."""

import json

import pytest
from starlette.testclient import TestClient

from merchants.webhooks.endpoints import EndpointRequest
from merchants.webhooks.event_types import OF_STORE, EventType
from merchants.webhooks.formats import FORMATS, GREENFIELD
from tests.merchants.fixtures import World
from tests.merchants.people_site import make_store, people_site, signing_up, with_passkey
from tests.merchants.site import site
from tests.merchants.test_people_confirm_what_they_do import joined
from tests.merchants.test_shops_over_rest import bearer

DAY_S = 86_400
ELSEWHERE = "0x" + "11" * 20
SCOPES = ["btcpay.store.canviewinvoices"]


@pytest.fixture
def world(tmp_path):
    return signing_up(World(tmp_path))


@pytest.fixture
def app(world):
    return people_site(world)


@pytest.fixture
def store(app, world):
    made = make_store(app)
    world.venue.merchants.endpoints.make(made, EndpointRequest("https://shop.example/hook"))
    return made


@pytest.fixture
def owner(app, world, store):
    return with_passkey(app, world)


def bodies(world):
    world.venue.tick()
    return [json.loads(body) for _, body in world.received]


def types(world):
    return [body["type"] for body in bodies(world)]


def ask_payout(owner, store):
    step_up = owner.confirm("payout.change", store, wallet=ELSEWHERE)
    path = f"/v1/stores/{store}/payout-changes"
    return owner.ask("POST", path, {"wallet": ELSEWHERE}, step_up=step_up).json()


def make_key(owner, store, scopes=SCOPES):
    step_up = owner.confirm("api-key.create", store, scopes=scopes)
    path = f"/v1/stores/{store}/api-keys"
    return owner.ask("POST", path, {"scopes": scopes}, step_up=step_up).json()


def test_a_shop_is_told_that_its_money_is_to_go_elsewhere_while_it_can_be_stopped(
    world, owner, store
):
    change = ask_payout(owner, store)
    (asked,) = bodies(world)
    assert asked["type"] == "payout_change.asked" and asked["data"]["sequence"] == 1
    said = asked["data"]["payout_change"]
    assert (said["id"], said["wallet"], said["due_at"]) == (
        change["id"],
        ELSEWHERE,
        world.now_ns // 10**9 + DAY_S,
    )
    owner.ask("POST", f"/v1/stores/{store}/payout-changes/{change['id']}/cancel")
    ask_payout(owner, store)
    world.pass_time(DAY_S + 61)
    world.venue.tick()
    told = [(body["type"], body["data"]["sequence"]) for body in bodies(world)]
    assert told == [
        ("payout_change.asked", 1),
        ("payout_change.cancelled", 2),
        ("payout_change.asked", 3),
        ("payout_change.done", 4),
    ]


def test_a_shop_is_told_of_its_keys_and_never_the_key(app, world, owner, store):
    made = make_key(owner, store)
    client = TestClient(app)
    key = f"/v1/stores/{store}/api-keys/{made['id']}"
    assert owner.ask("DELETE", key).status_code == 200
    told = bodies(world)
    assert [body["type"] for body in told] == ["api_key.made", "api_key.revoked"]
    first, last = (body["data"]["api_key"] for body in told)
    assert first["scopes"] == SCOPES and first["ends_at"] is None
    assert first["made_by"] == owner.me()["id"]
    assert last["id"] == made["id"] and last["ends_at"] == world.now_ns // 10**9
    assert made["api_key"] not in json.dumps(told)
    assert client.get("/v1/invoices", headers=bearer(made["api_key"])).status_code == 401


def test_a_key_in_anothers_place_is_told_with_the_end_of_the_former(world):
    client, store = TestClient(site(world.venue)), world.venue.open_store()
    path, first = f"/v1/stores/{store.store_id}/api-keys", bearer(store.api_key)
    (former,) = client.get(path, headers=first).json()["api_keys"]
    rotation = {"former_lifetime_s": 60}
    client.post(f"{path}/{former['id']}/rotation", json=rotation, headers=first)
    rotated, made = bodies(world)
    assert (rotated["type"], made["type"]) == ("api_key.rotated", "api_key.made")
    assert rotated["data"]["api_key"]["ends_at"] == world.now_ns // 10**9 + 60
    assert rotated["data"]["api_key"]["id"] == former["id"] != made["data"]["api_key"]["id"]


def test_the_other_endpoints_are_told_that_one_is_told_nothing_more(world):
    store = world.venue.open_store()
    gone = world.venue.merchants.endpoints.make(
        store.store_id, EndpointRequest("https://gone.example/hook?password=1")
    ).row
    world.endpoint = lambda url: 410 if "gone" in url else 200
    world.venue.invoice(store, token="USD")
    (disabled,) = (body for body in bodies(world) if body["type"] == "endpoint.disabled")
    said = disabled["data"]["endpoint"]
    assert said == {"id": gone.id, "host": "gone.example", "why": "it answered 410"}


def test_an_endpoint_is_told_what_it_asked_for_and_nothing_that_it_has_no_words_for(
    world, owner, store
):
    merchants = world.venue.merchants
    wanted = EndpointRequest("https://alarm.example/", ("payout_change.asked",))
    merchants.endpoints.make(store, wanted)
    plugin = EndpointRequest("https://plugin.example/", format=GREENFIELD)
    merchants.endpoints.make(store, plugin)
    make_key(owner, store)
    ask_payout(owner, store)
    deliveries = merchants.reader.webhook_deliveries(store)
    urls = {row.id: row.url for row in merchants.endpoints.of_store(store)}
    told = sorted((urls[row.endpoint_id], row.event.type) for row in deliveries)
    assert told == [
        ("https://alarm.example/", "payout_change.asked"),
        ("https://shop.example/hook", "api_key.made"),
        ("https://shop.example/hook", "payout_change.asked"),
    ]
    assert not any(FORMATS[GREENFIELD].tells(kind) for kind in OF_STORE)


def test_what_is_of_the_shop_has_a_sequence_of_its_own_beside_those_of_invoices(world):
    store = world.venue.open_store()
    holder = world.venue.merchants.stores.keys.authenticate(store.api_key)
    for _ in range(2):
        world.venue.merchants.stores.keys.make(holder, "", SCOPES)
        world.venue.invoice(store, token="USD")
    told = [
        (row.sequence, json.loads(bytes(row.body))["type"])
        for row in world.venue.merchants.reader.events_after(store.store_id, 0)
    ]
    assert told == [
        (1, "api_key.made"),
        (1, "invoice.created"),
        (2, "api_key.made"),
        (1, "invoice.created"),
    ]


def test_who_sees_invoices_only_does_not_read_what_is_done_to_the_shop(world):
    client, store = TestClient(site(world.venue)), world.venue.open_store()
    path, first = f"/v1/stores/{store.store_id}/api-keys", bearer(store.api_key)
    made = client.post(path, json={"scopes": SCOPES}, headers=first).json()
    world.venue.invoice(store, token="USD")

    def read(headers):
        events = client.get("/v1/events", headers=headers).json()["events"]
        return [row["body"]["type"] for row in events]

    assert read(first) == ["api_key.made", "invoice.created"]
    assert read(bearer(made["api_key"])) == ["invoice.created"]


def test_every_type_is_of_an_invoice_or_of_the_shop():
    prefixes = {kind.split(".")[0] for kind in OF_STORE}
    assert prefixes == {"payout_change", "api_key", "endpoint", "refund_account", "store"}
    assert all(kind.split(".")[0] not in prefixes for kind in set(EventType) - OF_STORE)


# Keys and who made them


def works(app, key):
    return TestClient(app).get("/v1/invoices", headers=bearer(key)).status_code == 200


def test_a_key_ends_with_the_place_of_who_made_it_and_so_do_those_it_made(app, world, owner, store):
    manager = joined(owner, store, app, world, "manager")
    manager.add_passkey()
    mine = make_key(owner, store)["api_key"]
    his = make_key(manager, store, ["btcpay.store.canmodifystoresettings"])["api_key"]
    path = f"/v1/stores/{store}/api-keys"
    hers = TestClient(app).post(path, json={"scopes": SCOPES}, headers=bearer(his)).json()
    who = {"user_id": manager.me()["id"]}
    step_up = owner.confirm("member.remove", store, **who)
    removed = owner.ask("DELETE", f"/v1/stores/{store}/members/{who['user_id']}", step_up=step_up)
    assert removed.status_code == 200, removed.text
    assert [works(app, key) for key in (mine, his, hers["api_key"])] == [True, False, False]
    assert types(world)[-2:] == ["api_key.revoked"] * 2


def test_a_lesser_role_keeps_the_keys_that_it_could_make(app, world, owner, store):
    manager = joined(owner, store, app, world, "manager")
    manager.add_passkey()
    broad = make_key(manager, store, ["btcpay.store.canmodifystoresettings"])["api_key"]
    narrow = make_key(manager, store)["api_key"]
    who = {"user_id": manager.me()["id"], "role": "clerk"}
    step_up = owner.confirm("member.change", store, **who)
    path = f"/v1/stores/{store}/members/{who['user_id']}"
    assert owner.ask("PATCH", path, {"role": "clerk"}, step_up=step_up).status_code == 200
    assert (works(app, broad), works(app, narrow)) == (False, True)


def test_other_endpoints_are_told_of_a_new_one_and_it_is_not(world, owner, store):
    """Whoever turns an endpoint of his own on reads all that the shop is told."""
    wanted = {"url": "https://evil.example/ear"}
    path = f"/v1/stores/{store}/webhooks"
    owner.ask("POST", path, wanted, step_up=owner.confirm("webhook.create", store, **wanted))
    (told,) = [body for body in bodies(world) if body["type"] == "endpoint.made"]
    assert told["data"]["endpoint"]["host"] == "evil.example"


def test_a_shop_is_told_that_refunds_are_paid_out_of_another_account(world, owner, store):
    path, wanted = f"/v1/stores/{store}/refund-key", {"lifetime_s": 86_400}
    step_up = owner.confirm("refund-key.create", store, **wanted)
    made = owner.ask("POST", path, wanted, step_up=step_up).json()
    (told,) = bodies(world)
    assert told["type"] == "refund_account.made"
    assert told["data"]["refund_account"] == {
        "account": made["account"],
        "top_up_address": made["top_up_address"],
        "ends_at": made["expires_at"],
    }
    for _ in range(2):
        owner.ask("DELETE", path)
    said = types(world)
    assert said == ["refund_account.made", "refund_account.ended"], "once"
