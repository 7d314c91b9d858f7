"""Best prices, tickers and states of markets: a halted market never looks like an open one."""

from typing import Any

from engine.commands import Kind, command
from engine.types import Phase
from tests.api.fixtures import Served, ask, hear
from tests.api.test_a_busted_trade_leaves_the_views import bust
from tests.api.test_stream import run


def test_best_prices_are_told_when_they_change_and_only_then() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        async with up.stream() as stream, up.stream() as other:
            await ask(stream, op="subscribe", channel="bbo:TOKEN-USD")
            first = await hear(stream)
            assert (first["type"], first["bid"], first["ask"]) == ("snapshot", None, None)
            await up.place(maker.order("buy", 7, 1_990))
            told = await hear(stream)
            assert (told["type"], told["bid"]["price"], told["bid"]["lots"]) == ("bbo", "1.990", 7)
            await up.place(maker.order("buy", 7, 1_980))
            await up.place(maker.order("sell", 2, 2_000))
            told = await hear(stream)
            assert told["ask"]["price_ticks"] == 2_000, "what is behind the best is not told"
            # Somebody who comes in between is told how it is, and hears what changes back.
            await ask(stream, op="unsubscribe", channel="bbo:TOKEN-USD")
            await up.place(maker.order("sell", 2, 1_995))
            await ask(other, op="subscribe", channel="bbo:TOKEN-USD")
            assert (await hear(other))["ask"]["price_ticks"] == 1_995
            await up.place(up.venue.taker.order("buy", 2, 1_995, single_shot=True))
            assert (await hear(other))["ask"]["price_ticks"] == 2_000

    run(story)


def test_the_ticker_follows_trades_busts_and_best_prices() -> None:
    async def story(up: Served) -> None:
        async def over_rest() -> Any:
            return (await up.http.get("/v1/markets/TOKEN-USD/ticker")).json()

        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel="ticker:TOKEN-USD")
            assert (await hear(stream))["ticker"]["last"] is None
            await up.place(up.venue.maker.order("sell", 2, 2_000))
            assert (await hear(stream))["ticker"]["best_ask"] == "2.000"
            await up.place(up.venue.taker.order("buy", 1, 2_000, single_shot=True))
            told = await hear(stream)
            assert (told["ticker"]["last"], told["ticker"]["volume_24h"]) == ("2.000", "0.0001")
            asked = await over_rest()
            assert (asked["ticker"], asked["u"]) == (told["ticker"], told["u"])
            bust(up.venue, 1)
            assert (await hear(stream))["ticker"]["last"] is None
            assert (await over_rest())["ticker"]["volume_24h"] == "0.0000"

    run(story)


def test_a_halted_market_does_not_look_like_an_open_one() -> None:
    async def story(up: Served) -> None:
        venue = up.venue

        async def row() -> Any:
            (market,) = (await up.http.get("/v1/markets")).json()["markets"]
            return market

        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel="status")
            snapshot = await hear(stream)
            assert snapshot["status"] == "ready"
            assert snapshot["markets"] == [
                {"market": "TOKEN-USD", "phase": "open", "band": None},
            ]
            market = await row()
            assert (market["phase"], market["band"]) == ("open", None)
            assert (market["min_quantity"], market["min_price"]) == ("0.0001", "0.001")
            assert float(market["max_quantity"]) > 10**7 and float(market["max_price"]) > 10**6

            venue.commit(command(Kind.SET_BAND, price_ticks=1_900, amount=2_100))
            told = await hear(stream)
            band = {"low": "1.900", "high": "2.100"}
            assert (told["type"], told["market"], told["band"]) == ("market", "TOKEN-USD", band)
            for phase in (Phase.HALTED, Phase.POST_ONLY, Phase.AUCTION, Phase.OPEN):
                venue.commit(command(Kind.SET_PHASE, amount=phase))
                assert (await hear(stream))["phase"] == phase.name.lower()
                market = await row()
                assert (market["phase"], market["band"]) == (phase.name.lower(), band)
                status = (await up.http.get("/v1/status")).json()
                assert status["markets"] == [
                    {"market": "TOKEN-USD", "phase": phase.name.lower(), "band": band}
                ]
            venue.commit(command(Kind.POISON, account=1))
            assert (await hear(stream))["phase"] == "halted"
            states = venue.services.market_states
            again = type(states)()
            again.load(states.save())
            assert again.of(venue.exchange.catalog.markets[0]).phase == Phase.HALTED

    run(story)


def test_who_listens_hears_what_the_exchange_lacks_and_that_it_closes() -> None:
    async def story(up: Served) -> None:
        venue, watch = up.venue, up.app.state.status_watch
        async with up.stream() as stream:
            await ask(stream, op="subscribe", channel="status")
            await hear(stream)
            watch.look()
            assert (await hear(stream))["status"] == "ready"
            watch.look()
            venue.restrictions.append("the disk is nearly full")
            watch.look()
            told = await hear(stream)
            assert (told["type"], told["status"]) == ("exchange", "restricted")
            assert told["restrictions"] == ["the disk is nearly full"]
            venue.missing.append("settlement is halted: by hand")
            watch.look()
            told = await hear(stream)
            assert (told["status"], told["missing"]) == ("not ready", venue.missing)
            assert (await up.http.get("/v1/status")).json()["status"] == "not ready"
            await up.stop()
            assert (await hear(stream))["status"] == "draining"
            assert await hear(stream) == {"event": "shutdown"}

    run(story)


def test_the_clock_is_told() -> None:
    async def story(up: Served) -> None:
        answer = await up.http.get("/v1/time")
        assert answer.json() == {"time_ns": str(up.venue.clock.ns)}

    run(story)
