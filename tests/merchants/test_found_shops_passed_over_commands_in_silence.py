"""``merchants.sqlite`` says itself how far it has read. Found: nobody held that to the log.

With an older copy of it beside newer snapshots what lay between was never shown to the shops, and
beside a log that ends before, or is another, what came at the same sequences was passed over.
"""

from contextlib import closing
from sqlite3 import connect

import pytest
from sqlalchemy import select

from engine.sequencer.places import NotOfThisLog
from engine.types import Side
from merchants.records.database import reading
from merchants.records.lost_end import SoldInWhatIsLost, step_back
from merchants.records.movements import Movement
from tests.merchants.files import Files
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    MAKER,
    MERCHANT,
    TOKEN,
    USD,
    address_bytes,
    due_raw,
    option,
)
from tests.merchants.older import made_first


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_an_older_copy_is_shown_what_it_has_not_seen(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    first = files.snapshot()
    older = files.copy()
    files.pay(invoice)
    assert (
        option(files.venue.merchants.reader.invoice(invoice.id)).credited
        == option(invoice).amount_due
    )
    assert files.snapshot() > first
    files.put_back(older)
    files.world.restart()
    assert files.sequencer.resumed_at == first, "the newer snapshot is passed over"
    (why,) = files.sequencer.snapshots_refused
    assert f"merchants.sqlite has seen commands up to {first} only" in why
    assert (
        option(files.venue.merchants.reader.invoice(invoice.id)).credited
        == option(invoice).amount_due
    )


def test_a_file_that_is_lost_is_shown_everything(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    files.pay(invoice)
    files.snapshot()
    empty = files.copy()
    files.put_back(empty)
    with closing(connect(files.path)) as database, database:
        database.execute("DELETE FROM cursor")
    files.world.restart()
    assert files.sequencer.resumed_at == 0
    assert files.venue.merchants.place().sequence > 0


def test_no_start_where_the_beginning_is_gone_that_a_copy_has_not_seen(files):
    older = files.copy()
    files.venue.approved_store()
    files.snapshot()
    files.world.storage.rename(
        "0000000000000001.journal", f"{files.sequencer.sequence + 1:016d}.journal"
    )
    files.put_back(older)
    with pytest.raises(NotOfThisLog, match=r"no snapshot covers.*merchants.sqlite has seen"):
        files.world.restart()


def test_no_start_beside_a_log_that_ends_before(files):
    invoice = files.venue.invoice(files.venue.approved_store())
    log, ended = files.world.storage.copy(), files.sequencer.sequence
    files.pay(invoice)
    files.venue.database.dispose()
    files.world.storage = log
    seen = files.venue.merchants.cursor
    with pytest.raises(NotOfThisLog) as refused:
        files.world.restart()
    assert f"merchants.sqlite has seen commands up to {seen}" in str(refused.value)
    assert f"the log ends at {ended}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("is_sold", [False, True])
def test_where_the_end_of_the_log_is_lost_shops_go_on_unless_they_sold_in_it(files, is_sold):
    invoice = files.venue.invoice(files.venue.approved_store())
    raw = due_raw(invoice)
    files.world.transfer(address_bytes(invoice.deposit_address), raw, TOKEN, CONFIRMATIONS)
    files.venue.watch()
    files.venue.tick()
    log, end = files.world.storage.copy(), files.sequencer.position
    files.venue.settle_sweeps()
    if is_sold:
        files.venue.tick()
    seen = files.sequencer.sequence
    files.venue.database.dispose()
    files.world.storage = log
    with pytest.raises(NotOfThisLog):
        files.world.restart()
    if is_sold:
        with pytest.raises(SoldInWhatIsLost, match=f"command {seen}, which is lost"):
            step_back(files.path, end)
        return
    assert step_back(files.path, end) == seen
    assert step_back(files.path, end) is None
    files.world.journaled.clear()
    files.world.restart()
    for _ in range(2):
        files.venue.settle_sweeps()  # The same deposit is booked again.
        files.venue.tick()
    again = files.venue.merchants.reader.invoice(invoice.id)
    assert (again.status, option(again).credited) == ("settled", option(invoice).amount_due)
    assert len(again.conversions) == 1 and files.sequencer.sequence > seen


def test_found_what_moved_in_the_lost_end_stood_in_the_way_of_what_came_instead(files):
    """Found: rows of reports kept its numbers, and the next command of one of them ended us."""
    files.venue.approved_store()
    log, end = files.world.storage.copy(), files.sequencer.position
    files.venue.fund(MERCHANT, USD, 7)
    files.venue.tick()
    files.venue.database.dispose()
    files.world.storage = log
    assert step_back(files.path, end) is not None
    files.world.journaled.clear()
    files.world.restart()
    files.venue.fund(MERCHANT, USD, 9)
    files.venue.tick()
    with reading(files.venue.database) as session:
        moved = session.scalars(select(Movement).where(Movement.sequence > end.sequence)).all()
    assert [row.pips for row in moved] == [9]


@pytest.mark.parametrize("commands", [0, 5])
def test_no_start_beside_another_history_of_the_same_length(files, commands):
    """With a snapshot too that ends where the file does."""
    log = files.world.storage.copy()
    files.venue.fund(MAKER, TOKEN, 5)
    files.snapshot()
    copy, seen = files.copy(), files.sequencer.sequence
    files.venue.database.dispose()
    files.world.storage, files.world.snapshots = log, files.world.snapshots.__class__()
    files.path.unlink()
    files.world.restart()
    files.venue.fund(MAKER, TOKEN, 6)
    assert files.snapshot() == seen
    for lots in range(commands):
        files.venue.quote(Side.SELL, 201_000, 1 + lots)
    files.put_back(copy)
    with pytest.raises(NotOfThisLog, match=f"merchants.sqlite has seen another command {seen}"):
        files.world.restart()


def test_a_snapshot_says_how_far_the_shops_are_though_nothing_was_for_them(files):
    for lots in range(3):
        files.venue.quote(Side.SELL, 201_000, 1 + lots)
    kept = files.snapshot()
    files.venue.quote(Side.SELL, 201_000, 9)
    files.restart()
    assert files.sequencer.resumed_at == kept
    assert files.venue.merchants.place().sequence == kept


def test_a_file_from_before_it_told_the_head_goes_on_as_it_did(files):
    files.venue.approved_store()
    files.venue.quote(Side.SELL, 201_000, 1)
    kept = files.snapshot()
    files.venue.database.dispose()
    made_first(files.path)
    with closing(connect(files.path)) as old, old:
        old.execute("ALTER TABLE cursor DROP COLUMN head")
        old.execute("UPDATE cursor SET sequence = 1")
    files.world.restart()
    assert files.sequencer.resumed_at == kept
    assert files.venue.merchants.place() is None
    files.venue.quote(Side.SELL, 201_000, 1)
    assert files.snapshot() == files.venue.merchants.place().sequence
