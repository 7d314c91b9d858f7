"""Only sites that the shop has named may show its checkout in a frame; nobody may by himself."""

import pytest
from starlette.testclient import TestClient

from gateway.pages.headers import headers
from gateway.pages.pos import BUTTON_SCRIPT, FOLDER
from merchants.records.rejection import Rejection
from merchants.stores.pay_buttons import ButtonRequest
from tests.merchants.fixtures import World
from tests.merchants.site import site
from tests.merchants.test_shops_over_rest import bearer

SHOP = "https://shop.example"
SCRIPT_SIZE_MAX = 10 * 1024


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def framers(answer):
    policy = answer.headers["content-security-policy"]
    return next(part for part in policy.split("; ") if part.startswith("frame-ancestors"))


def test_the_checkout_and_the_button_name_the_sites_and_all_else_names_none(world):
    store = world.venue.approved_store()
    client = TestClient(site(world.venue), follow_redirects=False)
    invoice = world.venue.invoice(store)
    stores = world.venue.merchants.stores
    button = stores.pay_buttons.make(store.store_id, ButtonRequest("Tea", "4", "USD", ("TOKEN",)))
    paths = [f"/checkout/{invoice.id}", f"/pay/{store.store_id}/{button.id}"]
    others = [f"/checkout/{invoice.id}/proof", f"/checkout/{invoice.id}/state", "/pos", "/pay.js"]
    for path in (*paths, *others):
        assert framers(client.get(path)) == "frame-ancestors 'none'", path
    path = f"/v1/stores/{store.store_id}/embedding"
    put = client.put(path, json={"origins": [SHOP, SHOP + ":443"]}, headers=bearer(store.api_key))
    assert put.json() == {"origins": [SHOP]}
    assert client.get(path, headers=bearer(store.api_key)).json() == {"origins": [SHOP]}
    world.pass_time(1)
    fresh = TestClient(site(world.venue), follow_redirects=False)
    for path in paths:
        assert framers(fresh.get(path)) == f"frame-ancestors {SHOP}", path
        assert "/checkout/assets/embed.js" in fresh.get(path).text, path
    for path in others:
        assert framers(fresh.get(path)) == "frame-ancestors 'none'", path
    pressed = [
        fresh.post(paths[1], params={"embed": origin}).headers["location"]
        for origin in (SHOP, "https://evil.example")
    ]
    assert pressed[0].endswith("&embed=https%3A//shop.example")
    assert "embed" not in pressed[1]
    assert isinstance(stores.embeddings.change("nobody", []), Rejection)


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.shop.example",
        "https://shop.example/path",
        "https://shop.example; script-src *",
        "https://shop.example https://evil.example",
        "http://shop.example",
        "https://",
        "https://user@shop.example",
        "https://shop.example:0",
        "'self'",
        "*",
        "https://shop..example",
        "https://134744072",
        "javascript:alert(1)",
        "https://" + "a" * 260,
    ],
)
def test_what_is_no_origin_of_a_site_with_tls_is_refused(world, origin):
    store = world.venue.approved_store()
    embeddings = world.venue.merchants.stores.embeddings
    refused = embeddings.change(store.store_id, [origin])
    assert isinstance(refused, Rejection) and embeddings.of(store.store_id) == ()


def test_sites_are_spelled_as_browsers_do_and_a_developers_machine_needs_no_tls(world):
    store = world.venue.approved_store()
    kept = world.venue.merchants.stores.embeddings.change(
        store.store_id,
        ["HTTPS://Shop.Example:8443", "http://localhost:3000", "http://127.0.0.1:80"],
    )
    assert kept == ("https://shop.example:8443", "http://localhost:3000", "http://127.0.0.1")


def test_the_script_is_small_and_asks_nobody_else():
    script = (FOLDER / BUTTON_SCRIPT).read_text()
    assert len(script.encode()) <= SCRIPT_SIZE_MAX
    assert "fetch" not in script and "import" not in script and "innerHTML" not in script
    assert "frame-ancestors 'none'" in headers("no-store")["Content-Security-Policy"]
