"""What operators, wallets and tools read; and what happens when we are at fault."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from engine.types import Outcome
from gateway.http.problems import RETRYABLE, STATUS
from gateway.pages.assets import assets
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import SESSION_SECONDS
from settlement.protocol.eip712 import ORDER_TYPE
from tests.api.fixtures import OPERATOR, START_NS, Venue, Wallet

Story = Callable[[httpx.AsyncClient, Venue], Awaitable[None]]


def run(story: Story, **changes: Any) -> None:
    async def whole() -> None:
        venue = Venue()
        transport = httpx.ASGITransport(app=venue.app(**changes))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await story(http, venue)

    asyncio.run(whole())


def test_a_wallet_finds_all_it_must_know_before_it_signs() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        config = (await http.get("/v1/config")).json()
        assert config["types"]["Order"] == ORDER_TYPE
        assert config["domain"]["chainId"] == config["chain_id"] == 31337
        assert config["fees"] == {"TOKEN-USD": {"maker_fee_ppm": 0, "taker_fee_ppm": 1000}}
        (market,) = (await http.get("/v1/markets")).json()["markets"]
        assert (market["lot_size"], market["tick_size"]) == ("0.0001", "0.001")
        nonce = (await http.get(f"/v1/nonces/0x{venue.maker.address.hex()}")).json()
        assert nonce["single_shot"] == "1"

    run(story)


def test_readiness_says_what_is_missing() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        assert (await http.get("/healthz")).json()["status"] == "alive"
        assert (await http.get("/readyz")).status_code == 200
        venue.missing.append("chain")
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["chain"])
        assert (await http.get("/version")).json()["version"] == "0.0.0-test"

    run(story)


def test_readiness_says_what_is_not_taken_and_stays_ready() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        venue.restrictions.append("cancels only")
        answer = await http.get("/readyz")
        assert answer.status_code == 200, "a balancer must go on sending cancels here"
        assert answer.json() == {"status": "restricted", "missing": ["cancels only"]}

    run(story)


def test_metrics_count_what_happened() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        await http.post("/v1/orders", json=venue.maker.order("sell", 1, 2_000))
        told = (await http.get("/metrics", headers=OPERATOR)).text
        assert 'tillbook_orders_total{outcome="ACCEPTED"} 1.0' in told
        assert 'tillbook_http_requests_total{method="POST",status="201"} 1.0' in told

    run(story)


def test_metrics_are_for_the_operator_alone() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        for headers in ({}, {"Authorization": "Bearer a guess"}):
            refused = await http.get("/metrics", headers=headers)
            assert (refused.status_code, refused.json()["outcome"]) == (401, "NOT_AUTHENTICATED")
        assert (await http.get("/metrics", headers=OPERATOR)).status_code == 200

    run(story)


def test_what_watches_us_may_ask_by_head() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        for path in ("/", "/healthz"):
            answer = await http.head(path)
            assert (answer.status_code, answer.content) == (200, b""), path

    run(story)


def test_the_documents_that_never_change_are_charged_too() -> None:
    async def story(http: httpx.AsyncClient, _: Venue) -> None:
        codes = [(await http.get("/openapi.json")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]

    run(story, limits=RateLimits(Budgets(60, 2, 2, 2, 2)))


def test_a_session_ends_cannot_be_forged_and_a_login_must_be_fresh() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        opened = (await http.post("/v1/sessions", json=venue.maker.login())).json()
        token = opened["token"]

        async def status(bearer: str) -> int:
            headers = {"Authorization": f"Bearer {bearer}"}
            return (await http.get("/v1/orders", headers=headers)).status_code

        assert await status(token) == 200
        flipped = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]
        for forged in (flipped, token[:-2], token + "AA", "", "x", "ä".encode().hex(), token * 3):
            assert await status(forged) == 401, forged
        venue.clock.ns += (SESSION_SECONDS - 1) * 10**9
        assert await status(token) == 200
        venue.clock.ns += 10**9
        assert await status(token) == 401, "over after a day"

        stale = await http.post("/v1/sessions", json=venue.maker.login(START_NS // 10**9))
        assert (stale.status_code, stale.json()["outcome"]) == (401, "NOT_AUTHENTICATED")
        fresh = Wallet(5).login(venue.clock.ns // 10**9) | {
            "account": venue.maker.login()["account"]
        }
        wrong = (await http.post("/v1/sessions", json=fresh)).json()
        assert wrong["outcome"] == "BAD_SIGNATURE" and wrong["digest"] and wrong["recovered"]

    run(story)


def test_a_cancel_needs_a_session_and_an_owner() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        placed = await http.post("/v1/orders", json=venue.maker.order("sell", 1, 2_000))
        path = f"/v1/orders/{placed.json()['order_id']}"
        assert (await http.delete(path)).json()["outcome"] == "NOT_AUTHENTICATED"
        opened = (await http.post("/v1/sessions", json=venue.taker.login())).json()
        headers = {"Authorization": f"Bearer {opened['token']}"}
        assert (await http.delete(path, headers=headers)).json()["outcome"] == "NOT_OWNER"
        for bad in ("0", "-1", "1.5", "x", str(2**63), "9" * 40, "%00"):
            answer = await http.delete(f"/v1/orders/{bad}", headers=headers)
            assert answer.json()["outcome"] == "MALFORMED", bad

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "status", "outcome"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/v1/orders/", 404, "NOT_FOUND"),
        ("PUT", "/v1/orders", 405, "MALFORMED"),
        ("GET", "/v1/markets/NOPE/book", 404, "UNKNOWN_MARKET"),
        ("GET", "/v1/markets/TOKEN-USD/book?levels=0", 400, "MALFORMED"),
        ("GET", "/v1/markets/TOKEN-USD/book?levels=1e9", 400, "MALFORMED"),
        ("GET", "/v1/markets/TOKEN-USD/trades?limit=501", 400, "MALFORMED"),
        ("GET", "/v1/settlement/trades/1", 404, "NOT_FOUND"),
        ("GET", "/v1/settlement/trades/0", 400, "MALFORMED"),
        ("GET", "/v1/nonces/0x12", 400, "MALFORMED"),
        ("GET", "/?market=NOPE", 404, "UNKNOWN_MARKET"),
    ],
)
def test_every_refusal_is_a_problem_document(
    method: str, path: str, status: int, outcome: str
) -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        answer = await http.request(method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (answer.status_code, problem["outcome"]) == (status, outcome)
        assert set(problem) >= {"type", "title", "status", "code", "detail", "retryable"}
        assert problem["status"] == status

    run(story)


def test_a_fault_of_ours_is_a_500_that_tells_nothing_inside() -> None:
    router = APIRouter()

    @router.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret of ours")

    @router.get("/refusing")
    async def refusing() -> None:
        raise Rejection(Outcome.NO_QUOTE, "no price just now", {"store": "7"})

    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        answer = await http.get("/broken")
        assert (answer.status_code, answer.json()["outcome"]) == (500, "INTERNAL")
        assert "secret" not in answer.text
        figures = (await http.get("/metrics", headers=OPERATOR)).text
        assert "tillbook_internal_errors_total 1.0" in figures
        refused = await http.get("/refusing")
        assert refused.status_code == 503 and refused.json()["retryable"]
        assert refused.json()["store"] == "7"

    run(story, routers=(router,))


def test_every_outcome_has_a_status() -> None:
    assert set(STATUS) == set(Outcome)
    rejections = {status for outcome, status in STATUS.items() if outcome != Outcome.ACCEPTED}
    assert min(rejections) >= 400


def test_found_a_path_that_is_not_there_cost_its_asker_nothing() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        asked = [(await http.get(f"/nowhere/{n}")).status_code for n in range(3)]
        asked.append((await http.put("/v1/markets")).status_code)
        assert asked == [404, 404, 404, 405]
        spent = await http.get("/nowhere")
        assert (spent.status_code, spent.json()["outcome"]) == (429, "RATE_LIMITED")
        assert (await http.get("/v1/markets")).status_code == 429, "one budget for all"

    run(story, limits=RateLimits(Budgets(requests_per_address=4)))


def test_openapi_describes_each_route_and_all_its_refusals() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        document = (await http.get("/openapi.json")).json()
        place = document["paths"]["/v1/orders"]["post"]
        assert {"201", "400", "401", "409", "413", "422", "429"} <= set(place["responses"])
        problem = place["responses"]["413"]["content"]["application/problem+json"]
        assert problem["schema"]["$ref"] == "#/components/schemas/Problem"
        body = place["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        order = document["components"]["schemas"][body.rsplit("/", 1)[1]]
        assert "baseAmount" in order["properties"] and order["additionalProperties"] is False
        for reference in references(document):
            assert (
                reference.removeprefix("#/components/schemas/")
                in (document["components"]["schemas"])
            ), reference
        for path in document["paths"].values():
            for operation in path.values():
                assert operation["summary"] and operation["description"]

    run(story)


def references(node: Any) -> list[str]:
    """Return every ``$ref`` below ``node``."""
    if isinstance(node, list):
        return [reference for item in node for reference in references(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for item in node.values() for reference in references(item)]
    return []


def test_the_page_lets_nothing_in_from_elsewhere() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        page = await http.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "://" not in page.text, "no address of another origin in the page"
        assert " style=" not in page.text and "<style" not in page.text
        loaded = re.findall(r'(?:href|src)="(/market/assets/[^"]+)"', page.text)
        assert len(loaded) == 2
        for address in loaded:
            assert (await http.get(address)).status_code == 200

    run(story)


def test_what_the_page_loads_is_kept_for_ever_under_its_version_and_packed() -> None:
    async def story(http: httpx.AsyncClient, venue: Venue) -> None:
        version = assets().version
        for name, asset in assets().files.items():
            answer = await http.get(f"/market/assets/{version}/{name}")
            assert answer.content == asset.plain and answer.headers["content-encoding"] == "gzip"
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-type"].startswith(asset.media_type)
        plain = await http.get(
            f"/market/assets/{version}/market/main.js", headers={"accept-encoding": "identity"}
        )
        assert "content-encoding" not in plain.headers and plain.content
        older = await http.get("/market/assets/0ld/market/main.js")
        assert older.status_code == 200 and older.headers["cache-control"] == "no-cache"
        for name in ("market/none.js", "../market.py", "vendor/README.md", "market.html"):
            assert (await http.get(f"/market/assets/{version}/{name}")).status_code == 404

    run(story)


def test_one_ipv6_customer_is_one_client() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("127.0.0.1") != network_of("127.0.0.2")
    assert network_of("testclient") == "testclient"


def test_mounted_routers_are_charged_like_our_own() -> None:
    router = APIRouter()

    @router.get("/shop")
    async def shop() -> dict[str, str]:
        return {"shop": "open"}

    async def story(http: httpx.AsyncClient, _: Venue) -> None:
        codes = [(await http.get("/shop")).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]

    run(story, routers=(router,), limits=RateLimits(Budgets(60, 3, 3, 3, 3)))


def test_what_is_refused_for_now_is_called_retryable_and_nothing_else() -> None:
    for_now = {outcome for outcome, status in STATUS.items() if status in (429, 503)}
    assert for_now == RETRYABLE
