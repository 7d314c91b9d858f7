"""Whatever order the world speaks in, no machine takes an edge that is not declared."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Side
from merchants.documents import received_pips
from merchants.lifecycles import (
    CONVERSION_EDGES,
    DELIVERY_EDGES,
    INVOICE_EDGES,
    PAYMENT_EDGES,
    InvoiceState,
    moved,
)
from merchants.model import Invoice
from tests.merchants.rig import LOT, MERCHANT, TOKEN, World, address_bytes

ACTIONS = st.one_of(
    st.tuples(st.just("transfer"), st.integers(1, 40)),
    st.tuples(st.just("confirm"), st.integers(0, 3)),
    st.tuples(st.just("orphan"), st.integers(0, 5)),
    st.tuples(st.just("direct"), st.integers(1, 30)),
    st.tuples(st.just("bid"), st.integers(1, 40)),
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
        store = world.house.approved_store()
        invoice = world.house.invoice(store, amount_usd="50")
        for action, argument in actions:
            act(world, invoice, action, argument)
            check(world)
        ended(world)


def act(world, invoice, action, argument):
    house, address = world.house, address_bytes(invoice.deposit_address)
    match action:
        case "transfer":
            world.transfer(address, argument * 10**15)
        case "confirm":
            world.confirm(argument)
        case "orphan":
            for transfer in world.transfers[argument:]:
                house.merchants.payment_orphaned(transfer.tx_hash, transfer.log_index)
        case "direct":
            house.fund(MERCHANT, TOKEN, argument * LOT, bytes.fromhex(invoice.ref[2:]))
        case "bid":
            house.quote(Side.BUY, 200_000, argument)
        case "pass":
            world.pass_time(argument)
        case "chain":
            world.trades_are(argument)
        case "endpoint":
            world.endpoint = lambda url: argument
        case "watch":
            house.watch()
        case "tick":
            house.tick()
        case "sweep":
            house.settle_sweeps()
        case "restart":
            world.restart()
        case "bust":
            bust_newest(world, invoice)


def bust_newest(world, invoice):
    """Undo the newest sale, unless it is final or was undone before."""
    conversions = world.house.merchants.invoice(invoice.id).conversions
    fills = [fill for conversion in conversions for fill in conversion.fills]
    if fills and world.house.trade_state(fills[-1].trade_id).state not in ("final", "busted"):
        world.house.bust(fills[-1])


def check(world):
    """Value is where the states say it is, after every single action."""
    house = world.house
    house.engine.check()
    with Session(house.database) as session:
        for invoice in session.scalars(select(Invoice)):
            lots = sum(row.lots for row in invoice.conversions)
            assert lots * LOT <= invoice.credited_pips, "nothing is sold that is not booked"
            if invoice.state is InvoiceState.SETTLED:
                assert invoice.credited_pips >= invoice.due_pips
                assert invoice.credited_pips - lots * LOT < LOT, "all whole lots are converted"
            if invoice.state is InvoiceState.NEW:
                assert received_pips(invoice) < invoice.due_pips


def ended(world):
    """Left alone with a working world, everything finishes by itself."""
    world.endpoint = lambda url: 200
    world.house.quote(Side.BUY, 200_000, 2000)
    world.trades_are("final")
    for _ in range(10):
        world.confirm(3)
        world.house.watch()
        world.house.tick()
        world.house.settle_sweeps()
        world.pass_time(43_200)
    check(world)
    (invoice,) = world.house.merchants.list_invoices(sole_store(world))
    assert invoice.status in ("settled", "expired")
    assert all(conversion.status in ("final", "held") for conversion in invoice.conversions)
    assert all(payment.status == "final" for payment in invoice.payments)
    # An invoice's webhooks go one after another, so many events need as many turns.
    for _ in range(100):
        world.house.tick()
    states = {row.state for row in world.house.merchants.webhook_deliveries(sole_store(world))}
    assert states <= {"delivered", "dead"}


def sole_store(world):
    with Session(world.house.database) as session:
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
