"""How does a program outside the exchange talk to it?

Plain JSON over HTTP on loopback, by the public API alone. What a customer, a maker or a shop
cannot do through this door, the demo cannot do either.
"""

import http.client
from typing import Any, Final

import orjson

from settlement.protocol.evidence import SignedOrder

TIMEOUT_SECONDS: Final = 30


class RequestRejected(Exception):
    """The API said no; ``problem`` is its problem+json document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('outcome')} {problem.get('detail')}")
        self.status, self.problem = status, problem


class Client:
    """One keep-alive connection to the exchange at ``host:port``; for one thread at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)

    def get(self, path: str, bearer: str = "") -> Any:
        """Return the JSON document at ``path``. Raises ``RequestRejected``."""
        return self._ask("GET", path, None, {"authorization": f"Bearer {bearer}"} if bearer else {})

    def post(
        self, path: str, document: dict[str, Any], bearer: str = "", idempotency_key: str = ""
    ) -> Any:
        """Send ``document`` and return the answer. Raises ``RequestRejected``."""
        headers = {"content-type": "application/json"}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        return self._ask("POST", path, orjson.dumps(document), headers)

    def delete(self, path: str, bearer: str) -> Any:
        """Delete what is at ``path``. Raises ``RequestRejected``."""
        return self._ask("DELETE", path, None, {"authorization": f"Bearer {bearer}"})

    def place(self, order: SignedOrder) -> Any:
        """Place a signed order; the same order again gets the first answer."""
        return self.post("/v1/orders", order_document(order))

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            raw = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"what answers speaks no HTTP ({error!r})") from error
        document = orjson.loads(raw) if raw else {}
        if response.status >= 400:
            raise RequestRejected(response.status, document)
        return document


def order_document(order: SignedOrder) -> dict[str, Any]:
    """Return ``order`` in the words of ``POST /v1/orders``."""
    return {
        "account": "0x" + order.account.hex(),
        "nonce": str(order.nonce),
        "flags": order.flags,
        "lane": order.lane,
        "base": "0x" + order.base.hex(),
        "quote": "0x" + order.quote.hex(),
        "baseAmount": str(order.base_amount),
        "quoteAmount": str(order.quote_amount),
        "triggerOrDisplay": str(order.trigger_or_display),
        "expiry": order.expiry,
        "maxFeePpm": order.max_fee_ppm,
        "ref": "0x" + order.ref.hex(),
        "signature": "0x" + order.signature.hex(),
        "client_id": order.client_id,
    }
