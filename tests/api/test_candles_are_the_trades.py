"""Candles of every interval are what the trades say, told as they change and asked for in pages."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands import set_terms
from gateway.views.candles import (
    CANDLES_KEPT,
    INTERVALS,
    TRADES_KEPT,
    Candle,
    CandleNews,
    CandleTape,
)
from tests.api.fixtures import LOT_PIPS, START_NS, TICK_PIPS, Served, Venue, ask, hear
from tests.api.test_a_busted_trade_leaves_the_views import bust, cross
from tests.api.test_stream import run

START = START_NS // 10**9
DAY = 86_400
SECONDS = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200,
    "4h": 14_400, "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": DAY, "3d": 3 * DAY,
}  # fmt: skip


def begin(interval: str, time_s: int) -> int:
    """Return when the candle of a trade begins, by the calendar."""
    if interval in SECONDS:
        return time_s - time_s % SECONDS[interval]
    at = datetime.fromtimestamp(time_s, UTC).replace(hour=0, minute=0, second=0)
    if interval == "1w":
        return int(at.timestamp()) - at.weekday() * DAY
    return int(at.replace(day=1).timestamp())


def folded(trades: Iterable[Candle], interval: str) -> list[Candle]:
    """Return the candles of ``trades`` the slow way."""
    groups: dict[int, list[Candle]] = {}
    for trade in trades:
        groups.setdefault(begin(interval, trade.start), []).append(trade)
    return [
        Candle(
            start,
            mine[0].first_trade,
            mine[0].open,
            max(trade.high for trade in mine),
            min(trade.low for trade in mine),
            mine[-1].close,
            sum(trade.base_pips for trade in mine),
            sum(trade.quote_pips for trade in mine),
            len(mine),
        )
        for start, mine in sorted(groups.items())
    ]


def a_trade(number: int, time_s: int, price: int, base: int = 5) -> Candle:
    return Candle(time_s, number, price, price, price, price, base, base * price, 1)


STEPS = st.sampled_from([0, 0, 1, 7, 59, 60, 61, 1_800, 3_600, 20_000, DAY, 5 * DAY, 31 * DAY])


@settings(max_examples=150, deadline=None)
@given(
    trades=st.lists(st.tuples(STEPS, st.integers(1, 9), st.integers(1, 2**62)), max_size=40),
    undone=st.sets(st.integers(1, 40)),
)
def test_every_interval_is_what_the_trades_say_undone_ones_left_out(
    trades: list[tuple[int, int, int]], undone: set[int]
) -> None:
    tape, made, now = CandleTape(), list[Candle](), START
    for number, (step, price, base) in enumerate(trades, 1):
        now += step
        made.append(a_trade(number, now, price, base))
        tape.add(made[-1])
        for interval in INTERVALS:
            assert tape.latest(interval) == folded(made, interval)[-1], interval
    tape = CandleTape.remembered(tape.memory())
    standing = {trade.first_trade: trade for trade in made}
    for number in sorted(undone & set(standing)):
        gone = standing.pop(number)
        told = dict(tape.bust(Candle(0, number, 0, 0, 0, 0, gone.base_pips, gone.quote_pips, 1)))
        for interval, candle in told.items():
            left = {each.start: each for each in folded(standing.values(), interval)}
            if candle.trades:
                assert left[candle.start][2:] == candle[2:], interval
            else:
                assert candle.start not in left
    for interval in INTERVALS:
        shown = [candle._replace(first_trade=0) for candle in tape.newest(interval, 99)]
        wanted = folded(standing.values(), interval)
        assert shown == [candle._replace(first_trade=0) for candle in wanted], interval


def test_of_each_interval_a_bounded_number_is_kept_and_prices_stay_where_trades_are_forgotten() -> (
    None
):
    tape, last = CandleTape(), 3 * CANDLES_KEPT
    for number in range(1, last + 1):
        tape.add(a_trade(number, START + number, 1 + number % 7))
    seconds = tape.series("1s")
    assert CANDLES_KEPT <= len(seconds.over) < 1.1 * CANDLES_KEPT
    assert seconds.count == last - 1
    minute = tape.newest("1m", 99)[1]
    assert dict(tape.bust(a_trade(minute.first_trade, 0, 1)))["1m"] == minute.without(
        a_trade(0, 0, minute.close and 1)
    )
    assert tape.newest("1m", 99)[1].high == minute.high, "nobody knows whose price it was"
    assert last - TRADES_KEPT > minute.first_trade


def candles(up: Served, **query: Any) -> Any:
    return up.http.get("/v1/markets/TOKEN-USD/candles", params=query)


def test_pages_follow_each_other_and_cost_no_long_moment() -> None:
    async def story(up: Served) -> None:
        tape = CandleTape()
        up.venue.services.candles._tapes[0] = tape
        for number in range(1, 901):
            tape.add(a_trade(number, START + 2 * number, 2_000_000 + number, 10_000))
        whole = (await candles(up, interval="1s", limit=1_000)).json()
        assert (whole["market"], whole["interval"]) == ("TOKEN-USD", "1s")
        starts = [candle["start"] for candle in whole["candles"]]
        assert starts == [START + 2 * number for number in range(1, 901)]
        assert whole["candles"][0] == {
            "start": START + 2,
            "open": "0.02000001",
            "high": "0.02000001",
            "low": "0.02000001",
            "close": "0.02000001",
            "volume": "0.0001",
            "quote_volume": "200.00010000",
            "trades": 1,
        }
        paged: list[Any] = []
        while (
            page := (await candles(up, interval="1s", limit=77, before=paged[0]["start"])).json()[
                "candles"
            ]
            if paged
            else (await candles(up, interval="1s", limit=77)).json()["candles"]
        ):
            paged = page + paged
        assert paged == whole["candles"]
        tape.bust(a_trade(450, 0, 1, 1))
        list(tape.bust(a_trade(450, 0, 2_000_450, 10_000)))
        after = (await candles(up, interval="1s", limit=1_000)).json()["candles"]
        assert after == [each for each in whole["candles"] if each["start"] != START + 900]
        for bad in ({"interval": "7m"}, {"limit": 1_001}, {"limit": 0}, {"before": -1}):
            assert (await candles(up, **bad)).status_code == 400
        assert (await up.http.get("/v1/markets/NOPE/candles")).status_code == 404

    run(story)


def test_new_terms_leave_candles_as_they_were() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        await trade(up, 2_005)
        before = (await candles(up)).json()["candles"]
        terms = {"lot_pips": LOT_PIPS * 10, "tick_pips": TICK_PIPS}
        assert venue.commit(set_terms(0, maker_fee_ppm=0, taker_fee_ppm=500, **terms)).accepted
        (candle,) = (await candles(up)).json()["candles"]
        (was,) = before
        for name in ("open", "high", "low", "close", "volume"):
            assert float(candle[name]) == float(was[name])
        # What costs ten times as many ticks as before is at the old price.
        await trade(up, 20_050, 0)
        (candle,) = (await candles(up)).json()["candles"]
        assert float(candle["high"]) == float(candle["low"]) == 2.005

    async def trade(up: Served, ticks: int, pips: int = 10) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        lot = {"baseAmount": str(LOT_PIPS * 10), "quoteAmount": str(ticks * TICK_PIPS)}
        more = {} if pips else lot
        assert (await up.place(maker.order("sell", 10, ticks, **more))).status_code == 201
        answer = await up.place(taker.order("buy", 10, ticks, single_shot=True, **more))
        assert answer.json()["fills"], answer.text

    run(story)


def test_who_listens_hears_each_change_and_what_ended() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        async with up.stream() as stream:
            channels = [f"candles:TOKEN-USD:{interval}" for interval in ("1s", "1m")]
            said = await ask(stream, op="subscribe", id=1, channels=channels)
            assert said == {"id": 1, "result": {"channels": channels}}
            for channel in channels:
                snapshot = await hear(stream)
                assert (snapshot["channel"], snapshot["candles"]) == (channel, [])
            await asyncio.to_thread(cross, venue, 2_000, 1)
            told = [await hear(stream) for _ in channels]
            assert [len(frame["candles"]) for frame in told] == [1, 1]
            venue.clock.ns += 10**9
            await asyncio.to_thread(cross, venue, 2_010, 2)
            seconds, minute = [await hear(stream) for _ in channels]
            assert [each["close"] for each in seconds["candles"]] == ["2.000", "2.010"]
            assert [each["trades"] for each in minute["candles"]] == [2]
            bust(venue, 1)
            seconds, minute = [await hear(stream) for _ in channels]
            assert [(each["start"], each["trades"]) for each in seconds["candles"]] == [(START, 0)]
            (left,) = minute["candles"]
            assert (left["open"], left["trades"]) == ("2.010", 1)

    run(story)


def test_a_slow_reader_gets_the_last_word_on_each_candle() -> None:
    market = Venue().exchange.catalog.markets[0]
    first = CandleNews(market, "1s", (a_trade(1, START, 5),))
    later = CandleNews(market, "1s", (a_trade(1, START, 6), a_trade(2, START + 1, 7)))
    assert first.takes(later)
    assert first.merged(later) == later
    assert later.merged(first).candles == (a_trade(1, START, 5), a_trade(2, START + 1, 7))
