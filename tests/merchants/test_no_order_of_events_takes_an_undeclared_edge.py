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
from merchants.records.exception_policies import ExceptionAction
from merchants.records.options import option_of
from merchants.records.refunds import Refund, RefundState, RefundVariant
from merchants.records.shares import (
    booked_pips,
    credited_pips,
    received_pips,
    timely_pips,
    ways_of,
)
from merchants.records.states import (
    CONVERSION_EDGES,
    CREDIT_EDGES,
    DELIVERY_EDGES,
    INVOICE_EDGES,
    ON_CHAIN,
    PAYMENT_EDGES,
    UNSURE,
    CreditState,
    InvoiceState,
    moved,
)
from merchants.records.tables import Credit, Invoice
from merchants.sales.exceptions import ExceptionRequest
from merchants.sales.refunds import RefundRequest
from merchants.sales.reversals import COMES_BACK_BLOCKS
from merchants.sales.tolerance import least_pips, tolerated_pips
from settlement.protocol.eip712 import address_of_secret
from settlement.protocol.evidence import DepositEvidence, decode
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MERCHANT,
    TICK,
    TOKEN,
    USD,
    Killed,
    World,
    address_bytes,
    pips_of_decimal,
)
from tests.merchants.reorganising import deposits_of, read_again

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
    st.tuples(st.just("again"), st.integers(0, 5)),
    st.tuples(st.just("kill"), st.integers(1, 6)),
    st.tuples(st.just("lose"), st.integers(0, 5)),
    st.tuples(st.just("regain"), st.sampled_from([True, False])),
    st.tuples(st.just("blocks"), st.sampled_from([1, COMES_BACK_BLOCKS + CONFIRMATIONS])),
    st.tuples(st.sampled_from(["watch", "tick", "sweep", "restart", "bust"]), st.just(0)),
    st.tuples(st.sampled_from(["requote", "refund", "refund usd", "cancel"]), st.just(0)),
)
ANY = st.sampled_from(ExceptionAction)
NO_PRICE = st.sampled_from([ExceptionAction.KEEP, ExceptionAction.RETURN])
POLICIES = st.builds(ExceptionRequest, late=ANY, short=ANY, over=NO_PRICE, other_token=NO_PRICE)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(ACTIONS, min_size=5, max_size=30),
    st.just(ExceptionRequest()) | POLICIES,
    st.sampled_from([("TOKEN",), ("USD",), ()]),
)
def test_random_worlds(actions, policies, tokens):
    with tempfile.TemporaryDirectory() as directory:
        one_world(Path(directory), actions, policies, tokens)


def one_world(directory, actions, policies, tokens):
    """Let ``actions`` happen to an invoice in ``tokens`` of a store with ``policies``."""
    world = World(directory)
    for token in (TOKEN, USD):
        world.venue.fund(address_of_secret(THIEF), token, 10**6 * DOLLAR)
    store = world.venue.approved_store(floor_price=500 * DOLLAR)
    world.venue.merchants.exception_policies.change(store.store_id, policies)
    invoice = world.venue.invoice(store, amount="50", tokens=tokens)
    for action, argument in actions:
        act_or_die(world, invoice, action, argument)
        check(world)
    world.kill_at = None
    regain(world, is_deep=True)
    ended(world)


def act_or_die(world, invoice, action, argument):
    """Let one thing happen; if the process dies over it, begin its next life."""
    try:
        act(world, invoice, action, argument)
    except Killed:
        world.kill_at = None
        world.restart()


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
        case "kill":
            world.kill_at = world.crossings + argument
        case "again":
            mined_again(world, argument)
        case "requote":
            venue.merchants.requote(invoice.id)
        case "refund":
            refund(world, invoice, "TOKEN")
        case "refund usd":
            refund(world, invoice, "USD")
        case "cancel":
            for one in venue.merchants.reader.invoice(invoice.id).refunds:
                venue.merchants.refunding.refunds.cancel(invoice.store_id, one.id)
        case "bust":
            bust_newest(world, invoice)
        case "lose":
            lose(world, argument)
        case "regain":
            regain(world, is_deep=argument)
        case "blocks":
            world.newest_block += argument
            venue.tick()


def mined_again(world, number):
    """Let a payment that is not swept leave the chain and come at another place of a later block,
    not deep, as after a reorganisation."""
    swept = {sweep.sender for sweep, *_ in world.sweeps}
    for index in range(number, len(world.transfers)):
        old = world.transfers[index]
        if old.to in swept or old.sender in swept:
            continue
        world.venue.merchants.payment_orphaned(old.tx_hash, old.log_index)
        newest = max(transfer.block_number for transfer in world.transfers)
        fresh = old._replace(log_index=old.log_index + 1, block_number=newest, confirmations=0)
        world.transfers[index] = fresh
        return


def lose(world, first):
    """Let a reorganisation, deeper than the confirmations, take away all transactions that the
    chain has from the ``first`` on: transfers and sweeps, and what was deposited directly."""
    direct = {one.tx_hash for one in deposits_of(world)} - {t.tx_hash for t in world.transfers}
    world.lost |= {one.tx_hash for one in world.transfers[first:]} | direct
    read_again(world)


def regain(world, *, is_deep):
    """Let all that was taken away be in a block again, deep or not."""
    world.shallow = set() if is_deep else world.shallow | world.lost
    world.lost = set()
    read_again(world)
    world.venue.watch()


def refund(world, invoice, token):
    request = RefundRequest(RefundVariant.RATE_THEN, token)
    world.venue.merchants.refunding.refunds.create(invoice.store_id, invoice.id, request)


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
            is_open, way = invoice.state is InvoiceState.NEW, option_of(invoice, TOKEN)
            asks = {row.open_pips for row in session.scalars(select(Ask))} - {0}
            asked = {way.proceeds_pips} if way and is_open else set()
            assert asks == asked, "open invoices, and no others"
            rows = session.scalars(select(Credit).where(Credit.invoice_id == invoice.id)).all()
            assert len(rows) == booked[invoice.ref], "each booking once, by whatever road"
            of_token, ever = Counter(), Counter()
            for row in rows:
                ever[row.token] += row.amount_pips
                of_token[row.token] += row.amount_pips * (row.state in ON_CHAIN)
            whole = all(row.state is CreditState.BOOKED for row in rows)
            for one in (*invoice.options, *invoice.others):
                assert one.credited_pips == of_token[one.token]
            assert {*ever} <= {one.token for one in (*invoice.options, *invoice.others)}
            for other in invoice.others:
                check_other(other)
            back = asked_back(session, invoice, of_token if whole else ever)
            sales = invoice.conversions
            placed = sum(row.lots * LOT - row.reversed_pips for row in sales)
            assert placed <= ever[TOKEN], "nothing is sold that is not booked"
            if any(row.state is CreditState.GONE for row in rows):
                assert invoice.state is not InvoiceState.SETTLED or pays(invoice, rows)
            if invoice.state is InvoiceState.SETTLED and whole:
                assert is_worth_its_price(invoice)
                rest = 0 if way is None else way.credited_pips - placed - back[TOKEN]
                assert rest < LOT, "all whole lots are converted, or were to be given back"
            if invoice.state is InvoiceState.NEW:
                assert received_pips(invoice) < least_pips(invoice)


def pays(invoice, rows):
    """Return whether what is left pays, or was found to when what is missing was not given up, or
    was weighed as a whole."""
    unsure = any(row.state in UNSURE for row in rows)
    return unsure or invoice.late or credited_pips(invoice) >= least_pips(invoice)


def check_other(other):
    """What was not asked for counts what is left of it, at no price above the stated one."""
    assert 0 <= other.valued_pips <= max(0, other.came_pips - other.returned_pips)
    assert 0 <= other.timely_worth_pips <= other.worth_pips
    if other.token == USD:
        assert other.worth_pips == other.valued_pips, "the stablecoin is its own value"
    else:
        assert other.worth_pips * LOT <= other.valued_pips * 200_000 * TICK


def asked_back(session, invoice, booked):
    """Return what refunds were to give back, by token, those that were cancelled too; the others
    are of none more than was booked."""
    asked, back = Counter(), Counter()
    for row in session.scalars(select(Refund).where(Refund.invoice_id == invoice.id)):
        asked[row.of_token] += row.of_pips
        back[row.of_token] += row.of_pips * (row.state is not RefundState.CANCELLED)
    assert all(pips <= booked[token] for token, pips in back.items()), "no more than came"
    return asked


def is_worth_its_price(invoice):
    """Return whether what is booked is all that was due in time, or sells for the price at the
    limit that it was weighed at."""
    if not invoice.late:
        return min(credited_pips(invoice), timely_pips(invoice)) >= least_pips(invoice)
    ticks = max((row.quoted_ticks or 0 for row in invoice.conversions), default=0)
    price = invoice.amount_pips - tolerated_pips(invoice)
    # Weighed along the bids, of which the last is the lowest; the stated price is the ceiling.
    assert ticks <= 200_000
    kept = Counter({one.token: booked_pips(one) for one in ways_of(invoice)})
    return kept[USD] + kept[TOKEN] // LOT * 200_000 * TICK >= price


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


@pytest.mark.parametrize(
    "edges", [INVOICE_EDGES, PAYMENT_EDGES, CREDIT_EDGES, CONVERSION_EDGES, DELIVERY_EDGES]
)
def test_every_edge_that_is_not_declared_is_an_assertion(edges):
    for now in edges:
        for then in edges:
            if then in edges[now]:
                assert moved(edges, now, then) is then
            else:
                with pytest.raises(AssertionError, match=f"no edge from {now} to {then}"):
                    moved(edges, now, then)
