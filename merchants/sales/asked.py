"""What does a shop ask for, and how much stablecoin is that?

A price may be in the store's stablecoin, in any currency for which there are rates, or in any token
that has a market with the stablecoin: then it is what so much of the token sells for now.
"""

import re
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, Outcome
from merchants.records.amounts import decimal_of_pips, pips_of_decimal
from merchants.records.currencies import EXPONENTS
from merchants.records.rejection import Rejection
from merchants.records.tables import Invoice
from merchants.sales.rates import NoRate, Rates
from merchants.sales.reference_prices import NoPrice, Prices
from settlement.orders.catalog import Catalog, Market, Token
from settlement.protocol.eip712 import keccak256

REDIRECT: Final = re.compile(r"(https?://[!-~]+)?")
"""Where a page of ours may lead: a link to anything else may run as a script of ours."""

REDIRECT_CHARS_MAX: Final = 2048


class InvoiceRequest(NamedTuple):
    """What a shop asks for. ``amount`` is a decimal string in ``currency``, which is the store's
    stablecoin if it is empty; ``tokens`` are symbols, none for all that the store accepts.
    ``metadata`` is a JSON object. ``unique_order`` is whether another invoice of this order refuses
    this one; None for what the store has said."""

    amount: str
    currency: str = ""
    tokens: tuple[str, ...] = ()
    order_id: str = ""
    metadata: str = "{}"
    redirect_url: str = ""
    unique_order: bool | None = None


class Asked(NamedTuple):
    """A price of ``pips`` stablecoin. ``rate`` is what one of its currency is worth, by ``source``
    at ``as_of_s``; all three are empty where the currency is the stablecoin."""

    pips: int
    currency: str
    rate: str = ""
    source: str = ""
    as_of_s: int = 0


class Sources(NamedTuple):
    """Who knows what anything is worth in a stablecoin."""

    catalog: Catalog
    prices: Prices
    rates: Rates


def why_malformed(request: InvoiceRequest) -> Rejection | None:
    """Return why there is no invoice with what ``request`` says besides its price: whichever door
    it came through, pages show it and webhooks carry it."""
    url = request.redirect_url
    if len(url) > REDIRECT_CHARS_MAX or not REDIRECT.fullmatch(url):
        why = "a customer goes back to an http or https URL"
        return Rejection(Outcome.MALFORMED, {"redirect_url": url[:REDIRECT_CHARS_MAX], "why": why})
    if object_of(request.metadata) is None:
        why = "it is no JSON object that everybody can read"
        return Rejection(Outcome.MALFORMED, {"metadata": "", "why": why})
    return None


def object_of(text: str) -> dict[str, Any] | None:
    """Return the JSON object that ``text`` is; None for none, or one with what most readers of JSON
    break at: a number that no float holds, an endless one, nesting without end."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def asked_of(
    request: InvoiceRequest, settle: Token, sources: Sources, now_ns: int
) -> Asked | Rejection:
    """Return how much stablecoin ``request`` is about. Rejects MALFORMED for no amount and for an
    unknown currency, NO_QUOTE where the currency has no price now."""
    pips = pips_of_decimal(request.amount)
    if pips is None or pips == 0:
        return Rejection(Outcome.MALFORMED, {"amount": request.amount})
    currency = request.currency or settle.symbol
    if currency == settle.symbol:
        return Asked(pips, currency)
    if currency in EXPONENTS:
        return _by_rate(request.amount, pips, currency, settle, sources.rates, now_ns)
    token = sources.catalog.token(currency)
    market = token and sources.catalog.market_of_pair(token.address, settle.address)
    if market is None:
        return Rejection(Outcome.MALFORMED, {"currency": currency, "why": "it has no price here"})
    return _by_book(pips, market, sources.prices, now_ns)


def _by_rate(
    amount: str, pips: int, currency: str, settle: Token, rates: Rates, now_ns: int
) -> Asked | Rejection:
    minor_units, finer = divmod(pips * 10 ** EXPONENTS[currency], PIPS_PER_TOKEN)
    if finer:
        return Rejection(Outcome.MALFORMED, {"amount": amount, "currency": currency})
    rate = rates.rate(currency, settle.symbol, now_ns)
    if isinstance(rate, NoRate):
        return Rejection(Outcome.NO_QUOTE, {"currency": currency, "why": rate})
    worth = rate.pips_of(minor_units)
    if worth is None:
        return Rejection(Outcome.MALFORMED, {"amount": amount, "currency": currency})
    return Asked(worth, currency, rate.rate, rate.source, rate.as_of_s)


def _by_book(pips: int, market: Market, prices: Prices, now_ns: int) -> Asked | Rejection:
    currency = market.base.symbol
    quote = prices.worth(market, pips, now_ns)
    if isinstance(quote, NoPrice):
        return Rejection(Outcome.NO_QUOTE, {"currency": currency, "why": quote})
    if not 0 < quote.proceeds_pips <= MONEY_MAX:
        return Rejection(Outcome.NO_QUOTE, {"currency": currency, "why": NoPrice.SHALLOW})
    rate = decimal_of_pips(quote.rate_pips())
    return Asked(quote.proceeds_pips, currency, rate, market.symbol, now_ns // 10**9)


def why_taken(
    session: Session, store_id: str, request: InvoiceRequest, *, is_unique: bool
) -> Rejection | None:
    """Return why this order may have no invoice more; None if it may. The store's orders are unique
    where it ``is_unique`` and the request does not say otherwise."""
    unique = request.unique_order
    if unique and not request.order_id:
        return Rejection(Outcome.MALFORMED, {"order_id": "", "why": "there is none"})
    if not request.order_id or not (is_unique if unique is None else unique):
        return None
    first = session.scalar(
        select(Invoice.id)
        .where(Invoice.store_id == store_id, Invoice.order_id == request.order_id)
        .order_by(Invoice.created_ns, Invoice.id)
        .limit(1)
    )
    if first is None:
        return None
    figures = {"order_id": request.order_id, "invoice": first}
    return Rejection(Outcome.IDEMPOTENCY_CONFLICT, figures)


def parameters_hash(request: InvoiceRequest) -> bytes:
    """Return what two requests under one Idempotency-Key must have in common."""
    return keccak256(msgspec.json.encode(request))
