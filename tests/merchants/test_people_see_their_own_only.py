"""Each operation of people with nobody's cookie, one that is over, and another store's owner's:
what the OpenAPI document says needs a person tells nothing and changes nothing without the right
one. And any request at all, that fits the document or not, is answered as the document says.

The document says which operations these are, so one that is added is asked as well.
"""

from collections.abc import Iterator
from typing import Any, Final

import cbor2
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import convert

from gateway.api.v1.openapi import schema_of
from gateway.api.v1.people import people_router
from gateway.api.v1.people_schemas import PARAMETERS
from gateway.http.mounting import mount
from merchants.people.passkeys import NewPasskey, PasskeyAnswer, Site, made_key, new_count
from merchants.people.sessions import IDLE_S
from tests.any_request import HELD, PLENTY, drawn
from tests.api.fixtures import Venue
from tests.merchants.authenticator import Authenticator, base64url
from tests.merchants.fixtures import World
from tests.merchants.people_site import URL, Browser, gate_of, make_store, people_site
from tests.merchants.site import OPERATOR_TOKEN, served

OTHER: Final = b"\x55" * 32
OPEN: Final = frozenset(
    {
        "GET /v1/people/nonce",
        "GET /v1/people/sessions/this",
        "POST /v1/people/sessions/wallet",
        "POST /v1/people/sessions/passkey",
        "POST /v1/people/sessions/recovery",
    }
)


def document() -> dict[str, Any]:
    """Return the document of the routes alone: nobody stands behind them."""
    app = FastAPI()
    nobody: Any = None

    class Nobody:
        async def known(self) -> None:
            """Never asked."""

    mount(app, people_router(nobody or Nobody()))
    return schema_of(app)


def operations() -> list[tuple[str, str]]:
    """Return all that need a person."""
    return [
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method, about in methods.items()
        if {"person": []} in about.get("security", ())
    ]


def test_what_is_open_is_what_signs_in() -> None:
    paths = document()["paths"]
    every = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert every - {f"{method} {path}" for method, path in operations()} == OPEN


class Story:
    """Two stores with an owner each; one of everything in the first."""

    def __init__(self, directory: Any) -> None:
        self.world = World(directory)
        self.app = people_site(self.world)
        store = make_store(self.app)
        make_store(self.app, OTHER)
        self.owner = Browser(self.app, self.world)
        self.owner.sign_in()
        self.owner.add_passkey()
        self.other = Browser(self.app, self.world, OTHER, number=2)
        self.other.sign_in()
        self.other.add_passkey()
        self.store = store
        wallet = "0x" + "1c" * 20
        step_up = self.owner.confirm("payout.change", store, wallet=wallet)
        path = f"/v1/stores/{store}"
        change = self.owner.ask(
            "POST", path + "/payout-changes", {"wallet": wallet}, step_up=step_up
        )
        step_up = self.owner.confirm("invitation.create", store, role="clerk")
        invited = self.owner.ask("POST", path + "/invitations", {"role": "clerk"}, step_up=step_up)
        me = self.owner.me()
        sessions = self.owner.ask("GET", "/v1/people/sessions").json()["sessions"]
        self.names = {
            "store_id": store,
            "user_id": me["id"],
            "passkey_id": me["passkeys"][0]["id"],
            "session_id": sessions[0]["id"],
            "invitation_id": invited.json()["id"],
            "change_id": change.json()["id"],
            "step_up_id": self.owner.begin("totp.add").json()["id"],
        }

    def body(self, path: str) -> dict[str, Any]:
        end = path.rsplit("/", 1)[-1]
        return {
            "me": {"name": "Mallory"},
            "step-ups": {"kind": "payout.change", "store_id": self.store}
            | {"parameters": {"wallet": "0x" + "2d" * 20}},
            "answer": {},
            "passkeys": {"nonce": "", "credential": self.other.passkey.make(b"")},
            "confirmation": {"code": "000000"},
            "acceptance": {"token": "tbi_none"},
            "{user_id}": {"role": "clerk"},
            "invitations": {"role": "owner"},
            "payout-changes": {"wallet": "0x" + "2d" * 20},
        }.get(end, {})

    def seen(self) -> object:
        """Return what must not change: all that the first owner has."""
        owner = Browser(self.app, self.world)
        owner.sign_in()
        path = f"/v1/stores/{self.store}"
        said = [
            owner.ask("GET", path + part).json()
            for part in ("/members", "/invitations", "/payout-changes", "/audit-log")
        ]
        return said, owner.me()

    def ask(self, browser: Browser, method: str, path: str) -> Any:
        return browser.ask(method, path.format(**self.names), self.body(path))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("operation", operations(), ids=" ".join)
def test_nobody_is_told_or_changes_anything(story: Story, operation: tuple[str, str]) -> None:
    before = story.seen()
    nobody, over, forged = (Browser(story.app, story.world) for _ in range(3))
    over.sign_in()
    story.world.pass_time(IDLE_S)
    story.owner.sign_in()
    story.other.sign_in()
    forged.http.cookies.set("tillbook_session", "tbs_" + "A" * 43)
    for browser in (nobody, over, forged):
        answer = story.ask(browser, *operation)
        assert (answer.status_code, answer.json()["outcome"]) == (401, "NOT_AUTHENTICATED")
    assert story.seen() == before


@pytest.mark.parametrize("operation", [one for one in operations() if "{" in one[1]], ids=" ".join)
def test_another_stores_owner_finds_nothing(story: Story, operation: tuple[str, str]) -> None:
    before = story.seen()
    answer = story.ask(story.other, *operation)
    assert (answer.status_code, answer.json()["outcome"]) == (404, "NOT_FOUND"), answer.text
    assert story.seen() == before


def test_another_stores_owner_is_asked_to_confirm_nothing(story: Story) -> None:
    for kind, shape in PARAMETERS.items():
        wanted = {
            "wallet": "0x" + "2d" * 20,
            "role": "owner",
            "user_id": story.names["user_id"],
            "id": story.names["passkey_id"],
            "endpoint_id": "",
            "kind": "at_once",
            "worth": "0",
            **dict.fromkeys(("age_s", "slices", "period_s", "keep_ppm"), 0),
            **dict.fromkeys(("late", "short", "over", "other_token"), "keep"),
            "scopes": ["btcpay.store.canviewinvoices"],
            "label": "mine",
            "url": "https://shop.example/hook",
            "variant": "rate_then",
            "origins": ["https://shop.example"],
            "revision": 0,
            **dict.fromkeys(("key_id", "invoice_id", "refund_id"), "mine"),
            **dict.fromkeys(("application", "identifier"), "mine"),
            "redirect": "https://shop.example/",
        }
        given = {name: wanted[name] for name in shape.__struct_fields__ if name in wanted}
        answer = story.other.begin(kind, story.store, **given)
        assert answer.status_code in (400, 404), kind


class Open:
    """A served site, and its owner's cookie."""

    def __init__(self, url: str, cookie: str, names: dict[str, str]) -> None:
        self.url, self.cookie, self.names = url, cookie, names


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    story = Story(tmp_path_factory.mktemp("world"))
    app = Venue(PLENTY).app(routers=(people_router(gate_of(story.world)),))
    with served(app) as url:
        yield Open(url, story.owner.http.cookies["tillbook_session"], story.names)


schema = schemathesis.openapi.from_dict(document())


@schema.parametrize()
@drawn(examples=8)
def test_any_request_is_answered_as_the_document_says(case: Any, site: Open) -> None:
    from schemathesis.checks import CHECKS

    checks = [CHECKS.get_one(name) for name in HELD]
    there = {name: value for name, value in site.names.items() if name in case.path_parameters}
    case.path_parameters.update(there)
    case.cookies = {}
    for headers in (
        {},
        {"origin": URL},
        {"origin": URL, "cookie": f"tillbook_session={site.cookie}"},
        {"authorization": f"Bearer {OPERATOR_TOKEN}"},
    ):
        case.call_and_validate(site.url, checks=checks, headers=headers)


NASTY: Final = (
    b"\x81" * 1_500,
    b"\xa1\x01" * 700,
    b"\xc5\x82\x1b\x00\x00\x00\x10\x00\x00\x00\x00\x01",
    b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x03",
    cbor2.dumps(cbor2.CBORTag(35, "(((a+)+)+)+$" * 100)),
    cbor2.dumps(cbor2.CBORTag(35, "(((")),
    cbor2.dumps(cbor2.CBORTag(1, 10**18)),
    b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff",
    b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff",
    cbor2.dumps(cbor2.CBORTag(30, [1, 0])),
    cbor2.dumps(cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)])),
    b"\xa1\x80\x01",
    cbor2.dumps([1, 2]),
    cbor2.dumps({"fmt": 1, "attStmt": {}, "authData": b""}),
    cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": 5}),
    cbor2.dumps({"fmt": "packed", "attStmt": {"x5c": [b""]}, "authData": b"\x00" * 40}),
)
"""Depth, sizes and tags of CBOR that its readers have stumbled over."""


@pytest.mark.parametrize("octets", NASTY)
def test_no_document_of_cbor_is_a_fault_of_ours(octets: bytes) -> None:
    answer = {"clientDataJSON": "e30", "attestationObject": base64url(octets)}
    assert made_key(convert({"id": "AA", "response": answer}, NewPasskey), b"c", HERE) is None


HERE: Final = Site(URL, "localhost")
texts = st.one_of(
    st.text(alphabet="ABCDabcd0189-_", max_size=200), st.binary(max_size=300).map(base64url)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_whatever_claims_to_be_a_passkey_is_only_not_one(data: st.DataObject) -> None:
    """Parts of real answers, cut, swapped and made up: never an error of ours."""
    key = Authenticator(URL, "localhost")
    made, signed = key.make(b"c" * 16), key.sign(b"c" * 16)

    def bent(parts: dict[str, str]) -> dict[str, str]:
        name = data.draw(st.sampled_from(sorted(parts)))
        whole = parts[name]
        cut = len(whole) * data.draw(st.integers(0, 100)) // 100  # Signatures differ in length.
        with_more = st.builds(lambda more: whole[:cut] + more + whole[cut + len(more) :], texts)
        return {**parts, name: data.draw(st.one_of(texts, st.just(whole[:cut]), with_more))}

    new = convert({**made, "response": bent(made["response"])}, NewPasskey)
    if made_key(new, b"c" * 16, HERE) is not None:
        assert new.response.clientDataJSON == made["response"]["clientDataJSON"]
    answer = convert({**signed, "response": bent(signed["response"])}, PasskeyAnswer)
    public = made_key(convert(made, NewPasskey), b"c" * 16, HERE)
    assert public is not None
    if new_count(answer, b"c" * 16, HERE, public.public_key, 0) is not None:
        assert answer.response.clientDataJSON == signed["response"]["clientDataJSON"]
