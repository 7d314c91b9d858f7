"""How much of what came for an invoice may be given back, and how much is that in what?

Counted per token, in pips: what the engine has booked with the invoice's reference, less what its
refunds give back already. What is given back in another token than came is counted at the rate that
the invoice had locked: a refund never pays more than came, by whichever measure.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, PPM, Outcome
from merchants.documents.native import listed
from merchants.records.amounts import decimal_of_pips, exact_sum, sum_of
from merchants.records.options import option_of
from merchants.records.others import Other, give_back, other_of, others_of
from merchants.records.refunds import Refund, RefundState, RefundVariant
from merchants.records.rejection import Rejection
from merchants.records.shares import ways_of, worth_pips
from merchants.records.states import ON_CHAIN, CreditState, InvoiceException, InvoiceState
from merchants.records.tables import Credit, Invoice
from merchants.sales.reference_prices import Prices
from settlement.orders.catalog import Market, Token
from settlement.ports import ExchangePort


class Wanted(NamedTuple):
    """What a shop asks for.

    ``token`` is what came and is given back of; ``deduct_ppm`` is a share that the shop keeps.
    ``custom_pips`` and ``custom_token`` are for CUSTOM alone.
    """

    token: bytes
    variant: RefundVariant
    deduct_ppm: int = 0
    custom_pips: int = 0
    custom_token: bytes = b""


class Amounts(NamedTuple):
    """``pips`` of ``token`` are paid, which is ``of_pips`` of what came; ``worth_pips`` is that at
    the invoice's rate."""

    token: bytes
    pips: int
    of_pips: int
    worth_pips: int


Rate = tuple[int, int]
"""So many pips of the stablecoin for so many pips of a token."""

ONE_TO_ONE: Final = (1, 1)


def booked_pips(
    session: Session, invoice_id: str, token: bytes, states: Collection[CreditState] = ON_CHAIN
) -> int:
    """Return how much of ``token`` the engine has booked for an invoice, of what is in one of
    ``states``: on the chain, if nothing else is said."""
    row = session.execute(
        select(*exact_sum(Credit.amount_pips)).where(
            Credit.invoice_id == invoice_id,
            Credit.token == token,
            Credit.state.in_(states),
        )
    ).one()
    return sum_of(row)


def refunded_pips(session: Session, invoice_id: str, token: bytes) -> int:
    """Return how much of ``token`` its refunds give back, or have given back."""
    row = session.execute(
        select(*exact_sum(Refund.of_pips)).where(
            Refund.invoice_id == invoice_id,
            Refund.of_token == token,
            Refund.state != RefundState.CANCELLED,
        )
    ).one()
    return sum_of(row)


def count_returned(session: Session, invoice: Invoice) -> None:
    """Let what refunds give back pay nothing any more; call it when they are others than were.

    Once it is settled that stays as it is: what is given back then has paid, and was sold. So it
    does where a reorganisation has taken the payment away since.
    """
    is_reversed = invoice.exception is InvoiceException.REVERSED
    if invoice.state is InvoiceState.SETTLED or is_reversed:
        return
    for option in invoice.options:
        option.returned_pips = refunded_pips(session, invoice.id, option.token)
    for other in others_of(invoice):
        give_back(other, refunded_pips(session, invoice.id, other.token))


def left_pips(session: Session, invoice_id: str, token: bytes) -> int:
    """Return how much of ``token`` may still be given back."""
    booked = booked_pips(session, invoice_id, token)
    return max(0, booked - refunded_pips(session, invoice_id, token))


def locked_rate(invoice: Invoice, token: bytes) -> Rate | None:
    """Return the rate at which the invoice counted ``token``; None if it did not."""
    if token == invoice.settle:
        return ONE_TO_ONE
    option = option_of(invoice, token)
    if option is not None:
        return option.proceeds_pips, option.due_pips
    other = other_of(invoice, token)
    return None if other is None else (other.worth_pips, other.valued_pips)


def over_pips(session: Session, invoice: Invoice, token: bytes, left: int) -> int:
    """Return how much of ``token`` came on top of the price, as far as it is there still: what is
    ``left`` of it beside what is left of all other options."""
    ways = ways_of(invoice)
    way = next((one for one in ways if one.token == token), None)
    if way is None:
        return left
    others = sum(
        worth_pips(invoice, other, left_pips(session, invoice.id, other.token))
        for other in ways
        if other is not way
    )
    needed = max(0, invoice.amount_pips - others)
    if isinstance(way, Other):
        return (
            left
            if way.worth_pips == 0
            else max(0, left + -needed * way.valued_pips // way.worth_pips)
        )
    return max(0, left + -needed * way.due_pips // invoice.amount_pips)


class Preview(NamedTuple):
    """What could be given back of one token: all that is left (``then_pips``), as much of it as is
    worth the same now (0 where no rate is known), what came on top, and the worth in stablecoin.
    ``now_rate_pips`` is the present price of one, 0 for none."""

    token: Token
    settle: Token
    then_pips: int
    now_pips: int
    over_pips: int
    worth_pips: int
    now_rate_pips: int


class RefundAmounts:
    """Computes refunds, at present prices where that is asked for."""

    def __init__(self, exchange: ExchangePort, prices: Prices) -> None:
        self._exchange = exchange
        self._prices = prices

    def of(self, session: Session, invoice: Invoice, wanted: Wanted) -> Amounts | Rejection:
        """Return what ``wanted`` comes to.

        Rejects AMOUNT_OUT_OF_RANGE where so much did not come, NO_QUOTE where a rate is missing,
        and BELOW_LEAST_WITHDRAWAL for what is not worth its gas.
        """
        left = left_pips(session, invoice.id, wanted.token)
        if left == 0:
            return _too_much(left, "nothing is booked of this token that was not given back")
        found = self._full(session, invoice, wanted, left)
        if isinstance(found, Rejection):
            return found
        token_address, full_pips, rate = found
        token = listed(self._exchange.catalog.token_by_address(token_address))
        kept = full_pips * (PPM - wanted.deduct_ppm) // PPM
        # Raw units may be coarser than a pip, and only what the chain can move is paid.
        pips = token.pips_of(token.raw_of(min(kept, MONEY_MAX)))
        least = max(1, self._exchange.least_withdrawal(token))
        if pips < least:
            detail = {"amount": decimal_of_pips(pips), "least": decimal_of_pips(least)}
            return Rejection(Outcome.BELOW_LEAST_WITHDRAWAL, detail)
        of_pips = pips
        if token_address != wanted.token:
            worth, per = rate
            of_pips = -(-pips * per // worth)
        if of_pips > left:
            return _too_much(left, "so much did not come, or was given back already")
        return Amounts(token_address, pips, of_pips, of_pips * rate[0] // rate[1])

    def _full(
        self, session: Session, invoice: Invoice, wanted: Wanted, left: int
    ) -> tuple[bytes, int, Rate] | Rejection:
        """Return in which token how much is given back before the shop's part, and the rate."""
        settle, rate = invoice.settle, locked_rate(invoice, wanted.token)
        match wanted.variant:
            case RefundVariant.RATE_THEN:
                return wanted.token, left, _or_nothing(rate)
            case RefundVariant.OVERPAID:
                over = over_pips(session, invoice, wanted.token, left)
                return wanted.token, over, _or_nothing(rate)
            case RefundVariant.CUSTOM:
                token = wanted.custom_token or wanted.token
                if token not in (wanted.token, settle):
                    why = "a refund is paid in what came, or in the store's stablecoin"
                    return Rejection(Outcome.UNKNOWN_TOKEN, {"why": why})
                if token != wanted.token and not _is_rate(rate):
                    return _no_rate("the invoice has no rate for this token")
                return token, wanted.custom_pips, _or_nothing(rate)
        if rate is None or not _is_rate(rate):
            return _no_rate("the invoice has no rate for this token")
        worth = left * rate[0] // rate[1]
        if wanted.variant is RefundVariant.FIAT or wanted.token == settle:
            return settle, worth, rate
        market = self._exchange.catalog.market_of_pair(wanted.token, settle)
        now_pips = None if market is None else self._bought_pips(market, worth)
        if now_pips is None:
            return _no_rate("nothing was traded lately that tells the present rate")
        # It may be worth less now: then all that came is given back, and no more than came.
        return wanted.token, min(left, now_pips), rate

    def preview(self, session: Session, invoice: Invoice, token: bytes) -> Preview:
        """Return what refunds of ``token`` would come to, before the shop keeps a part."""
        left = left_pips(session, invoice.id, token)

        def pips(variant: RefundVariant) -> int:
            found = self._full(session, invoice, Wanted(token, variant), left)
            return 0 if left == 0 or isinstance(found, Rejection) else found[1]

        rate_pips = PIPS_PER_TOKEN
        if token != invoice.settle:
            market = self._exchange.catalog.market_of_pair(token, invoice.settle)
            ticks = None if market is None else self._traded_ticks(market)
            rate_pips = 0 if market is None or ticks is None else ticks * market.tick_size_pips
        return Preview(
            token=listed(self._exchange.catalog.token_by_address(token)),
            settle=listed(self._exchange.catalog.token_by_address(invoice.settle)),
            then_pips=left,
            now_pips=pips(RefundVariant.CURRENT_RATE),
            over_pips=pips(RefundVariant.OVERPAID),
            worth_pips=pips(RefundVariant.FIAT),
            now_rate_pips=rate_pips,
        )

    def _traded_ticks(self, market: Market) -> int | None:
        return self._prices.traded_ticks(market, 1, self._exchange.now_ns())

    def _bought_pips(self, market: Market, worth_pips: int) -> int | None:
        """Return how many base pips ``worth_pips`` are at the price of the last trades."""
        ticks = self._traded_ticks(market)
        if ticks is None:
            return None
        return worth_pips * market.lot_pips // market.quote_pips(1, ticks)


def _or_nothing(rate: Rate | None) -> Rate:
    """Return ``rate``; that of what counts for nothing where there is none."""
    return rate if rate is not None and rate[1] > 0 else (0, 1)


def _is_rate(rate: Rate | None) -> bool:
    return rate is not None and rate[0] > 0 and rate[1] > 0


def _too_much(left: int, why: str) -> Rejection:
    return Rejection(Outcome.AMOUNT_OUT_OF_RANGE, {"why": why, "left": decimal_of_pips(left)})


def _no_rate(why: str) -> Rejection:
    return Rejection(Outcome.NO_QUOTE, {"why": why})
