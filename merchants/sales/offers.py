"""In which tokens can a shop be paid right now, and how much is due in each?

No option is offered that could not be sold: it needs a price that counts, and a session key that
the wallet has approved, that outlives the invoice, and may still sell so much, not under its floor.
What cannot be offered is left out with its reason. Stablecoin can always be.
"""

from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, Outcome
from merchants.records.amounts import decimal_of_pips, exact_sum, raw_covering, sum_of
from merchants.records.asks import Open, open_asks
from merchants.records.grants import Grant
from merchants.records.options import Option
from merchants.records.others import Other
from merchants.records.pots import in_pot
from merchants.records.rejection import Rejection
from merchants.records.shares import came_pips
from merchants.records.states import ConversionState, InvoiceState
from merchants.records.tables import INVOICE_HAS_OTHERS, Conversion, Invoice, Store
from merchants.sales import pricing
from merchants.sales.pricing import Quote
from merchants.sales.reference_prices import NoPrice, Prices
from merchants.stores.grants import grant_for, is_approved
from settlement.orders.catalog import Market, Token
from settlement.ports import ExchangePort

OPTIONS_MAX: Final = 16
"""Most tokens that one invoice is offered in."""


USED_UP: Final = "the session key may sell no more: its notional is used up or it is revoked"
ASKED_FOR: Final = "open invoices ask for what the session key may still sell"

OWN_SHARE: Final = 16
"""So much of what the bids bring is each store's, whatever others ask for: one part of so many."""

PRESSED_SHARE: Final = 4
"""Invoices that strangers make by a shop's buttons ask for no more than one part of so many of what
the bids bring, and of what its key may still sell no more than half: the shop's own go on."""

_QUOTED: Final = (
    "number",
    "lots",
    "quoted_ticks",
    "lot_pips",
    "tick_pips",
    "rate_pips",
    "due_pips",
    "due_raw",
    "proceeds_pips",
    "fee_pips",
)
"""What of an option its quote says; the rest is what came."""


class Offered(NamedTuple):
    """The options of a new invoice, and by token what had to be left out of them."""

    options: list[Option]
    left_out: dict[str, Rejection]


# Made once: to put them together takes longer than to carry them out.
_COMING: Final = (
    select(*exact_sum(Option.seen_pips), *exact_sum(Option.credited_pips))
    .join(Invoice, Invoice.id == Option.invoice_id)
    .where(
        Invoice.store_id == bindparam("store_id"),
        Invoice.state == InvoiceState.PROCESSING,
        Option.token == bindparam("token"),
    )
)
_OTHERS: Final = (
    select(*exact_sum(Other.valued_pips))
    .join(Invoice, Invoice.id == Other.invoice_id)
    .where(
        INVOICE_HAS_OTHERS,
        Invoice.store_id == bindparam("store_id"),
        Other.token == bindparam("token"),
        Other.invoice_id != bindparam("of_invoice"),
    )
)
_UNSOLD: Final = (
    select(
        Conversion.lot_pips,
        *exact_sum(Conversion.lots - Conversion.lots_filled),
        *exact_sum(Conversion.odd_pips),
    )
    .where(
        Conversion.store_id == bindparam("store_id"),
        Conversion.market == bindparam("market"),
        Conversion.state.in_((ConversionState.PENDING, ConversionState.EXECUTING)),
    )
    .group_by(Conversion.lot_pips)
)
"""What has been seen of a token, what came of it and was not offered, and what is in no trade yet
of a market's sales, of one store."""


class Offers:
    """Prices what is asked for in every token that it may be paid in."""

    def __init__(self, exchange: ExchangePort, prices: Prices) -> None:
        self._exchange = exchange
        self._prices = prices

    def make(
        self,
        session: Session,
        store: Store,
        amount_pips: int,
        symbols: tuple[str, ...],
        now_ns: int,
        *,
        is_pressed: bool = False,
    ) -> Offered | Rejection:
        """Return ``amount_pips`` of stablecoin in every token of ``symbols``, none for all that the
        store accepts; ``is_pressed`` says that a customer asks, not the shop.

        Rejects UNKNOWN_TOKEN, and with the reason of the first, NO_QUOTE or
        CANNOT_SELL, where there is no token that it could be offered in."""
        tokens = self._tokens(session, store, symbols)
        if isinstance(tokens, Rejection):
            return tokens
        options: list[Option] = []
        left_out: dict[str, Rejection] = {}
        sold = [token.address for token in tokens if token.address != store.settle]
        asked = open_asks(session, store.id, store.settle, sold)
        for token in tokens:
            already = asked.get(token.address, Open())
            option = self._option(
                session, store, token, amount_pips, already, now_ns, is_pressed=is_pressed
            )
            if isinstance(option, Rejection):
                left_out[token.symbol] = option
                continue
            option.number = len(options)
            options.append(option)
        if options:
            return Offered(options, left_out)
        (symbol, first), *others = left_out.items()
        wanted = {"token": symbol, "amount": decimal_of_pips(amount_pips)}
        reasons = {f"why_not_{name}": why_of(rejection) for name, rejection in others}
        return first._replace(detail=wanted | first.detail | reasons)

    def renew(
        self, session: Session, invoice: Invoice, symbols: tuple[str, ...], now_ns: int
    ) -> Offered | Rejection:
        """Give an invoice new quotes in the tokens of ``symbols``; what came counts at them.

        Rejects as ``make``, and with its reason where a token in which money came has no quote now;
        then nothing changes.
        """
        made = self.make(
            session,
            invoice.store,
            invoice.amount_pips,
            symbols,
            now_ns,
            is_pressed=invoice.is_pressed,
        )
        if isinstance(made, Rejection):
            return made
        fresh = {option.token: option for option in made.options}
        gone = [option for option in invoice.options if option.token not in fresh]
        for option in gone:
            if came_pips(option):
                token = self._exchange.catalog.token_by_address(option.token)
                assert token is not None, "an option is of a listed token"
                return made.left_out[token.symbol]
        for option in gone:
            session.delete(option)
        for option in invoice.options:
            quoted = fresh.pop(option.token, option)
            for name in _QUOTED:
                setattr(option, name, getattr(quoted, name))
        for option in fresh.values():
            option.invoice_id = invoice.id
            session.add(option)
        session.flush()
        session.refresh(invoice, ["options"])
        return made

    def _tokens(
        self, session: Session, store: Store, symbols: tuple[str, ...]
    ) -> list[Token] | Rejection:
        """Return the tokens of ``symbols``, stablecoin first."""
        catalog = self._exchange.catalog
        settle = catalog.token_by_address(store.settle)
        assert settle is not None, "a store is made for a listed stablecoin"
        granted = select(Grant.base).where(Grant.store_id == store.id, Grant.quote == store.settle)
        bases = set(session.scalars(granted.distinct()))
        sold = [token for token in catalog.tokens if token.address in bases]
        known = {token.symbol: token for token in (settle, *sold)}
        unknown = [symbol for symbol in symbols if symbol not in known]
        if unknown:
            return Rejection(Outcome.UNKNOWN_TOKEN, {"token": unknown[0]})
        wanted = [token for symbol, token in known.items() if not symbols or symbol in symbols]
        return wanted[:OPTIONS_MAX]

    def _option(
        self,
        session: Session,
        store: Store,
        token: Token,
        amount_pips: int,
        already: Open,
        now_ns: int,
        *,
        is_pressed: bool,
    ) -> Option | Rejection:
        if token.address == store.settle:
            return _due(token, Quote(0, 0, amount_pips, 0, amount_pips))
        market = self._exchange.catalog.market_of_pair(token.address, store.settle)
        assert market is not None, "what is accepted has a market"
        quote = self._prices.quote(market, amount_pips, now_ns)
        if isinstance(quote, NoPrice):
            return Rejection(Outcome.NO_QUOTE, {"why": quote})
        if max(quote.base_pips, quote.rate_pips()) > MONEY_MAX:
            return Rejection(Outcome.NO_QUOTE, {"why": NoPrice.SHALLOW})
        why = self._why_too_deep(market, quote, already, now_ns, is_pressed=is_pressed)
        if why:
            return Rejection(Outcome.NO_QUOTE, why)
        of_key = already.own_pips + already.pressed_pips
        if is_pressed:
            # Half of what is left is for the shop's own.
            of_key = max(of_key, 2 * already.pressed_pips + quote.proceeds_pips)
        unsalable = self.why_unsalable(
            session, store, store.wallet, market, quote, now_ns, open_pips=of_key
        )
        if unsalable is not None:
            return unsalable
        option = _due(token, quote)
        option.lot_pips, option.tick_pips = market.lot_pips, market.tick_pips
        return option

    def _why_too_deep(
        self, market: Market, quote: Quote, already: Open, now_ns: int, *, is_pressed: bool
    ) -> dict[str, str]:
        """Return why the bids do not reach for what open invoices ask and for this one. Others'
        invoices take nobody's own share: whoever opens many keeps no other shop from selling."""
        if already.all_pips == 0 and not is_pressed:
            return {}
        wanted = already.all_pips + quote.proceeds_pips
        own = already.pressed_pips if is_pressed else already.own_pips
        mine = own + quote.proceeds_pips
        enough = max(wanted, mine * PRESSED_SHARE if is_pressed else 0)
        reach = self._prices.reach_pips(market, now_ns, enough)
        is_greedy = is_pressed and mine > reach // PRESSED_SHARE
        if not is_greedy and (wanted <= reach or mine <= reach // OWN_SHARE):
            return {}
        return {
            "why": "open invoices ask for what the bids bring",
            "open": decimal_of_pips(already.all_pips),
            "reach": decimal_of_pips(reach),
        }

    def why_unsalable(
        self,
        session: Session,
        store: Store,
        wallet: bytes,
        market: Market,
        quote: Quote,
        now_ns: int,
        *,
        open_pips: int = 0,
        of_invoice: str = "",
    ) -> Rejection | None:
        """Return why the session key of ``wallet`` could not sell what is quoted, and the
        ``open_pips`` that open invoices ask it to sell; ``of_invoice`` names the one of whose
        money that is which came and was not offered."""
        why = self._why_unsalable(
            session, store, wallet, market, quote, open_pips, of_invoice, now_ns
        )
        return Rejection(Outcome.CANNOT_SELL, why) if why else None

    def _why_unsalable(
        self,
        session: Session,
        store: Store,
        wallet: bytes,
        market: Market,
        quote: Quote,
        open_pips: int,
        of_invoice: str,
        now_ns: int,
    ) -> dict[str, str]:
        grant = grant_for(session, store.id, market.base.address, market.quote.address, wallet)
        if grant is None or not is_approved(grant):
            return {"why": "the wallet has not approved the session key"}
        if grant.expiry <= now_ns // 10**9 + store.lifetime_s:
            return {"why": "the session key ends before the invoice would"}
        if quote.worst_ticks < pricing.ticks_covering(market, grant.floor_price):
            floor = decimal_of_pips(grant.floor_price)
            return {"why": "the price is under the session key's floor", "floor_price": floor}
        left = self._exchange.key_notional_left(grant.wallet, grant.key_address)
        promised = self._promised_pips(session, store, market, quote, of_invoice)
        needed = quote.proceeds_pips + promised + open_pips
        if left is not None and left < needed:
            is_used_up = left < needed - open_pips
            return {
                "why": USED_UP if is_used_up else ASKED_FOR,
                "left": decimal_of_pips(max(0, left)),
                "needed": decimal_of_pips(needed),
            }
        return {}

    def _promised_pips(
        self, session: Session, store: Store, market: Market, quote: Quote, of_invoice: str
    ) -> int:
        """Return what the key has still to sell of money that has come, but for what came for
        ``of_invoice`` and was not offered: that is quoted as a whole."""
        of_token = {"store_id": store.id, "token": market.base.address}
        coming = session.execute(_COMING, of_token).one()
        others = session.execute(_OTHERS, {**of_token, "of_invoice": of_invoice}).one()
        of_market = {"store_id": store.id, "market": market.symbol}
        unsold = session.execute(_UNSOLD, of_market).all()
        pips = sum_of(coming[:2]) + sum_of(coming[2:]) + sum_of(others)
        pips += in_pot(session, store.id, market.base.address)
        for lot_pips, *halves in unsold:
            lots, odd = sum_of(halves[:2]), sum_of(halves[2:])
            pips += lots * (lot_pips or market.lot_pips) - odd
        return -(-market.quote_pips(pips, quote.worst_ticks) // market.lot_pips)


def why_of(rejection: Rejection) -> str:
    """Return the reason of ``rejection`` in words and figures."""
    figures = (f"{name} {value}" for name, value in rejection.detail.items() if name != "why")
    return ", ".join((rejection.detail["why"], *figures))


def _due(token: Token, quote: Quote) -> Option:
    # Raw units may be coarser than a pip; what is asked for is what can be paid.
    due_raw = raw_covering(token, quote.base_pips)
    return Option(
        token=token.address,
        lots=quote.lots,
        quoted_ticks=quote.worst_ticks,
        lot_pips=0,
        tick_pips=0,
        rate_pips=quote.rate_pips(),
        due_pips=token.pips_of(due_raw),
        due_raw=str(due_raw),
        proceeds_pips=quote.proceeds_pips,
        fee_pips=quote.fee_pips,
        seen_pips=0,
        credited_pips=0,
        timely_pips=0,
        returned_pips=0,
    )
