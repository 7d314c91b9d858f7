"""All machines of the shops at once, moved by the world in any order: after each single move every
pip is somewhere, every unit is somebody's, and events have no gap; left alone, all of it ends."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Side
from merchants.records.policies import PolicyKind
from merchants.records.tables import Credit, Event, Invoice, Payment
from merchants.sales.policies import PolicyRequest
from settlement.protocol.evidence import DepositEvidence, decode
from tests.merchants.fixtures import DOLLAR, LOT, MERCHANT, TOKEN, World, address_bytes, due_raw
from tests.merchants.test_rests_of_invoices_are_sold_together import check as check_money

INVOICES_MAX = 4
POLICIES = (
    PolicyRequest(PolicyKind.AT_ONCE),
    PolicyRequest(PolicyKind.THRESHOLD, worth_pips=30 * DOLLAR, age_s=600),
    PolicyRequest(PolicyKind.TWAP, slices=3, period_s=90),
    PolicyRequest(PolicyKind.KEEP, keep_ppm=333_333),
)


class Shops(RuleBasedStateMachine):
    """One shop, its customers, the chain, the market and the server's lives."""

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name), least_pips=3 * DOLLAR)
        self.store = self.world.venue.approved_store()
        self.invoices = []

    def teardown(self):
        self.end()
        self.directory.cleanup()

    @property
    def venue(self):
        return self.world.venue

    @precondition(lambda self: len(self.invoices) < INVOICES_MAX)
    @rule(cents=st.integers(10, 9_000))
    def ask(self, cents):
        self.venue.quote(Side.BUY, 200_000, 100)
        self.venue.quote(Side.SELL, 200_100, 10)
        self.world.pass_time(4)
        price = f"{cents // 100}.{cents % 100:02}"
        self.invoices.append(self.venue.invoice(self.store, price))

    @precondition(lambda self: self.invoices)
    @rule(which=st.integers(0, 9), milli=st.integers(1, 2_000))
    def send(self, which, milli):
        """Send so many thousandths of what is due to one of the addresses."""
        invoice = self.invoices[which % len(self.invoices)]
        raw = max(1, due_raw(invoice) * milli // 1_000)
        self.world.transfer(address_bytes(invoice.deposit_address), raw)

    @precondition(lambda self: self.invoices)
    @rule(which=st.integers(0, 9), pips=st.integers(1, 9 * LOT))
    def deposit(self, which, pips):
        invoice = self.invoices[which % len(self.invoices)]
        self.venue.fund(MERCHANT, TOKEN, pips, bytes.fromhex(invoice.ref[2:]))

    @rule(confirmations=st.integers(0, 3))
    def confirm(self, confirmations):
        self.world.confirm(confirmations)
        self.venue.watch()

    @rule(first=st.integers(0, 5))
    def orphan(self, first):
        for transfer in self.world.transfers[first:]:
            self.venue.merchants.payment_orphaned(transfer.tx_hash, transfer.log_index)

    @rule(lots=st.integers(1, 60), ticks=st.sampled_from([150_000, 199_000, 200_000, 201_000]))
    def bid(self, lots, ticks):
        self.venue.quote(Side.BUY, ticks, lots)

    @rule(seconds=st.sampled_from([1, 31, 901, 7_200]))
    def wait(self, seconds):
        self.world.pass_time(seconds)
        self.venue.tick()

    @rule(word=st.sampled_from(["batched", "mined", "final"]))
    def settle(self, word):
        self.world.trades_are(word)

    @rule(status=st.sampled_from([200, 500, 0]))
    def answer(self, status):
        self.world.endpoint = lambda _url: status

    @rule(policy=st.sampled_from(POLICIES))
    def decide(self, policy):
        self.venue.merchants.policies.change(self.store.store_id, policy)

    @rule()
    def tick(self):
        self.venue.watch()
        self.venue.tick()

    @rule()
    def sweep(self):
        self.venue.settle_sweeps()

    @rule()
    def restart(self):
        self.world.restart()

    @rule()
    def bust(self):
        reader = self.venue.merchants.reader
        shown = [reader.invoice(invoice.id) for invoice in self.invoices]
        fills = [fill for row in shown for sale in row.conversions for fill in sale.fills]
        fills = [f for f in fills if self.venue.trade_state(f.trade_id).state not in ENDED]
        if fills:
            self.venue.bust(fills[-1])

    @invariant()
    def every_pip_is_somewhere(self):
        check_money(self.world)

    @invariant()
    def each_booking_counts_once(self):
        booked = Counter()
        for _, attachment in self.world.entries:
            evidence = decode(attachment)
            if isinstance(evidence, DepositEvidence):
                booked[evidence.ref] += 1
        with Session(self.venue.database) as session:
            for invoice in session.scalars(select(Invoice)):
                rows = session.scalars(select(Credit).where(Credit.invoice_id == invoice.id)).all()
                assert len(rows) == booked[invoice.ref]
            places = session.execute(select(Payment.tx_hash, Payment.log_index)).all()
            assert len(places) == len(set(places))

    @invariant()
    def events_have_no_gap(self):
        with Session(self.venue.database) as session:
            for invoice in session.scalars(select(Invoice)):
                query = select(Event.sequence).where(Event.invoice_id == invoice.id)
                numbers = session.scalars(query.order_by(Event.id)).all()
                assert numbers == list(range(1, invoice.event_count + 1))

    def end(self):
        """Left alone with a working world, everything ends by itself."""
        self.answer(200)
        self.world.trades_are("final")
        for seconds in (1, 31, 901, *[7_200] * 12):
            self.world.confirm(3)
            self.venue.quote(Side.BUY, 200_000, 300)
            self.tick()
            self.venue.settle_sweeps()
            self.world.trades_are("final")
            self.wait(seconds)
            self.every_pip_is_somewhere()
        for invoice in self.invoices:
            ended = self.venue.merchants.reader.invoice(invoice.id)
            assert ended.status in ("settled", "expired", "invalid")
            assert all(sale.status in ("final", "held") for sale in ended.conversions)
        for _ in range(80):
            self.venue.tick()
        heard = {headers["webhook-id"] for headers, _ in self.world.received}
        events = self.venue.merchants.reader.events_after(self.store.store_id, 0)
        assert {event.webhook_id for event in events} <= heard, "the shop has heard all of it"


ENDED = ("final", "busted")

TestShops = Shops.TestCase
TestShops.settings = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
