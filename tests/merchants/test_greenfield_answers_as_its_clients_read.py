"""The dialect of BTCPay's clients: their paths, words and refusals, over our invoices."""

import asyncio
import json

import httpx
import pytest
from starlette.testclient import TestClient

from tests.merchants.fixtures import CUSTOMER, World
from tests.merchants.refunding import CUSTOMER_WALLET, pay, wallet_signs
from tests.merchants.site import site

METADATA = {"orderId": "WC-7", "buyer": {"name": "Ada"}, "unknown": [1, {"deep": "é"}]}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store(name="Bean & Co")


class Asking:
    """A shop's program: each answer is JSON of the plain type, or nothing it could read."""

    def __init__(self, world, api_key):
        self.client = TestClient(site(world.venue))
        self.headers = {"Authorization": f"token {api_key}"}

    def __call__(self, method, path, status=200, **more):
        answer = self.client.request(method, f"/api/v1{path}", headers=self.headers, **more)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/json", path
        return answer.json()


@pytest.fixture
def ask(world, store):
    return Asking(world, store.api_key)


def new_invoice(ask, store, **fields):
    body = {"amount": "50", "currency": "USD", "metadata": METADATA} | fields
    body.setdefault("checkout", {"paymentMethods": ["TOKEN-CHAIN"], "speedPolicy": "LowSpeed"})
    return ask("POST", f"/stores/{store.store_id}/invoices", json=body)


def sale(world, ask, store):
    made = new_invoice(ask, store)
    pay(world, world.venue.merchants.reader.invoice(made["id"]))
    return made["id"]


@pytest.mark.parametrize("prefix", ["/stores/{s}", ""], ids=["long path", "short path"])
def test_an_invoice_from_new_to_settled(world, store, ask, prefix):
    prefix = prefix.format(s=store.store_id)
    made = new_invoice(ask, store)
    assert made["metadata"] == METADATA, "every key as it came"
    assert (made["status"], made["additionalStatus"]) == ("New", "None")
    assert (made["amount"], made["currency"], made["storeId"]) == ("50", "USD", store.store_id)
    assert made["expirationTime"] - made["createdTime"] == 900, "unix seconds"
    assert made["monitoringTime"] == made["monitoringExpiration"]
    assert made["checkoutLink"] == f"http://shop.test/checkout/{made['id']}"
    place = f"{prefix}/invoices/{made['id']}"

    (method,) = [
        one
        for one in ask("GET", f"{place}/payment-methods")
        if one["paymentMethodId"] == "TOKEN-CHAIN"
    ]
    assert method["paymentMethodId"].split("-")[0] == "TOKEN", "what clients take for the coin"
    assert (method["amount"], method["due"], method["payments"]) == ("0.025", "0.025", [])
    pay(world, world.venue.merchants.reader.invoice(made["id"]))
    settled = ask("GET", place)
    assert (settled["status"], settled["additionalStatus"]) == ("Settled", "None")
    paid = ask("GET", f"{place}/payment-methods")[0]
    (payment,) = paid["payments"]
    assert (payment["value"], payment["status"]) == ("0.025", "Settled")
    assert (paid["due"], paid["totalPaid"]) == ("0", "0.025")
    assert payment["receivedDate"] == world.transfers[0].block_time_s
    assert ask("POST", f"{place}/payment-methods/TOKEN-CHAIN/activate") == {}
    assert ask("POST", f"{place}/payment-methods/BTC/activate", 404)["code"] == (
        "payment-method-not-found"
    )


def test_numbers_come_as_numbers_or_as_text_and_lose_no_digit(store, ask):
    body = '{"amount": 12.34, "currency": "USD", "metadata": null}'
    made = ask("POST", "/invoices", content=body)
    assert (made["amount"], made["metadata"]) == ("12.34", {})


def test_lists_page_filter_and_put_away(world, store, ask):
    names = []
    for number in range(4):
        names.append(new_invoice(ask, store, metadata={"orderId": f"o{number}"})["id"])
        world.pass_time(1)
    path = f"/stores/{store.store_id}/invoices"
    assert [one["id"] for one in ask("GET", path)] == names[::-1]
    assert [one["id"] for one in ask("GET", f"{path}?skip=1&take=2")] == names[2:0:-1]
    assert [one["id"] for one in ask("GET", f"{path}?orderId=o0&orderId=o3")] == [
        names[3],
        names[0],
    ]
    assert ask("GET", f"{path}?status=Settled") == []
    assert len(ask("GET", f"{path}?status=New&status=Processing")) == 4
    assert ask("DELETE", f"{path}/{names[0]}") == {}
    assert [one["id"] for one in ask("GET", path)] == names[:0:-1]
    assert len(ask("GET", f"{path}?includeArchived=true")) == 4
    assert ask("POST", f"{path}/{names[0]}/unarchive")["archived"] is False
    changed = ask("PUT", f"{path}/{names[0]}", json={"metadata": {"posData": "{}", "x": 1}})
    assert changed["metadata"] == {"posData": "{}", "x": 1}
    assert ask("GET", f"{path}?status=Paid", 422) == [
        {"path": "status", "message": "There is no such status"}
    ]


def test_a_mark_by_hand_is_a_word_and_moves_no_money(world, store, ask):
    made = new_invoice(ask, store)
    place = f"/stores/{store.store_id}/invoices/{made['id']}"
    marked = ask("POST", f"{place}/status", json={"status": "Settled"})
    assert (marked["status"], marked["additionalStatus"]) == ("Settled", "Marked")
    assert marked["availableStatusesForManualMarking"] == ["Invalid"]
    assert world.venue.merchants.reader.invoice(made["id"]).status == "new"
    assert ask("POST", f"{place}/status", 422, json={"status": "New"})[0]["path"] == "status"
    pay(world, world.venue.merchants.reader.invoice(made["id"]))
    assert world.venue.merchants.reader.invoice(made["id"]).status == "settled"


def test_refusals_are_in_their_shape(store, ask):
    path = f"/stores/{store.store_id}/invoices"
    assert ask("GET", f"{path}/none", 404) == {
        "code": "invoice-not-found",
        "message": "The invoice was not found",
    }
    assert ask("GET", "/stores/other/invoices", 404)["code"] == "store-not-found"
    for body, place in (
        ({}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "5", "metadata": []}, "metadata"),
        ({"amount": "5", "checkout": {"paymentMethods": "all"}}, "checkout.paymentMethods"),
    ):
        (wrong,) = ask("POST", path, 422, json=body)
        assert wrong["path"] == place and wrong["message"], body
    assert ask("POST", path, 422, content="{")[0]["message"]
    stranger = ask.client.get("/api/v1/stores", headers={"Authorization": "token nobody"})
    assert stranger.status_code == 401
    assert stranger.json() == {"code": "unauthenticated", "message": "Authentication is required"}
    assert stranger.headers["content-type"] == "application/json"


def test_a_key_does_what_its_permissions_say(world, store, ask):
    scope = f"btcpay.store.canviewinvoices:{store.store_id}"
    made = ask("POST", "/api-keys", json={"permissions": [scope], "label": "clerk"})
    clerk = Asking(world, made["apiKey"])
    assert clerk("GET", "/api-keys/current")["permissions"] == [scope]
    refused = clerk("POST", "/invoices", 403, json={"amount": "5"})
    assert (refused["code"], refused["missingPermission"]) == (
        "missing-permission",
        "btcpay.store.cancreateinvoice",
    )
    assert clerk("GET", f"/stores/{store.store_id}/invoices") == []
    assert ask("DELETE", f"/api-keys/{made['apiKey']}") == {}
    assert clerk("GET", "/api-keys/current", 401)["code"] == "unauthenticated"
    assert ask("DELETE", "/api-keys/current")["permissions"] == []
    assert ask("GET", "/stores", 401)


def test_stores_and_the_server_say_who_they_are(store, ask):
    (mine,) = ask("GET", "/stores")
    assert mine == ask("GET", f"/stores/{store.store_id}")
    assert (mine["name"], mine["paymentTolerance"]) == ("Bean & Co", 0.1)
    assert ask("GET", "/health") == {"synchronized": True}
    assert ask("GET", "/server/info")["fullySynched"] is True
    methods = ask("GET", f"/stores/{store.store_id}/payment-methods")
    assert [one["paymentMethodId"] for one in methods] == ["TOKEN-CHAIN", "USD-CHAIN"]
    assert all(one["enabled"] for one in methods)


def test_a_store_is_changed_as_its_clients_do_by_sending_it_all_back(store, ask):
    place = f"/stores/{store.store_id}"
    mine = ask("GET", place)
    wanted = {"name": "Bean", "invoiceExpiration": 600, "paymentTolerance": 1.25}
    changed = ask("PUT", place, json=mine | wanted | {"lightningDescriptionTemplate": "x"})
    assert changed == mine | wanted == ask("GET", place)
    assert ask("PUT", place, json={"paymentTolerance": "0", "website": None}) == changed | {
        "paymentTolerance": 0
    }
    for said in (
        {"name": ""},
        {"name": "a" * 81},
        {"invoiceExpiration": 59},
        {"paymentTolerance": 10.1},
        {"paymentTolerance": "0.00001"},
        {"paymentTolerance": -1},
        {"defaultCurrency": "EUR"},
        {"speedPolicy": "HighSpeed"},
        {"archived": True},
        {"website": "https://shop.example"},
    ):
        (wrong,) = ask("PUT", place, 422, json=said)
        assert wrong["path"] == next(iter(said)), said
    assert ask("POST", "/stores", 403, json={"name": "Another"})["code"] == "missing-permission"


def test_a_store_is_deleted_once_nothing_is_under_way(world, store, ask):
    place = f"/stores/{store.store_id}"
    new_invoice(ask, store)
    assert ask("DELETE", place, 409)["code"] == "invalid-state"
    world.pass_time(901)
    world.venue.tick()
    scopes = ["btcpay.store.canmodifystoresettings"]
    manager = Asking(world, ask("POST", "/api-keys", json={"permissions": scopes})["apiKey"])
    assert manager("DELETE", place, 403)["missingPermission"] == "tillbook.store.canclose"
    assert ask("DELETE", place) == {}
    assert ask("GET", place, 401)["code"] == "unauthenticated", "its keys work no more"


@pytest.mark.parametrize("prefix", ["/stores/{s}", ""], ids=["long path", "short path"])
def test_what_a_refund_would_come_to_is_told_before_it_is_opened(world, store, ask, prefix):
    prefix = prefix.format(s=store.store_id)
    unpaid = new_invoice(ask, store)["id"]
    nothing = ask("GET", f"{prefix}/invoices/{unpaid}/refund/TOKEN-CHAIN")
    assert (nothing["paymentAmountThen"], nothing["invoiceAmount"]) == ("0", "0")
    name = sale(world, ask, store)
    told = ask("GET", f"{prefix}/invoices/{name}/refund/TOKEN-CHAIN")
    assert told == {
        "paymentAmountNow": "0.025",
        "currentRateText": "2000 USD",
        "paymentAmountThen": "0.025",
        "invoiceAmount": "50",
        "overpaidPaymentAmount": None,
        "invoiceCurrency": "USD",
        "paymentCurrency": "TOKEN",
        "paymentCurrencyDivisibility": 8,
        "invoiceCurrencyDivisibility": 6,
    }
    ask("POST", f"{prefix}/invoices/{name}/refund", json={"refundVariant": "RateThen"})
    gone = ask("GET", f"{prefix}/invoices/{name}/refund/TOKEN")
    assert (gone["paymentAmountThen"], gone["paymentAmountNow"]) == ("0", "0")
    for method in ("BTC-CHAIN", "NO"):
        refused = ask("GET", f"{prefix}/invoices/{name}/refund/{method}", 404)
        assert refused["code"] == "payment-method-not-found"
    missing = ask("GET", f"{prefix}/invoices/inv_no/refund/TOKEN", 404)
    assert missing["code"] == "invoice-not-found"


def test_a_refund_is_a_pull_payment_and_its_claim_a_payout(world, store, ask):
    name = sale(world, ask, store)
    place = f"/stores/{store.store_id}"
    body = {"refundVariant": "RateThen", "payoutMethodId": "TOKEN-CHAIN", "name": "R", "x": 1}
    pull = ask("POST", f"{place}/invoices/{name}/refund", json=body)
    assert (pull["amount"], pull["currency"], pull["archived"]) == ("0.025", "TOKEN", False)
    assert pull["autoApproveClaims"] is True
    assert (
        world.venue.merchants.refunding.refunds.claim_key(pull["id"].split(".")[0])
        in (pull["viewLink"])
    )
    (listed,) = ask("GET", f"{place}/pull-payments")
    assert listed == pull

    stranger = Asking(world, "")
    stranger.headers = {}
    public = f"/pull-payments/{pull['id']}"
    assert stranger("GET", public)["viewLink"] == pull["viewLink"]
    assert stranger("GET", f"{public}/payouts") == []
    assert stranger("GET", public[:-1] + "_", 404)["code"] == "pull-payment-not-found"
    wrong = stranger("POST", f"{public}/payouts", 422, json={"destination": "bc1qq"})
    assert wrong[0]["path"] == "destination"
    more = {"destination": CUSTOMER_WALLET, "amount": "0.026"}
    assert stranger("POST", f"{public}/payouts", 422, json=more)[0]["path"] == "amount"
    payout = stranger("POST", f"{public}/payouts", json=more | {"amount": "0.025"})
    assert (payout["state"], payout["destination"]) == ("AwaitingPayment", CUSTOMER_WALLET)
    assert ask("GET", f"{place}/payouts") == [payout]
    assert stranger("GET", f"{public}/payouts/{payout['id']}") == payout
    assert stranger("GET", f"{public}/payouts/rfd_no", 404)["code"] == "payout-not-found"

    refund = world.venue.merchants.reader.refund(store.store_id, payout["id"])
    wallet_signs(world, store, refund)
    assert ask("GET", f"{place}/payouts/{payout['id']}")["state"] == "InProgress"
    again = ask("DELETE", f"{place}/payouts/{payout['id']}", 409)
    assert again["code"] == "invalid-state"


def test_a_pull_payment_is_claimed_in_parts(world, store, ask):
    name = sale(world, ask, store)
    place = f"/stores/{store.store_id}"
    body = {"refundVariant": "RateThen", "payoutMethodId": "TOKEN-CHAIN"}
    pull = ask("POST", f"{place}/invoices/{name}/refund", json=body)
    payouts = f"/pull-payments/{pull['id']}/payouts"
    wanted = {"destination": CUSTOMER_WALLET, "payoutMethodId": "TOKEN-CHAIN"}
    first = ask("POST", payouts, json=wanted | {"amount": "0.01"})
    assert (first["amount"], first["pullPaymentId"]) == ("0.01", pull["id"])
    assert ask("POST", payouts, 422, json=wanted | {"amount": 0.02})[0]["path"] == "amount"
    second = ask("POST", payouts, json=wanted | {"amount": 0.005})
    rest = ask("POST", payouts, json=wanted)
    assert (rest["amount"], rest["pullPaymentId"]) == ("0.01", pull["id"])
    assert ask("POST", payouts, json=wanted) == rest, "the same again is the same claim"
    assert ask("POST", payouts, 409, json=wanted | {"amount": "0.002"})["code"] == "invalid-state"
    found = ask("GET", payouts)
    assert sorted(one["id"] for one in found) == sorted(one["id"] for one in (first, second, rest))
    for one in found:
        assert ask("GET", f"{payouts}/{one['id']}") == one
    assert ask("GET", f"{place}/pull-payments") == [pull], "one, and of the same amount"
    assert len(ask("GET", f"{place}/payouts")) == 3
    assert ask("DELETE", f"{place}/payouts/{second['id']}") == {}
    assert len(ask("GET", payouts)) == 2
    assert len(ask("GET", f"{payouts}?includeCancelled=true")) == 3


def test_found_who_claimed_all_got_what_another_claim_had_left(world, store, ask):
    name = sale(world, ask, store)
    body = {"refundVariant": "RateThen", "payoutMethodId": "TOKEN-CHAIN"}
    pull = ask("POST", f"/stores/{store.store_id}/invoices/{name}/refund", json=body)

    wanted = ["0.002", "0.002", "0.002", "0.025", "0.002"]

    async def all_at_once():
        transport = httpx.ASGITransport(site(world.venue))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            path = f"/api/v1/pull-payments/{pull['id']}/payouts"
            asked = [{"destination": CUSTOMER_WALLET, "amount": each} for each in wanted]
            return await asyncio.gather(*(client.post(path, json=one) for one in asked))

    answers = asyncio.run(all_at_once())
    got = [answer.json()["amount"] if answer.status_code == 200 else None for answer in answers]
    assert all(one in (None, asked) for one, asked in zip(got, wanted, strict=True)), got
    assert {answer.status_code for answer in answers} <= {200, 409, 422}


def test_a_payout_is_approved_marked_and_cancelled(world, store, ask):
    name = sale(world, ask, store)
    place = f"/stores/{store.store_id}"
    fiat = {"refundVariant": "Fiat", "subtractPercentage": "90"}
    pull = ask("POST", f"{place}/invoices/{name}/refund", json=fiat)
    assert (pull["amount"], pull["currency"], pull["autoApproveClaims"]) == ("5", "USD", False)
    public = f"/pull-payments/{pull['id']}/payouts"
    payout = ask("POST", public, json={"destination": "0x" + CUSTOMER.hex()})
    assert (payout["state"], payout["revision"]) == ("AwaitingApproval", 1)
    path = f"{place}/payouts/{payout['id']}"
    assert ask("POST", path, 409, json={"revision": 0})["code"] == "invalid-state"
    assert ask("POST", path, json={"revision": 1})["state"] == "AwaitingPayment"
    assert ask("POST", f"{path}/mark-paid") == {}
    assert ask("GET", path)["state"] == "Completed"

    custom = {"refundVariant": "Custom", "customAmount": "0.002", "customCurrency": "TOKEN"}
    other = ask("POST", f"{place}/invoices/{name}/refund", json=custom)
    assert ask("DELETE", f"{place}/pull-payments/{other['id']}") == {}
    assert len(ask("GET", f"{place}/pull-payments")) == 1
    assert len(ask("GET", f"{place}/pull-payments?includeArchived=true")) == 2
    for body, path in (
        ({"refundVariant": "All"}, "refundVariant"),
        (custom | {"customAmount": "7"}, "amount"),
        (custom | {"subtractPercentage": 100}, "subtractPercentage"),
    ):
        wrong = ask("POST", f"{place}/invoices/{name}/refund", 422, json=body)
        assert wrong[0]["path"] == path, body
    assert ask("POST", f"{place}/pull-payments", 422, json={"amount": "5"})


def test_json_stays_json_whatever_is_in_the_metadata(store, ask):
    odd = {"orderId": ["not", "text"], "a": "\u2028</script>", "n": 1e300, "deep": [[[[]]]]}
    made = new_invoice(ask, store, metadata=odd)
    assert made["metadata"] == odd
    assert json.dumps(ask("GET", f"/invoices/{made['id']}")["metadata"]) == json.dumps(odd)
