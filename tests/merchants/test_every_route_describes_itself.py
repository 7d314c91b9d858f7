"""A program finds in the OpenAPI document what each route takes and answers; and so it is."""

import json

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.api.v1 import schemas
from gateway.api.v1.openapi import TYPES, schema_of
from gateway.http.problems import Problem
from gateway.trading.budgets import ShopBudgets
from merchants.reports.reports import ReportKind
from settlement.audit.proofs import TradeProof
from settlement.protocol.eip712 import KeyRevocation, revocation_digest, sign
from tests.api.fixtures import DOMAIN as API_DOMAIN
from tests.api.fixtures import Venue, Wallet
from tests.api.test_a_wallet_grants_keys_without_gas import grant_by
from tests.merchants.fixtures import MERCHANT_SECRET, World
from tests.merchants.refunding import pay
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer

SCHEMA = "#/components/schemas/"
PROBLEM = "application/problem+json"
BODILESS = {
    "/v1/stores/{store_id}/webhooks/{endpoint_id}/secret",
    "/v1/stores/{store_id}/webhooks/{endpoint_id}/ping",
    "/v1/stores/{store_id}/webhook-deliveries/{delivery_id}/redelivery",
    "/v1/invoices/{invoice_id}/requote",
    "/v1/invoices/{invoice_id}/rescan",
    "/v1/refunds/{refund_id}/cancel",
    "/v1/refunds/{refund_id}/withdrawal",
    "/v1/refunds/{refund_id}/claim-link",
}
"""POST that takes no body."""


def shops(directory):
    return site(World(directory).venue)


def native(_directory):
    return Venue().app()


@pytest.fixture(params=[shops, native])
def app(request, tmp_path):
    return request.param(tmp_path)


def routes_of(app):
    """Return method and path of each route that programs may ask."""
    paths = schema_of(app)["paths"].items()
    return {(method.upper(), path) for path, operations in paths for method in operations}


def reference(answer, media_type="application/json"):
    """Return the name of the schema of ``answer``."""
    return answer["content"][media_type]["schema"]["$ref"].removeprefix(SCHEMA)


def test_every_route_says_what_it_takes_answers_and_rejects(app):
    document = schema_of(app)
    known = document["components"]["schemas"]
    routes = routes_of(app)
    assert len(routes) >= 10
    for method, path in routes:
        about = document["paths"][path][method.lower()]
        where = f"{method} {path}"
        good = [status for status in about["responses"] if status < "300"]
        assert len(good) == 1, where
        for status, answer in about["responses"].items():
            is_problem = PROBLEM in answer["content"]
            assert reference(answer, PROBLEM if is_problem else "application/json") in known, where
            assert answer["description"], where
            assert is_problem or status in (*good, "503"), where
        assert "429" in about["responses"], f"{where}: each is charged"
        if method == "POST" and path not in BODILESS:
            assert reference(about["requestBody"]) in known, where


def shape_of(app, method, path):
    """Return the Struct that the document names for a good answer."""
    responses = schema_of(app)["paths"][path][method.lower()]["responses"]
    (good,) = (answer for status, answer in responses.items() if status < "300")
    name = reference(good)
    return next(shape for shape in TYPES if shape.__name__ == name)


def fits(shape, answer):
    """Return whether an answer is what ``shape`` says, and has no field more."""
    written = msgspec.json.encode(msgspec.json.decode(answer.content, type=shape))
    return json.loads(written) == answer.json()


class Asking:
    """A client that holds each answer against the document, and notes which routes it has asked."""

    def __init__(self, app, ids):
        self.app, self.client, self.ids, self.asked = app, TestClient(app), ids, set()

    def __call__(self, method, path, **more):
        answer = self.client.request(method, path.format(**self.ids), **more)
        assert fits(shape_of(self.app, method, path), answer), (path, answer.text)
        assert answer.status_code < 300 and str(answer.status_code) in self.stated(method, path)
        self.asked.add((method, path))
        return answer.json()

    def rejected(self, method, path, **more):
        answer = self.client.request(method, path.format(**self.ids), **more)
        problem = msgspec.json.decode(answer.content, type=Problem)  # It may have figures besides.
        assert answer.headers["content-type"] == PROBLEM and problem.status == answer.status_code
        assert answer.status_code >= 400 and str(answer.status_code) in self.stated(method, path)

    def stated(self, method, path):
        return schema_of(self.app)["paths"][path][method.lower()]["responses"]


def test_a_real_answer_of_every_shops_route_is_what_the_document_says(tmp_path):
    world = World(tmp_path)
    # Each route is asked with a wrong key as well, and there are more of them than may be guessed.
    ask = Asking(site(world.venue, budgets=ShopBudgets(wrong_keys_per_address=1000)), {})

    def both(method, path, headers, **more):
        answer = ask(method, path, headers=headers, **more)
        ask.rejected(method, path, headers=bearer("nobody"), **more)
        return answer

    made = both("POST", "/v1/stores", bearer(OPERATOR_TOKEN), json=NEW_STORE)
    ask.ids["store_id"], headers = made["id"], bearer(made["api_key"])
    ask.ids["grant_id"] = made["grants"][0]["id"]
    body = {"signature": approve(ask.client, made)}
    both("POST", "/v1/stores/{store_id}/grants/{grant_id}/approval", headers, json=body)
    both("GET", "/v1/stores/{store_id}/grants", headers)
    kept = ask.ids["grant_id"]
    another = both("POST", "/v1/stores/{store_id}/grants", headers, json={"token": "TOKEN"})
    ask.ids["grant_id"] = another["id"]
    both("DELETE", "/v1/stores/{store_id}/grants/{grant_id}", headers, json={})
    ask.ids["grant_id"] = kept
    both("PATCH", "/v1/stores/{store_id}", headers, json={"name": "Corner Books & Tea"})
    set_up(both, ask, headers)
    body = {"amount": "5", "tokens": ["TOKEN"], "metadata": {"cart": [1]}}
    ask.ids["invoice_id"] = both("POST", "/v1/invoices", headers, json=body)["id"]
    redelivery = "/v1/stores/{store_id}/webhook-deliveries/{delivery_id}/redelivery"
    ask.ids["delivery_id"] = "1"
    both("POST", redelivery, headers)
    for path in (
        "/v1/stores/{store_id}",
        "/v1/stores/{store_id}/webhook-deliveries",
        "/v1/events",
        "/v1/invoices",
        "/v1/invoices/{invoice_id}",
        "/v1/invoices/{invoice_id}/conversions",
        "/v1/invoices/{invoice_id}/receipt",
        *(f"/v1/stores/{{store_id}}/reports/{kind.value}" for kind in ReportKind),
    ):
        both("GET", path, headers)
    both("DELETE", "/v1/stores/{store_id}/webhooks/{endpoint_id}", headers)
    give_money_back(world, ask, both, headers)
    name_lots(ask, both, headers)
    sell_from_links(both, ask, headers)
    another = {"amount": "5", "tokens": ["USD"]}
    ask.ids["invoice_id"] = both("POST", "/v1/invoices", headers, json=another)["id"]
    world.pass_time(901)
    world.venue.tick()
    both("POST", "/v1/invoices/{invoice_id}/requote", headers)
    world.trades_are("final")
    world.pass_time(90 * 86_400)  # What was not sent in time, or waits for somebody, is over.
    world.venue.tick()
    both("POST", "/v1/invoices/{invoice_id}/rescan", headers)
    both("POST", "/v1/refunds/{refund_id}/cancel", headers)
    both("DELETE", "/v1/stores/{store_id}", headers)
    assert ask.asked == routes_of(ask.app), "all of them"


def name_lots(ask, both, headers):
    """Say which lots a trade has sold."""
    path = "/v1/stores/{store_id}/reports/conversions"
    ask.ids["trade"] = both("GET", path, headers)["rows"][0]["trade"]
    choices = "/v1/stores/{store_id}/lot-choices/{trade}"
    both("PUT", choices, headers, json={"lots": []})
    both("GET", choices, headers)


def set_up(both, ask, headers):
    """Make endpoints, keys and a policy, and change them."""
    webhook = "/v1/stores/{store_id}/webhooks"
    endpoint = both("POST", webhook, headers, json={"url": "https://shop.example/hook"})
    ask.ids["endpoint_id"] = endpoint["id"]
    both("GET", webhook, headers)
    both("GET", f"{webhook}/{{endpoint_id}}", headers)
    both("PATCH", f"{webhook}/{{endpoint_id}}", headers, json={"event_types": []})
    both("POST", f"{webhook}/{{endpoint_id}}/secret", headers)
    both("POST", f"{webhook}/{{endpoint_id}}/ping", headers)
    both("GET", f"{webhook}/{{endpoint_id}}/deliveries", headers)
    body = {"scopes": ["btcpay.store.canviewinvoices"], "label": "till"}
    ask.ids["key_id"] = both("POST", "/v1/stores/{store_id}/api-keys", headers, json=body)["id"]
    rotation = "/v1/stores/{store_id}/api-keys/{key_id}/rotation"
    ask.ids["key_id"] = both("POST", rotation, headers, json={"former_lifetime_s": 0})["id"]
    both("DELETE", "/v1/stores/{store_id}/api-keys/{key_id}", headers)
    both("GET", "/v1/stores/{store_id}/api-keys", headers)
    wish = {"application": "WooCommerce", "scopes": body["scopes"]}
    both("POST", "/v1/stores/{store_id}/applications", headers, json=wish)
    decide(both, headers)


def decide(both, headers):
    """Say what is done with payments, and with those that come otherwise."""
    policy = "/v1/stores/{store_id}/conversion-policy"
    both("PUT", policy, headers, json={"kind": "keep", "keep_ppm": 1000})
    tried = {"kind": "threshold", "worth": "100", "token": "TOKEN"}
    both("GET", policy + "/simulation", headers, params=tried)
    both("GET", policy, headers)
    exceptions = "/v1/stores/{store_id}/exception-policies"
    both("PUT", exceptions, headers, json={"over": "return"})
    both("GET", exceptions, headers)
    closing = "/v1/stores/{store_id}/lot-closing"
    both("PUT", closing, headers, json={"until": 1})
    both("GET", closing, headers)
    confirmations = "/v1/stores/{store_id}/confirmations"
    steps = {"steps": [{"from_amount": "1000", "confirmations": 12}]}
    both("PUT", confirmations, headers, json=steps)
    both("GET", confirmations, headers)
    embedding = "/v1/stores/{store_id}/embedding"
    both("PUT", embedding, headers, json={"origins": ["https://shop.example"]})
    both("GET", embedding, headers)


def sell_from_links(both, ask, headers):
    """Make a pay button and end it, and sell at a till."""
    buttons = "/v1/stores/{store_id}/pay-buttons"
    button = {"name": "Coffee", "amount": "4.50", "tokens": ["TOKEN"]}
    ask.ids["button_id"] = both("POST", buttons, headers, json=button)["id"]
    both("GET", buttons, headers)
    both("DELETE", buttons + "/{button_id}", headers)
    clerk = {"scopes": ["btcpay.store.cancreateinvoice"]}
    till = ask("POST", "/v1/stores/{store_id}/api-keys", headers=headers, json=clerk)["api_key"]
    sale = {"amount": "5", "tokens": ["TOKEN"]}
    both("POST", "/v1/till-sales", bearer(till), json=sale)


def give_money_back(world, ask, both, headers):
    """Ask for refunds of an invoice that was paid, and for each thing one can do with them."""
    invoice = world.venue.merchants.reader.invoice(ask.ids["invoice_id"])
    pay(world, invoice)
    refunds = "/v1/invoices/{invoice_id}/refunds"
    key = "/v1/stores/{store_id}/refund-key"
    part = {"variant": "custom", "amount": "0.001", "currency": "TOKEN"}
    ask.ids["refund_id"] = both("POST", refunds, headers, json=part)["id"]
    both("POST", "/v1/refunds/{refund_id}/cancel", headers)
    ask.ids["refund_id"] = both("POST", refunds, headers, json=part)["id"]
    both("POST", "/v1/refunds/{refund_id}/mark-paid", headers, json={"note": "cash"})
    waiting = {"variant": "rate_then", "approve": False}
    made = both("POST", refunds, headers, json=waiting)
    ask.ids["refund_id"] = made["id"]
    both("POST", "/v1/refunds/{refund_id}/approve", headers, json={"revision": 0})
    place = made["claim_url"].removeprefix("http://shop.test")
    ask.client.post(place, data={"address": "0x" + "cc" * 20})
    both("POST", "/v1/refunds/{refund_id}/claim-link", headers)
    asked = both("POST", "/v1/refunds/{refund_id}/withdrawal", headers)
    signature = sign(bytes.fromhex(asked["digest"][2:]), MERCHANT_SECRET)
    body = {"signature": "0x" + signature.hex()}
    both("POST", "/v1/refunds/{refund_id}/signature", headers, json=body)
    for path in ("/v1/refunds", "/v1/refunds/{refund_id}"):
        both("GET", path, headers)
    both("POST", key, headers, json={})
    both("GET", key, headers)
    both("DELETE", key, headers)


def change_orders(ask, maker, session):
    """Amend, replace and cancel, one and many, by each name."""

    def placed(name):
        order = maker.order("sell", 10, 2_500, client_id=name)
        return ask("POST", "/v1/orders", json=order)["order_id"]

    kept = dict(ask.ids)
    ask.ids |= {"order": placed("first"), "client_id": "first"}
    for path in ("/v1/orders/{order}", "/v1/orders/by-client-id/{client_id}"):
        ask("PATCH", path, headers=session, json={"lots_open": 5 if "{order}" in path else 4})
        ask.rejected("PATCH", path, headers=session, json={"lots_open": 9})
    ask("DELETE", "/v1/orders/by-client-id/{client_id}", headers=session)
    ask.rejected("DELETE", "/v1/orders/by-client-id/{client_id}", headers=session)
    order = maker.order("sell", 10, 2_500, client_id="third")
    body = {"cancel": {"order_id": placed("second")}, "order": order}
    ask("POST", "/v1/orders/replace", headers=session, json=body)
    ask.rejected("POST", "/v1/orders/replace", headers=session, json=body)
    orders = [maker.order("sell", 10, 2_500), maker.order("sell", 10, 2_600)]
    ask("POST", "/v1/orders/batch", json={"orders": orders})
    body = {"orders": [{"client_id": "third"}]}
    ask("POST", "/v1/orders/cancel", headers=session, json=body)
    ask("POST", "/v1/cancel-after", headers=session, json={"seconds": 9})
    ask.rejected("POST", "/v1/cancel-after", headers=session, json={"seconds": -9})
    ask("DELETE", "/v1/orders", headers=session)
    ask.rejected("DELETE", "/v1/orders")
    ask.ids = kept


def sample(shape):
    """Return some value of a Struct, of structs, numbers, text and lists."""
    plain = {int: 1, str: "1"}
    return shape(
        *(
            plain.get(field.type, [] if "list" in str(field.type) else "1")
            if not hasattr(field.type, "__struct_fields__")
            else sample(field.type)
            for field in msgspec.structs.fields(shape)
        )
    )


def give_and_take_back_a_key(ask, venue):
    maker, key = venue.maker, Wallet(77, account=venue.maker.address)
    ask("POST", "/v1/keys", json=grant_by(maker))
    ask.rejected("POST", "/v1/keys", json=grant_by(maker) | {"nonce": "7"})
    venue.grant(key)
    ask.ids["key"] = "0x" + key.address.hex()
    revocation = KeyRevocation(maker.address, key.address, 9)
    signature = sign(revocation_digest(API_DOMAIN, revocation), maker.secret)
    body = {"account": "0x" + maker.address.hex(), "nonce": "9"}
    ask.rejected("DELETE", "/v1/keys/{key}", json=body | {"signature": "0x" + "00" * 65})
    ask("DELETE", "/v1/keys/{key}", json=body | {"signature": "0x" + signature.hex()})


def test_a_real_answer_of_every_trading_route_is_what_the_document_says():
    """With something in each: levels, trades that are settled and not, orders that rest, have ended
    and were filled."""
    venue = Venue()
    maker, taker = venue.maker, venue.taker
    ask = Asking(venue.app(), {"symbol": "TOKEN-USD", "account": "0x" + maker.address.hex()})
    session = bearer(ask("POST", "/v1/sessions", json=maker.login())["token"])
    resting = maker.order("sell", 10, 2_000, client_id="mine")
    made = ask("POST", "/v1/orders", json=resting)
    ask.ids |= {"order": made["order_id"], "digest": made["digest"], "client_id": "mine"}
    for _ in range(2):
        ask("POST", "/v1/orders", json=taker.order("buy", 2, 2_000, single_shot=True))
    venue.settlement.move(1, 1, "mined", 1, bytes(32))
    rejected = maker.order("sell", 10, 2_000) | {"baseAmount": "1"}
    ask.rejected("POST", "/v1/orders", json=rejected)
    ask("POST", "/v1/orders/digest", json=rejected)
    gone = ask("POST", "/v1/orders", json=maker.order("buy", 1, 1_900))["order_id"]
    ask.rejected("DELETE", "/v1/orders/{order}")
    ask.ids["order"] = gone
    ask("DELETE", "/v1/orders/{order}", headers=session)
    lanes = f"/v1/nonces/{{account}}?lane={resting['lane']}"
    answer = ask.client.get(lanes.format(**ask.ids))
    assert fits(schemas.Nonces, answer) and len(answer.json()["lanes"]) == 2
    for path in (
        *("/v1/orders", "/v1/orders/ended", "/v1/orders/{order}", "/v1/balances", "/v1/fills"),
        *("/v1/orders/by-digest/{digest}", "/v1/orders/by-client-id/{client_id}"),
    ):
        ask("GET", path, headers=session)
        ask.rejected("GET", path)
    change_orders(ask, maker, session)
    ask("POST", "/v1/withdrawals", json=maker.withdrawal(10**8))
    for path in ("/v1/deposits", "/v1/withdrawals", "/v1/keys"):
        ask("GET", path, headers=session)
        ask.rejected("GET", path)
    give_and_take_back_a_key(ask, venue)
    ask.ids["trade_id"], venue.settlement.proofs[1] = 1, sample(TradeProof)
    ask("GET", "/v1/fills/{trade_id}/receipt", headers=session)
    ask.rejected("GET", "/v1/fills/{trade_id}/receipt")
    ask.ids["trade_id"], ask.ids["name"] = 1, "exchange"
    for path in (
        "/v1/contracts/{name}",
        *("/v1/config", "/v1/markets", "/v1/markets/{symbol}/book", "/v1/markets/{symbol}/trades"),
        *("/v1/markets/{symbol}/candles", "/v1/markets/{symbol}/ticker"),
        *("/v1/markets/{symbol}/l3",),
        *("/v1/time", "/v1/status", "/v1/sessions/nonce"),
        *("/v1/nonces/{account}", "/v1/settlement/batches", "/v1/settlement/trades/{trade_id}"),
        *("/healthz", "/readyz", "/version"),
    ):
        ask("GET", path)
    ask.ids["trade_id"], ask.ids["symbol"] = 3, "NONE-SUCH"
    ask.rejected("GET", "/v1/settlement/trades/{trade_id}")
    ask.ids["name"] = "treasury"
    ask.rejected("GET", "/v1/contracts/{name}")
    assert ask.asked == routes_of(ask.app), "all of them"
