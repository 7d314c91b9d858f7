"""A hundred payments in one block ask the database little more often than one does.

Counted in statements, which are the same on every computer: what a payment's own rows cost to
write is its own, what has to be read is read for many at once.
"""

import asyncio

import pytest
from sqlalchemy import event, select

from engine.commands import Kind, command
from engine.sequencer.sequencer import Submission
from merchants.records.database import reading, transaction
from merchants.records.tables import Invoice
from merchants.records.turns import Turn
from settlement.protocol.eip712 import keccak256
from settlement.protocol.evidence import DepositEvidence, encode
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    LOT,
    MERCHANT,
    TOKEN,
    VAULT,
    World,
    address_bytes,
    due_raw,
)
from tests.merchants.test_no_sum_outgrows_what_holds_it import paid_straight

COUNT = 100
TOGETHER = 50
"""Sweeps in one transaction, and deposits in one batch of the log."""

GROUP = 16
"""Transfers that the chain's loop shows at once: see ``settlement.handlers``."""


class Statements:
    """Counts what is asked of a database, and how often it commits."""

    def __init__(self, database):
        self.count = self.commits = 0
        event.listen(database, "before_cursor_execute", self._asked)
        event.listen(database, "commit", self._committed)

    def _asked(self, *_):
        self.count += 1

    def _committed(self, _):
        self.commits += 1

    def of(self, act):
        """Return how many statements ``act`` takes."""
        before = self.count
        act()
        return self.count - before


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def paid_in_one_block(world, store, amount):
    """Let one block pay ``COUNT`` invoices."""
    for _ in range(COUNT):
        invoice = world.venue.invoice(store, amount=amount)
        world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    world.transfers = [
        one._replace(block_number=101, log_index=index) for index, one in enumerate(world.transfers)
    ]


def show(world, transfers):
    for first in range(0, len(transfers), GROUP):
        world.venue.merchants.payments_seen(transfers[first : first + GROUP])


def step_until_swept(world):
    """Step until all sweeps are asked for; return the sweeps of each call."""
    venue, calls = world.venue, []
    asked = venue.enqueue_sweeps

    def noted(places):
        calls.append(len(places))
        asked(places)

    venue.enqueue_sweeps = noted
    for _ in range(COUNT):
        if len(world.sweeps_wanted) == COUNT:
            break
        venue.tick()
    del venue.enqueue_sweeps
    assert len(world.sweeps_wanted) == COUNT
    return calls


def swept(world):
    """Return the transfers to the vault and the deposits that come with them, fifty a
    transaction."""
    venue, leaving, deposits = world.venue, [], []
    for index, ((account, ref, token), address) in enumerate(world.sweeps_wanted.items()):
        lies = next(t.raw_amount for t in world.transfers if t.to == address)
        tx_hash, at = keccak256(b"sweep %d" % (index // TOGETHER)), 2 * (index % TOGETHER)
        moved = world.transfers[0]._replace(
            sender=address,
            to=VAULT,
            raw_amount=lies,
            tx_hash=tx_hash,
            log_index=at,
            block_number=105,
        )
        leaving.append(moved)
        row = command(
            Kind.DEPOSIT,
            account=venue.catalog.account_number(account),
            token=venue.catalog.token_by_address(token).number,
            amount=venue.catalog.token_by_address(token).pips_of(lies),
        )
        deposits.append(Submission(row, encode(DepositEvidence(tx_hash, at + 1, 105, ref))))
    return leaving, deposits


@pytest.mark.parametrize(("amount", "rests"), [("10", 0), ("10.37", 1)])
def test_a_burst_is_settled_by_few_statements_a_payment(world, amount, rests):
    """Thirty-eight and more were needed a payment: 19 seen, 5 deep, 6 swept, 29 booked."""
    venue = world.venue
    store = venue.approved_store(webhook_url="")
    venue.fund(MERCHANT, TOKEN, 1)
    paid_in_one_block(world, store, amount)
    asked = Statements(venue.database)

    world.confirm(1)
    seen = asked.of(lambda: show(world, world.transfers))
    calls = step_until_swept(world)
    world.confirm(CONFIRMATIONS)
    deep = asked.of(lambda: show(world, world.transfers))
    leaving, deposits = swept(world)
    left = asked.of(lambda: show(world, leaving))
    venue.reads_late = True
    for first in range(0, COUNT, TOGETHER):
        venue.pipeline.carry_out_together(deposits[first : first + TOGETHER])
    booked = asked.of(venue.read)

    states = {row.state for row in invoices_of(world)}
    assert states == {"settled"}
    groups = -(-COUNT // GROUP)
    assert seen <= 25 * groups, seen
    assert deep <= 10 * groups, deep
    assert left <= 10 * groups, left
    assert booked <= (1 + rests) * COUNT, booked
    assert len(calls) <= COUNT // 4, "sweeps are asked for many at once"


def test_what_was_paid_in_a_burst_is_sold_and_told_by_few_statements(tmp_path):
    """Thirty-two were needed for a sale, eleven for each step that it came further, of which one
    remains: the webhook of its own that tells it; and two for each of its events."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    for invoice in [venue.invoice(store, amount="10") for _ in range(GROUP)]:
        paid_straight(venue, invoice, TOKEN, 5 * LOT)
    merchants, asked = venue.merchants, Statements(venue.database)
    follow(venue)  # The first asks for what came before this start, one by one.

    sold = asked.of(lambda: asyncio.run(merchants.conversions.execute_due(GROUP, 10**9)))
    assert sold <= 27 * GROUP, sold
    for word in ("batched", "final"):
        world.trades_are(word)
        followed = asked.of(lambda: follow(venue))
        assert followed <= GROUP + 14, followed
    told = asked.of(venue.tick)
    assert venue.types(store).count("conversion.final") == GROUP
    assert told <= 1.5 * len(world.received), (told, len(world.received))


def follow(venue):
    with transaction(venue.database) as session:
        venue.merchants.conversions.follow_due(session, 0, Turn(lambda: 0, GROUP + 1))


def invoices_of(world):
    with reading(world.venue.database) as session:
        return session.scalars(select(Invoice)).all()
