"""How does a shop sell from a link: a button with a price on it, a till for a clerk?

A button's page works without scripts and may be posted to by a form on the shop's own site; what it
costs is the shop's word alone. Whoever presses is charged by address and button: each press is an
invoice, which is watched for a month. The till's page holds nothing: its key is in a clerk's link.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from engine.types import Outcome
from gateway.api.v1.shop_doors import accepted
from gateway.api.v1.shop_points import sale_of
from gateway.http.clients import Clients
from gateway.pages.checkout import Embed, framed_in
from gateway.pages.checkout_view import CheckoutPage, Reading, language_links
from gateway.pages.headers import headers
from gateway.pages.languages import Language, chosen, language
from gateway.pages.render import Html, fill
from gateway.trading.budgets import PressBudgets, PressLimits
from gateway.trading.rejection import Rejection
from merchants.documents.checkout import Money
from merchants.service import Merchants
from merchants.stores.pay_buttons import ButtonShown

FOLDER: Final = Path(__file__).parent / "pos"
TYPES: Final = {"pos.css": "text/css", "till.js": "text/javascript"}
BUTTON_SCRIPT: Final = "pay.js"
HEADERS: Final = headers("no-store", may_post=True) | {"Vary": "Accept-Language"}
ID_CHARS_MAX: Final = 64
PRESS_BUDGETS: Final = PressBudgets()

Lang = Annotated[str, Query(max_length=16)]


class PointPages:
    """Draws the pages."""

    def __init__(self, checkout_assets: str) -> None:
        """``checkout_assets`` is the version of the checkout's style, which is ours too."""
        self._checkout_assets = checkout_assets
        self._templates = cache(_templates)
        self.assets = {name: (FOLDER / name).read_bytes() for name in TYPES}
        self.button_script = (FOLDER / BUTTON_SCRIPT).read_bytes()
        self._version = sha256(b"".join(self.assets.values())).hexdigest()[:12]

    def pay(self, shown: ButtonShown, lang: Language) -> str:
        """Return a button's page."""
        button = shown.button
        price = lang.sum(Money(button.amount, button.currency, is_price=True))
        pay = lang.say("pay_amount", amount=Money(button.amount, button.currency, is_price=True))
        main = self._fill(
            lang,
            "pay",
            shop=shown.shop or lang.say("checkout"),
            name=button.name,
            price=price,
            pay=pay,
        )
        if not shown.embedders:
            return self._shell(button.name, main, lang, Html(""))
        src = f"/checkout/assets/embed.js?v={self._checkout_assets}"
        scripts = Html(f"<script type='module' src='{src}'></script>")
        return self._shell(button.name, main, lang, scripts, " ".join(shown.embedders))

    def till(self, lang: Language) -> str:
        """Return the till's page."""
        src = f"/pos/assets/till.js?v={self._version}"
        scripts = Html(f"<script type='module' src='{src}'></script>")
        return self._shell(lang.say("till_title"), self._fill(lang, "till"), lang, scripts)

    def _shell(
        self, title: str, main: Html, lang: Language, scripts: Html, embedders: str = ""
    ) -> str:
        return self._fill(
            lang,
            "shell",
            lang_code=lang.code,
            direction=lang.direction,
            title=title,
            assets=self._checkout_assets,
            own_assets=self._version,
            scripts=scripts,
            embedders=embedders,
            main=main,
            languages=language_links(Reading(lang)),
        )

    def _fill(self, lang: Language, template: str, **values: str) -> Html:
        return fill(self._templates(lang.code)[template], **values)


class _Routes:
    """The routes of buttons and till."""

    def __init__(
        self, merchants: Merchants, pages: PointPages, clients: Clients, limits: PressLimits
    ) -> None:
        self._merchants = merchants
        self._pages = pages
        self._clients = clients
        self._limits = limits

    async def asset(self, name: str) -> Response:
        """Return the style sheet or the till's module."""
        if name not in TYPES:
            raise Rejection(Outcome.NOT_FOUND)
        kept = headers("public, max-age=31536000, immutable", may_post=True)
        return Response(self._pages.assets[name], media_type=TYPES[name], headers=kept)

    async def till(self, request: Request, lang: Lang = "") -> Response:
        """Return the till; it is the same for all shops."""
        shown = self._pages.till(_language(request, lang))
        return Response(shown, media_type="text/html", headers=HEADERS)

    async def button(
        self, request: Request, store_id: str, button_id: str, lang: Lang = ""
    ) -> Response:
        """Return what is sold, at what price."""
        shown = await self._shown(store_id, button_id)
        page = self._pages.pay(shown, _language(request, lang))
        kept = headers("no-store", may_post=True, framers=shown.embedders)
        return Response(page, media_type="text/html", headers=kept | {"Vary": "Accept-Language"})

    async def script(self) -> Response:
        """Return what opens a button's page over a shop's own; it is the same for all shops."""
        return Response(
            self._pages.button_script,
            media_type="text/javascript",
            headers=headers("public, max-age=3600"),
        )

    async def press(
        self,
        request: Request,
        store_id: str,
        button_id: str,
        lang: Lang = "",
        embed: Embed = "",
    ) -> Response:
        """Make an invoice of the button, and go to its checkout."""
        shown = await self._shown(store_id, button_id)
        self._limits.press(self._clients.of(request), button_id)
        button = shown.button
        sale = sale_of(
            button.amount,
            button.currency,
            tuple(button.tokens.split()),
            button.name,
            button.redirect_url,
        )
        made = accepted(self._merchants.create_invoice(store_id, sale, is_pressed=True)).invoice
        code = _language(request, lang).code
        framed = framed_in(embed, shown.embedders)
        return RedirectResponse(
            f"/checkout/{made.id}?lang={code}{framed}",
            303,
            headers("no-store", framers=shown.embedders),
        )

    async def _shown(self, store_id: str, button_id: str) -> ButtonShown:
        is_long = max(len(store_id), len(button_id)) > ID_CHARS_MAX
        find = self._merchants.stores.pay_buttons.shown
        shown = None if is_long else await asyncio.to_thread(find, store_id, button_id)
        if shown is None:
            raise Rejection(Outcome.NOT_FOUND, "There is nothing for sale here.")
        return shown


def pos_router(
    merchants: Merchants,
    checkout: CheckoutPage,
    clients: Clients,
    *,
    budgets: PressBudgets = PRESS_BUDGETS,
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> APIRouter:
    """Return the routes of pay buttons and of the till; ``checkout`` is whose style they wear."""
    pages = PointPages(checkout.assets_version)
    routes = _Routes(merchants, pages, clients, PressLimits(budgets, now_ns))
    router = APIRouter(include_in_schema=False)
    router.get("/pos")(routes.till)
    router.get("/pos/assets/{name}")(routes.asset)
    router.get("/pay.js")(routes.script)
    router.get("/pay/{store_id}/{button_id}")(routes.button)
    router.post("/pay/{store_id}/{button_id}")(routes.press)
    return router


def _language(request: Request, lang: str) -> Language:
    return chosen(lang, request.headers.get("accept-language", ""))


def _templates(code: str) -> Mapping[str, Template]:
    worded = language(code).worded
    return {path.stem: worded(path.read_text("utf-8")) for path in FOLDER.glob("*.html")}
