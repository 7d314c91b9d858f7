"""The route that is asked before the framework's own refuses, charges and describes as they do."""

import asyncio

from tests.api.fixtures import Venue, served

ORDERS = "/v1/orders"


def test_other_methods_of_the_same_path_are_the_frameworks() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            assert (await up.http.get(ORDERS)).status_code == 401
            assert (await up.http.put(ORDERS)).status_code == 405
            assert (await up.http.post(ORDERS + "/")).status_code == 404

    asyncio.run(story())


def test_an_answer_and_a_refusal_have_the_same_head_as_others() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            there = {"Origin": "https://elsewhere.example"}
            placed = await up.http.post(
                ORDERS, json=up.venue.maker.order("sell", 1, 2_000), headers=there
            )
            refused = await up.http.post(ORDERS, content=b"{", headers=there)
            too_large = await up.http.post(ORDERS, content=b" " * 70_000, headers=there)
        assert (placed.status_code, refused.status_code, too_large.status_code) == (201, 400, 413)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["outcome"] == "MALFORMED"
        for answer in (placed, refused):
            assert "ratelimit" in answer.headers
            assert answer.headers["access-control-allow-origin"] == "*"

    asyncio.run(story())


def test_it_is_described() -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            described = (await up.http.get("/openapi.json")).json()
        assert "201" in described["paths"][ORDERS]["post"]["responses"]

    asyncio.run(story())
