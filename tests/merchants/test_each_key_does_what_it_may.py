"""A shop's programs have keys of their own: each route asks for its permission, and no more."""

from collections import defaultdict

import pytest
from starlette.testclient import TestClient

from gateway.api.v1.openapi import schema_of
from gateway.trading.budgets import ShopBudgets
from merchants.records.exception_policies import ExceptionAction
from merchants.sales.exceptions import ExceptionRequest
from merchants.stores.scopes import (
    CREATE_INVOICES,
    INCLUDED,
    MANAGE_PAYOUTS,
    MODIFY_SETTINGS,
    MODIFY_WEBHOOKS,
    UNRESTRICTED,
    VIEW_INVOICES,
    VIEW_SETTINGS,
    opened,
)
from tests.merchants.fixtures import World
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_a_shop_is_closed import pay
from tests.merchants.test_shops_over_rest import NEW_STORE, bearer

DAY_S = 86_400


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def client(world):
    return TestClient(site(world.venue))


@pytest.fixture
def shop(client):
    return opened_shop(client)


def opened_shop(client):
    """Return (path of the store, headers with its first key)."""
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    return f"/v1/stores/{made['id']}", bearer(made["api_key"])


def key(client, shop, *scopes):
    """Return headers with a new key of the shop."""
    path, first = shop
    made = client.post(f"{path}/api-keys", json={"scopes": list(scopes)}, headers=first)
    assert made.status_code == 201, made.text
    return bearer(made.json()["api_key"])


def shop_routes(client):
    """Return method, path and scope of each route that a store's key opens."""
    for path, operations in schema_of(client.app)["paths"].items():
        for method, about in operations.items():
            for proof in about.get("security", ()):
                if "store" in proof:
                    (scope,) = proof["store"]
                    yield method, path, scope


def test_every_route_of_a_shop_states_its_permission_and_refuses_every_key_without_it(client, shop):
    path, _ = shop
    routes = list(shop_routes(client))
    assert len(routes) >= 15
    names = defaultdict(lambda: "none", store_id=path.rpartition("/")[2])
    without = {}
    for method, route, scope in routes:
        assert scope in INCLUDED, route
        lesser = [s for s in INCLUDED if scope not in opened((s,))]
        if scope not in without:
            without[scope] = key(client, shop, *lesser)
        url = route.format_map(names)
        answer = client.request(method, url, headers=without[scope])
        assert (answer.status_code, answer.json().get("missing")) == (403, scope), (method, route)


def test_a_key_that_sees_invoices_makes_none_and_changes_nothing(client, shop):
    path, _ = shop
    seeing = key(client, shop, VIEW_INVOICES)
    assert client.get("/v1/invoices", headers=seeing).status_code == 200
    body = {"amount": "5", "tokens": ["USD"]}
    assert client.post("/v1/invoices", json=body, headers=seeing).status_code == 403
    assert client.get(path, headers=seeing).status_code == 403
    making = key(client, shop, CREATE_INVOICES)
    assert client.post("/v1/invoices", json=body, headers=making).status_code == 201
    assert client.get("/v1/invoices", headers=making).status_code == 403


def test_what_includes_a_permission_opens_its_routes(client, shop):
    path, _ = shop
    for scope in (UNRESTRICTED, MODIFY_SETTINGS, VIEW_SETTINGS):
        headers = key(client, shop, scope)
        assert client.get(path, headers=headers).status_code == 200
        assert client.get("/v1/invoices", headers=headers).status_code == 200


def test_the_word_token_is_as_good_as_bearer(client, shop):
    _, first = shop
    as_token = {"Authorization": first["Authorization"].replace("Bearer", "token")}
    assert client.get("/v1/invoices", headers=as_token).status_code == 200
    basic = {"Authorization": first["Authorization"].replace("Bearer", "Basic")}
    assert client.get("/v1/invoices", headers=basic).status_code == 401


def test_nobody_gives_what_he_has_not_got(client, shop):
    path, _ = shop
    mine = key(client, shop, MODIFY_SETTINGS)
    for scopes, status in (
        ([VIEW_INVOICES, MODIFY_WEBHOOKS], 201),
        ([UNRESTRICTED], 403),
        (["btcpay.server.canmodifyserversettings"], 400),
        ([], 400),
    ):
        answer = client.post(f"{path}/api-keys", json={"scopes": scopes}, headers=mine)
        assert answer.status_code == status, answer.text


def test_a_key_is_shown_once_and_revoked_at_once(client, world, shop):
    path, first = shop
    world.pass_time(1)
    made = client.post(
        f"{path}/api-keys", json={"scopes": [VIEW_INVOICES], "label": "till"}, headers=first
    ).json()
    listed = client.get(f"{path}/api-keys", headers=first).json()
    assert [row["label"] for row in listed["api_keys"]] == ["till", "first"]
    assert made["api_key"] not in str(listed) and made["api_key"].startswith(made["hint"])
    headers = bearer(made["api_key"])
    assert client.get("/v1/invoices", headers=headers).status_code == 200
    gone = client.delete(f"{path}/api-keys/{made['id']}", headers=first)
    assert gone.json()["works"] is False
    assert client.get("/v1/invoices", headers=headers).status_code == 401
    assert client.delete(f"{path}/api-keys/{made['id']}", headers=first).status_code == 404


def test_a_key_that_was_replaced_works_for_as_long_as_was_asked(client, world, shop):
    path, first = shop
    (row,) = client.get(f"{path}/api-keys", headers=first).json()["api_keys"]
    rotation = f"{path}/api-keys/{row['id']}/rotation"
    second = client.post(rotation, json={"former_lifetime_s": DAY_S}, headers=first).json()
    assert second["scopes"] == row["scopes"]
    for headers, until in ((first, 200), (bearer(second["api_key"]), 200)):
        assert client.get(path, headers=headers).status_code == until
    world.pass_time(DAY_S)
    assert client.get(path, headers=first).status_code == 401
    assert client.get(path, headers=bearer(second["api_key"])).status_code == 200


def test_when_a_key_was_used_is_written_down_once_a_minute(client, world, shop):
    path, first = shop

    def used_at():
        return client.get(f"{path}/api-keys", headers=first).json()["api_keys"][-1]["used_at"]

    assert used_at() is None
    world.venue.tick()
    noted = used_at()
    assert noted == world.now_ns // 10**9
    world.pass_time(30)
    used_at()
    world.venue.tick()
    assert used_at() == noted
    world.pass_time(30)
    used_at()
    world.venue.tick()
    assert used_at() == noted + 60


def test_keys_are_listed_in_pages_and_another_stores_key_is_none(client, shop):
    path, first = shop
    for _ in range(4):
        key(client, shop, VIEW_INVOICES)
    seen, query = [], "?limit=2"
    while query:
        page = client.get(f"{path}/api-keys{query}", headers=first).json()
        seen += [row["id"] for row in page["api_keys"]]
        query = f"?limit=2&before={page['next']}" if page["next"] else ""
    assert len(seen) == len(set(seen)) == 5
    other_path, other = opened_shop(client)
    for answer in (
        client.get(f"{other_path}/api-keys?before={seen[0]}", headers=other),
        client.delete(f"{other_path}/api-keys/{seen[0]}", headers=other),
        client.get(f"{path}/api-keys", headers=other),
    ):
        assert answer.status_code == 404


def test_wrong_keys_are_turned_away_before_the_rows_are_asked(world):
    client = TestClient(site(world.venue, budgets=ShopBudgets(wrong_keys_per_address=3)))
    shop = opened_shop(client)
    answers = [client.get("/v1/invoices", headers=bearer("tbk_no")).status_code for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]
    assert client.get(shop[0], headers=shop[1]).status_code == 429, "from this address, for now"


def test_each_key_has_a_budget_of_its_own_and_a_store_one_for_invoices(world):
    budgets = ShopBudgets(requests_per_key=4, invoices_per_store=2)
    client = TestClient(site(world.venue, budgets=budgets))
    shop = opened_shop(client)
    making = key(client, shop, CREATE_INVOICES)
    body = {"amount": "5", "tokens": ["USD"]}
    made = [client.post("/v1/invoices", json=body, headers=making).status_code for _ in range(3)]
    assert made == [201, 201, 429]
    assert client.get(shop[0], headers=shop[1]).status_code == 200, "another key is not held up"
    assert client.post("/v1/invoices", json=body, headers=shop[1]).status_code == 429
    spent = client.get(shop[0], headers=making)
    assert spent.status_code == 403
    spent = client.get(shop[0], headers=making)
    assert (spent.status_code, spent.json()["budget"]) == (429, "shop-key")
    assert int(spent.headers["retry-after"]) >= 1


def test_a_wrong_key_counts_for_all_dialects_together(world):
    client = TestClient(site(world.venue, budgets=ShopBudgets(wrong_keys_per_address=3)))
    doors = ("/v1/invoices", "/api/v1/stores", "/v1/events", "/api/v1/server/info", "/v1/refunds")
    said = [client.get(door, headers=bearer("tbk_no")).status_code for door in doors]
    assert said == [401, 401, 401, 429, 429]


def test_who_may_only_look_sees_no_link_that_claims_a_refund(world):
    client = TestClient(site(world.venue))
    store = world.venue.approved_store()
    policies = world.venue.merchants.exception_policies
    policies.change(store.store_id, ExceptionRequest(late=ExceptionAction.RETURN))
    invoice = world.venue.invoice(store)
    world.pass_time(1000)
    world.venue.tick()
    pay(world, invoice)
    shop = f"/v1/stores/{store.store_id}", bearer(store.api_key)
    (refund,) = client.get("/v1/refunds", headers=shop[1]).json()["refunds"]
    claim = refund["claim_url"].rpartition("=")[2]
    looks = (
        "/v1/refunds",
        f"/v1/refunds/{refund['id']}",
        "/api/v1/pull-payments",
        f"/api/v1/stores/{store.store_id}/pull-payments",
        f"/api/v1/stores/{store.store_id}/payouts",
    )
    reader = key(client, shop, VIEW_SETTINGS)
    payer = key(client, shop, VIEW_SETTINGS, MANAGE_PAYOUTS)
    for look in looks:
        seen = client.get(look, headers=reader)
        assert seen.status_code == 200 and claim not in seen.text, look
    assert all(claim in client.get(look, headers=payer).text for look in looks[:4])
