"""A wallet that is a contract (ERC-1271) owns a store: it is asked whether it has signed."""

import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from gateway.trading.budgets import ShopBudgets
from merchants.people.people import PeopleTerms
from merchants.stores.signers import Vouched
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import KeyRevocation, grant_digest, revocation_digest
from settlement.protocol.siwe import personal_digest
from tests.merchants.fixtures import DOMAIN, World
from tests.merchants.people_site import Browser, make_store, people_site
from tests.merchants.site import site
from tests.merchants.test_shops_over_rest import bearer

SAFE = b"\x5a" * 20
WORD = b"\x77" * 130
"""What its owners have signed together: no key's signature."""


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.people_terms = PeopleTerms(b"secret of the rig", sign_up=False)
    world.restart()
    return world


@pytest.fixture
def store(world):
    return world.venue.open_store(wallet=SAFE)


def approval(client, store, signature=WORD):
    path = f"/v1/stores/{store.store_id}/grants/{store.grants[0].grant_id}"
    body = {"signature": "0x" + signature.hex()}
    return client.post(f"{path}/approval", json=body, headers=bearer(store.api_key))


def stands_behind(world, digest, signature=WORD):
    world.vouched.add((SAFE, digest, signature))


def test_a_grant_is_approved_and_its_key_taken_back_by_the_contracts_word(world, store):
    client = TestClient(site(world.venue))
    made = store.grants[0]
    refused = approval(client, store)
    assert refused.status_code == 401 and refused.json()["code"] == Outcome.BAD_SIGNATURE
    stands_behind(world, grant_digest(DOMAIN, made.grant))
    approved = approval(client, store)
    assert approved.status_code == 200, approved.text
    assert approved.json()["status"] == "live" and world.grant_calls == 1
    assert world.venue.invoice(store)

    nonce = made.grant.nonce + 1
    stands_behind(world, revocation_digest(DOMAIN, KeyRevocation(SAFE, made.grant.key, nonce)))
    path = f"/v1/stores/{store.store_id}/grants/{made.grant_id}"
    body = {"nonce": str(nonce), "signature": "0x" + WORD.hex()}
    gone = client.request("DELETE", path, json=body, headers=bearer(store.api_key))
    assert gone.status_code == 200 and gone.json()["status"] == "revoked", gone.text


def test_what_a_contract_said_of_other_terms_approves_nothing(world, store):
    grants, made = world.venue.merchants.grants, store.grants[0]
    digest = grant_digest(DOMAIN, made.grant)
    stands_behind(world, digest)
    vouched = grants.vouched(store.store_id, made.grant_id, WORD)
    assert vouched == Vouched(SAFE, digest, WORD)
    wider = made.grant._replace(notional_cap=made.grant.notional_cap * 2)
    for other in (
        vouched._replace(digest=grant_digest(DOMAIN, wider)),
        vouched._replace(wallet=b"\x5b" * 20),
        vouched._replace(signature=WORD[:-1] + b"\0"),
        None,
    ):
        refused = grants.approve(store.store_id, made.grant_id, WORD, other)
        assert refused.outcome is Outcome.BAD_SIGNATURE
    assert world.grant_calls == 0


def test_wrong_signatures_are_asked_about_as_often_as_a_shop_may(world, store):
    client = TestClient(site(world.venue, budgets=ShopBudgets(kept_per_store=3)))
    said = [approval(client, store).status_code for _ in range(5)]
    assert said == [401] * 3 + [429] * 2


class SafeBrowser(Browser):
    """Whose wallet is the contract."""

    @property
    def wallet(self):
        return SAFE

    def signed(self, message):
        self.world.vouched.add((SAFE, personal_digest(message), WORD))
        return "0x" + WORD.hex()


def test_a_contract_signs_in_and_confirms(world):
    app = people_site(world)
    world.venue.open_store(wallet=SAFE)
    browser = SafeBrowser(app, world)
    assert browser.sign_in().status_code == 201
    me = browser.me()
    assert me["wallet"] == checksum_address(SAFE) and me["stores"][0]["role"] == "owner"
    assert browser.add_passkey().status_code == 201, "by the contract's word"
    wanted = {"wallet": "0x" + "11" * 20}
    step_up = browser.confirm("payout.change", me["stores"][0]["id"], **wanted)
    assert step_up


def test_a_contract_that_says_nothing_opens_nothing(world):
    app = people_site(world)
    world.venue.open_store(wallet=SAFE)
    browser = SafeBrowser(app, world)
    message = browser.message(browser.terms())
    body = {"message": message, "signature": "0x" + WORD.hex(), "invitation": ""}
    refused = browser.ask("POST", "/v1/people/sessions/wallet", body)
    assert refused.status_code == 401 and refused.json()["code"] == Outcome.BAD_SIGNATURE


def test_a_strangers_contract_is_not_even_asked(world):
    app = people_site(world)
    make_store(app)
    browser = SafeBrowser(app, world)
    assert browser.sign_in().status_code == 401, "it would have vouched"
