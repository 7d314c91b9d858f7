"""A shop's people over HTTP: browsers with cookies, wallets and passkeys."""

from base64 import urlsafe_b64decode
from datetime import UTC, datetime

from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.api.v1.people import people_router
from gateway.api.v1.people_access import Gate, Work
from gateway.api.v1.shops import merchants_router
from gateway.http.clients import Clients
from gateway.http.mounting import mount
from gateway.http.problems import answer_of
from gateway.trading.budgets import SHOP_BUDGETS, Budgets, RateLimits, ShopLimits
from gateway.trading.rejection import Rejection
from gateway.trading.siwe_logon import Nonces
from merchants.people.people import PeopleTerms
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import address_of_secret, sign
from settlement.protocol.siwe import personal_digest
from tests.merchants.authenticator import Authenticator
from tests.merchants.fixtures import DOMAIN, MERCHANT_SECRET
from tests.merchants.site import OPERATOR_TOKEN
from tests.merchants.test_shops_over_rest import NEW_STORE, bearer

URL = "http://localhost"
RP_ID = "localhost"
PLENTY = Budgets(proofs_per_address=100_000)


def gate_of(world, url=URL, budgets=PLENTY):
    dice = world.dice.randbytes
    return Gate(
        people=world.venue.merchants.people,
        domain=DOMAIN,
        operator_token=OPERATOR_TOKEN,
        public_url=url,
        limits=RateLimits(budgets, world.clock),
        clients=Clients(),
        nonces=Nonces(b"secret of the rig" * 2, world.clock, dice),
        now_ns=world.clock,
        proofs=Work(),
        reads=Work(),
        wallets=Work(),
        kept=ShopLimits(SHOP_BUDGETS),
    )


def people_site(world, url=URL, budgets=PLENTY):
    """Return an app with the routes of people and of shops."""
    app = FastAPI()
    gate = gate_of(world, url, budgets)
    mount(app, people_router(gate))
    mount(app, merchants_router(world.venue.merchants, DOMAIN, OPERATOR_TOKEN, url, gate))

    @app.exception_handler(Rejection)
    async def refuse(_request, rejected):
        return answer_of(rejected)

    return app


def make_store(app, secret=MERCHANT_SECRET, name="Shop"):
    wallet = "0x" + address_of_secret(secret).hex()
    body = {**NEW_STORE, "wallet": wallet, "name": name}
    answer = TestClient(app, base_url=URL).post(
        "/v1/stores", json=body, headers=bearer(OPERATOR_TOKEN)
    )
    return answer.json()["id"]


def unpadded(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """Somebody's browser: his wallet and passkey, and the cookies that he was given."""

    def __init__(self, app, world, secret=MERCHANT_SECRET, number=1, host="testclient"):
        self.world, self.secret = world, secret
        self.http = TestClient(app, base_url=URL, headers={"origin": URL}, client=(host, 50_000))
        self.passkey = Authenticator(URL, RP_ID, number=number)

    @property
    def wallet(self):
        return address_of_secret(self.secret)

    def ask(self, method, path, body=None, *, step_up=""):
        headers = {"Step-Up": step_up} if step_up else {}
        if method in ("POST", "PATCH", "PUT"):
            return self.http.request(method, path, json=body or {}, headers=headers)
        return self.http.request(method, path, headers=headers)

    def terms(self):
        return self.ask("GET", "/v1/people/nonce").json()

    def message(self, terms, **changes):
        said = {**terms, **changes}
        issued = datetime.fromtimestamp(self.world.now_ns // 10**9, UTC)
        return (
            f"{said['domain']} wants you to sign in with your Ethereum account:\n"
            f"{checksum_address(self.wallet)}\n\n\n"
            f"URI: {said['uri']}\nVersion: 1\nChain ID: {said['chain_id']}\n"
            f"Nonce: {said['nonce']}\nIssued At: {issued.strftime('%Y-%m-%dT%H:%M:%SZ')}\n"
            f"Resources:\n- {said['resource']}"
        )

    def signed(self, message):
        return "0x" + sign(personal_digest(message), self.secret).hex()

    def sign_in(self, invitation="", **changes):
        message = self.message(self.terms(), **changes)
        body = {"message": message, "signature": self.signed(message), "invitation": invitation}
        return self.ask("POST", "/v1/people/sessions/wallet", body)

    def sign_in_by_passkey(self, **how):
        nonce = self.terms()["nonce"]
        body = {"nonce": nonce, "credential": self.passkey.sign(bytes.fromhex(nonce), **how)}
        return self.ask("POST", "/v1/people/sessions/passkey", body)

    def me(self):
        return self.ask("GET", "/v1/people/me").json()

    def begin(self, kind, store_id="", /, **parameters):
        body = {"kind": kind, "store_id": store_id, "parameters": parameters}
        return self.ask("POST", "/v1/people/step-ups", body)

    def answers(self, asked, code=""):
        """Return what answers a challenge."""
        body = {}
        if "passkey" in asked["needs"]:
            body["passkey"] = self.passkey.sign(unpadded(asked["challenge"]))
        if "wallet" in asked["needs"]:
            body["signature"] = self.signed(asked["message"])
        return body | ({"code": code} if "totp" in asked["needs"] else {})

    def confirm(self, kind, store_id="", /, code="", **parameters):
        """Return the id of a confirmed action."""
        asked = self.begin(kind, store_id, **parameters).json()
        path = f"/v1/people/step-ups/{asked['id']}/answer"
        answer = self.ask("POST", path, self.answers(asked, code))
        assert answer.status_code == 200, answer.text
        return asked["id"]

    def add_passkey(self, name="laptop"):
        step_up = self.confirm("passkey.add", id=self.passkey.id)
        return self.enrol(step_up, name)

    def enrol(self, step_up="", name="laptop"):
        nonce = self.terms()["nonce"]
        made = self.passkey.make(bytes.fromhex(nonce))
        body = {"nonce": nonce, "credential": made, "name": name}
        return self.ask("POST", "/v1/people/passkeys", body, step_up=step_up)


def signing_up(world):
    """Let whoever has a wallet sign up in ``world``; return it."""
    world.people_terms = PeopleTerms(b"secret of the rig", sign_up=True)
    world.restart()
    return world


def with_passkey(app, world):
    """Return the browser of the shop's wallet, signed in and with a passkey."""
    browser = Browser(app, world)
    browser.sign_in()
    browser.add_passkey()
    return browser
