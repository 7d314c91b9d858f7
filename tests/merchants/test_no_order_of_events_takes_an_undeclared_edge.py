"""Whatever order the world speaks in, no machine takes an edge that is not declared, what came is
counted once, and nobody gets goods for less than their price."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Side
from merchants.records.asks import Ask
from merchants.records.shares import credited_pips, received_pips, timely_pips
from merchants.records.states import (
    CONVERSION_EDGES,
    DELIVERY_EDGES,
    INVOICE_EDGES,
    PAYMENT_EDGES,
    InvoiceState,
    moved,
)
from merchants.records.tables import Credit, Invoice
from merchants.sales.tolerance import least_pips, tolerated_pips
from settlement.protocol.eip712 import address_of_secret
from settlement.protocol.evidence import DepositEvidence, decode
from tests.merchants.fixtures import (
    DOLLAR,
    LOT,
    MERCHANT,
    TICK,
    TOKEN,
    USD,
    World,
    address_bytes,
    pips_of_decimal,
)

THIEF = b"\x0b" * 32

ACTIONS = st.one_of(
    st.tuples(st.just("transfer"), st.integers(1, 40)),
    st.tuples(st.just("stable"), st.integers(1, 60)),
    st.tuples(st.just("confirm"), st.integers(0, 3)),
    st.tuples(st.just("orphan"), st.integers(0, 5)),
    st.tuples(st.just("direct"), st.integers(1, 30)),
    st.tuples(st.just("bid"), st.integers(1, 40)),
    st.tuples(st.just("free"), st.sampled_from([1, 150_000, 199_950, 400_000])),
    st.tuples(st.just("fall"), st.sampled_from([100_000, 190_000, 199_000])),
    st.tuples(st.just("pass"), st.sampled_from([1, 60, 901, 86_401])),
    st.tuples(st.just("chain"), st.sampled_from(["batched", "mined", "final"])),
    st.tuples(st.just("endpoint"), st.sampled_from([200, 500, 410])),
    st.tuples(st.sampled_from(["watch", "tick", "sweep", "restart", "bust"]), st.just(0)),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(ACTIONS, min_size=5, max_size=30))
def test_random_worlds(actions):
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        for token in (TOKEN, USD):
            world.venue.fund(address_of_secret(THIEF), token, 10**6 * DOLLAR)
        store = world.venue.approved_store(floor_price=500 * DOLLAR)
        invoice = world.venue.invoice(store, amount="50")
        for action, argument in actions:
            act(world, invoice, action, argument)
            check(world)
        ended(world)


def act(world, invoice, action, argument):
    venue, address = world.venue, address_bytes(invoice.deposit_address)
    match action:
        case "transfer":
            world.transfer(address, argument * 10**15)
        case "stable":
            world.transfer(address, argument * 10**6, USD)
        case "confirm":
            world.confirm(argument)
        case "orphan":
            for transfer in world.transfers[argument:]:
                venue.merchants.payment_orphaned(transfer.tx_hash, transfer.log_index)
        case "direct":
            venue.fund(MERCHANT, TOKEN, argument * LOT, bytes.fromhex(invoice.ref[2:]))
        case "bid":
            venue.quote(Side.BUY, 200_000, argument)
        case "free":
            venue.cancel(THIEF, venue.quote(Side.BUY, argument, 9, THIEF))
        case "fall":
            venue.quote(Side.SELL, argument, 3000, THIEF)
            venue.quote(Side.BUY, argument, 3500)
        case "pass":
            world.pass_time(argument)
        case "chain":
            world.trades_are(argument)
        case "endpoint":
            world.endpoint = lambda url: argument
        case "watch":
            venue.watch()
        case "tick":
            venue.tick()
        case "sweep":
            venue.settle_sweeps()
        case "restart":
            world.restart()
        case "bust":
            bust_newest(world, invoice)


def bust_newest(world, invoice):
    """Undo the newest sale, unless it is final or was undone before."""
    conversions = world.venue.merchants.reader.invoice(invoice.id).conversions
    fills = [fill for conversion in conversions for fill in conversion.fills]
    if fills and world.venue.trade_state(fills[-1].trade_id).state not in ("final", "busted"):
        world.venue.bust(fills[-1])


def check(world):
    """Value is where the states say it is, after every single action."""
    venue = world.venue
    venue.engine.check()
    booked = Counter()
    for _, attachment in world.entries:
        evidence = decode(attachment)
        if isinstance(evidence, DepositEvidence):
            booked[evidence.ref] += 1
    with Session(venue.database) as session:
        for invoice in session.scalars(select(Invoice)):
            is_open, way = invoice.state is InvoiceState.NEW, invoice.options[0]
            asks = {row.open_pips for row in session.scalars(select(Ask))}
            assert asks == {way.proceeds_pips if is_open else 0}, "open invoices, and no others"
            lots = sum(row.lots for row in invoice.conversions)
            (way,) = invoice.options
            assert lots * LOT <= way.credited_pips, "nothing is sold that is not booked"
            rows = session.scalars(select(Credit).where(Credit.invoice_id == invoice.id)).all()
            assert len(rows) == booked[invoice.ref], "each booking once, by whatever road"
            of_token = Counter()
            for row in rows:
                of_token[row.token] += row.amount_pips
            assert way.credited_pips == of_token[TOKEN]
            for other in invoice.others:
                assert other.credited_pips == of_token[other.token] == of_token[USD]
                assert 0 <= other.valued_pips <= other.came_pips, "no more counts than came"
                assert other.worth_pips == other.valued_pips, "the stablecoin is its own value"
            if invoice.state is InvoiceState.SETTLED:
                assert is_worth_its_price(invoice)
                assert way.credited_pips - lots * LOT < LOT, "all whole lots are converted"
            if invoice.state is InvoiceState.NEW:
                assert received_pips(invoice) < least_pips(invoice)


def is_worth_its_price(invoice):
    """Return whether what is booked is all that was due in time, or sells for the price at the
    limit that it was weighed at."""
    if not invoice.late:
        return min(credited_pips(invoice), timely_pips(invoice)) >= least_pips(invoice)
    ticks = max((row.quoted_ticks or 0 for row in invoice.conversions), default=0)
    price = invoice.amount_pips - tolerated_pips(invoice)
    price -= sum(other.credited_pips for other in invoice.others)
    # Weighed along the bids, of which the last is the lowest; the stated price is the ceiling.
    assert ticks <= 200_000
    return invoice.options[0].credited_pips // LOT * 200_000 * TICK >= price


def ended(world):
    """Left alone with a working world, everything finishes by itself."""
    world.endpoint = lambda url: 200
    world.venue.quote(Side.BUY, 200_000, 2000)
    world.venue.quote(Side.SELL, 210_000, 10)
    world.trades_are("final")
    for _ in range(10):
        world.confirm(3)
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.pass_time(43_200)
    check(world)
    (invoice,) = world.venue.merchants.reader.list_invoices(sole_store(world))
    assert invoice.status in ("settled", "expired")
    assert all(conversion.status in ("final", "held") for conversion in invoice.conversions)
    lying = sum(
        t.raw_amount * (1 if t.to == address_bytes(invoice.deposit_address) else -1)
        for t in world.transfers
        if t.token == TOKEN
    )
    assert 0 <= lying * 2000 < 10**18 // 10, "nothing lies there that is worth its gas"
    assert invoice.status == "settled" or short_of(world, invoice), "none waits that could end"
    # An invoice's webhooks go one after another, so many events need as many turns.
    for _ in range(100):
        world.venue.tick()
    states = {
        row.state for row in world.venue.merchants.reader.webhook_deliveries(sole_store(world))
    }
    assert states <= {"delivered", "dead"}


def short_of(world, invoice):
    """Return whether what came was too little: by count, or as it was weighed."""
    return invoice.short != "0" or pips_of_decimal(invoice.received) < 50 * DOLLAR


def sole_store(world):
    with Session(world.venue.database) as session:
        return session.scalars(select(Invoice)).one().store_id


@pytest.mark.parametrize("edges", [INVOICE_EDGES, PAYMENT_EDGES, CONVERSION_EDGES, DELIVERY_EDGES])
def test_every_edge_that_is_not_declared_is_an_assertion(edges):
    for now in edges:
        for then in edges:
            if then in edges[now]:
                assert moved(edges, now, then) is then
            else:
                with pytest.raises(AssertionError, match=f"no edge from {now} to {then}"):
                    moved(edges, now, then)
