"""A shop's plugin sends its owner's browser to ``/api-keys/authorize``: he reads who asks for what
and where the key goes, confirms exactly that, and his browser posts the key."""

import html
import json
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.api.greenfield.mount import greenfield_router
from gateway.http.mounting import mount
from gateway.http.problems import answer_of
from gateway.pages.authorize import authorize_router
from gateway.trading.rejection import Rejection
from merchants.stores.applications import FORMER_S, origin_of
from merchants.stores.scopes import CREATE_INVOICES, MODIFY_SETTINGS, VIEW_INVOICES
from tests.merchants.fixtures import World
from tests.merchants.people_site import URL, make_store, people_site, with_passkey

SHOP = "https://shop.example/?btcpay-settings-callback=1"
WISH = {
    "application": "WooCommerce",
    "identifier": "woo-1",
    "redirect": SHOP,
    "scopes": [CREATE_INVOICES, VIEW_INVOICES],
}
QUERY = {
    "applicationName": "WooCommerce",
    "permissions": [CREATE_INVOICES, VIEW_INVOICES],
    "redirect": SHOP,
    "strict": "true",
    "selectiveStores": "true",
}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def app(world):
    made = people_site(world)
    made.include_router(authorize_router(sandbox=False))
    mount(made, greenfield_router(world.venue.merchants, URL))
    return made


@pytest.fixture
def store(app):
    return make_store(app)


@pytest.fixture
def owner(app, world, store):
    return with_passkey(app, world)


def page(**changes):
    app = FastAPI()
    app.include_router(authorize_router(sandbox=False))
    app.add_exception_handler(Rejection, refused)
    query = {name: value for name, value in {**QUERY, **changes}.items() if value is not None}
    return TestClient(app, base_url=URL).get("/api-keys/authorize", params=query)


async def refused(_request, rejection):
    return answer_of(rejection)


def asks_of(answer):
    return json.loads(html.unescape(re.search(r'data-asks="([^"]*)"', answer.text)[1]))


def authorize(owner, store, **changes):
    wish = {**WISH, **changes}
    step_up = owner.confirm("api-key.authorize", store, **wish)
    return owner.ask("POST", f"/v1/stores/{store}/applications", wish, step_up=step_up)


def may(app, key):
    """Return how BTCPay's clients read what a key may do, None for one that works no more."""
    headers = {"authorization": f"token {key}"}
    answer = TestClient(app, base_url=URL).get("/api/v1/api-keys/current", headers=headers)
    return answer.json()["permissions"] if answer.status_code == 200 else None


def test_the_page_says_who_asks_for_what_and_where_the_key_goes():
    answer = page(applicationIdentifier="woo-1")
    assert answer.status_code == 200
    assert asks_of(answer) == {
        **WISH,
        "origin": "https://shop.example",
        "store": "",
        "strict": True,
    }


def test_nobody_frames_the_page_and_it_posts_to_that_one_place_alone():
    headers = page().headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert policy.endswith("form-action https://shop.example")
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert page(redirect=None).headers["content-security-policy"].endswith("'none'")


def test_names_are_only_text():
    answer = page(applicationName='"><script>alert(1)</script>')
    assert "<script>alert" not in answer.text
    assert asks_of(answer)["application"] == '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    ("host", "there"),
    [
        ("134744072", False),  # A browser goes to 8.8.8.8.
        ("8.8.2056", False),
        ("0x8080808", False),
        ("shop.0x8", False),
        ("010.8.8.8", False),
        ("8.8.8.8.", False),
        ("256.8.8.8", False),
        ("shop..example", False),
        ("shop-.example", False),
        (f"{'a' * 64}.example", False),
        ("8.8.8.8", True),
        ("shop.example1", True),
        ("3.shop.example", True),
        ("xn--bcher-kva.example", True),
    ],
)
def test_found_a_key_went_to_a_host_that_browsers_read_as_another(host, there):
    assert origin_of(f"https://{host}/back") == (f"https://{host}" if there else None)


@pytest.mark.parametrize(
    ("redirect", "origin"),
    [
        (SHOP, "https://shop.example"),
        ("https://Shop.example:8443/a/b?c[]=d", "https://shop.example:8443"),
        ("http://localhost:8080/back", "http://localhost:8080"),
        ("http://127.0.0.1/back", "http://127.0.0.1"),
        ("http://shop.example/back", None),
        ("http://localhost.shop.example/", None),
        ("javascript:alert(1)", None),
        ("https://shop.example@evil.example/", None),
        ("https://shop.example\\@evil.example/", None),
        ("https://evil.example\n/", None),
        ("https://sh\u00f6p.example/", None),
        ("https://shop.example; form-action *", None),
        ("https://shop.example:99999/", None),
        ("https://shop.example/#part", None),
        ("//shop.example/", None),
        ("/back", None),
        ("https://", None),
        ("https://shop.example/" + "a" * 2_000, None),
    ],
)
def test_a_key_goes_to_https_or_to_this_machine(redirect, origin):
    assert origin_of(redirect) == origin


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect": "http://shop.example/back"},
        {"permissions": None},
        {"permissions": ["btcpay.server.canmodifyserversettings", VIEW_INVOICES]},
        {"permissions": [f"{VIEW_INVOICES}:one", f"{CREATE_INVOICES}:two"]},
        {"permissions": [VIEW_INVOICES] * 40},
        {"strict": "perhaps"},
        {"applicationName": "a" * 81},
        {"applicationName": "Woo\u202ecommerce"},
    ],
)
def test_what_cannot_be_given_is_refused_before_anybody_signs_in(changes):
    assert page(**changes).status_code == 400


def test_who_is_not_strict_may_ask_for_what_there_is_not():
    wanted = ["btcpay.user.canviewprofile", f"{VIEW_INVOICES}:store"]
    asks = asks_of(page(strict="false", permissions=wanted))
    assert (asks["scopes"], asks["store"], asks["strict"]) == ([VIEW_INVOICES], "store", False)


def test_the_owner_gives_a_key_that_may_what_he_read_and_no_more(app, owner, store):
    answer = authorize(owner, store)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    both = [f"{CREATE_INVOICES}:{store}", f"{VIEW_INVOICES}:{store}"]
    assert made["permissions"] == both
    assert may(app, made["api_key"]) == both
    headers = {"authorization": f"token {made['api_key']}"}
    current = owner.http.get("/api/v1/api-keys/current", headers=headers).json()
    assert current["label"] == made["label"] == "WooCommerce"


def test_a_wallet_reads_where_the_key_goes(owner, store):
    asked = owner.begin("api-key.authorize", store, **WISH).json()
    assert asked["needs"] == ["passkey", "wallet"]
    assert SHOP in asked["message"]
    assert CREATE_INVOICES in asked["message"]


def test_a_session_alone_gives_nothing_nor_what_was_confirmed_for_another_place(owner, store):
    path = f"/v1/stores/{store}/applications"
    assert owner.ask("POST", path, WISH).status_code == 403
    step_up = owner.confirm("api-key.authorize", store, **WISH)
    elsewhere = {**WISH, "redirect": "https://evil.example/"}
    assert owner.ask("POST", path, elsewhere, step_up=step_up).status_code == 403
    assert owner.ask("POST", path, WISH, step_up=step_up).status_code == 201
    assert owner.ask("POST", path, WISH, step_up=step_up).status_code == 403, "once"


def test_another_sites_page_gives_nothing_in_his_name(owner, store):
    step_up = owner.confirm("api-key.authorize", store, **WISH)
    answer = owner.http.post(
        f"/v1/stores/{store}/applications",
        json=WISH,
        headers={"Step-Up": step_up, "Origin": "https://evil.example"},
    )
    assert answer.status_code == 403


def test_nobody_gives_what_he_has_not_got_nor_a_key_to_a_place_in_clear(owner, store):
    assert authorize(owner, store, scopes=["unrestricted"]).status_code == 403
    assert authorize(owner, store, redirect="http://shop.example/").status_code == 400


def test_the_same_application_gets_a_new_key_and_the_former_ends_a_day_later(
    app, world, owner, store
):
    first = authorize(owner, store).json()["api_key"]
    second = authorize(owner, store, scopes=[MODIFY_SETTINGS]).json()["api_key"]
    assert may(app, first) is not None, "the new one may not have arrived"
    world.now_ns += FORMER_S * 10**9
    assert may(app, first) is None
    assert MODIFY_SETTINGS + f":{store}" in may(app, second)


def test_another_application_or_place_ends_nobodys_key(app, world, owner, store):
    first = authorize(owner, store).json()["api_key"]
    for changes in (
        {"identifier": ""},
        {"identifier": "woo-2"},
        {"redirect": "https://shop.example:8443/"},
        {"redirect": ""},
    ):
        assert authorize(owner, store, **changes).status_code == 201
    world.now_ns += FORMER_S * 10**9
    assert may(app, first) is not None


def test_an_application_whose_key_was_revoked_is_let_in_again(app, owner, store):
    made = authorize(owner, store).json()
    owner.ask("DELETE", f"/v1/stores/{store}/api-keys/{made['id']}")
    assert may(app, made["api_key"]) is None
    assert may(app, authorize(owner, store).json()["api_key"]) is not None
