"""How does a seller put a price before a route, and is paid in a stablecoin whatever is paid with?

``Paywall`` is an ASGI middleware that speaks x402, version 2. Who asks without a payment is told
what it costs (402); who sends one is served when it is in a block. Each offer is an invoice of the
seller's store, made by the exchange's facilitator and signed here with the API key, so that nothing
has to be remembered: a payment is known again after a restart and by another process.

A payment that is on its way is never asked for anew: the answer is 503 and when to try again, with
the same payment. Sent twice it is served once: the first answer is kept for a while and repeated.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import httpx
import msgspec

OFFERS_MAX: Final = 1_024
ANSWERS_MAX: Final = 1_024
ANSWER_SIZE_MAX: Final = 256 * 1024
"""A larger answer is not kept: the route is asked again."""

HEADER_SIZE_MAX: Final = 16 * 1024
FRESH_SECONDS: Final = 60
"""An offer that ends sooner is not made to anybody."""

TIMEOUT_SECONDS: Final = 30
RETRY_SECONDS: Final = "2"
PENDING: Final = "settlement_pending"
IDENTIFIER: Final = "payment-identifier"
SEAL: Final = "tillbookOffer"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Price(NamedTuple):
    """What a resource costs, and the tokens it may be paid with; each is converted."""

    amount: str
    tokens: tuple[str, ...]


class _Offer(NamedTuple):
    requirements: dict[str, Any]
    expires_at: int


class _Kept(NamedTuple):
    """The answer to a payment, and which payment it was."""

    payment: bytes
    messages: list[Message]


class _NotNow(Exception):
    """The exchange does not answer, or does not take it now."""


class Paywall:
    """The middleware; ``price_of`` says what a request costs, None for what is free."""

    def __init__(
        self,
        app: App,
        *,
        facilitator_url: str,
        api_key: str,
        price_of: Callable[[Scope], Price | None],
        now_s: Callable[[], int],
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """``api_key`` is the store's and may create invoices; ``facilitator_url`` ends in
        ``/x402``; ``now_s`` is unix time."""
        self._app = app
        self._url = facilitator_url.rstrip("/")
        self._key = api_key.encode()
        self._price_of = price_of
        self._now_s = now_s
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self._offers: OrderedDict[tuple[str, str, str], _Offer] = OrderedDict()
        self._answers: OrderedDict[str, _Kept] = OrderedDict()
        self._busy: dict[str, asyncio.Lock] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is free or paid, ask for the price of all else."""
        price = self._price_of(scope) if scope["type"] == "http" else None
        if price is None:
            await self._app(scope, receive, send)
            return
        resource = f"{scope['method']} {scope['path']}"
        sent = dict(scope["headers"]).get(b"payment-signature", b"")
        try:
            payment = _payment(sent) if sent else None
            if payment is None:
                await self._ask_price(send, resource, price, {"error": "payment required"})
                return
            await self._paid(scope, receive, send, resource, price, payment)
        except _NotNow as why:
            await _reply(send, 503, {"error": str(why)}, {"retry-after": RETRY_SECONDS})

    async def _paid(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        resource: str,
        price: Price,
        payment: dict[str, Any],
    ) -> None:
        accepted = payment["accepted"]
        if not self._is_ours(accepted, resource, price):
            await self._ask_price(send, resource, price, {"error": "that was no offer for this"})
            return
        name, digest = _name_of(payment)
        lock = self._busy.setdefault(name, asyncio.Lock())
        async with lock:
            await self._serve(scope, receive, send, resource, price, payment, name, digest)
        self._busy.pop(name, None)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        resource: str,
        price: Price,
        payment: dict[str, Any],
        name: str,
        digest: bytes,
    ) -> None:
        kept = self._answers.get(name)
        if kept is not None:
            if kept.payment != digest:
                await _reply(send, 409, {"error": "another payment has that identifier"}, {})
                return
            for message in kept.messages:
                await send(message)
            return
        self._forget(payment["accepted"])
        settled = await self._settle(payment)
        told = {"payment-response": _written(settled)}
        if not settled.get("success"):
            if settled.get("errorReason") == PENDING:
                error = {"error": PENDING, "transaction": settled.get("transaction", "")}
                await _reply(send, 503, error, told | {"retry-after": RETRY_SECONDS})
                return
            error = {"error": settled.get("errorReason", "the payment was not taken")}
            await self._ask_price(send, resource, price, error, told)
            return
        await self._answer(scope, receive, send, name, digest, told["payment-response"])

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, name: str, digest: bytes, told: str
    ) -> None:
        """Pass the route's answer on, and keep it if it is small and no fault of the route."""
        messages: list[Message] = []
        size, status = 0, 500

        async def kept(message: Message) -> None:
            nonlocal size, status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"payment-response", told.encode())]
                message = {**message, "headers": headers}
            size += len(message.get("body", b""))
            if size <= ANSWER_SIZE_MAX:
                messages.append(message)
            await send(message)

        await self._app(scope, receive, kept)
        if status < 500 and size <= ANSWER_SIZE_MAX:
            self._answers[name] = _Kept(digest, messages)
            while len(self._answers) > ANSWERS_MAX:
                self._answers.popitem(last=False)

    # Offers

    async def _ask_price(
        self,
        send: Send,
        resource: str,
        price: Price,
        error: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> None:
        offers = [await self._offer(resource, price.amount, token) for token in price.tokens]
        required = {
            "x402Version": 2,
            **error,
            "resource": {"url": resource.partition(" ")[2]},
            "accepts": [offer.requirements for offer in offers],
            "extensions": {IDENTIFIER: {"info": {"required": False}, "schema": {}}},
        }
        told = {"payment-required": _written(required), "cache-control": "no-store"}
        await _reply(send, 402, required, told | (headers or {}))

    async def _offer(self, resource: str, amount: str, token: str) -> _Offer:
        """Return an offer that nobody has taken yet, an earlier one if it lasts."""
        key = (resource, amount, token)
        known = self._offers.get(key)
        if known is not None and known.expires_at - self._now_s() >= FRESH_SECONDS:
            return known
        asked = {"amount": amount, "token": token, "resource": resource}
        made = await self._post("offers", asked, 201)
        requirements = made["requirements"]
        extra = dict(requirements["extra"])
        sealed = {**requirements, "extra": extra}
        extra[SEAL] = self._seal(sealed, resource, amount)
        offer = _Offer(sealed, int(made["expires_at"]))
        self._offers[key] = offer
        while len(self._offers) > OFFERS_MAX:
            self._offers.popitem(last=False)
        return offer

    def _forget(self, accepted: dict[str, Any]) -> None:
        """An offer that somebody takes is made to nobody else."""
        taken = [
            key
            for key, offer in self._offers.items()
            if offer.requirements["payTo"] == accepted["payTo"]
        ]
        for key in taken:
            del self._offers[key]

    def _seal(self, requirements: dict[str, Any], resource: str, amount: str) -> str:
        names = ("scheme", "network", "asset", "amount", "payTo")
        words = [str(requirements[name]) for name in names]
        words += [resource, amount]
        return hmac.new(self._key, msgspec.json.encode(words), hashlib.sha256).hexdigest()

    def _is_ours(self, accepted: dict[str, Any], resource: str, price: Price) -> bool:
        shown = str(dict(accepted.get("extra") or {}).get(SEAL, ""))
        sealed = self._seal(accepted, resource, price.amount)
        return hmac.compare_digest(shown.encode(), sealed.encode())

    # The exchange

    async def _settle(self, payment: dict[str, Any]) -> dict[str, Any]:
        asked = {
            "x402Version": 2,
            "paymentPayload": payment,
            "paymentRequirements": payment["accepted"],
        }
        return await self._post("settle", asked, 200)

    async def _post(self, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        try:
            answer = await self._http.post(
                f"{self._url}/{path}", content=msgspec.json.encode(body), headers=self._headers
            )
            if answer.status_code != status:
                raise _NotNow(f"the exchange answered {answer.status_code} to {path}")
            found = msgspec.json.decode(answer.content)
        except (httpx.HTTPError, msgspec.DecodeError) as fault:
            raise _NotNow(f"the exchange does not answer: {type(fault).__name__}") from fault
        if not isinstance(found, dict):
            raise _NotNow("the exchange answered what is no object")
        return found


def _payment(sent: bytes) -> dict[str, Any] | None:
    """Read the header; None if it is no payment at all."""
    if len(sent) > HEADER_SIZE_MAX:
        return None
    try:
        found = msgspec.json.decode(base64.b64decode(sent, validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("payload"), dict):
        return None
    accepted = found.get("accepted")
    names = {"scheme", "network", "asset", "amount", "payTo"}
    if not isinstance(accepted, dict) or not names <= accepted.keys():
        return None
    return found if isinstance(accepted.get("extra") or {}, dict) else None


def _name_of(payment: dict[str, Any]) -> tuple[str, bytes]:
    """Return by what a payment is known again, and a digest of it."""
    digest = hashlib.sha256(msgspec.json.encode(payment["payload"], order="sorted")).digest()
    extensions = payment.get("extensions")
    found = extensions.get(IDENTIFIER) if isinstance(extensions, dict) else None
    stated = found.get("info") if isinstance(found, dict) else None
    name = stated.get("id") if isinstance(stated, dict) else None
    if isinstance(name, str) and 16 <= len(name) <= 128:
        return f"id {name}", digest
    return digest.hex(), digest


def _written(document: dict[str, Any]) -> str:
    return base64.b64encode(msgspec.json.encode(document)).decode()


async def _reply(
    send: Send, status: int, document: dict[str, Any], headers: dict[str, str]
) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    lines.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": msgspec.json.encode(document)})
