"""Found: an owner who was put out of a store, or made a clerk, came back by an invitation that he
had made before, as an owner; and the payout wallet that he had asked for took effect."""

import pytest

from merchants.people.payouts import WAIT_S
from tests.merchants.fixtures import World
from tests.merchants.people_site import Browser, make_store, people_site, with_passkey
from tests.merchants.test_people_confirm_what_they_do import (
    ask_payout,
    change_role,
    changes,
    invited,
    joined,
)

THIRD = b"\x77" * 32
NEW_WALLET = "0x" + "1c" * 20


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize("way", ["removed", "clerk", "accountant", "manager"])
def test_found_who_was_put_out_came_back_as_an_owner(world, way):
    app = people_site(world)
    store = make_store(app)
    owner = with_passkey(app, world)
    thief = joined(owner, store, app, world, "owner")
    thief.add_passkey()
    link = invited(thief, store, "owner")["token"]
    others = invited(owner, store, "clerk")["token"]
    step_up = thief.confirm("payout.change", store, wallet=NEW_WALLET)
    assert ask_payout(thief, store, NEW_WALLET, step_up).status_code == 201

    his = thief.me()["id"]
    if way == "removed":
        step_up = owner.confirm("member.remove", store, user_id=his)
        path = f"/v1/stores/{store}/members/{his}"
        assert owner.ask("DELETE", path, step_up=step_up).status_code == 200
    else:
        assert change_role(owner, store, his, way).status_code == 200

    assert Browser(app, world, THIRD, number=7).sign_in(invitation=link).status_code == 403
    answer = thief.ask("POST", "/v1/people/invitations/acceptance", {"token": link})
    assert answer.status_code == 404
    assert [row["state"] for row in changes(owner, store)] == ["cancelled"]
    world.pass_time(WAIT_S + 61)
    world.venue.merchants.people.step()
    owner.sign_in()
    assert [row["state"] for row in changes(owner, store)] == ["cancelled"]
    assert Browser(app, world, THIRD, number=7).sign_in(invitation=others).status_code == 201
