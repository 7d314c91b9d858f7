"""A market's lot and tick change in the middle of a sale: money, limits and what is left stay."""

from contextlib import closing
from sqlite3 import connect

import msgspec
import pytest

from engine.commands import set_terms
from engine.types import Side
from merchants.sales.asked import InvoiceRequest
from settlement.protocol.evidence import OrderBits, SignedOrder, decode
from tests.merchants.fixtures import (
    AGE_S,
    ASK,
    DOLLAR,
    FEE_PPM,
    LOT,
    MERCHANT,
    TICK,
    TOKEN,
    USD,
    World,
    due_raw,
    option,
    sole,
)
from tests.merchants.test_sale_from_invoice_to_final import paid

FINER, FINER_TICK, COARSER = (LOT // 10, TICK // 10), (LOT // 10, TICK // 100), (LOT * 5, TICK * 50)
TERMS = pytest.mark.parametrize("terms", [FINER, FINER_TICK, COARSER])
OLD_FILE = pytest.mark.parametrize("is_old", [False, True])
ODD = LOT * 2, TICK * 2
"""Of five lots of before one is left over."""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def change_terms(world, lot_pips, tick_pips, is_old=False):
    """Let a lot and a tick be others from now on; the book is empty then."""
    if is_old:
        forget_terms(world.directory / "merchants.sqlite")
    row = set_terms(
        0, lot_pips=lot_pips, tick_pips=tick_pips, maker_fee_ppm=0, taker_fee_ppm=FEE_PPM
    )
    assert world.venue.submit(row)[-1].kind, "it was carried out"
    market = world.venue.catalog.market("TOKEN-USD")
    assert (market.lot_pips, market.tick_pips) == (lot_pips, tick_pips)


def forget_terms(path):
    """Let all rows be like those of a file from before the terms were kept in them."""
    with closing(connect(path)) as file, file:
        for table in ("options", "conversions", "fills"):
            file.execute(f"UPDATE {table} SET lot_pips = 0, tick_pips = 0")


def bid(world, lots, ticks=200_000):
    """Rest a bid of ``lots`` and ``ticks`` of the first terms, whatever they are now."""
    world.venue.quote(Side.BUY, ticks, lots)


def sale_of(world, invoice):
    return sole(world.venue.merchants.reader.invoice(invoice.id).conversions)


def prices_signed(world):
    """Return the limits of all sales in the journal, in quote pips for a whole token."""
    orders = [decode(attachment) for _, attachment in world.entries]
    return [
        order.quote_amount * 10**8 // order.base_amount
        for order in orders
        if isinstance(order, SignedOrder) and order.flags & OrderBits.SINGLE_SHOT
    ]


def try_again(world):
    world.pass_time(3600)
    world.venue.tick()


@OLD_FILE
@TERMS
def test_between_the_quote_and_the_payment(world, terms, is_old):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(slippage_ppm=1000), amount="50")
    change_terms(world, *terms, is_old)
    bid(world, 1000, 199_700)
    waits = paid(world, invoice)

    assert (option(waits).amount_due, waits.gathered) == ("0.025", [])
    sale = sole(waits.conversions)
    assert (sale.amount, sale.sold, sale.status) == ("0.025", "0", "pending")
    assert prices_signed(world) == [1998 * DOLLAR], "under 2000 by a thousandth, and never more"
    bid(world, 1000)
    try_again(world)
    sale = sale_of(world, invoice)
    assert (sale.sold, sale.unsold, sale.proceeds, sale.net) == ("0.025", "0", "50", "49.875")
    assert (sale.fills[0].price, sale.status) == ("2000", "filled")
    assert (venue.pips(MERCHANT, TOKEN), venue.pips(MERCHANT, USD)) == (0, 4_987_500_000)


@OLD_FILE
@TERMS
def test_between_two_orders_of_one_conversion(world, terms, is_old):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    first, invoice = (venue.invoice(store, amount=usd) for usd in ("60", "50"))
    paid(world, first)
    half = paid(world, invoice)
    assert (sole(half.conversions).sold, sole(half.conversions).unsold) == ("0.02", "0.005")

    change_terms(world, *terms, is_old)
    assert sole(half.conversions) == sale_of(world, invoice), "what is known of it is the same"
    bid(world, 1000)
    try_again(world)
    sale = sale_of(world, invoice)
    assert (sale.amount, sale.sold, sale.unsold, sale.status) == ("0.025", "0.025", "0", "filled")
    assert [(fill.amount, fill.price) for fill in sale.fills] == [
        ("0.02", "2000"),
        ("0.005", "2000"),
    ]
    assert set(prices_signed(world)) == {2000 * DOLLAR}
    assert (sale.proceeds, sale.net) == ("50", "49.875")
    assert (venue.pips(MERCHANT, TOKEN), venue.pips(MERCHANT, USD)) == (0, 10_972_500_000)


@OLD_FILE
@TERMS
def test_after_a_fill_and_before_it_is_final(world, terms, is_old):
    venue = world.venue
    invoice = paid(world, venue.invoice(venue.approved_store(), amount="101.999"))
    change_terms(world, *terms, is_old)
    assert venue.merchants.reader.invoice(invoice.id) == invoice
    world.trades_are("mined")
    venue.tick()

    # The chain refuses one of two: it is sold again, and the other is left as it was.
    venue.bust(sole(invoice.conversions).fills[0])
    assert (sale_of(world, invoice).sold, sale_of(world, invoice).unsold) == ("0.001", "0.05")
    bid(world, 1000)
    venue.tick()
    world.trades_are("final")
    venue.tick()
    end = sale_of(world, invoice)
    assert (end.status, end.sold, end.net) == ("final", "0.051", "101.7440025")
    assert venue.pips(MERCHANT, TOKEN) == 0
    assert venue.pips(MERCHANT, USD) == 10_174_400_250


@pytest.mark.parametrize(
    ("terms", "sold", "left"), [((LOT * 10, TICK * 10), "0.02", "0.005"), (ODD, "0.024", "0.001")]
)
def test_what_is_less_than_the_new_lot_is_gathered(world, terms, sold, left):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    first, invoice = (venue.invoice(store, amount=usd) for usd in ("60", "50"))
    paid(world, first)
    paid(world, invoice)
    change_terms(world, *terms)
    bid(world, 1000)
    for _ in range(3):
        try_again(world)
    sale = sale_of(world, invoice)
    assert (sale.status, sale.sold, sale.unsold, sale.gathered) == ("filled", sold, "0", left)
    assert sale.reason == "OFF_LOT" and venue.types(store)[-1] == "conversion.filled"
    venue.bust(sale.fills[-1])
    assert sale_of(world, invoice).sold != sold, "parts of a lot are taken back too"


def test_what_a_key_has_still_to_sell_is_worth_the_same(world):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0, notional_cap=120 * DOLLAR)
    first, invoice = (venue.invoice(store, amount=usd) for usd in ("60", "50"))
    paid(world, first)
    paid(world, invoice, due_raw(invoice))
    change_terms(world, *FINER)
    bid(world, 1000)
    venue.quote(Side.SELL, *ASK)
    world.pass_time(AGE_S)
    rejected = venue.merchants.create_invoice(
        store.store_id, InvoiceRequest("45", tokens=("TOKEN",))
    )
    assert rejected.detail["needed"] == "55"


def test_found_a_late_bust_took_back_trades_of_other_terms(world):
    """Its price in the ticks of now is another's: that one had still been traded."""
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    first, later = (venue.invoice(store, amount=usd) for usd in ("52", "48"))
    old = sole(paid(world, first).conversions).fills[0]
    change_terms(world, *ODD)
    bid(world, 1000)
    paid(world, later)
    try_again(world)
    new = sale_of(world, later).fills[0]
    assert (new.price, old.price) == ("2000", "2000")

    def traded():
        return msgspec.msgpack.decode(venue.merchants.prices.save())["tapes"][0]["rows"]

    before = traded()
    venue.bust(old)
    assert traded() == before
    venue.bust(new)
    assert traded() != before
