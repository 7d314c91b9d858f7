"""A sale that the chain refused: the shop is told, nothing of it counts, and it is sold again."""

import msgspec
import pytest

from engine.types import Side
from tests.merchants.fixtures import LOT, MERCHANT, TOKEN, USD, World, sole
from tests.merchants.test_sale_from_invoice_to_final import paid


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def conversion_of(world, invoice):
    return sole(world.venue.merchants.reader.invoice(invoice.id).conversions)


def told(world, store, kind):
    """Return what the one event of ``kind`` said."""
    rows = world.venue.merchants.reader.events_after(store.store_id, 0)
    bodies = [msgspec.json.decode(row.body) for row in rows]
    return sole([body["data"] for body in bodies if body["type"] == kind])


@pytest.mark.parametrize(("word", "is_restarted"), [("matched", False), ("mined", True)])
def test_it_is_taken_back_told_and_sold_again_to_the_unit(world, word, is_restarted):
    venue = world.venue
    store = venue.approved_store()
    invoice = paid(world, venue.invoice(store, amount="101.999"))
    world.trades_are(word)
    venue.tick()
    first, second = conversion_of(world, invoice).fills
    usd_after = venue.pips(MERCHANT, USD)

    venue.bust(first)
    venue.bust(second)
    if is_restarted:
        world.restart()
        venue = world.venue
    assert venue.pips(MERCHANT, USD) == 0 and venue.pips(MERCHANT, TOKEN) == 51 * LOT
    venue.quote(Side.BUY, 200_000, 51)
    venue.tick()

    assert venue.types(store).count("conversion.busted") == 2
    venue.tick()
    again = conversion_of(world, invoice)
    assert (again.sold, again.unsold) == ("0.051", "0")
    assert {fill.trade_id for fill in again.fills}.isdisjoint({first.trade_id, second.trade_id})
    assert venue.types(store)[-1] in ("conversion.filled", "conversion.batched")
    assert venue.types(store).count("conversion.filled") == 2
    assert venue.pips(MERCHANT, TOKEN) == 0 and venue.pips(MERCHANT, USD) >= usd_after
    world.trades_are("final")
    venue.tick()
    end = world.venue.merchants.reader.invoice(invoice.id)
    assert (sole(end.conversions).status, sole(end.conversions).reason) == ("final", "")
    assert end.net == sole(end.conversions).net
    venue.engine.check()


def test_the_event_says_what_is_not_sold_any_more(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = paid(world, venue.invoice(store, amount="101.999"))
    _, second = conversion_of(world, invoice).fills
    venue.bust(second)
    venue.tick()

    seen = told(world, store, "conversion.busted")["conversion"]
    assert (seen["sold"], seen["unsold"], seen["status"]) == ("0.05", "0.001", "pending")
    assert seen["reason"] == "TRADE_BUSTED"


def test_what_was_given_up_is_held_with_more_of_it_and_the_shop_is_told(world):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    invoices = [venue.invoice(store, amount="100") for _ in range(2)]
    paid(world, invoices[0])
    venue.quote(Side.BUY, 200_000, 20)
    paid(world, invoices[1])
    for _ in range(10):
        world.pass_time(3600)
        venue.tick()
    (fill,) = conversion_of(world, invoices[1]).fills
    venue.bust(fill)
    venue.tick()

    held = conversion_of(world, invoices[1])
    assert (held.status, held.sold, held.unsold, held.fills) == ("held", "0", "0.05", [])
    seen = told(world, store, "conversion.busted")["conversion"]
    assert (seen["status"], seen["unsold"]) == ("held", "0.05")
    world.trades_are("final")
    venue.tick()
    assert told(world, store, "conversion.held")["conversion"]["sold"] == "0.02", "told once"
