"""However a customer pays, and whatever happens meanwhile, the sale ends by itself.

One table of what can go wrong and the right end of each, in state, exception, money to the unit,
and what the shop hears.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from engine.types import Side
from merchants.documents.refunds import RefundDocument
from merchants.records.refunds import RefundVariant
from merchants.sales.refunds import RefundRequest
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MAKER_SECRET,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    pips_of_decimal,
)

UNLISTED, STRANGER = b"\xee" * 20, b"\xcd" * 20
LOT_RAW = 10**15
SETTLED = ("invoice.received_payment", "invoice.processing", "invoice.settled")
SOLD = ("conversion.filled", "conversion.batched", "conversion.final")


class Sale(NamedTuple):
    """An invoice of 50 USD: 25 lots of TOKEN, a lot for 2 USD."""

    world: World
    store: object
    invoice: object

    @property
    def venue(self):
        return self.world.venue

    def pay(self, raw=None, token=TOKEN, **about):
        """Send it, or what is due, and let it be confirmed."""
        address = address_bytes(self.invoice.deposit_address)
        raw = due_raw(self.invoice) if raw is None else raw
        sent = self.world.transfer(address, raw, token, CONFIRMATIONS, **about)
        self.venue.watch()
        self.venue.tick()
        return sent

    def deposit(self, lots):
        self.venue.fund(MERCHANT, TOKEN, lots * LOT, bytes.fromhex(self.invoice.ref[2:]))
        self.venue.tick()

    def expire(self):
        self.world.pass_time(901)
        self.venue.tick()

    def price(self, ticks):
        """Let it be ``ticks``, by bids, by offers and by what is traded."""
        for order_id in (1, 2, 3):
            self.venue.cancel(MAKER_SECRET, order_id)
        if ticks:
            self.venue.quote(Side.BUY, ticks, 1000)
            self.venue.quote(Side.SELL, ticks, 500)
            self.venue.quote(Side.SELL, ticks + 100, 500)
        self.world.pass_time(5)
        self.venue.tick()

    def end(self):
        """Leave it alone with a working world for a day."""
        for seconds in (0, 1, 5, 30, 120, 600, 1800, 3600, 3600, 86_400, 1, 1, 1):
            self.world.pass_time(seconds)
            self.venue.watch()
            self.venue.tick()
            self.venue.settle_sweeps()
            self.venue.tick()
            self.world.trades_are("final")
            self.venue.tick()


def exact(sale):
    sale.pay()


def under(sale):
    sale.pay(10 * LOT_RAW)


def under_then_the_rest(sale):
    sale.pay(10 * LOT_RAW)
    sale.pay(15 * LOT_RAW)


def under_within_the_tolerance(sale):
    sale.pay(due_raw(sale.invoice) - LOT_RAW // 50)


def over(sale):
    sale.pay(30 * LOT_RAW)


def over_afterwards(sale):
    sale.pay()
    sale.venue.settle_sweeps()
    sale.venue.tick()
    sale.pay(5 * LOT_RAW)


def late(sale):
    sale.expire()
    sale.pay()


def late_and_fallen(sale):
    sale.expire()
    sale.price(160_000)
    sale.pay()


def late_and_risen(sale):
    sale.expire()
    sale.price(240_000)
    sale.pay()


def given_back_and_then_paid(sale):
    """What is promised to the customer pays nothing of what he sends then."""
    sale.pay(10 * LOT_RAW)
    sale.expire()
    for _ in range(2):
        sale.venue.settle_sweeps()
        sale.venue.tick()
    request = RefundRequest(RefundVariant.RATE_THEN)
    store_id, refunds = sale.store.store_id, sale.venue.merchants.refunding.refunds
    assert isinstance(refunds.create(store_id, sale.invoice.id, request), RefundDocument)
    sale.pay()


def another_token(sale):
    """The stablecoin, for an invoice that asked for TOKEN alone."""
    sale.pay(50 * 10**6, USD)


def another_token_for_half(sale):
    sale.pay(25 * 10**6, USD)
    sale.pay(LOT_RAW * 25 // 2)


def another_token_late(sale):
    sale.expire()
    sale.pay(50 * 10**6, USD)


def another_token_on_top(sale):
    sale.pay()
    sale.pay(5 * 10**6, USD)


def unlisted_token(sale):
    sale.pay(token=UNLISTED)


def native_coin(sale):
    """No log tells of it, so nobody here hears of it; ``rescue`` of the contract gets it out."""
    sale.venue.watch()


def nothing_at_all(sale):
    """A transfer of nothing can be written by anybody."""
    sale.pay(0)


def mixed_roads(sale):
    sale.deposit(10)
    sale.pay(15 * LOT_RAW)


def two_payers(sale):
    sale.pay(12 * LOT_RAW)
    sale.pay(13 * LOT_RAW, sender=STRANGER)


def two_payers_of_all_of_it(sale):
    sale.pay()
    sale.pay(sender=STRANGER)


def empty_book(sale):
    sale.price(0)
    sale.pay()


def fallen(sale):
    sale.price(160_000)
    sale.pay()


def risen(sale):
    sale.price(240_000)
    sale.pay()


def killed_between(sale):
    for step in (sale.pay, sale.venue.settle_sweeps):
        step()
        sale.world.restart()
    sale.venue.tick()
    sale.world.restart()


def reorganised_away(sale):
    sent = sale.world.transfer(address_bytes(sale.invoice.deposit_address), due_raw(sale.invoice))
    sale.world.confirm(1)
    sale.venue.watch()
    sale.world.transfers = []
    sale.venue.merchants.payment_orphaned(sent.tx_hash, sent.log_index)


def reorganised_and_back(sale):
    sent = sale.world.transfer(address_bytes(sale.invoice.deposit_address), due_raw(sale.invoice))
    sale.world.confirm(1)
    sale.venue.watch()
    sale.venue.merchants.payment_orphaned(sent.tx_hash, sent.log_index)
    sale.world.transfers = [
        sent._replace(block_number=sent.block_number + 1, confirmations=CONFIRMATIONS)
    ]


def server_down(sale):
    """It was paid in time while nobody looked; whoever starts a day later reads the chain."""
    address = address_bytes(sale.invoice.deposit_address)
    sale.world.transfer(address, due_raw(sale.invoice), TOKEN, CONFIRMATIONS)
    sale.world.pass_time(86_400)
    sale.world.restart()


class End(NamedTuple):
    """The right end: state and exception, what the shop has in USD before fees and in pips of
    TOKEN, and all that it heard after the invoice was made, in order."""

    does: Callable
    state: str
    exception: str
    usd: int
    pips: int
    heard: tuple


SEEN = "invoice.received_payment"
EXPIRED, SHORT, REOPENED = "invoice.expired", "invoice.short", "invoice.reopened"
OTHER = "invoice.other_token"
HELD = ("conversion.waiting", "conversion.held")
TWICE = (SEEN, *SETTLED)
LATE = (EXPIRED, *SETTLED)
TABLE = [
    End(exact, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
    End(under, "expired", "paid_partial", 0, 10 * LOT, (SEEN, EXPIRED, SHORT)),
    End(under_then_the_rest, "settled", "none", 50, 0, (*TWICE, *SOLD)),
    End(under_within_the_tolerance, "settled", "none", 48, LOT - LOT // 50, (*SETTLED, *SOLD)),
    End(over, "settled", "paid_over", 60, 0, (*SETTLED, *SOLD)),
    End(
        *(over_afterwards, "settled", "paid_over", 60, 0),
        (*SETTLED, SOLD[0], SEEN, "invoice.paid_over", *SOLD, *SOLD[1:]),
    ),
    End(late, "settled", "paid_late", 50, 0, (*LATE, *SOLD)),
    End(late_and_fallen, "expired", "paid_partial", 0, 25 * LOT, (EXPIRED, SEEN, SHORT)),
    End(late_and_risen, "settled", "paid_late", 60, 0, (*LATE, *SOLD)),
    End(
        *(given_back_and_then_paid, "settled", "paid_late", 50, 10 * LOT),
        (SEEN, EXPIRED, SHORT, "refund.opened", *SETTLED, *SOLD),
    ),
    End(another_token, "settled", "none", 50, 0, (*SETTLED[:2], OTHER, SETTLED[2])),
    End(
        *(another_token_for_half, "settled", "none", 49, LOT // 2),
        (*TWICE[:3], OTHER, SETTLED[2], *SOLD),
    ),
    End(another_token_late, "settled", "paid_late", 50, 0, (EXPIRED, SEEN, OTHER, *SETTLED[1:])),
    End(
        *(another_token_on_top, "settled", "paid_over", 55, 0),
        (*SETTLED[:2], SEEN, SETTLED[2], OTHER, *SOLD),
    ),
    End(unlisted_token, "expired", "none", 0, 0, (EXPIRED,)),
    End(native_coin, "expired", "none", 0, 0, (EXPIRED,)),
    End(nothing_at_all, "expired", "none", 0, 0, (EXPIRED,)),
    End(mixed_roads, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
    End(two_payers, "settled", "none", 50, 0, (*TWICE, *SOLD)),
    End(
        *(two_payers_of_all_of_it, "settled", "paid_over", 100, 0),
        (*SETTLED[:2], SEEN, SETTLED[2], *SOLD),
    ),
    End(empty_book, "settled", "none", 0, 25 * LOT, (*SETTLED, *HELD)),
    End(fallen, "settled", "none", 0, 25 * LOT, (*SETTLED, *HELD)),
    End(risen, "settled", "none", 60, 0, (*SETTLED, *SOLD)),
    End(killed_between, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
    End(reorganised_away, "expired", "none", 0, 0, (*SETTLED[:2], REOPENED, EXPIRED)),
    End(
        *(reorganised_and_back, "settled", "none", 50, 0),
        (*SETTLED[:2], REOPENED, *SETTLED[1:], *SOLD),
    ),
    End(server_down, "settled", "none", 50, 0, (*SETTLED, *SOLD)),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.does.__name__)
def test_it_ends(tmp_path, row):
    world = World(tmp_path)
    store = world.venue.approved_store()
    sale = Sale(world, store, world.venue.invoice(store, "50"))
    row.does(sale)
    sale.end()
    ended = world.venue.merchants.reader.invoice(sale.invoice.id)
    assert (ended.status, ended.exception) == (row.state, row.exception)
    fee = sum(pips_of_decimal(one.fee) for one in ended.conversions)
    usd, token = world.venue.pips(MERCHANT, USD), world.venue.pips(MERCHANT, TOKEN)
    assert (usd + fee, token) == (row.usd * DOLLAR, row.pips)
    stable = sum(pips_of_decimal(one.counted) for one in ended.others if one.token == "USD")
    assert usd == pips_of_decimal(ended.net) + stable, "the invoice says what the account has"
    assert world.venue.types(store)[1:] == list(row.heard)
    heard = [json.loads(body)["type"] for _, body in world.received]
    assert sorted(heard) == sorted(["invoice.created", *row.heard]), "every event arrives, once"
    world.venue.engine.check()
