"""How does a customer see an invoice in a browser, with scripts and without?

The server renders every word and the QR. ``/state`` gives the same rendering as JSON to one small
module that swaps it in when it changed; without scripts the page reloads itself. A page asks every
second or two and there may be many: what an invoice shows is looked up and drawn at most once in
``FRESH_SECONDS``, and a page that has it already is told so (304) instead of having it again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

import msgspec
import segno
from fastapi import APIRouter, Request, Response

from engine.types import Outcome
from gateway.pages.headers import headers
from gateway.pages.render import Html, escape, fill
from gateway.trading.rejection import Rejection
from merchants.documents.checkout import ENDED, TRADES_SHOWN, Checkout, Phase
from merchants.documents.native import ConversionDocument, FillDocument, InvoiceDocument
from merchants.documents.reader import Reader

PAGES: Final = Path(__file__).parent / "checkout"
ASK_AGAIN_MS: Final = 1500
FRESH_SECONDS: Final = 0.5
LOOKS_KEPT: Final = 1_000
QR_CODES_KEPT: Final = 1_000

PAYABLE: Final = (Phase.WAITING, Phase.PARTIAL)
"""While the page shows an address to pay to."""

HEADERS: Final = headers("no-store", may_post=True)

ROAD: Final = ("Pay", "Seen", "Received", "Settled")
"""The customer's four steps; ``_STEP`` says which one a phase is at."""

_STEP: Final[Mapping[Phase, int]] = {
    Phase.WAITING: 0,
    Phase.PARTIAL: 0,
    Phase.EXPIRED: 0,
    Phase.SEEN: 1,
    Phase.INVALID: 1,
    Phase.CONVERTING: 3,
    Phase.SETTLED: 4,
}


class _State(msgspec.Struct, frozen=True):
    """What the page's module asks for. ``ask_again_ms`` is 0 when nothing more will happen."""

    phase: Phase
    version: str
    title: str
    announcement: str
    ask_again_ms: int
    main: str


class _Look(NamedTuple):
    """What an invoice showed when it was last looked at; good until ``stale_at``."""

    stale_at: float
    checkout: Checkout
    state: bytes
    etag: str


class CheckoutPage:
    """Renders checkouts. ``network`` is the chain's name as customers know it."""

    def __init__(self, network: str, *, sandbox: bool) -> None:
        self._network = network
        self._sandbox = sandbox
        self._templates = {path.stem: Template(path.read_text()) for path in PAGES.glob("*.html")}
        self.assets = {
            path.name: path.read_bytes() for path in PAGES.iterdir() if path.suffix != ".html"
        }
        self._assets_version = sha256(b"".join(self.assets.values())).hexdigest()[:12]

    def page(self, checkout: Checkout) -> str:
        """Return the whole page."""
        ribbon = "<p class='ribbon'>Test mode: nothing here is worth real money.</p>"
        return self._fill(
            "shell",
            title=_title(checkout),
            assets=self._assets_version,
            invoice_id=checkout.invoice.id,
            ribbon=Html(ribbon if self._sandbox else ""),
            main=self.main(checkout),
        )

    def main(self, checkout: Checkout) -> Html:
        """Return the part of the page that changes."""
        invoice = checkout.invoice
        return self._fill(
            "main",
            shop=checkout.shop or "Checkout",
            amount_usd=_dollars(invoice.amount_usd),
            order=f"Order {invoice.order_id}" if invoice.order_id else "",
            road=_road(checkout.phase),
            phase=checkout.phase,
            headline=checkout.headline,
            sentence=checkout.sentence,
            body=self._body(checkout),
        )

    def _body(self, checkout: Checkout) -> Html:
        invoice = checkout.invoice
        match checkout.phase:
            case Phase.WAITING | Phase.PARTIAL:
                return self._pay(invoice, checkout.phase)
            case Phase.SEEN:
                return self._fill(
                    "seen",
                    confirmations=str(checkout.confirmations),
                    required=str(checkout.confirmations_required),
                    received=invoice.received,
                    token=invoice.token,
                    transfers=_rows(
                        ("Transaction", _code(payment.tx_hash)) for payment in invoice.payments[:5]
                    ),
                )
            case Phase.CONVERTING | Phase.SETTLED:
                return self._receipt(checkout)
            case Phase.EXPIRED | Phase.INVALID:
                return self._fill(
                    "expired",
                    amount=invoice.amount_due,
                    received=invoice.received,
                    token=invoice.token,
                    back=_back(invoice),
                )

    def _pay(self, invoice: InvoiceDocument, phase: Phase) -> Html:
        deadline = datetime.fromtimestamp(invoice.expires_at, UTC)
        form = (
            f"<form class='sandbox' method='post' action='/sandbox/pay/{invoice.id}'>"
            "<button class='button' id='sandbox-pay'>Pay from the demo wallet</button></form>"
        )
        address = invoice.deposit_address
        groups = [address[:6], *(address[i : i + 4] for i in range(6, len(address), 4))]
        return self._fill(
            "pay",
            qr=_qr(address),
            amount=invoice.remaining if phase is Phase.PARTIAL else invoice.amount_due,
            token=invoice.token,
            network=self._network,
            address=address,
            address_groups=Html("".join(f"<span>{group}</span>" for group in groups)),
            rate=_dollars(invoice.rate),
            deadline=str(invoice.expires_at),
            deadline_iso=deadline.isoformat(),
            deadline_text=deadline.strftime("%H:%M UTC"),
            sandbox=Html(form if self._sandbox else ""),
        )

    def _receipt(self, checkout: Checkout) -> Html:
        invoice = checkout.invoice
        lines = [_rows(_sale(conversion)) for conversion in invoice.conversions]
        if invoice.conversions and checkout.phase is Phase.SETTLED:
            lines.append(_row("Shop received", escape(f"${_dollars(invoice.net)}"), "net"))
        return self._fill(
            "receipt",
            received=invoice.received,
            token=invoice.token,
            conversion=Html("".join(lines)),
            fills=_fills([fill for sale in invoice.conversions for fill in sale.fills]),
            back=_back(invoice),
        )

    def state(self, checkout: Checkout) -> bytes:
        """Return the JSON for the page's module."""
        main = self.main(checkout)
        state = _State(
            phase=checkout.phase,
            version=sha256(main.encode()).hexdigest()[:16],
            title=_title(checkout),
            announcement=f"{checkout.headline}. {checkout.sentence}",
            ask_again_ms=0 if checkout.phase in ENDED else ASK_AGAIN_MS,
            main=str(main),  # msgspec takes no subclass of str
        )
        return msgspec.json.encode(state)

    def _fill(self, template: str, **values: str) -> Html:
        return fill(self._templates[template], **values)


class _Looks:
    """The last looks at invoices. ``now`` is a monotonic clock in seconds."""

    def __init__(
        self, reader: Reader, pages: CheckoutPage, fresh: float, now: Callable[[], float]
    ) -> None:
        self._reader = reader
        self._pages = pages
        self._fresh = fresh
        self._now = now
        self._looks: dict[str, _Look] = {}

    async def at(self, invoice_id: str) -> _Look:
        """Return what an invoice shows; refused when there is none."""
        known = self._looks.get(invoice_id)
        if known is None or self._now() >= known.stale_at:
            checkout = self._reader.checkout(invoice_id)
            if checkout is None:
                raise Rejection(Outcome.NOT_FOUND, "There is no such invoice.")
            if checkout.phase in PAYABLE:
                # Ten milliseconds for a new address: on another thread, and kept.
                await asyncio.to_thread(_qr, checkout.invoice.deposit_address)
            state = self._pages.state(checkout)
            etag = f'"{sha256(state).hexdigest()[:16]}"'
            known = _Look(self._now() + self._fresh, checkout, state, etag)
        self._looks.pop(invoice_id, None)
        if len(self._looks) >= LOOKS_KEPT:
            del self._looks[next(iter(self._looks))]
        self._looks[invoice_id] = known
        return known


def checkout_router(
    reader: Reader,
    network: str,
    *,
    sandbox: bool,
    fresh_seconds: float = FRESH_SECONDS,
    now: Callable[[], float] = time.monotonic,
) -> APIRouter:
    """Return the routes of the hosted page. ``network`` is the chain's name as people know it.

    In a ``sandbox`` the page has a button that posts to ``/sandbox/pay/{invoice_id}``.
    """
    router = APIRouter(prefix="/checkout", include_in_schema=False)
    pages = CheckoutPage(network, sandbox=sandbox)
    looks = _Looks(reader, pages, fresh_seconds, now)

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        """Return the style sheet or the module; their addresses carry their version."""
        if name not in pages.assets:
            raise Rejection(Outcome.NOT_FOUND)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        kept = headers("public, max-age=31536000, immutable", may_post=True)
        return Response(pages.assets[name], media_type=kind, headers=kept)

    @router.get("/{invoice_id}")
    async def page(invoice_id: str) -> Response:
        """Return the page."""
        shown = pages.page((await looks.at(invoice_id)).checkout)
        return Response(shown, media_type="text/html", headers=HEADERS)

    @router.get("/{invoice_id}/state")
    async def state(invoice_id: str, request: Request) -> Response:
        """Return what the page shows now, or that it is what the asker has."""
        look = await looks.at(invoice_id)
        sent = headers("private, no-cache", may_post=True) | {"ETag": look.etag}
        if request.headers.get("if-none-match") == look.etag:
            return Response(status_code=304, headers=sent)
        return Response(look.state, media_type="application/json", headers=sent)

    return router


def _dollars(amount: str) -> str:
    """Return an amount with at least the two places that people expect of money."""
    whole, _, cents = amount.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"


def _title(checkout: Checkout) -> str:
    shop = f" · {checkout.shop}" if checkout.shop else ""
    return f"{checkout.headline}{shop}"


def _road(phase: Phase) -> Html:
    at = _STEP[phase]
    words = ["done"] * at + ["now"] + [""] * len(ROAD)
    steps = (
        f"<li class='{word}'{' aria-current=step' if word == 'now' else ''}>{step}</li>"
        for step, word in zip(ROAD, words, strict=False)
    )
    return Html("".join(steps))


@lru_cache(QR_CODES_KEPT)
def _qr(address: str) -> Html:
    """Return the plain address as SVG: every wallet and exchange app understands that much."""
    code = segno.make(address, error="m", micro=False)
    return Html(code.svg_inline(scale=4, border=3, omitsize=True, dark="#000", light="#fff"))


def _code(text: str) -> Html:
    return Html(f"<code>{escape(text)}</code>")


def _row(term: str, shown: Html, kind: str = "") -> Html:
    return Html(f"<div class='{kind}'><dt>{escape(term)}</dt><dd>{shown}</dd></div>")


def _rows(pairs: Iterable[tuple[str, Html]]) -> Html:
    return Html("".join(_row(term, shown) for term, shown in pairs))


def _sale(conversion: ConversionDocument) -> list[tuple[str, Html]]:
    base, _, quote = conversion.market.partition("-")
    lines = [
        ("Sold", f"{conversion.sold} {base} for {conversion.proceeds} {quote}"),
        ("Exchange fee", f"{conversion.fee} {quote}"),
    ]
    if conversion.unsold != "0":
        lines.append(("Not sold yet", f"{conversion.unsold} {base}"))
    hashes = sorted({(f.batch, f.tx_hash) for f in conversion.fills if f.batch and f.tx_hash})
    shown = [(term, escape(text)) for term, text in lines]
    return shown + [
        (f"Settled on chain in batch {batch}", _code(tx_hash or "")) for batch, tx_hash in hashes
    ]


def _fills(fills: list[FillDocument]) -> Html:
    if not fills:
        return Html("")
    rows = "".join(
        f"<tr><td>{fill.trade_id}</td><td>{fill.amount}</td><td>{fill.price}</td>"
        f"<td>{fill.proceeds}</td><td>{fill.status}</td></tr>"
        for fill in fills[:TRADES_SHOWN]
    )
    more = f", the first {TRADES_SHOWN}" if len(fills) > TRADES_SHOWN else ""
    return Html(
        f"<div class='table'><table><caption>Trades of this sale{more}</caption><thead><tr>"
        "<th scope='col'>Trade</th><th scope='col'>Amount</th><th scope='col'>Price</th>"
        "<th scope='col'>Proceeds</th><th scope='col'>State</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _back(invoice: InvoiceDocument) -> Html:
    if not invoice.redirect_url:
        return Html("")
    url = escape(invoice.redirect_url)
    return Html(f"<p class='back'><a class='button' href='{url}'>Return to the shop</a></p>")
