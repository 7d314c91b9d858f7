"""Who has taken a session and nothing else does not read where a customer's money is claimed."""

import pytest
from starlette.testclient import TestClient

from merchants.sales.refunds import RefundRequest
from tests.merchants.fixtures import World
from tests.merchants.people_site import URL, people_site, signing_up, with_passkey
from tests.merchants.refunding import paid
from tests.merchants.test_people_confirm_what_they_do import joined
from tests.merchants.test_shops_over_rest import bearer

KIND = "refund.claim-link"


@pytest.fixture
def world(tmp_path):
    return signing_up(World(tmp_path))


@pytest.fixture
def app(world):
    return people_site(world)


@pytest.fixture
def made(world):
    return world.venue.approved_store()


@pytest.fixture
def owner(app, world, made):
    return with_passkey(app, world)


@pytest.fixture
def refund(world, made):
    """Return a refund that nobody has claimed and nobody approved."""
    refunds = world.venue.merchants.refunding.refunds
    request = RefundRequest("rate_then", token="TOKEN", is_approved=False)
    return refunds.create(made.store_id, paid(world, made).id, request)


def ask(browser, made, path, body=None, step_up=""):
    headers = {"Tillbook-Store": made.store_id, "Step-Up": step_up}
    if body is None:
        return browser.http.get(path, headers=headers)
    return browser.http.post(path, json=body, headers=headers)


def link_of(world, refund):
    key = world.venue.merchants.refunding.refunds.claim_key(refund.id)
    return f"{URL}/claim/{refund.id}?key={key}"


def test_what_a_session_reads_and_may_do_unconfirmed_shows_no_link(world, made, owner, refund):
    claim = link_of(world, refund).rpartition("=")[2]
    at = f"/v1/refunds/{refund.id}"
    for look in ("/v1/refunds", at, f"/v1/stores/{made.store_id}/reports/refunds", "/v1/events"):
        seen = ask(owner, made, look)
        assert seen.status_code == 200 and claim not in seen.text, look
    assert ask(owner, made, at).json()["claim_url"] is None
    assert ask(owner, made, f"{at}/claim-link", {}).status_code == 403

    revision = {"revision": refund.revision}
    step_up = owner.confirm("refund.approve", made.store_id, refund_id=refund.id, **revision)
    approved = ask(owner, made, f"{at}/approve", revision, step_up)
    assert (approved.status_code, approved.json()["claim_url"]) == (200, None)
    assert ask(owner, made, f"{at}/cancel", {}).json()["claim_url"] is None


def test_one_link_is_shown_once_to_who_confirms_just_that(world, made, owner, refund):
    path = f"/v1/refunds/{refund.id}/claim-link"
    step_up = owner.confirm(KIND, made.store_id, refund_id=refund.id)
    assert ask(owner, made, "/v1/refunds/rfd_other/claim-link", {}, step_up).status_code == 403
    shown = ask(owner, made, path, {}, step_up)
    assert shown.status_code == 200
    assert shown.json() == {"refund_id": refund.id, "claim_url": link_of(world, refund)}
    assert ask(owner, made, path, {}, step_up).status_code == 403, "once"
    log = owner.ask("GET", f"/v1/stores/{made.store_id}/audit-log").json()["rows"]
    assert (log[0]["kind"], log[0]["subject"]) == ("step-up.used", KIND)


def test_who_opens_a_refund_is_shown_its_link_as_he_has_confirmed_it(world, made, owner):
    named = {"variant": "rate_then", "token": "TOKEN"}
    invoice = paid(world, made).id
    step_up = owner.confirm("refund.create", made.store_id, invoice_id=invoice, **named)
    opened = ask(owner, made, f"/v1/invoices/{invoice}/refunds", named, step_up)
    assert opened.status_code == 201 and "/claim/" in opened.json()["claim_url"]


@pytest.mark.parametrize("role", ["clerk", "accountant"])
def test_who_pays_no_refunds_cannot_ask_for_a_link(app, world, made, owner, refund, role):
    friend = joined(owner, made.store_id, app, world, role)
    assert friend.begin(KIND, made.store_id, refund_id=refund.id).status_code == 403


def test_a_key_reads_the_link_as_before_and_by_itself(app, world, made, refund):
    client = TestClient(app, base_url=URL)
    headers = bearer(made.api_key)
    assert client.get(f"/v1/refunds/{refund.id}", headers=headers).json()["claim_url"] == (
        link_of(world, refund)
    )
    shown = client.post(f"/v1/refunds/{refund.id}/claim-link", headers=headers)
    assert shown.json()["claim_url"] == link_of(world, refund)
    missing = client.post("/v1/refunds/rfd_none/claim-link", headers=headers)
    assert missing.status_code == 404
