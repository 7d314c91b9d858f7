"""What can be done with orders that stand, one or many at once, over REST."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.trading.budgets import Budgets
from tests.api.fixtures import START_NS, Served, Venue, Wallet, served

NOW_MS = START_NS // 10**6


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


async def session(up: Served, wallet: Wallet) -> dict[str, str]:
    return {"Authorization": f"Bearer {await up.token(wallet)}"}


async def stand(up: Served, wallet: Wallet, count: int, **changes: Any) -> list[str]:
    """Place so many orders that rest; return their ids."""
    placed = [
        await up.place(wallet.order("sell", 10, 2_000 + i, **{"client_id": f"n{i}"} | changes))
        for i in range(count)
    ]
    return [answer.json()["order_id"] for answer in placed]


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("outcome", "")


def lots_open(up: Served, wallet: Wallet) -> list[int]:
    return [order.lots_open for order in up.venue.user_stream.open_orders(wallet.address)]


def test_an_order_shrinks_and_keeps_its_place() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        mine = await session(up, maker)
        (first,) = await stand(up, maker, 1)
        await up.place(maker.order("sell", 10, 2_000))
        shrunk = await up.http.patch(f"/v1/orders/{first}", json={"lots_open": 4}, headers=mine)
        assert shrunk.status_code == 200, shrunk.text
        assert (shrunk.json()["order_id"], shrunk.json()["lots_open"]) == (first, 4)
        await up.place(taker.order("buy", 5, 2_000, single_shot=True))
        assert lots_open(up, maker) == [9], "the first went first"

        path = "/v1/orders/by-client-id/n0"
        await stand(up, taker, 1)
        theirs = await session(up, taker)
        named = await up.http.patch(path, json={"lots_open": 3}, headers=theirs)
        assert named.status_code == 200 and lots_open(up, taker) == [3]
        for lots, expected in (
            (3, (422, "AMEND_NOT_SMALLER")),
            (9, (422, "AMEND_NOT_SMALLER")),
            (0, (400, "MALFORMED")),
        ):
            refused = await up.http.patch(path, json={"lots_open": lots}, headers=theirs)
            assert outcome(refused) == expected
        assert outcome(await up.http.patch(path, json={"lots_open": 1})) == (
            401,
            "NOT_AUTHENTICATED",
        )
        gone = await up.http.patch(f"/v1/orders/{first}", json={"lots_open": 1}, headers=mine)
        assert outcome(gone) == (409, "NOT_RESTING")
        (other,) = [o.order_id for o in up.venue.user_stream.open_orders(taker.address)]
        theft = await up.http.patch(f"/v1/orders/{other}", json={"lots_open": 1}, headers=mine)
        assert outcome(theft) == (403, "NOT_OWNER")
        assert lots_open(up, taker) == [3]

    run(story)


def test_orders_are_cancelled_by_name_many_at_once_of_a_market_and_all() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        mine = await session(up, maker)
        ids = await stand(up, maker, 6)
        named = await up.http.delete("/v1/orders/by-client-id/n0", headers=mine)
        assert named.status_code == 200 and named.json()["order_id"] == ids[0]
        again = await up.http.delete("/v1/orders/by-client-id/n0", headers=mine)
        assert outcome(again) == (409, "NOT_RESTING")
        nobody = await up.http.delete("/v1/orders/by-client-id/nobody", headers=mine)
        assert outcome(nobody) == (409, "NOT_RESTING")

        wanted = [{"order_id": ids[1]}, {"client_id": "n2"}, {"client_id": "n0"}]
        some = await up.http.post("/v1/orders/cancel", json={"orders": wanted}, headers=mine)
        assert some.status_code == 200, some.text
        results = some.json()["results"]
        assert [r["result"] and r["result"]["order_id"] for r in results] == [ids[1], ids[2], None]
        assert results[2]["error"]["outcome"] == "NOT_RESTING"

        wrong = await up.http.delete("/v1/orders?market=NO-SUCH", headers=mine)
        assert outcome(wrong) == (404, "UNKNOWN_MARKET")
        rest = await up.http.delete("/v1/orders?market=TOKEN-USD", headers=mine)
        assert (rest.json()["cancelled"], rest.json()["left"]) == (3, 0)
        none = await up.http.delete("/v1/orders", headers=mine)
        assert (none.json()["cancelled"], none.json()["left"]) == (0, 0)
        for body in (
            {"orders": []},
            {"orders": [{}]},
            {"orders": [{"order_id": "1", "client_id": "a"}]},
            {"orders": [{"order_id": "1"}] * 51},
        ):
            refused = await up.http.post("/v1/orders/cancel", json=body, headers=mine)
            assert outcome(refused) == (400, "MALFORMED"), body

    run(story)


def test_a_batch_has_a_result_for_each_order_and_one_refused_holds_up_none() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        orders = [maker.order("sell", 10, 2_000 + i) for i in range(5)]
        orders[1]["signature"] = "0x" + "ff" * 64 + "1b"
        orders[3] = orders[2]
        many = await up.http.post("/v1/orders/batch", json={"orders": orders})
        assert many.status_code == 200, many.text
        results = many.json()["results"]
        errors = [row["error"] and row["error"]["outcome"] for row in results]
        assert errors == [None, "BAD_SIGNATURE", None, None, None]
        assert results[3]["result"] == results[2]["result"], "the same order is the same order"
        assert results[0]["result"]["resting_lots"] == 10
        assert results[0]["result"]["ended"] is None
        assert len(lots_open(up, maker)) == 3
        assert '"order";' in many.headers["ratelimit"]
        shot = maker.order("buy", 10, 1_000, single_shot=True)
        told = (await up.http.post("/v1/orders/batch", json={"orders": [shot]})).json()
        assert told["results"][0]["result"]["ended"] == "IMMEDIATE_REMAINDER"

    run(story)


def test_a_batch_costs_as_many_as_it_has() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        orders = [maker.order("sell", 10, 2_000 + i) for i in range(6)]
        few = await up.http.post("/v1/orders/batch", json={"orders": orders[:4]})
        assert [row["error"] for row in few.json()["results"]] == [None] * 4
        none = await up.http.post("/v1/orders/batch", json={"orders": orders[3:]})
        assert outcome(none) == (429, "RATE_LIMITED"), "of the address: nothing is looked at"
        mine = await session(up, maker)
        gone = await up.http.delete("/v1/orders", headers=mine)
        assert gone.json()["cancelled"] == 4, "cancels have budgets of their own"

    run(story, budgets=Budgets(60, 100, 100, 100, 100, orders_per_address=6))


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_a_replacement_takes_the_same_half_of_a_lane(mode: str) -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        mine = await session(up, maker)
        (old,) = await stand(up, maker, 1, lane=0x8001)
        body = {"cancel": {"order_id": old}, "order": maker.order("sell", 7, 2_100, lane=0x8001)}
        both = await up.http.post("/v1/orders/replace", json=body | {"mode": mode}, headers=mine)
        assert both.status_code == 201, both.text
        assert both.json()["cancel"]["result"]["order_id"] == old
        assert both.json()["place"]["result"]["resting_lots"] == 7
        assert lots_open(up, maker) == [7]

    run(story)


def test_half_a_replacement_says_which_half() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        mine = await session(up, maker)

        async def replace(old: str, order: dict[str, Any], **more: Any) -> httpx.Response:
            body = {"cancel": {"order_id": old}, "order": order, **more}
            return await up.http.post("/v1/orders/replace", json=body, headers=mine)

        stopped = await replace("77", maker.order("sell", 7, 2_100))
        assert outcome(stopped) == (409, "NOT_RESTING"), stopped.text
        assert stopped.json()["place"] is None and lots_open(up, maker) == []

        going_on = await replace("77", maker.order("sell", 7, 2_100), mode="ALLOW_FAILURE")
        assert outcome(going_on) == (409, "NOT_RESTING")
        assert going_on.headers["content-type"] == "application/problem+json"
        assert going_on.json()["place"]["result"]["resting_lots"] == 7
        assert lots_open(up, maker) == [7]

        (old,) = await stand(up, maker, 1)
        off = maker.order("sell", 7, 2_100, quoteAmount=str(7 * 2_100 * 10 + 1))
        half = await replace(old, off)
        assert outcome(half) == (409, "OFF_TICK"), "a lone order would have had 422"
        assert half.json()["cancel"]["result"]["order_id"] == old
        assert half.json()["place"]["error"]["status"] == 422
        assert lots_open(up, maker) == [7]

        (old,) = await stand(up, maker, 1, client_id="again")
        bad = maker.order("sell", 7, 2_100) | {"signature": "0x" + "ff" * 64 + "1b"}
        assert outcome(await replace(old, bad)) == (401, "BAD_SIGNATURE")
        theirs = up.venue.taker.order("sell", 7, 2_100)
        assert outcome(await replace(old, theirs)) == (403, "FORBIDDEN")
        assert lots_open(up, maker) == [7, 10], "nothing was cancelled for it"

        neither = await replace("77", bad | {"signature": off["signature"]}, mode="ALLOW_FAILURE")
        assert neither.status_code in (401, 403)
        assert neither.json()["cancel"]["error"]["outcome"] == "NOT_RESTING"

    run(story)


def test_the_switch_tells_its_deadline_and_goes_off() -> None:
    async def story(up: Served) -> None:
        maker, clock = up.venue.maker, up.venue.clock
        mine = await session(up, maker)
        await stand(up, maker, 2)

        async def arm(seconds: int) -> httpx.Response:
            body = {"seconds": seconds}
            return await up.http.post("/v1/cancel-after", json=body, headers=mine)

        assert (await arm(5)).json()["deadline_ns"] == str(clock.ns + 5 * 10**9)
        clock.ns += 4 * 10**9
        assert (await arm(5)).json()["deadline_ns"] == str(clock.ns + 5 * 10**9)
        assert not up.venue.trading.admission.has_expired(clock.ns + 4 * 10**9)
        assert (await arm(0)).json()["deadline_ns"] is None
        assert not up.venue.trading.admission.has_expired(clock.ns + 10**12 // 10)
        await arm(1)
        clock.ns += 10**9
        assert up.venue.trading.admission.has_expired(clock.ns), "so the clock will tick"
        await up.venue.exchange.tick()
        assert lots_open(up, maker) == []
        ended = (await up.http.get("/v1/orders/ended", headers=mine)).json()["orders"]
        assert [order["ended"] for order in ended] == ["CANCELLED_AFTER"] * 2
        for seconds in (-1, 86_401):
            assert outcome(await arm(seconds)) == (400, "MALFORMED")

    run(story)


def test_what_was_too_long_on_its_way_is_not_carried_out() -> None:
    async def story(up: Served) -> None:
        maker, venue = up.venue.maker, up.venue
        mine = await session(up, maker)
        (old,) = await stand(up, maker, 1)
        before = venue.engine.state_hash()
        order = maker.order("sell", 7, 2_100)
        for sent_ms, lasts_ms in (
            (NOW_MS - 5_001, None),
            (NOW_MS - 101, 100),
            (NOW_MS + 1_001, None),
        ):
            timed = {"sent_ms": sent_ms}
            timed |= {} if lasts_ms is None else {"recv_window_ms": lasts_ms}
            late = [
                await up.place(order | timed),
                await up.http.post("/v1/orders/batch", json={"orders": [order]} | timed),
                await up.http.delete(f"/v1/orders/{old}", params=timed, headers=mine),
                await up.http.delete("/v1/orders", params=timed, headers=mine),
                await up.http.patch(
                    f"/v1/orders/{old}", json={"lots_open": 1} | timed, headers=mine
                ),
                await up.http.post(
                    "/v1/orders/cancel", json={"orders": [{"order_id": old}]} | timed, headers=mine
                ),
                await up.http.post("/v1/cancel-after", json={"seconds": 1} | timed, headers=mine),
            ]
            assert {outcome(answer) for answer in late} == {(422, "DEADLINE_PASSED")}
        assert venue.engine.state_hash() == before
        for timed in ({"recv_window_ms": 5}, {"sent_ms": NOW_MS, "recv_window_ms": 60_001}):
            assert outcome(await up.place(order | timed)) == (400, "MALFORMED")
        taken = await up.place(order | {"sent_ms": NOW_MS - 5_000})
        assert taken.status_code == 201, "nothing of it was spent"

    run(story)


def test_time_is_looked_at_once_more_before_an_order_is_queued() -> None:
    async def story(up: Served) -> None:
        venue, maker = up.venue, up.venue.maker

        body = maker.order("sell", 7, 2_100, expiry=START_NS // 10**9 + 86_400)
        before = venue.engine.sequence
        venue.clock.step_ns = 2_000 * 10**6  # Each of several looks: the first is in time.
        late = await up.place(body | {"sent_ms": NOW_MS})
        assert outcome(late) == (422, "DEADLINE_PASSED")
        assert venue.engine.sequence == before
        venue.clock.step_ns = 0
        assert (await up.place(body)).status_code == 201, "nothing of it was spent"

    run(story)
