"""What is owed, is it paid, and what does an invoice become of it?

``Arrivals`` knows what came. Money that was there in full before the expiry is counted at the
quotes of the options that it came in: a quote is the store's word. All other money is weighed when
it is booked: *settled* means that what came sells for the price, within the store's tolerance, and
what does not is short by so much.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.documents.native import LeftOut, listed
from merchants.documents.sums import unsold_pips
from merchants.records.amounts import DUST_SHARE, decimal_of_pips
from merchants.records.asks import count_open
from merchants.records.confirmations import wanted_of
from merchants.records.due import AWAY, DEEP, STUCK, TO_JUDGE, UNPAID
from merchants.records.exception_policies import (
    ExceptionAction,
    ExceptionPolicy,
    exception_policy_of,
    keep_all,
)
from merchants.records.options import option_of
from merchants.records.others import other_of
from merchants.records.refunds import Refund, RefundState
from merchants.records.rejection import Rejection
from merchants.records.shares import (
    booked_pips,
    came_worth_pips,
    credited_pips,
    received_pips,
    timely_pips,
    ways_of,
    worth_pips,
)
from merchants.records.states import (
    EXCEPTION_EDGES,
    INVOICE_EDGES,
    UNSURE,
    CreditState,
    InvoiceException,
    InvoiceState,
    moved,
)
from merchants.records.tables import Credit, Invoice, Payment, Store
from merchants.records.turns import Turn
from merchants.sales.adopted import was_sold
from merchants.sales.arrivals import Arrivals, Deposit
from merchants.sales.asked import InvoiceRequest, Sources, asked_of, why_malformed, why_taken
from merchants.sales.confirmations import deep_at
from merchants.sales.conversions import NOTHING, Conversions
from merchants.sales.drawn_up import drawn_up, written
from merchants.sales.exceptions import OpensRefunds, Returns
from merchants.sales.offers import Offers
from merchants.sales.others import Others
from merchants.sales.reference_prices import NoPrice
from merchants.sales.refund_amounts import count_returned, refunds_on_top
from merchants.sales.sweeps import Sweeps
from merchants.sales.tolerance import (
    SWEEP_LEAST_PIPS,
    dust_pips,
    is_all_dust,
    least_pips,
    tolerated_pips,
)
from merchants.stores.closing import why_shut
from merchants.webhooks import events
from merchants.webhooks.event_types import EventType
from settlement.ports import ExchangePort, SettlementPort, Transfer
from settlement.protocol.eip712 import keccak256

JUDGE_RETRY_NS: Final = 10 * 10**9
"""What came late waits for a price to be weighed at; it is asked for again so often."""

FINALITY_LIMIT_NS: Final = 24 * 3600 * 10**9
"""How long an invoice may stay processing before it is called invalid."""

LEAST: Final = decimal_of_pips(SWEEP_LEAST_PIPS)

BLOCK_NS: Final = 12 * 10**9
"""The longest usual time between two blocks."""

WATCHED_NS: Final = 30 * 24 * 3600 * 10**9
"""How long after an invoice was made a payment to its address is still noticed by itself."""

REQUOTES_MAX: Final = 10
"""Most new prices of one invoice: each is another quarter of an hour in which the payer chooses."""

RETURN: Final = ExceptionAction.RETURN
REQUOTE: Final = ExceptionAction.REQUOTE

REVERSED: Final = InvoiceException.REVERSED


class _Worth(NamedTuple):
    """What a sale of all that is booked brings, and the price of its last lot by token; not
    ``is_whole`` where some of it has no price now, and is worth nothing here."""

    pips: int
    ticks: dict[bytes, int]
    is_whole: bool


class Invoices:
    """Creates invoices and moves them on. Every method runs in its caller's transaction."""

    def __init__(
        self,
        exchange: ExchangePort,
        settlement: SettlementPort,
        conversions: Conversions,
        sources: Sources,
        entropy: Callable[[int], bytes],
        confirmations_required: int,
        refunds: OpensRefunds,
    ) -> None:
        self._exchange = exchange
        self._settlement = settlement
        self._conversions = conversions
        self._sources = sources
        self._prices = sources.prices
        self._entropy = entropy
        self._confirmations_required = confirmations_required
        self._returns = Returns(refunds)
        refunds.tell(self.returned)
        self._offers = Offers(exchange, sources.prices)
        self._others = Others(exchange, sources.prices, self._offers)
        self._arrivals = Arrivals(
            exchange.catalog,
            confirmations_required * BLOCK_NS,
            confirmations_required,
            self._others.is_dust,
        )
        self.sweeps = Sweeps(exchange, settlement, sources.prices, self._arrivals)

    def create(
        self,
        session: Session,
        store: Store,
        request: InvoiceRequest,
        now_ns: int,
        *,
        is_pressed: bool = False,
    ) -> Invoice | Rejection:
        """Price ``request``, which is a customer's where it ``is_pressed``.

        Rejects INVOICE_CLOSED for a store that takes none now, MALFORMED, also for less than a
        sweep is worth, UNKNOWN_TOKEN, NO_QUOTE, CANNOT_SELL where the key could not sell what
        would come, IDEMPOTENCY_CONFLICT a second one of an order that may have one."""
        malformed = why_malformed(request) or why_shut(store)
        if malformed is not None:
            return malformed
        settle = listed(self._exchange.catalog.token_by_address(store.settle))
        asked = asked_of(request, settle, self._sources, now_ns)
        if isinstance(asked, Rejection):
            return asked
        if asked.pips < SWEEP_LEAST_PIPS:
            return Rejection(Outcome.MALFORMED, {"amount": request.amount, "least": LEAST})
        taken = why_taken(session, store.id, request, is_unique=store.unique_orders)
        if taken is not None:
            return taken
        offered = self._offers.make(
            session, store, asked.pips, request.tokens, now_ns, is_pressed=is_pressed
        )
        if isinstance(offered, Rejection):
            return offered

        invoice_id = "inv_" + self._entropy(16).hex()
        ref = keccak256(invoice_id.encode())
        address = self._settlement.deposit_address(store.wallet, ref)
        invoice = drawn_up(store, request, asked, offered, now_ns)
        invoice.id, invoice.ref, invoice.deposit_address = invoice_id, ref, address
        invoice.is_pressed = is_pressed
        invoice.confirmations = wanted_of(session, store.id, asked.pips)
        count_open(session, invoice, 1)
        session.add(invoice)
        self._record(session, invoice, EventType.INVOICE_CREATED, now_ns)
        return invoice

    def requote(self, session: Session, invoice: Invoice, now_ns: int) -> Rejection | None:
        """Let an expired invoice be paid at new quotes, for as long as a new one; what came counts
        at them too, so that only the rest is asked for.

        Rejects INVOICE_CLOSED where it has not expired, was given REQUOTES_MAX new prices, is too
        old to be watched for that long, or money of it was given back; and as ``create`` where it
        cannot be priced. Then nothing changes.
        """
        why = self._why_not_anew(session, invoice, now_ns)
        if why:
            return Rejection(Outcome.INVOICE_CLOSED, {"invoice": invoice.id, "why": why})
        left_out = msgspec.json.decode(invoice.left_out, type=list[LeftOut])
        catalog = self._exchange.catalog
        symbols = {listed(catalog.token_by_address(one.token)).symbol for one in invoice.options}
        symbols |= {one.token for one in left_out}
        offered = self._offers.renew(session, invoice, tuple(sorted(symbols)), now_ns)
        if isinstance(offered, Rejection):
            return offered
        invoice.left_out = written(offered)
        invoice.expires_ns = now_ns + invoice.store.lifetime_s * 10**9
        invoice.requotes += 1
        self._others.start_anew(session, invoice)
        invoice.short_pips, invoice.judge_at_ns = 0, None
        self._go(session, invoice, InvoiceState.NEW, EventType.INVOICE_REQUOTED, now_ns)
        self._move_on(session, invoice, now_ns)
        return None

    def _why_not_anew(self, session: Session, invoice: Invoice, now_ns: int) -> str:
        """Return why an invoice gets no new price; empty if it may."""
        shut = why_shut(invoice.store)
        if shut is not None:
            return shut.detail["why"]
        if invoice.state is not InvoiceState.EXPIRED:
            return "only what has expired gets a new price"
        if invoice.requotes >= REQUOTES_MAX:
            return f"it was given {REQUOTES_MAX} new prices"
        if invoice.wallet != invoice.store.wallet:
            return "its address pays into a wallet that the store has left"
        ends_ns = now_ns + invoice.store.lifetime_s * 10**9 + FINALITY_LIMIT_NS
        if ends_ns > invoice.created_ns + WATCHED_NS:
            return "it is so old that nobody would see it paid; make another"
        given_back = select(Refund.id).where(
            Refund.invoice_id == invoice.id, Refund.state != RefundState.CANCELLED
        )
        if session.scalar(given_back.limit(1)) is not None:
            return "what came for it is given back"
        return ""

    def is_at_rest(self, invoice: Invoice) -> bool:
        """Return whether nothing that came, or is asked for, has still to be followed on chain."""
        unsure = self._arrivals.is_unsure(invoice, self._confirmations_required)
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
        credit = self._arrivals.credit(invoice, deposit)
        if credit is None:
            return
        invoice.sweep_tries = 0
        if invoice.state is not InvoiceState.SETTLED:
            invoice.judge_at_ns = now_ns
        if option_of(invoice, deposit.token) is None:
            self._take_other(session, invoice, credit, now_ns)
        self._move_on(session, invoice, now_ns)

    def _take_other(self, session: Session, invoice: Invoice, credit: Credit, now_ns: int) -> None:
        """Tell of money that was not asked for, and give it back where the store's policy says so
        and nothing of it has counted."""
        if self._others.is_dust(invoice, credit.token, credit.amount_pips):
            return
        kind, catalog = EventType.INVOICE_OTHER_TOKEN, self._exchange.catalog
        events.record(session, catalog, invoice, kind, now_ns, deposit=credit)
        other = other_of(invoice, credit.token)
        has_counted = other is not None and other.valued_pips > 0
        policy = exception_policy_of(session, invoice.store_id)
        if policy.other_token is RETURN and not has_counted:
            why = "it is of a token that was not asked for"
            self._returns.all_of(session, invoice, [credit.token], why, now_ns)

    def returned(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Take what refunds of it gave back, or give back no more. Once it is settled that changes
        nothing: what is given back then has paid."""
        if invoice.state is not InvoiceState.SETTLED:
            self._move_on(session, invoice, now_ns)

    def orphan(self, payment: Payment) -> None:
        """Let a transfer that was final count no more; ``recount`` has to follow."""
        self._arrivals.orphan(payment)

    def recount(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Count anew what came: a reorganisation has moved, taken away or brought back some."""
        self._arrivals.count_booked(invoice)
        if invoice.state in AWAY and credited_pips(invoice):
            invoice.judge_at_ns = now_ns
        self._move_on(session, invoice, now_ns)

    def take_back(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Some of its money is gone and has had its time to come back: sell no more than is
        covered, and say so if what is left does not pay it any more."""
        self._conversions.take_back(session, invoice)
        on_top = refunds_on_top(session, invoice, _was_over_pips(invoice))
        given_back = sum(refund.worth_pips for refund in on_top)
        if invoice.state is InvoiceState.SETTLED and not _is_paid_still(invoice, given_back):
            invoice.exception = moved(EXCEPTION_EDGES, invoice.exception, REVERSED)
            self._go(session, invoice, InvoiceState.INVALID, EventType.INVOICE_REVERSED, now_ns)
            for refund in on_top:
                refund.of_paid = False  # It was not of the price, which what is left does not pay.
            count_returned(session, invoice)
        self._move_on(session, invoice, now_ns)

    def value_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Look again for the price of other tokens that came and had none."""
        for invoice in self._others.due(session, turn):
            self._move_on(session, invoice, now_ns)

    def expire_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Expire what was not paid in time, and give up on what never became final."""
        for invoice in turn.rows(session, UNPAID):
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
            self._move_on(session, invoice, now_ns)

        for invoice in turn.rows(session, STUCK):
            self._go(session, invoice, InvoiceState.INVALID, EventType.INVOICE_INVALID, now_ns)
            self._move_on(session, invoice, now_ns)

    def judge_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Weigh what came late or in part, once for all that is booked, as soon as there is a
        price; later only if more comes: a price that rises afterwards pays nobody's invoice."""
        for invoice in turn.rows(session, TO_JUDGE):
            if _is_unsure(invoice) or _is_back(invoice):
                # It is looked at again where it is found, or in the block where it is deep enough.
                invoice.judge_at_ns = now_ns + JUDGE_RETRY_NS if _is_unsure(invoice) else None
                continue
            worth = self._worth(session, invoice, now_ns)
            short = max(0, invoice.amount_pips - worth.pips)
            policy = exception_policy_of(session, invoice.store_id)
            if invoice.exception is REVERSED:
                # Some of what came was sold: who gives that back gives back other money.
                policy = keep_all(invoice.store_id)
            elif was_sold(session, invoice):
                # It was enough when it was weighed, before these rows were set back.
                short, policy = 0, keep_all(invoice.store_id)
            invoice.judge_at_ns = None
            if short <= tolerated_pips(invoice) and not self._is_deep(invoice):
                invoice.deep_at_block = None  # It is weighed again, at the price of then.
                invoice.judge_at_ns = now_ns + JUDGE_RETRY_NS
                continue
            if short > tolerated_pips(invoice):
                known = short if worth.is_whole else None
                self._take_short(session, invoice, policy, known, now_ns)
                continue
            if policy.late is RETURN and self._gave_back(session, invoice, "it came late", now_ns):
                continue
            if policy.late is REQUOTE and self._requoted(session, invoice, now_ns):
                continue
            invoice.short_pips, invoice.late, invoice.processing_ns = 0, True, now_ns
            invoice.over_pips = max(0, received_pips(invoice) - invoice.amount_pips)
            processing, settled = EventType.INVOICE_PROCESSING, EventType.INVOICE_SETTLED
            self._go(session, invoice, InvoiceState.PROCESSING, processing, now_ns)
            self._go(session, invoice, InvoiceState.SETTLED, settled, now_ns)
            # It was weighed at these prices, so it is sold at these prices or not at all.
            self._conversions.open(session, invoice, now_ns, worth.ticks)
            self._move_on(session, invoice, now_ns)

    def _take_short(
        self,
        session: Session,
        invoice: Invoice,
        policy: ExceptionPolicy,
        short_pips: int | None,
        now_ns: int,
    ) -> None:
        """Do with money that is not enough what the store's policy says. How much is missing is
        None where some of it has no price: then it waits, unless it goes back whatever it is."""
        if short_pips is None:
            always = policy.late is RETURN and policy.short is RETURN
            if not always or not self._gave_back(session, invoice, "it came late", now_ns):
                invoice.judge_at_ns = now_ns + JUDGE_RETRY_NS
            return
        if policy.short is REQUOTE and self._requoted(session, invoice, now_ns):
            return
        self._report_short(session, invoice, short_pips, now_ns)
        if policy.short is RETURN:
            self._gave_back(session, invoice, "less came than was asked for", now_ns)

    def _gave_back(self, session: Session, invoice: Invoice, why: str, now_ns: int) -> bool:
        """Give back by policy all that came in the options; return whether anything is."""
        tokens = [way.token for way in ways_of(invoice)]
        is_done = not is_all_dust(invoice) and self._returns.all_of(
            session, invoice, tokens, why, now_ns
        )
        if is_done:
            invoice.short_pips = 0
        return is_done

    def _requoted(self, session: Session, invoice: Invoice, now_ns: int) -> bool:
        """Make a new price by policy; return whether there is one. Once by itself: whoever pays a
        little again and again chooses no price."""
        if invoice.requotes or is_all_dust(invoice):
            return False
        if self.requote(session, invoice, now_ns) is not None:
            return False
        if invoice.state is InvoiceState.NEW:
            invoice.judge_at_ns = now_ns  # As soon as it has expired again.
        return True

    def _report_short(
        self, session: Session, invoice: Invoice, short_pips: int, now_ns: int
    ) -> None:
        """Say how much is missing; dust, which anybody may send, neither is nor changes it."""
        is_dust = is_all_dust(invoice)
        if invoice.short_pips:
            is_dust = abs(invoice.short_pips - short_pips) * DUST_SHARE < invoice.amount_pips
        if not is_dust:
            invoice.short_pips = short_pips
            self._record(session, invoice, EventType.INVOICE_SHORT, now_ns)

    def _worth(self, session: Session, invoice: Invoice, now_ns: int) -> _Worth:
        """Return the sale of what is booked and not given back, at prices that count."""
        worth, ticks, is_whole = self._others.weigh(session, invoice, now_ns)
        for option in invoice.options:
            if option.token == invoice.settle:
                worth += booked_pips(option)
                continue
            market = self._exchange.catalog.market_of_pair(option.token, invoice.settle)
            assert market is not None, "what is offered has a market"
            booked = booked_pips(option)
            if booked == 0:
                continue
            quote = self._prices.worth(market, booked, now_ns)
            if isinstance(quote, NoPrice):
                is_whole = False
                continue
            ticks[option.token] = quote.worst_ticks
            worth += quote.proceeds_pips
        return _Worth(worth, ticks, is_whole)

    def _move_on(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Take every edge that what came now allows."""
        lying = self._arrivals.count(invoice)
        self._others.value(session, invoice, now_ns)
        least = least_pips(invoice)
        full = received_pips(invoice) >= least
        booked = credited_pips(invoice) >= least
        timely = timely_pips(invoice) >= least
        new, processing = InvoiceState.NEW, InvoiceState.PROCESSING
        if invoice.state is new and full and not timely and now_ns > invoice.expires_ns:
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
        waits = invoice.state is new or (invoice.state is InvoiceState.EXPIRED and timely)
        unsure, has_come_back = _is_unsure(invoice), _is_back(invoice)
        is_back = has_come_back and self._is_deep(invoice)
        may_revive = invoice.state is InvoiceState.INVALID and not unsure and not has_come_back
        revives = may_revive and booked and timely
        if (full and waits) or revives or is_back:
            invoice.processing_ns = now_ns
            self._go(session, invoice, processing, EventType.INVOICE_PROCESSING, now_ns)
        elif not full and invoice.state is processing:
            self._go(session, invoice, new, EventType.INVOICE_REOPENED, now_ns)

        if is_back:  # At whatever price: it has been worth it.
            self._go(session, invoice, InvoiceState.SETTLED, EventType.INVOICE_SETTLED, now_ns)
        elif booked and invoice.state is processing and (unsure or not self._is_deep(invoice)):
            pass  # It is looked at again in the block in which it is deep enough.
        elif booked and invoice.state is processing and timely:
            self._go(session, invoice, InvoiceState.SETTLED, EventType.INVOICE_SETTLED, now_ns)
        elif booked and invoice.state is processing:
            # It was seen in time and came otherwise, later: it is weighed like all late money.
            self._go(session, invoice, InvoiceState.EXPIRED, EventType.INVOICE_EXPIRED, now_ns)
        self._classify(invoice)
        if invoice.state is InvoiceState.SETTLED:
            invoice.judge_at_ns, invoice.short_pips = None, 0
            self._report_over(session, invoice, now_ns)
        if unsure:
            return  # What has left the chain may come back, by the sweep that there was.
        if invoice.state is InvoiceState.SETTLED:
            returned = self._return_over(session, invoice, now_ns)
            self._conversions.open(session, invoice, now_ns, returned=returned)
        self.sweeps.plan(invoice, lying, now_ns)

    def _is_deep(self, invoice: Invoice) -> bool:
        """Return whether enough is as deep as the store wants, or note in which block it will."""
        newest = self._settlement.newest_block()
        invoice.deep_at_block = deep_at(invoice, least_pips(invoice), newest)
        return invoice.deep_at_block is None

    def deep_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Settle what is deep enough by now."""
        for invoice in turn.rows(session, DEEP):
            invoice.deep_at_block = None
            self._move_on(session, invoice, now_ns)

    def _go(
        self, session: Session, invoice: Invoice, state: InvoiceState, kind: EventType, now_ns: int
    ) -> None:
        was_open, is_open = (one is InvoiceState.NEW for one in (invoice.state, state))
        invoice.state = moved(INVOICE_EDGES, invoice.state, state)
        if was_open != is_open:
            count_open(session, invoice, is_open - was_open)
        self._classify(invoice)
        self._record(session, invoice, kind, now_ns)
        if state is InvoiceState.SETTLED:
            invoice.over_pips = max(0, received_pips(invoice) - invoice.amount_pips)

    def _report_over(self, session: Session, invoice: Invoice, now_ns: int) -> None:
        """Say that more came after it was settled; dust is gathered before it is worth a word."""
        over = received_pips(invoice) - invoice.amount_pips
        if over - invoice.over_pips > dust_pips(invoice):
            invoice.over_pips = over
            self._record(session, invoice, EventType.INVOICE_PAID_OVER, now_ns)

    def _return_over(self, session: Session, invoice: Invoice, now_ns: int) -> Mapping[bytes, int]:
        """Give back what is over where the store's policy says so; return how much, by token. Not
        of what was weighed late: at its quotes nobody knows what was over."""
        if invoice.late or received_pips(invoice) - invoice.amount_pips <= dust_pips(invoice):
            return NOTHING
        if exception_policy_of(session, invoice.store_id).over is not RETURN:
            return NOTHING
        unsold = unsold_pips(session, self._exchange.catalog, invoice)
        return self._returns.over(session, invoice, unsold, dust_pips(invoice), now_ns)

    def _classify(self, invoice: Invoice) -> None:
        """Say how what came in differs from what was asked. Dust makes no difference."""
        received, dust = received_pips(invoice), dust_pips(invoice)
        exception = InvoiceException.NONE
        if invoice.state in (InvoiceState.PROCESSING, InvoiceState.SETTLED):
            if invoice.late:
                exception = InvoiceException.PAID_LATE
            elif received - invoice.amount_pips > dust:
                exception = InvoiceException.PAID_OVER
        elif invoice.state is InvoiceState.EXPIRED and came_worth_pips(invoice) > dust:
            exception = InvoiceException.PAID_PARTIAL
        elif invoice.state is InvoiceState.INVALID and invoice.exception is REVERSED:
            exception = REVERSED
        if exception is not invoice.exception:
            invoice.exception = moved(EXCEPTION_EDGES, invoice.exception, exception)

    def _record(
        self,
        session: Session,
        invoice: Invoice,
        kind: EventType,
        now_ns: int,
    ) -> None:
        events.record(session, self._exchange.catalog, invoice, kind, now_ns)


def _is_unsure(invoice: Invoice) -> bool:
    """Return whether money of it has left the chain, or is not deep again, and may come back."""
    return any(credit.state in UNSURE for credit in invoice.credits)


def _is_back(invoice: Invoice) -> bool:
    """Return whether it was reversed, and all that was booked is on the chain again."""
    states = {credit.state for credit in invoice.credits}
    return invoice.exception is REVERSED and states == {CreditState.BOOKED}


def _was_over_pips(invoice: Invoice) -> int:
    """Return how much more than its price was booked for it before any of that was gone."""
    return credited_pips(invoice) + (_gone_pips(invoice) or 0) - invoice.amount_pips


def _is_paid_still(invoice: Invoice, given_back_pips: int) -> bool:
    """Return whether what is left pays it, without what was given back of what was on top, or what
    is gone was no more than dust."""
    if credited_pips(invoice) - given_back_pips >= least_pips(invoice):
        return True
    gone_pips = _gone_pips(invoice)
    return gone_pips is not None and gone_pips <= dust_pips(invoice)


def _gone_pips(invoice: Invoice) -> int | None:
    """Return what of it is gone was worth; None where nothing says that."""
    gone = [credit for credit in invoice.credits if credit.state is CreditState.GONE]
    options = {option.token: option for option in invoice.options}
    if any(credit.token not in options for credit in gone):
        return None
    return sum(worth_pips(invoice, options[row.token], row.amount_pips) for row in gone)
