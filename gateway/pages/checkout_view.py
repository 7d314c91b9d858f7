"""How does a checkout look in one language?

The server renders every word and the QR; a module of ours swaps in what changed. Nothing here
reads rows or waits: a ``Checkout`` goes in, HTML comes out.
"""

import gzip
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec
import segno

from gateway.pages.assets import Asset
from gateway.pages.languages import HABITS, Language, language
from gateway.pages.render import Html, escape, fill
from merchants.documents.checkout import ENDED, PAYABLE, Checkout, Money, Offer, Phase
from merchants.documents.native import InvoiceDocument, PaymentDocument
from settlement.protocol.payer_roads import (
    PLAIN,
    Bill,
    Fresh,
    Steps,
    TokenRoads,
    Vault,
    roads_of,
)

PAGES: Final = Path(__file__).parent / "checkout"
TYPES: Final = {".css": "text/css", ".js": "text/javascript"}
ASK_AGAIN_MS: Final = 1500
QR_CODES_KEPT: Final = 1_000
TRANSFERS_SHOWN: Final = 5

NO_ROADS: Final[Mapping[bytes, TokenRoads]] = MappingProxyType({})

ROAD: Final = ("step_pay", "step_seen", "step_received", "step_settled")
"""The customer's four steps; ``_STEP`` says which one a phase is at."""

WALLET_WORDS: Final = (
    "wallet_pay",
    "wallet_with",
    "wallet_how",
    "wallet_go",
    "wallet_asks",
    "wallet_switch",
    "wallet_sent",
    "wallet_declined",
    "wallet_elsewhere",
    "wallet_failed",
    "wallet_form",
    "road_transfer",
    "road_permit",
    "road_authorization",
    "road_permit2",
    "road_approve",
)

_STEP: Final[Mapping[Phase, int]] = {
    Phase.WAITING: 0,
    Phase.PARTIAL: 0,
    Phase.EXPIRED: 0,
    Phase.LATE: 1,
    Phase.SHORT: 1,
    Phase.RETURNED: 1,
    Phase.SEEN: 1,
    Phase.INVALID: 1,
    Phase.REVERSED: 1,
    Phase.CONVERTING: 3,
    Phase.UNSOLD: 3,
    Phase.SETTLED: 4,
}


class PageFacts(NamedTuple):
    """What all checkouts of a venue have in common. ``network`` is the chain's name as customers
    know it; a transaction's hash is put behind ``explorer_url``."""

    network: str
    sandbox: bool = False
    explorer_url: str = ""
    vault: Vault | None = None
    """Where wallets are led to; None: nobody is asked by a page of ours."""
    token_roads: Mapping[bytes, TokenRoads] = NO_ROADS
    """What tokens can do beside ERC-20, by their addresses."""
    claim_key: Callable[[str], str] | None = None
    """The secret of a refund's claim link; None: no links are drawn."""
    new_prices: bool = False
    """Whether a customer may ask for a new price of what has expired."""


class Reading(NamedTuple):
    """How somebody reads a checkout: his language, and the token he wants to pay in, if any."""

    language: Language
    token: str = ""

    @property
    def query(self) -> str:
        """Return what asks for the same again."""
        token = f"&pay={quote(self.token)}" if self.token else ""
        return f"lang={self.language.code}{token}"


class _State(msgspec.Struct, frozen=True):
    """What the page's module asks for. ``ask_again_ms`` is 0 when nothing more will happen."""

    phase: Phase
    version: str
    title: str
    announcement: str
    ask_again_ms: int
    main: str


class _WalletSteps(msgspec.Struct, frozen=True):
    """What a page asks of a wallet. ``rpc`` is where a sandbox's chain is, for wallets that do not
    know it; of any other chain they know better than we where its nodes are."""

    chain_id: str
    network: str
    rpc: str
    token: str
    amount: str
    roads: list[Steps]


class CheckoutPage:
    """Renders checkouts."""

    def __init__(self, facts: PageFacts) -> None:
        self._facts = facts
        self._templates = cache(_templates)
        self.assets = {
            path.name: Asset(
                TYPES[path.suffix], path.read_bytes(), gzip.compress(path.read_bytes(), mtime=0)
            )
            for path in sorted(PAGES.iterdir())
            if path.suffix in TYPES
        }
        plain = b"".join(asset.plain for asset in self.assets.values())
        self.assets_version = sha256(plain).hexdigest()[:12]

    def page(self, checkout: Checkout, reading: Reading) -> str:
        """Return the whole page."""
        main, title = self.main(checkout, reading), _title(checkout, reading.language)
        names = ["checkout.js"] + ["wallet.js"] * (self._facts.vault is not None)
        names += ["embed.js"] * bool(checkout.embedders)
        version = self.assets_version
        modules = "\n".join(
            f"<script type='module' src='/checkout/assets/{name}?v={version}'></script>"
            for name in names
        )
        live = f"{modules}\n<noscript><meta http-equiv='refresh' content='10'></noscript>"
        embedders = " ".join(checkout.embedders)
        return self._shell(checkout.invoice.id, title, main, reading, Html(live), embedders)

    def proof(self, checkout: Checkout, reading: Reading) -> str:
        """Return the page that says what was paid and how anybody may verify it."""
        invoice, lang = checkout.invoice, reading.language
        rows = self.transfers(invoice.payments, lang)
        batches = sorted({f.batch for c in invoice.conversions for f in c.fills if f.batch})
        names = ", ".join(lang.say("batch", batch=str(batch)) for batch in batches)
        link = (
            f"<p>{escape(names)}</p><p><a class='button' download href='/checkout/{invoice.id}"
            f"/proof.json'>{escape(lang.say('proof_file'))}</a></p>"
        )
        none = f"<p class='quiet'>{escape(lang.say('proof_none'))}</p>"
        main = self._fill(
            lang,
            "proof",
            transfers=Html(f"<dl>{rows}</dl>" if rows else ""),
            file=Html(link if batches else none),
            back_url=f"/checkout/{invoice.id}?{reading.query}",
        )
        return self._shell(invoice.id, lang.say("proof_title"), main, reading, Html(""))

    def _shell(
        self,
        invoice_id: str,
        title: str,
        main: Html,
        reading: Reading,
        scripts: Html,
        embedders: str = "",
    ) -> str:
        """Return a page around its main part."""
        lang = reading.language
        ribbon = f"<header class='ribbon'><p>{escape(lang.say('test_mode'))}</p></header>"
        return self._fill(
            lang,
            "shell",
            lang_code=lang.code,
            direction=lang.direction,
            title=title,
            assets=self.assets_version,
            invoice_id=invoice_id,
            query=reading.query,
            scripts=scripts,
            embedders=embedders,
            ribbon=Html(ribbon if self._facts.sandbox else ""),
            main=main,
            languages=language_links(reading),
        )

    def main(self, checkout: Checkout, reading: Reading) -> Html:
        """Return the part of the page that changes."""
        invoice, lang = checkout.invoice, reading.language
        said = (f"<p class='sentence'>{escape(text)}</p>" for text in _sentences(checkout, reading))
        return self._fill(
            lang,
            "main",
            shop=checkout.shop or lang.say("checkout"),
            price=lang.sum(checkout.price),
            order=lang.say("order", order=invoice.order_id) if invoice.order_id else "",
            road=_road(checkout.phase, lang),
            phase=checkout.phase,
            headline=lang.say(f"headline_{checkout.phase}"),
            sentences=Html("".join(said)),
            claims=self._claims(checkout, lang),
            body=self._body(checkout, reading),
        )

    def _body(self, checkout: Checkout, reading: Reading) -> Html:
        invoice, lang = checkout.invoice, reading.language
        received = lang.listed(checkout.received)
        transfers = self.transfers(invoice.payments[:TRANSFERS_SHOWN], lang)
        match checkout.phase:
            case Phase.WAITING | Phase.PARTIAL:
                return self._pay(checkout, reading)
            case Phase.SEEN:
                count, required = checkout.confirmations, checkout.confirmations_required
                return self._fill(
                    lang,
                    "seen",
                    confirmations=str(count),
                    required=str(required),
                    confirmed=lang.say(
                        "confirmations_of", count=str(count), required=str(required)
                    ),
                    received=received,
                    transfers=transfers,
                )
            case Phase.CONVERTING | Phase.UNSOLD | Phase.SETTLED:
                return self._fill(
                    lang,
                    "paid",
                    received=received,
                    transfers=transfers,
                    proof_url=f"/checkout/{invoice.id}/proof?{reading.query}",
                    back=_back(invoice, lang),
                )
            case _:  # It did not pay, or does not any more.
                return self._fill(
                    lang,
                    "expired",
                    due=lang.sum(checkout.price),
                    received=received,
                    transfers=transfers,
                    new_price=self._new_price(checkout, reading),
                    back=_back(invoice, lang),
                )

    def _claims(self, checkout: Checkout, lang: Language) -> Html:
        """Return the links by which a customer says where his money goes back to."""
        claim_key = self._facts.claim_key
        if claim_key is None:
            return Html("")
        links = []
        for refund in checkout.claimable:
            url = f"/claim/{refund.id}?key={quote(claim_key(refund.id))}"
            text = lang.say("say_claim", amount=Money(refund.amount, refund.token))
            links.append(
                f"<p class='sentence'>{escape(text)}</p><p class='back'>"
                f"<a class='button' href='{escape(url)}'>{escape(lang.say('claim'))}</a></p>"
            )
        return Html("".join(links))

    def _new_price(self, checkout: Checkout, reading: Reading) -> Html:
        """Return a form that asks for a new price; it works without scripts."""
        lang = reading.language
        anew = self._facts.new_prices and not checkout.is_closed
        if not anew or checkout.phase is not Phase.EXPIRED:
            return Html("")
        action = escape(f"/checkout/{checkout.invoice.id}/new-price?{reading.query}")
        return Html(
            f"<form method='post' action='{action}'><p>{escape(lang.say('say_requote'))}</p>"
            f"<button class='button' id='new-price'>{escape(lang.say('new_price'))}</button></form>"
        )

    def _pay(self, checkout: Checkout, reading: Reading) -> Html:
        invoice, lang = checkout.invoice, reading.language
        offer = offer_of(checkout, reading.token)
        money = Money(offer.remaining, offer.token)
        form = (
            f"<form class='sandbox' method='post' action='/sandbox/pay/{invoice.id}'>"
            f"<button class='button' id='sandbox-pay'>{escape(lang.say('demo_pay'))}</button>"
            "</form>"
        )
        address = invoice.deposit_address
        groups = [address[:6], *(address[i : i + 4] for i in range(6, len(address), 4))]
        return self._fill(
            lang,
            "pay",
            choices=self._choices(checkout, reading, offer),
            qr=qr_of(address),
            qr_label=lang.say("qr_label", amount=money, address=address),
            amount=lang.amount(offer.remaining, grouped=False),
            amount_plain=offer.remaining,
            token=offer.token,
            network=self._facts.network,
            address=address,
            address_groups=Html("".join(f"<span>{group}</span>" for group in groups)),
            rate=lang.say("rate_line", token=offer.token, price=offer.rate),
            deadline=str(invoice.expires_at),
            deadline_iso=datetime.fromtimestamp(invoice.expires_at, UTC).isoformat(),
            holds_until=lang.say("holds_until", time=lang.clock(invoice.expires_at)),
            sandbox=Html(form if self._facts.sandbox else ""),
            wallet=self._wallet(lang, offer),
            code=self._code(checkout, reading, offer),
        )

    def _wallet(self, lang: Language, offer: Offer) -> Html:
        """Return where the wallets that a browser has are drawn, with all that is said there."""
        if self._facts.vault is None:
            return Html("")
        words = {key: lang.words[key] for key in WALLET_WORDS}
        told = escape(msgspec.json.encode(words).decode())
        token = escape(offer.token)
        return Html(
            f"<section class='wallet' id='wallet' hidden data-token='{token}' "
            f"data-words='{told}' aria-label='{escape(lang.say('wallet_pay'))}'></section>"
        )

    def _code(self, checkout: Checkout, reading: Reading, offer: Offer) -> Html:
        """Return a payment request for wallets that read one, behind a warning."""
        if self._facts.vault is None:
            return Html("")
        lang, money = reading.language, Money(offer.remaining, offer.token)
        src = escape(f"/checkout/{checkout.invoice.id}/code.svg?pay={quote(offer.token)}")
        return Html(
            f"<details class='code' id='code'><summary>{escape(lang.say('wallet_code'))}</summary>"
            f"<p>{escape(lang.say('wallet_code_warning', amount=money))}</p>"
            f"<img loading='lazy' width='200' height='200' src='{src}' "
            f"alt='{escape(lang.say('wallet_code'))}'></details>"
        )

    def code(self, checkout: Checkout, offer: Offer) -> bytes:
        """Return the payment request (EIP-681) as a picture."""
        assert self._facts.vault is not None, "asked for where it is drawn"
        to, raw = checkout.invoice.deposit_address, offer.remaining_raw
        target = f"{offer.token_address}@{self._facts.vault.chain_id}"
        return _picture(f"ethereum:{target}/transfer?address={to}&uint256={raw}")

    def wallet_steps(self, checkout: Checkout, offer: Offer, payer: bytes, fresh: Fresh) -> bytes:
        """Return what a wallet is asked on each road, as JSON."""
        vault, invoice = self._facts.vault, checkout.invoice
        assert vault is not None, "asked for where it is drawn"
        token = _octets(offer.token_address)
        bill = Bill(
            token=token,
            raw=offer.remaining_raw,
            address=_octets(invoice.deposit_address),
            account=_octets(checkout.account),
            ref=_octets(invoice.ref),
        )
        known = self._facts.token_roads.get(token, PLAIN)
        document = _WalletSteps(
            chain_id=hex(vault.chain_id),
            network=self._facts.network,
            rpc="/sandbox/rpc" if self._facts.sandbox else "",
            token=offer.token,
            amount=offer.remaining,
            roads=roads_of(vault, bill, payer, known, fresh),
        )
        return msgspec.json.encode(document)

    @property
    def asks_wallets(self) -> bool:
        """Return whether there is anything to ask a wallet for."""
        return self._facts.vault is not None

    def _choices(self, checkout: Checkout, reading: Reading, chosen: Offer) -> Html:
        """Return links to the tokens that an invoice may be paid in; nothing where it is one."""
        lang = reading.language
        if len(checkout.offers) < 2:
            return Html("")
        links = []
        for offer in checkout.offers:
            here = " aria-current='true'" if offer is chosen else ""
            query = escape(reading._replace(token=offer.token).query)
            named = lang.say("choice", network=self._facts.network, token=offer.token)
            amount = lang.sum(Money(offer.remaining, offer.token))
            links.append(
                f"<li><a href='/checkout/{checkout.invoice.id}?{query}'{here}>"
                f"<span>{escape(named)}</span> <b>{escape(amount)}</b></a></li>"
            )
        label = escape(lang.say("choose_token"))
        return Html(f"<nav class='choices' aria-label='{label}'><ul>{''.join(links)}</ul></nav>")

    def transfers(self, payments: Iterable[PaymentDocument], lang: Language) -> Html:
        """Return rows of transfers: how much, how far it is, and where it can be looked up."""
        rows = []
        for payment in payments:
            amount = escape(lang.sum(Money(payment.amount, payment.token)))
            state = escape(lang.say(f"state_{payment.status}"))
            where = self._transaction(payment.tx_hash)
            rows.append(
                f"<div><dt>{escape(lang.say('transaction'))}</dt>"
                f"<dd><bdi>{amount}</bdi>, {state}<br>{where}</dd></div>"
            )
        return Html("".join(rows))

    def _transaction(self, tx_hash: str) -> Html:
        code = f"<code dir='ltr'>{escape(tx_hash)}</code>"
        if not self._facts.explorer_url:
            return Html(code)
        url = escape(self._facts.explorer_url + tx_hash)
        return Html(f"<a href='{url}' rel='noopener noreferrer'>{code}</a>")

    def state(self, checkout: Checkout, reading: Reading) -> bytes:
        """Return the JSON for the page's module."""
        main, lang = self.main(checkout, reading), reading.language
        sentences = " ".join(_sentences(checkout, reading))
        state = _State(
            phase=checkout.phase,
            version=sha256(main.encode()).hexdigest()[:16],
            title=_title(checkout, lang),
            announcement=f"{lang.say(f'headline_{checkout.phase}')}. {sentences}",
            ask_again_ms=0 if checkout.phase in ENDED else ASK_AGAIN_MS,
            main=str(main),  # msgspec takes no subclass of str
        )
        return msgspec.json.encode(state)

    def _fill(self, lang: Language, template: str, **values: str) -> Html:
        return fill(self._templates(lang.code)[template], **values)


def offer_of(checkout: Checkout, token: str) -> Offer:
    """Return the offer of ``token``, or the first where there is none."""
    return next((o for o in checkout.offers if o.token == token), checkout.offers[0])


def reading_of(checkout: Checkout, lang: Language, token: str) -> Reading:
    """Return how somebody reads a checkout who asks for ``token``, which may be anything: what is
    drawn is kept, so nothing made up may stand in it."""
    is_offered = len(checkout.offers) > 1 and any(o.token == token for o in checkout.offers)
    return Reading(lang, token if is_offered and checkout.phase in PAYABLE else "")


@lru_cache(QR_CODES_KEPT)
def qr_of(text: str) -> Html:
    """Return a code as SVG. The plain address every wallet and exchange app understands."""
    code = segno.make(text, error="m", micro=False)
    return Html(code.svg_inline(scale=4, border=3, omitsize=True, dark="#000", light="#fff"))


@lru_cache(QR_CODES_KEPT)
def _picture(text: str) -> bytes:
    picture = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(picture, kind="svg", scale=4, border=3, dark="#000", light="#fff")
    return picture.getvalue()


def _octets(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _templates(code: str) -> Mapping[str, Template]:
    worded = language(code).worded
    return {path.stem: worded(path.read_text("utf-8")) for path in PAGES.glob("*.html")}


def _sentences(checkout: Checkout, reading: Reading) -> list[str]:
    offer = offer_of(checkout, reading.token)
    amount = Money(offer.remaining, offer.token)
    return [reading.language.said(saying, amount) for saying in checkout.sayings]


def _title(checkout: Checkout, lang: Language) -> str:
    shop = f" · {checkout.shop}" if checkout.shop else ""
    return f"{lang.say(f'headline_{checkout.phase}')}{shop}"


def _road(phase: Phase, lang: Language) -> Html:
    at = _STEP[phase]
    words = ["done"] * at + ["now"] + [""] * len(ROAD)
    steps = (
        f"<li class='{word}'{' aria-current=step' if word == 'now' else ''}>"
        f"{escape(lang.say(step))}</li>"
        for step, word in zip(ROAD, words, strict=False)
    )
    return Html("".join(steps))


def language_links(reading: Reading) -> Html:
    """Return links to the same page in each language."""
    links = []
    for code, habits in HABITS.items():
        here = " aria-current='true'" if code == reading.language.code else ""
        query = escape(reading._replace(language=language(code)).query)
        links.append(f"<a href='?{query}' lang='{code}' hreflang='{code}'{here}>{habits.name}</a>")
    return Html(" ".join(links))


def _back(invoice: InvoiceDocument, lang: Language) -> Html:
    if not invoice.redirect_url.startswith(("https://", "http://")):
        return Html("")
    url, text = escape(invoice.redirect_url), escape(lang.say("back_to_shop"))
    return Html(f"<p class='back'><a class='button' href='{url}'>{text}</a></p>")
