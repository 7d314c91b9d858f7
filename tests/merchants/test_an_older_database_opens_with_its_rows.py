"""A file from before a column was there gets it, and its rows mean the same."""

from contextlib import closing
from sqlite3 import connect

from tests.merchants.fixtures import CONFIRMATIONS, LOT, World, address_bytes, due_raw, option
from tests.merchants.older import made_first

LATER = {
    "stores": ("tolerance_ppm", "tolerance_pips"),
    "invoices": (
        "sweep_tries",
        "timely_pips",
        "judge_at_ns",
        "short_pips",
        "over_pips",
        "lot_pips",
        "tick_pips",
        "net_pips",
    ),
    "conversions": ("lot_pips", "tick_pips", "odd_pips", "proceeds_pips", "fee_pips"),
    "fills": ("lot_pips", "tick_pips"),
    "credits": ("swept_raw", "booked_ns"),
}


def made_old(path):
    """Take away what the first version did not have; then ``seen_pips`` was all that came."""
    made_first(path)
    with closing(connect(path)) as old, old:
        old.execute("UPDATE invoices SET seen_pips = seen_pips + credited_pips")
        old.execute("DROP INDEX ix_invoices_judge_at_ns")
        old.execute("DROP TABLE sweeps")
        for table, columns in LATER.items():
            for column in columns:
                old.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


def test_an_invoice_paid_before_and_one_open_end_as_they_would_have(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    paid, waiting = (venue.invoice(store, amount="50") for _ in range(2))
    world.transfer(address_bytes(paid.deposit_address), due_raw(paid), confirmations=CONFIRMATIONS)
    half = due_raw(waiting) // 2
    world.transfer(address_bytes(waiting.deposit_address), half, confirmations=CONFIRMATIONS)
    venue.watch()
    venue.tick()
    venue.settle_sweeps()
    venue.tick()
    (sale,) = venue.merchants.reader.invoice(paid.id).conversions
    told = len(world.received)
    assert told == len(venue.types(store)) > 0
    venue.database.dispose()
    made_old(tmp_path / "merchants.sqlite")

    world.restart()
    venue = world.venue
    for before, received, status in ((paid, "50", "settled"), (waiting, "25", "new")):
        invoice = venue.merchants.reader.invoice(before.id)
        assert (invoice.status, invoice.received) == (status, received)
    keys = venue.merchants.stores.keys
    assert keys.authenticate(store.api_key).store.id == store.store_id
    venue.tick()
    assert len(world.received) == told, "what was told is told, and is not told again"
    world.transfer(address_bytes(waiting.deposit_address), half, confirmations=CONFIRMATIONS)
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
    end = venue.merchants.reader.invoice(waiting.id)
    assert (end.status, option(end).credited) == ("settled", "0.025")
    (as_before,) = venue.merchants.reader.invoice(paid.id).conversions
    assert (as_before.proceeds, as_before.fee) == (sale.proceeds, sale.fee) != ("0", "0")
    assert venue.merchants.reader.invoice(paid.id).net == sale.net
    assert len(world.received) == len(venue.types(store)) > told, "the URL and secret are the same"
    world.trades_are("final")
    venue.tick()
    assert venue.merchants.reader.invoice(paid.id).status == "settled"
    assert world.swept[address_bytes(paid.deposit_address), b"\xaa" * 20] == 25 * LOT
