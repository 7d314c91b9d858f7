"""SIGKILL at every seam, one after the other, and the story still ends once and to the unit.

Every call to a port, every webhook and every commit (before it is written) is a place to die at.
What the outside would do anyway goes on: the shop repeats a request that was not answered, the
watcher reports what is on chain again, the settler sweeps what it was asked to.
"""

import pytest

from engine.types import fee_pips
from merchants.sales.asked import InvoiceRequest
from settlement.protocol.eip712 import grant_digest, sign
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    DOMAIN,
    FEE_PPM,
    MERCHANT,
    MERCHANT_SECRET,
    TOKEN,
    USD,
    Killed,
    World,
    address_bytes,
    due_raw,
    lots_in_journal,
    option,
    sole,
)

STORY = [
    "invoice.created",
    "invoice.received_payment",
    "invoice.processing",
    "invoice.settled",
    "conversion.filled",
    "conversion.batched",
    "conversion.final",
]


class Story:
    """The outside: each chapter may be told again after a kill and does nothing twice."""

    def __init__(self, world, kills):
        self.world = world
        self.kills = kills
        self.store = world.venue.open_store()
        self.invoice = None
        self.deaths = 0

    def tell(self):
        world = self.world
        self.until(self.approve)
        self.until(self.order)
        world.transfer(address_bytes(self.invoice.deposit_address), due_raw(self.invoice))
        for chapter in (
            self.live,
            lambda: world.confirm(CONFIRMATIONS),
            self.live,
            self.sweep,
            self.live,
            lambda: world.trades_are("batched"),
            self.live,
            lambda: world.trades_are("final"),
            self.live,
            self.live,
        ):
            self.until(chapter)
        # Hours at last: an attempt that was killed counts as one, and the next waits longer.
        for seconds in (*[60] * 8, *[4 * 3600] * 2):
            world.pass_time(seconds)
            self.until(self.live)
        return world.venue

    def until(self, chapter):
        """Tell a chapter, in as many lives as it takes."""
        world = self.world
        while True:
            world.kill_at = next((k for k in self.kills if k > world.crossings), None)
            try:
                return chapter()
            except Killed:
                self.deaths += 1
                world.kill_at = None
                world.restart()

    def approve(self):
        ((grant_id, grant),) = self.store.grants
        signature = sign(grant_digest(DOMAIN, grant), MERCHANT_SECRET)
        self.world.venue.merchants.grants.approve(self.store.store_id, grant_id, signature)

    def order(self):
        request = InvoiceRequest("50", tokens=("TOKEN",), order_id="7")
        self.invoice = self.world.venue.merchants.create_invoice(
            self.store.store_id, request, "order-7"
        ).invoice

    def sweep(self):
        self.world.venue.settle_sweeps()

    def live(self):
        self.world.venue.watch()
        self.world.venue.tick()


def seams_of_the_story(directory):
    story = Story(World(directory), kills=[])
    start = story.world.crossings
    check_end(story, story.tell())
    return start, story.world.crossings


def check_end(story, venue):
    world, invoice = story.world, venue.merchants.reader.invoice(story.invoice.id)
    assert (invoice.status, invoice.exception) == ("settled", "none")
    way = option(invoice)
    assert way.credited == way.amount_due == way.received
    assert sole(invoice.payments).status == "final"
    assert sole(invoice.conversions).status == "final"
    assert lots_in_journal(world) == [25], "one order, whatever happened"
    assert venue.pips(MERCHANT, TOKEN) == 0
    assert venue.pips(MERCHANT, USD) == 50 * DOLLAR - fee_pips(50 * DOLLAR, FEE_PPM)
    assert sorted(world.grants.values()) == [grant for _, grant in story.store.grants]
    events = venue.merchants.reader.events_after(story.store.store_id, 0)
    assert [row.sequence for row in events] == list(range(1, len(STORY) + 1))
    assert venue.types(story.store) == STORY
    sent = [headers["webhook-id"] for headers, _ in world.received]
    assert set(sent) == {row.webhook_id for row in events}, "each is told at least once"
    if not story.deaths:
        assert sent == [row.webhook_id for row in events], "once, and in order"
    venue.engine.check()


def test_one_kill_at_every_seam(tmp_path):
    first, last = seams_of_the_story(tmp_path_factory(tmp_path, "whole"))
    assert last - first > 30, "the story crosses many seams"
    for seam in range(first + 1, last + 1):
        story = Story(World(tmp_path_factory(tmp_path, f"at{seam}")), kills=[seam])
        venue = story.tell()
        assert story.deaths == 1, f"the kill at {seam} never came"
        check_end(story, venue)


def test_kills_close_together(tmp_path):
    ends_in_spite_of(tmp_path, stride=3)


@pytest.mark.parametrize("stride", [5, 7])
def test_kills_one_after_another(tmp_path, stride):
    ends_in_spite_of(tmp_path, stride)


def ends_in_spite_of(directory, stride):
    kills = range(10, 400, stride)
    story = Story(World(directory), kills)
    venue = story.tell()
    assert story.deaths > 3
    story.world.kill_at = None
    check_end(story, venue)


def tmp_path_factory(tmp_path, name):
    directory = tmp_path / name
    directory.mkdir()
    return directory
