"""Does python-binance, as its makers publish it, trade here with nothing but addresses set?"""

import asyncio

import binance
import pytest
from binance.exceptions import BinanceAPIException

from tests.clients.fixtures import SYMBOL

LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.5"}


def pointed(kind, door):
    """Return a client class with our addresses; they are attributes of the class."""
    addresses = {
        "API_URL": f"{door.http}/api",
        "MARGIN_API_URL": f"{door.http}/sapi",
        "WS_API_URL": f"{door.socket}/ws-api/v3",
    }
    return type(kind.__name__, (kind,), addresses)


@pytest.fixture
def client(door):
    return pointed(binance.Client, door)(door.api_key.key, door.api_key.secret)


def test_an_order_rests_is_found_and_cancelled(client):
    placed = client.create_order(price="2000", **LIMIT)
    found = client.get_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert (placed["status"], found["status"], found["price"]) == ("NEW", "NEW", "2000.00000000")
    assert found["x_digest"] == placed["x_digest"]
    cancelled = client.cancel_order(symbol=SYMBOL, origClientOrderId=placed["clientOrderId"])
    assert (cancelled["status"], cancelled["orderId"]) == ("CANCELED", placed["orderId"])


def test_a_market_order_is_filled_for_no_more_than_its_quote(client):
    bought = client.order_market_buy(symbol=SYMBOL, quoteOrderQty="100")
    assert (bought["status"], bought["type"]) == ("FILLED", "MARKET")
    assert 90 < float(bought["cummulativeQuoteQty"]) <= 100
    assert bought["fills"][0]["commissionAsset"] == "USD"
    mine = client.get_my_trades(symbol=SYMBOL)
    assert mine[-1]["orderId"] == bought["orderId"]


def test_an_order_shrinks_and_keeps_its_place(client):
    placed = client.create_order(price="2000", **LIMIT)
    amended = client._put(
        *("order/amend/keepPriority", True, "v3"),
        data={"symbol": SYMBOL, "orderId": placed["orderId"], "newQty": "0.2"},
    )["amendedOrder"]
    assert (amended["qty"], amended["status"]) == ("0.20000000", "NEW")
    found = client.get_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert found["origQty"] == "0.20000000"
    with pytest.raises(BinanceAPIException) as larger:
        client._put(
            *("order/amend/keepPriority", True, "v3"),
            data={"symbol": SYMBOL, "orderId": placed["orderId"], "newQty": "0.3"},
        )
    assert larger.value.code == -2038
    client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])


def test_filters_refuse_with_their_names(client):
    with pytest.raises(BinanceAPIException) as off_tick:
        client.create_order(price="2000.001", **LIMIT)
    with pytest.raises(BinanceAPIException) as off_lot:
        client.create_order(price="2000", **{**LIMIT, "quantity": "0.00001"})
    assert (off_tick.value.code, off_tick.value.message) == (-1013, "Filter failure: PRICE_FILTER")
    assert (off_lot.value.code, off_lot.value.message) == (-1013, "Filter failure: LOT_SIZE")


def test_what_the_exchange_is_and_what_the_account_has(client):
    filters = client.get_symbol_info(SYMBOL)["filters"]
    assert filters[0]["filterType"] == "PRICE_FILTER"
    assert client.get_asset_balance("USD")["free"].count(".") == 1
    assert client.get_system_status() == {"status": 0, "msg": "normal"}
    assert client.get_trade_fee()[0]["symbol"] == SYMBOL
    assert client.ping() == {} and client.get_server_time()["serverTime"] > 0
    assert client.get_orderbook_tickers()[0]["symbol"] == SYMBOL
    assert client.get_klines(symbol=SYMBOL, interval="1m") is not None


def test_request_api_user_events_and_the_depth_cache(door):
    asyncio.run(_story(door))


async def _story(door):
    made = pointed(binance.AsyncClient, door)
    client = await made.create(door.api_key.key, door.api_key.secret)
    sockets = binance.BinanceSocketManager(client)
    sockets.STREAM_URL = f"{door.socket}/"
    try:
        async with asyncio.timeout(60):
            await _requests(client)
            await _events(client, sockets)
            await _depth(client, sockets)
    finally:
        await client.close_connection()


async def _requests(client):
    placed = await client.ws_create_order(price="2000", **LIMIT)
    assert placed["status"] == "NEW"
    stand = await client.ws_get_open_orders(symbol=SYMBOL)
    assert placed["orderId"] in [order["orderId"] for order in stand]
    assert len((await client.ws_get_order_book(symbol=SYMBOL, limit=2))["bids"]) == 2
    cancelled = await client.ws_cancel_all_open_orders(symbol=SYMBOL)
    assert placed["orderId"] in [order["orderId"] for order in cancelled]
    assert await client.ws_get_open_orders(symbol=SYMBOL) == []
    balances = (await client.ws_get_account())["balances"]
    assert {row["asset"] for row in balances} == {"TOKEN", "USD", "EUR"}


async def _events(client, sockets):
    async with sockets.user_socket() as events:
        placed = await client.create_order(price="2000", **LIMIT)
        await client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
        reports, positions = [], 0
        while [report["x"] for report in reports] != ["NEW", "CANCELED"]:
            event = await events.recv()
            if event["e"] == "executionReport":
                reports.append(event)
            positions += event["e"] == "outboundAccountPosition"
    assert {report["i"] for report in reports} == {placed["orderId"]}
    assert [report["X"] for report in reports] == ["NEW", "CANCELED"]
    assert positions


async def _depth(client, sockets):
    """The package's own book builder comes to the book that the exchange has."""
    async with binance.DepthCacheManager(client, SYMBOL, bm=sockets) as manager:
        for price in range(2100, 2106):
            placed = await client.create_order(price=str(price), **LIMIT)
            cache = await manager.recv()
            await client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
            cache = await manager.recv()
        while True:
            whole = await client.get_order_book(symbol=SYMBOL, limit=500)
            built = cache.get_bids(), cache.get_asks()
            if built == tuple(_floats(whole[side]) for side in ("bids", "asks")):
                return
            cache = await manager.recv()


def _floats(levels):
    return [[float(price), float(quantity)] for price, quantity in levels]
