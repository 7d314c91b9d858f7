"""A reorganisation deeper than the confirmations takes away money that was booked, and gives it
back or does not: the shop is told, nothing is sold that is not there, what comes back counts once.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.records.policies import PolicyKind
from merchants.records.pots import Pot
from merchants.records.refunds import RefundVariant
from merchants.records.states import CreditState, PaymentState
from merchants.records.tables import Credit, Payment
from merchants.reports.reports import ReportKind, asked
from merchants.sales.policies import PolicyRequest
from merchants.sales.refunds import RefundRequest
from merchants.sales.reversals import COMES_BACK_BLOCKS
from settlement.ports import BlocksRead
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    Killed,
    World,
    pips_of_decimal,
)
from tests.merchants.reorganising import read_again
from tests.merchants.test_every_exception_ends_well import LOT_RAW, SEEN, SETTLED, SOLD, Sale

TIME = COMES_BACK_BLOCKS + CONFIRMATIONS
"""Blocks that money has to come back."""


class Case(Sale):
    """A sale of 50 USD, 25 lots of TOKEN, whose chain is written anew."""

    def booked(self, raw=None):
        """Let it be paid and swept, and not sold yet."""
        sent = self.pay(raw)
        self.venue.settle_sweeps()
        return sent

    def sold(self, raw=None):
        sent = self.booked(raw)
        self.venue.tick()
        self.world.trades_are("final")
        self.venue.tick()
        return sent

    def lose(self, *hashes):
        """Rewrite the chain without these transactions, all of the invoice's if none is named."""
        sweeps = {left.tx_hash for left, *_ in self.world.sweeps}
        own = {one.tx_hash for one in self.world.transfers} | sweeps
        with Session(self.venue.database) as session:
            own |= set(session.scalars(select(Credit.tx_hash)))
        self.world.lost |= set(hashes) or own
        read_again(self.world)
        self.venue.tick()

    def sweeps(self):
        return [left.tx_hash for left, *_ in self.world.sweeps]

    def wait(self, blocks=TIME):
        self.world.newest_block += blocks
        self.world.pass_time(60)
        read_again(self.world)
        self.venue.tick()

    def back(self):
        """Let all that was lost be included again, first in a block that is not deep."""
        self.world.shallow = set(self.world.lost)
        self.world.lost.clear()
        self.world.transfers = [
            one._replace(block_number=one.block_number + 500) for one in self.world.transfers
        ]
        for _ in range(2):
            read_again(self.world)
            self.venue.watch()
            self.venue.tick()
            self.world.shallow.clear()

    def now(self):
        return self.venue.merchants.reader.invoice(self.invoice.id)


def gone_before_it_was_sold(case):
    case.booked()
    case.lose()
    case.wait()


def gone_and_back_in_time(case):
    case.booked()
    case.lose()
    case.wait(TIME - 1)
    case.back()


def gone_and_back_too_late(case):
    gone_before_it_was_sold(case)
    case.back()


def gone_after_it_was_sold(case):
    case.sold()
    case.lose()
    case.wait()


def gone_after_it_was_sold_and_back(case):
    gone_after_it_was_sold(case)
    case.back()


def the_sweep_alone_gone_and_back(case):
    case.booked()
    case.lose(*case.sweeps())
    case.wait(1)
    case.back()


def the_sweep_alone_gone_for_good(case):
    """What lies at the address again is swept again, by another transaction."""
    case.booked()
    case.lose(*case.sweeps())
    case.wait()
    case.world.swept.clear()


def direct_and_gone(case):
    case.venue.fund(MERCHANT, TOKEN, 25 * LOT, bytes.fromhex(case.invoice.ref[2:]))
    case.lose()
    case.wait()


def direct_and_back(case):
    direct_and_gone(case)
    case.back()


def replaced_by_as_much(case):
    gone_before_it_was_sold(case)
    case.pay()


def replaced_by_less(case):
    gone_after_it_was_sold(case)
    case.pay(10 * LOT_RAW)


def replaced_by_less_before_it_was_sold(case):
    gone_before_it_was_sold(case)
    case.pay(10 * LOT_RAW)


def the_rest_on_top_gone(case):
    case.sold()
    more = case.pay(5 * LOT_RAW)
    case.venue.settle_sweeps()
    case.lose(more.tx_hash, case.sweeps()[-1])
    case.wait()


def gone_after_expiry_and_back(case):
    """It was paid in time, whenever its block comes again."""
    case.booked()
    case.lose()
    case.wait()
    case.expire()
    case.world.transfers = [
        one._replace(block_time_s=case.world.now_ns // 10**9) for one in case.world.transfers
    ]
    case.back()


def late_and_gone(case):
    case.expire()
    case.sold()
    case.lose()
    case.wait()


def late_and_back(case):
    late_and_gone(case)
    case.price(160_000)
    case.back()


def busted_and_gone(case):
    """The chain refuses the sale of what is not there: it is not sold again."""
    case.booked()
    case.venue.tick()
    case.lose()
    case.wait()
    (sale,) = case.now().conversions
    case.venue.bust(sale.fills[0])


def busted_and_back(case):
    busted_and_gone(case)
    case.venue.tick()
    case.back()


def shallow_again(case):
    """It is included at once, in another block: nothing is told, and nothing sold until then."""
    case.booked()
    case.world.lost |= {one.tx_hash for one in case.world.transfers}
    case.back()


REVERSED, HELD, BUSTED = "invoice.reversed", "conversion.held", "conversion.busted"
AGAIN = SETTLED[1:]
LATE = ("invoice.expired", *SETTLED)


class End(NamedTuple):
    """The right end, as in ``test_every_exception_ends_well``; ``usd`` and ``pips`` are what the
    ledger has, which keeps what it has booked."""

    does: Callable
    state: str
    exception: str
    usd: int
    pips: int
    heard: tuple


TABLE = [
    End(gone_before_it_was_sold, "invalid", "reversed", 0, 25 * LOT, (*SETTLED, HELD, REVERSED)),
    End(gone_and_back_in_time, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
    End(
        *(gone_and_back_too_late, "settled", "none", 50, 0),
        (*SETTLED, HELD, REVERSED, *AGAIN, *SOLD),
    ),
    End(gone_after_it_was_sold, "invalid", "reversed", 50, 0, (*SETTLED, *SOLD, REVERSED)),
    End(
        *(gone_after_it_was_sold_and_back, "settled", "none", 50, 0),
        (*SETTLED, *SOLD, REVERSED, *AGAIN),
    ),
    End(the_sweep_alone_gone_and_back, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
    End(
        *(the_sweep_alone_gone_for_good, "settled", "none", 50, 25 * LOT),
        (*SETTLED, HELD, REVERSED, *AGAIN, *SOLD),
    ),
    End(direct_and_gone, "invalid", "reversed", 0, 25 * LOT, (*AGAIN, HELD, REVERSED)),
    End(direct_and_back, "settled", "none", 50, 0, (*AGAIN, HELD, REVERSED, *AGAIN, *SOLD)),
    End(
        *(replaced_by_as_much, "settled", "none", 50, 25 * LOT),
        (*SETTLED, HELD, REVERSED, SEEN, *AGAIN, *SOLD),
    ),
    End(
        *(replaced_by_less, "invalid", "reversed", 50, 10 * LOT),
        (*SETTLED, *SOLD, REVERSED, SEEN, "invoice.short"),
    ),
    End(
        *(replaced_by_less_before_it_was_sold, "invalid", "reversed", 0, 35 * LOT),
        (*SETTLED, HELD, REVERSED, SEEN, "invoice.short"),
    ),
    End(
        *(the_rest_on_top_gone, "settled", "none", 50, 5 * LOT),
        (*SETTLED, *SOLD, SEEN, "invoice.paid_over", HELD),
    ),
    End(
        *(gone_after_expiry_and_back, "settled", "none", 50, 0),
        (*SETTLED, HELD, REVERSED, *AGAIN, *SOLD),
    ),
    End(late_and_gone, "invalid", "reversed", 50, 0, (*LATE, *SOLD, REVERSED)),
    End(late_and_back, "settled", "paid_late", 50, 0, (*LATE, *SOLD, REVERSED, *AGAIN)),
    End(
        *(busted_and_gone, "invalid", "reversed", 0, 25 * LOT),
        (*SETTLED, SOLD[0], REVERSED, BUSTED, HELD),
    ),
    End(
        *(busted_and_back, "settled", "none", 50, 0),
        (*SETTLED, SOLD[0], REVERSED, BUSTED, HELD, *AGAIN, *SOLD),
    ),
    End(shallow_again, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.does.__name__)
def test_it_ends(tmp_path, row):
    world = World(tmp_path)
    store = world.venue.approved_store()
    case = Case(world, store, world.venue.invoice(store, "50"))
    row.does(case)
    case.end()
    ended = case.now()
    assert (ended.status, ended.exception) == (row.state, row.exception)
    fee = sum(pips_of_decimal(one.fee) for one in ended.conversions)
    usd, token = world.venue.pips(MERCHANT, USD), world.venue.pips(MERCHANT, TOKEN)
    assert (usd + fee, token) == (row.usd * DOLLAR, row.pips)
    assert usd == pips_of_decimal(ended.net), "the invoice says what the account has"
    assert world.venue.types(store)[1:] == list(row.heard)
    check_report(world, store)
    world.venue.engine.check()


def check_report(world, store):
    """Our rows and the ledger agree, whatever the chain has taken away."""
    reports = world.venue.merchants.reports
    page = reports.page(
        ReportKind.RECONCILIATION, store.store_id, asked(ledger=reports.ledger(MERCHANT))
    )
    for row in page.rows:
        assert (row.besides, row.difference) == ("0", "0"), row


@pytest.fixture
def case(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    return Case(world, store, world.venue.invoice(store, "50"))


def states(case):
    """Return how the invoice's payments and bookings stand."""
    with Session(case.venue.database) as session:
        return [
            [row.state for row in session.scalars(select(kind).order_by(kind.block_number))]
            for kind in (Payment, Credit)
        ]


def sales(case):
    return [(sale.status, sale.sold) for sale in case.now().conversions]


def test_payments_and_bookings_say_where_they_are(case):
    case.sold()
    assert states(case) == [[PaymentState.FINAL], [CreditState.BOOKED]]
    case.lose()
    assert states(case) == [[PaymentState.ORPHANED], [CreditState.MISSING]]
    assert (case.now().status, case.now().received) == ("settled", "0")
    case.wait()
    assert states(case) == [[PaymentState.ORPHANED], [CreditState.GONE]]
    page = case.venue.merchants.reports.page(ReportKind.PAYMENTS, case.store.store_id, asked())
    assert [row.status for row in page.rows] == ["orphaned"]
    case.back()
    assert states(case) == [[PaymentState.FINAL], [CreditState.BOOKED]]
    assert case.now().received == "50"


def test_while_it_is_missing_or_shallow_nothing_of_it_is_sold(case):
    case.booked()
    case.world.lost |= {one.tx_hash for one in case.world.transfers}
    read_again(case.world)
    case.venue.tick()
    case.world.pass_time(3600)
    case.venue.tick()
    assert sales(case) == [("pending", "0")]
    case.world.shallow, case.world.lost = set(case.world.lost), set()
    read_again(case.world)
    case.world.pass_time(3600)
    case.venue.tick()
    assert sales(case) == [("pending", "0")]
    case.world.shallow.clear()
    read_again(case.world)
    case.world.pass_time(60)
    case.venue.tick()
    assert sales(case) == [("filled", "0.025")]


def test_blocks_that_were_not_read_take_nothing_away(case):
    """A node that lags has no newer ones."""
    case.sold()
    case.venue.merchants.blocks_read(BlocksRead(5, 50, 60, (), ()))
    assert states(case) == [[PaymentState.FINAL], [CreditState.BOOKED]]


REFUND = RefundRequest(RefundVariant.RATE_THEN, "TOKEN")


def test_refunds_of_what_is_gone_are_not_paid(case):
    refunding = case.venue.merchants.refunding
    refunds, whose = refunding.refunds, (case.store.store_id, case.invoice.id)
    case.sold()
    opened = refunds.create(*whose, REFUND)
    claimed = refunds.claim(opened.id, refunds.claim_key(opened.id), "0x" + "77" * 20)
    assert claimed.status == "awaiting_payment"
    case.lose()
    refused = refunding.payouts.compose(case.store.store_id, opened.id)
    assert "left the chain" in refused.detail["why"]
    case.wait()
    (refund,) = case.now().refunds
    assert (refund.status, refund.note) == ("cancelled", "its payment has left the chain")
    assert refunds.create(*whose, REFUND).outcome is Outcome.AMOUNT_OUT_OF_RANGE
    case.back()
    case.end()
    assert case.now().status == "settled"
    assert refunds.create(*whose, REFUND).amount == "0.025"


def test_what_was_given_back_before_it_went_stays_given_back(case):
    refunds = case.venue.merchants.refunding.refunds
    whose = case.store.store_id, case.invoice.id
    case.sold()
    opened = refunds.create(*whose, REFUND)
    refunds.mark_paid(case.store.store_id, opened.id, "by hand")
    case.lose()
    case.wait()
    case.back()
    case.end()
    ended = case.now()
    assert (ended.status, [one.status for one in ended.refunds]) == ("settled", ["completed"])
    assert refunds.create(*whose, REFUND).outcome is Outcome.AMOUNT_OUT_OF_RANGE


def test_what_was_gathered_leaves_the_pot_and_comes_back(case):
    case.booked(25 * LOT_RAW + LOT_RAW // 2)
    case.venue.tick()
    (given,) = case.now().gathered
    assert given.waiting == "0.0005"
    case.lose()
    case.wait()
    assert case.now().gathered == []
    with Session(case.venue.database) as session:
        assert session.scalar(select(Pot.pips)) == 0
    case.back()
    (given,) = case.now().gathered
    assert given.waiting == "0.0005"
    case.end()
    assert sum(pips_of_decimal(sale.sold) for sale in case.now().conversions) == 25 * LOT


def test_dust_that_is_gone_changes_nothing(case):
    case.booked()
    case.venue.fund(MERCHANT, TOKEN, LOT // 1_000, bytes.fromhex(case.invoice.ref[2:]))
    with Session(case.venue.database) as session:
        newest = select(Credit.tx_hash).order_by(Credit.sequence.desc()).limit(1)
        dust = session.scalars(newest).one()
    case.lose(dust)
    case.wait()
    assert case.now().status == "settled"


@pytest.mark.parametrize("step", [1, 2, 4, 6, 9, 14, 21])
def test_a_kill_at_any_step_changes_nothing(tmp_path, step):
    """Each life reads the last blocks again, so it finds by itself what is missing."""
    world = World(tmp_path)
    store = world.venue.approved_store()
    case = Case(world, store, world.venue.invoice(store, "50"))
    case.booked()
    world.kill_at = world.crossings + step
    for part in (case.lose, case.wait, case.back, case.end):
        again(case, part)
    assert world.kill_at is None, "it was killed"
    assert world.venue.types(store).count(REVERSED) == 1
    check_report(world, store)
    ended = case.now()
    end = (ended.status, ended.exception, ended.received, ended.net)
    assert end == ("settled", "none", "50", "49.875")


def again(case, part):
    """Let a part of the story happen; if the process dies over it, once more in its next life."""
    try:
        part()
    except Killed:
        case.world.kill_at = None
        case.world.restart()
        read_again(case.world)
        part()


def lots_of(case, **question):
    """Return the transactions of the lots that were sold, as the report says."""
    reports, store_id = case.venue.merchants.reports, case.store.store_id
    rows = reports.page(ReportKind.CONVERSIONS, store_id, asked(**question)).rows
    check_report(case.world, case.store)
    return [(row.amount, row.lot_tx_hash) for row in rows]


@pytest.mark.parametrize("by_invoice", [False, True])
def test_no_trade_sold_a_lot_that_has_left_the_chain(case, by_invoice):
    """Found: the lot of a booking that was taken away was sold before that which replaced it."""
    gone_before_it_was_sold(case)
    case.pay()
    case.end()
    newest = case.sweeps()[-1]
    assert lots_of(case, by_invoice=by_invoice) == [("0.025", "0x" + newest.hex())]


def test_what_was_sold_and_is_gone_was_of_no_lot_until_it_is_back(case):
    case.sold()
    sweep = case.sweeps()[-1]
    assert lots_of(case) == [("0.025", "0x" + sweep.hex())]
    case.lose()
    case.wait()
    assert lots_of(case) == lots_of(case, by_invoice=True) == [("0.025", "")]
    case.back()
    assert lots_of(case) == [("0.025", "0x" + sweep.hex())]


def test_a_policy_is_not_tried_on_money_that_has_left_the_chain(case):
    """Found: it was replayed as if it had been paid."""
    policies, store_id = case.venue.merchants.policies, case.store.store_id
    request = PolicyRequest(PolicyKind.AT_ONCE)
    market = case.venue.catalog.market("TOKEN-USD")

    def tried():
        return policies.simulate(store_id, market, policies.tape(market), request).payments

    case.sold()
    assert tried() == 1
    case.lose()
    assert tried() == 0
    case.back()
    assert tried() == 1
