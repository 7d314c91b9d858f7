"""Each sale notes the middle of the book when it was sold: what crossing to the bids has cost."""

import pytest

from engine.types import PPM, Side
from merchants.records.amounts import pips_of_decimal
from merchants.reports.reports import ReportKind
from merchants.sales.reference_prices import MIDDLE_NS
from tests.merchants.fixtures import ASK, BIDS, LOT, MAKER_SECRET, TICK, World, sole
from tests.merchants.test_reports_add_up_to_the_ledger import everything
from tests.merchants.test_sale_from_invoice_to_final import paid

ASK_ID = 3


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def sale_of(world, invoice):
    return sole(world.venue.merchants.reader.invoice(invoice.id).conversions)


def test_a_sale_is_compared_with_the_middle_to_the_pip(world):
    venue = world.venue
    invoice = paid(world, venue.invoice(venue.approved_store(), amount="50"))
    sale = sale_of(world, invoice)
    middle = 25 * (BIDS[0][0] + ASK[0]) * TICK // 2
    assert pips_of_decimal(sale.at_middle) == middle
    assert sale.spread_ppm == (middle - pips_of_decimal(sale.proceeds)) * PPM // middle > 0
    row = sole(everything(venue, invoice.store_id, ReportKind.CONVERSIONS))
    assert (row.at_middle, row.spread_ppm) == (sale.at_middle, str(sale.spread_ppm))


def test_no_single_order_makes_the_middle(world):
    """Found by reading: an offer just above the best bid, for the moment of the sale, made what the
    sale had cost look like nothing."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.pass_time(2 * MIDDLE_NS // 10**9)
    venue.quote(Side.SELL, BIDS[0][0] + 1, 1)
    sale = sale_of(world, paid(world, invoice))
    assert pips_of_decimal(sale.at_middle) == 25 * (BIDS[0][0] + ASK[0]) * TICK // 2


def test_where_the_book_has_no_two_sides_nothing_is_said(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    venue.cancel(MAKER_SECRET, ASK_ID)
    sale = sale_of(world, paid(world, invoice))
    assert (sale.proceeds, sale.at_middle, sale.spread_ppm) == ("50", None, None)
    row = sole(everything(venue, invoice.store_id, ReportKind.CONVERSIONS))
    assert (row.at_middle, row.spread_ppm) == ("", "")


def test_what_was_busted_and_sold_again_is_compared_once(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="101.999")
    world.pass_time(2 * MIDDLE_NS // 10**9)  # The first sale takes the best bid away.
    invoice = paid(world, invoice)
    for fill in sale_of(world, invoice).fills:
        venue.bust(fill)
    assert sale_of(world, invoice).at_middle is None
    venue.quote(Side.BUY, BIDS[0][0], 51)
    venue.tick()
    venue.tick()
    again = sale_of(world, invoice)
    assert again.sold == "0.051" and pips_of_decimal(again.sold) == 51 * LOT
    assert pips_of_decimal(again.at_middle) == 51 * (BIDS[0][0] + ASK[0]) * TICK // 2
