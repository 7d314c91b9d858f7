"""A client of BTCPay's, as npm has it, against a served site of ours: it sells, is paid, and gives
money back."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from merchants.records.refunds import RefundVariant
from settlement.contracts import build_artifacts
from tests.merchants.fixtures import DOLLAR, MERCHANT, USD, World
from tests.merchants.refunding import CUSTOMER_WALLET, chain_pays, opened, paid, pay, wallet_signs
from tests.merchants.site import served, site

MODULES = build_artifacts.HERE / "node_modules"
SCRIPT = Path(__file__).with_name("greenfield_client.cjs")

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / "btcpay-greenfield-node-client").is_dir(),
        reason="needs node and the client from npm (see settlement/contracts/package.json)",
    ),
]


class Client:
    """The client in a process of its own."""

    def __init__(self, url, api_key):
        self.process = subprocess.Popen(
            [shutil.which("node"), str(SCRIPT), url, api_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NODE_PATH": str(MODULES)},
        )

    def ask(self, service, method, **args):
        line = {"service": service, "method": method, "args": args}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __call__(self, service, method, **args):
        answer = self.ask(service, method, **args)
        assert "error" not in answer, answer
        return answer.get("body")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store(name="Bean & Co")


@pytest.fixture
def client(world, store):
    with served(site(world.venue)) as url:
        found = Client(url, store.api_key)
        yield found
        found.close()


def test_it_sells_is_paid_and_gives_back(world, store, client):
    s = store.store_id
    assert client("HealthService", "healthGetHealth") == {"synchronized": True}
    assert client("ServerInfoService", "serverInfoGetServerInfo")["fullySynched"]
    (mine,) = client("StoresService", "storesGetStores")
    assert mine["id"] == s

    body = {
        "amount": "50",
        "currency": "USD",
        "metadata": {"orderId": "7", "cart": [1]},
        "checkout": {"paymentMethods": ["TOKEN-CHAIN"]},
    }
    made = client("InvoicesService", "invoicesCreateInvoice", storeId=s, requestBody=body)
    assert (made["status"], made["metadata"]) == ("New", body["metadata"])
    one = {"storeId": s, "invoiceId": made["id"]}
    (method,) = client("InvoicesService", "invoicesGetInvoicePaymentMethods", **one)
    assert (method["paymentMethod"], method["due"]) == ("TOKEN-CHAIN", "0.025")
    pay(world, world.venue.merchants.reader.invoice(made["id"]))
    assert client("InvoicesService", "invoicesGetInvoice", **one)["status"] == "Settled"
    changed = client(
        "InvoicesService", "invoicesUpdateInvoice", **one, requestBody={"metadata": {"a": "b"}}
    )
    assert changed["metadata"] == {"a": "b"}
    client("InvoicesService", "invoicesArchiveInvoice", **one)
    assert client("InvoicesService", "invoicesGetInvoices", storeId=s) == []
    client("InvoicesService", "invoicesUnarchiveInvoice", **one)

    # The client is older than refunds of invoices, and knows pull payments alone.
    invoice = world.venue.merchants.reader.invoice(made["id"])
    refund = opened(world, store, invoice, RefundVariant.FIAT, is_approved=False)
    (pull,) = client("PullPaymentsManagementService", "pullPaymentsGetPullPayments", storeId=s)
    name = {"pullPaymentId": pull["id"]}
    shown = client("PullPaymentsPublicService", "pullPaymentsGetPullPayment", **name)
    assert shown["amount"] == "50"
    claim = {"destination": CUSTOMER_WALLET, "paymentMethod": "USD-CHAIN"}
    payout = client(
        "PullPaymentsPublicService", "pullPaymentsCreatePayout", **name, requestBody=claim
    )
    assert (payout["state"], payout["amount"]) == ("AwaitingApproval", "50")
    approved = client(
        "PullPaymentsManagementService",
        "pullPaymentsApprovePayout",
        storeId=s,
        payoutId=payout["id"],
        requestBody={"revision": payout["revision"]},
    )
    assert approved["state"] == "AwaitingPayment"
    world.venue.fund(MERCHANT, USD, 50 * DOLLAR)  # The fee of its own sale is missing.
    wallet_signs(world, store, refund)
    world.venue.tick()
    chain_pays(world)
    (paid,) = client("PullPaymentsPublicService", "pullPaymentsGetPayouts", **name)
    assert paid["state"] == "Completed"


def test_it_claims_a_pull_payment_in_parts(world, store, client):
    s = store.store_id
    refund = opened(world, store, paid(world, store, "50", token="USD"))
    (pull,) = client("PullPaymentsManagementService", "pullPaymentsGetPullPayments", storeId=s)
    name = {"pullPaymentId": pull["id"]}
    claim = {"destination": CUSTOMER_WALLET, "paymentMethod": "USD-CHAIN"}
    part, rest = (
        client(
            "PullPaymentsPublicService",
            "pullPaymentsCreatePayout",
            **name,
            requestBody=claim | {"amount": amount},
        )
        for amount in ("20", "30")
    )
    assert (part["amount"], rest["amount"]) == ("20", "30")
    assert {part["pullPaymentId"], rest["pullPaymentId"]} == {pull["id"]}
    client("PullPaymentsManagementService", "pullPaymentsCancelPayout", **managed(s, part))
    (left,) = client("PullPaymentsPublicService", "pullPaymentsGetPayouts", **name)
    assert (left["id"], left["state"]) == (refund.id, "AwaitingPayment")


def managed(store_id, payout):
    return {"storeId": store_id, "payoutId": payout["id"]}


def test_it_understands_every_refusal(store, client):
    s = store.store_id
    gone = client.ask("InvoicesService", "invoicesGetInvoice", storeId=s, invoiceId="none")
    assert (gone["status"], gone["body"]["code"]) == (404, "invoice-not-found")
    bad = client.ask(
        "InvoicesService", "invoicesCreateInvoice", storeId=s, requestBody={"currency": "USD"}
    )
    assert bad["status"] == 422 and bad["body"][0]["path"] == "amount"
    made = client(
        "ApiKeysService",
        "postApiKeysService",
        requestBody={"permissions": ["btcpay.store.canviewinvoices"], "label": "clerk"},
    )
    assert made["apiKey"]
    client("ApiKeysService", "deleteApiKeysService", apikey=made["apiKey"])
    client("ApiKeysService", "deleteApiKeysService1")
    closed = client.ask("StoresService", "storesGetStores")
    assert (closed["status"], closed["body"]["code"]) == (401, "unauthenticated")
