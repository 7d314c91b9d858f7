"""What a bridge signs can be settled by whoever has it: so it signs what is meant, and no more."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx

from gateway.api.binance.bridge.app import bridge_app
from gateway.api.binance.bridge.exchange import RemoteExchange
from gateway.api.binance.bridge.key_file import BridgeKey
from gateway.api.binance.bridge.signing import OrderSigner
from gateway.api.binance.signing import signature_of
from tests.api.dialect import LIMIT, NOW_MS, dialect


class Bridged:
    """A bridge of the maker, and all that it has sent to the exchange."""

    def __init__(self, asked, api_key, http, sent):
        self.asked, self.sent = asked, sent
        self._key, self._http = api_key, http

    async def ask(self, method, path, **params):
        query = urlencode({**params, "timestamp": str(NOW_MS)})
        query += f"&signature={signature_of(self._key.secret, query)}"
        headers = {"x-mbx-apikey": self._key.key}
        return await self._http.request(method, f"{path}?{query}", headers=headers)


@asynccontextmanager
async def bridged():
    async with dialect(managed=False) as asked:
        maker = asked.maker
        key = BridgeKey(
            account="0x" + maker.wallet.address.hex(),
            session_key="0x" + maker.wallet.secret.hex(),
            api_key=maker.api_key.key,
            secret_key=maker.api_key.secret,
        )
        base = f"http://127.0.0.1:{asked.up.port}"
        exchange = RemoteExchange(base, key.account_bytes)
        sent = []

        async def note(request):
            sent.append((request.method, request.url.path, request.content.decode()))

        exchange.http.event_hooks = {"request": [note]}
        await exchange.begin()
        app = bridge_app(exchange, OrderSigner(key, exchange, asked.venue.clock.now_ns), base)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield Bridged(asked, maker.api_key, http, sent)
        await exchange.http.aclose()


ORDER = LIMIT | {"side": "SELL", "quantity": "1", "price": "20"}


def test_an_order_is_placed_as_it_was_meant():
    async def story():
        async with bridged() as bridge:
            answer = await bridge.ask("POST", "/api/v3/order", **ORDER)
            assert answer.status_code == 200, answer.text
            assert "signedOrder=" in bridge.sent[-1][2]

    asyncio.run(story())


def test_found_the_test_of_an_order_gave_the_exchange_one_that_it_could_settle():
    async def story():
        async with bridged() as bridge:
            answer = await bridge.ask("POST", "/api/v3/order/test", **ORDER)
            assert (answer.status_code, answer.json()) == (200, {})
            assert bridge.sent[-1][:2] == ("POST", "/api/v3/order/test")
            assert not any("signedOrder" in body for _, _, body in bridge.sent)
            refused = await bridge.ask("POST", "/api/v3/order/test", **ORDER | {"price": "0"})
            assert refused.json()["code"] == -1013, refused.text

    asyncio.run(story())
