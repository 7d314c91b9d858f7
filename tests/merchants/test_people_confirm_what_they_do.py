"""What gives power or moves money's way happens once, as confirmed, by who confirmed it; a session
alone is not enough, and another wallet for a store's money waits a day."""

from contextlib import suppress

import pyotp
import pytest

from engine.types import Outcome
from merchants.people.payouts import WAIT_S
from merchants.people.roles import CHANGE_PAYOUT, SCOPES, Actor, Person, Role
from merchants.people.slowing import FREE_FAILURES
from merchants.people.step_ups import ACTIONS, LIFE_S, OPEN_MAX, TRIES_MAX, Action
from merchants.records.database import reading
from merchants.records.people import AuditRow
from merchants.records.rejection import Rejection
from merchants.stores.scopes import VIEW_INVOICES
from tests.merchants.fixtures import MERCHANT, Killed, World
from tests.merchants.people_site import Browser, make_store, people_site
from tests.merchants.site import OPERATOR_TOKEN
from tests.merchants.test_shops_over_rest import bearer

NEW_WALLET = "0x" + "1c" * 20
OTHER_WALLET = "0x" + "2d" * 20
FRIEND = b"\x66" * 32


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def app(world):
    return people_site(world)


@pytest.fixture
def store(app):
    return make_store(app)


@pytest.fixture
def owner(app, world, store):
    browser = Browser(app, world)
    assert browser.sign_in().status_code == 201
    assert browser.add_passkey().status_code == 201
    return browser


def ask_payout(owner, store, wallet=NEW_WALLET, step_up=""):
    return owner.ask(
        "POST", f"/v1/stores/{store}/payout-changes", {"wallet": wallet}, step_up=step_up
    )


def changes(owner, store):
    return owner.ask("GET", f"/v1/stores/{store}/payout-changes").json()["changes"]


def test_a_session_alone_changes_no_payout(owner, store):
    for step_up in ("", "stp_" + "0" * 32):
        answer = ask_payout(owner, store, step_up=step_up)
        assert (answer.status_code, answer.json()["step_up"]) == (403, "payout.change")
    assert changes(owner, store) == []


def test_a_payout_change_takes_passkey_and_wallet_together(owner, store):
    asked = owner.begin("payout.change", store, wallet=NEW_WALLET).json()
    assert asked["needs"] == ["passkey", "wallet"]
    assert NEW_WALLET in asked["message"] and store in asked["message"]
    whole = owner.answers(asked)
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    for part in whole:
        assert owner.ask("POST", path, {part: whole[part]}).status_code == 403
    assert ask_payout(owner, store, step_up=asked["id"]).status_code == 403
    assert owner.ask("POST", path, owner.answers(asked)).status_code == 200
    assert ask_payout(owner, store, step_up=asked["id"]).status_code == 201


def test_a_confirmation_lets_happen_what_it_says_and_only_that(owner, store, app):
    second = make_store(app, name="Second")
    owner.sign_in()
    step_up = owner.confirm("payout.change", store, wallet=NEW_WALLET)
    assert ask_payout(owner, store, OTHER_WALLET, step_up).status_code == 403
    assert ask_payout(owner, second, NEW_WALLET, step_up).status_code == 403
    path = f"/v1/stores/{store}/invitations"
    assert owner.ask("POST", path, {"role": "owner"}, step_up=step_up).status_code == 403
    assert ask_payout(owner, store, NEW_WALLET, step_up).status_code == 201


def test_a_confirmation_is_used_once(owner, store):
    step_up = owner.confirm("invitation.create", store, role="clerk")
    path = f"/v1/stores/{store}/invitations"
    said = [owner.ask("POST", path, {"role": "clerk"}, step_up=step_up) for _ in range(2)]
    assert [answer.status_code for answer in said] == [201, 403]


def test_a_confirmation_is_over_after_five_minutes(owner, store, world):
    step_up = owner.confirm("payout.change", store, wallet=NEW_WALLET)
    world.pass_time(LIFE_S)
    assert ask_payout(owner, store, step_up=step_up).status_code == 403
    asked = owner.begin("payout.change", store, wallet=NEW_WALLET).json()
    world.pass_time(LIFE_S)
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    assert owner.ask("POST", path, owner.answers(asked)).status_code == 404


def test_a_confirmation_is_of_the_session_that_asked(owner, store, app, world):
    thief = Browser(app, world)
    thief.sign_in()
    thief.passkey = owner.passkey
    asked = owner.begin("payout.change", store, wallet=NEW_WALLET).json()
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    assert thief.ask("POST", path, thief.answers(asked)).status_code == 404
    assert owner.ask("POST", path, owner.answers(asked)).status_code == 200
    assert ask_payout(thief, store, step_up=asked["id"]).status_code == 403


def test_an_answer_to_one_challenge_is_none_to_another(owner, store):
    first = owner.begin("payout.change", store, wallet=NEW_WALLET).json()
    second = owner.begin("payout.change", store, wallet=OTHER_WALLET).json()
    path = f"/v1/people/step-ups/{second['id']}/answer"
    assert owner.ask("POST", path, owner.answers(first)).status_code == 403


def test_a_challenge_is_gone_after_a_few_wrong_answers_and_few_are_open(owner, store):
    asked = owner.begin("payout.change", store, wallet=NEW_WALLET).json()
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    said = [owner.ask("POST", path, {}).status_code for _ in range(TRIES_MAX + 1)]
    assert said == [403] * TRIES_MAX + [404]
    opened = [owner.begin("totp.add").status_code for _ in range(OPEN_MAX + 2)]
    assert opened == [201] * OPEN_MAX + [429] * 2


def test_no_two_actions_have_one_hash():
    rows = [
        Action("a", "bc", b"d"),
        Action("ab", "c", b"d"),
        Action("a", "b", b"cd"),
        Action("a", "bcd", b""),
    ]
    assert len({row.hash_for("u") for row in rows} | {row.hash_for("v") for row in rows}) == 8


def test_a_stolen_session_makes_no_key_of_its_own(owner):
    thief = owner
    thief.passkey = type(owner.passkey)(owner.passkey.origin, owner.passkey.rp_id, number=9)
    assert thief.enrol().status_code == 403
    asked = thief.begin("passkey.add", id=thief.passkey.id).json()
    assert asked["needs"] == ["passkey"]
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    answer = {"passkey": thief.passkey.sign(bytes(32)), "signature": thief.signed("x")}
    assert thief.ask("POST", path, answer).status_code == 403
    assert thief.enrol(asked["id"]).status_code == 403


def with_codes(app, world):
    """Return somebody without a passkey, and his app for one-time codes."""
    browser = Browser(app, world)
    browser.sign_in()
    step_up = browser.confirm("totp.add")
    totp = pyotp.TOTP(browser.ask("POST", "/v1/people/totp", step_up=step_up).json()["secret"])
    code = totp.at(world.now_ns // 10**9)
    confirmed = browser.ask("POST", "/v1/people/totp/confirmation", {"code": code})
    assert confirmed.json()["totp"]
    return browser, totp


def test_a_one_time_code_confirms_once(app, world, store):
    browser, totp = with_codes(app, world)
    asked = browser.begin("recovery-codes.make").json()
    assert asked["needs"] == ["totp"]
    path = f"/v1/people/step-ups/{asked['id']}/answer"
    used = totp.at(world.now_ns // 10**9)
    assert browser.ask("POST", path, {"code": used}).status_code == 403, "it confirmed the app"
    world.pass_time(30)
    assert browser.ask("POST", path, {"code": used}).status_code == 403, "and never again"
    fresh = totp.at(world.now_ns // 10**9)
    assert browser.ask("POST", path, {"code": fresh}).status_code == 200
    again = browser.begin("recovery-codes.make").json()
    path = f"/v1/people/step-ups/{again['id']}/answer"
    assert browser.ask("POST", path, {"code": fresh}).status_code == 403


def test_codes_cannot_be_guessed_and_whoever_guesses_does_not_shut_the_owner_out(app, world, store):
    browser, _ = with_codes(app, world)
    said = []
    for n in range(FREE_FAILURES + 3):
        asked = browser.begin("recovery-codes.make").json()
        path = f"/v1/people/step-ups/{asked['id']}/answer"
        said.append(browser.ask("POST", path, {"code": f"{n:06}"}).status_code)
    assert said.count(429) == 2
    assert Browser(app, world, host="203.0.113.9").sign_in().status_code == 201


def test_codes_alone_change_no_payout(app, world, store):
    browser, _ = with_codes(app, world)
    answer = browser.begin("payout.change", store, wallet=NEW_WALLET)
    assert answer.status_code == 403 and "passkey" in answer.text


def asked_change(owner, store):
    step_up = owner.confirm("payout.change", store, wallet=NEW_WALLET)
    return ask_payout(owner, store, step_up=step_up).json()


class Wallets:
    """Notes what it is told."""

    def __init__(self):
        self.changed = []

    def change_wallet(self, store_id, wallet):
        self.changed.append((store_id, wallet))


@pytest.fixture
def wallets(world):
    wallets = Wallets()
    world.venue.merchants.people.payouts.wallets = wallets
    return wallets


def test_a_payout_change_waits_a_day_and_then_takes_effect_once(owner, store, world, wallets):
    change = asked_change(owner, store)
    assert change["state"] == "waiting" and change["due_at"] - change["asked_at"] == WAIT_S
    people = world.venue.merchants.people
    world.pass_time(WAIT_S - 1)
    people.step()
    assert wallets.changed == []
    world.pass_time(61)
    people.step()
    world.pass_time(61)
    people.step()
    assert wallets.changed == [(store, bytes.fromhex(NEW_WALLET[2:]))]
    owner.sign_in()
    assert [row["state"] for row in changes(owner, store)] == ["done"]


def test_a_payout_change_cut_off_in_between_is_made_once_more(owner, store, world):
    """The store's wallet is changed, then the process is gone before that was noted."""

    class Killing(Wallets):
        def change_wallet(self, store_id, wallet):
            super().change_wallet(store_id, wallet)
            if len(self.changed) == 1:
                raise Killed

    asked_change(owner, store)
    wallets = Killing()
    world.pass_time(WAIT_S + 61)
    for _ in range(3):
        world.restart()
        world.venue.merchants.people.payouts.wallets = wallets
        with suppress(Killed):
            world.venue.merchants.people.step()
    assert wallets.changed == [(store, bytes.fromhex(NEW_WALLET[2:]))] * 2


def test_where_a_wallet_cannot_be_changed_the_change_says_so(owner, store, world):
    class Refusing:
        def change_wallet(self, store_id, wallet):
            return Rejection(Outcome.BAD_WALLET, {"why": "nobody can sign for it"})

    world.venue.merchants.people.payouts.wallets = Refusing()
    asked_change(owner, store)
    world.pass_time(WAIT_S + 61)
    world.venue.merchants.people.step()
    owner.sign_in()
    (row,) = changes(owner, store)
    assert row["state"] == "refused" and row["why"] == "nobody can sign for it"


def test_any_owner_calls_a_payout_change_off(owner, store, app, world, wallets):
    friend = joined(owner, store, app, world, "owner")
    change = asked_change(owner, store)
    path = f"/v1/stores/{store}/payout-changes/{change['id']}/cancel"
    answer = friend.ask("POST", path)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert friend.ask("POST", path).status_code == 403, "it is over"
    world.pass_time(WAIT_S + 61)
    world.venue.merchants.people.step()
    assert wallets.changed == []


def test_one_change_waits_at_a_time_and_no_lost_wallet_is_taken(owner, store):
    asked_change(owner, store)
    step_up = owner.confirm("payout.change", store, wallet=OTHER_WALLET)
    assert ask_payout(owner, store, OTHER_WALLET, step_up).status_code == 409
    zero = "0x" + "00" * 20
    step_up = owner.confirm("payout.change", store, wallet=zero)
    assert ask_payout(owner, store, zero, step_up).json()["outcome"] == "BAD_WALLET"
    same = "0x" + MERCHANT.hex()
    step_up = owner.confirm("payout.change", store, wallet=same)
    assert ask_payout(owner, store, same, step_up).json()["outcome"] == "BAD_WALLET"


def invited(owner, store, role):
    step_up = owner.confirm("invitation.create", store, role=role)
    path = f"/v1/stores/{store}/invitations"
    return owner.ask("POST", path, {"role": role}, step_up=step_up).json()


def joined(owner, store, app, world, role):
    friend = Browser(app, world, FRIEND, number=5)
    token = invited(owner, store, role)["token"]
    assert friend.sign_in(invitation=token).status_code == 201
    return friend


def test_found_an_invitation_to_less_took_a_role_and_left_its_keys(owner, store, app, world):
    friend = joined(owner, store, app, world, "manager")
    for less in ("clerk", "accountant"):
        token = invited(owner, store, less)["token"]
        answer = friend.ask("POST", "/v1/people/invitations/acceptance", {"token": token})
        assert answer.status_code == 200
        assert [row["role"] for row in friend.me()["stores"]] == ["manager"], less
    token = invited(owner, store, "owner")["token"]
    friend.ask("POST", "/v1/people/invitations/acceptance", {"token": token})
    assert [row["role"] for row in friend.me()["stores"]] == ["owner"]


def test_whoever_is_invited_joins_once_and_may_what_his_role_may(owner, store, app, world):
    token = invited(owner, store, "accountant")["token"]
    friend = Browser(app, world, FRIEND)
    assert friend.sign_in().status_code == 403, "nobody knows him"
    assert friend.sign_in(invitation=token).status_code == 201
    assert [(row["role"], row["scopes"]) for row in friend.me()["stores"]] == [
        ("accountant", sorted(SCOPES[Role.ACCOUNTANT]))
    ]
    assert Browser(app, world, b"\x44" * 32).sign_in(invitation=token).status_code == 403
    assert friend.ask("GET", f"/v1/stores/{store}/payout-changes").status_code == 200
    for kind, parameters in (
        ("payout.change", {"wallet": NEW_WALLET}),
        ("invitation.create", {"role": "owner"}),
        ("member.change", {"user_id": friend.me()["id"], "role": "owner"}),
    ):
        assert friend.begin(kind, store, **parameters).status_code == 403, kind
    assert friend.ask("GET", f"/v1/stores/{store}/invitations").status_code == 403


def test_the_operator_invites_a_stores_first_owner(app, world, store):
    answer = Browser(app, world).http.post(
        f"/v1/stores/{store}/invitations",
        json={"role": "owner"},
        headers=bearer(OPERATOR_TOKEN) | {"origin": "http://console.test"},
    )
    assert answer.status_code == 201
    friend = Browser(app, world, FRIEND)
    assert friend.sign_in(invitation=answer.json()["token"]).status_code == 201
    assert friend.me()["stores"][0]["role"] == "owner"


def test_an_invitation_ends_and_can_be_called_off(owner, store, app, world):
    made = invited(owner, store, "clerk")
    path = f"/v1/stores/{store}/invitations/{made['id']}"
    assert owner.ask("DELETE", path).json()["invitations"] == []
    friend = Browser(app, world, FRIEND)
    assert friend.sign_in(invitation=made["token"]).status_code == 403
    made = invited(owner, store, "clerk")
    world.pass_time(8 * 24 * 3600)
    assert friend.sign_in(invitation=made["token"]).status_code == 403


def change_role(owner, store, user_id, role):
    step_up = owner.confirm("member.change", store, user_id=user_id, role=role)
    path = f"/v1/stores/{store}/members/{user_id}"
    return owner.ask("PATCH", path, {"role": role}, step_up=step_up)


def test_a_role_is_changed_and_taken_away_and_a_store_keeps_an_owner(owner, store, app, world):
    friend = joined(owner, store, app, world, "clerk")
    his, mine = friend.me()["id"], owner.me()["id"]
    assert change_role(owner, store, his, "manager").status_code == 200
    assert friend.me()["stores"][0]["role"] == "manager"
    assert change_role(owner, store, mine, "clerk").status_code == 403, "the last owner"
    step_up = owner.confirm("member.remove", store, user_id=his)
    path = f"/v1/stores/{store}/members/{his}"
    assert len(owner.ask("DELETE", path, step_up=step_up).json()["members"]) == 1
    assert friend.ask("GET", f"/v1/stores/{store}/members").status_code == 404


def test_what_a_person_makes_carries_at_most_his_own_scopes():
    clerk = Actor(Person("usr", "ses", "", recovered=False), "sto", Role.CLERK)
    assert clerk.beyond([VIEW_INVOICES]) == []
    assert clerk.beyond([VIEW_INVOICES, CHANGE_PAYOUT]) == [CHANGE_PAYOUT]
    for role in Role:
        assert SCOPES[role] <= SCOPES[Role.OWNER]


def test_the_log_says_who_did_what_from_where_and_tells_no_secret(owner, store, world):
    change = asked_change(owner, store)
    token = invited(owner, store, "clerk")["token"]
    log = owner.ask("GET", f"/v1/stores/{store}/audit-log").json()["rows"]
    kinds = [row["kind"] for row in reversed(log)]
    assert kinds == [
        "member.joined",
        "step-up.used",
        "payout.asked",
        "step-up.used",
        "invitation.made",
    ]
    asked = log[2]
    assert asked["subject"] == change["id"] and asked["user_id"] == owner.me()["id"]
    assert asked["before_hash"] != asked["after_hash"] and len(asked["before_hash"]) == 64
    assert token not in str(log)
    own = owner.ask("GET", "/v1/people/audit-log").json()["rows"]
    assert {"session.opened by wallet", "passkey.added"} <= {row["kind"] for row in own}
    page = owner.ask("GET", f"/v1/stores/{store}/audit-log?limit=2").json()
    rest = owner.ask("GET", f"/v1/stores/{store}/audit-log?limit=9&before={page['next']}").json()
    assert page["rows"] + rest["rows"] == log and rest["next"] is None


def test_where_somebody_was_is_kept_as_a_prefix_alone(app, world, store):
    Browser(app, world, host="203.0.113.77").sign_in()
    Browser(app, world, host="2001:db8:1:2:3:4:5:6").sign_in()
    with reading(world.venue.database) as session:
        networks = {row.network for row in session.query(AuditRow)}
    assert networks == {"203.0.113.0/24", "2001:db8:1::/48"}


def test_nothing_in_the_house_changes_or_drops_a_row_of_the_log(owner, store, world):
    """Every statement on that table is an INSERT or a SELECT."""
    from sqlalchemy import event

    said = []
    event.listen(
        world.venue.database,
        "before_cursor_execute",
        lambda conn, cursor, statement, *rest: said.append(statement),
    )
    asked_change(owner, store)
    world.pass_time(WAIT_S + 61)
    world.venue.merchants.people.step()
    touching = [text.split()[0] for text in said if "audit_rows" in text]
    assert touching and set(touching) <= {"INSERT", "SELECT"}


def test_every_action_is_known_to_the_routes_that_take_it():
    from gateway.api.v1.people_schemas import PARAMETERS

    assert set(PARAMETERS) <= set(ACTIONS)
