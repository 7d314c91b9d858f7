"""Whatever a client of BTCPay's sends: an answer in the dialect's shape, and no fault of ours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from gateway.api.greenfield import invoices, refunds, stores
from tests.merchants.fixtures import World
from tests.merchants.refunding import opened, paid
from tests.merchants.site import site

ROUTES = sorted(
    (method, route.path)
    for part in (invoices, refunds, stores)
    for route in part.router.routes
    for method in route.methods
    if "api-keys" not in route.path  # The key that asks is not to end.
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = (
    *("amount", "currency", "metadata", "checkout", "status", "refundVariant", "customAmount"),
    *("subtractPercentage", "destination", "revision", "state", "payoutMethodId", "paymentMethod"),
)
LIKELY = st.sampled_from(
    ["50", "-1", "1e9", "Custom", "RateThen", "Settled", "TOKEN-CHAIN", {"a": 1}, 0, "Completed"]
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), LIKELY | JSON).map(json.dumps).map(str.encode),
    JSON.map(json.dumps).map(str.encode),
    st.binary(max_size=60),
    st.just(b"[" * 5000),
    st.just(b'{"amount": 5' + b"0" * 5000 + b"}"),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    store = world.venue.approved_store()
    invoice = paid(world, store)
    refund = opened(world, store, invoice, is_approved=False)
    key = world.venue.merchants.refunding.refunds.claim_key(refund.id)
    names = {
        "store_id": store.store_id,
        "invoice_id": invoice.id,
        "payout_id": refund.id,
        "pull_payment_id": f"{refund.id}.{key}",
        "method": "TOKEN-CHAIN",
    }
    return TestClient(site(world.venue)), store.api_key, names


@pytest.mark.parametrize(("method", "path"), ROUTES)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES, query=st.text(max_size=12), is_ours=st.booleans())
def test_any_body_is_answered_in_shape(shop, method, path, body, query, is_ours):
    client, api_key, names = shop
    headers = {"Authorization": f"token {api_key}"} if is_ours else {}
    place = path.format(**names)
    answer = client.request(
        method,
        place,
        content=body if method in ("POST", "PUT") else None,
        headers=headers,
        params={"skip": query, "take": query, "status": query, "orderId": query},
    )
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    if answer.status_code == 422:
        assert all(set(one) == {"path", "message"} for one in told)
    elif answer.status_code >= 400:
        assert {"code", "message"} <= set(told)
