"""Whatever an order leads to, its answer says so: by REST, on the stream, and in the document."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.types import FILLS_MAX, Outcome
from settlement.orders.nonces import LANE_FIRST
from tests.api.fixtures import Served, Venue, ask, served


def run(story: Callable[[Served], Any]) -> None:
    async def whole() -> None:
        async with served(Venue()) as up:
            await story(up)

    asyncio.run(whole())


@pytest.mark.parametrize("on_stream", [False, True], ids=["rest", "stream"])
def test_an_answer_says_why_nothing_or_not_all_of_it_rests(on_stream: bool) -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        async with up.stream() as socket:

            async def told(body: dict[str, Any]) -> dict[str, Any]:
                if on_stream:
                    answer = await ask(socket, op="place", order=body)
                    result: dict[str, Any] = answer["result"]
                else:
                    result = (await up.place(body)).json()
                names = ("ended", "removed_lots", "resting_lots")
                assert await up.place(body), "a resend is answered"
                return {name: result[name] for name in names} | {"fills": len(result["fills"])}

            def fate(ended: str | None, removed: int, resting: int, fills: int) -> dict[str, Any]:
                return {
                    "ended": ended,
                    "removed_lots": removed,
                    "resting_lots": resting,
                    "fills": fills,
                }

            nothing = await told(taker.order("buy", 5, 2_000, single_shot=True))
            assert nothing == fate("IMMEDIATE_REMAINDER", 5, 0, 0)
            assert await told(maker.order("sell", 9, 2_000)) == fate(None, 0, 9, 0)
            own = await told(maker.order("buy", 5, 2_000))
            assert own == fate("SELF_TRADE", 5, 0, 0)
            part = await told(taker.order("buy", 4, 2_000))
            assert part == fate("FILLED", 0, 0, 1)
            more = await told(taker.order("buy", 8, 2_000, single_shot=True))
            assert more == fate("IMMEDIATE_REMAINDER", 3, 0, 1)
            for _ in range(FILLS_MAX + 6):
                await up.place(maker.order("sell", 1, 2_000))
            sweep = await told(taker.order("buy", FILLS_MAX + 6, 2_000, single_shot=True))
            assert sweep == fate("FILLS_EXHAUSTED", 6, 0, FILLS_MAX)

    run(story)


def test_nonces_are_told_for_single_shots_withdrawals_and_lanes() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        await up.place(maker.order("buy", 5, 2_000, single_shot=True, nonce="7"))
        path = f"/v1/nonces/0x{maker.address.hex()}"
        told = (await up.http.get(path)).json()
        assert told == {
            "account": "0x" + maker.address.hex(),
            "single_shot": "8",
            "withdrawal": "1",
            "lanes": [],
        }
        with_lanes = (await up.http.get(f"{path}?lane={LANE_FIRST}&lane=65535")).json()
        assert [(row["lane"], row["nonce"]) for row in with_lanes["lanes"]] == [
            (LANE_FIRST, "1"),
            (LANE_FIRST, "1"),
            (65535, "1"),
            (65535, "1"),
        ]
        for wrong in ("lane=1", "lane=x", "&".join(["lane=40000"] * 65)):
            answer = await up.http.get(f"{path}?{wrong}")
            assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED"), wrong

    run(story)


def test_the_document_describes_each_signed_field_and_every_outcome() -> None:
    schemas = Venue().app().openapi()["components"]["schemas"]
    for name in ("nonce", "flags", "lane", "expiry", "maxFeePpm", "ref", "signature"):
        field = schemas["PlaceOrder"]["properties"][name]
        assert field.get("description"), name
    outcomes = schemas["Problem"]["properties"]["outcome"]["enum"]
    assert {one.name for one in Outcome if one} | {"INTERNAL"} == set(outcomes)
