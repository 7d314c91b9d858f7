"""Merchants are told how far their trades are, in whatever order log and settlement speak; only a
start asks."""

import pytest
from sqlalchemy import event

from merchants.records.tables import Fill
from settlement.ports import TradeState
from settlement.protocol.eip712 import keccak256
from tests.merchants.rig import TRADES_MAX, World, sole
from tests.merchants.test_sale_from_invoice_to_final import paid


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def conversion_of(world, invoice):
    return sole(world.house.merchants.invoice(invoice.id).conversions)


def told(world, word):
    """Tell, and let nobody find it out by asking."""
    world.house.merchants.settlement_changed(
        1, TRADES_MAX, TradeState(word, 9, keccak256(b"batch 9"))
    )
    world.house.tick()


def sold(world):
    """Sell an invoice; return it, and forget what was asked meanwhile."""
    store = world.house.approved_store()
    invoice = paid(world, world.house.invoice(store, amount_usd="50"))
    world.house.tick()
    world.house.asked = 0
    return store, invoice


def test_what_was_read_is_told_and_nobody_asks(world):
    store, invoice = sold(world)
    for word, status in (("batched", "batched"), ("mined", "batched"), ("final", "final")):
        told(world, word)
        conversion = conversion_of(world, invoice)
        assert (conversion.status, sole(conversion.fills).status) == (status, word)
    assert world.house.asked == 0
    assert world.house.types(store)[-3:] == [
        "conversion.filled",
        "conversion.batched",
        "conversion.final",
    ]


@pytest.mark.parametrize("word", ["batched", "final"])
def test_news_that_come_before_the_trade_is_read_are_not_lost(world, word):
    house = world.house
    store = house.approved_store()
    invoice = house.invoice(store, amount_usd="50")
    house.reads_late = True
    paid(world, invoice)
    house.read()  # The deposit; the sale follows.
    house.tick()
    assert not conversion_of(world, invoice).fills, "it was sold, and is not read yet"
    world.trades_are(word)
    house.tick()
    assert not conversion_of(world, invoice).fills

    house.read()
    house.tick()
    conversion = conversion_of(world, invoice)
    assert (conversion.status, sole(conversion.fills).status) == (word, word)
    kinds = [kind for kind in house.types(store) if kind.startswith("conversion")]
    assert kinds == ["conversion.filled", "conversion.batched", "conversion.final"][: len(kinds)]


def test_a_bust_that_is_read_after_the_news_of_its_batch_still_takes_it_back(world):
    store, invoice = sold(world)
    house = world.house
    (fill,) = conversion_of(world, invoice).fills
    house.reads_late = True
    house.bust(fill)
    told(world, "batched")
    assert conversion_of(world, invoice).status == "batched"
    house.read()
    house.reads_late = False
    assert conversion_of(world, invoice).fills == []
    assert house.types(store)[-1] == "conversion.busted"


def test_a_trade_whose_bust_is_known_when_it_is_read_is_taken_back_once(world):
    house = world.house
    store = house.approved_store()
    invoice = house.invoice(store, amount_usd="50")
    house.reads_late = True
    paid(world, invoice)
    house.read()
    house.tick()
    first, *behind = house.unread
    house.unread = [first]
    world.trade_words[int(first.events["trade_id"].max())] = "busted"
    house.read()
    (fill,) = conversion_of(world, invoice).fills
    assert fill.status == "matched", "the log says further on that it was busted"
    house.unread = behind
    house.bust(fill)
    house.read()
    assert house.types(store).count("conversion.busted") == 1
    assert conversion_of(world, invoice).fills == []


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_final_and_is_taken_back_becomes_final_again(world, is_restarted):
    store, invoice = sold(world)
    told(world, "final")
    if is_restarted:  # We died before anybody told us.
        world.trade_words = {None: "submitted"}
        world.restart()
        world.house.tick()
    else:
        told(world, "submitted")
    conversion = conversion_of(world, invoice)
    assert (conversion.status, sole(conversion.fills).status) == ("batched", "submitted")

    told(world, "final")
    assert conversion_of(world, invoice).status == "final"
    kinds = [kind for kind in world.house.types(store) if kind.startswith("conversion")]
    assert kinds == ["conversion.filled", *["conversion.batched", "conversion.final"] * 2]


def test_what_was_final_and_is_busted_after_all_is_sold_again(world):
    _, invoice = sold(world)
    told(world, "final")
    told(world, "matched")
    (fill,) = conversion_of(world, invoice).fills
    assert (fill.status, fill.batch, fill.tx_hash) == ("matched", None, None)
    world.house.bust(fill)
    assert conversion_of(world, invoice).status == "pending"
    world.house.engine.check()


def test_a_start_asks_once_and_finds_what_happened_meanwhile(world):
    _, invoice = sold(world)
    world.trade_words = {None: "mined"}
    world.house.tick()
    assert conversion_of(world, invoice).status == "filled", "nobody has told"
    world.restart()
    world.house.tick()
    assert conversion_of(world, invoice).status == "batched"
    world.house.asked = 0
    world.house.tick()
    assert world.house.asked == 0
    told(world, "final")
    world.restart()
    world.trade_words = {None: "final"}
    for _ in range(3):
        world.house.tick()
    assert world.house.asked == 1, "of what is final only the newest is asked for"


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
