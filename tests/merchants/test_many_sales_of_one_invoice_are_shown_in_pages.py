"""However often an invoice is paid: its document ends, and all of its sales are in pages."""

import pytest
from sqlalchemy import event, func, select
from starlette.testclient import TestClient

from engine.types import Side
from merchants.documents.checkout import TRADES_SHOWN
from merchants.documents.sums import CONVERSIONS_SHOWN, FILLS_SHOWN
from merchants.records.amounts import decimal_of_pips
from merchants.records.database import transaction
from merchants.records.states import ConversionState
from merchants.records.tables import Conversion, Fill
from tests.merchants.fixtures import CUSTOMER, DOLLAR, LOT, MERCHANT, TOKEN, World
from tests.merchants.site import site

SALES = CONVERSIONS_SHOWN + 8


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def sold_often(venue, invoice, ref, times=SALES):
    """Pay the invoice straight into the vault, and let each payment be sold."""
    venue.quote(Side.BUY, 200_000, 10_000)
    for _ in range(times):
        venue.fund(MERCHANT, TOKEN, 25 * LOT, ref)
        venue.tick()


@pytest.fixture
def sold(world):
    store = world.venue.approved_store()
    invoice = world.venue.invoice(store)
    sold_often(world.venue, invoice, bytes.fromhex(invoice.ref[2:]))
    return store, invoice


def numbers(conversions):
    return [int(sale["id"].rpartition(".")[2]) for sale in conversions]


def test_the_document_has_the_newest_and_says_how_many_there_are(world, sold):
    _, invoice = sold
    document = world.venue.merchants.reader.invoice(invoice.id)
    assert len(document.conversions) == CONVERSIONS_SHOWN
    assert (document.conversion_count, document.gathered) == (SALES, [])
    assert document.conversions[-1].id == f"{invoice.id}.{SALES}"
    assert document.conversions[0].id == f"{invoice.id}.{SALES - CONVERSIONS_SHOWN + 1}"
    assert document.net == "1995", "of all of them: each 50 less 0.125"


def test_pages_of_them_go_from_the_newest_to_the_first(world, sold):
    store, invoice = sold
    client, mine = TestClient(site(world.venue)), {"authorization": f"Bearer {store.api_key}"}
    path, seen, before = f"/v1/invoices/{invoice.id}/conversions", [], {}
    while True:
        page = client.get(path, params={"limit": 15, **before}, headers=mine).json()
        seen += page["conversions"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert numbers(seen) == list(range(SALES, 0, -1))
    shown = client.get(f"/v1/invoices/{invoice.id}", headers=mine).json()["conversions"]
    assert shown == seen[CONVERSIONS_SHOWN - 1 :: -1], "the same documents"

    def status(path, **params):
        return client.get(path, params=params, headers=mine).status_code

    assert status(path, limit=CONVERSIONS_SHOWN + 1) == 422
    assert status(path, before=f"{invoice.id}.999") == 404
    assert status("/v1/invoices/inv_0/conversions") == 404
    other = world.venue.approved_store()
    theirs = {"authorization": f"Bearer {other.api_key}"}
    assert client.get(path, headers=theirs).status_code == 404


def test_a_sale_that_is_not_shown_counts_in_the_phase(world, sold):
    _, invoice = sold
    world.trades_are("final")
    world.venue.tick()
    assert world.venue.merchants.reader.checkout(invoice.id).phase == "settled"
    with transaction(world.venue.database) as session:
        session.get_one(Conversion, f"{invoice.id}.1").state = ConversionState.HELD
    held = world.venue.merchants.reader.checkout(invoice.id)
    assert (held.phase, held.sayings[0].key) == ("settled", "say_held_part")
    with transaction(world.venue.database) as session:
        first = session.get_one(Conversion, f"{invoice.id}.1")
        first.state, first.reason = ConversionState.PENDING, "NO_QUOTE"
    waits = world.venue.merchants.reader.checkout(invoice.id)
    assert (waits.phase, waits.sayings[0].key) == ("unsold", "say_unsold")


def test_no_more_rows_are_read_than_are_shown(world, sold):
    store, invoice = sold
    loaded = []

    def load(target, _context):
        loaded.append(target)

    event.listen(Conversion, "load", load)
    try:
        world.venue.merchants.reader.invoice(invoice.id)
        world.venue.merchants.reader.list_invoices(store.store_id)
        assert len(loaded) == 2 * CONVERSIONS_SHOWN
        loaded.clear()
        world.venue.fund(MERCHANT, TOKEN, 25 * LOT, bytes.fromhex(invoice.ref[2:]))
        world.transfer(bytes.fromhex(invoice.deposit_address[2:]), 10**18, sender=CUSTOMER)
        world.venue.watch()
        assert loaded == [], "a new one is opened without reading those before"
    finally:
        event.remove(Conversion, "load", load)


@pytest.mark.parametrize("fills", [5, FILLS_SHOWN + 20])
def test_found_a_look_read_all_trades_of_a_sale(world, fills):
    """5,000, which a stranger makes with small bids against his own payment, cost 60 to 300 ms."""
    store = world.venue.approved_store(notional_cap=10**6 * DOLLAR)
    invoice = world.venue.invoice(store, amount="10")
    for _ in range(fills):
        world.venue.quote(Side.BUY, 200_050, 1)
    world.venue.fund(MERCHANT, TOKEN, fills * LOT, bytes.fromhex(invoice.ref[2:]))
    world.venue.tick()
    with transaction(world.venue.database) as session:
        count = session.scalar(select(func.count()).select_from(Fill))
    assert count >= fills, "each bid is a trade"
    loaded = []

    def load(target, _context):
        loaded.append(target)

    event.listen(Fill, "load", load)
    try:
        page = world.venue.merchants.reader.checkout(invoice.id)
        assert len(loaded) == min(count, TRADES_SHOWN + 1)
        assert len(page.invoice.conversions[0].fills) == len(loaded)
        loaded.clear()
        document = world.venue.merchants.reader.invoice(invoice.id)
        assert len(loaded) == min(count, FILLS_SHOWN)
        loaded.clear()
        (sale,) = world.venue.merchants.reader.list_conversions(store.store_id, invoice.id)
        assert len(loaded) == min(count, FILLS_SHOWN)
    finally:
        event.remove(Fill, "load", load)
    assert [sale] == document.conversions
    with transaction(world.venue.database) as session:
        all_of_them = session.scalars(select(Fill)).all()
        net = sum(fill.proceeds_pips - fill.fee_pips for fill in all_of_them)
        assert document.net == sale.net == decimal_of_pips(net)
