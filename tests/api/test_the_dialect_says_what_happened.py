"""Are orders, fills, balances and books told as they are, and exactly?"""

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from engine.types import Side
from gateway.api.binance.errors import Refused
from gateway.api.binance.numbers import pips_of, pips_text
from gateway.api.binance.params import Params
from gateway.api.binance.signing import signature_of
from gateway.api.binance.symbols import Symbols
from gateway.api.binance.wanted import SLIPPAGE_PPM, wanted_of
from settlement.orders.catalog import Market, Token
from tests.api.dialect import LIMIT, NOW_MS, SYMBOL, dialect
from tests.api.fixtures import TOKEN_ADDRESS, USD_ADDRESS

ORDER = "/api/v3/order"
USD = Token(1, "USD", USD_ADDRESS, 6, -100)
TOKEN = Token(0, "TOKEN", TOKEN_ADDRESS, 18, 10**10)
MARKET = Market(0, "TOKEN-USD", TOKEN, USD, 10_000, 100, 0, 1_000)


def run(story, **options):
    async def told():
        async with dialect(**options) as asked:
            async with asyncio.timeout(20):
                await story(asked)

    asyncio.run(told())


@asynccontextmanager
async def listening(asked, path):
    uri = f"ws://127.0.0.1:{asked.up.port}{path}"
    async with connect(uri, compression=None, proxy=None) as socket:
        yield socket


async def say(socket, frame):
    await socket.send(orjson.dumps(frame).decode())


async def heard(socket):
    return orjson.loads(await socket.recv())


async def place(asked, who, side, quantity, price, **changes):
    params = {**LIMIT, "side": side, "quantity": quantity, "price": price, **changes}
    answer = await asked.ask("POST", ORDER, who, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@given(st.integers(0, 10**19 - 1))
def test_eight_decimals_are_exact_both_ways(pips):
    assert pips_of(pips_text(pips), "any") == pips
    assert len(pips_text(pips).partition(".")[2]) == 8


@given(
    st.lists(st.sampled_from(["A", "AB", "B", "BA", "ABA", "w-A"]), min_size=2, max_size=2),
)
def test_names_without_a_separator_stay_names_of_one_market_each(symbols):
    class Listed:
        markets = tuple(
            MARKET._replace(
                number=number,
                symbol=f"{base}-{quote}",
                base=TOKEN._replace(symbol=base),
                quote=USD._replace(symbol=quote),
            )
            for number, (base, quote) in enumerate(
                [(one, other) for one in (*symbols, "A", "AB") for other in ("B", "BA", *symbols)]
            )
        )

    names = Symbols(Listed())
    assert len(names.all()) == len(Listed.markets)
    for market in Listed.markets:
        assert names.market(names.name(market)) == market


Books = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 10**6)), min_size=1, max_size=9)


@given(Books, st.integers(1, 10**14), st.sampled_from(["BUY", "SELL"]))
def test_a_market_order_never_costs_more_than_its_quote_nor_strays_from_the_best(
    steps, quote, side
):
    ticks, opposite = 100_000, []
    for step, lots in steps:
        ticks += step if side == "BUY" else -step
        opposite.append((ticks, lots))
    params = {"side": side, "type": "MARKET", "quoteOrderQty": pips_text(quote)}
    try:
        wanted = wanted_of(Params(params), MARKET, opposite)
    except Refused:  # Too little for a lot, or nothing within reach.
        return
    best = opposite[0][0]
    away = abs(wanted.ticks - best)
    assert away * 10**6 <= best * SLIPPAGE_PPM
    if side == "BUY":
        assert MARKET.quote_pips(wanted.lots, wanted.ticks) <= quote
    else:
        assert MARKET.quote_pips(wanted.lots, wanted.ticks) <= quote
        assert wanted.side == Side.SELL


def test_both_sides_of_a_trade_see_it_with_what_only_we_know():
    async def story(asked):
        rests = await place(asked, asked.maker, "SELL", "2", "2.5")
        takes = await place(asked, asked.taker, "BUY", "0.5", "3", timeInForce="IOC")
        assert (takes["status"], takes["cummulativeQuoteQty"]) == ("FILLED", "1.25000000")
        assert takes["fills"][0]["commission"] == "0.00125000"
        mine = await asked.ask("GET", "/api/v3/myTrades", asked.maker, symbol=SYMBOL)
        (fill,) = mine.json()
        assert (fill["orderId"], fill["isMaker"], fill["isBuyer"]) == (
            rests["orderId"],
            True,
            False,
        )
        assert fill["x_settlement"] == {"state": "matched", "batch": None, "txHash": None}
        assert (fill["x_digest"], fill["x_seq"]) == (rests["x_digest"], rests["x_seq"])
        order = await asked.ask("GET", ORDER, asked.maker, symbol=SYMBOL, orderId=rests["orderId"])
        assert order.json()["status"] == "PARTIALLY_FILLED"
        assert order.json()["cummulativeQuoteQty"] == "1.25000000"
        asked.venue.settlement.move(1, 1, "final", 7, b"\x07" * 32)
        later = await asked.ask("GET", "/api/v3/myTrades", asked.maker, symbol=SYMBOL)
        assert later.json()[0]["x_settlement"]["state"] == "final"
        (public,) = (await asked.ask("GET", "/api/v3/trades", symbol=SYMBOL)).json()
        assert (public["price"], public["isBuyerMaker"]) == ("2.50000000", False)
        day = (await asked.ask("GET", "/api/v3/ticker/24hr", symbol=SYMBOL)).json()
        assert (day["lastPrice"], day["volume"]) == ("2.50000000", "0.50000000")
        (candle,) = (await asked.ask("GET", "/api/v3/klines", symbol=SYMBOL, interval="1M")).json()
        assert candle[1:6] == ["2.50000000"] * 4 + ["0.50000000"] and candle[8] == 1

    run(story)


def test_a_replacement_says_which_half_of_it_happened():
    async def story(asked):
        first = await place(asked, asked.maker, "BUY", "1", "2")
        new = {**LIMIT, "quantity": "1", "price": "2.5", "cancelReplaceMode": "STOP_ON_FAILURE"}
        path = "/api/v3/order/cancelReplace"
        both = await asked.ask("POST", path, asked.maker, **new, cancelOrderId=first["orderId"])
        assert both.json()["cancelResult"] == both.json()["newOrderResult"] == "SUCCESS"
        again = await asked.ask("POST", path, asked.maker, **new, cancelOrderId=first["orderId"])
        assert (again.status_code, again.json()["code"]) == (400, -2022)
        assert again.json()["data"]["newOrderResult"] == "NOT_ATTEMPTED"
        second = both.json()["newOrderResponse"]["orderId"]
        poor = {**new, "quantity": "2000", "price": "9000", "cancelOrderId": second}
        half = await asked.ask("POST", path, asked.maker, **poor)
        assert (half.status_code, half.json()["code"]) == (409, -2021)
        assert half.json()["data"]["cancelResult"] == "SUCCESS"
        assert half.json()["data"]["newOrderResponse"]["code"] == -2010

    run(story)


def test_the_users_own_stream_explains_every_pip():
    async def story(asked):
        async with listening(asked, "/ws-api/v3") as socket:
            key, secret = asked.maker.api_key[:2]
            params = {"apiKey": key, "timestamp": NOW_MS}
            text = f"apiKey={key}&timestamp={NOW_MS}"
            params["signature"] = signature_of(secret, text)
            method = "userDataStream.subscribe.signature"
            await say(socket, {"id": 1, "method": method, "params": params})
            assert (await heard(socket))["result"] == {"subscriptionId": 0}
            rests = await place(asked, asked.maker, "SELL", "2", "2.5")
            await place(asked, asked.taker, "BUY", "0.5", "3", timeInForce="IOC")
            asked.venue.deposit(asked.venue.maker.address, USD_ADDRESS, 7)
            events = []
            while not events or events[-1]["e"] != "balanceUpdate":
                events.append((await heard(socket))["event"])
            events.append((await heard(socket))["event"])
        reports = [event for event in events if event["e"] == "executionReport"]
        assert [(one["x"], one["X"]) for one in reports] == [
            ("NEW", "NEW"),
            ("TRADE", "PARTIALLY_FILLED"),
        ]
        assert reports[1]["i"] == rests["orderId"] and reports[1]["m"] is True
        assert (reports[1]["l"], reports[1]["L"]) == ("0.50000000", "2.50000000")
        # Nothing of the trade is called a deposit, and the deposit is told to the pip.
        assert [event["e"] for event in events].count("balanceUpdate") == 1
        assert (events[-2]["a"], events[-2]["d"]) == ("USD", "0.00000007")
        assert events[-1]["e"] == "outboundAccountPosition"

    run(story)


def test_a_logged_on_connection_asks_without_signing_again():
    async def story(asked):
        key, secret = asked.maker.api_key[:2]
        text = f"apiKey={key}&timestamp={NOW_MS}"
        async with listening(asked, "/ws-api/v3") as socket:
            ask = {"id": 1, "method": "account.status", "params": {"timestamp": NOW_MS}}
            await say(socket, ask)
            assert (await heard(socket))["error"]["code"] == -2014
            params = {"apiKey": key, "timestamp": NOW_MS, "signature": signature_of(secret, text)}
            await say(socket, {"id": 2, "method": "session.logon", "params": params})
            assert (await heard(socket))["result"]["apiKey"] == key
            await say(socket, ask)
            assert {row["asset"] for row in (await heard(socket))["result"]["balances"]} == {
                *("TOKEN", "USD"),
            }
            await socket.send('{"id":3,"method":"session.logout"}')
            await heard(socket)
            await say(socket, ask)
            assert (await heard(socket))["error"]["code"] == -2014

    run(story)


@pytest.mark.parametrize("ends_by", ["its owner", "time"])
def test_found_who_had_logged_on_outlived_his_key(ends_by):
    """Found: a stolen key that its owner ended still traded on a connection that stayed, and what
    it cancelled after its session's day made the whole log one that ``tillbook verify`` faults."""

    async def story(asked):
        key, secret = asked.maker.api_key[:2]
        text = f"apiKey={key}&timestamp={NOW_MS}"
        async with listening(asked, "/ws-api/v3") as socket:
            params = {"apiKey": key, "timestamp": NOW_MS, "signature": signature_of(secret, text)}
            await say(socket, {"id": 1, "method": "session.logon", "params": params})
            await heard(socket)
            await say(socket, {"id": 2, "method": "userDataStream.subscribe"})
            assert (await heard(socket))["result"] == {"subscriptionId": 0}
            order = {"symbol": SYMBOL, "side": "SELL", "type": "LIMIT", "timeInForce": "GTC"}
            order |= {"quantity": "1", "price": "20", "timestamp": NOW_MS, "recvWindow": 60_000}
            await say(socket, {"id": 3, "method": "order.place", "params": order})
            said = [await heard(socket) for _ in range(3)]
            assert any(one.get("status") == 200 for one in said), said
            if ends_by == "time":
                asked.venue.clock.ns += 3_601 * 10**9
                order["timestamp"] += 3_601_000
            else:
                await asked.keys.end_all(asked.maker.wallet.address)
            for number, method in enumerate(("order.place", "openOrders.cancelAll"), 4):
                await say(socket, {"id": number, "method": method, "params": order})
                assert (await heard(socket))["error"]["code"] == -2015
            await say(socket, {"id": 6, "method": "userDataStream.subscribe"})
            assert (await heard(socket))["error"]["code"] == -2015
            asked.venue.deposit(asked.venue.maker.address, USD_ADDRESS, 7)
            assert (await heard(socket))["event"]["e"] == "eventStreamTerminated"
            await say(socket, {"id": 7, "method": "ping"})
            assert (await heard(socket))["id"] == 7, "and nothing more of the account"

    run(story)


def test_streams_of_one_market_tell_book_trades_and_day():
    names = "tokenusd@depth/tokenusd@trade/tokenusd@bookTicker/tokenusd@depth5@100ms"
    more = "tokenusd@aggTrade/tokenusd@miniTicker/tokenusd@ticker/tokenusd@kline_1m"

    async def story(asked):
        async with listening(asked, f"/stream?streams={names}/{more}") as socket:
            before = (await asked.ask("GET", "/api/v3/depth", symbol=SYMBOL)).json()
            await place(asked, asked.maker, "SELL", "2", "2.5")
            await place(asked, asked.taker, "BUY", "0.5", "3", timeInForce="IOC")
            seen = {}
            while set(seen) != set(f"{names}/{more}".split("/")):
                frame = await heard(socket)
                seen.setdefault(frame["stream"], []).append(frame["data"])
            diff = seen["tokenusd@depth"][0]
            assert (diff["U"], diff["a"]) == (
                before["lastUpdateId"] + 1,
                [["2.50000000", "2.00000000"]],
            )
            trade = seen["tokenusd@trade"][0]
            assert (trade["t"], trade["p"], trade["m"]) == (1, "2.50000000", False)
            assert seen["tokenusd@bookTicker"][0]["a"] == "2.50000000"
            assert seen["tokenusd@kline_1m"][0]["k"]["v"] == "0.50000000"
            assert seen["tokenusd@aggTrade"][0]["q"] == "0.50000000"
            assert "lastUpdateId" in seen["tokenusd@depth5@100ms"][0]

    run(story)
