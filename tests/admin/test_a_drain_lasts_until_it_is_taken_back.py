"""Drained, the exchange takes no new orders and everything else, and can be opened again."""

import asyncio
from dataclasses import replace

import httpx

from engine.types import PIPS_PER_TOKEN
from gateway.http.draining import Draining
from gateway.node.admin import create_admin_app
from tests.admin.fixtures import ALICE_TOKEN, AdminVenue, Operator, told
from tests.api.fixtures import Served, ask, hear, served


async def operated(up: Served, venue: AdminVenue) -> Operator:
    """Return an operator whose drain is the served exchange's."""
    draining = Draining(up.app.state.lifecycle, venue._stop)
    services = replace(venue.admin_services, draining=draining)
    transport = httpx.ASGITransport(app=create_admin_app(services))
    return Operator(
        httpx.AsyncClient(transport=transport, base_url="http://test"), venue, ALICE_TOKEN
    )


def test_new_orders_are_refused_cancels_are_taken_and_who_listens_is_told():
    async def story() -> None:
        venue = AdminVenue()
        async with served(venue) as up:
            at = await operated(up, venue)
            placed = (await up.place(venue.maker.order("sell", 1, 2_000))).json()
            headers = {"Authorization": f"Bearer {await up.token(venue.maker)}"}
            async with up.stream() as socket:
                await ask(socket, op="subscribe", id=1, channel="status")
                assert (await hear(socket))["status"] == "ready"
                for _ in range(2):
                    state = await at.done("/drain")
                    assert state["draining"] and state["websockets"] == 1
                assert (await hear(socket))["status"] == "draining"
                assert (await up.http.get("/readyz")).json()["missing"] == ["draining"]
                refused = await up.place(venue.maker.order("sell", 1, 2_000))
                assert refused.status_code == 503 and refused.headers["Retry-After"]
                said = refused.json()
                assert (said["outcome"], said["retryable"]) == ("SHUTTING_DOWN", True)
                order = venue.maker.order("sell", 1, 2_000)
                said = await ask(socket, op="place", id=2, order=order)
                assert said["error"]["outcome"] == "SHUTTING_DOWN"
                path = f"/v1/orders/{placed['order_id']}"
                assert (await up.http.delete(path, headers=headers)).status_code == 200
                assert (await up.http.get("/v1/markets")).status_code == 200
                leaving = venue.maker.withdrawal(PIPS_PER_TOKEN)
                assert (await up.http.post("/v1/withdrawals", json=leaving)).status_code == 202

                for _ in range(2):
                    assert (await at.done("/undrain"))["draining"] is False
                assert (await hear(socket))["status"] == "ready"
                assert (await up.http.get("/readyz")).status_code == 200
                assert (await up.place(order)).status_code == 201

    asyncio.run(story())


def test_once_it_is_closing_it_cannot_be_taken_back():
    async def story() -> None:
        venue = AdminVenue()
        async with served(venue) as up:
            at = await operated(up, venue)
            await at.done("/drain")
            await up.stop()
            assert await at.refused("/undrain") == "SHUTTING_DOWN"
            assert (await at.get("/state"))["draining"] is True

    asyncio.run(story())


def test_a_drain_ends_the_process_when_its_time_has_come_unless_it_was_taken_back():
    async def story(at: Operator) -> None:
        assert (await at.done("/drain", stop_after_seconds=3_600))["stops_in_seconds"] >= 3_598
        assert (await at.done("/undrain"))["stops_in_seconds"] is None
        assert (await at.done("/drain"))["stops_in_seconds"] is None
        for bad in (-1, 86_401, "1", 1.5):
            assert await at.refused("/drain", stop_after_seconds=bad) == "MALFORMED"
        assert at.venue.stops == 0
        await at.done("/drain", stop_after_seconds=0)
        while not at.venue.stops:
            await asyncio.sleep(0)
        assert at.venue.stops == 1

    told(story)


def test_drains_and_their_ends_at_once_leave_what_the_log_says_last():
    async def story(at: Operator) -> None:
        await asyncio.gather(at.post("/drain"), at.post("/undrain"))
        assert (await at.get("/state"))["draining"] is False
        await asyncio.gather(at.post("/undrain"), at.post("/drain"))
        assert (await at.get("/state"))["draining"] is True
        assert [one.action for one in at.venue.asked] == ["drain", "undrain", "undrain", "drain"]

    told(story)


def test_a_snapshot_is_begun_once_at_a_time():
    async def story(at: Operator) -> None:
        assert (await at.done("/snapshot"))["snapshot_under_way"] is True
        status, said = await at.post("/snapshot")
        assert (status, said["outcome"], said["retryable"]) == (503, "OVERLOADED", True)
        at.venue.snapshot_under_way = False
        await at.done("/snapshot")
        assert at.venue.snapshots_begun == 2

    told(story)
