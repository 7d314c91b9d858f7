"""Does ccxt, as its makers publish it, trade here with nothing but addresses set?"""

import asyncio

import ccxt
import ccxt.pro
import pytest

PAIR = "TOKEN/USD"


@pytest.fixture
def client(door):
    client = door.point(ccxt.binance(door.ccxt_options()))
    client.load_markets()
    return client


def test_markets_and_prices_are_read(client):
    market = client.market(PAIR)
    book = client.fetch_order_book(PAIR, 5)
    assert market["precision"]["price"] == 0.01
    assert market["limits"]["cost"]["min"] == 1
    assert book["bids"][0][0] < book["asks"][0][0]
    assert book["timestamp"] and book["nonce"]
    assert client.fetch_status()["status"] == "ok"
    assert client.fetch_trading_fees()[PAIR]["taker"] == 0.001
    assert client.fetch_ticker(PAIR)["bid"] == book["bids"][0][0]


def test_an_order_rests_is_found_and_cancelled(client):
    placed = client.create_order(PAIR, "limit", "buy", 1, 2000.5, {"clientOrderId": client.uuid()})
    assert (placed["status"], placed["amount"], placed["price"]) == ("open", 1.0, 2000.5)
    assert client.fetch_order(placed["id"], PAIR)["status"] == "open"
    assert placed["id"] in [order["id"] for order in client.fetch_open_orders(PAIR)]
    assert client.cancel_order(placed["id"], PAIR)["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(placed["id"], PAIR)
    assert client.fetch_order(placed["id"], PAIR)["status"] == "canceled"


def test_market_orders_trade_and_fills_say_how_far_they_are(client):
    before = client.fetch_balance()
    bought = client.create_order(PAIR, "market", "buy", 0.25)
    assert (bought["status"], bought["filled"]) == ("closed", 0.25)
    spent = client.create_market_buy_order_with_cost(PAIR, 100)
    assert spent["status"] == "closed" and 90 < spent["cost"] <= 100
    sold = client.create_order(PAIR, "market", "sell", 0.25)
    after = client.fetch_balance()
    assert after["TOKEN"]["free"] == pytest.approx(before["TOKEN"]["free"] + spent["filled"])
    mine = {trade["order"]: trade for trade in client.fetch_my_trades(PAIR)}
    settlement = mine[sold["id"]]["info"]["x_settlement"]
    assert settlement["state"] in ("matched", "batched", "submitted", "mined", "final")
    assert mine[sold["id"]]["fee"]["currency"] == "USD"


def test_terms_of_orders_are_kept_or_refused_in_the_documented_words(client):
    taken = client.create_order(PAIR, "limit", "buy", 0.1, 2600, {"timeInForce": "IOC"})
    assert taken["status"] == "closed"
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(PAIR, "limit", "buy", 0.1, 2600, {"postOnly": True})
    with pytest.raises(ccxt.InvalidOrder):  # It reads in exchangeInfo that there are none.
        client.create_order(PAIR, "TAKE_PROFIT_LIMIT", "sell", 0.1, 2900, {"stopPrice": 2890})
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(PAIR, "limit", "buy", 40, 2400)
    with pytest.raises(ccxt.BadRequest, match="NOTIONAL"):
        client.create_order(PAIR, "limit", "buy", 0.0001, 2000)


def test_whatever_the_wallet_can_sign_is_signed(client):
    killed = client.create_order(PAIR, "limit", "buy", 5, 2000, {"timeInForce": "FOK"})
    assert (killed["status"], killed["filled"], killed["timeInForce"]) == ("expired", 0.0, "FOK")
    whole = client.create_order(PAIR, "limit", "buy", 0.5, 2600, {"timeInForce": "FOK"})
    assert whole["status"] == "closed"
    stop = client.create_order(PAIR, "STOP_LOSS_LIMIT", "sell", 0.1, 1900, {"stopPrice": 1950})
    assert client.fetch_order(stop["id"], PAIR)["triggerPrice"] == 1950
    market_stop = client.create_order(PAIR, "STOP_LOSS", "sell", 0.1, None, {"stopPrice": 1950})
    part = client.create_order(PAIR, "limit", "sell", 2, 3000, {"icebergQty": "0.5"})
    assert client.fetch_order(part["id"], PAIR)["info"]["icebergQty"] == "0.50000000"
    mode = {"selfTradePreventionMode": "EXPIRE_MAKER"}
    other = client.create_order(PAIR, "limit", "sell", 2, 3000, mode)
    assert other["info"]["selfTradePreventionMode"] == "EXPIRE_MAKER"
    mine = {stop["id"], market_stop["id"], part["id"], other["id"]}
    assert mine <= {order["id"] for order in client.fetch_open_orders(PAIR)}
    assert mine <= {order["id"] for order in client.cancel_all_orders(PAIR)}


def test_an_order_is_edited_by_replacing_it(client):
    first = client.create_order(PAIR, "limit", "buy", 1, 2000)
    second = client.edit_order(first["id"], PAIR, "limit", "buy", 1, 2001)
    assert (second["price"], second["status"]) == (2001.0, "open")
    assert client.fetch_order(first["id"], PAIR)["status"] == "canceled"
    assert len(client.cancel_all_orders(PAIR)) == 1
    assert client.fetch_open_orders(PAIR) == []


def test_candles_are_those_of_the_trades(client):
    client.create_order(PAIR, "market", "buy", 0.1)
    candle = client.fetch_ohlcv(PAIR, "1m")[-1]
    assert candle[5] > 0 and candle[3] <= candle[1] <= candle[2]


def test_a_wrong_secret_is_told_apart_from_a_wrong_key(client):
    client.secret = "0" * 64
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        client.fetch_balance()
    client.apiKey = "nobody's"
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        client.fetch_balance()


def test_pro_follows_book_orders_and_balances_and_trades_over_the_socket(door):
    async def story():
        client = door.point(ccxt.pro.binance(door.ccxt_options()))
        try:
            await client.load_markets()
            async with asyncio.timeout(60):
                await _told(client)
                await _book(client)
        finally:
            await client.close()

    asyncio.run(story())


async def _told(client):
    first = asyncio.ensure_future(client.watch_orders(PAIR))
    balance = asyncio.ensure_future(client.watch_balance())
    placed = None
    while not first.done():
        # Whoever subscribes is heard a moment later; an order before that is not told.
        placed = await client.create_order_ws(PAIR, "limit", "buy", 1, 2000)
        cancelled = await client.cancel_order_ws(placed["id"], PAIR)
        assert cancelled["status"] == "canceled"
    seen = [order["status"] for order in await first]
    assert set(seen) <= {"open", "canceled"}
    assert "USD" in await balance
    trades = asyncio.ensure_future(client.watch_my_trades(PAIR))
    bought = await client.create_order_ws(PAIR, "market", "buy", 0.1)
    assert bought["filled"] == 0.1
    assert (await trades)[-1]["order"] == bought["id"]


async def _book(client):
    """The client's own book builder comes to the book that the exchange has."""
    await client.watch_order_book(PAIR)
    for price in range(2100, 2200):
        # Watched before it happens: what is told in between is not told again.
        watching = asyncio.ensure_future(client.watch_order_book(PAIR))
        placed = await client.create_order(PAIR, "limit", "buy", 0.5, price)
        await client.cancel_order(placed["id"], PAIR)
        book = await watching
        whole = await client.fetch_order_book(PAIR, 1000)
        if whole["nonce"] == book["nonce"]:
            assert (book["bids"], book["asks"]) == (whole["bids"], whole["asks"])
            return
    raise AssertionError("the client's book was never as new as the exchange's")
