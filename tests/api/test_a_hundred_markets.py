"""A listing of a hundred markets: all feeds of all of them at once, deep books in one breath."""

from collections import Counter
from itertools import combinations, islice
from typing import Any

import numpy as np
import orjson

from engine.commands import Commands, Kind, command, list_market
from engine.core import Engine
from engine.events import EventKind
from engine.types import Limits, Side
from settlement.protocol.evidence import MarketListing, TokenListing
from tests.api.fixtures import (
    LIMITS,
    LOT_PIPS,
    MAKER_FEE,
    PLENTY,
    TAKER_FEE,
    TICK_PIPS,
    Served,
    Venue,
    ask,
    hear,
)
from tests.api.readers import BestReader, LevelReader, OrderReader
from tests.api.test_stream import run

MARKETS = 100
ROOM = LIMITS._replace(markets=128)
FEEDS = ("book:{}", "l3:{}", "bbo:{}", "ticker:{}", "trades:{}", "candles:{}:1m")
DEEP = 1_000
PAIRS = list(islice(combinations(range(15), 2), MARKETS))
"""Fifteen tokens make a hundred pairs; the first is TOKEN-USD."""


def listing(number: int) -> np.void:
    base, quote = PAIRS[number]
    return list_market(
        number,
        base,
        quote,
        lot_pips=LOT_PIPS,
        tick_pips=TICK_PIPS,
        maker_fee_ppm=MAKER_FEE,
        taker_fee_ppm=TAKER_FEE,
    )


def list_all(venue: Venue) -> list[str]:
    """List the other 99 markets and fund both wallets; return all symbols."""
    for number in range(2, 15):
        token = TokenListing(f"T{number}", bytes([0x30 + number] * 20), 18, 10**10)
        venue.commit(command(Kind.LIST_TOKEN, token=number), token)
        for wallet in (venue.maker, venue.taker):
            venue.deposit(wallet.address, token.address, PLENTY)
    tokens = venue.exchange.catalog.tokens
    for number in range(1, MARKETS):
        base, quote = PAIRS[number]
        symbol = f"{tokens[base].symbol}-{tokens[quote].symbol}"
        assert venue.commit(listing(number), MarketListing(symbol)).accepted
    return [market.symbol for market in venue.exchange.catalog.markets]


def order(venue: Venue, number: int, side: str, **more: Any) -> dict[str, Any]:
    market = venue.exchange.catalog.markets[number]
    pair = {"base": "0x" + market.base.address.hex(), "quote": "0x" + market.quote.address.hex()}
    wallet = venue.maker if side == "sell" else venue.taker
    return wallet.order(side, 3, 2_000 + number, **pair, **more)


def test_all_feeds_of_all_markets_are_followed_with_one_frame_and_agree() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        symbols = list_all(venue)
        channels = [feed.format(symbol) for symbol in symbols for feed in FEEDS]
        rows = (await up.http.get("/v1/markets")).json()["markets"]
        assert [row["symbol"] for row in rows] == symbols
        async with up.stream(max_queue=None) as stream:
            said = await ask(stream, op="subscribe", id=1, channels=[*channels, "status"])
            assert len(said["result"]["channels"]) == 6 * MARKETS + 1
            heard = [await hear(stream) for _ in range(6 * MARKETS + 1)]
            assert [frame["channel"] for frame in heard] == [*channels, "status"]
            assert len(heard[-1]["markets"]) == MARKETS
            readers = {
                channel: {"book": LevelReader, "l3": OrderReader, "bbo": BestReader}[kind]()
                for channel in channels
                if (kind := channel.split(":")[0]) in ("book", "l3", "bbo")
            }
            for number in range(MARKETS):
                assert (await up.place(order(venue, number, "sell"))).status_code == 201
            for number in range(0, MARKETS, 2):
                more = {"single_shot": True, "baseAmount": str(LOT_PIPS)}
                more["quoteAmount"] = str((2_000 + number) * TICK_PIPS)
                assert (await up.place(order(venue, number, "buy", **more))).json()["fills"]
            await stream.send('{"op":"ping","id":2}')
            while (frame := await hear(stream)).get("id") != 2:
                heard.append(frame)
            for frame in heard:
                if frame["channel"] in readers:
                    readers[frame["channel"]].hear(frame)
            for number, symbol in enumerate(symbols):
                wanted = [(2_000 + number, 2 if number % 2 == 0 else 3)]
                assert readers[f"book:{symbol}"].asks() == wanted
                assert readers[f"l3:{symbol}"].levels("sell") == wanted
                assert readers[f"bbo:{symbol}"].best == (None, wanted[0])
            told = Counter(frame["channel"].split(":")[0] for frame in heard)
            half = MARKETS // 2
            assert told["trades"] == told["candles"] == MARKETS + half
            assert told["book"] == told["l3"] == 2 * MARKETS + half

    run(story, limits=ROOM)


def test_sixty_four_deep_books_in_one_breath_are_all_sent() -> None:
    """By frames of their own and by one: the snapshots are some 9 MB, nine times what may wait."""

    async def story(up: Served) -> None:
        venue = up.venue
        symbols = list_all(venue)[:64]
        for market in venue.exchange.catalog.markets[:64]:
            await up.place(order(venue, market.number, "sell"))
            book = venue.market_data.book(market)
            for level in range(DEEP):
                book.add(Side.SELL, 3_000 + level, 5)
                book.add(Side.BUY, 1_900 - level, 5)
        books = [f"book:{symbol}" for symbol in symbols]
        async with up.stream(max_size=None) as stream:
            for channel in books:
                await stream.send(orjson.dumps({"op": "subscribe", "channel": channel}).decode())
            heard: list[Any] = [await hear(stream) for _ in range(128)]
            snapshots = [frame for frame in heard if frame.get("type") == "snapshot"]
            assert [frame["channel"] for frame in snapshots] == books
            assert {len(frame["asks"]) for frame in snapshots} == {DEEP}
        async with up.stream(max_size=None) as stream:
            assert "result" in await ask(stream, op="subscribe", channels=books)
            assert [(await hear(stream))["channel"] for _ in books] == books
        assert b"slow_disconnects_total 0.0" in venue.services.metrics.render()

    run(story, limits=ROOM)


def test_the_kernel_lists_a_hundred_markets_by_its_limits() -> None:
    """More than the default needs no other kernels: the arrays are as large as the limits say."""
    engine = Engine(Limits(accounts=8, orders=64, ladder_ticks=1 << 10, markets=128))
    rows = [command(Kind.LIST_TOKEN, token=number) for number in range(15)]
    rows += [listing(number) for number in range(MARKETS)]
    commands: Commands = np.array(rows)
    commands["sequence"] = np.arange(1, len(rows) + 1)
    events = engine.apply(commands)
    listed = events[events["kind"] == EventKind.MARKET_LISTED]
    assert listed["market"].tolist() == list(range(MARKETS))
