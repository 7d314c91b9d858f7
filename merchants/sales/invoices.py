"""What is owed, is it paid, and what does an invoice become of it?

``Arrivals`` knows what came. Money that was there in full before the expiry is counted in tokens:
the quote is the store's word. All other money is weighed when it is booked: *settled* means that
what came sells for the price, within the store's tolerance, and what does not is short by so much.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, PPM, Outcome
from merchants.documents.native import listed, received_pips
from merchants.records.amounts import (
    decimal_of_pips,
    exact_sum,
    pips_of_decimal,
    raw_covering,
    sum_of,
)
from merchants.records.pots import in_pot
from merchants.records.rejection import Rejection
from merchants.records.states import (
    EXCEPTION_EDGES,
    INVOICE_EDGES,
    ConversionState,
    InvoiceException,
    InvoiceState,
    moved,
)
from merchants.records.tables import Conversion, Invoice, Store
from merchants.records.turns import Turn
from merchants.sales import pricing
from merchants.sales.arrivals import DUST_SHARE, Arrivals, Deposit
from merchants.sales.conversions import Conversions
from merchants.sales.pricing import Quote
from merchants.sales.reference_prices import NoPrice, Prices
from merchants.stores.grants import grant_for, is_approved
from merchants.webhooks import events
from merchants.webhooks.events import EventType
from settlement.orders.catalog import Market, Token
from settlement.ports import ExchangePort, SettlementPort, Transfer
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import keccak256

SWEEP_RETRY_NS: Final = 600 * 10**9
"""A sweep that brought nothing (its transfer was orphaned, a fee spike) is asked for again, each
time after twice as long."""

SWEEP_DOUBLINGS_MAX: Final = 8

JUDGE_RETRY_NS: Final = 10 * 10**9
"""What came late waits for a price to be weighed at; it is asked for again so often."""

FINALITY_LIMIT_NS: Final = 24 * 3600 * 10**9
"""How long an invoice may stay processing before it is called invalid."""

SWEEP_LEAST_PIPS: Final = 10**7
"""What must lie at an address to be worth the gas of a sweep, in quote pips: ten cents. What pays
an invoice in full is swept whatever it is: that is once, and no invoice is paid by less than this.
"""

LEAST: Final = decimal_of_pips(SWEEP_LEAST_PIPS)

BLOCK_NS: Final = 12 * 10**9
"""The longest usual time between two blocks."""

_AWAY: Final = (InvoiceState.EXPIRED, InvoiceState.INVALID)


class InvoiceRequest(NamedTuple):
    """What a shop asks for. ``amount_usd`` is a decimal string, ``metadata`` a JSON object."""

    amount_usd: str
    token: str
    order_id: str = ""
    metadata: str = "{}"
    redirect_url: str = ""


class _Price(NamedTuple):
    """An invoice's figures; without a conversion all but ``due_pips`` say so with zeros."""

    lots: int
    quoted_ticks: int
    rate_pips: int
    due_pips: int
    proceeds_pips: int
    fee_pips: int
    lot_pips: int = 0
    tick_pips: int = 0


class Invoices:
    """Creates invoices and moves them on. Every method runs in its caller's transaction."""

    def __init__(
        self,
        exchange: ExchangePort,
        settlement: SettlementPort,
        conversions: Conversions,
        prices: Prices,
        entropy: Callable[[int], bytes],
        confirmations_required: int,
    ) -> None:
        self._exchange = exchange
        self._settlement = settlement
        self._conversions = conversions
        self._prices = prices
        self._entropy = entropy
        self._confirmations_required = confirmations_required
        self._arrivals = Arrivals(exchange.catalog, confirmations_required * BLOCK_NS)

    def create(
        self, session: Session, store: Store, request: InvoiceRequest, now_ns: int
    ) -> Invoice | Rejection:
        """Price ``request``. Rejects MALFORMED, also for less than a sweep is worth, UNKNOWN_TOKEN,
        NO_QUOTE, and CANNOT_SELL where the session key could not sell what would come."""
        amount_pips = pips_of_decimal(request.amount_usd)
        if amount_pips is None or amount_pips < SWEEP_LEAST_PIPS:
            return Rejection(Outcome.MALFORMED, {"amount_usd": request.amount_usd, "least": LEAST})
        token = self._exchange.catalog.token(request.token)
        if token is None or not self._is_taken(session, store, token):
            return Rejection(Outcome.UNKNOWN_TOKEN, {"token": request.token})
        price = self._price(session, store, token, amount_pips, now_ns)
        if isinstance(price, Rejection):
            wanted = {"token": token.symbol, "amount_usd": decimal_of_pips(amount_pips)}
            return price._replace(detail=wanted | price.detail)

        # Raw units may be coarser than a pip; what is asked for is what can be paid.
        due_raw = raw_covering(token, price.due_pips)
        invoice_id = "inv_" + self._entropy(16).hex()
        ref = keccak256(invoice_id.encode())
        invoice = Invoice(
            id=invoice_id,
            store_id=store.id,
            store=store,
            state=InvoiceState.NEW,
            exception=InvoiceException.NONE,
            created_ns=now_ns,
            expires_ns=now_ns + store.lifetime_s * 10**9,
            processing_ns=0,
            late=False,
            order_id=request.order_id,
            details=request.metadata,
            redirect_url=request.redirect_url,
            token=token.address,
            ref=ref,
            deposit_address=self._settlement.deposit_address(store.wallet, ref),
            amount_pips=amount_pips,
            lots=price.lots,
            quoted_ticks=price.quoted_ticks,
            lot_pips=price.lot_pips,
            tick_pips=price.tick_pips,
            rate_pips=price.rate_pips,
            due_pips=token.pips_of(due_raw),
            due_raw=str(due_raw),
            proceeds_pips=price.proceeds_pips,
            fee_pips=price.fee_pips,
            seen_pips=0,
            credited_pips=0,
            sweep_at_ns=None,
            timely_pips=0,
            judge_at_ns=None,
            short_pips=0,
            over_pips=0,
            event_count=0,
            payments=[],
        )
        session.add(invoice)
        session.flush()
        self._record(session, invoice, EventType.INVOICE_CREATED, now_ns)
        return invoice

    def _price(
        self, session: Session, store: Store, token: Token, amount_pips: int, now_ns: int
    ) -> _Price | Rejection:
        if token.address == store.settle:
            return _Price(0, 0, PIPS_PER_TOKEN, amount_pips, amount_pips, 0)
        market = self._market(store, token.address)
        quote = self._prices.quote(market, amount_pips, now_ns)
        if isinstance(quote, NoPrice):
            return Rejection(Outcome.NO_QUOTE, {"why": quote})
        if max(quote.base_pips, quote.rate_pips()) > MONEY_MAX:
            return Rejection(Outcome.NO_QUOTE, {"why": NoPrice.SHALLOW})
        why = self._why_unsalable(session, store, market, quote, now_ns)
        if why:
            return Rejection(Outcome.CANNOT_SELL, why)
        return _Price(
            lots=quote.lots,
            quoted_ticks=quote.worst_ticks,
            rate_pips=quote.rate_pips(),
            due_pips=quote.base_pips,
            proceeds_pips=quote.proceeds_pips,
            fee_pips=quote.fee_pips,
            lot_pips=market.lot_pips,
            tick_pips=market.tick_pips,
        )

    def _why_unsalable(
        self, session: Session, store: Store, market: Market, quote: Quote, now_ns: int
    ) -> dict[str, str]:
        """Return why the session key could not sell what is quoted; nothing if it could."""
        grant = grant_for(session, store.id, market.base.address, market.quote.address)
        if grant is None or not is_approved(grant):
            return {"why": "the wallet has not approved the session key"}
        if grant.expiry <= now_ns // 10**9 + store.lifetime_s:
            return {"why": "the session key ends before the invoice would"}
        if quote.worst_ticks < pricing.ticks_covering(market, grant.floor_price):
            floor = decimal_of_pips(grant.floor_price)
            return {"why": "the price is under the session key's floor", "floor_price": floor}
        left = self._exchange.key_notional_left(grant.wallet, grant.key_address)
        needed = quote.proceeds_pips + self._promised_pips(session, store, market, quote)
        if left is not None and left < needed:
            return {
                "why": "the session key may sell no more: its notional is used up or it is revoked",
                "left": decimal_of_pips(max(0, left)),
                "needed": decimal_of_pips(needed),
            }
        return {}

    def _promised_pips(self, session: Session, store: Store, market: Market, quote: Quote) -> int:
        """Return what the key has still to sell of money that has come. Open invoices do not count:
        whoever makes them and does not pay must not close a shop."""
        coming = session.execute(
            select(*exact_sum(Invoice.proceeds_pips)).where(
                Invoice.store_id == store.id,
                Invoice.state == InvoiceState.PROCESSING,
                Invoice.token == market.base.address,
            )
        ).one()
        unsold = session.execute(
            select(
                Conversion.lot_pips,
                *exact_sum(Conversion.lots - Conversion.lots_filled),
                *exact_sum(Conversion.odd_pips),
            )
            .where(
                Conversion.store_id == store.id,
                Conversion.market == market.symbol,
                Conversion.state.in_((ConversionState.PENDING, ConversionState.EXECUTING)),
            )
            .group_by(Conversion.lot_pips)
        ).all()
        pips = 0
        for lot_pips, *halves in unsold:
            lots, odd = sum_of(halves[:2]), sum_of(halves[2:])
            pips += lots * (lot_pips or market.lot_pips) - odd
        pips += in_pot(session, store.id, market.base.address)
        worth = market.quote_pips(pips, quote.worst_ticks)
        return sum_of(coming) - (-worth // market.lot_pips)

    def _market(self, store: Store, token: bytes) -> Market:
        market = self._exchange.catalog.market_of_pair(token, store.settle)
        assert market is not None, "an invoice is made for what a market sells"
        return market

    def _is_taken(self, session: Session, store: Store, token: Token) -> bool:
        """Return whether the store takes ``token``: its stablecoin, or what it has a grant for."""
        is_settle = token.address == store.settle
        return is_settle or grant_for(session, store.id, token.address, store.settle) is not None

    def is_at_rest(self, session: Session, invoice: Invoice) -> bool:
        """Return whether nothing that came, or is asked for, has still to be followed on chain."""
        unsure = self._arrivals.is_unsure(session, invoice, self._confirmations_required)
        return invoice.sweep_at_ns is None and not unsure

    def transfers(
        self, session: Session, invoice: Invoice, transfers: list[Transfer], now_ns: int
    ) -> None:
        """Take transfers to the invoice's address, or away from it."""
        for transfer in transfers:
            if transfer.to != invoice.deposit_address:
                self._arrivals.leaving(session, invoice, transfer)
                continue
            payment = self._arrivals.transfer(session, invoice, transfer, now_ns)
            if payment is not None:
                # A sweep asked for before may have run before it came.
                invoice.sweep_at_ns, invoice.sweep_tries = None, 0
                session.flush()
                kind = EventType.INVOICE_RECEIVED_PAYMENT
                catalog = self._exchange.catalog
                events.record(session, catalog, invoice, kind, now_ns, payment=payment)
        self._move_on(session, invoice, now_ns)

    def payment_orphaned(
        self, session: Session, tx_hash: bytes, log_index: int, now_ns: int
    ) -> bool:
        """Take back a transfer whose block left the chain; return whether it was ours."""
        invoice = self._arrivals.orphaned(session, tx_hash, log_index)
        if invoice is None:
            return False
        self._move_on(session, invoice, now_ns)
        return True

    def credit(self, session: Session, invoice: Invoice, deposit: Deposit, now_ns: int) -> None:
        """Count what the engine booked for ``invoice``; each log entry once."""
        credit = self._arrivals.credit(session, invoice, deposit)
        if credit is None:
            return
        invoice.sweep_tries = 0
        if invoice.token == deposit.token and invoice.state is not InvoiceState.SETTLED:
            invoice.judge_at_ns = now_ns
        if invoice.token != deposit.token and not self._is_dust(invoice, deposit):
            kind, catalog = EventType.INVOICE_OTHER_TOKEN, self._exchange.catalog
            events.record(session, catalog, invoice, kind, now_ns, deposit=credit)
        self._move_on(session, invoice, now_ns)

    def _is_dust(self, invoice: Invoice, deposit: Deposit) -> bool:
        token = listed(self._exchange.catalog.token_by_address(deposit.token))
        return self._arrivals.is_dust(invoice, token.address, token.raw_of(deposit.amount_pips))

    def expire_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Expire what was not paid in time, and give up on what never became final."""
        unpaid = select(Invoice).where(
            Invoice.state == InvoiceState.NEW, Invoice.expires_ns <= now_ns
        )
        for invoice in turn.rows(session, unpaid):
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
            self._move_on(session, invoice, now_ns)

        stuck = select(Invoice).where(
            Invoice.state == InvoiceState.PROCESSING,
            Invoice.processing_ns <= now_ns - FINALITY_LIMIT_NS,
        )
        for invoice in turn.rows(session, stuck):
            self._go(session, invoice, InvoiceState.INVALID, EventType.INVOICE_INVALID, now_ns)
            self._move_on(session, invoice, now_ns)

    def sweep_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Ask for the sweeps that are due; again later while what they move is not booked."""
        due = select(Invoice).where(Invoice.sweep_at_ns <= now_ns)
        places: list[SweepPlace] = []
        for invoice in turn.rows(session, due):
            tokens = self._worth_sweeping(invoice, self._arrivals.count(session, invoice))
            places += [SweepPlace(invoice.store.wallet, invoice.ref, token) for token in tokens]
            wait_ns = SWEEP_RETRY_NS << min(invoice.sweep_tries, SWEEP_DOUBLINGS_MAX)
            invoice.sweep_at_ns = now_ns + wait_ns
            invoice.sweep_tries += 1
        if places:
            self._settlement.enqueue_sweeps(places)

    def judge_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Weigh what came late or in part, once for all that is booked, as soon as there is a
        price; later only if more comes: a price that rises afterwards pays nobody's invoice."""
        due = select(Invoice).where(Invoice.judge_at_ns <= now_ns, Invoice.state.in_(_AWAY))
        for invoice in turn.rows(session, due):
            worth = self._worth(invoice, now_ns)
            if worth is None:
                invoice.judge_at_ns = now_ns + JUDGE_RETRY_NS
                continue
            invoice.judge_at_ns = None
            short = max(0, invoice.amount_pips - worth.proceeds_pips)
            if short > tolerated_pips(invoice):
                self._report_short(session, invoice, short, now_ns)
                continue
            invoice.short_pips, invoice.late, invoice.processing_ns = 0, True, now_ns
            invoice.over_pips = max(0, received_pips(invoice) - invoice.due_pips)
            processing, settled = EventType.INVOICE_PROCESSING, EventType.INVOICE_SETTLED
            self._go(session, invoice, InvoiceState.PROCESSING, processing, now_ns)
            self._go(session, invoice, InvoiceState.SETTLED, settled, now_ns)
            # It was weighed at this price, so it is sold at this price or not at all.
            self._conversions.open(session, invoice, now_ns, worth.worst_ticks)
            self._move_on(session, invoice, now_ns)

    def _report_short(
        self, session: Session, invoice: Invoice, short_pips: int, now_ns: int
    ) -> None:
        """Say how much is missing; dust, which anybody may send, neither is nor changes it."""
        is_dust = invoice.credited_pips * DUST_SHARE < invoice.due_pips
        if invoice.short_pips:
            is_dust = abs(invoice.short_pips - short_pips) * DUST_SHARE < invoice.amount_pips
        if not is_dust:
            invoice.short_pips = short_pips
            self._record(session, invoice, EventType.INVOICE_SHORT, now_ns)

    def _worth(self, invoice: Invoice, now_ns: int) -> Quote | None:
        """Return the sale of what is booked, at a price that counts; None if there is none now."""
        if invoice.token == invoice.store.settle:
            return Quote(0, 0, invoice.credited_pips, 0, invoice.credited_pips)
        market = self._market(invoice.store, invoice.token)
        quote = self._prices.worth(market, invoice.credited_pips, now_ns)
        return None if isinstance(quote, NoPrice) else quote

    def _move_on(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Take every edge that what came now allows."""
        lying = self._arrivals.count(session, invoice)
        least = least_pips(invoice)
        full = received_pips(invoice) >= least
        booked = invoice.credited_pips >= least
        timely = invoice.timely_pips >= least
        new, processing = InvoiceState.NEW, InvoiceState.PROCESSING
        if invoice.state is new and full and not timely and now_ns > invoice.expires_ns:
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
        waits = invoice.state is new or (invoice.state is InvoiceState.EXPIRED and timely)
        revives = invoice.state is InvoiceState.INVALID and booked and timely
        if (full and waits) or revives:
            invoice.processing_ns = now_ns
            self._go(session, invoice, processing, EventType.INVOICE_PROCESSING, now_ns)
        elif not full and invoice.state is processing:
            self._go(session, invoice, new, EventType.INVOICE_REOPENED, now_ns)

        if booked and invoice.state is processing and timely:
            self._go(session, invoice, InvoiceState.SETTLED, EventType.INVOICE_SETTLED, now_ns)
        elif booked and invoice.state is processing:
            # It was seen in time and came otherwise, later: it is weighed like all late money.
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
        self._classify(invoice)
        if invoice.state is InvoiceState.SETTLED:
            invoice.judge_at_ns, invoice.short_pips = None, 0
            self._conversions.open(session, invoice, now_ns)
            self._report_over(session, invoice, now_ns)
        self._plan_sweep(invoice, lying, now_ns)

    def _go(
        self, session: Session, invoice: Invoice, state: InvoiceState, kind: EventType, now_ns: int
    ) -> None:
        invoice.state = moved(INVOICE_EDGES, invoice.state, state)
        self._classify(invoice)
        self._record(session, invoice, kind, now_ns)
        if state is InvoiceState.SETTLED:
            invoice.over_pips = max(0, received_pips(invoice) - invoice.due_pips)

    def _report_over(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Say that more came after it was settled; dust is gathered before it is worth a word."""
        over = received_pips(invoice) - invoice.due_pips
        if over - invoice.over_pips > self._dust_pips(invoice):
            invoice.over_pips = over
            self._record(session, invoice, EventType.INVOICE_PAID_OVER, now_ns)

    def _classify(self, invoice: Invoice) -> None:
        """Say how what came in differs from what was asked. Dust makes no difference."""
        received, dust = received_pips(invoice), self._dust_pips(invoice)
        exception = InvoiceException.NONE
        if invoice.state in (InvoiceState.PROCESSING, InvoiceState.SETTLED):
            if invoice.late:
                exception = InvoiceException.PAID_LATE
            elif received - invoice.due_pips > dust:
                exception = InvoiceException.PAID_OVER
        elif invoice.state is InvoiceState.EXPIRED and received > dust:
            exception = InvoiceException.PAID_PARTIAL
        if exception is not invoice.exception:
            invoice.exception = moved(EXCEPTION_EDGES, invoice.exception, exception)

    def _dust_pips(self, invoice: Invoice) -> int:
        return max(invoice.due_pips - least_pips(invoice), invoice.due_pips // DUST_SHARE)

    def _plan_sweep(self, invoice: Invoice, lying: dict[bytes, int], now_ns: int) -> None:
        """An open invoice waits for the rest of its payment: one sweep costs less than two."""
        waits = invoice.state is InvoiceState.NEW
        if waits or not self._worth_sweeping(invoice, lying):
            invoice.sweep_at_ns = None
        elif invoice.sweep_at_ns is None:
            invoice.sweep_at_ns = now_ns

    def _worth_sweeping(self, invoice: Invoice, lying: dict[bytes, int]) -> list[bytes]:
        """Return the tokens at the invoice's address that are worth the gas. Dust waits there: it
        is swept with whatever comes on top of it."""
        completes = invoice.state is InvoiceState.PROCESSING
        return [
            token
            for token, pips in sorted(lying.items())
            if (completes and token == invoice.token)
            or self._quote_pips(invoice, token, pips) >= SWEEP_LEAST_PIPS
        ]

    def _quote_pips(self, invoice: Invoice, token: bytes, pips: int) -> int:
        """Return about what an amount of any token is worth; pips of a token without a price here
        count like the quote's."""
        if token == invoice.token:
            return pips * invoice.rate_pips // PIPS_PER_TOKEN
        market = self._exchange.catalog.market_of_pair(token, invoice.store.settle)
        ticks = None
        if market is not None:
            ticks = self._prices.traded_ticks(market, 1, self._exchange.now_ns())
        if market is None or ticks is None:
            return pips
        return market.quote_pips(pips, ticks) // market.lot_pips

    def _record(
        self,
        session: Session,
        invoice: Invoice,
        kind: EventType,
        now_ns: int,
    ) -> None:
        events.record(session, self._exchange.catalog, invoice, kind, now_ns)


def tolerated_pips(invoice: Invoice) -> int:
    """Return how many quote pips may be missing of the price; what is left is worth a sweep."""
    store = invoice.store
    share = invoice.amount_pips * store.tolerance_ppm // PPM
    most = max(0, invoice.amount_pips - SWEEP_LEAST_PIPS)
    return min(max(share, store.tolerance_pips), most)


def least_pips(invoice: Invoice) -> int:
    """Return how much of the invoice's token pays for it in time."""
    tolerated = invoice.due_pips * tolerated_pips(invoice) // invoice.amount_pips
    return invoice.due_pips - tolerated


def parameters_hash(request: InvoiceRequest) -> bytes:
    """Return what two requests under one Idempotency-Key must have in common."""
    return keccak256(msgspec.json.encode(request))
