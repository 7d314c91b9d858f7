"""What can be done with orders over one stream, in the order in which it is said."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from gateway.trading.budgets import Budgets
from settlement.protocol.session_proofs import SESSION_SECONDS
from tests.api.fixtures import START_NS, Served, Venue, Wallet, ask, hear, served


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


async def log_in(up: Served, stream: ClientConnection, wallet: Wallet, **more: Any) -> None:
    told = await ask(stream, op="login", id=0, token=await up.token(wallet), **more)
    assert told["result"]["account"] == "0x" + wallet.address.hex(), told


async def say(stream: ClientConnection, *frames: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """Send all frames in one breath; return the answers by id, in which order they came."""
    for frame in frames:
        await stream.send(orjson.dumps(frame).decode())
    answers = [await hear(stream) for _ in frames]
    return {answer["id"]: answer.get("result") or answer["error"] for answer in answers}


def lots_open(up: Served, wallet: Wallet) -> list[int]:
    return [order.lots_open for order in up.venue.user_stream.open_orders(wallet.address)]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)


def test_each_verb_does_over_the_stream_what_it_does_over_rest() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        orders = [maker.order("sell", 10, 2_000 + i, client_id=f"n{i}") for i in range(4)]
        async with up.stream() as stream:
            await log_in(up, stream, maker)
            many = await ask(stream, op="place_batch", id=1, orders=orders)
            results = many["result"]["results"]
            assert [row["error"] for row in results] == [None] * 4
            ids = [row["result"]["order_id"] for row in results]

            told = await ask(stream, op="amend", id=2, client_id="n0", lots_open=4)
            assert told["result"] == told["result"] | {"order_id": ids[0], "lots_open": 4}
            told = await ask(stream, op="cancel", id=3, client_id="n0")
            assert told["result"]["order_id"] == ids[0]
            wanted = [{"order_id": ids[1]}, {"client_id": "n0"}]
            told = await ask(stream, op="cancel_batch", id=4, orders=wanted)
            first, second = told["result"]["results"]
            assert first["result"]["order_id"] == ids[1]
            assert second["error"]["outcome"] == "NOT_RESTING"
            new = maker.order("sell", 7, 2_100)
            told = await ask(stream, op="replace", id=5, cancel={"order_id": ids[2]}, order=new)
            assert told["result"]["place"]["result"]["resting_lots"] == 7
            new = maker.order("sell", 7, 2_100)
            told = await ask(stream, op="replace", id=6, cancel={"order_id": ids[2]}, order=new)
            assert (told["error"]["outcome"], told["error"]["place"]) == ("NOT_RESTING", None)
            told = await ask(stream, op="cancel_after", id=7, seconds=9)
            assert told["result"]["deadline_ns"] == str(START_NS + 9 * 10**9)
            told = await ask(stream, op="cancel_all", id=8, market="TOKEN-USD")
            assert (told["result"]["cancelled"], told["result"]["left"]) == (2, 0)
            told = await ask(stream, op="cancel_all", id=9, market="NO")
            assert told["error"]["outcome"] == "UNKNOWN_MARKET"
            told = await ask(stream, op="cancel", id=10, client_id="n0", order_id=ids[0])
            assert told["error"]["outcome"] == "MALFORMED"
            late = {"sent_ms": START_NS // 10**6 - 5_001}
            for op in ("cancel_all", "cancel"):
                named = {} if op == "cancel_all" else {"order_id": "1"}
                told = await ask(stream, op=op, id=11, **named, **late)
                assert told["error"]["outcome"] == "DEADLINE_PASSED"

    run(story)


def test_what_is_said_in_one_breath_is_done_in_its_order() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        lane = {"lane": 0x8001}
        first = maker.order("sell", 10, 2_000, client_id="a", **lane)
        second = maker.order("sell", 9, 2_001, client_id="b", **lane)
        third = maker.order("sell", 8, 2_002, client_id="c", **lane)
        async with up.stream() as stream:
            await log_in(up, stream, maker)
            told = await say(
                stream,
                {"op": "place", "id": 1, "order": first},
                {"op": "replace", "id": 2, "cancel": {"client_id": "a"}, "order": second},
                {"op": "replace", "id": 3, "cancel": {"client_id": "b"}, "order": third},
                {"op": "amend", "id": 4, "client_id": "c", "lots_open": 5},
                {"op": "place", "id": 5, "order": maker.order("sell", 3, 2_500)},
            )
            assert list(told) == [1, 2, 3, 4, 5], told
            assert lots_open(up, maker) == [5, 3], told
            told = await say(
                stream,
                {"op": "place", "id": 6, "order": maker.order("sell", 2, 2_501)},
                {"op": "cancel_all", "id": 7},
                {"op": "place", "id": 8, "order": maker.order("sell", 1, 2_502)},
            )
            assert told[7]["cancelled"] == 3 and lots_open(up, maker) == [1]

    run(story)


def test_in_one_breath_behind_a_slow_journal_a_lane_is_replaced_again_and_again() -> None:
    async def story(up: Served) -> None:
        maker, gate = up.venue.maker, up.venue.gate
        first = maker.order("sell", 10, 2_000, client_id="0", lane=0x8001)
        async with up.stream() as stream:
            await log_in(up, stream, maker)
            await ask(stream, op="place", id=0, order=first)
            gate.clear()
            for number in range(1, 6):
                order = maker.order("sell", 10, 2_000 + number, client_id=f"{number}", lane=0x8001)
                frame = {
                    "op": "replace",
                    "id": number,
                    "cancel": {"client_id": str(number - 1)},
                    "order": order,
                }
                await stream.send(orjson.dumps(frame).decode())
            gate.set()
            told = [await hear(stream) for _ in range(5)]
            assert [answer["id"] for answer in told] == [1, 2, 3, 4, 5]
            assert all("result" in answer for answer in told), told
        assert len(lots_open(up, maker)) == 1

    run(story)


@pytest.mark.parametrize("how", ["closed", "killed", "drained", "too slow", "session over"])
def test_a_stream_that_ends_takes_its_orders_with_it_once(how: str) -> None:
    async def story(up: Served) -> None:
        maker, taker, venue = up.venue.maker, up.venue.taker, up.venue
        await up.place(taker.order("sell", 10, 2_050))
        stream = await up.stream()
        if how == "session over":
            token = await up.token(maker)
            venue.clock.ns += SESSION_SECONDS * 10**9 - 10**9
            await ask(stream, op="login", id=0, token=token, cancel_on_disconnect=True)
        else:
            await log_in(up, stream, maker, cancel_on_disconnect=True)
        expiry = venue.clock.ns // 10**9 + 3600
        for number in range(3):
            order = maker.order("sell", 10, 2_000 + number, expiry=expiry)
            await stream.send(orjson.dumps({"op": "place", "order": order}).decode())
        if how != "killed":
            for _ in range(3):
                await hear(stream)
        match how:
            case "closed":
                await stream.close()
            case "killed":
                stream.transport.abort()  # Three orders are perhaps still looked at.
            case "drained":
                await up.app.state.lifecycle.drain()
            case "too slow":
                (connection,) = up.app.state.lifecycle._connections
                connection.close(1013, {"error": "too slow"})
        await until(lambda: [o.account for o in venue.engine.state.orders.values()] == [1])
        await until(lambda: up.app.state.lifecycle.connection_count == (how == "session over"))
        await stream.close()
        await until(lambda: up.app.state.lifecycle.connection_count == 0)
        kinds = [int(kind) for batch in venue.history for kind in batch.commands["kind"]]
        assert kinds.count(12) == 1, "one CANCEL_ALL"
        assert len(lots_open(up, taker)) == 1, "nobody else's"

    run(story)


def test_who_did_not_ask_for_it_or_took_it_back_keeps_his_orders() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        async with up.stream() as stream:
            await log_in(up, stream, maker, cancel_on_disconnect=True)
            await log_in(up, stream, maker)
            await ask(stream, op="place", id=1, order=maker.order("sell", 10, 2_000))
        await until(lambda: up.app.state.lifecycle.connection_count == 0)
        assert lots_open(up, maker) == [10]

    run(story)


def test_who_has_no_budget_to_place_can_still_cancel_over_the_same_stream() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        async with up.stream() as stream:
            await log_in(up, stream, maker)
            orders = [maker.order("sell", 10, 2_000 + i, client_id=f"n{i}") for i in range(4)]
            many = await ask(stream, op="place_batch", id=1, orders=orders)
            errors = [row["error"] and row["error"]["outcome"] for row in many["result"]["results"]]
            assert errors == [None, None, None, "RATE_LIMITED"]
            new = maker.order("sell", 7, 2_100)
            told = await ask(stream, op="replace", id=5, cancel={"client_id": "n0"}, order=new)
            assert (told["error"]["outcome"], told["error"]["status"]) == ("RATE_LIMITED", 409)
            told = await ask(stream, op="cancel_all", id=2)
            assert told["result"]["cancelled"] == 2

    run(story, budgets=Budgets(60, 100, 100, 3, 100))
