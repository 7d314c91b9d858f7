"""Found: who asks was looked up before the body had arrived, which may take half a minute. Whoever
kept a request open had done with a revoked key, a closed store or a lost role what none of them
allows any more: another key, another endpoint, an invitation to come back by."""

import asyncio
import json

import httpx
import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from gateway.api.v1.people_schemas import Invite, canonical
from merchants.people.roles import Role
from merchants.people.step_ups import Action
from merchants.records.rejection import Rejection
from merchants.stores.scopes import MODIFY_SETTINGS, UNRESTRICTED
from tests.merchants.fixtures import World
from tests.merchants.people_site import URL, Browser, make_store, people_site, with_passkey
from tests.merchants.site import site
from tests.merchants.test_people_confirm_what_they_do import joined
from tests.merchants.test_shops_over_rest import bearer

JSON = {"content-type": "application/json"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def slowly(app, path, body, headers, meanwhile):
    """Ask with a body whose end arrives when ``meanwhile`` is over; return the answer."""
    written = json.dumps(body).encode()

    async def parts():
        yield written[:5]
        meanwhile()
        yield written[5:]

    async def story():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.post(path, content=parts(), headers=headers | JSON)

    return asyncio.run(story())


def key_of(merchants, api_key, scope=MODIFY_SETTINGS):
    return merchants.stores.keys.make(merchants.stores.keys.authenticate(api_key), "x", [scope])


@pytest.mark.parametrize("way", ["native", "greenfield", "application", "rotation"])
def test_found_a_key_that_was_revoked_had_another_one_made(world, way):
    store, merchants = world.venue.open_store(), world.venue.merchants
    stolen = key_of(merchants, store.api_key)
    other = key_of(merchants, store.api_key).row.id
    mine = f"/v1/stores/{store.store_id}"
    path, body = {
        "native": (f"{mine}/api-keys", {"scopes": [MODIFY_SETTINGS]}),
        "greenfield": ("/api/v1/api-keys", {"permissions": [MODIFY_SETTINGS]}),
        "application": (f"{mine}/applications", {"application": "x", "scopes": [MODIFY_SETTINGS]}),
        "rotation": (f"{mine}/api-keys/{other}/rotation", {"former_lifetime_s": 60}),
    }[way]

    def revoke():
        merchants.stores.keys.revoke(store.store_id, stolen.row.id)

    refused = slowly(site(world.venue), path, body, bearer(stolen.api_key), revoke)
    assert refused.status_code == 401, refused.text
    assert len(merchants.stores.keys.of_store(store.store_id)) == 3


@pytest.mark.parametrize("what", ["webhooks", "api-keys", "pay-buttons"])
def test_found_a_store_that_was_closed_had_more_to_end(world, what):
    store, merchants = world.venue.open_store(), world.venue.merchants
    body = {
        "webhooks": {"url": "https://shop.example/late"},
        "api-keys": {"scopes": [UNRESTRICTED]},
        "pay-buttons": {"name": "late", "amount": "5"},
    }[what]

    def close():
        merchants.closing.close(merchants.stores.keys.authenticate(store.api_key))

    path = f"/v1/stores/{store.store_id}/{what}"
    refused = slowly(site(world.venue), path, body, bearer(store.api_key), close)
    assert refused.status_code == 401, refused.text


@pytest.mark.parametrize("what", ["api-keys", "payout-changes"])
def test_found_who_was_put_out_did_what_he_had_begun(world, what):
    app = people_site(world)
    store = make_store(app)
    owner = with_passkey(app, world)
    thief = joined(owner, store, app, world, "owner")
    thief.add_passkey()
    his = thief.me()["id"]
    kind, body = {
        "api-keys": ("api-key.create", {"scopes": [MODIFY_SETTINGS], "label": ""}),
        "payout-changes": ("payout.change", {"wallet": "0x" + "1c" * 20}),
    }[what]
    step_up = thief.confirm(kind, store, **body)
    out = owner.confirm("member.remove", store, user_id=his)

    def put_out():
        path = f"/v1/stores/{store}/members/{his}"
        assert owner.ask("DELETE", path, step_up=out).status_code == 200

    cookies = "; ".join(f"{name}={value}" for name, value in thief.http.cookies.items())
    headers = {"origin": URL, "cookie": cookies, "Step-Up": step_up}
    refused = slowly(app, f"/v1/stores/{store}/{what}", body, headers, put_out)
    assert refused.status_code == 404, refused.text


def test_found_a_confirmation_outlived_the_role_that_it_takes(world):
    """Between the look at his role and what he does other requests have their turn."""
    app = people_site(world)
    store = make_store(app)
    owner = with_passkey(app, world)
    thief = joined(owner, store, app, world, "owner")
    thief.add_passkey()
    people, his = world.venue.merchants.people, thief.me()["id"]
    step_up = thief.confirm("invitation.create", store, role="owner")
    seen = people.sessions.read(next(iter(thief.http.cookies.values())), "10.0.0.0/24")
    out = owner.confirm("member.remove", store, user_id=his)
    path = f"/v1/stores/{store}/members/{his}"
    assert owner.ask("DELETE", path, step_up=out).status_code == 200
    action = Action("invitation.create", store, canonical(Invite(Role.OWNER)))
    made = people.invite(seen.person, store, Role.OWNER, step_up, action)
    assert isinstance(made, Rejection) and made.outcome is Outcome.NOT_FOUND
    assert people.team.invitations(store) == []


def test_found_a_session_that_was_ended_did_what_it_had_begun(world):
    app = people_site(world)
    store = make_store(app)
    with_passkey(app, world)
    thief = Browser(app, world)
    thief.sign_in()
    cookies = "; ".join(f"{name}={value}" for name, value in thief.http.cookies.items())

    def end():
        assert thief.ask("DELETE", "/v1/people/sessions/this").status_code == 200

    body = {"amount": "5", "tokens": []}
    headers = {"origin": URL, "cookie": cookies, "tillbook-store": store}
    assert slowly(app, "/v1/invoices", body, headers, end).status_code == 401


def test_a_body_that_comes_whole_is_answered_as_ever(world):
    store = world.venue.open_store()
    client = TestClient(site(world.venue))
    body = {"scopes": [MODIFY_SETTINGS]}
    path = f"/v1/stores/{store.store_id}/api-keys"
    assert client.post(path, json=body, headers=bearer(store.api_key)).status_code == 201
