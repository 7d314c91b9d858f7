"""Fills and ended orders of a span of time, and the proof of a fill."""

import asyncio
from typing import Any

from tests.api.fixtures import START_NS, Served, Venue, served


def test_fills_and_ended_orders_of_a_span_of_time_and_no_others() -> None:
    async def story(up: Served) -> None:
        maker, taker, clock = up.venue.maker, up.venue.taker, up.venue.clock
        mine = {"Authorization": f"Bearer {await up.token(maker)}"}
        await up.place(maker.order("sell", 50, 2_000))
        for lots in range(1, 6):
            clock.ns = START_NS + lots * 10**9
            await up.place(taker.order("buy", lots, 2_000, single_shot=True))
            await up.place(maker.order("sell", lots, 9_000, single_shot=True))

        async def asked(what: str, **params: Any) -> list[int]:
            answer = await up.http.get(f"/v1/{what}", params=params, headers=mine)
            rows = answer.json()["fills" if what == "fills" else "orders"]
            return [row["lots"] for row in rows]

        at = [START_NS + lots * 10**9 for lots in range(6)]
        assert await asked("fills") == [5, 4, 3, 2, 1]
        assert await asked("fills", from_ns=at[2], until_ns=at[4]) == [3, 2]
        assert await asked("fills", from_ns=at[2], until_ns=at[4], limit=1) == [3]
        assert await asked("fills", until_ns=at[3], before=2) == [1]
        assert await asked("fills", from_ns=at[4], before=2) == []
        assert await asked("orders/ended") == [1, 2, 3, 4, 5]
        assert await asked("orders/ended", from_ns=at[2], until_ns=at[4]) == [2, 3]
        assert await asked("orders/ended", from_ns=at[2], limit=1) == [2]

    run(story)


def test_a_receipt_is_for_who_traded() -> None:
    async def story(up: Served) -> None:
        maker, taker, venue = up.venue.maker, up.venue.taker, up.venue
        mine = {"Authorization": f"Bearer {await up.token(maker)}"}
        await up.place(maker.order("sell", 50, 2_000))
        await up.place(taker.order("buy", 1, 2_000, single_shot=True))
        told = await up.http.get("/v1/fills/1/receipt", headers=mine)
        assert (told.status_code, told.json()["detail"]) == (
            404,
            "no batch carries the trade yet; ask again later",
        )
        proof: Any = {"format": "tillbook-receipt-1"}
        venue.settlement.proofs[1] = proof
        told = await up.http.get("/v1/fills/1/receipt", headers=mine)
        assert (told.status_code, told.json()) == (200, proof)
        assert (await up.http.get("/v1/fills/2/receipt", headers=mine)).status_code == 404
        assert (await up.http.get("/v1/fills/1/receipt")).status_code == 401

    run(story)


def run(story: Any) -> None:
    async def whole() -> None:
        async with served(Venue()) as up:
            await story(up)

    asyncio.run(whole())
