"""What can the merchants' side be asked for, and what makes it move?

Five things happen to it: shops call it, the chain watcher reports transfers and the settler how far
trades are, the journal's batches arrive (``consume``), and a loop calls ``step``. Each changes the
rows in one transaction; the journal's cursor is part of it. Whatever moment the process dies at,
the next start finds in the rows what is still to be done.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from engine.commands import Kind
from engine.events import EventKind
from engine.journal.reader import Position
from engine.log_entries import Committed, LogEntry
from engine.types import Outcome
from merchants.documents.native import InvoiceDocument, listed
from merchants.documents.reader import Reader
from merchants.people.people import People, PeopleTerms
from merchants.records import due
from merchants.records.database import (
    move_cursor,
    name_of,
    open_database,
    place_in,
    reading,
    sequence_in,
    transaction,
)
from merchants.records.due import Bounds, any_of
from merchants.records.rejection import Rejection
from merchants.records.states import InvoiceState
from merchants.records.tables import IdempotencyKey, Invoice, Store
from merchants.records.terms import keep_terms
from merchants.records.together import read_invoices
from merchants.records.turns import Turn
from merchants.reports.lots import Lots
from merchants.reports.movements import Movements
from merchants.reports.page import House
from merchants.reports.reports import Reports
from merchants.sales.arrivals import Deposit
from merchants.sales.asked import InvoiceRequest, Sources, parameters_hash
from merchants.sales.confirmations import Confirmations
from merchants.sales.conversions import Conversions
from merchants.sales.exceptions import ExceptionPolicies
from merchants.sales.invoices import FINALITY_LIMIT_NS, WATCHED_NS, Invoices
from merchants.sales.policies import Policies
from merchants.sales.rates import NO_RATES, Rates, RateTerms, StablecoinRates
from merchants.sales.reference_prices import Prices, PriceTerms
from merchants.sales.refund_desk import RefundDesk
from merchants.sales.refund_payouts import READ_S
from merchants.sales.rescans import Rescans
from merchants.sales.reversals import Reversals
from merchants.sales.sightings import Sightings
from merchants.steps import STEP_NS, AtOnce, InTurns, Steps
from merchants.stores.closing import Closing, Ending
from merchants.stores.grants import GrantMade, Grants
from merchants.stores.invoice_notes import InvoiceNotes
from merchants.stores.keyring import Keyring
from merchants.stores.stores import StoreRequest, Stores
from merchants.webhooks import store_events
from merchants.webhooks.deliver import AGE_MAX_NS, Deliveries
from merchants.webhooks.egress import Egress
from merchants.webhooks.endpoints import EndpointMade, EndpointRequest, Endpoints
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Market
from settlement.ports import BlocksRead, ExchangePort, SettlementPort, TradeState, Transfer
from settlement.protocol.evidence import (
    ZERO_REF,
    DepositEvidence,
    WithdrawalReturned,
    evidence_of,
)

FILE_NAME: Final = "merchants.sqlite"

ROWS_MAX: Final = 100
"""Most rows of one kind that are asked for at once."""


class InvoiceCreated(NamedTuple):
    """A new invoice, or the one that the same Idempotency-Key made before."""

    invoice: InvoiceDocument
    replayed: bool


class StoreOpened(NamedTuple):
    """A new store as ``StoreCreated`` has it, and its endpoint, if it was to have one."""

    store_id: str
    api_key: str
    grants: tuple[GrantMade, ...]
    endpoint: EndpointMade | None


class Merchants:
    """Invoices, conversions and webhooks over one database. A ``Consumer`` of the journal.

    What only reads rows may be called on any thread; all else on the event loop's.
    """

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        keyring: Keyring,
        egress: Egress,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        jitter: Random,
        confirmations_required: int,
        price_terms: PriceTerms,
        people_terms: PeopleTerms,
        rate_terms: RateTerms = NO_RATES,
    ) -> None:
        """``clock`` gives unix nanoseconds, ``entropy`` random bytes, ``confirmations_required`` is
        how many the watcher waits for (shown to customers)."""
        self._database = database
        self.file_name = name_of(database)
        """See ``engine.sequencer.places.FilingConsumer``."""
        self._exchange = exchange
        self._clock = clock
        self._settlement = settlement
        self._confirmations_required = confirmations_required
        self.prices = Prices(price_terms)
        self.rates = Rates(rate_terms, StablecoinRates(exchange.catalog, self.prices, rate_terms))
        self._unwatched = (clock() - WATCHED_NS, "")
        """How old and which the last invoice was that is not watched any more."""
        self.stores = Stores(
            database=database,
            exchange=exchange,
            settlement=settlement,
            keyring=keyring,
            prices=self.prices,
            clock=clock,
            entropy=entropy,
            tell=store_events.key_changed,
        )
        self.conversions = self._conversions(keyring)
        self.movements = Movements(database, exchange.catalog)
        self.refunding = RefundDesk(
            *(database, exchange, settlement, self.prices, keyring, clock, entropy),
            self.movements.follow,
        )
        self.invoices = self._invoices(entropy)
        self.sightings = Sightings(
            database,
            exchange.catalog,
            self.invoices,
            self.refunding.keys,
            clock,
            confirmations_required,
        )
        self.reversals = self._reversals()
        self.endpoints = Endpoints(database, egress, clock, entropy)
        self.deliveries = Deliveries(database, egress, clock, jitter)
        self.people = self._people(entropy, people_terms)
        self._steps = Steps(database, clock, self._bounds, self._works())
        self._open_books()

    def _endings(self) -> tuple[Ending, ...]:
        """Return what else ends with a store: what its endpoints are told comes last."""
        return self.people.leave, self.refunding.keys.end_with, store_events.tell_closed

    def _open_books(self) -> None:
        """Make what answers from the rows, and see how far they are in the log."""
        database, exchange, settlement = self._database, self._exchange, self._settlement
        catalog, required = exchange.catalog, self._confirmations_required
        pots = self.conversions.pots
        self.policies = Policies(database, catalog, self.prices, pots, self._clock)
        self.exception_policies = ExceptionPolicies(database)
        self.confirmations = Confirmations(database, required)
        self.rescans = Rescans(database, settlement, self.invoices.sweeps, self._clock)
        self.reader = Reader(database, catalog, settlement, required, lambda: self.sightings.head)
        self.notes = InvoiceNotes(database, self._clock)
        self.reports = Reports(database, exchange, settlement)
        self.lots = Lots(database, House(exchange, settlement), self._clock)
        self.closing = Closing(database, self._clock, self.stores.keys, self._endings())
        with transaction(database) as session:
            self._cursor = sequence_in(session)

    def _conversions(self, keyring: Keyring) -> Conversions:
        return Conversions(
            database=self._database,
            exchange=self._exchange,
            settlement=self._settlement,
            prices=self.prices,
            keyring=keyring,
            clock=self._clock,
        )

    def _invoices(self, entropy: Callable[[int], bytes]) -> Invoices:
        return Invoices(
            self._exchange,
            self._settlement,
            self.conversions,
            Sources(self._exchange.catalog, self.prices, self.rates),
            entropy,
            self._confirmations_required,
            self.refunding.refunds,
        )

    def _reversals(self) -> Reversals:
        return Reversals(
            self._database,
            self.invoices,
            self.conversions.uncovered,
            self.refunding.refunds,
            self._clock,
            self._confirmations_required,
        )

    def _people(self, entropy: Callable[[int], bytes], terms: PeopleTerms) -> People:
        return People(
            database=self._database,
            clock=self._clock,
            entropy=entropy,
            terms=terms,
            wallets=self,
            is_lost=self._exchange.is_lost,
            keys=self.stores.keys,
            signers=self.grants.signers,
            tell=store_events.payout_changed,
        )

    @property
    def grants(self) -> Grants:
        """Return what wallets let session keys sell."""
        return self.stores.grants

    @property
    def cursor(self) -> int:
        """Return the last command sequence taken."""
        return self._cursor

    def place(self) -> Position | None:
        """See ``engine.sequencer.places.FilingConsumer``."""
        with reading(self._database) as session:
            return place_in(session)

    def keep_place(self, place: Position) -> None:
        """See ``FilingConsumer``."""
        with transaction(self._database) as session:
            move_cursor(session, place)

    def create_store(
        self, request: StoreRequest, endpoint: EndpointRequest | None = None
    ) -> StoreOpened | Rejection:
        """Make a store, told at ``endpoint``; see ``Stores.create`` and ``Endpoints.make``."""
        if endpoint is not None:
            wrong = self.endpoints.why_not(endpoint.url, endpoint.types, endpoint.format)
            if wrong is not None:
                return wrong
        created = self.stores.create(request)
        if isinstance(created, Rejection):
            return created
        self.movements.follow(request.wallet)
        if endpoint is None:
            return StoreOpened(*created, None)
        made = self.endpoints.make(created.store_id, endpoint)
        assert not isinstance(made, Rejection), "it is the store's first, and was looked at"
        return StoreOpened(*created, made)

    def change_wallet(self, store_id: str, wallet: bytes) -> Rejection | None:
        """Let what a store earns from now on be ``wallet``'s; see ``Stores.change_wallet``."""
        rejection = self.stores.change_wallet(store_id, wallet)
        if rejection is None:
            self.movements.follow(wallet)
        return rejection

    def market_of(self, symbol: str, settle: bytes) -> Market | None:
        """Return the market that sells a token, by its symbol, for a stablecoin."""
        token = self._exchange.catalog.token(symbol)
        if token is None:
            return None
        return self._exchange.catalog.market_of_pair(token.address, settle)

    def symbol_of(self, token: bytes) -> str:
        """Return what the token at an address is called."""
        return listed(self._exchange.catalog.token_by_address(token)).symbol

    def create_invoice(
        self,
        store_id: str,
        request: InvoiceRequest,
        idempotency_key: str | None = None,
        *,
        is_pressed: bool = False,
    ) -> InvoiceCreated | Rejection:
        """Make an invoice at the book's present price; ``is_pressed`` says that a customer asks.

        The same key with the same parameters gives the same invoice; with others it is rejected
        as IDEMPOTENCY_CONFLICT. Other rejections: see ``Invoices.create``.
        """
        wanted = parameters_hash(request)
        with transaction(self._database) as session:
            store = session.get(Store, store_id)
            if store is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            if idempotency_key is not None:
                known = session.get(IdempotencyKey, (store_id, idempotency_key))
                if known is not None and known.parameters_hash != wanted:
                    return Rejection(Outcome.IDEMPOTENCY_CONFLICT, {"key": idempotency_key})
                if known is not None:
                    first = session.get_one(Invoice, known.invoice_id)
                    return InvoiceCreated(self.reader.document(session, first), replayed=True)
            invoice = self.invoices.create(
                session, store, request, self._clock(), is_pressed=is_pressed
            )
            if isinstance(invoice, Rejection):
                return invoice
            if idempotency_key is not None:
                session.add(
                    IdempotencyKey(
                        store_id=store_id,
                        key=idempotency_key,
                        parameters_hash=wanted,
                        invoice_id=invoice.id,
                    )
                )
            return InvoiceCreated(self.reader.document(session, invoice), replayed=False)

    def requote(self, invoice_id: str, store_id: str | None = None) -> InvoiceDocument | Rejection:
        """Give an expired invoice a new price; rejects NOT_FOUND where it is not ``store_id``'s,
        and as ``Invoices.requote``. Bounded, so that customers may ask for it too."""
        with transaction(self._database) as session:
            invoice = session.get(Invoice, invoice_id)
            if invoice is None or store_id not in (None, invoice.store_id):
                return Rejection(Outcome.NOT_FOUND, {"invoice": invoice_id})
            rejection = self.invoices.requote(session, invoice, self._clock())
            return rejection or self.reader.document(session, invoice)

    def watched_addresses(self) -> list[bytes]:
        """Return the deposit addresses whose transfers the chain watcher should report.

        Ask at the start; later ones come as ``SettlementPort.deposit_address`` is asked for them,
        and ``step`` says which have become too old.
        """
        since_ns = self._clock() - WATCHED_NS
        watched = select(Invoice.deposit_address).where(
            (Invoice.created_ns >= since_ns) | Invoice.sweep_at_ns.is_not(None)
        )
        with reading(self._database) as session:
            return [*session.scalars(watched), *self.refunding.keys.watched_addresses()]

    def payments_seen(self, transfers: Sequence[Transfer]) -> list[bool]:
        """See ``PaymentListener``."""
        return self.sightings.payments_seen(transfers)

    def unconfirmed_payments(self) -> dict[tuple[bytes, int], int]:
        """See ``PaymentListener``. Ask at the start."""
        return self.sightings.unconfirmed_payments()

    def payment_orphaned(self, tx_hash: bytes, log_index: int) -> bool:
        """See ``PaymentListener``."""
        return self.sightings.payment_orphaned(tx_hash, log_index)

    def is_missing_money(self) -> bool:
        """See ``PaymentListener``."""
        return self.reversals.is_missing_money()

    def blocks_read(self, read: BlocksRead) -> None:
        """See ``PaymentListener``."""
        self.sightings.forget(self.reversals.blocks_read(read))

    def settlement_changed(self, first_trade: int, last_trade: int, reached: TradeState) -> None:
        """See ``SettlementListener``. Of a trade that was not read yet its state is asked when it
        is, so news that came early is not lost."""
        with transaction(self._database) as session:
            self.conversions.settlement_changed(session, first_trade, last_trade, reached)

    def consume(self, batch: Committed) -> None:
        """Take what concerns invoices and conversions out of a batch.

        The cursor is written only with a change, and before a snapshot: reading past entries that
        mean nothing to us a second time costs less than a disk sync for each of them now.
        """
        if batch.last_sequence <= self._cursor:
            return
        entries = self._entries_for_us(batch)
        if entries:
            with transaction(self._database) as session:
                paid = self._paid_by(session, entries)
                for entry in entries:
                    if entry.command.kind == Kind.DEPOSIT:
                        self._take_deposit(session, entry, paid)
                    elif entry.command.kind == Kind.BUST:
                        bust = busted_by(entry)
                        if bust is not None:
                            self.conversions.take_bust(session, bust.trade_id)
                            self.reports.undone(entry.sequence)
                    elif entry.command.kind == Kind.SET_TERMS:
                        keep_terms(session, entry.market)
                    else:
                        self.conversions.take_placed(session, entry)
                        self.refunding.take(session, entry)
                        if entry.command.kind == Kind.WITHDRAW:
                            self._take_movement(session, entry)
                move_cursor(session, Position(batch.last_sequence, batch.heads[-1]))
        self._cursor = batch.last_sequence

    def _entries_for_us(self, batch: Committed) -> list[LogEntry]:
        """Return deposits, busts, changes of terms, withdrawals of our stores' wallets and those
        orders that may be ours, past the cursor."""
        rows = batch.commands
        wanted = (rows["kind"] == Kind.DEPOSIT) | (rows["kind"] == Kind.BUST)
        if batch.changes_terms and batch.events[-1]["kind"] == EventKind.TERMS_SET:
            wanted |= rows["kind"] == Kind.SET_TERMS
        waiting = [
            *self.conversions.waiting_accounts(),
            *self.refunding.payouts.waiting_accounts(),
        ]
        if waiting:
            placed = np.isin(rows["kind"], (Kind.PLACE, Kind.POISON, Kind.WITHDRAW))
            wanted |= placed & np.isin(rows["account"], waiting)
        out = rows["kind"] == Kind.WITHDRAW
        if not (wanted | out).any():
            return []
        return [
            entry
            for entry, ours, leaves in zip(batch.entries, wanted, out, strict=True)
            if entry.sequence > self._cursor
            if ours or (leaves and self.movements.concerns(entry))
        ]

    def _take_movement(self, session: Session, entry: LogEntry) -> None:
        if self.movements.concerns(entry):
            self.movements.take(session, entry)

    def _paid_by(self, session: Session, entries: Sequence[LogEntry]) -> dict[bytes, Invoice]:
        """Return by its reference each invoice that a deposit of ``entries`` says it is for."""
        named = [
            evidence
            for entry in entries
            if entry.command.kind == Kind.DEPOSIT
            if isinstance(evidence := evidence_of(entry), DepositEvidence)
            if evidence.ref != ZERO_REF
        ]
        refs = {one.ref for one in named}
        return {invoice.ref: invoice for invoice in read_invoices(session, Invoice.ref, refs)}

    def _take_deposit(
        self, session: Session, entry: LogEntry, paid: Mapping[bytes, Invoice]
    ) -> None:
        evidence = evidence_of(entry)
        if isinstance(evidence, WithdrawalReturned):
            self._take_movement(session, entry)
            # Nobody paid: a withdrawal came back to its owner.
            self.reports.undone(entry.sequence)
            self.refunding.payouts.take_returned(session, evidence)
            return
        assert isinstance(evidence, DepositEvidence), "a deposit is never booked without evidence"
        booked = entry.answer[0].kind == EventKind.DEPOSITED
        if not booked:
            return
        invoice = paid.get(evidence.ref)
        account = self._exchange.catalog.address_of(entry.command.account)
        if invoice is None or account != invoice.wallet:
            self._take_movement(session, entry)
            return  # Anybody may write our ref on a deposit into an account of their own.
        deposit = Deposit(
            token=self._exchange.catalog.tokens[entry.command.token].address,
            amount_pips=entry.command.amount,
            evidence=evidence,
            sequence=entry.sequence,
            booked_ns=entry.command.time_ns,
        )
        self.invoices.credit(session, invoice, deposit, self._clock())

    async def step(self) -> bool:
        """Do what is due now: relay, expire, judge, sweep, follow, convert, begin to deliver.

        Return whether there is more than was done. Call it every few hundred milliseconds, after
        the journal was replayed; at once where there is more. It never waits for a shop;
        ``deliveries.close()`` does.
        """
        self.conversions.caught_up()
        self.refunding.payouts.caught_up()
        self.stores.keys.write_used()
        self.people.step()
        return await self._steps.step()

    def _works(self) -> tuple[AtOnce | InTurns, ...]:
        """Return what falls due by itself, in the order in which it is done."""
        refunding = self.refunding
        return (
            AtOnce(any_of(due.TO_RELAY, due.TO_TAKE_BACK), self._relay),
            InTurns(any_of(due.UNPAID, due.STUCK), self.invoices.expire_due),
            InTurns(any_of(due.TO_JUDGE), self.invoices.judge_due),
            InTurns(any_of(due.TO_VALUE), self.invoices.value_due),
            InTurns(any_of(due.DEEP), self.invoices.deep_due),
            InTurns(any_of(due.LOST), self.reversals.give_up_due),
            InTurns(any_of(due.TO_SWEEP), self.invoices.sweeps.due),
            InTurns(due.IS_FOLLOWED, self.conversions.follow_due),
            InTurns(any_of(due.UNCLAIMED), refunding.refunds.expire_due),
            InTurns(any_of(due.UNSIGNED), refunding.payouts.release_due),
            InTurns(any_of(due.TO_RETURN), refunding.keys.return_due),
            InTurns(any_of(due.TO_PAY), refunding.keys.pay_due),
            InTurns(any_of(due.POTS_TO_LOOK_AT), self.conversions.pots.sell_due),
            InTurns(any_of(due.OLD), self._unwatch_old),
            # A sale takes long, and what comes in meanwhile is to be swept.
            AtOnce(due.TO_SELL, partial(self.conversions.execute_due, ROWS_MAX, STEP_NS)),
            AtOnce(due.TO_SEND, refunding.send_due),
            AtOnce(due.TO_TELL, self._tell),
        )

    def _bounds(self) -> Bounds:
        """Return what says now that something is due."""
        now_ns, newest_block = self._clock(), self._settlement.newest_block()
        return {
            "now_ns": now_ns,
            "stuck_ns": now_ns - FINALITY_LIMIT_NS,
            "watched_ns": now_ns - WATCHED_NS,
            "dead_ns": now_ns - AGE_MAX_NS,
            "unread_s": self._exchange.now_ns() // 10**9 - READ_S,
            "newest_block": newest_block,
            "lost_block": newest_block - self.reversals.blocks,
            "unwatched_ns": self._unwatched[0],
            "unwatched_id": self._unwatched[1],
            "is_followed": self.conversions.is_followed,
        }

    async def _relay(self) -> None:
        self.grants.relay()
        await self.grants.relay_revocations()

    async def _tell(self) -> None:
        self.deliveries.start_due()

    def _unwatch_old(self, session: Session, _now_ns: int, turn: Turn) -> None:
        """Let the watcher forget invoices that are old: what it costs follows the young ones.

        Not those of which something is on its way: they stay watched until the next start.
        """
        for invoice in turn.rows(session, due.OLD):
            if invoice.state in (InvoiceState.NEW, InvoiceState.PROCESSING):
                return  # It ends by its time; the next steps come back to it.
            self._unwatched = (invoice.created_ns, invoice.id)
            if self.invoices.is_at_rest(invoice):
                self._settlement.unwatch(invoice.deposit_address)


def place_of(directory: Path, server: str = "") -> Path | str:
    """Return where the rows are: on ``server``, a URL, or in ``directory``."""
    return server or directory / FILE_NAME


def open_merchants_database(directory: Path, server: str = "") -> Engine:
    """Open or create ``merchants.sqlite`` in ``directory``, or the database on ``server``."""
    return open_database(place_of(directory, server))
