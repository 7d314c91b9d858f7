"""Merchants are told how far their trades are, in whatever order log and settlement speak; only a
start asks."""

import pytest
from sqlalchemy import event

from merchants.records.tables import Fill
from settlement.ports import TradeState
from settlement.protocol.eip712 import keccak256
from tests.merchants.fixtures import TRADES_MAX, World, sole
from tests.merchants.test_sale_from_invoice_to_final import paid


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def conversion_of(world, invoice):
    return sole(world.venue.merchants.reader.invoice(invoice.id).conversions)


def told(world, word):
    """Tell, and let nobody find it out by asking."""
    world.venue.merchants.settlement_changed(
        1, TRADES_MAX, TradeState(word, 9, keccak256(b"batch 9"))
    )
    world.venue.tick()


def sold(world):
    """Sell an invoice; return it, and forget what was asked meanwhile."""
    store = world.venue.approved_store()
    invoice = paid(world, world.venue.invoice(store, amount="50"))
    world.venue.tick()
    world.venue.asked = 0
    return store, invoice


def test_what_was_read_is_told_and_nobody_asks(world):
    store, invoice = sold(world)
    for word, status in (("batched", "batched"), ("mined", "batched"), ("final", "final")):
        told(world, word)
        conversion = conversion_of(world, invoice)
        assert (conversion.status, sole(conversion.fills).status) == (status, word)
    assert world.venue.asked == 0
    assert world.venue.types(store)[-3:] == [
        "conversion.filled",
        "conversion.batched",
        "conversion.final",
    ]


@pytest.mark.parametrize("word", ["batched", "final"])
def test_news_that_come_before_the_trade_is_read_are_not_lost(world, word):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    venue.reads_late = True
    paid(world, invoice)
    venue.read()  # The deposit; the sale follows.
    venue.tick()
    assert not conversion_of(world, invoice).fills, "it was sold, and is not read yet"
    world.trades_are(word)
    venue.tick()
    assert not conversion_of(world, invoice).fills

    venue.read()
    venue.tick()
    conversion = conversion_of(world, invoice)
    assert (conversion.status, sole(conversion.fills).status) == (word, word)
    kinds = [kind for kind in venue.types(store) if kind.startswith("conversion")]
    assert kinds == ["conversion.filled", "conversion.batched", "conversion.final"][: len(kinds)]


def test_a_bust_that_is_read_after_the_news_of_its_batch_still_takes_it_back(world):
    store, invoice = sold(world)
    venue = world.venue
    (fill,) = conversion_of(world, invoice).fills
    venue.reads_late = True
    venue.bust(fill)
    told(world, "batched")
    assert conversion_of(world, invoice).status == "batched"
    venue.read()
    venue.reads_late = False
    assert conversion_of(world, invoice).fills == []
    assert venue.types(store)[-1] == "conversion.busted"


def test_a_trade_whose_bust_is_known_when_it_is_read_is_taken_back_once(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    venue.reads_late = True
    paid(world, invoice)
    venue.read()
    venue.tick()
    first, *behind = venue.unread
    venue.unread = [first]
    world.trade_words[int(first.events["trade_id"].max())] = "busted"
    venue.read()
    (fill,) = conversion_of(world, invoice).fills
    assert fill.status == "matched", "the log says further on that it was busted"
    venue.unread = behind
    venue.bust(fill)
    venue.read()
    assert venue.types(store).count("conversion.busted") == 1
    assert conversion_of(world, invoice).fills == []


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_final_and_is_taken_back_becomes_final_again(world, is_restarted):
    store, invoice = sold(world)
    told(world, "final")
    if is_restarted:  # We died before anybody told us.
        world.trade_words = {None: "submitted"}
        world.restart()
        world.venue.tick()
    else:
        told(world, "submitted")
    conversion = conversion_of(world, invoice)
    assert (conversion.status, sole(conversion.fills).status) == ("batched", "submitted")

    told(world, "final")
    assert conversion_of(world, invoice).status == "final"
    kinds = [kind for kind in world.venue.types(store) if kind.startswith("conversion")]
    assert kinds == ["conversion.filled", *["conversion.batched", "conversion.final"] * 2]


def test_what_was_final_and_is_busted_after_all_is_sold_again(world):
    _, invoice = sold(world)
    told(world, "final")
    told(world, "matched")
    (fill,) = conversion_of(world, invoice).fills
    assert (fill.status, fill.batch, fill.tx_hash) == ("matched", None, None)
    world.venue.bust(fill)
    assert conversion_of(world, invoice).status == "pending"
    world.venue.engine.check()


def test_a_start_asks_once_and_finds_what_happened_meanwhile(world):
    _, invoice = sold(world)
    world.trade_words = {None: "mined"}
    world.venue.tick()
    assert conversion_of(world, invoice).status == "filled", "nobody has told"
    world.restart()
    world.venue.tick()
    assert conversion_of(world, invoice).status == "batched"
    world.venue.asked = 0
    world.venue.tick()
    assert world.venue.asked == 0
    told(world, "final")
    world.restart()
    world.trade_words = {None: "final"}
    for _ in range(3):
        world.venue.tick()
    assert world.venue.asked == 1, "of what is final only the newest is asked for"


def test_found_news_that_change_nothing_read_every_fill_of_a_sale(world):
    _, invoice = sold(world)
    told(world, "batched")
    read = []

    def loaded(fill, _context):
        read.append(fill.trade_id)

    event.listen(Fill, "load", loaded)
    told(world, "submitted")
    told(world, "mined")
    event.remove(Fill, "load", loaded)
    assert not read
    assert sole(conversion_of(world, invoice).fills).status == "mined"
