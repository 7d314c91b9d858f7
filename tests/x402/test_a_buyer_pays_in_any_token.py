"""The unmodified x402 package pays for a resource in TOKEN, and the seller has stablecoin.

A real exchange in a process of its own; the seller's application and the buyer are here.
"""

import asyncio
import base64
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import orjson
import pytest
from eth_account import Account
from tillbook_client.paywall import Paywall, Price
from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport
from x402.http.facilitator_client import HTTPFacilitatorClient
from x402.http.utils import encode_payment_signature_header
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.schemas import PaymentPayload, PaymentRequired, PaymentRequirements

from gateway.sandbox.wallet import Wallet
from settlement.chain.dev.devchain import dev_secret
from settlement.chain.signer import SecretSigner, Transaction
from settlement.contracts import build_artifacts
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import Domain
from tests.e2e.running import Running, ask, until
from tests.merchants.site import served

NETWORK = "eip155:31337"
SELLER, BUYER = dev_secret(4), dev_secret(6)
MODULES = build_artifacts.HERE / "node_modules"
SCRIPT = Path(__file__).with_name("npm_packages.cjs")
PRICE = Price("5", ("TOKEN", "USD"))


needs_npm = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "@x402" / "fetch").is_dir(),
    reason="needs node and x402's packages from npm (see settlement/contracts/package.json)",
)


class Shop:
    """A store at the exchange, and its seller's application behind a paywall."""

    def __init__(self, running):
        self.running, self.served = running, 0
        token = (running.directory / "operator.token").read_text().strip()
        self.contracts = orjson.loads((running.directory / "deployment.json").read_bytes())
        wallet = "0x" + SecretSigner(SELLER).address.hex()
        body = {"wallet": wallet, "settle": "USD", "tokens": ["TOKEN"]}
        self.store = self.asked("POST", "/v1/stores", body, token, 201)
        self.key = self.store["api_key"]
        signer = Wallet(SELLER, None, Domain(31337, self.address_of("exchange")))
        for wanted in self.store["grants"]:
            signature = signer.grant_signature(wanted["grant"]["message"])
            path = f"/v1/stores/{self.store['id']}/grants/{wanted['id']}/approval"
            self.asked("POST", path, {"signature": "0x" + signature.hex()}, self.key, 200)
        self.url = f"http://127.0.0.1:{running.port}/x402"
        self.http = httpx.AsyncClient(timeout=30)
        self.clock_s = 0

    def has_price(self):
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        raw = orjson.dumps({"amount": "5", "token": "TOKEN"})
        return ask(self.running.port, "POST", "/x402/offers", raw, headers)[0] == 201

    def address_of(self, name):
        return bytes.fromhex(self.contracts[name].removeprefix("0x"))

    def asked(self, method, path, body, bearer, status):
        headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
        raw = None if body is None else orjson.dumps(body)
        found, _, said = ask(self.running.port, method, path, raw, headers)
        assert found == status, said
        return orjson.loads(said)

    def gifts(self, symbol, raw):
        """Mint ``raw`` units of a token to the buyer."""
        tokens = {token["symbol"]: token["address"] for token in self.contracts["tokens"]}
        token = bytes.fromhex(tokens[symbol].removeprefix("0x"))
        payer = SecretSigner(dev_secret(7))
        nonce = int(self.rpc("eth_getTransactionCount", "0x" + payer.address.hex(), "latest"), 16)
        to = SecretSigner(BUYER).address
        call = encode_call("mint", to, raw, contract="TestToken")
        sent = payer.sign_transaction(
            Transaction(31337, nonce, token, call, 100_000, 10**11, 10**9)
        )
        self.rpc("eth_sendRawTransaction", "0x" + sent.hex())
        asked = {"to": "0x" + token.hex(), "data": "0x" + holds(to).hex()}
        until("it is minted", lambda: int(self.rpc("eth_call", asked, "latest"), 16) >= raw)

    def rpc(self, method, *params):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        headers = {"content-type": "application/json"}
        _, _, said = ask(self.running.port, "POST", "/sandbox/rpc", orjson.dumps(body), headers)
        return orjson.loads(said)["result"]

    def paywall(self, http=None):
        async def app(scope, receive, send):
            self.served += 1
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"the report"})

        return Paywall(
            app,
            facilitator_url=self.url,
            api_key=self.key,
            price_of=lambda scope: PRICE if scope["path"] == "/report" else None,
            now_s=lambda: self.clock_s,
            http=http,
        )

    def invoices(self):
        return self.asked("GET", "/v1/invoices", None, self.key, 200)["invoices"]


def holds(account):
    return encode_call("balanceOf", account, contract="TestToken")


def paying_client():
    """Return the package's client; that it may pay in tokens it has not heard of is its setting."""
    client = x402Client()
    client.set_spend_controls(False)
    return register_exact_evm_client(client, Account.from_key(BUYER))


def buyer_of(transport):
    client = paying_client()
    return httpx.AsyncClient(
        transport=x402AsyncTransport(client, transport), base_url="http://seller", timeout=60
    )


def header_of(answer, name):
    return orjson.loads(base64.b64decode(answer.headers[name]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("x402") / "data")
    try:
        until("the sandbox is open", lambda: ask(running.port, "GET", "/shop")[0] == 200)
        shop = Shop(running)
        supported = shop.asked("GET", "/x402/supported", None, "", 200)
        assert supported["kinds"][0]["network"] == NETWORK
        until("the grant is live and there is a price", shop.has_price)
        shop.gifts("TOKEN", 10**20)
        shop.gifts("USD", 10**9)
        yield shop
    finally:
        running.process.terminate()
        running.process.communicate(timeout=60)


def test_the_buyer_is_served_and_the_seller_has_stablecoin(shop):
    async def story():
        transport = httpx.ASGITransport(shop.paywall())
        async with httpx.AsyncClient(transport=transport, base_url="http://seller") as visitor:
            free = await visitor.get("/other")
            asked = await visitor.get("/report")
            again = await visitor.get("/report")
        async with buyer_of(transport) as buyer:
            paid = await buyer.get("/report")
        return free, asked, again, paid

    before = shop.served
    free, asked, again, paid = asyncio.run(story())

    assert free.status_code == 200
    assert asked.status_code == 402
    required = header_of(asked, "payment-required")
    token, usd = required["accepts"]
    assert token["network"] == NETWORK and usd["amount"] == "5000000"
    assert header_of(again, "payment-required") == required, "an offer that nobody took is repeated"
    assert (paid.status_code, paid.content) == (200, b"the report")
    settled = header_of(paid, "payment-response")
    assert settled["success"] and settled["amount"] == token["amount"]
    assert shop.served == before + 2

    def is_sold():
        found = [one for one in shop.invoices() if one["status"] == "settled"]
        return found and found[0]["conversions"] and found[0]

    sold = until("it is swept, booked and sold", is_sold)

    def is_final():
        (sale,) = shop.asked("GET", f"/v1/invoices/{sold['id']}", None, shop.key, 200)[
            "conversions"
        ]
        return sale["status"] == "final" and sale

    until("its sale is final on chain", is_final)


def test_a_payment_sent_twice_is_served_once_and_relayed_once(shop):
    async def story():
        first, second = shop.paywall(), shop.paywall()
        transport = httpx.ASGITransport(first)
        async with httpx.AsyncClient(transport=transport, base_url="http://seller") as visitor:
            required = header_of(await visitor.get("/report"), "payment-required")
            header = {"payment-signature": await signed(required)}
            answers = await asyncio.gather(*(visitor.get("/report", headers=header) for _ in "123"))
        # Another process, or the same one after a restart: it knows its offer, and pays no more.
        other = httpx.ASGITransport(second)
        async with httpx.AsyncClient(transport=other, base_url="http://seller") as visitor:
            answers.append(await visitor.get("/report", headers=header))
            answers.append(await visitor.get("/report", headers={"payment-signature": "e30="}))
        return answers

    before = shop.served
    *same, other, none = asyncio.run(story())
    assert [answer.status_code for answer in same] == [200] * 3
    assert shop.served == before + 2, "once by each process"
    hashes = {header_of(one, "payment-response")["transaction"] for one in (*same, other)}
    assert len(hashes) == 1
    assert none.status_code == 402


async def signed(required):
    """Return the header of a payment, as the package writes it."""
    wanted = PaymentRequired.model_validate(required)
    payload = await paying_client().create_payment_payload(wanted)
    return encode_payment_signature_header(payload)


def test_the_packages_own_facilitator_client_verifies_and_settles(shop):
    offer = shop.asked("POST", "/x402/offers", {"amount": "2", "token": "TOKEN"}, shop.key, 201)[
        "requirements"
    ]
    wanted = PaymentRequirements.model_validate(offer)
    bearer = {"Authorization": f"Bearer {shop.key}"}
    client = HTTPFacilitatorClient(
        {"url": shop.url, "create_headers": lambda: {"verify": bearer, "settle": bearer}}
    )

    async def story():
        payment = orjson.loads(
            base64.b64decode(await signed({"x402Version": 2, "accepts": [offer]}))
        )
        good = PaymentPayload.model_validate(payment)
        bad = orjson.loads(orjson.dumps(payment))
        signature = bad["payload"]["signature"]
        bad["payload"]["signature"] = signature[:-4] + "0000"
        forged = PaymentPayload.model_validate(bad)
        elsewhere = wanted.model_copy(update={"pay_to": "0x" + "11" * 20})
        return [
            await client.verify(good, wanted),
            await client.verify(forged, wanted),
            await client.verify(good, elsewhere),
            await client.settle(good, wanted),
            await client.settle(good, wanted),
            await client.verify(good, wanted),
        ]

    good, forged, elsewhere, settled, again, after = asyncio.run(story())
    assert good.is_valid and not forged.is_valid and not elsewhere.is_valid
    assert forged.invalid_reason == "invalid_exact_evm_payload_signature"
    assert settled.success and again.success and settled.transaction == again.transaction
    assert after.is_valid, "it was taken: how it goes is asked by settling it"


def test_an_invoice_is_paid_by_one_buyer_only(shop):
    offer = shop.asked("POST", "/x402/offers", {"amount": "2", "token": "USD"}, shop.key, 201)[
        "requirements"
    ]
    bodies = []
    for _ in range(2):
        written = asyncio.run(signed({"x402Version": 2, "accepts": [offer]}))
        payment = orjson.loads(base64.b64decode(written))
        bodies.append({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": offer})
    first = shop.asked("POST", "/x402/settle", bodies[0], shop.key, 200)
    second = shop.asked("POST", "/x402/settle", bodies[1], shop.key, 200)
    assert first["success"], first
    assert not second["success"] and second["errorReason"] == "invoice_is_paid_by_another"
    shop.asked("POST", "/x402/settle", bodies[0], "nobody's key", 401)


@needs_npm
@pytest.mark.node
@pytest.mark.parametrize("way", ["fetch", "axios"])
def test_the_npm_packages_buy_behind_our_paywall(shop, way):
    before = shop.served
    with served(shop.paywall()) as url:
        paid = npm(way, shop, url=f"{url}/report")
    assert (paid["status"], paid["body"]) == (200, "the report")
    assert paid["settled"]["success"] and paid["settled"]["network"] == NETWORK
    assert len(paid["settled"]["transaction"]) == 66
    assert shop.served == before + 1


@needs_npm
@pytest.mark.node
def test_the_npm_express_middleware_sells_through_our_facilitator(shop):
    sold = npm("express", shop)
    assert (sold["unpaid"], sold["status"], sold["body"]) == (402, 200, "the report")
    paid = sold["settled"]
    assert paid["success"]
    until("its invoice is paid by that transaction", lambda: paid_by(shop, paid["transaction"]))


def paid_by(shop, transaction):
    """Return whether the seller's newest invoice was paid by a transaction."""
    newest = shop.invoices()[0]["id"]
    invoice = shop.asked("GET", f"/v1/invoices/{newest}", None, shop.key, 200)
    return [payment["tx_hash"] for payment in invoice["payments"]] == [transaction]


def npm(way, shop, **more):
    """Return what an unmodified package of npm's made of it."""
    given = {
        "secret": "0x" + BUYER.hex(),
        "network": NETWORK,
        "facilitator": shop.url,
        "key": shop.key,
        **more,
    }
    done = subprocess.run(
        [shutil.which("node"), str(SCRIPT), way, orjson.dumps(given).decode()],
        capture_output=True,
        env=os.environ | {"NODE_PATH": str(MODULES)},
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return orjson.loads(done.stdout)
