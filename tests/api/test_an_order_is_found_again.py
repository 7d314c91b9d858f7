"""Whoever was away finds every order again: open, ended, by id, by digest and by its own name."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.views.channels import Channels
from gateway.views.order_history import ENDED_MAX
from gateway.views.user_orders import UserStream
from tests.api.fixtures import Served, Venue, ask, hear, served


def run(story: Callable[[Served], Any]) -> None:
    async def whole() -> None:
        async with served(Venue()) as up:
            await story(up)

    asyncio.run(whole())


async def get(up: Served, path: str, session: dict[str, str]) -> Any:
    answer = await up.http.get(path, headers=session)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def logged_in(up: Served, wallet: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {await up.token(wallet)}"}


def test_an_order_is_found_by_id_digest_and_client_id_open_and_ended() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        session = await logged_in(up, maker)
        placed = (await up.place(maker.order("sell", 30, 2_000, client_id="tea"))).json()
        names = (
            f"/v1/orders/{placed['order_id']}",
            f"/v1/orders/by-digest/{placed['digest']}",
            "/v1/orders/by-client-id/tea",
        )
        for name in names:
            row = await get(up, name, session)
            assert (row["order_id"], row["lots_open"], row["ended"]) == (
                placed["order_id"],
                30,
                None,
            )

        await up.place(taker.order("buy", 30, 2_000, single_shot=True))
        for name in names:
            row = await get(up, name, session)
            assert (row["lots_open"], row["lots_filled"], row["ended"]) == (0, 30, "FILLED")
            assert row["ended_event"] > 0 and int(row["ended_ns"]) > 0

    run(story)


def test_nobody_finds_another_accounts_order() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        placed = (await up.place(maker.order("sell", 30, 2_000, client_id="tea"))).json()
        stranger = await logged_in(up, up.venue.taker)
        for name in (placed["order_id"], f"by-digest/{placed['digest']}", "by-client-id/tea", "17"):
            answer = await up.http.get(f"/v1/orders/{name}", headers=stranger)
            assert (answer.status_code, answer.json()["outcome"]) == (404, "NOT_FOUND"), name
        assert (await up.http.get(f"/v1/orders/{placed['order_id']}")).status_code == 401

    run(story)


def test_what_ended_while_away_is_told_with_its_reason_page_by_page() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        session = await logged_in(up, maker)
        seen = (await get(up, "/v1/orders/ended", session))["orders"]
        assert seen == []
        answers = [await up.place(maker.order("sell", 10, 2_000)) for _ in range(5)]
        ids = [answer.json()["order_id"] for answer in answers]
        for order_id in ids:
            await up.http.delete(f"/v1/orders/{order_id}", headers=session)
        await up.place(maker.order("buy", 10, 2_000, single_shot=True))

        heard, after = [], 0
        while after is not None:
            page = await get(up, f"/v1/orders/ended?after={after}&limit=2", session)
            assert page["complete"]
            heard += page["orders"]
            after = page["next"]
        assert [row["order_id"] for row in heard[:5]] == ids
        assert [row["ended"] for row in heard] == ["CANCELLED_BY_OWNER"] * 5 + [
            "IMMEDIATE_REMAINDER"
        ]

    run(story)


def test_open_orders_and_fills_come_in_pages() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        session = await logged_in(up, maker)
        for _ in range(5):
            await up.place(maker.order("sell", 10, 2_000))
        whole = (await get(up, "/v1/orders", session))["orders"]
        paged, after = [], 0
        while after is not None:
            page = await get(up, f"/v1/orders?after={after}&limit=2", session)
            paged, after = paged + page["orders"], page["next"]
        assert paged == whole and len(whole) == 5

        await up.place(taker.order("buy", 50, 2_000, single_shot=True))
        fills = (await get(up, "/v1/fills", session))["fills"]
        page = await get(up, "/v1/fills?limit=3", session)
        rest = await get(up, f"/v1/fills?limit=3&before={page['next']}", session)
        assert page["fills"] + rest["fills"] == fills and len(fills) == 5 and rest["next"] is None

    run(story)


def test_only_the_last_of_an_account_are_kept_and_the_answer_says_so() -> None:
    async def story(up: Served) -> None:
        taker = up.venue.taker
        session = await logged_in(up, taker)
        first = (await up.place(taker.order("buy", 1, 1, single_shot=True))).json()
        for _ in range(ENDED_MAX):
            await up.place(taker.order("buy", 1, 1, single_shot=True))
        page = await get(up, "/v1/orders/ended", session)
        assert not page["complete"]
        ended = page["orders"]
        while page["next"] is not None:
            page = await get(up, f"/v1/orders/ended?after={page['next']}", session)
            ended += page["orders"]
        assert len(ended) == ENDED_MAX
        gone = await up.http.get(f"/v1/orders/{first['order_id']}", headers=session)
        assert gone.status_code == 404
        last = ended[-1]["ended_event"]
        away = await get(up, f"/v1/orders/ended?after={last}", session)
        assert away == {"orders": [], "next": None, "complete": True}

    run(story)


def test_frames_of_an_account_are_numbered_without_a_gap_heard_or_not() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        token = await up.token(maker)
        await up.place(maker.order("sell", 10, 2_000))
        async with up.stream() as socket:
            await ask(socket, id=1, op="login", token=token)
            await ask(socket, id=2, op="subscribe", channel="orders")
            snapshot = await hear(socket)
            assert snapshot["number"] == 2, "accepted and rested, which nobody heard"
            await up.place(maker.order("sell", 10, 2_000))
            numbers = [(await hear(socket))["number"] for _ in range(2)]
            assert numbers == [3, 4]

    run(story)


def test_a_snapshot_keeps_history_names_and_numbers() -> None:
    venue = Venue()

    async def live() -> None:
        async with served(venue) as up:
            session = await logged_in(up, venue.maker)
            for name in ("a", "b", "c"):
                placed = await up.place(venue.maker.order("sell", 10, 2_000, client_id=name))
                path = f"/v1/orders/{placed.json()['order_id']}"
                await up.http.delete(path, headers=session)
            await up.place(venue.maker.order("sell", 10, 2_000, client_id="d"))

    asyncio.run(live())
    lived = venue.user_stream
    again = UserStream(
        venue.exchange.catalog, Channels(), venue.exchange.balance, venue.settlement.trade_state
    )
    again.load(lived.save())

    assert again.save() == lived.save()
    address = venue.maker.address
    for name in ("a", "d"):
        assert again.order(address, name) == lived.order(address, name) is not None
    assert again.ended_orders(address, 0, 9) == lived.ended_orders(address, 0, 9)
    assert again.frame_number(address) == lived.frame_number(address) == 4 * 2 + 3
