"""Armed, priced again, decremented, killed: does the answer to an order say so, twice alike?"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from settlement.protocol.evidence import OrderBits
from tests.api.fixtures import LOT_PIPS, TICK_PIPS, Served, Venue, ask, served

SELL, SHOT = int(OrderBits.SELL), int(OrderBits.SINGLE_SHOT)
FOK, STOP = int(OrderBits.FILL_OR_KILL), int(OrderBits.STOP)
ICEBERG, DECREMENT = int(OrderBits.ICEBERG), int(OrderBits.SELF_DECREMENT)
REPRICE = int(OrderBits.POST_ONLY | OrderBits.REPRICE)

Told = Callable[[dict[str, Any]], Any]


def run(story: Callable[[Served, Told], Any], on_stream: bool) -> None:
    async def whole() -> None:
        async with served(Venue()) as up, up.stream() as socket:

            async def told(body: dict[str, Any]) -> dict[str, Any]:
                if on_stream:
                    answer = await ask(socket, op="place", order=body)
                    result: dict[str, Any] = answer["result"]
                else:
                    result = (await up.place(body)).json()
                again = (await up.place(body)).json()
                names = ("ended", "removed_lots", "resting_lots", "armed", "price", "price_ticks")
                assert {n: again[n] for n in names} == {n: result[n] for n in names}
                return result

            await story(up, told)

    asyncio.run(whole())


both = pytest.mark.parametrize("on_stream", [False, True], ids=["rest", "stream"])


@both
def test_a_stop_is_armed_and_rests_nowhere(on_stream: bool) -> None:
    async def story(up: Served, told: Told) -> None:
        trigger = str(5 * 2_010 * TICK_PIPS)
        stop = up.venue.taker.order("buy", 5, 2_020, flags=STOP, triggerOrDisplay=trigger)
        answer = await told(stop)
        assert (answer["armed"], answer["resting_lots"], answer["ended"]) == (True, 0, None)
        assert (answer["price_ticks"], answer["removed_lots"]) == (2_020, 0)
        depth = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        assert depth["bids"] == [], "nobody sees it"
        plain = await told(up.venue.maker.order("sell", 5, 2_030))
        assert (plain["armed"], plain["price_ticks"]) == (False, 2_030)

    run(story, on_stream)


@both
def test_a_post_only_order_says_where_it_rests(on_stream: bool) -> None:
    async def story(up: Served, told: Told) -> None:
        await told(up.venue.maker.order("sell", 5, 2_000))
        answer = await told(up.venue.taker.order("buy", 3, 2_007, flags=REPRICE))
        assert (answer["price_ticks"], answer["resting_lots"]) == (1_999, 3)
        assert answer["price"] == "1.999"
        killed = await told(up.venue.taker.order("buy", 3, 1_990, single_shot=True))
        assert (killed["price"], killed["price_ticks"], killed["armed"]) == (None, None, False)

    run(story, on_stream)


@both
def test_what_is_lost_to_an_own_order_is_removed_and_no_fill(on_stream: bool) -> None:
    async def story(up: Served, told: Told) -> None:
        taker = up.venue.taker
        await told(up.venue.maker.order("sell", 4, 2_001))
        await told(taker.order("sell", 3, 2_000))
        answer = await told(taker.order("buy", 9, 2_001, flags=DECREMENT))
        assert [fill["lots"] for fill in answer["fills"]] == [4]
        assert (answer["removed_lots"], answer["resting_lots"], answer["ended"]) == (3, 2, None)
        await told(taker.order("sell", 8, 2_010))
        gone = await told(taker.order("buy", 5, 2_010, flags=DECREMENT))
        assert (gone["removed_lots"], gone["ended"], gone["fills"]) == (5, "SELF_TRADE", [])

    run(story, on_stream)


@both
def test_fill_or_kill_does_one_or_the_other(on_stream: bool) -> None:
    async def story(up: Served, told: Told) -> None:
        await told(up.venue.maker.order("sell", 4, 2_000))
        killed = await told(
            up.venue.taker.order("buy", 5, 2_000, single_shot=True, flags=SHOT | FOK)
        )
        assert (killed["ended"], killed["removed_lots"]) == ("NOT_FILLABLE_WHOLE", 5)
        assert killed["fills"] == []
        filled = await told(
            up.venue.taker.order("buy", 4, 2_000, single_shot=True, flags=SHOT | FOK)
        )
        assert (filled["ended"], filled["removed_lots"]) == ("FILLED", 0)

    run(story, on_stream)


@both
def test_an_iceberg_shows_what_it_signed(on_stream: bool) -> None:
    async def story(up: Served, told: Told) -> None:
        shown = str(3 * LOT_PIPS)
        order = up.venue.maker.order(
            "sell", 12, 2_000, flags=SELL | ICEBERG, triggerOrDisplay=shown
        )
        answer = await told(order)
        assert (answer["resting_lots"], answer["price_ticks"]) == (12, 2_000)
        depth = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        assert [level["lots"] for level in depth["asks"]] == [3]

    run(story, on_stream)


def test_terms_that_contradict_each_other_are_refused_with_a_reason() -> None:
    async def story(up: Served, told: Told) -> None:
        taker = up.venue.taker
        for flags, special, outcome in (
            (FOK, "0", "BAD_ORDER"),
            (STOP, "1", "OFF_TICK"),
            (STOP, "0", "TRIGGER_OUT_OF_RANGE"),
            (ICEBERG, "1", "OFF_LOT"),
            (ICEBERG, str(6 * LOT_PIPS), "DISPLAY_OUT_OF_RANGE"),
            (0, "1", "BAD_ORDER"),
        ):
            body = taker.order("buy", 5, 2_000, flags=flags, triggerOrDisplay=special)
            refused = await up.place(body)
            assert (refused.status_code, refused.json()["outcome"]) == (422, outcome)
        unsaid = taker.order("buy", 5, 2_000)
        del unsaid["triggerOrDisplay"]
        assert (await up.place(unsaid)).status_code == 201, "it may be left out where it is 0"

    run(story, on_stream=False)
