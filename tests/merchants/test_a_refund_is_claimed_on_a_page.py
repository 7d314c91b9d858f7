"""The page on which a customer says where his refund goes: without a script, and for who has the
link alone."""

import re

import pytest
from starlette.testclient import TestClient

from tests.merchants.fixtures import World
from tests.merchants.refunding import CUSTOMER_WALLET, look, opened, paid
from tests.merchants.site import site


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store(name="<b>Bean & Co</b>")


@pytest.fixture
def client(world):
    return TestClient(site(world.venue), follow_redirects=False)


def link(world, refund):
    key = world.venue.merchants.refunding.refunds.claim_key(refund.id)
    return f"/claim/{refund.id}?key={key}"


def test_the_customer_types_an_address_and_sees_what_becomes_of_it(world, store, client):
    refund = opened(world, store, paid(world, store))
    place = link(world, refund)
    page = client.get(place)
    assert page.status_code == 200 and "0.025 TOKEN" in page.text
    assert "&lt;b&gt;Bean &amp; Co&lt;/b&gt;" in page.text and "<script" not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    (action,) = re.findall(r'action="([^"]+)"', page.text)
    assert action == place

    wrong = client.post(place, data={"address": '"><script>alert(1)</script>'})
    assert wrong.status_code == 422 and "role='alert'" in wrong.text
    assert "<script" not in wrong.text and "aria-invalid" in wrong.text

    taken = client.post(place, data={"address": f" {CUSTOMER_WALLET} "})
    assert (taken.status_code, taken.headers["location"]) == (303, place)
    assert CUSTOMER_WALLET in client.get(place).text
    assert look(world, store, refund).receiver == CUSTOMER_WALLET


def test_a_second_claim_changes_nothing(world, store, client):
    refund = opened(world, store, paid(world, store))
    place = link(world, refund)
    client.post(place, data={"address": CUSTOMER_WALLET})
    again = client.post(place, data={"address": "0x" + "ab" * 20})
    assert again.status_code == 422 and CUSTOMER_WALLET in again.text
    assert look(world, store, refund).receiver == CUSTOMER_WALLET


@pytest.mark.parametrize("key", ["", "a", "x" * 43, "é" * 43, "x" * 100])
def test_who_has_another_key_finds_nothing(world, store, client, key):
    refund = opened(world, store, paid(world, store))
    assert client.get(f"/claim/{refund.id}", params={"key": key}).status_code == 404
    sent = client.post(
        f"/claim/{refund.id}", params={"key": key}, data={"address": CUSTOMER_WALLET}
    )
    assert sent.status_code == 404
    assert look(world, store, refund).receiver is None


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a=1&" * 50, b"address=" + b"0" * 5000])
def test_rude_forms_are_answered(world, store, client, body):
    refund = opened(world, store, paid(world, store))
    assert client.post(link(world, refund), content=body).status_code == 422


def test_the_style_is_ours_and_kept(client):
    style = client.get("/claim/assets/claim.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
