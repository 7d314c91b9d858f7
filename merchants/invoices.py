"""What is owed, what came in, and what does an invoice become of it?

Two witnesses tell about money: the chain watcher sees transfers to the invoice's address
(``payment_seen``), the engine books what was swept from there (``credit``). Transfers are a
promise that the page can show; only a booked credit settles an invoice.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, PIPS_PER_TOKEN, Outcome
from merchants import outbox, quotes
from merchants.amounts import decimal_of_pips, pips_of_decimal, raw_covering
from merchants.conversion import Conversions
from merchants.documents import listed, received_pips
from merchants.lifecycles import (
    EXCEPTION_EDGES,
    INVOICE_EDGES,
    PAYMENT_EDGES,
    InvoiceException,
    InvoiceState,
    PaymentState,
    moved,
)
from merchants.model import Credit, Invoice, Payment, Store
from merchants.outbox import EventType
from merchants.refusal import Refusal
from settlement.attachments import DepositEvidence
from settlement.catalog import Token
from settlement.eip712 import keccak256
from settlement.ports import ExchangePort, SettlementPort

SWEEP_RETRY_NS: Final = 600 * 10**9
"""A sweep that brought nothing (its transfer was orphaned, a fee spike) is asked for again."""

FINALITY_LIMIT_NS: Final = 24 * 3600 * 10**9
"""How long an invoice may stay processing before it is called invalid."""


_UNCONFIRMED: Final = (PaymentState.DETECTED, PaymentState.ORPHANED)


class InvoiceRequest(NamedTuple):
    """What a shop asks for. ``amount_usd`` is a decimal string, ``metadata`` a JSON object."""

    amount_usd: str
    token: str
    order_id: str = ""
    metadata: str = "{}"
    redirect_url: str = ""


class Transfer(NamedTuple):
    """A token transfer on chain, as its log says; reported again as it gains confirmations.

    ``raw_amount`` is in raw units. ``confirmations`` is 0 while the transaction is in no block
    and then counts the block it is in; ``block_time_s`` is that block's time, or 0 when it is
    not known: then the time of the report decides whether the payment was late.
    """

    token: bytes
    sender: bytes
    to: bytes
    raw_amount: int
    tx_hash: bytes
    log_index: int
    block_number: int
    block_time_s: int
    confirmations: int


class Deposit(NamedTuple):
    """A deposit the engine booked at ``booked_ns``; ``token`` is an address."""

    token: bytes
    amount_pips: int
    evidence: DepositEvidence
    sequence: int
    booked_ns: int


class _Price(NamedTuple):
    """An invoice's figures; without a conversion all but ``due_pips`` say so with zeros."""

    lots: int
    quoted_ticks: int
    rate_pips: int
    due_pips: int
    proceeds_pips: int
    fee_pips: int


class Invoices:
    """Creates invoices and moves them on. Every method runs in its caller's transaction."""

    def __init__(
        self,
        exchange: ExchangePort,
        settlement: SettlementPort,
        conversions: Conversions,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._exchange = exchange
        self._settlement = settlement
        self._conversions = conversions
        self._entropy = entropy

    def create(
        self, session: Session, store: Store, request: InvoiceRequest, now_ns: int
    ) -> Invoice | Refusal:
        """Price ``request`` from the book. Refuses MALFORMED, UNKNOWN_TOKEN and NO_QUOTE."""
        amount_pips = pips_of_decimal(request.amount_usd)
        if amount_pips is None or amount_pips == 0:
            return Refusal(Outcome.MALFORMED, {"amount_usd": request.amount_usd})
        token = self._exchange.catalog.token(request.token)
        if token is None or token.address not in (store.base, store.quote):
            return Refusal(Outcome.UNKNOWN_TOKEN, {"token": request.token})
        price = self._price(store, token, amount_pips)
        if price is None:
            wanted = {"token": token.symbol, "amount_usd": decimal_of_pips(amount_pips)}
            return Refusal(Outcome.NO_QUOTE, wanted)

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
            rate_pips=price.rate_pips,
            due_pips=token.pips_of(due_raw),
            due_raw=str(due_raw),
            proceeds_pips=price.proceeds_pips,
            fee_pips=price.fee_pips,
            seen_pips=0,
            credited_pips=0,
            sweep_at_ns=None,
            event_count=0,
            payments=[],
            conversions=[],
        )
        session.add(invoice)
        session.flush()
        self._record(session, invoice, EventType.INVOICE_CREATED, now_ns)
        return invoice

    def _price(self, store: Store, token: Token, amount_pips: int) -> _Price | None:
        if token.address == store.quote:
            return _Price(0, 0, PIPS_PER_TOKEN, amount_pips, amount_pips, 0)
        market = self._exchange.catalog.market_of_pair(store.base, store.quote)
        assert market is not None, "a store is made for a listed market"
        bids = quotes.bids_of(self._exchange, market)
        quote = quotes.quote_proceeds(market, bids, amount_pips)
        if quote is None or market.base_pips(quote.lots) > MONEY_MAX:
            return None
        return _Price(
            lots=quote.lots,
            quoted_ticks=quote.worst_ticks,
            rate_pips=quote.rate_pips(market),
            due_pips=market.base_pips(quote.lots),
            proceeds_pips=quote.proceeds_pips,
            fee_pips=quote.fee_pips,
        )

    def payment_seen(self, session: Session, transfer: Transfer, now_ns: int) -> bool:
        """Take a transfer; return whether it pays one of our invoices.

        A token that is not listed is ignored: anybody can make one and send it anywhere.
        """
        invoice = session.scalar(select(Invoice).where(Invoice.deposit_address == transfer.to))
        if invoice is None or self._exchange.catalog.token_by_address(transfer.token) is None:
            return False
        payment = session.get(Payment, (transfer.tx_hash, transfer.log_index))
        first = payment is None
        state = PaymentState.CONFIRMING if transfer.confirmations else PaymentState.DETECTED
        if payment is None:
            payment = Payment(
                tx_hash=transfer.tx_hash,
                log_index=transfer.log_index,
                state=state,
                token=transfer.token,
                sender=transfer.sender,
                raw=str(transfer.raw_amount),
                seen_ns=now_ns,
            )
            invoice.payments.append(payment)
        elif payment.state is not state and payment.state in _UNCONFIRMED:
            payment.state = moved(PAYMENT_EDGES, payment.state, state)
        payment.block_number = transfer.block_number
        payment.block_time_s = transfer.block_time_s
        payment.confirmations = transfer.confirmations

        self._count_seen(invoice)
        if first:
            invoice.sweep_at_ns = None  # A sweep asked for before may have run before it came.
            self._record(
                session, invoice, EventType.INVOICE_RECEIVED_PAYMENT, now_ns, payment=payment
            )
        self._finalise_payments(session, invoice)
        self._move_on(session, invoice, now_ns, transfer.block_time_s * 10**9 or now_ns)
        return True

    def payment_orphaned(
        self, session: Session, tx_hash: bytes, log_index: int, now_ns: int
    ) -> bool:
        """Take back a transfer whose block left the chain; return whether it was ours.

        A payment that was booked stays: the deposit's own confirmations stand behind it.
        """
        payment = session.get(Payment, (tx_hash, log_index))
        if payment is None:
            return False
        if payment.state in (PaymentState.FINAL, PaymentState.ORPHANED):
            return True
        payment.state = moved(PAYMENT_EDGES, payment.state, PaymentState.ORPHANED)
        payment.confirmations = 0
        invoice = session.get_one(Invoice, payment.invoice_id)
        self._count_seen(invoice)
        self._move_on(session, invoice, now_ns, now_ns)
        return True

    def credit(
        self,
        session: Session,
        invoice: Invoice,
        deposit: Deposit,
        now_ns: int,
    ) -> None:
        """Count what the engine booked for ``invoice``; each log entry once."""
        token, amount_pips, evidence, sequence, booked_ns = deposit
        if session.get(Credit, (evidence.tx_hash, evidence.log_index)) is not None:
            return
        session.add(
            Credit(
                tx_hash=evidence.tx_hash,
                log_index=evidence.log_index,
                invoice_id=invoice.id,
                token=token,
                amount_pips=amount_pips,
                sequence=sequence,
            )
        )
        if token == invoice.token:
            invoice.credited_pips += amount_pips
        self._finalise_payments(session, invoice)
        self._move_on(session, invoice, now_ns, booked_ns)

    def expire_due(self, session: Session, now_ns: int, rows_max: int) -> None:
        """Expire what was not paid in time, and give up on what never became final."""
        unpaid = select(Invoice).where(
            Invoice.state == InvoiceState.NEW, Invoice.expires_ns <= now_ns
        )
        for invoice in session.scalars(unpaid.limit(rows_max)):
            invoice.state = moved(INVOICE_EDGES, invoice.state, InvoiceState.EXPIRED)
            self._classify(invoice)
            self._plan_sweep(invoice, now_ns)
            self._record(session, invoice, EventType.INVOICE_EXPIRED, now_ns)

        stuck = select(Invoice).where(
            Invoice.state == InvoiceState.PROCESSING,
            Invoice.processing_ns <= now_ns - FINALITY_LIMIT_NS,
        )
        for invoice in session.scalars(stuck.limit(rows_max)):
            invoice.state = moved(INVOICE_EDGES, invoice.state, InvoiceState.INVALID)
            self._classify(invoice)
            self._plan_sweep(invoice, now_ns)
            self._record(session, invoice, EventType.INVOICE_INVALID, now_ns)

    def sweep_due(self, session: Session, now_ns: int, rows_max: int) -> None:
        """Ask for the sweeps that are due; again later while what they move is not booked."""
        due = select(Invoice).where(Invoice.sweep_at_ns <= now_ns).limit(rows_max)
        for invoice in session.scalars(due):
            for token in self._tokens_outstanding(invoice):
                self._settlement.enqueue_sweep(invoice.store.wallet, invoice.ref, token)
            invoice.sweep_at_ns = now_ns + SWEEP_RETRY_NS

    def _count_seen(self, invoice: Invoice) -> None:
        """Sum before dividing: transfers of half a pip each are swept as whole pips."""
        token = listed(self._exchange.catalog.token_by_address(invoice.token))
        raw = sum(
            int(payment.raw)
            for payment in invoice.payments
            if payment.token == invoice.token and payment.state is not PaymentState.ORPHANED
        )
        # More than the exchange can hold would be refused as a deposit; the column holds no more.
        invoice.seen_pips = min(token.pips_of(raw), MONEY_MAX)

    def _finalise_payments(self, session: Session, invoice: Invoice) -> None:
        """Call payments final, oldest first, as far as booked credits of their token reach."""
        session.flush()
        for address in {payment.token for payment in invoice.payments}:
            token = listed(self._exchange.catalog.token_by_address(address))
            credited = sum(
                session.scalars(
                    select(Credit.amount_pips).where(
                        Credit.invoice_id == invoice.id, Credit.token == address
                    )
                )
            )
            raw = 0
            for payment in sorted(invoice.payments, key=_age):
                if payment.token != address or payment.state is PaymentState.ORPHANED:
                    continue
                raw += int(payment.raw)
                if token.pips_of(raw) > credited:
                    break
                if payment.state is not PaymentState.FINAL:
                    payment.state = moved(PAYMENT_EDGES, payment.state, PaymentState.FINAL)

    def _move_on(self, session: Session, invoice: Invoice, now_ns: int, paid_ns: int) -> None:
        """Take every edge that what came in by ``paid_ns`` now allows."""
        booked = invoice.credited_pips >= invoice.due_pips
        full = booked or invoice.seen_pips >= invoice.due_pips
        waits = invoice.state in (InvoiceState.NEW, InvoiceState.EXPIRED)
        if (full and waits) or (booked and invoice.state is InvoiceState.INVALID):
            invoice.late = paid_ns > invoice.expires_ns
            invoice.processing_ns = now_ns
            invoice.state = moved(INVOICE_EDGES, invoice.state, InvoiceState.PROCESSING)
            self._classify(invoice)
            self._record(session, invoice, EventType.INVOICE_PROCESSING, now_ns)
        elif not full and invoice.state is InvoiceState.PROCESSING:
            invoice.late = False
            invoice.state = moved(INVOICE_EDGES, invoice.state, InvoiceState.NEW)
            self._classify(invoice)
            self._record(session, invoice, EventType.INVOICE_REOPENED, now_ns)

        self._classify(invoice)
        if booked and invoice.state is InvoiceState.PROCESSING:
            invoice.state = moved(INVOICE_EDGES, invoice.state, InvoiceState.SETTLED)
            self._record(session, invoice, EventType.INVOICE_SETTLED, now_ns)
        if invoice.state is InvoiceState.SETTLED:
            self._conversions.open(session, invoice, now_ns)
        self._plan_sweep(invoice, now_ns)

    def _classify(self, invoice: Invoice) -> None:
        """Say how what came in differs from what was asked."""
        received = received_pips(invoice)
        exception = InvoiceException.NONE
        if invoice.state in (InvoiceState.PROCESSING, InvoiceState.SETTLED):
            if invoice.late:
                exception = InvoiceException.PAID_LATE
            elif received > invoice.due_pips:
                exception = InvoiceException.PAID_OVER
        elif invoice.state is InvoiceState.EXPIRED and received:
            exception = InvoiceException.PAID_PARTIAL
        if exception is not invoice.exception:
            invoice.exception = moved(EXCEPTION_EDGES, invoice.exception, exception)

    def _plan_sweep(self, invoice: Invoice, now_ns: int) -> None:
        """An open invoice waits for the rest of its payment: one sweep costs less than two."""
        waits = invoice.state is InvoiceState.NEW
        if waits or not self._tokens_outstanding(invoice):
            invoice.sweep_at_ns = None
        elif invoice.sweep_at_ns is None:
            invoice.sweep_at_ns = now_ns

    def _tokens_outstanding(self, invoice: Invoice) -> list[bytes]:
        """Return the tokens that lie at the invoice's address as far as we have seen.

        For an invalid invoice only what is in a block counts: that money is real and must come to
        its shop; a transfer that was announced and never mined is not worth a transaction.
        """
        outstanding = {PaymentState.CONFIRMING}
        if invoice.state is not InvoiceState.INVALID:
            outstanding.add(PaymentState.DETECTED)
        return sorted({p.token for p in invoice.payments if p.state in outstanding})

    def _record(
        self,
        session: Session,
        invoice: Invoice,
        kind: EventType,
        now_ns: int,
        payment: Payment | None = None,
    ) -> None:
        outbox.record(session, self._exchange.catalog, invoice, kind, now_ns, payment=payment)


def _age(payment: Payment) -> tuple[int, int]:
    return payment.block_number, payment.log_index


def parameters_hash(request: InvoiceRequest) -> bytes:
    """Return what two requests under one Idempotency-Key must have in common."""
    return keccak256(msgspec.json.encode(request))
