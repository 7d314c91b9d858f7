"""How does a client's order become one that the exchange can settle?

The client has signed its request with the secret of an API key that the bridge has as well: so it
is known to be the trader's own. What it wants is put in the integers of the market, signed by the
session key and added to the request, which is then sealed anew.
"""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from engine.types import Side
from gateway.api.binance import signed_json
from gateway.api.binance.bridge.exchange import RemoteExchange
from gateway.api.binance.bridge.key_file import BridgeKey
from gateway.api.binance.errors import BAD_KEY, BAD_SYMBOL, Refused
from gateway.api.binance.params import Params
from gateway.api.binance.signer import SessionSigner
from gateway.api.binance.signing import SIGNATURE, require_signature, require_timely, signature_of
from gateway.api.binance.wanted import SIDES, needs_book, wanted_of

FRAMES: Final = frozenset({"order.place", "order.cancelReplace"})
PATHS: Final = frozenset({"/api/v3/order", "/api/v3/order/cancelReplace"})
"""What places an order. A test of one is handed on as it is: what is signed can be settled,
whatever it was sent for."""

TRIES: Final = 3
TRY_AGAIN: Final = frozenset({"LANE_BUSY", "NONCE_USED", "NONCE_TOO_FAR"})
"""Somebody else has used the place meanwhile."""


class OrderSigner:
    """Signs the orders of one account."""

    def __init__(
        self,
        key: BridgeKey,
        exchange: RemoteExchange,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._key = key
        self._exchange = exchange
        self._now_ns = now_ns
        self._signer = SessionSigner(key.account_bytes, key.secret_bytes, key.expires_at)

    def require_own(self, key: str, params: Params, *payloads: str) -> None:
        """Refuse a request that the trader's own secret has not signed, lately."""
        if key != self._key.api_key:
            raise Refused(BAD_KEY)
        require_signature(self._key.secret_key, params.text(SIGNATURE), *payloads)
        require_timely(params, self._now_ns() // 1_000_000)

    async def with_order(self, params: Params) -> dict[str, str]:
        """Return the parameters of a request with the native order, signed; not sealed yet."""
        exchange, name = self._exchange, params.need("symbol")
        market = await exchange.market(name)
        if market is None:
            raise Refused(BAD_SYMBOL)
        side = SIDES.get(params.text("side").upper())
        opposite = []
        if side is not None and needs_book(params):
            other = Side.SELL if side == Side.BUY else Side.BUY
            opposite = await exchange.levels(name, market, other)
        wanted = wanted_of(params, market, opposite)
        now_ns = self._now_ns()
        place = await exchange.place_for(is_single_shot=wanted.is_single_shot, now_ns=now_ns)
        order = self._signer.signed(exchange.domain, market, wanted, place, now_ns, "")
        rest = {name: text for name, text in params.texts.items() if name != SIGNATURE}
        return {**rest, signed_json.PARAMETER: signed_json.text_of(order)}

    def sealed_form(self, texts: dict[str, str]) -> str:
        """Return parameters as the body of a form, sealed with the secret."""
        payload = urlencode(texts)
        return f"{payload}&{SIGNATURE}={signature_of(self._key.secret_key, payload)}"

    def sealed_frame(self, texts: dict[str, str]) -> dict[str, str]:
        """Return parameters as those of a frame, sealed with the secret."""
        now_ms = str(self._now_ns() // 1_000_000)
        full = {"timestamp": now_ms, **texts, "apiKey": self._key.api_key}
        payload = urlencode(sorted(full.items()))
        return {**full, SIGNATURE: signature_of(self._key.secret_key, payload)}

    async def look_again(self) -> None:
        """Ask the exchange which nonces are used, before another try."""
        await self._exchange.renew_single_shots()
