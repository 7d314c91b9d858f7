"""What lies at invoices' addresses, is it worth the gas, and when is it swept into the vault?"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy.orm import Session

from engine.types import PIPS_PER_TOKEN
from merchants.records.due import TO_SWEEP
from merchants.records.options import option_of
from merchants.records.shares import ways_of
from merchants.records.states import InvoiceState
from merchants.records.tables import Invoice
from merchants.records.together import TOGETHER
from merchants.records.turns import Turn
from merchants.sales.arrivals import Arrivals
from merchants.sales.reference_prices import Prices
from merchants.sales.tolerance import SWEEP_LEAST_PIPS
from settlement.ports import ExchangePort, SettlementPort
from settlement.protocol.deposit_address import SweepPlace

SWEEP_RETRY_NS: Final = 600 * 10**9
"""A sweep that brought nothing (its transfer was orphaned, a fee spike) is asked for again, each
time after twice as long."""

SWEEP_DOUBLINGS_MAX: Final = 8

TOKENS_MAX: Final = 16
"""Most tokens that are looked for at an old address."""


class Sweeps:
    """Plans sweeps and asks for them. Every method runs in its caller's transaction."""

    def __init__(
        self,
        exchange: ExchangePort,
        settlement: SettlementPort,
        prices: Prices,
        arrivals: Arrivals,
    ) -> None:
        self._exchange = exchange
        self._settlement = settlement
        self._prices = prices
        self._arrivals = arrivals

    def due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Ask for the sweeps that are due; again later while what they move is not booked."""
        places: list[SweepPlace] = []
        for invoice in turn.rows(session, TO_SWEEP.options(*TOGETHER)):
            tokens = self._worth_sweeping(invoice, self._arrivals.count(invoice))
            places += [SweepPlace(invoice.wallet, invoice.ref, token) for token in tokens]
            wait_ns = SWEEP_RETRY_NS << min(invoice.sweep_tries, SWEEP_DOUBLINGS_MAX)
            invoice.sweep_at_ns = now_ns + wait_ns
            invoice.sweep_tries += 1
        if places:
            self._settlement.enqueue_sweeps(places)

    def tokens_at(self, invoice: Invoice) -> list[bytes]:
        """Return the tokens that may lie at the address of an old invoice and could count."""
        catalog = self._exchange.catalog
        sold = [
            token.address
            for token in catalog.tokens
            if catalog.market_of_pair(token.address, invoice.settle) is not None
        ]
        return [invoice.settle, *sold[:TOKENS_MAX]]

    def fetch(self, invoice: Invoice, lying: Mapping[bytes, int]) -> None:
        """Sweep what is worth the gas of the raw units that lie at the address of an invoice that
        is watched no more. Its transfers are reported again until the next start."""
        self._settlement.deposit_address(invoice.wallet, invoice.ref)
        listed_by = self._exchange.catalog.token_by_address
        tokens = {token: listed_by(token) for token in lying}
        pips = {
            address: token.pips_of(lying[address]) for address, token in tokens.items() if token
        }
        places = [
            SweepPlace(invoice.wallet, invoice.ref, token)
            for token in self._worth_sweeping(invoice, pips)
        ]
        if places:
            self._settlement.enqueue_sweeps(places)

    def plan(self, invoice: Invoice, lying: dict[bytes, int], now_ns: int) -> None:
        """Say when to sweep next. An open invoice waits for the rest of its payment: one sweep
        costs less than two."""
        waits = invoice.state is InvoiceState.NEW
        if waits or not self._worth_sweeping(invoice, lying):
            invoice.sweep_at_ns = None
        elif invoice.sweep_at_ns is None:
            invoice.sweep_at_ns = now_ns

    def _worth_sweeping(self, invoice: Invoice, lying: Mapping[bytes, int]) -> list[bytes]:
        """Return the tokens at the invoice's address that are worth the gas. Dust waits there: it
        is swept with whatever comes on top of it."""
        completes = invoice.state is InvoiceState.PROCESSING
        counted = {way.token for way in ways_of(invoice)}
        return [
            token
            for token, pips in sorted(lying.items())
            if (completes and token in counted)
            or self._quote_pips(invoice, token, pips) >= SWEEP_LEAST_PIPS
        ]

    def _quote_pips(self, invoice: Invoice, token: bytes, pips: int) -> int:
        """Return about what an amount of any token is worth; pips of a token without a price here
        count like the quote's."""
        option = option_of(invoice, token)
        if option is not None:
            return pips * option.rate_pips // PIPS_PER_TOKEN
        market = self._exchange.catalog.market_of_pair(token, invoice.settle)
        ticks = None
        if market is not None:
            ticks = self._prices.traded_ticks(market, 1, self._exchange.now_ns())
        if market is None or ticks is None:
            return pips
        return market.quote_pips(pips, ticks) // market.lot_pips
