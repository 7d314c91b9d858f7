"""Does the dialect answer nobody what is another's, and nobody who has not proven himself?"""

import asyncio

import pytest

from gateway.api.binance.signing import (
    payload_of_request,
    payloads_of_frame,
    signature_of,
)
from tests.api.dialect import LIMIT, NOW_MS, SYMBOL, dialect, signed_text
from tests.api.fixtures import Venue, Wallet

# The examples of the dialect's public documentation, for REST and for frames.
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
QUERY = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
BODY = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"

PRIVATE = (
    ("GET", "/api/v3/order", {"symbol": SYMBOL, "orderId": 1}),
    ("POST", "/api/v3/order", {**LIMIT, "quantity": "1", "price": "2"}),
    ("DELETE", "/api/v3/order", {"symbol": SYMBOL, "orderId": 1}),
    ("POST", "/api/v3/order/test", {**LIMIT, "quantity": "1", "price": "2"}),
    ("POST", "/api/v3/order/cancelReplace", {"symbol": SYMBOL}),
    ("PUT", "/api/v3/order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 1, "newQty": "1"}),
    ("GET", "/api/v3/openOrders", {}),
    ("DELETE", "/api/v3/openOrders", {"symbol": SYMBOL}),
    ("GET", "/api/v3/allOrders", {"symbol": SYMBOL}),
    ("GET", "/api/v3/myTrades", {"symbol": SYMBOL}),
    ("GET", "/api/v3/account", {}),
    ("GET", "/api/v3/account/commission", {"symbol": SYMBOL}),
    ("GET", "/api/v3/rateLimit/order", {}),
    ("GET", "/sapi/v1/capital/config/getall", {}),
    ("GET", "/sapi/v1/asset/tradeFee", {}),
)
TRADING = tuple(one for one in PRIVATE if one[0] != "GET")


def run(story, **options):
    async def told():
        async with dialect(**options) as asked:
            await story(asked)

    asyncio.run(told())


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (
            payload_of_request(f"{QUERY}&{BODY}", ""),
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            payload_of_request(QUERY, f"{BODY}&signature=whatever"),
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
        ),
        (
            payloads_of_frame(
                {
                    "symbol": "BTCUSDT",
                    "side": "SELL",
                    "type": "LIMIT",
                    "timeInForce": "GTC",
                    "quantity": "0.01000000",
                    "price": "52000.00",
                    "newOrderRespType": "ACK",
                    "recvWindow": "100",
                    "timestamp": "1645423376532",
                    "apiKey": KEY,
                }
            )[0],
            "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
        ),
    ],
)
def test_signatures_are_those_of_the_public_examples(payload, signature):
    assert signature_of(SECRET, payload) == signature


def test_nobody_is_answered_without_a_key_a_good_secret_and_the_time():
    async def story(asked):
        for method, path, params in PRIVATE:
            assert await asked.code(method, path, **params) == (401, -2014), path
            stale = {**params, "timestamp": NOW_MS - 5_001}
            early = {**params, "timestamp": NOW_MS + 1_000}
            assert await asked.code(method, path, asked.maker, **stale) == (400, -1021), path
            assert await asked.code(method, path, asked.maker, **early) == (400, -1021), path
            long = {**stale, "recvWindow": 60_001}
            assert await asked.code(method, path, asked.maker, **long) == (400, -1130), path
            forged = asked.maker
            good = forged.api_key
            forged.api_key = good._replace(secret="0" * 64)
            assert await asked.code(method, path, forged, **params) == (400, -1022), path
            forged.api_key = good._replace(key=good.key[:-2])
            assert await asked.code(method, path, forged, **params) == (401, -2015), path
            forged.api_key = good

    run(story)


def test_a_key_that_may_only_read_places_and_cancels_nothing():
    async def story(asked):
        for method, path, params in TRADING:
            assert await asked.code(method, path, asked.reader, **params) == (401, -2015), path
        assert await asked.code("GET", "/api/v3/account", asked.reader) == (200, 0)

    run(story)


def test_anothers_order_is_as_if_it_were_not_there():
    async def story(asked):
        placed = await asked.ask(
            *("POST", "/api/v3/order", asked.maker),
            **{**LIMIT, "quantity": "1", "price": "2", "newClientOrderId": "mine"},
        )
        order = {"symbol": SYMBOL, "orderId": placed.json()["orderId"]}
        named = {"symbol": SYMBOL, "origClientOrderId": "mine"}
        amend = {**order, "newQty": "0.5"}
        path = "/api/v3/order"
        for params in (order, named):
            assert await asked.code("GET", path, asked.taker, **params) == (400, -2013)
            assert await asked.code("DELETE", path, asked.taker, **params) == (400, -2011)
            assert await asked.code("GET", path, asked.maker, **params) == (200, 0)
        amended = "/api/v3/order/amend/keepPriority"
        assert await asked.code("PUT", amended, asked.taker, **amend) == (400, -2013)
        assert await asked.code("DELETE", "/api/v3/openOrders", asked.taker, symbol=SYMBOL) == (
            *(400, -2011),
        )
        for mine in ("openOrders", "allOrders", "myTrades"):
            assert (
                await asked.ask("GET", f"/api/v3/{mine}", asked.taker, symbol=SYMBOL)
            ).json() == []

    run(story)


def test_all_keys_of_an_account_end_together_and_no_others():
    async def story(asked):
        token = await asked.up.token(asked.venue.maker)
        bearer = {"authorization": f"Bearer {token}"}
        made = await asked.up.http.post("/api/v3/x/keys", headers=bearer, json={"scope": "trade"})
        assert made.status_code == 200 and made.json()["scope"] == "trade"
        refused = await asked.up.http.post("/api/v3/x/keys", json={"scope": "trade"})
        assert refused.status_code == 401
        asked.venue.clock.ns += 10**9
        assert (await asked.up.http.delete("/api/v3/x/keys", headers=bearer)).status_code == 200
        now = {"timestamp": NOW_MS + 1_000}
        for ended in (asked.maker, asked.reader):
            assert await asked.code("GET", "/api/v3/account", ended, **now) == (401, -2015)
        assert await asked.code("GET", "/api/v3/account", asked.taker, **now) == (200, 0)

    run(story)


def test_a_key_that_may_trade_ends_with_the_session_that_made_it():
    async def story(asked):
        asked.venue.clock.ns += 3_601 * 10**9
        now = {"timestamp": NOW_MS + 3_601_000}
        assert await asked.code("GET", "/api/v3/account", asked.maker, **now) == (401, -2015)
        assert await asked.code("GET", "/api/v3/account", asked.reader, **now) == (200, 0)

    run(story)


def test_without_a_key_in_our_keeping_only_the_wallets_own_signature_places():
    async def story(asked):
        order = {**LIMIT, "quantity": "1", "price": "2"}
        assert await asked.code("POST", "/api/v3/order", asked.maker, **order) == (401, -2015)
        signed = {**order, "signedOrder": signed_text(asked.venue.maker, "buy", 10_000, 2_000)}
        # It is proven by itself: whoever brings it, with a key or without.
        assert await asked.code("POST", "/api/v3/order", **signed) == (200, 0)

    run(story, managed=False)


def test_a_signed_order_is_what_the_request_says_or_nothing():
    async def story(asked):
        text = signed_text(asked.venue.maker, "buy", 10_000, 2_000)
        good = {**LIMIT, "quantity": "1", "price": "2", "signedOrder": text}
        path = "/api/v3/order"
        for wrong in ({"side": "SELL"}, {"quantity": "2"}, {"price": "3"}):
            assert await asked.code("POST", path, **{**good, **wrong}) == (400, -1128), wrong
        assert await asked.code("POST", path, asked.taker, **good) == (400, -1128)
        for junk in ("{}", "nonsense", text[:-1], text.replace("flags", "flag")):
            assert await asked.code("POST", path, **{**good, "signedOrder": junk}) == (400, -1130)
        placed = (await asked.ask("POST", path, asked.maker, **good)).json()
        assert placed["status"] == "NEW"
        again = (await asked.ask("POST", path, **good)).json()
        assert (again["orderId"], again["x_seq"]) == (placed["orderId"], placed["x_seq"])

    run(story)


def test_who_has_signed_badly_is_told_all_he_needs_to_find_out_why():
    async def story(asked):
        stranger = Wallet(9, account=asked.venue.maker.address)
        text = signed_text(stranger, "buy", 10_000, 2_000)
        answer = await asked.ask(
            *("POST", "/api/v3/order"), **{**LIMIT, "quantity": "1", "signedOrder": text}
        )
        said = answer.json()
        assert said["code"] == -2015
        assert said["x_recovered"] == f"0x{stranger.address.hex()}"
        assert said["x_type"].startswith("Order(address account")
        assert len(said["x_digest"]) == 66 and said["x_domain"]["chainId"] == 31337

    run(story, venue=Venue())
