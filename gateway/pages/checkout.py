"""How does a customer see an invoice in a browser, with scripts and without?

``checkout_view`` draws, ``checkout_looks`` keeps what was drawn. ``/events`` tells the page's
module what changed, ``/state`` is the same for who asks from time to time: where no stream is to be
had, and after a sleep. Without scripts the page reloads itself.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from engine.types import Outcome
from gateway.api.v1.shop_doors import accepted
from gateway.http.clients import Clients
from gateway.pages.checkout_looks import (
    FRESH_SECONDS,
    STREAM_BOUNDS,
    Look,
    Looks,
    StateStream,
    StreamBounds,
    Streams,
)
from gateway.pages.checkout_view import CheckoutPage, Reading, offer_of, reading_of
from gateway.pages.headers import headers
from gateway.pages.languages import Language, chosen
from gateway.trading.budgets import PressBudgets, PressLimits
from gateway.trading.rejection import Rejection
from merchants.documents.checkout import PAYABLE, Checkout, Phase
from merchants.documents.reader import Reader
from merchants.service import Merchants
from merchants.stores.embedding import ORIGIN_CHARS_MAX
from settlement.protocol.payer_roads import Fresh

HEADERS: Final = headers("no-store", may_post=True)
NO_PROXIES: Final = Clients()
NEW_PRICES: Final = PressBudgets(per_address=10, per_button=5)
SALT_SIZE: Final = 32
SIGNATURE_LIFE_S: Final = 30 * 60
VARIES: Final = {"Vary": "Accept-Language"}

Lang = Annotated[str, Query(max_length=16)]
Token = Annotated[str, Query(max_length=32)]
Embed = Annotated[str, Query(max_length=ORIGIN_CHARS_MAX)]


def language_of(request: Request, lang: str) -> Language:
    """Return the language that was asked for, by name or by the browser."""
    return chosen(lang, request.headers.get("accept-language", ""))


class _Routes:
    """The routes of the hosted page."""

    def __init__(
        self,
        looks: Looks,
        pages: CheckoutPage,
        streams: Streams,
        clients: Clients,
        now_s: Callable[[], int],
        entropy: Callable[[int], bytes],
        requote: Callable[[str], str] | None,
    ) -> None:
        self._looks = looks
        self._pages = pages
        self._streams = streams
        self._clients = clients
        self._now_s = now_s
        self._entropy = entropy
        self._requote = requote
        self._presses = PressLimits(NEW_PRICES)

    async def asset(self, request: Request, name: str) -> Response:
        """Return the style sheet or a module; their addresses carry their version."""
        found = self._pages.assets.get(name)
        if found is None:
            raise Rejection(Outcome.NOT_FOUND)
        body, varies = found.body(request.headers.get("accept-encoding", ""))
        kept = headers("public, max-age=31536000, immutable", may_post=True)
        return Response(body, media_type=found.media_type, headers=kept | varies)

    async def page(
        self, request: Request, invoice_id: str, lang: Lang = "", pay: Token = ""
    ) -> Response:
        """Return the page."""
        look, reading = await self._read(request, invoice_id, lang, pay)
        return _html(self._pages.page(look.checkout, reading), look.checkout.embedders)

    async def state(
        self, request: Request, invoice_id: str, lang: Lang = "", pay: Token = ""
    ) -> Response:
        """Return what the page shows now, or that it is what the asker has."""
        _, drawn = await self._looks.state(invoice_id, language_of(request, lang), pay)
        sent = headers("private, no-cache", may_post=True) | VARIES | {"ETag": drawn.etag}
        if request.headers.get("if-none-match") == drawn.etag:
            return Response(status_code=304, headers=sent)
        return Response(drawn.state, media_type="application/json", headers=sent)

    async def events(
        self, request: Request, invoice_id: str, lang: Lang = "", pay: Token = ""
    ) -> Response:
        """Return what the page shows, now and whenever it changes."""
        language = language_of(request, lang)
        await self._looks.at(invoice_id)
        lifecycle = getattr(request.app.state, "lifecycle", None)
        return StateStream(
            self._streams,
            self._clients.of(request),
            lambda: self._looks.state(invoice_id, language, pay),
            self._now_s,
            lambda: lifecycle is not None and lifecycle.is_closing,
            headers("no-store", may_post=True),
        )

    async def wallet(
        self,
        invoice_id: str,
        payer: Annotated[str, Query(alias="from", pattern="^0x[0-9a-fA-F]{40}$")],
        token: Token = "",
    ) -> Response:
        """Return what a wallet is asked for to pay what is still due."""
        checkout = await self._payable(invoice_id)
        fresh = Fresh(self._entropy(SALT_SIZE), self._now_s() + SIGNATURE_LIFE_S)
        steps = self._pages.wallet_steps(
            checkout, offer_of(checkout, token), bytes.fromhex(payer[2:]), fresh
        )
        return Response(steps, media_type="application/json", headers=headers("no-store"))

    async def code(self, invoice_id: str, pay: Token = "") -> Response:
        """Return the payment request for wallets as a picture."""
        checkout = await self._payable(invoice_id)
        picture = await asyncio.to_thread(self._pages.code, checkout, offer_of(checkout, pay))
        return Response(picture, media_type="image/svg+xml", headers=headers("no-store"))

    async def _payable(self, invoice_id: str) -> Checkout:
        look = await self._looks.at(invoice_id)
        if not self._pages.asks_wallets or look.checkout.phase not in PAYABLE:
            raise Rejection(Outcome.NOT_FOUND, "there is nothing to pay here now")
        return look.checkout

    async def new_price(
        self,
        request: Request,
        invoice_id: str,
        lang: Lang = "",
        pay: Token = "",
        embed: Embed = "",
    ) -> Response:
        """Make a new price of what has expired, and go to it."""
        look, reading = await self._read(request, invoice_id, lang, pay)
        is_over = look.checkout.phase is not Phase.EXPIRED or look.checkout.is_closed
        if self._requote is None or is_over:
            raise Rejection(Outcome.NOT_FOUND, "there is no new price to be had here")
        self._presses.press(self._clients.of(request), invoice_id)
        made = self._requote(invoice_id)
        self._looks.forget(invoice_id)
        framed = framed_in(embed, look.checkout.embedders)
        return RedirectResponse(
            f"/checkout/{made}?{reading.query}{framed}",
            303,
            headers("no-store", framers=look.checkout.embedders),
        )

    async def proof(
        self, request: Request, invoice_id: str, lang: Lang = "", pay: Token = ""
    ) -> Response:
        """Return what was paid, where to look it up, and how to verify it."""
        look, reading = await self._read(request, invoice_id, lang, pay)
        return _html(self._pages.proof(look.checkout, reading))

    async def proof_file(self, invoice_id: str) -> Response:
        """Return proofs, checkable against the chain by anybody, of what it was sold in."""
        document = await self._looks.proofs(invoice_id)
        kept = headers("public, max-age=60") | {"Content-Disposition": "attachment"}
        return Response(document, media_type="application/json", headers=kept)

    async def _read(
        self, request: Request, invoice_id: str, lang: str, pay: str
    ) -> tuple[Look, Reading]:
        look = await self._looks.at(invoice_id)
        return look, reading_of(look.checkout, language_of(request, lang), pay)


def checkout_router(
    reader: Reader,
    pages: CheckoutPage,
    *,
    clients: Clients = NO_PROXIES,
    bounds: StreamBounds = STREAM_BOUNDS,
    fresh_seconds: float = FRESH_SECONDS,
    now: Callable[[], float] = time.monotonic,
    now_s: Callable[[], int] = lambda: time.time_ns() // 10**9,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    requote: Callable[[str], str] | None = None,
) -> APIRouter:
    """Return the routes of the hosted page.

    In a sandbox the page has a button that posts to ``/sandbox/pay/{invoice_id}``. ``clients`` tell
    whose stream it is. ``requote`` makes a new price of an invoice that has expired, by its id,
    and returns the id to pay by; it refuses by raising ``Rejection``.
    """
    looks = Looks(reader, pages, fresh_seconds, now)
    routes = _Routes(looks, pages, Streams(bounds), clients, now_s, entropy, requote)
    router = APIRouter(prefix="/checkout", include_in_schema=False)
    router.get("/assets/{name}")(routes.asset)
    router.get("/{invoice_id}")(routes.page)
    router.get("/{invoice_id}/state")(routes.state)
    router.get("/{invoice_id}/events")(routes.events)
    router.get("/{invoice_id}/wallet")(routes.wallet)
    router.get("/{invoice_id}/code.svg")(routes.code)
    router.post("/{invoice_id}/new-price")(routes.new_price)
    router.get("/{invoice_id}/proof")(routes.proof)
    router.get("/{invoice_id}/proof.json")(routes.proof_file)
    return router


def new_prices_of(merchants: Merchants) -> Callable[[str], str]:
    """Return what gives an expired invoice a new price, by its id, and returns that; refuses by
    raising."""

    return lambda invoice_id: accepted(merchants.requote(invoice_id)).id


def framed_in(embed: str, embedders: Sequence[str]) -> str:
    """Return what keeps a page in the frame of the shop's site that it was asked for in."""
    return f"&embed={quote(embed)}" if embed in embedders else ""


def _html(page: str, embedders: Sequence[str] = ()) -> Response:
    kept = headers("no-store", may_post=True, framers=embedders)
    return Response(page, media_type="text/html", headers=kept | VARIES)
