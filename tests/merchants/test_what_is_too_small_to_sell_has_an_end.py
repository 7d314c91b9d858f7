"""What is less than the market's least order, or than a lot, is gathered until it is not."""

import msgspec
import pytest

from engine.types import Side
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    MAKER_SECRET,
    World,
    address_bytes,
    due_raw,
    lots_in_journal,
    sole,
)

LOT_RAW = 10**15


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, least_pips=10 * DOLLAR)


def paid(world, invoice, raw):
    world.transfer(address_bytes(invoice.deposit_address), raw, confirmations=CONFIRMATIONS)
    for _ in range(3):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def test_found_a_rest_under_the_smallest_order_was_tried_eight_times_in_silence(world):
    """52 of 54 lots find a bid; the two that are left are 4 dollars where 10 are the least."""
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    invoice = venue.invoice(store, amount="100")
    more = venue.invoice(store, amount="100")
    for order_id in (1, 2):
        venue.cancel(MAKER_SECRET, order_id)
    venue.quote(Side.BUY, 200_000, 98)
    paid(world, invoice, due_raw(invoice))
    paid(world, more, due_raw(more))
    world.pass_time(1)
    venue.tick()
    ended = venue.merchants.reader.invoice(more.id)
    conversion = sole(ended.conversions)
    assert (conversion.status, conversion.sold, conversion.gathered) == ("filled", "0.048", "0.002")
    assert (conversion.reason, conversion.attempts) == ("BELOW_LEAST_NOTIONAL", 2)
    last = msgspec.json.decode(venue.merchants.reader.events_after(store.store_id, 0)[-1].body)
    told = last["data"]["conversion"]
    assert (last["type"], told["gathered"], told["unsold"]) == ("conversion.filled", "0.002", "0")
    sales = len(lots_in_journal(world))
    world.pass_time(86_400)
    venue.tick()
    assert len(lots_in_journal(world)) == sales, "it is not tried alone again"
    assert sole(ended.gathered).waiting == "0.002"


def test_what_comes_on_top_is_gathered_until_the_market_takes_it(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    paid(world, invoice, due_raw(invoice))
    small = paid(world, invoice, 4 * LOT_RAW)
    assert (len(small.conversions), small.over) == (1, "8")
    assert sole(small.gathered).waiting == "0.004"
    assert venue.types(store)[-1] == "invoice.paid_over"
    gathered = paid(world, invoice, 2 * LOT_RAW)
    assert [c.sold for c in gathered.conversions] == ["0.025", "0.006"]
    assert (sole(gathered.gathered).amount, sole(gathered.gathered).waiting) == ("0.006", "0")
    assert gathered.net == "61.845"
