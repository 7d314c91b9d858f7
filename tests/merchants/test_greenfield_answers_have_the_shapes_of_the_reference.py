"""Each answer of the dialect has what BTCPay's own declarations say, of the type they say: those of
the unmodified npm client, generated from the reference's document, and what is newer there."""

import re
from pathlib import Path

import pytest

from tests.merchants.fixtures import CUSTOMER, World
from tests.merchants.test_greenfield_answers_as_its_clients_read import Asking, new_invoice, sale

PACKAGE = "settlement/contracts/node_modules/btcpay-greenfield-node-client"
MODELS = Path(__file__).parents[2] / PACKAGE / "dist/models"
FIELD = re.compile(r"^    (\w+)\??: (.+);$", re.MULTILINE)
PARENT = re.compile(r"= \((\w+) &")

NOT_HERE = {
    "lightningDescriptionTemplate",
    "requiresRefundEmail",
    "lightningAmountInSatoshi",
    "lightningPrivateRouteHints",
    "onChainWithLnInvoiceFallback",
    "redirectAutomatically",
    "showRecommendedFee",
    "recommendedFeeBlockTarget",
    "defaultLang",
    "customLogo",
    "customCSS",
    "htmlTitle",
    "payJoinEnabled",
}
"""What a store has there and here has nothing for; clients read each as optional."""

NEWER = {
    "receivedDate": int,
    "date": int,
    "everything": bool,
    "website": str | None,
    "errorMessage": str | None,
}
"""Otherwise in version 2 than the client declares: times are unix seconds, unset is null."""

REFUND_PREVIEW = {
    "paymentAmountNow": str,
    "currentRateText": str,
    "paymentAmountThen": str,
    "invoiceAmount": str,
    "overpaidPaymentAmount": str | None,
    "invoiceCurrency": str,
    "paymentCurrency": str,
    "paymentCurrencyDivisibility": int,
    "invoiceCurrencyDivisibility": int,
}
"""``InvoiceRefundTriggerData`` of version 2, which the client is too old for."""

KINDS = {"string": str, "number": int | float, "boolean": bool, "Array": list, "null": None}


def declared(name):
    """Return the fields that the reference declares for ``name``, each with its type."""
    text = (MODELS / f"{name}.d.ts").read_text()
    parent = PARENT.search(text)
    fields = declared(parent[1]) if parent else {}
    for field, kinds in FIELD.findall(text):
        known = [KINDS[kind] for kind in KINDS if re.search(rf"\b{kind}\b", kinds)]
        kind = known[0] if known and known[0] else object  # A type of its own, held by itself.
        for other in known[1:]:
            kind |= other
        fields[field] = NEWER.get(field, kind)
    return {field: kind for field, kind in fields.items() if field not in NOT_HERE}


def held(answer, fields):
    missing = set(fields) - set(answer)
    assert missing == set()
    wrong = {name for name, kind in fields.items() if not isinstance(answer[name], kind)}
    assert wrong == set()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def store(world):
    return world.venue.approved_store(name="Bean & Co")


@pytest.fixture(scope="module")
def ask(world, store):
    return Asking(world, store.api_key)


@pytest.fixture(scope="module")
def sold(world, ask, store):
    return sale(world, ask, store)


def test_stores_and_keys(ask, store):
    held(ask("GET", f"/stores/{store.store_id}"), declared("StoreData"))
    held(ask("GET", "/api-keys/current"), declared("ApiKeyData"))


def test_invoices_and_what_paid_them(ask, store, sold):
    fields = declared("InvoiceData")
    held(ask("GET", f"/invoices/{sold}"), fields)
    held(new_invoice(ask, store), fields)
    methods = ask("GET", f"/invoices/{sold}/payment-methods")
    assert isinstance(methods, list)
    for method in methods:
        held(method, declared("InvoicePaymentMethodDataModel"))
    held(methods[0]["payments"][0], declared("Payment"))


def test_refunds_pull_payments_and_payouts(ask, sold):
    held(ask("GET", f"/invoices/{sold}/refund/TOKEN-CHAIN"), REFUND_PREVIEW)
    body = {"refundVariant": "RateThen", "payoutMethodId": "TOKEN-CHAIN"}
    pull = ask("POST", f"/invoices/{sold}/refund", json=body)
    held(pull, declared("PullPaymentData"))
    destination = {"destination": "0x" + CUSTOMER.hex()}
    payout = ask("POST", f"/pull-payments/{pull['id']}/payouts", json=destination)
    held(payout, declared("PayoutData"))


@pytest.mark.parametrize("prefix", ["/stores/{s}", ""], ids=["long path", "short path"])
def test_webhooks_and_deliveries(world, ask, store, prefix):
    place = f"{prefix.format(s=store.store_id)}/webhooks"
    made = ask("POST", place, json={"url": "https://shop.example/hook"})
    held(made, declared("WebhookData") | {"secret": str})
    sale(world, ask, store)
    (first, *_) = ask("GET", f"{place}/{made['id']}/deliveries")
    held(first, declared("WebhookDeliveryData"))
    assert ask("GET", f"{place}/{made['id']}/deliveries/{first['id']}") == first
    assert ask("DELETE", f"{place}/{made['id']}") == {}
