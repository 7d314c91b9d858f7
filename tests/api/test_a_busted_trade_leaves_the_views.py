"""A trade that is undone: both sides are told, balances follow, history says so, figures forget."""

from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from engine.commands import Kind, command
from engine.events import EventKind
from engine.types import fee_pips
from gateway.api.v1.rows import balance_rows
from gateway.views.candles import INTERVALS, Candle, Candles
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.user_orders import UserStream
from settlement.orders.catalog import Catalog
from settlement.protocol.evidence import TradeBusted
from tests.api.fixtures import LOT_PIPS, MAKER_FEE, TAKER_FEE, TICK_PIPS, Served, Venue, ask, hear
from tests.api.test_stream import run
from tests.api.test_views_are_rebuilt_by_replay import joined, place

REASON = "InsufficientBalance(0x5555, 1, 0, 9)"


def bust(venue: Venue, trade_id: int) -> None:
    """Undo a trade, as the settler's command does."""
    events = [event for batch in venue.history for event in batch.events]
    (trade,) = (e for e in events if e["kind"] == EventKind.TRADE and e["trade_id"] == trade_id)
    is_buy = trade["side"] == 0
    buyer, seller = ("account", "maker_account") if is_buy else ("maker_account", "account")
    buy_fee, sell_fee = (TAKER_FEE, MAKER_FEE) if is_buy else (MAKER_FEE, TAKER_FEE)
    quote_pips = int(trade["amount"] * trade["price_ticks"]) * TICK_PIPS
    row = command(
        Kind.BUST,
        market=0,
        account=int(trade[buyer]),
        fee_cap_ppm=int(trade[seller]),
        price_ticks=int(trade["amount"]) * LOT_PIPS,
        amount=quote_pips,
        order_id=fee_pips(quote_pips, buy_fee),
        expiry_ns=fee_pips(quote_pips, sell_fee),
    )
    assert venue.commit(row, TradeBusted(trade_id, REASON)).accepted


def cross(venue: Venue, ticks: int, lots: int) -> None:
    place(venue, venue.maker.order("sell", lots, ticks))
    place(venue, venue.taker.order("buy", lots, ticks, single_shot=True))


def test_both_sides_hear_of_it_with_the_fill_and_the_balances_they_have_again() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        before = to_builtins(balance_rows(venue.user_stream.balances(venue.taker.address)))
        async with up.stream() as mine, up.stream() as public:
            await ask(mine, op="login", id=1, token=await up.token(venue.taker))
            await ask(public, op="subscribe", id=1, channel="trades:TOKEN-USD")
            await hear(public)
            await up.place(venue.maker.order("sell", 10, 2_000))
            await up.place(venue.taker.order("buy", 10, 2_000, single_shot=True))
            for channel in ("orders", "balances"):
                await ask(mine, op="subscribe", id=2, channel=channel)
                await hear(mine)
            assert (await hear(public))["type"] == "trades"
            bust(venue, 1)

            told, balances, tape = await hear(mine), await hear(mine), await hear(public)
        assert (told["channel"], told["type"], told["trade_id"]) == ("orders", "trade_busted", 1)
        assert (told["market"], told["side"]) == ("TOKEN-USD", "buy")
        assert told["reason"] == "InsufficientBalance", "whose balance is nobody's business"
        assert told["fill"]["settlement"]["state"] == "busted"
        assert told["fill"]["lots"] == 10
        assert told["fill"]["fee_pips"] == told["fee_pips"] == "200"
        assert (told["base_pips"], told["quote_pips"]) == ("100000", "200000")
        assert sorted(balances["balances"], key=str) == sorted(before, key=str)
        assert tape == {
            "channel": "trades:TOKEN-USD",
            "type": "trade_busted",
            "event": told["event"],
            "trade_id": 1,
        }
        await check_history(up)

    run(story)


async def check_history(up: Served) -> None:
    token = await up.token(up.venue.taker)
    answer: httpx.Response = await up.http.get(
        "/v1/fills", headers={"Authorization": f"Bearer {token}"}
    )
    (fill,) = answer.json()["fills"]
    assert (fill["trade_id"], fill["settlement"]["state"]) == (1, "busted")
    answer = await up.http.get("/v1/markets/TOKEN-USD/trades")
    (trade,) = answer.json()["trades"]
    assert (trade["trade_id"], trade["settlement"]["state"]) == (1, "busted")
    ticker = (await up.http.get("/v1/markets")).json()["markets"][0]["ticker"]
    assert ticker["last"] is None and ticker["volume_24h"] == "0.0000"


def test_the_batch_around_it_comes_further_without_it() -> None:
    async def story(up: Served) -> None:
        venue = up.venue
        for lots in (1, 2, 3):
            await up.place(venue.maker.order("sell", lots, 2_000))
            await up.place(venue.taker.order("buy", lots, 2_000, single_shot=True))
        bust(venue, 2)
        async with up.stream() as mine, up.stream() as public:
            await ask(mine, op="login", id=1, token=await up.token(venue.taker))
            for stream, channel in ((mine, "orders"), (public, "trades:TOKEN-USD")):
                await ask(stream, op="subscribe", id=2, channel=channel)
                await hear(stream)
            venue.settlement.move(1, 3, "final", 1, bytes(32))
            assert (await hear(mine))["trades"] == [1, 3]
            frame = await hear(public)
            assert (frame["first_trade"], frame["last_trade"], frame["busted"]) == (1, 3, [2])
        users = venue.user_stream
        states = [users.state_of(fill).state for fill in users.fills(venue.taker.address, 9)]
        assert states == ["final", "busted", "final"]

    run(story)


def shown(venue: Venue, interval: str) -> list[Candle]:
    """Return all candles, whatever the numbers of their trades are."""
    tape = venue.services.candles.tape(venue.exchange.catalog.markets[0])
    return [candle._replace(first_trade=0) for candle in tape.newest(interval, 1_000)]


TRADES = st.lists(
    st.tuples(st.integers(1_900, 2_100), st.integers(1, 50), st.sampled_from([0, 1, 280])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(trades=TRADES, undone=st.sets(st.integers(1, 12)), cut=st.integers(1, 40))
def test_figures_are_those_of_the_trades_that_stand(
    trades: list[tuple[int, int, int]], undone: set[int], cut: int
) -> None:
    venue, standing = Venue(), Venue()
    undone = {trade_id for trade_id in undone if trade_id <= len(trades)}
    for number, (ticks, lots, seconds) in enumerate(trades, 1):
        for one in (venue, standing):
            one.clock.ns += seconds * 10**9
        cross(venue, ticks, lots)
        if number not in undone:
            cross(standing, ticks, lots)
    for trade_id in sorted(undone, reverse=True):
        bust(venue, trade_id)

    market, now_ns = venue.exchange.catalog.markets[0], venue.clock.ns
    assert venue.market_data.ticker(market, now_ns) == standing.market_data.ticker(market, now_ns)
    for interval in INTERVALS:
        assert shown(venue, interval) == shown(standing, interval)
    for wallet in (venue.maker, venue.taker):
        kept = venue.user_stream.fills(wallet.address, 99)
        states = {fill.trade_id: venue.user_stream.state_of(fill).state for fill in kept}
        assert {trade for trade, state in states.items() if state == "busted"} == undone
        assert venue.user_stream.balances(wallet.address) == standing.user_stream.balances(
            wallet.address
        )
    venue.engine.check()
    check_rebuilt(venue, cut)


def check_rebuilt(venue: Venue, cut: int) -> None:
    """Views replayed in two pieces, with a snapshot's memory between them, are the same."""
    history, catalog = venue.history, Catalog()
    state = venue.settlement.trade_state

    def views() -> tuple[MarketData, UserStream, Candles]:
        data = MarketData(catalog, Channels(), state)
        users = UserStream(catalog, Channels(), venue.exchange.balance, state)
        return data, users, Candles(Channels())

    data, users, candles = views()
    pieces: list[Any] = [piece for piece in (history[:cut], history[cut:]) if piece]
    for piece in pieces:
        memories = data.save(), users.save(), candles.save()
        data, users, candles = views()
        for consumer, memory in zip((data, users, candles), memories, strict=True):
            consumer.load(memory)
        for segment in catalog.read(joined(piece)):
            for consumer in (data, users, candles):
                consumer.consume(segment)
    assert candles.save() == venue.services.candles.save()
    assert data.save() == venue.market_data.save()
    assert users.save() == venue.user_stream.save()


def test_prices_of_a_step_stay_where_its_trades_are_too_old_to_be_known() -> None:
    venue = Venue()
    market = venue.exchange.catalog.markets[0]
    for _ in range(501):
        place(venue, venue.maker.order("sell", 2, 2_000))
        place(venue, venue.taker.order("buy", 1, 2_000, single_shot=True))
        place(venue, venue.taker.order("buy", 1, 2_000, single_shot=True))
    bust(venue, 1)
    bust(venue, 1_002)

    ticker = venue.market_data.ticker(market, venue.clock.ns)
    assert ticker.lots_24h == 1_000, "of 1,002"
    assert ticker.high_24h == ticker.low_24h == ticker.last == 2_000
