"""Numbers without a gap, and what is told to who comes back with the last one that he has."""

import asyncio
import gc
import socket
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engine.types import Side
from gateway.api.v1.stream.subscriptions import CHANNELS_MAX
from gateway.http.outbox import OutboxBounds
from gateway.trading.budgets import Budgets
from gateway.views.channels import News
from gateway.views.market_data import NewTrades
from gateway.views.missed import FRAMES_MAX, Missed
from gateway.views.tape import TRADES_MAX, Trade
from gateway.views.trade_states import ToldOnce
from gateway.views.user_orders import UserStream
from settlement.ports import TradeState
from tests.api.fixtures import Served, ask, hear
from tests.api.test_a_busted_trade_leaves_the_views import bust, cross
from tests.api.test_stream import run

MINE = {"accepted", "rested", "fill", "cancelled", "unfilled", "trade_busted"}


async def hear_all(stream: ClientConnection) -> list[dict[str, Any]]:
    """Return all that came before the answer to a ping."""
    await stream.send('{"op":"ping","id":"last"}')
    heard = []
    while (frame := await hear(stream)).get("id") != "last":
        heard.append(frame)
    return heard


async def trade_a_little(up: Served) -> None:
    maker, taker = up.venue.maker, up.venue.taker
    placed = (await up.place(maker.order("sell", 5, 2_000, client_id="gone"))).json()
    await up.place(taker.order("buy", 2, 2_000, single_shot=True))
    answer = await up.http.delete(
        f"/v1/orders/{placed['order_id']}",
        headers={"Authorization": f"Bearer {await up.token(maker)}"},
    )
    assert answer.status_code == 200
    await up.place(maker.order("buy", 1, 1_000))


async def logged_in(up: Served, stream: ClientConnection) -> None:
    await ask(stream, op="login", token=await up.token(up.venue.maker))


def test_frames_of_an_account_have_numbers_without_a_gap_and_come_again_as_they_were() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            await logged_in(up, stream)
            await ask(stream, op="subscribe", channel="orders")
            assert (await hear(stream))["number"] == 0
            await trade_a_little(up)
            bust(up.venue, 1)
            told = await hear_all(stream)
        assert {frame["type"] for frame in told} <= MINE
        numbers = [frame["number"] for frame in told]
        assert numbers == list(range(1, len(told) + 1))
        assert [frame["prev"] for frame in told] == list(range(len(told)))

        for known in (0, 3, len(told)):
            async with up.stream() as stream:
                await logged_in(up, stream)
                said = await ask(stream, op="subscribe", id=1, channel="orders", **{"from": known})
                assert said == {"id": 1, "result": {"channel": "orders"}}
                missed, settlements = await hear_all(stream)
                assert missed["type"] == "missed", "also when nothing was"
                assert (missed["from"], missed["number"]) == (known, len(told))
                assert missed["frames"] == told[known:], "what ended meanwhile is among it"
                assert settlements["type"] == "settlements"
                assert settlements["settlements"] == [
                    {
                        "trades": [1],
                        "settlement": {"state": "busted", "batch": None, "tx_hash": None},
                    }
                ]
                # And then it goes on where that ended.
                await up.place(up.venue.maker.order("sell", 1, 3_000))
                following = await hear(stream)
                assert following["prev"] == len(told)
                told += [following, *await hear_all(stream)]

    run(story)


def test_what_is_kept_is_the_same_after_a_restart_and_its_fills_say_how_far_they_are() -> None:
    async def story(up: Served) -> None:
        users, venue = up.venue.user_stream, up.venue
        await trade_a_little(up)
        again = UserStream(
            venue.exchange.catalog,
            venue.services.channels,
            venue.exchange.balance,
            venue.settlement.trade_state,
        )
        again.load(users.save())
        mine = venue.maker.address
        was, now = users.missed(mine, 0), again.missed(mine, 0)
        assert was and not any(map(gc.is_tracked, was)), "the collector has nothing to walk"
        assert was == now
        venue.settlement.move(1, 1, "final", 1, bytes(32))
        async with up.stream() as stream:
            await logged_in(up, stream)
            await ask(stream, op="subscribe", channel="orders", **{"from": 0})
            missed, settlements = await hear_all(stream)
        (fill,) = [frame["fill"] for frame in missed["frames"] if frame["type"] == "fill"]
        assert fill["settlement"]["state"] == "matched", "as it was told"
        (row,) = settlements["settlements"]
        assert (row["trades"], row["settlement"]["state"]) == ([1], "final"), "as it is"

    run(story)


def test_a_number_that_is_not_kept_begins_anew() -> None:
    async def story(up: Served) -> None:
        await trade_a_little(up)
        users = up.venue.user_stream
        last = users.frame_number(up.venue.maker.address)
        async with up.stream() as stream:
            await logged_in(up, stream)
            await ask(stream, op="subscribe", channel="orders", **{"from": last + 1})
            resync, snapshot = await hear_all(stream)
            assert resync == {
                "channel": "orders",
                "type": "resync",
                "from": last + 1,
                "number": last,
            }
            assert (snapshot["type"], snapshot["number"]) == ("snapshot", last)

    run(story)


def test_what_is_kept_is_bounded_and_who_was_quiet_for_longest_goes_first() -> None:
    missed = Missed(each_max=3, total_max=7)

    def told(account: int, count: int) -> None:
        for _ in range(count):
            missed.add(account, News())

    told(1, 3)
    told(2, 5)
    assert len(missed.after(2, 2, 5) or ()) == 3, "of one account three"
    assert missed.after(2, 1, 5) is None
    told(1, 1)
    told(3, 2)
    assert missed.after(2, 5, 5) == [], "nothing was missed, whatever is kept"
    assert missed.after(2, 4, 5) is None, "all of account 2 has gone"
    assert len(missed.after(1, 1, 4) or ()) == 3 and len(missed.after(3, 0, 2) or ()) == 2
    assert FRAMES_MAX == 1_000


def test_many_missed_frames_come_in_portions() -> None:
    async def story(up: Served) -> None:
        for number in range(70):
            await asyncio.to_thread(cross, up.venue, 2_000 + number, 1)
        async with up.stream() as stream:
            await logged_in(up, stream)
            await ask(stream, op="subscribe", channel="orders", **{"from": 10})
            heard = await hear_all(stream)
        portions = [frame["frames"] for frame in heard if frame["type"] == "missed"]
        assert [len(portion) for portion in portions[:-1]] == [64] * (len(portions) - 1)
        numbers = [frame["number"] for portion in portions for frame in portion]
        assert numbers == list(range(11, 211))

    run(story)


def test_trades_are_told_from_a_trade_on() -> None:
    async def story(up: Served) -> None:
        for ticks in range(2_000, 2_010):
            await asyncio.to_thread(cross, up.venue, ticks, 1)
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel="trades:TOKEN-USD", **{"from": 7})
            snapshot = await hear(stream)
            assert (snapshot["from"], snapshot["complete"]) == (7, True)
            assert [trade["trade_id"] for trade in snapshot["trades"]] == [10, 9, 8]
            await asyncio.to_thread(cross, up.venue, 2_020, 1)
            told = await hear(stream)
            assert (told["prev"], told["trades"][0]["trade_id"]) == (10, 11)
            await ask(stream, op="subscribe", channel="trades:TOKEN-USD", **{"from": 11})
            assert (await hear(stream))["trades"] == []
            await ask(stream, op="subscribe", channel="trades:TOKEN-USD", **{"from": 12})
            assert not (await hear(stream))["complete"], "there never was such a trade"
        tape = up.venue.market_data.tape(up.venue.exchange.catalog.markets[0])
        for number in range(12, TRADES_MAX + 13):
            tape.add(Trade(number, 2_000, 1, Side.BUY, up.venue.clock.ns), 5)
        async with up.stream() as stream:
            for begin, whole in ((11, False), (12, True)):
                await ask(stream, op="subscribe", channel="trades:TOKEN-USD", **{"from": begin})
                snapshot = await hear(stream)
                assert (snapshot["complete"], len(snapshot["trades"])) == (whole, TRADES_MAX)

    run(story)


def test_settlement_is_told_once_a_state() -> None:
    once, state = ToldOnce(), TradeState("batched", 1)
    assert once.is_new(1, 2, state) and not once.is_new(1, 2, state)
    assert once.is_new(1, 2, TradeState("matched", 1)) and once.is_new(1, 3, state)

    async def story(up: Served) -> None:
        await trade_a_little(up)
        async with up.stream() as mine, up.stream() as public:
            await logged_in(up, mine)
            await ask(mine, op="subscribe", channel="orders")
            await ask(public, op="subscribe", channel="trades:TOKEN-USD")
            for stream in (mine, public):
                await hear(stream)
            for moved in ("batched", "batched", "submitted"):
                up.venue.settlement.move(1, 1, moved, 1, None)
            for stream in (mine, public):
                assert [f["state"] for f in await hear_all(stream)] == ["batched", "submitted"]

    run(story)


def test_several_channels_are_followed_with_one_frame_or_none_of_them() -> None:
    async def story(up: Served) -> None:
        channels = ["book:TOKEN-USD", "trades:TOKEN-USD", "bbo:TOKEN-USD", "status"]
        async with up.stream() as stream:
            said = await ask(stream, op="subscribe", id=1, channels=[*channels, "l3:NOPE"])
            assert said["error"]["outcome"] == "UNKNOWN_MARKET"
            assert up.venue.services.channels.subscription_count == 0
            begins = {"trades:TOKEN-USD": 0}
            said = await ask(stream, op="subscribe", id=2, channels=channels, **{"from": begins})
            assert said == {"id": 2, "result": {"channels": channels}}
            heard = await hear_all(stream)
            assert [frame["channel"] for frame in heard] == channels
            assert heard[1]["from"] == 0
            for bad in (
                {},
                {"channel": "status", "channels": ["status"]},
                {"channels": []},
                {"channels": ["status"] * (CHANNELS_MAX + 1)},
                {"channel": "status", "from": -1},
                {"channel": "status", "from": "1"},
            ):
                answer = await ask(stream, op="subscribe", **bad)
                assert answer["error"]["outcome"] == "MALFORMED", bad

    run(story)


def test_each_channel_of_a_frame_is_charged() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            channels = [f"candles:TOKEN-USD:{interval}" for interval in ("1s", "1m", "1h")]
            said = await ask(stream, op="subscribe", channels=channels)
            assert "result" in said
            await hear_all(stream)
            said = await ask(stream, op="subscribe", channels=channels)
            assert said["error"]["outcome"] == "RATE_LIMITED"

    run(story, budgets=Budgets(60, 6, 10, 10, 10))


def test_who_leaves_before_his_snapshot_came_hears_nothing_of_it() -> None:
    async def story(up: Served) -> None:
        async with up.stream() as stream:
            for frame in ("subscribe", "unsubscribe"):
                await stream.send(orjson.dumps({"op": frame, "channel": "status"}).decode())
            heard = [frame for frame in await hear_all(stream) if "result" not in frame]
            assert len(heard) <= 1, "one is sent at most, and only if its turn had come"
            assert up.venue.services.channels.subscription_count == 0

    run(story)


@pytest.mark.parametrize("bounds", [OutboxBounds(20, 1 << 30, 60)])
def test_a_slow_reader_is_told_where_to_go_on(bounds: OutboxBounds) -> None:
    async def story(up: Served) -> None:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", up.port))
        await trade_a_little(up)
        async with up.stream(sock=narrow, max_queue=1) as slow:
            await logged_in(up, slow)
            channels = ["trades:TOKEN-USD", "book:TOKEN-USD", "orders"]
            await ask(slow, op="subscribe", channels=channels)
            for _ in channels:
                await hear(slow)
            slow.transport.pause_reading()
            market, metrics = up.venue.exchange.catalog.markets[0], up.venue.services.metrics
            sent = 1
            while b"tillbook_ws_slow_disconnects_total 1.0" not in metrics.render():
                fifty = [Trade(1, 2_000, 1, Side.BUY, 0)] * 50
                news = NewTrades(market, sent, fifty)
                sent += 1
                up.venue.services.channels.publish("trades:TOKEN-USD", news)
                assert sent < 5_000
                await asyncio.sleep(0)
            slow.transport.resume_reading()
            heard, last = [], 0
            with pytest.raises(ConnectionClosed):
                while True:
                    heard.append(await hear(slow))
            for frame in heard[:-1]:
                last = frame.get("prev", last)
            resume = heard[-1]["resume"]
            assert resume["trades:TOKEN-USD"] == last + 1, "behind the last that was sent"
            number = up.venue.user_stream.frame_number(up.venue.maker.address)
            assert (resume["orders"], resume["book:TOKEN-USD"]) == (number, None)
        async with up.stream() as again:
            await logged_in(up, again)
            said = await ask(again, op="subscribe", channels=sorted(resume), **{"from": resume})
            assert said["result"]["channels"] == sorted(resume)

    run(story, bounds=bounds)
