"""How does a customer get back what he paid?

By a pull payment: the shop opens a refund, whoever has its link says to which address, and then it
is paid out of the vault (``merchants.sales.refund_payouts``). Nobody is paid back to where money
came from: that may be the wallet of an exchange, and what arrives there is nobody's. A shop that
knows better says so for one refund at a time.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.documents.refunds import RefundDocument, refund_document
from merchants.records.database import reading, transaction
from merchants.records.due import UNCLAIMED
from merchants.records.refunds import (
    REFUND_EDGES,
    REFUNDS_OPEN,
    Payer,
    Refund,
    RefundState,
    RefundVariant,
    RefundWithdrawal,
)
from merchants.records.rejection import Rejection
from merchants.records.states import NOT_GONE, InvoiceState, PaymentState, moved
from merchants.records.tables import Credit, Invoice, Payment
from merchants.records.turns import Turn
from merchants.sales.reference_prices import Prices
from merchants.sales.refund_amounts import (
    Preview,
    RefundAmounts,
    Wanted,
    booked_pips,
    count_returned,
    refunded_pips,
)
from merchants.sales.refund_parts import PARTS_MAX, split, why_no_part
from merchants.stores.keyring import SECRET_SIZE, Keyring
from merchants.webhooks import events
from merchants.webhooks.event_types import EventType
from settlement.ports import ExchangePort
from settlement.protocol.checksum import address_of_text
from settlement.protocol.eip712 import keccak256

CLAIM_NS: Final = 30 * 24 * 3600 * 10**9
"""How long a refund waits for its customer."""

REFUNDS_MAX: Final = 100
"""Refunds of one invoice, the cancelled ones among them."""

CLAIM_SECRET: Final = keccak256(b"tillbook refund claims")[12:]
"""Under which name the keyring has the secret that claim links are made from: links are in no
database and in no backup of one, and the same refund has the same link after every restart."""


class RefundRequest(NamedTuple):
    """What a shop asks for; ``token`` is a symbol, or empty where only one came.

    ``is_approved`` says whether it needs no more than an address; ``to_sender`` lets it go back to
    the one address that paid, which the shop has to know is the customer's own.
    """

    variant: RefundVariant
    token: str = ""
    deduct_ppm: int = 0
    custom_pips: int = 0
    custom_token: str = ""
    reason: str = ""
    is_approved: bool = True
    to_sender: bool = False


class Claim(NamedTuple):
    """What the customer sees of a refund, and may still say."""

    document: RefundDocument
    shop: str
    is_open: bool
    parts: tuple[RefundDocument, ...]
    """Those that were claimed alone."""


class Refunds:
    """Opens refunds and moves them on until they are paid. Those methods that take a session run in
    its transaction."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        prices: Prices,
        keyring: Keyring,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy
        self._amounts = RefundAmounts(exchange, prices)
        self._claims: bytes | None = None
        self._tell: Callable[[Session, Invoice, int], None] = _nobody

    def tell(self, changed: Callable[[Session, Invoice, int], None]) -> None:
        """Let ``changed`` know from now on which invoice has other money left than it had, by a
        refund that its own movements have not opened."""
        self._tell = changed

    # What the shop asks for

    def create(
        self, store_id: str, invoice_id: str, request: RefundRequest
    ) -> RefundDocument | Rejection:
        """Open a refund of a store's invoice. Rejects NOT_FOUND, UNKNOWN_TOKEN, and as ``open``."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            wanted = self._wanted(session, invoice, request)
            if isinstance(wanted, Rejection):
                return wanted
            receiver = b""
            if request.to_sender:
                sender = self._sender(session, invoice, wanted.token)
                if isinstance(sender, Rejection):
                    return sender
                receiver = sender
            refund = self._open(session, invoice, wanted, request.reason, self._clock())
            if isinstance(refund, Rejection):
                return refund
            if request.is_approved:
                self.become(session, refund, RefundState.AWAITING_PAYMENT, EventType.REFUND_OPENED)
            else:
                self.record(session, refund, EventType.REFUND_OPENED)
            if receiver:
                self._take_claim(session, refund, receiver)
            self._tell(session, invoice, self._clock())
            return refund_document(self._exchange.catalog, refund)

    def open(
        self,
        session: Session,
        invoice: Invoice,
        *,
        token: bytes,
        pips: int,
        variant: RefundVariant,
        reason: str,
        now_ns: int,
    ) -> Refund | Rejection:
        """Make a refund that needs no more than an address, for a policy of the store.

        ``pips`` of ``token`` are given back where ``variant`` is CUSTOM; any other says itself how
        much. Rejections: see ``RefundAmounts.of``, and INVOICE_CLOSED for more than REFUNDS_MAX.
        """
        wanted = Wanted(token, variant, custom_pips=pips, custom_token=token)
        refund = self._open(session, invoice, wanted, reason, now_ns)
        if isinstance(refund, Refund):
            self.become(session, refund, RefundState.AWAITING_PAYMENT, EventType.REFUND_OPENED)
        return refund

    def _open(
        self, session: Session, invoice: Invoice, wanted: Wanted, reason: str, now_ns: int
    ) -> Refund | Rejection:
        session.flush()
        number = session.scalar(
            select(func.count()).select_from(Refund).where(Refund.invoice_id == invoice.id)
        )
        if (number or 0) >= REFUNDS_MAX:
            why = f"an invoice has at most {REFUNDS_MAX} refunds"
            return Rejection(Outcome.INVOICE_CLOSED, {"why": why})
        amounts = self._amounts.of(session, invoice, wanted)
        if isinstance(amounts, Rejection):
            return amounts
        refund = Refund(
            id="rfd_" + self._entropy(16).hex(),
            store_id=invoice.store_id,
            invoice_id=invoice.id,
            invoice=invoice,
            state=RefundState.AWAITING_APPROVAL,
            revision=0,
            variant=wanted.variant,
            reason=reason,
            token=amounts.token,
            pips=amounts.pips,
            of_token=wanted.token,
            of_pips=amounts.of_pips,
            worth_pips=amounts.worth_pips,
            created_ns=now_ns,
            claim_until_ns=now_ns + CLAIM_NS,
            receiver=b"",
            payer=Payer.NOBODY,
            next_ns=None,
            attempts=0,
            note="",
            sequence=0,
            tx_hash=None,
            of_paid=invoice.state is InvoiceState.SETTLED,
        )
        session.add(refund)
        session.flush()
        count_returned(session, invoice)
        return refund

    def _wanted(
        self, session: Session, invoice: Invoice, request: RefundRequest
    ) -> Wanted | Rejection:
        catalog = self._exchange.catalog
        custom = b""
        if request.custom_token:
            token = catalog.token(request.custom_token)
            if token is None:
                return Rejection(Outcome.UNKNOWN_TOKEN, {"token": request.custom_token})
            custom = token.address
        came = catalog.token(request.token) if request.token else None
        if request.token and came is None:
            return Rejection(Outcome.UNKNOWN_TOKEN, {"token": request.token})
        address = self._only_token(session, invoice) if came is None else came.address
        if address is None:
            why = "more than one token came: say which is given back"
            return Rejection(Outcome.UNKNOWN_TOKEN, {"why": why})
        return Wanted(address, request.variant, request.deduct_ppm, request.custom_pips, custom)

    def preview(self, store_id: str, invoice_id: str, symbol: str) -> Preview | Rejection:
        """Return what refunds of a token would come to. Rejects NOT_FOUND, and UNKNOWN_TOKEN for
        one that the invoice did not ask for and that did not come."""
        token = self._exchange.catalog.token(symbol)
        with reading(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or invoice.store_id != store_id:
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            known = {option.token for option in invoice.options}
            known |= set(booked_tokens(session, invoice_id))
            if token is None or token.address not in known:
                return Rejection(Outcome.UNKNOWN_TOKEN, {"token": symbol})
            return self._amounts.preview(session, invoice, token.address)

    def _only_token(self, session: Session, invoice: Invoice) -> bytes | None:
        """Return the token that came, where it is one; the invoice's where none did."""
        from_rows = booked_tokens(session, invoice.id)
        if len(from_rows) > 1:
            return None
        return from_rows[0] if from_rows else invoice.options[0].token

    def _sender(self, session: Session, invoice: Invoice, token: bytes) -> bytes | Rejection:
        senders = session.scalars(
            select(Payment.sender)
            .where(
                Payment.invoice_id == invoice.id,
                Payment.token == token,
                Payment.state != PaymentState.ORPHANED,
            )
            .distinct()
            .limit(2)
        ).all()
        if len(senders) != 1:
            why = "it did not come from one address alone: let the customer say where it goes"
            return Rejection(Outcome.BAD_RECEIVER, {"why": why})
        return self.receiver(session, "0x" + senders[0].hex())

    def approve(self, store_id: str, refund_id: str, revision: int) -> RefundDocument | Rejection:
        """Approve a refund as the shop has seen it; rejects INVOICE_CLOSED where it has changed
        since, or waits for no approval."""
        with transaction(self._database) as session:
            refund = self._own(session, store_id, refund_id)
            if isinstance(refund, Rejection):
                return refund
            if refund.state is not RefundState.AWAITING_APPROVAL:
                return _closed(refund, "it waits for no approval")
            if refund.revision != revision:
                return _closed(refund, "it has changed: look at it again")
            self.become(session, refund, RefundState.AWAITING_PAYMENT, EventType.REFUND_APPROVED)
            if refund.receiver:
                refund.next_ns = self._clock()
            return refund_document(self._exchange.catalog, refund)

    def cancel(self, store_id: str, refund_id: str) -> RefundDocument | Rejection:
        """Give a refund up; rejects INVOICE_CLOSED where it may be paid, or has ended."""
        with transaction(self._database) as session:
            refund = self._own(session, store_id, refund_id)
            if isinstance(refund, Rejection):
                return refund
            why = self.why_not_free(session, refund)
            if why:
                return _closed(refund, why)
            self._cancel(session, refund, "cancelled by the shop")
            return refund_document(self._exchange.catalog, refund)

    def mark_paid(self, store_id: str, refund_id: str, note: str) -> RefundDocument | Rejection:
        """Take the shop's word that it has paid otherwise; rejections as ``cancel``, and for one
        that is not approved."""
        with transaction(self._database) as session:
            refund = self._own(session, store_id, refund_id)
            if isinstance(refund, Rejection):
                return refund
            why = self.why_not_free(session, refund)
            if refund.state is RefundState.AWAITING_APPROVAL:
                why = "it is not approved"
            if why:
                return _closed(refund, why)
            refund.note, refund.next_ns = note or "marked as paid by the shop", None
            self.become(session, refund, RefundState.COMPLETED, EventType.REFUND_COMPLETED)
            return refund_document(self._exchange.catalog, refund)

    def why_not_free(self, session: Session, refund: Refund) -> str:
        """Return why nothing else may happen to a refund now; empty if it may."""
        if refund.state not in REFUNDS_OPEN:
            return f"it is {refund.state}"
        if live_withdrawal(session, refund.id) is not None:
            return "a withdrawal that pays it may still be taken, until it has expired"
        return ""

    def _own(self, session: Session, store_id: str, refund_id: str) -> Refund | Rejection:
        refund = session.get(Refund, refund_id)
        if refund is None or refund.store_id != store_id:
            return Rejection(Outcome.NOT_FOUND, {"refund": refund_id})
        return refund

    # What the customer asks for

    def claim_key(self, refund_id: str) -> str:
        """Return the secret of a refund's claim link: 256 bits, as in every link of it before."""
        secret = self._claim_secret()
        mac = hmac.new(secret, refund_id.encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(mac).decode().rstrip("=")

    def _claim_secret(self) -> bytes:
        if self._claims is None:
            try:
                self._claims = self._keyring.get(CLAIM_SECRET)
            except KeyError:
                with suppress(FileExistsError):  # Another thread was first.
                    self._keyring.put(CLAIM_SECRET, self._entropy(SECRET_SIZE))
                self._claims = self._keyring.get(CLAIM_SECRET)
        return self._claims

    def is_claimant(self, refund_id: str, key: str) -> bool:
        """Return whether ``key`` is that of the refund's link."""
        return hmac.compare_digest(self.claim_key(refund_id).encode(), key.encode())

    def claim_of(self, refund_id: str, key: str) -> Claim | None:
        """Return what the customer sees; None where the link is none. On any thread."""
        if not self.is_claimant(refund_id, key):
            return None
        with reading(self._database) as session:
            refund = session.get(Refund, refund_id)
            if refund is None:
                return None
            own = select(Refund).where(Refund.part_of == refund_id)
            rows = session.scalars(own.order_by(Refund.created_ns, Refund.id).limit(PARTS_MAX))
            document, *parts = (
                refund_document(self._exchange.catalog, row) for row in (refund, *rows)
            )
            return Claim(document, refund.invoice.store.name, is_claimable(refund), tuple(parts))

    def claim(
        self, refund_id: str, key: str, address: str, pips: int | None = None
    ) -> RefundDocument | Rejection:
        """Take the address that a refund goes to; the same again is the same claim. ``pips`` of it
        alone are a part, which leaves the rest to be claimed: asked twice it is two parts.

        Rejects NOT_FOUND, BAD_RECEIVER, and INVOICE_CLOSED where it was claimed for another
        address, unless the shop has still to approve it; a part as ``why_no_part``, and
        INVOICE_CLOSED where it is claimed as a whole.
        """
        if not self.is_claimant(refund_id, key):
            return Rejection(Outcome.NOT_FOUND, {"refund": refund_id})
        with transaction(self._database) as session:
            refund = session.get(Refund, refund_id)
            if refund is None:
                return Rejection(Outcome.NOT_FOUND, {"refund": refund_id})
            receiver = self.receiver(session, address)
            if isinstance(receiver, Rejection):
                return receiver
            if pips is None or pips == refund.pips:
                return self._claimed_whole(session, refund, receiver)
            return self._claimed_part(session, refund, receiver, pips)

    def _claimed_whole(
        self, session: Session, refund: Refund, receiver: bytes
    ) -> RefundDocument | Rejection:
        if receiver != refund.receiver:
            if not is_claimable(refund):
                why = "it goes to another address already" if refund.receiver else ""
                return _closed(refund, why or f"it is {refund.state}")
            self._take_claim(session, refund, receiver)
        return refund_document(self._exchange.catalog, refund)

    def _claimed_part(
        self, session: Session, refund: Refund, receiver: bytes, pips: int
    ) -> RefundDocument | Rejection:
        if refund.receiver or not is_claimable(refund):
            why = "it is claimed as a whole already" if refund.receiver else ""
            return _closed(refund, why or f"it is {refund.state}")
        token = self._exchange.catalog.token_by_address(refund.token)
        assert token is not None, "a listed token is never delisted"
        least = max(1, self._exchange.least_withdrawal(token))
        refused = why_no_part(session, refund, token, pips, least)
        if refused is not None:
            return refused
        part = split(session, refund, pips, "rfd_" + self._entropy(16).hex())
        self._take_claim(session, part, receiver)
        return refund_document(self._exchange.catalog, part)

    def receiver(self, session: Session, text: str) -> bytes | Rejection:
        """Return an address that can be paid; BAD_RECEIVER for one where money would be lost, or
        come back to the shop."""
        to = address_of_text(text.strip())
        if to is None:
            why = "it is not an address, or its EIP-55 checksum is wrong"
            return Rejection(Outcome.BAD_RECEIVER, {"why": why})
        if self._exchange.is_lost(to) or self._exchange.catalog.token_by_address(to) is not None:
            return Rejection(Outcome.BAD_RECEIVER, {"why": "what is paid there is lost"})
        ours = select(Invoice.id).where(Invoice.deposit_address == to).limit(1)
        if session.scalar(ours) is not None:
            why = "it is the payment address of an invoice: the shop would get it again"
            return Rejection(Outcome.BAD_RECEIVER, {"why": why})
        return to

    def _take_claim(self, session: Session, refund: Refund, receiver: bytes) -> None:
        refund.receiver = receiver
        if refund.state is RefundState.AWAITING_APPROVAL:
            refund.revision += 1
        else:
            refund.next_ns = self._clock()
        self.record(session, refund, EventType.REFUND_CLAIMED)

    # What happens by itself

    def expire_due(self, session: Session, _now_ns: int, turn: Turn) -> None:
        """Cancel what nobody has claimed in time."""
        for refund in turn.rows(session, UNCLAIMED):
            self._cancel(session, refund, "nobody claimed it in time")

    def weigh(self, session: Session, invoice: Invoice) -> None:
        """Give up refunds of money that the chain has taken back for good, the newest first; call
        it when that is more than it was, or when one of them is open again. What is in progress
        cannot be stopped any more."""
        session.flush()
        query = select(Refund).where(
            Refund.invoice_id == invoice.id, Refund.state.in_(REFUNDS_OPEN)
        )
        for refund in session.scalars(query.order_by(Refund.created_ns.desc(), Refund.id)):
            booked = booked_pips(session, invoice.id, refund.of_token, NOT_GONE)
            if refunded_pips(session, invoice.id, refund.of_token) <= booked:
                continue
            if not self.why_not_free(session, refund):
                self._cancel(session, refund, "its payment has left the chain")
                session.flush()

    def _cancel(self, session: Session, refund: Refund, note: str) -> None:
        refund.note, refund.next_ns = note, None
        self.become(session, refund, RefundState.CANCELLED, EventType.REFUND_CANCELLED)
        count_returned(session, refund.invoice)
        self._tell(session, refund.invoice, self._clock())

    def become(self, session: Session, refund: Refund, state: RefundState, kind: EventType) -> None:
        """Move a refund on and tell the shop."""
        refund.state = moved(REFUND_EDGES, refund.state, state)
        self.record(session, refund, kind)

    def record(self, session: Session, refund: Refund, kind: EventType) -> None:
        """Tell the shop something about a refund."""
        catalog, invoice = self._exchange.catalog, refund.invoice
        session.flush()
        events.record(session, catalog, invoice, kind, self._clock(), refund=refund)


def _nobody(session: Session, invoice: Invoice, now_ns: int) -> None:
    """Nobody has asked to be told yet."""


def is_claimable(refund: Refund) -> bool:
    """Return whether the customer may still say where it goes."""
    if refund.state is RefundState.AWAITING_APPROVAL:
        return True
    return refund.state is RefundState.AWAITING_PAYMENT and not refund.receiver


def live_withdrawal(session: Session, refund_id: str) -> RefundWithdrawal | None:
    """Return the withdrawal that may still pay a refund."""
    return session.scalar(
        select(RefundWithdrawal).where(
            RefundWithdrawal.refund_id == refund_id, RefundWithdrawal.outcome.is_(None)
        )
    )


def booked_tokens(session: Session, invoice_id: str) -> list[bytes]:
    """Return which tokens the engine has booked for an invoice."""
    from_rows = select(Credit.token).where(Credit.invoice_id == invoice_id).distinct()
    return sorted(session.scalars(from_rows))


def _closed(refund: Refund, why: str) -> Rejection:
    return Rejection(Outcome.INVOICE_CLOSED, {"status": refund.state, "why": why})
