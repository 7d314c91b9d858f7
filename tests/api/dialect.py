"""A venue of the gateway's tests with the dialect for other exchanges' tools, and who asks it."""

from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx

from gateway.api.binance.signed_json import text_of
from gateway.api.binance.signing import signature_of
from gateway.trading.api_keys import ApiKeys, HeldKey, MemoryEpochs
from gateway.trading.sessions import Session
from tests.api.fixtures import DOMAIN, START_NS, Served, Venue, Wallet, order_in, served
from tests.asked import login_of

SYMBOL = "TOKENUSD"
NOW_MS = START_NS // 1_000_000
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}


class Trader:
    """A wallet with an API key."""

    def __init__(self, keys: ApiKeys, wallet: Wallet, may_trade: bool = True) -> None:
        proof = login_of(DOMAIN, wallet.secret, START_NS // 10**9)
        self.session = Session(wallet.address, START_NS // 10**9 + 3600, proof)
        self.api_key = keys.mint(self.session, may_trade)
        self.wallet = wallet


class Dialect:
    """What is served, and how its clients ask."""

    def __init__(self, up: Served, keys: ApiKeys) -> None:
        self.up, self.keys, self.venue = up, keys, up.venue
        self.maker = Trader(keys, up.venue.maker)
        self.taker = Trader(keys, up.venue.taker)
        self.reader = Trader(keys, up.venue.maker, may_trade=False)

    async def ask(
        self, method: str, path: str, who: Trader | None = None, **params: Any
    ) -> httpx.Response:
        """Ask as the dialect's clients do: sealed, unless nobody asks."""
        query = urlencode({name: str(value) for name, value in params.items()})
        headers = {}
        if who is not None:
            stamp = "" if "timestamp" in params else f"{'&' if query else ''}timestamp={NOW_MS}"
            query += stamp
            query += f"&signature={signature_of(who.api_key.secret, query)}"
            headers["x-mbx-apikey"] = who.api_key.key
        return await self.up.http.request(method, f"{path}?{query}", headers=headers)

    async def code(
        self, method: str, path: str, who: Trader | None = None, **params: Any
    ) -> tuple[int, int]:
        """Return HTTP status and the dialect's code, 0 where there is none."""
        answer = await self.ask(method, path, who, **params)
        document = answer.json()
        return answer.status_code, document.get("code", 0) if isinstance(document, dict) else 0


@asynccontextmanager
async def dialect(venue: Venue | None = None, *, managed: bool = True, **changes: Any):
    venue = venue or Venue()
    keys = ApiKeys(bytes(range(32)), MemoryEpochs(), venue.clock.now_ns)
    held = {}
    if managed:
        held = {
            wallet.address: HeldKey(wallet.secret, 2**32 - 1)
            for wallet in (venue.maker, venue.taker)
        }
    async with served(venue, api_keys=keys, session_keys=held, **changes) as up:
        yield Dialect(up, keys)


def signed_text(wallet: Wallet, side: str, lots: int, ticks: int, **changes: Any) -> str:
    """Return the parameter that carries a native order of ``wallet``."""
    return text_of(order_in(wallet.order(side, lots, ticks, **changes)))
