"""Who signs in by wallet, passkey or recovery code is let in once for what he signed, here, now;
everybody else, and whoever repeats what was used, is not."""

import json

import pytest
from starlette.testclient import TestClient

from gateway.trading.budgets import Budgets
from merchants.people.people import PeopleTerms
from merchants.people.sessions import IDLE_S, LIFE_S, RECOVERED_S, SESSIONS_MAX
from merchants.people.slowing import FREE_FAILURES, WAIT_SECONDS_MAX, Slowdown
from merchants.records.database import reading
from merchants.records.people import RecoveryCode, SignIn, User
from tests.merchants.fixtures import World
from tests.merchants.people_site import URL, Browser, make_store, people_site

STRANGER = b"\x77" * 32


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
    return browser


def test_the_wallet_that_owns_a_store_signs_in_and_is_its_owner(owner, store):
    me = owner.me()
    assert [(mine["id"], mine["role"]) for mine in me["stores"]] == [(store, "owner")]
    assert me["wallet"].lower() == "0x" + owner.wallet.hex()


def test_a_cookie_is_kept_from_scripts_and_other_sites(app, world, store):
    kept = Browser(app, world).sign_in().headers["set-cookie"]
    assert "HttpOnly" in kept and "SameSite=strict" in kept and "Path=/" in kept
    assert "Secure" not in kept, "this one is not served over https"


def test_over_https_the_cookie_is_of_this_host_alone(world):
    app = people_site(world, "https://shop.test")
    make_store(app)
    browser = Browser(app, world)
    browser.http = TestClient(
        app, base_url="https://shop.test", headers={"origin": "https://shop.test"}
    )
    kept = browser.sign_in().headers["set-cookie"]
    assert kept.startswith("__Host-tillbook_session=") and "Secure" in kept


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"domain": "evil.test"}, 401),
        ({"domain": "localhost.evil.test"}, 401),
        ({"uri": "http://evil.test/dashboard"}, 401),
        ({"uri": "http://localhost/other"}, 401),
        ({"chain_id": 1}, 422),
        ({"resource": "urn:tillbook:1"}, 422),
        ({"nonce": "0" * 58}, 401),
        ({"nonce": "abc"}, 400),
    ],
)
def test_a_message_for_another_site_chain_or_purpose_opens_nothing(owner, changes, status):
    owner.http.cookies.clear()
    answer = owner.sign_in(**changes)
    assert answer.status_code == status, answer.text
    assert "set-cookie" not in answer.headers


def test_what_was_signed_to_trade_opens_no_dashboard(owner):
    resource = owner.terms()["resource"].removesuffix(":dashboard")
    assert owner.sign_in(resource=resource).status_code == 422


def test_a_message_opens_one_session_and_not_a_second(owner):
    message = owner.message(owner.terms())
    body = {"message": message, "signature": owner.signed(message)}
    path = "/v1/people/sessions/wallet"
    assert [owner.ask("POST", path, body).status_code for _ in range(2)] == [201, 401]


def test_a_nonce_is_over_after_five_minutes(owner, world):
    terms = owner.terms()
    world.pass_time(301)
    message = owner.message(terms)
    body = {"message": message, "signature": owner.signed(message)}
    assert owner.ask("POST", "/v1/people/sessions/wallet", body).status_code == 401


def test_another_wallets_signature_opens_nothing(owner):
    message = owner.message(owner.terms())
    owner.secret = STRANGER
    body = {"message": message, "signature": owner.signed(message)}
    answer = owner.ask("POST", "/v1/people/sessions/wallet", body)
    assert (answer.status_code, answer.json()["outcome"]) == (401, "BAD_SIGNATURE")


def test_a_strangers_wallet_opens_an_account_only_where_that_is_allowed(
    app, world, store, tmp_path
):
    assert Browser(app, world, STRANGER).sign_in().status_code == 403
    (tmp_path / "open").mkdir()
    free = World(tmp_path / "open")
    free.people_terms = PeopleTerms(b"secret", sign_up=True)
    free.restart()
    stranger = Browser(people_site(free), free, STRANGER)
    assert stranger.sign_in().status_code == 201
    assert stranger.me()["stores"] == []


def test_a_passkey_signs_in_with_its_user_verified_and_only_then(owner, world):
    assert owner.add_passkey().status_code == 201
    owner.http.cookies.clear()
    assert owner.sign_in_by_passkey(verified=False).status_code == 401
    assert owner.sign_in_by_passkey(origin="http://localhost.evil.test").status_code == 401
    assert owner.sign_in_by_passkey().status_code == 201
    assert owner.me()["passkeys"][0]["name"] == "laptop"


def test_a_passkeys_answer_counts_once(owner):
    owner.add_passkey()
    nonce = owner.terms()["nonce"]
    body = {"nonce": nonce, "credential": owner.passkey.sign(bytes.fromhex(nonce))}
    path = "/v1/people/sessions/passkey"
    assert [owner.ask("POST", path, body).status_code for _ in range(2)] == [201, 401]


def test_a_copied_passkey_that_counts_behind_is_turned_away(owner):
    owner.add_passkey()
    assert owner.sign_in_by_passkey().status_code == 201
    assert owner.sign_in_by_passkey().status_code == 201
    owner.passkey.count -= 1
    assert owner.sign_in_by_passkey().status_code == 401


def test_a_passkey_that_does_not_count_signs_in_again_and_again(owner):
    owner.passkey.counts = False
    owner.add_passkey()
    assert [owner.sign_in_by_passkey().status_code for _ in range(3)] == [201] * 3


def test_a_new_passkey_must_verify_its_user_and_be_made_for_our_nonce(owner):
    step_up = owner.confirm("passkey.add", id=owner.passkey.id)
    nonce = owner.terms()["nonce"]
    for made in (
        owner.passkey.make(bytes.fromhex(nonce), verified=False),
        owner.passkey.make(b"another challenge"),
    ):
        body = {"nonce": nonce, "credential": made}
        answer = owner.ask("POST", "/v1/people/passkeys", body, step_up=step_up)
        assert answer.status_code == 400
    assert owner.enrol(step_up).status_code == 201


def recovery_codes(owner):
    step_up = owner.confirm("recovery-codes.make")
    answer = owner.ask("POST", "/v1/people/recovery-codes", step_up=step_up)
    return answer.json()["codes"]


def test_a_recovery_code_lets_in_once_ends_all_other_sessions_and_makes_a_new_key(
    app, world, owner
):
    codes = recovery_codes(owner)
    assert len(set(codes)) == 10 and owner.me()["recovery_codes_left"] == 10
    owner.add_passkey()
    lost = Browser(app, world, number=2)
    body = {"wallet": "0x" + owner.wallet.hex(), "code": codes[3].upper().replace("-", " ")}
    path = "/v1/people/sessions/recovery"
    assert lost.ask("POST", path, body).status_code == 201
    assert lost.ask("POST", path, body).status_code == 401, "each is used once"
    assert owner.ask("GET", "/v1/people/me").status_code == 401, "whoever had a session"
    assert lost.me()["recovered"] and lost.me()["recovery_codes_left"] == 9
    assert lost.enrol().status_code == 201
    world.pass_time(RECOVERED_S)
    assert lost.ask("GET", "/v1/people/me").status_code == 401, "such a session is short"
    assert lost.sign_in_by_passkey().status_code == 201


def test_a_recovered_session_confirms_nothing_else(app, world, owner, store):
    codes = recovery_codes(owner)
    lost = Browser(app, world)
    body = {"wallet": "0x" + owner.wallet.hex(), "code": codes[0]}
    lost.ask("POST", "/v1/people/sessions/recovery", body)
    answer = lost.ask("POST", f"/v1/stores/{store}/payout-changes", {"wallet": "0x" + "11" * 20})
    assert (answer.status_code, answer.json()["step_up"]) == (403, "payout.change")


def test_sessions_end_unused_at_their_end_and_when_their_owner_says_so(app, world, owner):
    for _ in range(3):
        world.pass_time(IDLE_S - 100)
        assert owner.ask("GET", "/v1/people/me").status_code == 200, "in use"
    world.pass_time(IDLE_S)
    assert owner.ask("GET", "/v1/people/me").status_code == 401, "unused"
    other = Browser(app, world)
    assert owner.sign_in().status_code == other.sign_in().status_code == 201
    rows = owner.ask("GET", "/v1/people/sessions").json()["sessions"]
    (elsewhere,) = (row["id"] for row in rows if not row["is_this"])
    assert owner.ask("DELETE", f"/v1/people/sessions/{elsewhere}").status_code == 200
    assert other.ask("GET", "/v1/people/me").status_code == 401
    for _ in range(LIFE_S // IDLE_S * 2):
        world.pass_time(IDLE_S // 2)
        owner.ask("GET", "/v1/people/me")
    assert owner.ask("GET", "/v1/people/me").status_code == 401, "however much it is used"


def test_a_session_is_ended_by_its_owner_alone(app, world, owner):
    secret = b"\x55" * 32
    make_store(app, secret)
    other = Browser(app, world, secret)
    session_id = other.sign_in().json()["session_id"]
    assert owner.ask("DELETE", f"/v1/people/sessions/{session_id}").status_code == 404
    assert other.ask("DELETE", "/v1/people/sessions/this").status_code == 200
    assert other.ask("GET", "/v1/people/me").status_code == 401


def test_sessions_of_one_person_are_bounded_and_the_oldest_goes(app, world, owner):
    for _ in range(SESSIONS_MAX):
        world.pass_time(1)
        assert Browser(app, world).sign_in().status_code == 201
    assert owner.ask("GET", "/v1/people/me").status_code == 401


def test_no_token_code_or_secret_lies_readable_in_the_database(world, owner):
    codes = recovery_codes(owner)
    step_up = owner.confirm("totp.add")
    secret = owner.ask("POST", "/v1/people/totp", step_up=step_up).json()["secret"]
    token = owner.http.cookies["tillbook_session"]
    with reading(world.venue.database) as session:
        rows = [vars(row) for table in (User, SignIn, RecoveryCode) for row in session.query(table)]
    said = json.dumps(rows, default=repr)
    assert token not in said and secret not in said and not any(code in said for code in codes)
    raw = b"".join(path.read_bytes() for path in world.directory.glob("merchants.sqlite*"))
    assert token.encode() not in raw and secret.encode() not in raw


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(owner, headers):
    answer = owner.http.patch("/v1/people/me", json={"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (403, "FORBIDDEN")
    assert owner.me()["name"] == ""


def test_what_a_form_can_send_changes_nothing(owner):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = owner.http.patch(
            "/v1/people/me", content=b'{"name": "x"}', headers={"content-type": kind}
        )
        assert answer.status_code == 400
    assert owner.me()["name"] == ""


def test_proofs_are_charged_before_they_are_looked_at(world):
    app = people_site(world, budgets=Budgets(proofs_per_address=3))
    make_store(app)
    browser = Browser(app, world, STRANGER)
    assert [browser.sign_in().status_code for _ in range(5)] == [403, 403, 403, 429, 429]


def test_whoever_guesses_waits_and_the_owner_elsewhere_does_not(app, world, owner):
    codes = recovery_codes(owner)
    guesser = Browser(app, world, host="198.51.100.7")
    path = "/v1/people/sessions/recovery"
    wrong = {"wallet": "0x" + owner.wallet.hex(), "code": "0-aaaa-aaaa-aaaa-aaaa"}
    said = [guesser.ask("POST", path, wrong).status_code for _ in range(FREE_FAILURES + 3)]
    assert said == [401] * (FREE_FAILURES + 1) + [429] * 2
    home = Browser(app, world, host="203.0.113.9")
    assert home.ask("POST", path, wrong | {"code": codes[0]}).status_code == 201


def test_waits_double_to_a_bound_are_forgotten_and_keep_few_names():
    now = [0]
    slow = Slowdown(lambda: now[0], kept_max=3)
    waits = []
    for _ in range(40):
        slow.failed("a")
        waits.append(slow.wait_s("a"))
    assert waits[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert waits[FREE_FAILURES : FREE_FAILURES + 4] == [1, 3, 7, 15]
    assert max(waits) == waits[-1] == WAIT_SECONDS_MAX
    now[0] += 25 * 3600 * 10**9
    slow.failed("a")
    assert slow.wait_s("a") == 0
    for name in "bcdefg":
        slow.failed(name)
    assert len(slow._kept) == 3
    assert URL
