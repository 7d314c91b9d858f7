"""What is a listed token worth that came for an invoice which did not offer it?

What it sells for when it is seen final, at a price that no payer can make: the guards of quotes
are the guards here. It is asked once for each payment, so that who pays has no choice of moments,
and behind all that came of the token before, so that many small payments bring no more than a large
one. Nothing is credited that the store could not sell: then it lies on the store's account, as
money does that the store's policy gives back.
"""

from typing import Final, NamedTuple

from sqlalchemy.orm import Session

from engine.types import MONEY_MAX
from merchants.records import terms
from merchants.records.amounts import DUST_SHARE
from merchants.records.due import TO_VALUE
from merchants.records.exception_policies import ExceptionAction, exception_policy_of
from merchants.records.options import option_of
from merchants.records.others import Other, keep_what_is_left, others_of
from merchants.records.shares import counted_pips
from merchants.records.states import InvoiceState
from merchants.records.tables import Invoice
from merchants.records.turns import Turn
from merchants.sales.offers import Offers, why_of
from merchants.sales.reference_prices import NoPrice, Prices
from settlement.orders.catalog import Market
from settlement.ports import ExchangePort

RETRY_NS: Final = 10 * 10**9
"""What has no price waits for one; it is looked for again so often, while the invoice is open."""

LOOKED_FOR_NS: Final = 30 * 24 * 3600 * 10**9
"""How long after an invoice was made."""

VALUED: Final = (InvoiceState.NEW, InvoiceState.PROCESSING, InvoiceState.SETTLED)
"""While money has its own value. What lies at an invoice that is not open is weighed as a whole."""

NO_MARKET: Final = "no market sells it for the store's stablecoin"


class Value(NamedTuple):
    """What some pips sell for; ``ticks`` is the price of the last of them, 0 for stablecoin."""

    pips: int
    ticks: int


class Others:
    """Values other tokens. Every method runs in its caller's transaction."""

    def __init__(self, exchange: ExchangePort, prices: Prices, offers: Offers) -> None:
        self._exchange = exchange
        self._prices = prices
        self._offers = offers

    def value(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Give what came and has no value its value, if there is a price and it can be sold."""
        for other in others_of(invoice):
            keep_what_is_left(other)
            if invoice.state not in VALUED:
                continue
            other.value_at_ns = None
            fresh = other.left_pips - other.valued_pips
            if fresh > 0 and not self._goes_back(session, invoice, other):
                self._value(session, invoice, other, fresh, now_ns)
            timely = min(other.valued_pips, max(0, other.timely_pips - other.returned_pips))
            other.timely_worth_pips = other.worth_of(timely)

    def due(self, session: Session, turn: Turn) -> list[Invoice]:
        """Return invoices with money whose price is to be looked for again."""
        found = []
        for other in turn.rows(session, TO_VALUE):
            other.value_at_ns = None
            found.append(other.invoice)
        return found

    def _value(
        self, session: Session, invoice: Invoice, other: Other, fresh: int, now_ns: int
    ) -> None:
        before = counted_pips(other)
        whole = self._of(session, invoice, other, before + fresh, now_ns)
        former: Value | NoPrice | str = Value(0, 0)
        if before and isinstance(whole, Value):
            former = self._of(session, invoice, other, before, now_ns)
        if isinstance(whole, NoPrice) or isinstance(former, NoPrice):
            is_young = now_ns < invoice.created_ns + LOOKED_FOR_NS
            other.value_at_ns = now_ns + RETRY_NS if is_young else None
        if not isinstance(whole, Value) or not isinstance(former, Value):
            other.why = str(former if isinstance(whole, Value) else whole)
            return
        worth = max(0, whole.pips - former.pips)
        if worth * DUST_SHARE < invoice.amount_pips:
            return  # It is gathered until it is worth a word.
        other.why = ""
        other.worth_pips = min(other.worth_of(before) + worth, MONEY_MAX)
        other.valued_pips = before + fresh
        self._keep_ticks(invoice, other, whole.ticks, is_first=before == 0)

    def _keep_ticks(self, invoice: Invoice, other: Other, ticks: int, *, is_first: bool) -> None:
        """Keep the lowest price that anything of it was valued at: all of it is one sale."""
        market = self._market(invoice, other)
        if market is None:
            return
        if not is_first:
            ticks = min(ticks, terms.ticks_now(market, other, other.quoted_ticks))
        other.quoted_ticks = ticks
        other.lot_pips, other.tick_pips = market.lot_pips, market.tick_pips

    def weigh(
        self, session: Session, invoice: Invoice, now_ns: int
    ) -> tuple[int, dict[bytes, int], bool]:
        """Value all that is booked anew, for an invoice that is weighed as a whole; return what it
        is worth, the price of the last lot by token, and whether nothing waits for a price."""
        worth, ticks, is_whole = 0, {}, True
        for other in others_of(invoice):
            booked = other.credited_pips - other.returned_pips
            if booked <= 0 or self._goes_back(session, invoice, other):
                continue
            value = self._of(session, invoice, other, booked, now_ns)
            if not isinstance(value, Value):
                is_whole = is_whole and not isinstance(value, NoPrice)
                other.why, other.valued_pips, other.worth_pips = str(value), 0, 0
                other.timely_worth_pips = 0
                continue
            other.why, other.valued_pips, other.worth_pips = "", booked, value.pips
            keep_what_is_left(other)
            self._keep_ticks(invoice, other, value.ticks, is_first=True)
            worth += value.pips
            if value.ticks:
                ticks[other.token] = value.ticks
        return worth, ticks, is_whole

    def start_anew(self, session: Session, invoice: Invoice) -> None:
        """Forget what everything was worth, for the invoice gets a new price; what is offered now
        counts as it is offered."""
        for other in list(others_of(invoice)):
            option = option_of(invoice, other.token)
            if option is None:
                other.valued_pips = other.worth_pips = other.timely_worth_pips = 0
                continue
            option.credited_pips += other.credited_pips
            option.returned_pips = other.returned_pips
            invoice.others.remove(other)
            session.delete(other)
            invoice.other_count -= 1

    def is_dust(self, invoice: Invoice, token: bytes, pips: int) -> bool:
        """Return whether ``pips`` of a token that was not offered are too little to tell of."""
        market = self._exchange.catalog.market_of_pair(token, invoice.settle)
        now_ns = self._exchange.now_ns()
        ticks = None if market is None else self._prices.traded_ticks(market, 1, now_ns)
        if market is not None and ticks is not None:
            pips = market.quote_pips(pips, ticks) // market.lot_pips
        return pips * DUST_SHARE < invoice.amount_pips

    def _goes_back(self, session: Session, invoice: Invoice, other: Other) -> bool:
        """Return whether the store's policy gives it back: not what has counted before."""
        action = exception_policy_of(session, invoice.store_id).other_token
        return action is ExceptionAction.RETURN and other.valued_pips == 0

    def _of(
        self, session: Session, invoice: Invoice, other: Other, pips: int, now_ns: int
    ) -> Value | NoPrice | str:
        """Return what ``pips`` sell for now; or why there is no price, or why they cannot be."""
        if other.token == invoice.settle:
            return Value(pips, 0)
        market = self._market(invoice, other)
        if market is None:
            return NO_MARKET
        quote = self._prices.worth(market, pips, now_ns)
        if isinstance(quote, NoPrice):
            return quote
        why = self._offers.why_unsalable(
            session,
            invoice.store,
            invoice.wallet,
            market,
            quote,
            now_ns,
            of_invoice=invoice.id,
        )
        return why_of(why) if why else Value(quote.proceeds_pips, quote.worst_ticks)

    def _market(self, invoice: Invoice, other: Other) -> Market | None:
        return self._exchange.catalog.market_of_pair(other.token, invoice.settle)
