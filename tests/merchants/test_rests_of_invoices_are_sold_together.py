"""The lot is not the customer's business: due to the pip, and what no order may carry alone is
sold with others' rests and shared to the unit."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Side
from merchants.records.pots import Gift, Pot, pot_ref
from merchants.records.tables import Conversion, Invoice
from merchants.records.terms import pips_of, sold_pips, unsold_pips
from merchants.sales.asked import InvoiceRequest
from merchants.sales.pots import shares_of
from settlement.protocol.evidence import OrderBits, SignedOrder, decode
from tests.merchants.fixtures import (
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    World,
    pips_of_decimal,
    sole,
)
from tests.merchants.test_sale_from_invoice_to_final import paid


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def refs_sold(world):
    """Return lots and reference of each sale in the journal."""
    orders = [decode(attachment) for _, attachment in world.entries]
    return [
        (order.base_amount // LOT, order.ref)
        for order in orders
        if isinstance(order, SignedOrder) and order.flags & OrderBits.SINGLE_SHOT
    ]


def read(world, invoice):
    return world.venue.merchants.reader.invoice(invoice.id)


def test_a_cent_costs_a_cent_and_a_hundred_of_them_are_sold_at_once(world):
    """0.25 was due as 2.00, for a lot costs that."""
    venue = world.venue
    store = venue.approved_store()
    first = venue.invoice(store, amount="0.25")
    assert (sole(first.options).amount_due, sole(first.options).expected.proceeds) == (
        "0.000125",
        "0.25",
    )
    first = paid(world, first)
    assert (first.status, first.conversions) == ("settled", [])
    assert (sole(first.gathered).waiting, first.net) == ("0.000125", "0")
    assert venue.merchants.reader.checkout(first.id).phase == "settled"
    others = [paid(world, venue.invoice(store, amount="0.25")) for _ in range(7)]

    assert refs_sold(world) == [(1, pot_ref(store.store_id))]
    nets = [read(world, invoice).net for invoice in (first, *others)]
    assert sum(pips_of_decimal(net) for net in nets) == venue.pips(MERCHANT, USD) == 199_500_000
    assert set(nets) == {"0.249375"}
    assert sole(read(world, others[-1]).conversions).from_pot
    assert read(world, first).conversions == [], "it is the sale of who completed it"
    sales = venue.merchants.reader.sales(first.id, store.store_id)
    assert sole(sales).ref == pot_ref(store.store_id) and len(sole(sales).trade_ids) == 1
    assert sales == venue.merchants.reader.sales(others[-1].id, store.store_id)


def test_whole_lots_are_sold_at_once_and_the_rest_with_the_next(world):
    venue = world.venue
    store = venue.approved_store()
    one = paid(world, venue.invoice(store, amount="5"))
    assert (sole(one.conversions).sold, sole(one.gathered).waiting) == ("0.002", "0.0005")
    two = paid(world, venue.invoice(store, amount="5"))
    alone, together = two.conversions
    assert (alone.sold, alone.from_pot) == ("0.002", False)
    assert (together.sold, together.from_pot, together.net) == ("0.001", True, "1.995")
    one = read(world, one)
    assert one.net == two.net == "4.9875"
    assert [sales.ref for sales in venue.merchants.reader.sales(one.id)] == [
        bytes.fromhex(one.ref[2:]),
        pot_ref(store.store_id),
    ]


def test_a_busted_sale_of_the_pot_is_sold_again_and_shared_again(world):
    venue = world.venue
    store = venue.approved_store()
    invoices = [paid(world, venue.invoice(store, amount="1")) for _ in range(2)]
    sale = sole(read(world, invoices[1]).conversions)
    venue.bust(sole(sale.fills))
    assert [read(world, invoice).net for invoice in invoices] == ["0", "0"]
    world.restart()
    venue = world.venue
    venue.quote(Side.BUY, 199_950, 5)
    for _ in range(3):
        world.pass_time(60)
        venue.tick()
    nets = [pips_of_decimal(read(world, invoice).net) for invoice in invoices]
    assert sum(nets) == venue.pips(MERCHANT, USD) > 0 and venue.pips(MERCHANT, TOKEN) == 0
    assert venue.types(store).count("conversion.busted") == 1


def test_the_pot_is_not_sold_for_the_only_bid(world):
    """Its limit is from trades, whatever the book says when it is full."""
    venue = world.venue
    store = venue.approved_store(floor_price=1500 * DOLLAR)
    paid(world, venue.invoice(store, amount="1"))
    second = venue.invoice(store, amount="1")
    for order_id in (1, 2):
        venue.cancel(b"\x01" * 32, order_id)
    venue.quote(Side.BUY, 150_000, 50)
    second = paid(world, second)
    assert sole(second.conversions).status == "pending" and venue.pips(MERCHANT, USD) == 0
    conversion = sole(second.conversions)
    assert (conversion.unsold, conversion.reason) == ("0.001", "IMMEDIATE_REMAINDER")


def test_a_gathered_payment_counts_against_what_the_key_may_sell(tmp_path):
    world = World(tmp_path, least_pips=40 * DOLLAR)
    venue = world.venue
    store = venue.approved_store(notional_cap=50 * DOLLAR)
    paid(world, venue.invoice(store, amount="20"))
    refused = venue.merchants.create_invoice(
        store.store_id, InvoiceRequest("30.5", tokens=("TOKEN",))
    )
    assert refused.detail["needed"] == "50.5"


@given(st.integers(0, 10**20), st.lists(st.integers(1, 10**18), min_size=1, max_size=50))
def test_shares_are_all_of_it_and_none_is_off_by_a_unit(net, weights):
    shares, total = shares_of(net, weights), sum(weights)
    assert sum(shares) == net
    assert all(
        abs(share * total - net * weight) < total
        for share, weight in zip(shares, weights, strict=True)
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(10, 900)),
        st.tuples(st.just("over"), st.integers(1, 3 * LOT)),
        st.tuples(st.just("bid"), st.integers(1, 4)),
        st.tuples(st.just("pass"), st.sampled_from([1, 60, 4000])),
        st.tuples(st.sampled_from(["tick", "restart", "bust", "drain"]), st.just(0)),
    ),
    min_size=3,
    max_size=16,
)


@settings(max_examples=12, deadline=None)
@given(STEPS, st.sampled_from([0, 3 * DOLLAR]))
def test_whatever_comes_every_pip_is_somewhere_and_every_unit_somebodys(steps, least_pips):
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), least_pips=least_pips)
        store = world.venue.approved_store()
        invoices = []
        for step, argument in steps:
            act(world, store, invoices, step, argument)
            check(world)


def act(world, store, invoices, step, argument):
    venue = world.venue
    match step:
        case "pay":
            world.pass_time(5)
            venue.quote(Side.BUY, 200_000, 1000)
            venue.quote(Side.SELL, 200_100, 10)
            world.pass_time(5)
            invoice = venue.invoice(store, amount=f"{argument // 100}.{argument % 100:02}")
            invoices.append(paid(world, invoice))
        case "over" if invoices:
            venue.fund(MERCHANT, TOKEN, argument, bytes.fromhex(invoices[-1].ref[2:]))
        case "bid":
            venue.quote(Side.BUY, 200_000, argument)
        case "pass":
            world.pass_time(argument)
        case "tick":
            venue.tick()
        case "restart":
            world.restart()
        case "drain":
            for ticks, lots in venue.exchange.depth(venue.catalog.market("TOKEN-USD"), Side.BUY, 9):
                venue.quote(Side.SELL, ticks, lots)
        case "bust":
            sales = [sale for one in invoices for sale in read(world, one).conversions]
            fills = [fill for sale in sales for fill in sale.fills]
            if fills:
                venue.bust(fills[-1])


def check(world):
    """The books of the store and those of the exchange say the same, after every step."""
    venue, catalog = world.venue, world.venue.catalog
    market = catalog.market("TOKEN-USD")
    with Session(venue.database) as session:
        invoices = session.scalars(select(Invoice)).all()
        conversions = session.scalars(select(Conversion)).all()
        gifts = session.scalars(select(Gift)).all()
        pots = session.scalars(select(Pot)).all()
        waiting = sum(gift.pips for gift in gifts if gift.conversion_id is None)
        assert waiting == sum(pot.pips for pot in pots)
        sold = sum(sold_pips(market, sale) for sale in conversions)
        unsold = sum(unsold_pips(market, sale) for sale in conversions)
        credited = sum(invoice.options[0].credited_pips for invoice in invoices)
        settled = sum(i.options[0].credited_pips for i in invoices if i.state == "settled")
        assert sold + unsold + waiting == settled <= credited
        assert venue.pips(MERCHANT, TOKEN) == credited - sold
        for sale in conversions:
            if sale.from_pot:
                its = [gift for gift in gifts if gift.conversion_id == sale.id]
                assert sum(g.pips for g in its) == pips_of(market, sale) - sale.to_pot_pips
                assert sum(g.net_pips for g in its) == sale.proceeds_pips - sale.fee_pips
        assert sum(invoice.net_pips for invoice in invoices) == venue.pips(MERCHANT, USD)
    venue.engine.check()
