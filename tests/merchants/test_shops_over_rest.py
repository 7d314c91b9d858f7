"""What a shop sends and gets: keys, bounds, decimal strings, and nobody else's objects."""

import pytest
from starlette.testclient import TestClient

from settlement.protocol.eip712 import KeyGrant, grant_digest, sign
from tests.merchants.fixtures import DOMAIN, MERCHANT, MERCHANT_SECRET, World
from tests.merchants.site import OPERATOR_TOKEN, site

NEW_STORE = {
    "wallet": "0x" + MERCHANT.hex(),
    "settle": "USD",
    "tokens": ["TOKEN"],
    "name": "Corner Books",
}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def client(world):
    return TestClient(site(world.venue))


def bearer(token, **more):
    return {"Authorization": f"Bearer {token}", **more}


@pytest.fixture
def shop(client):
    """Return (store id, headers) of a store whose wallet has approved."""
    answer = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], bearer(answer.json()["api_key"])


def approve(client, made):
    """Let the wallet of a store just made approve its session key; return the signature."""
    (asked,) = made["grants"]
    signature = signed_by_wallet(asked["grant"])
    headers = bearer(made["api_key"])
    path = f"/v1/stores/{made['id']}/grants/{asked['id']}/approval"
    answer = client.post(path, json={"signature": signature}, headers=headers)
    assert answer.json()["status"] == "live", answer.text
    return signature


def grant_in(typed):
    """Return the grant in EIP-712 JSON."""
    values = [typed["message"][field["name"]] for field in typed["types"]["KeyGrant"]]
    return KeyGrant(*(bytes.fromhex(v[2:]) if v.startswith("0x") else int(v) for v in values))


def signed_by_wallet(typed, secret=MERCHANT_SECRET):
    """Return the signature over a grant that a wallet is shown."""
    return "0x" + sign(grant_digest(DOMAIN, grant_in(typed)), secret).hex()


@pytest.fixture
def selling(client):
    """Return as ``shop``, with the wallet's approval."""
    made = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    approve(client, made)
    return made["id"], bearer(made["api_key"])


def test_found_a_mistyped_wallet_made_a_store(client):
    """One letter in the wrong case, one digit mistyped: money for an address nobody has."""
    known = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    for wallet, status in (
        (known, 201),
        (known.replace("5aA", "5aa"), 400),
        (known.replace("605", "606"), 400),
        ("0x" + "00" * 20, 422),
    ):
        body = {**NEW_STORE, "wallet": wallet}
        answer = client.post("/v1/stores", json=body, headers=bearer(OPERATOR_TOKEN))
        assert answer.status_code == status, answer.text


def test_found_a_webhook_to_half_a_name_was_a_fault_of_ours(client):
    for url, status in (("https://xn--/", 422), ("https://xn--fa-hia.de/hook", 201)):
        body = {**NEW_STORE, "webhook_url": url}
        answer = client.post("/v1/stores", json=body, headers=bearer(OPERATOR_TOKEN))
        assert answer.status_code == status, answer.text
        assert status == 201 or answer.json()["outcome"] == "BAD_WEBHOOK_URL"


def test_a_store_is_made_approved_and_read(client, world, shop):
    store_id, headers = shop
    store = client.get(f"/v1/stores/{store_id}", headers=headers).json()
    assert (store["tokens"], store["name"]) == (["USD"], "Corner Books")
    (asked,) = store["grants"]
    assert asked["status"] == "unsigned"
    message = asked["grant"]["message"]
    assert message["account"] == "0x" + MERCHANT.hex() and message["sides"] == "2"

    grant, path = grant_in(asked["grant"]), f"/v1/stores/{store_id}/grants/{asked['id']}/approval"
    wrong = {"signature": signed_by_wallet(asked["grant"], b"\x05" * 32)}
    refused = client.post(path, json=wrong, headers=headers)
    assert refused.status_code == 401
    assert refused.json()["digest"] == "0x" + grant_digest(DOMAIN, grant).hex()

    right = {"signature": signed_by_wallet(asked["grant"])}
    assert client.post(path, json=right, headers=headers).json()["status"] == "live"
    assert list(world.grants.values()) == [grant]
    store = client.get(f"/v1/stores/{store_id}", headers=headers).json()
    assert store["tokens"] == ["USD", "TOKEN"]


def test_an_invoice_is_made_once_and_found_again(client, selling):
    _, headers = selling
    body = {
        "amount": "101.00",
        "tokens": ["TOKEN"],
        "order_id": "1042",
        "metadata": {"cart": [1, {"unknown": None}]},
    }
    keyed = {**headers, "Idempotency-Key": "order-1042"}
    made = client.post("/v1/invoices", json=body, headers=keyed)
    invoice = made.json()
    assert made.status_code == 201
    assert (invoice["amount"], invoice["currency"], invoice["price"]) == ("101.00", "USD", "101")
    assert invoice["options"][0]["amount_due"] == "0.05050026"
    assert invoice["metadata"] == body["metadata"]
    assert invoice["checkout_url"] == f"http://shop.test/checkout/{invoice['id']}"

    again = client.post("/v1/invoices", json=body, headers=keyed)
    assert again.json() == invoice and again.headers["Idempotent-Replayed"] == "true"
    other = client.post("/v1/invoices", json={**body, "amount": "102"}, headers=keyed)
    assert (other.status_code, other.json()["outcome"]) == (409, "IDEMPOTENCY_CONFLICT")

    assert client.get(f"/v1/invoices/{invoice['id']}", headers=headers).json() == invoice
    for query, count in (("order_id=1042", 1), ("order_id=1", 0), ("status=new", 1)):
        found = client.get(f"/v1/invoices?{query}", headers=headers).json()["invoices"]
        assert len(found) == count, query
    events = client.get("/v1/events?after=0", headers=headers).json()
    assert [row["body"]["type"] for row in events["events"]] == ["invoice.created"]
    assert client.get(f"/v1/events?after={events['next']}", headers=headers).json()["events"] == []


def test_invoices_come_in_pages_without_a_gap_or_a_double(client, world, selling):
    _, headers = selling
    made = []
    for number in range(7):
        body = {"amount": "5", "tokens": ["TOKEN"], "order_id": str(number % 2)}
        made.append(client.post("/v1/invoices", json=body, headers=headers).json()["id"])
        if number % 3 == 2:
            world.pass_time(1)  # Of one moment come three, ordered by their names.

    def pages(query):
        found, before = [], ""
        while before is not None:
            asked = f"/v1/invoices?limit=2{query}" + (f"&before={before}" if before else "")
            page = client.get(asked, headers=headers).json()
            assert len(page["invoices"]) <= 2
            found += [row["id"] for row in page["invoices"]]
            before = page["next"]
        return found

    moments = [made[6:], made[3:6], made[:3]]
    assert pages("") == [name for moment in moments for name in sorted(moment)]
    assert sorted(pages("&order_id=1")) == sorted(made[1::2])
    assert client.get("/v1/invoices?limit=26", headers=headers).status_code == 422
    assert client.get("/v1/invoices?before=inv_0", headers=headers).status_code == 404


def test_a_list_of_invoices_waits_for_no_writer(world, client, selling):
    store_id, headers = selling
    client.post("/v1/invoices", json={"amount": "5", "tokens": ["TOKEN"]}, headers=headers)
    with world.venue.database.begin():  # Somebody has the write lock.
        assert len(client.get("/v1/invoices", headers=headers).json()["invoices"]) == 1
        assert len(world.venue.merchants.reader.events_after(store_id, 0)) == 1


def test_another_stores_objects_do_not_exist(client, selling):
    store_id, headers = selling
    body = {"amount": "5", "tokens": ["TOKEN"]}
    invoice = client.post("/v1/invoices", json=body, headers=headers).json()
    other = client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
    stranger = bearer(other["api_key"])
    for path in (
        f"/v1/invoices/{invoice['id']}",
        f"/v1/stores/{store_id}",
        f"/v1/stores/{store_id}/webhook-deliveries",
    ):
        assert client.get(path, headers=headers).status_code == 200, path
        assert client.get(path, headers=stranger).status_code == 404, path
    assert client.get("/v1/events", headers=stranger).json()["events"] == []
    assert client.get("/v1/invoices", headers=stranger).json()["invoices"] == []


@pytest.mark.parametrize("headers", [{}, bearer("nonsense"), {"Authorization": "Basic eDp5"}])
def test_without_a_key_nothing_is_told(client, shop, headers):
    store_id, _ = shop
    for path in ("/v1/invoices", "/v1/events", f"/v1/stores/{store_id}", "/v1/invoices/inv_0"):
        assert client.get(path, headers=headers).status_code == 401, path
    assert client.post("/v1/stores", json=NEW_STORE, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 5},
        {"amount": "5,00"},
        {"amount": "0"},
        {"amount": "1" * 40},
        {"surprise": 1},
        {"metadata": [1]},
        {"metadata": {"long": "x" * 5000}},
        {"redirect_url": "javascript:alert(1)"},
        {"redirect_url": "https://x/\n"},
        {"order_id": "x" * 200},
    ],
)
def test_bad_input_changes_nothing(client, shop, change):
    _, headers = shop
    body = {"amount": "5", "tokens": ["TOKEN"], **change}
    answer = client.post("/v1/invoices", json=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED")
    assert client.get("/v1/invoices", headers=headers).json()["invoices"] == []


def test_what_the_book_cannot_pay_is_said_plainly(client, shop):
    _, headers = shop
    answer = client.post(
        "/v1/invoices", json={"amount": "999999", "tokens": ["TOKEN"]}, headers=headers
    )
    assert (answer.status_code, answer.json()["outcome"]) == (503, "NO_QUOTE")


def test_what_bounds_a_shops_money_is_shown_and_a_floor_of_nothing_is_refused(client, selling):
    store_id, headers = selling
    store = client.get(f"/v1/stores/{store_id}", headers=headers).json()
    (grant,) = store["grants"]
    assert (grant["floor_price"], grant["notional_left"]) == ("1000", "1000000")
    assert (store["slippage_ppm"], store["tolerance_ppm"], store["tolerance"]) == (5000, 1000, "0")
    for change, said in (
        ({"floor_price": "0"}, "FLOOR_MISSING"),
        ({"tolerance_ppm": -1}, "MALFORMED"),
    ):
        answer = client.post(
            "/v1/stores", json={**NEW_STORE, **change}, headers=bearer(OPERATOR_TOKEN)
        )
        assert answer.json()["outcome"] == said, change


def test_an_invoice_that_could_not_be_sold_is_refused_with_the_reason(client, shop):
    _, headers = shop
    answer = client.post("/v1/invoices", json={"amount": "5", "tokens": ["TOKEN"]}, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (409, "CANNOT_SELL")
    assert "not approved" in answer.json()["why"]


def test_markup_in_names_is_only_text_on_the_page(client, shop, world):
    answer = client.post(
        "/v1/stores",
        json={**NEW_STORE, "name": "<script>alert(1)</script>"},
        headers=bearer(OPERATOR_TOKEN),
    )
    approve(client, answer.json())
    body = {"amount": "5", "tokens": ["TOKEN"], "order_id": '"><img src=x onerror=alert(1)>'}
    invoice = client.post("/v1/invoices", json=body, headers=bearer(answer.json()["api_key"]))
    page = client.get(f"/checkout/{invoice.json()['id']}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text and "<img src=x" not in page.text
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert client.get("/checkout/inv_none").status_code == 404
    assert client.get("/checkout/assets/shell.html").status_code == 404


@pytest.mark.parametrize("field", ["metadata", "order_id"])
def test_found_bytes_that_are_no_text_were_a_fault_of_ours(client, shop, field):
    _, headers = shop
    value = b'{"name": "caf\xe9"}' if field == "metadata" else b'"caf\xe9"'
    body = b'{"amount": "5", "tokens": ["TOKEN"], "%b": %b}' % (field.encode(), value)
    answer = client.post("/v1/invoices", content=body, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED")


def test_settings_are_changed_one_by_one_and_within_their_bounds(client, selling):
    store_id, headers = selling
    path = f"/v1/stores/{store_id}"
    before = client.get(path, headers=headers).json()
    change = {"name": "Tea", "invoice_lifetime_s": 60, "tolerance": "0.5"}
    changed = client.patch(path, json=change, headers=headers).json()
    assert changed == client.get(path, headers=headers).json() == before | change
    body = {"amount": "5", "tokens": ["USD"]}
    made = client.post("/v1/invoices", json=body, headers=headers).json()
    assert made["expires_at"] - made["created_at"] == 60
    for wrong in ({"slippage_ppm": 10**6}, {"tolerance": "-1"}, {"wallet": "0x" + "11" * 20}):
        answer = client.patch(path, json=wrong, headers=headers)
        assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED")
    assert client.get(path, headers=headers).json() == changed
