"""What falls due at once is done bit by bit, and others have their turns between."""

import asyncio
from contextlib import closing
from itertools import pairwise
from sqlite3 import connect

from sqlalchemy import event, select

from merchants.records.database import transaction
from merchants.records.queues import SETTLING_MANY
from merchants.records.tables import Invoice
from merchants.records.turns import TURN_NS, Turn
from merchants.sales.conversions import STAND_BACK_NS
from merchants.steps import STEP_NS, TURN_ROWS
from tests.merchants.fixtures import (
    LOT,
    NS,
    TOKEN,
    World,
    address_bytes,
    due_raw,
    lots_in_journal,
)
from tests.merchants.test_no_sum_outgrows_what_holds_it import paid_straight
from tests.merchants.test_sale_from_invoice_to_final import paid

COST_NS = 2 * 10**6
"""What everything costs here: each look at the clock finds it so much later."""

COUNT = 60


class Slow(World):
    """A world in which time passes while things are done, as it does."""

    cost_ns = 0

    def clock(self):
        self.pass_ns(self.cost_ns)
        return self.now_ns

    def pass_ns(self, nanoseconds):
        self.now_ns += nanoseconds


def expired(world):
    with closing(connect(world.directory / "merchants.sqlite")) as file:
        query = "SELECT COUNT(*) FROM invoices WHERE state = 'expired'"
        return file.execute(query).fetchone()[0]


def test_found_a_burst_of_expiries_held_everybody_up(tmp_path):
    """A hundred of them a step, in one go, took half a second."""
    world = Slow(tmp_path)
    store = world.venue.approved_store(lifetime_s=60)
    for _ in range(COUNT):
        world.venue.invoice(store, token="USD")
    world.pass_time(61)
    world.endpoint = lambda url: 200
    seen = [0]

    async def play():
        step = asyncio.create_task(world.venue.merchants.step())
        while not step.done():
            await asyncio.sleep(0)
            seen.append(expired(world))
        await step

    world.cost_ns = COST_NS
    asyncio.run(play())
    bursts = [after - before for before, after in pairwise(seen)]
    assert 1 <= max(bursts) <= TURN_NS // COST_NS + 1
    assert TURN_NS // COST_NS < seen[-1] <= STEP_NS // COST_NS < COUNT
    for _ in range(5):
        asyncio.run(play())
    assert expired(world) == COUNT, "and none is forgotten"


def test_what_is_followed_is_gone_through_to_its_end_however_short_the_turns(tmp_path):
    world = Slow(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    invoices = [paid(world, venue.invoice(store, amount="10")) for _ in range(5)]
    world.trades_are("final")
    world.cost_ns = TURN_NS
    for _ in range(6):
        venue.tick()
    for invoice in invoices:
        (sale,) = venue.merchants.reader.invoice(invoice.id).conversions
        assert sale.status == "final"


def test_found_finals_were_told_a_turn_a_step_however_many_there_were(tmp_path):
    """Found: of two hundred sales that were final a busy machine told one a second."""
    world = Slow(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    invoices = [paid(world, venue.invoice(store, amount="10")) for _ in range(COUNT // 3)]
    world.trades_are("final")
    world.cost_ns = COST_NS
    venue.tick()
    world.cost_ns = 0
    sales = [
        venue.merchants.reader.invoice(invoice.id).conversions[0].status for invoice in invoices
    ]
    assert TURN_NS // COST_NS + 1 < sales.count("final") <= STEP_NS // COST_NS, "several turns"


def test_found_a_busy_machine_read_sixteen_rows_to_move_one_on(tmp_path):
    """To read them took the turn's five milliseconds: two hundred sweeps were asked for one by
    one, each after the reading of sixteen with all that came for them."""
    world = Slow(tmp_path)
    venue = world.venue
    store = venue.approved_store(webhook_url="")
    for _ in range(TURN_ROWS):
        venue.invoice(store, token="USD")
    event.listen(venue.database, "after_cursor_execute", lambda *_: world.pass_ns(TURN_NS))
    turn = Turn(world.clock, TURN_ROWS)
    with transaction(venue.database) as session:
        moved_on = list(turn.rows(session, select(Invoice)))
    assert len(moved_on) == TURN_ROWS
    assert not turn.is_whole, "there may be more"


def test_sales_stand_back_while_many_wait_to_be_settled(tmp_path):
    """A shop ships on money that has come; of a burst the sales of those settled first held the
    others up. Not for long, however many come after them."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store(webhook_url="")
    first = venue.invoice(store, amount="10")
    for _ in range(SETTLING_MANY):
        invoice = venue.invoice(store, amount="1")
        world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    world.confirm(1)
    venue.watch()
    paid_straight(venue, first, TOKEN, 25 * LOT)

    def orders():
        return len(lots_in_journal(world))

    venue.tick()
    assert orders() == 0
    world.pass_time(STAND_BACK_NS // NS)
    venue.tick()
    assert orders() == 1
