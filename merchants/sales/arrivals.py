"""What came for an invoice, by whatever road, and where is it now?

Two witnesses. The chain watcher tells of transfers to the invoice's address and away from it; the
engine tells what it booked with the invoice's reference. What left the address in the transaction
that a booking names was swept there; every other booking came straight into the vault. So what
came is what is booked and what lies at the address: a sum, in which no token counts twice.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy.orm import Session

from engine.types import MONEY_MAX
from merchants.documents.native import listed
from merchants.records.amounts import DUST_SHARE, counted
from merchants.records.options import option_of
from merchants.records.others import new_other, other_of
from merchants.records.states import ON_CHAIN, PAYMENT_EDGES, CreditState, PaymentState, moved
from merchants.records.tables import Credit, Invoice, Payment, Sweep
from merchants.records.together import Place, Placed, row_at
from settlement.orders.catalog import Catalog, Token
from settlement.ports import Transfer
from settlement.protocol.evidence import DepositEvidence

PAYMENTS_MAX: Final = 1_024
"""Transfers kept an invoice; above it dust is no longer noticed until it is swept with others."""

_UNBOOKED: Final = (PaymentState.DETECTED, PaymentState.CONFIRMING)
_UNCONFIRMED: Final = (PaymentState.DETECTED, PaymentState.ORPHANED)


class Deposit(NamedTuple):
    """A deposit the engine booked at ``booked_ns``; ``token`` is an address."""

    token: bytes
    amount_pips: int
    evidence: DepositEvidence
    sequence: int
    booked_ns: int


class Arrivals:
    """Keeps the rows about what came. Every method runs in its caller's transaction; call
    ``count`` when all that is new about an invoice is in its rows."""

    def __init__(
        self,
        catalog: Catalog,
        booking_ns: int,
        confirmations: int,
        is_other_dust: Callable[[Invoice, bytes, int], bool],
    ) -> None:
        """``booking_ns`` is how long a deposit may take from its block into the journal,
        ``confirmations`` how deep a block is when nothing in it is expected to go away;
        ``is_other_dust`` is whether pips of a token that was not offered are worth no word."""
        self._catalog = catalog
        self._is_other_dust = is_other_dust
        self._booking_ns = booking_ns
        self._confirmations = confirmations

    def transfer(
        self, session: Session, invoice: Invoice, transfer: Transfer, now_ns: int
    ) -> Payment | None:
        """Take a transfer to the invoice's address; return it when it is new and no dust."""
        place = (transfer.tx_hash, transfer.log_index)
        payment = _at(invoice.payments, place) or row_at(session, Payment, place)
        state = PaymentState.CONFIRMING if transfer.confirmations else PaymentState.DETECTED
        is_news = payment is None
        if payment is None:
            is_dust = self.is_dust(invoice, transfer.token, transfer.raw_amount)
            if is_dust and len(invoice.payments) >= PAYMENTS_MAX:
                return None
            payment = Payment(
                store_id=invoice.store_id,
                tx_hash=transfer.tx_hash,
                log_index=transfer.log_index,
                state=state,
                token=transfer.token,
                sender=transfer.sender,
                raw=str(transfer.raw_amount),
                seen_ns=now_ns,
            )
            invoice.payments.append(payment)
            is_news = not is_dust
        elif payment.state is not state and payment.state in _UNCONFIRMED:
            payment.state = moved(PAYMENT_EDGES, payment.state, state)
        # A node that lags behind another makes no block less deep.
        known = payment.confirmations if payment.block_number == transfer.block_number else 0
        payment.block_number = transfer.block_number
        payment.block_time_s = transfer.block_time_s
        payment.confirmations = max(known, transfer.confirmations)
        return payment if is_news else None

    def leaving(self, session: Session, invoice: Invoice, transfer: Transfer) -> None:
        """Take a transfer away from the invoice's address."""
        place = (transfer.tx_hash, transfer.log_index)
        sweep = _at(invoice.sweeps, place) or row_at(session, Sweep, place)
        if sweep is None:
            sweep = Sweep(
                tx_hash=transfer.tx_hash,
                log_index=transfer.log_index,
                invoice_id=invoice.id,
                token=transfer.token,
                raw=str(transfer.raw_amount),
                is_booked=False,
            )
            invoice.sweeps.append(sweep)
        elif sweep.raw != str(transfer.raw_amount):
            # Included again it moves something else: what was booked of it before is as it was.
            sweep.raw, sweep.is_booked = str(transfer.raw_amount), False
        sweep.block_number = transfer.block_number
        behind = [
            credit
            for credit in invoice.credits
            if (credit.tx_hash, credit.token) == (transfer.tx_hash, transfer.token)
            and credit.log_index > transfer.log_index
            and credit.swept_raw == "0"
        ]
        if behind and not sweep.is_booked:
            credit = min(behind, key=_index)
            credit.swept_raw, sweep.is_booked = sweep.raw, True

    def orphaned(self, session: Session, tx_hash: bytes, log_index: int) -> Invoice | None:
        """Take back a transfer whose block left the chain; return whose it was.

        What was booked stays: ``merchants.sales.reversals`` follows the deposit itself.
        """
        sweep = session.get(Sweep, (tx_hash, log_index))
        if sweep is not None:
            invoice = session.get_one(Invoice, sweep.invoice_id)
            if not sweep.is_booked:
                invoice.sweeps.remove(sweep)
                session.delete(sweep)
            return invoice
        payment = session.get(Payment, (tx_hash, log_index))
        if payment is None:
            return None
        if payment.state is not PaymentState.FINAL:
            self.orphan(payment)
        return session.get_one(Invoice, payment.invoice_id)

    def orphan(self, payment: Payment) -> None:
        """Let a transfer count no more: it is in no block."""
        if payment.state is not PaymentState.ORPHANED:
            payment.state = moved(PAYMENT_EDGES, payment.state, PaymentState.ORPHANED)
            payment.confirmations = 0

    def credit(self, invoice: Invoice, deposit: Deposit) -> Credit | None:
        """Take what the engine booked; return it if this command is new."""
        evidence = deposit.evidence
        if any(credit.sequence == deposit.sequence for credit in invoice.credits):
            return None
        before = [
            sweep
            for sweep in invoice.sweeps
            if (sweep.tx_hash, sweep.token) == (evidence.tx_hash, deposit.token)
            and sweep.log_index < evidence.log_index
            and not sweep.is_booked
        ]
        sweep = max(before, key=_index, default=None)
        if sweep is not None:
            sweep.is_booked = True
        credit = Credit(
            store_id=invoice.store_id,
            tx_hash=evidence.tx_hash,
            log_index=evidence.log_index,
            invoice_id=invoice.id,
            token=deposit.token,
            amount_pips=deposit.amount_pips,
            sequence=deposit.sequence,
            swept_raw="0" if sweep is None else sweep.raw,
            booked_ns=deposit.booked_ns,
            block_number=evidence.block_number,
            state=CreditState.BOOKED,
            missed_at_block=None,
        )
        invoice.credits.append(credit)
        option = option_of(invoice, deposit.token)
        if option is not None:
            option.credited_pips = counted(option.credited_pips, deposit.amount_pips)
        return credit

    def count_booked(self, invoice: Invoice) -> None:
        """Count anew what is booked in the options: a reorganisation has moved some of it."""
        for option in invoice.options:
            option.credited_pips = 0
            for credit in invoice.credits:
                if credit.token == option.token and credit.state in ON_CHAIN:
                    option.credited_pips = counted(option.credited_pips, credit.amount_pips)

    def count(self, invoice: Invoice) -> dict[bytes, int]:
        """Bring the invoice's sums and its payments' states up to date; return what lies at its
        address in blocks, in pips by token."""
        booked = [credit for credit in invoice.credits if credit.state in ON_CHAIN]
        brought = {(credit.tx_hash, credit.token) for credit in booked}
        emptied: dict[bytes, int] = {}
        for sweep in invoice.sweeps:
            if sweep.is_booked and (sweep.tx_hash, sweep.token) in brought:
                emptied[sweep.token] = max(sweep.block_number, emptied.get(sweep.token, 0))
        came: dict[bytes, list[Payment]] = {option.token: [] for option in invoice.options}
        came |= {credit.token: [] for credit in invoice.credits}
        for payment in sorted(invoice.payments, key=_age):
            of_token = came.setdefault(payment.token, [])
            if payment.state is not PaymentState.ORPHANED:
                of_token.append(payment)
        lying: dict[bytes, int] = {}
        for address, payments in sorted(came.items()):
            token = listed(self._catalog.token_by_address(address))
            bookings = [credit for credit in booked if credit.token == address]
            swept = sum(_swept_raw(token, credit) for credit in bookings)
            raw = _finalise(payments, token, swept, emptied.get(address))
            option = option_of(invoice, address)
            if option is not None:
                # Sum before dividing: transfers of half a pip each are swept as whole pips. More
                # than the exchange can hold would be refused as a deposit, and no column holds it.
                option.seen_pips = min(token.pips_of(raw), MONEY_MAX)
                option.timely_pips = self._timely_pips(invoice, token, payments, bookings)
            else:
                self._count_other(invoice, token, payments, bookings, raw)
            announced = sum(
                int(payment.raw) for payment in payments if payment.state is PaymentState.DETECTED
            )
            lying[address] = token.pips_of(max(0, raw - announced))
        return {address: pips for address, pips in lying.items() if pips}

    def _count_other(
        self,
        invoice: Invoice,
        token: Token,
        payments: Sequence[Payment],
        bookings: Sequence[Credit],
        lying_raw: int,
    ) -> None:
        """Count what came of a token that was not offered: as far as its blocks are deep enough,
        for what it is worth is asked once."""
        unsure = sum(
            int(payment.raw)
            for payment in payments
            if payment.state in _UNBOOKED and payment.confirmations < self._confirmations
        )
        seen = min(token.pips_of(max(0, lying_raw - unsure)), MONEY_MAX)
        booked = min(sum(credit.amount_pips for credit in bookings), MONEY_MAX)
        other = other_of(invoice, token.address)
        if other is None and seen == 0 and booked == 0:
            return
        other = other or new_other(invoice, token.address)
        other.seen_pips, other.credited_pips = seen, booked
        timely = self._timely_pips(invoice, token, payments, bookings)
        other.timely_pips = min(timely, other.came_pips)

    def _timely_pips(
        self,
        invoice: Invoice,
        token: Token,
        payments: Sequence[Payment],
        bookings: Sequence[Credit],
    ) -> int:
        """Return what came of ``token`` before the expiry."""
        timely = token.pips_of(
            sum(
                int(payment.raw)
                for payment in payments
                # What was announced and is in no block yet has not come in time.
                if payment.state is not PaymentState.DETECTED
                and _paid_ns(payment) <= invoice.expires_ns
            )
        )
        timely += sum(
            credit.amount_pips
            for credit in bookings
            if credit.swept_raw == "0"
            # The evidence does not say when its block was; waiting to be deep enough is not late.
            and credit.booked_ns - self._booking_ns <= invoice.expires_ns
        )
        return min(timely, MONEY_MAX)

    def is_unsure(self, invoice: Invoice, confirmations: int) -> bool:
        """Return whether a transfer to its address or away from it may still leave the chain."""
        return not all(sweep.is_booked for sweep in invoice.sweeps) or any(
            payment.state is PaymentState.CONFIRMING and payment.confirmations < confirmations
            for payment in invoice.payments
        )

    def is_dust(self, invoice: Invoice, address: bytes, raw: int) -> bool:
        """Return whether a transfer is too small to tell anybody of."""
        token = listed(self._catalog.token_by_address(address))
        option = option_of(invoice, address)
        if option is None:
            return self._is_other_dust(invoice, address, token.pips_of(raw))
        return token.pips_of(raw) * DUST_SHARE < option.due_pips


def _finalise(
    payments: Sequence[Payment], token: Token, swept_raw: int, emptied: int | None
) -> int:
    """Call payments final that were swept; return the raw units that lie at the address.

    A sweep in block ``emptied`` left less than a pip of what came in blocks before, whatever
    those transfers said of their amounts: a token may keep a part for itself. What came in its
    own block may be before or behind it, and only the amounts tell.
    """
    before = beside = after = 0
    for payment in payments:
        raw, block = int(payment.raw), payment.block_number
        if emptied is not None and block < emptied:
            before += raw
            is_swept = True
        else:
            beside += raw * (block == emptied)
            after += raw * (block != emptied)
            is_swept = token.pips_of(before + beside + after) <= token.pips_of(swept_raw)
        if is_swept and payment.state is not PaymentState.FINAL:
            payment.state = moved(PAYMENT_EDGES, payment.state, PaymentState.FINAL)
    if emptied is None or beside:
        return max(0, before + beside + after - swept_raw)
    return min(max(0, before - swept_raw), max(token.unit_scale, 1) - 1) + after


def _at(rows: Sequence[Placed], place: Place) -> Placed | None:
    return next((row for row in rows if (row.tx_hash, row.log_index) == place), None)


def _index(row: Sweep | Credit) -> int:
    return row.log_index


def _swept_raw(token: Token, credit: Credit) -> int:
    return token.raw_of(credit.amount_pips) if credit.swept_raw is None else int(credit.swept_raw)


def _paid_ns(payment: Payment) -> int:
    return payment.block_time_s * 10**9 or payment.seen_ns


def _age(payment: Payment) -> tuple[int, int]:
    return payment.block_number, payment.log_index
