"""Is whatever a client may send refused with a code, at no cost to anybody else?"""

import asyncio

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.trading.budgets import Budgets
from tests.api.dialect import LIMIT, NOW_MS, SYMBOL, dialect
from tests.api.fixtures import Venue

ORDER = "/api/v3/order"
GOOD = {**LIMIT, "quantity": "1", "price": "2"}

BAD_ORDERS = (
    ({"side": "HOLD"}, -1117),
    ({"type": "GUESS"}, -1116),
    ({"type": "TAKE_PROFIT", "stopPrice": "1"}, -2010),
    ({"type": "LIMIT", "trailingDelta": "5"}, -2010),
    ({"timeInForce": "SOON"}, -1115),
    ({"timeInForce": ""}, -1102),
    ({"quantity": ""}, -1102),
    ({"price": ""}, -1102),
    ({"quantity": "-1"}, -1100),
    ({"quantity": "1e3"}, -1100),
    ({"quantity": "0x10"}, -1100),
    ({"quantity": "1.123456789"}, -1111),
    ({"quantity": "0"}, -1013),
    ({"quantity": "0.00001"}, -1013),
    ({"quantity": "99999999999"}, -1013),
    ({"quantity": "9" * 21}, -1100),
    ({"price": "0"}, -1013),
    ({"price": "2.00000001"}, -1013),
    ({"price": "99999999999"}, -1013),
    ({"stopPrice": "1"}, -1106),
    ({"quoteOrderQty": "1"}, -1106),
    ({"icebergQty": "0.00001"}, -1013),
    ({"icebergQty": "0.001"}, -1013),
    ({"icebergQty": "2"}, -1013),
    ({"selfTradePreventionMode": "NONE"}, -2010),
    ({"newClientOrderId": "with a space"}, -1100),
    ({"newClientOrderId": "x" * 37}, -1100),
    ({"newOrderRespType": "NOVEL"}, -1130),
    ({"symbol": "NOSUCH"}, -1121),
    ({"symbol": ""}, -1102),
    ({"symbol": "TOKEN-USD"}, -1121),
    ({"recvWindow": "soon"}, -1100),
    ({"type": "MARKET", "timeInForce": "", "price": "", "quantity": "1"}, -2010),
    ({"type": "MARKET", "timeInForce": ""}, -1106),
    ({"type": "STOP_LOSS", "timeInForce": "", "price": ""}, -1102),
)

BAD_QUESTIONS = (
    ("/api/v3/depth", {}, -1102),
    ("/api/v3/depth", {"symbol": SYMBOL, "limit": "0"}, -1130),
    ("/api/v3/depth", {"symbol": SYMBOL, "limit": "many"}, -1100),
    ("/api/v3/klines", {"symbol": SYMBOL, "interval": "7m"}, -1120),
    ("/api/v3/klines", {"symbol": SYMBOL}, -1102),
    ("/api/v3/ticker/24hr", {"symbol": "X"}, -1121),
    ("/api/v3/ticker/24hr", {"symbols": "["}, -1121),
    ("/api/v3/ticker/24hr", {"symbol": SYMBOL, "type": "HUGE"}, -1130),
    ("/api/v3/exchangeInfo", {"symbols": '["X"]'}, -1121),
    ("/api/v3/historicalTrades", {"symbol": SYMBOL, "fromId": "-1"}, -1100),
    ("/api/v3/aggTrades", {"symbol": SYMBOL, "startTime": "9" * 19}, -1130),
    ("/api/v3/order/oco", {}, -1020),
    ("/api/v3/userDataStream", {}, -1020),
    ("/api/v3/x/keys", {}, -1020),
    ("/sapi/v1/whatever", {}, -1020),
)

BAD_FRAMES = (
    *("", "{", "[]", "null", "7", '"text"', "{}", '{"method":7}', '{"method":null}'),
    *('{"id":{}}', '{"id":1.5,"method":"time"}', '{"method":"time","id":99999999999999999999}'),
    *('{"method":"time","params":[]}', '{"method":"time","params":7}', "[" * 5_000),
    *('{"method":"nothing","id":1}', '{"method":"order.place","id":1}', '{"method":"","id":1}'),
    *('{"method":"order.place","params":{"symbol":{}},"id":1}', '{"method":"depth","id":1}'),
    *('{"method":"order.place","params":{"apiKey":"x","signature":"y"},"id":1}',),
    *('{"method":"order.place","params":{"symbol":1e400},"id":1}', '{"params":{},"id":1}'),
    *('{"method":"order.cancel","params":{"orderId":true},"id":1}', '{"method":"x","id":"é"}'),
    *('{"method":"session.logon","params":{},"id":1}', '{"method":"session.logon","id":1}'),
    *('{"method":"userDataStream.subscribe","id":1}', '{"method":"SUBSCRIBE","id":1}'),
    *('{"method":"userDataStream.unsubscribe","params":{"subscriptionId":7},"id":1}',),
    *('{"method":"klines","params":{"symbol":"TOKENUSD","interval":"0m"},"id":1}',),
    *('{"method":"SUBSCRIBE","params":[7,null,{}],"id":2}', '{"method":"UNSUBSCRIBE","id":2}'),
    *('{"method":"SUBSCRIBE","params":["@","tokenusd@","a@b","' + "x" * 99 + '"],"id":2}',),
    *('{"method":"SUBSCRIBE","params":["tokenusd@kline_0m","nosuch@trade"],"id":2}',),
    *('{"method":"SUBSCRIBE","params":"tokenusd@trade","id":2}', '{"method":"SET_PROPERTY"}'),
    *(" ", "\n", "\x00", "{}}", "{'a':1}", "<xml/>", "GET / HTTP/1.1", "true", "-1", "1e999"),
    *('{"method":"time","method":"ping"}', '{"method":"ti\\u0000me"}', '{"":""}', "[[],[]]"),
    *('{"id":1,"method":"order.place","params":{"quantity":[1,2]}}', '{"id":[],"method":"time"}'),
    *(
        '{"method":"ticker.24hr","params":{"symbols":"["}}',
        '{"method":"depth","params":{"limit":-1}}',
    ),
    *(
        '{"method":"order.status","params":{"timestamp":"x"}}',
        '{"method":"exchangeInfo","params":[]}',
    ),
    *('{"method":"allOrders","params":{"signature":7}}', '{"method":"order.test","params":null}'),
    *('{"method":"myTrades","params":{"apiKey":[]}}', '{"method":"account.status","id":-1}'),
    *('{"id":1,"method":"order.amend.keepPriority","params":{"newQty":-1}}',),
)


def run(story, **options):
    async def told():
        async with dialect(**options) as asked:
            await story(asked)

    asyncio.run(told())


def test_every_bad_order_has_its_code_and_changes_nothing():
    async def story(asked):
        before = asked.venue.engine.sequence
        for change, code in BAD_ORDERS:
            params = {name: text for name, text in {**GOOD, **change}.items() if text != ""}
            assert await asked.code("POST", ORDER, asked.maker, **params) == (400, code), change
        assert asked.venue.engine.sequence == before

    run(story)


def test_every_bad_question_has_its_code():
    async def story(asked):
        for path, params, code in BAD_QUESTIONS:
            status, said = await asked.code("GET", path, **params)
            assert (status in (400, 404), said) == (True, code), (path, params)

    run(story)


def test_a_parameter_stands_there_once_and_only_so_many_do():
    async def story(asked):
        http = asked.up.http
        twice = await http.get(f"/api/v3/depth?symbol={SYMBOL}&symbol={SYMBOL}")
        assert twice.json()["code"] == -1104
        many = await http.get("/api/v3/depth?" + "&".join(f"p{i}=1" for i in range(41)))
        assert many.json()["code"] == -1104
        accents = await http.post(ORDER, content="quantity=é".encode())
        assert (accents.status_code, accents.json()["code"]) == (400, -1100)

    run(story)


@pytest.mark.parametrize("path", ["/ws", "/stream", "/ws-api/v3", "/ws/7", "/ws/a@b/c@d"])
def test_whatever_frame_comes_is_answered_with_an_error_and_the_next_is_read(path):
    assert len(BAD_FRAMES) >= 60

    async def story(asked):
        uri = f"ws://127.0.0.1:{asked.up.port}{path}"
        async with connect(uri, compression=None, proxy=None) as socket:
            for frame in (*BAD_FRAMES, b"\xff\xfe"):
                await socket.send(frame)
            await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":"last"}')
            async with asyncio.timeout(10):
                while True:
                    answer = orjson.loads(await socket.recv())
                    if answer.get("id") == "last":
                        break
        assert await asked.code("GET", "/api/v3/ping") == (200, 0)

    run(story)


def test_weights_come_from_the_houses_budget_and_the_dialect_tells_them():
    budgets = Budgets(60, 30, 10, 10, 10, 10)

    async def story(asked):
        info = await asked.ask("GET", "/api/v3/exchangeInfo")
        assert info.headers["x-mbx-used-weight-60s"] == "20"
        assert info.headers["x-mbx-used-weight-1m"] == "20"
        assert info.json()["rateLimits"][0]["limit"] == 30
        spent = await asked.ask("GET", "/api/v3/exchangeInfo")
        assert (spent.status_code, spent.json()["code"]) == (429, -1003)
        assert int(spent.headers["retry-after"]) > 0

    run(story, venue=Venue(budgets))


def test_orders_are_counted_for_their_account():
    async def story(asked):
        first = await asked.ask("POST", ORDER, asked.maker, **GOOD)
        second = await asked.ask("POST", ORDER, asked.maker, **GOOD)
        counts = [answer.headers["x-mbx-order-count-60s"] for answer in (first, second)]
        assert counts == ["1", "2"]
        told = await asked.ask("GET", "/api/v3/rateLimit/order", asked.maker)
        assert told.json()[0]["count"] == 2

    run(story)


def test_who_goes_on_beyond_his_budget_is_hung_up_on():
    async def story(asked):
        uri = f"ws://127.0.0.1:{asked.up.port}/ws"
        async with connect(uri, compression=None, proxy=None) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(10):
                    while True:
                        await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
                        await socket.recv()
        assert closed.value.rcvd.code == 1008

    run(story, venue=Venue(Budgets(60, 30, 10, 10, 10, 10)))


def test_what_comes_after_its_window_is_not_carried_out():
    async def story(asked):
        before = asked.venue.engine.sequence
        late = {**GOOD, "timestamp": NOW_MS - 101, "recvWindow": 100}
        assert await asked.code("POST", ORDER, asked.maker, **late) == (400, -1021)
        assert asked.venue.engine.sequence == before

    run(story)
