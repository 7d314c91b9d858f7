"""Who is signed in does with a shop's routes what his role lets him, in his own stores."""

import pytest
from starlette.testclient import TestClient

from gateway.api.v1.openapi import schema_of
from gateway.api.v1.people_schemas import PARAMETERS
from gateway.api.v1.people_shops import CHANGES
from merchants.webhooks.endpoints import EndpointRequest
from tests.merchants.fixtures import World
from tests.merchants.people_site import (
    URL,
    Browser,
    make_store,
    people_site,
    signing_up,
    with_passkey,
)
from tests.merchants.test_people_confirm_what_they_do import joined
from tests.merchants.test_sale_from_invoice_to_final import paid
from tests.merchants.test_shops_over_rest import NEW_STORE


@pytest.fixture
def world(tmp_path):
    return signing_up(World(tmp_path))


@pytest.fixture
def app(world):
    return people_site(world)


@pytest.fixture
def store(app):
    return make_store(app)


@pytest.fixture
def owner(app, world, store):
    return with_passkey(app, world)


def look(browser, store, path="/v1/invoices"):
    return browser.http.get(path, headers={"Tillbook-Store": store})


def test_every_action_is_of_a_route_that_is_there(app):
    paths = schema_of(app)["paths"]
    there = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    kinds = {kind for kind in CHANGES.values() if kind}
    assert {CHANGES[route] for route in set(CHANGES) & there} == kinds | {""}
    assert kinds <= set(PARAMETERS)


def test_an_owner_looks_at_his_shop_without_an_api_key(owner, store):
    assert look(owner, store).json() == {"invoices": [], "next": None}
    for path in ("", "/grants", "/webhook-deliveries"):
        assert owner.ask("GET", f"/v1/stores/{store}{path}").status_code == 200, path
    assert owner.ask("GET", "/v1/invoices").status_code == 404, "of which store?"


def test_another_store_is_not_there_and_nobody_is_told_anything(app, world, owner, store):
    other = make_store(app, b"\x55" * 32)
    assert look(owner, other).status_code == 404
    assert owner.ask("GET", f"/v1/stores/{other}").status_code == 404
    assert Browser(app, world).ask("GET", f"/v1/stores/{store}").status_code == 401


def test_a_webhook_secret_is_made_anew_once_confirmed(world, owner, store):
    url = EndpointRequest("https://shop.example/hook")
    endpoint = world.venue.merchants.endpoints.make(store, url).row
    path = f"/v1/stores/{store}/webhooks/{endpoint.id}/secret"
    assert owner.ask("POST", path).status_code == 403
    step_up = owner.confirm("webhook-secret.rotate", store, endpoint_id=endpoint.id)
    said = [owner.ask("POST", path, step_up=step_up).status_code for _ in range(2)]
    assert said == [200, 403]


def test_a_key_is_made_as_it_was_confirmed_with_at_most_ones_own_permissions(
    app, world, owner, store
):
    path, wanted = f"/v1/stores/{store}/api-keys", {"scopes": ["btcpay.store.canviewinvoices"]}
    assert owner.ask("POST", path, wanted).status_code == 403
    step_up = owner.confirm("api-key.create", store, **wanted)
    more = {"scopes": ["unrestricted"]}
    assert owner.ask("POST", path, more, step_up=step_up).status_code == 403, "not that"
    made = owner.ask("POST", path, wanted, step_up=step_up)
    assert made.status_code == 201 and made.json()["scopes"] == wanted["scopes"]
    step_up = owner.confirm("api-key.create", store, **more)
    beyond = owner.ask("POST", path, more, step_up=step_up)
    assert beyond.status_code == 403 and "nobody gives" in beyond.text
    revoked = owner.ask("DELETE", f"{path}/{made.json()['id']}")
    assert revoked.status_code == 200 and not revoked.json()["works"]
    clerk = joined(owner, store, app, world, "clerk")
    assert clerk.ask("GET", path).status_code == 403


def test_a_policy_is_changed_as_it_was_confirmed(owner, store):
    path, wanted = f"/v1/stores/{store}/conversion-policy", {"kind": "keep", "keep_ppm": 250_000}
    assert owner.ask("PUT", path, wanted).status_code == 403
    step_up = owner.confirm("policy.change", store, **wanted)
    other = owner.ask("PUT", path, wanted | {"keep_ppm": 1_000_000}, step_up=step_up)
    assert other.status_code == 403
    assert owner.ask("PUT", path, wanted, step_up=step_up).status_code == 200
    assert owner.ask("GET", path).json()["keep_ppm"] == 250_000


def test_rules_for_exceptions_are_changed_as_they_were_confirmed(owner, store):
    path, wanted = f"/v1/stores/{store}/exception-policies", {"late": "return"}
    assert owner.ask("PUT", path, wanted).status_code == 403
    step_up = owner.confirm("exceptions.change", store, **wanted)
    other = owner.ask("PUT", path, wanted | {"over": "return"}, step_up=step_up)
    assert other.status_code == 403
    assert owner.ask("PUT", path, wanted, step_up=step_up).status_code == 200
    kept = {"short": "keep", "over": "keep", "other_token": "keep"}
    assert owner.ask("GET", path).json() == wanted | kept


def test_an_api_key_is_replaced_as_it_was_confirmed(app, world, owner, store):
    path = f"/v1/stores/{store}/api-keys"
    wanted = {"scopes": ["btcpay.store.canviewinvoices"]}
    made = owner.ask(
        "POST", path, wanted, step_up=owner.confirm("api-key.create", store, **wanted)
    ).json()
    rotation = f"{path}/{made['id']}/rotation"
    assert owner.ask("POST", rotation, {"former_lifetime_s": 0}).status_code == 403
    step_up = owner.confirm("api-key.rotate", store, key_id=made["id"], former_lifetime_s=0)
    assert owner.ask("POST", rotation, step_up=step_up).status_code == 403, "a day is not at once"
    step_up = owner.confirm("api-key.rotate", store, key_id=made["id"], former_lifetime_s=0)
    fresh = owner.ask("POST", rotation, {"former_lifetime_s": 0}, step_up=step_up)
    assert fresh.status_code == 201 and fresh.json()["scopes"] == wanted["scopes"]
    clerk = joined(owner, store, app, world, "clerk")
    assert clerk.begin("api-key.rotate", store, key_id=made["id"]).status_code == 403


def test_endpoints_are_made_changed_and_deleted_as_it_was_confirmed(app, world, owner, store):
    path, wanted = f"/v1/stores/{store}/webhooks", {"url": "https://shop.example/hook"}
    assert owner.ask("POST", path, wanted).status_code == 403
    step_up = owner.confirm("webhook.create", store, **wanted)
    elsewhere = {"url": "https://evil.example/hook"}
    assert owner.ask("POST", path, elsewhere, step_up=step_up).status_code == 403
    made = owner.ask("POST", path, wanted, step_up=step_up)
    assert made.status_code == 201 and made.json()["secret"]
    at, name = f"{path}/{made.json()['id']}", made.json()["id"]
    step_up = owner.confirm("webhook.change", store, endpoint_id=name, enabled=False)
    assert owner.ask("PATCH", at, elsewhere, step_up=step_up).status_code == 403
    assert owner.ask("PATCH", at, {"enabled": False}, step_up=step_up).status_code == 200
    assert owner.ask("DELETE", at).status_code == 403
    step_up = owner.confirm("webhook.delete", store, endpoint_id=name)
    assert owner.ask("DELETE", at, step_up=step_up).status_code == 200
    accountant = joined(owner, store, app, world, "accountant")
    assert accountant.begin("webhook.create", store, **wanted).status_code == 403


def came(world, app, owner, store):
    """Return an invoice for which money came."""
    invoice = owner.http.post(
        "/v1/invoices",
        json={"amount": "101", "tokens": ["TOKEN"]},
        headers={"Tillbook-Store": store},
    ).json()
    paid(world, world.venue.merchants.reader.invoice(invoice["id"]))
    return invoice["id"]


def test_a_refund_is_opened_as_it_was_confirmed_and_approved_by_who_may(app, world):
    store = world.venue.approved_store().store_id
    owner = Browser(app, world)
    owner.sign_in()
    owner.add_passkey()
    invoice = came(world, app, owner, store)
    path, wanted = f"/v1/invoices/{invoice}/refunds", {"variant": "rate_then", "approve": False}

    def asked(browser, path, body, step_up=""):
        headers = {"Tillbook-Store": store, "Step-Up": step_up}
        return browser.http.post(path, json=body, headers=headers)

    assert asked(owner, path, wanted).status_code == 403
    step_up = owner.confirm("refund.create", store, invoice_id=invoice, **wanted)
    assert asked(owner, path, {**wanted, "approve": True}, step_up).status_code == 403
    made = asked(owner, path, wanted, step_up)
    assert made.status_code == 201 and made.json()["status"] == "awaiting_approval"
    name, revision = made.json()["id"], {"revision": made.json()["revision"]}
    clerk = joined(owner, store, app, world, "clerk")
    assert clerk.begin("refund.approve", store, refund_id=name, **revision).status_code == 403
    step_up = owner.confirm("refund.approve", store, refund_id=name, **revision)
    approved = asked(owner, f"/v1/refunds/{name}/approve", revision, step_up)
    assert (approved.status_code, approved.json()["status"]) == (200, "awaiting_payment")
    assert asked(clerk, f"/v1/refunds/{name}/cancel", {}).status_code == 403
    cancelled = asked(owner, f"/v1/refunds/{name}/cancel", {})
    assert cancelled.json()["status"] == "cancelled"


def test_a_page_asks_whether_somebody_is_signed_in_and_is_refused_nothing(app, world, owner):
    door = "/v1/people/sessions/this"
    assert Browser(app, world).ask("GET", door).json() == {"signed_in": False}
    assert owner.ask("GET", door).json() == {"signed_in": True}


SETTINGS = {
    "store.change": ("PATCH", "", {"name": "Ink", "tolerance_ppm": 5_000, "tolerance": "0.5"}),
    "confirmations.change": (
        *("PUT", "/confirmations"),
        {"steps": [{"from_amount": "100", "confirmations": 12}]},
    ),
    "pay-button.create": ("POST", "/pay-buttons", {"name": "Mug", "amount": "5"}),
    "refund-key.create": ("POST", "/refund-key", {"lifetime_s": 86_400}),
}
OTHERWISE = {
    "store.change": {"tolerance": "5"},
    "confirmations.change": {"steps": []},
    "pay-button.create": {"amount": "0.5"},
    "refund-key.create": {"slippage_ppm": 900_000},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_are_changed_as_they_were_confirmed(app, world, owner, store, kind):
    method, path, wanted = SETTINGS[kind]
    path = f"/v1/stores/{store}{path}"
    assert owner.ask(method, path, wanted).status_code == 403
    step_up = owner.confirm(kind, store, **wanted)
    other = owner.ask(method, path, wanted | OTHERWISE[kind], step_up=step_up)
    assert other.status_code == 403
    assert owner.ask(method, path, wanted, step_up=step_up).status_code in (200, 201)
    assert owner.ask(method, path, wanted, step_up=step_up).status_code == 403, "once"
    clerk = joined(owner, store, app, world, "clerk")
    assert clerk.begin(kind, store, **wanted).status_code == 403


def test_what_only_takes_away_is_not_confirmed(owner, store):
    """A pay button that sells no more and a refund account whose money goes home."""
    at = f"/v1/stores/{store}"
    for kind in ("pay-button.create", "refund-key.create"):
        method, path, wanted = SETTINGS[kind]
        step_up = owner.confirm(kind, store, **wanted)
        assert owner.ask(method, at + path, wanted, step_up=step_up).status_code == 201
    (button,) = owner.ask("GET", f"{at}/pay-buttons").json()["pay_buttons"]
    assert owner.ask("DELETE", f"{at}/pay-buttons/{button['id']}").status_code == 200
    assert owner.ask("DELETE", f"{at}/refund-key").status_code == 200


def test_a_refund_account_takes_passkey_and_wallet(owner, store):
    _, _, wanted = SETTINGS["refund-key.create"]
    assert owner.begin("refund-key.create", store, **wanted).json()["needs"] == [
        "passkey",
        "wallet",
    ]


def test_an_old_invoices_address_is_looked_at_by_who_may_change_invoices(app, world):
    store = world.venue.approved_store().store_id
    owner = Browser(app, world)
    owner.sign_in()
    owner.add_passkey()
    clerk = joined(owner, store, app, world, "clerk")
    body, headers = {"amount": "101", "tokens": ["TOKEN"]}, {"Tillbook-Store": store}
    made = owner.http.post("/v1/invoices", json=body, headers=headers).json()
    path = f"/v1/invoices/{made['id']}/rescan"
    young = owner.http.post(path, json={}, headers=headers)
    assert young.status_code == 409 and "watched" in young.text
    assert clerk.http.post(path, json={}, headers=headers).status_code == 403
    world.pass_time(31 * 86_400)
    owner.sign_in()
    assert owner.http.post(path, json={}, headers=headers).status_code == 200


def test_who_may_change_invoices_gives_one_a_new_price(owner, store, app, world):
    body, headers = {"amount": "101", "tokens": ["USD"]}, {"Tillbook-Store": store}
    made = owner.http.post("/v1/invoices", json=body, headers=headers).json()
    path = f"/v1/invoices/{made['id']}/requote"
    early = owner.http.post(path, json={}, headers=headers)
    assert early.status_code == 409
    world.pass_time(901)
    world.venue.tick()
    answer = owner.http.post(path, json={}, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "new")


def test_what_is_not_for_sessions_takes_an_api_key(owner, store):
    body = {"amount": "5"}
    headers = {"Tillbook-Store": store}
    answer = owner.http.post("/v1/till-sales", json=body, headers=headers)
    assert (answer.status_code, answer.json()["detail"][:14]) == (403, "this takes an ")


def test_a_page_of_another_site_makes_no_invoice(owner, store):
    headers = {"origin": "http://evil.test", "Tillbook-Store": store}
    body = {"amount": "5", "tokens": ["TOKEN"]}
    assert owner.http.post("/v1/invoices", json=body, headers=headers).status_code == 403


def test_a_role_bounds_what_a_person_may_ask(app, world, owner, store):
    accountant = joined(owner, store, app, world, "accountant")
    assert look(accountant, store).status_code == 200
    body, headers = {"amount": "5", "tokens": ["TOKEN"]}, {"Tillbook-Store": store}
    said = accountant.http.post("/v1/invoices", json=body, headers=headers)
    assert said.status_code == 403 and "cancreateinvoice" in said.text
    assert accountant.begin("webhook-secret.rotate", store).status_code == 403


def test_a_merchant_signs_up_with_his_wallet_and_makes_his_own_store(app, world):
    browser = Browser(app, world, b"\x77" * 32)
    assert browser.sign_in().status_code == 201
    mine = {**NEW_STORE, "wallet": "0x" + browser.wallet.hex()}
    assert (
        browser.ask("POST", "/v1/stores", {**mine, "wallet": "0x" + "11" * 20}).status_code == 403
    )
    made = browser.ask("POST", "/v1/stores", mine)
    assert made.status_code == 201
    assert [(row["id"], row["role"]) for row in browser.me()["stores"]] == [
        (made.json()["id"], "owner")
    ]


def test_where_the_operator_makes_stores_a_person_makes_none(tmp_path):
    world = World(tmp_path)
    app = people_site(world)
    make_store(app)
    owner = Browser(app, world)
    owner.sign_in()
    wallet = "0x" + owner.wallet.hex()
    assert owner.ask("POST", "/v1/stores", {**NEW_STORE, "wallet": wallet}).status_code == 403
    nobody = TestClient(app, base_url=URL)
    assert nobody.post("/v1/stores", json=NEW_STORE).status_code == 401
