"""A price is the least of what the book, the trades and the middle say; else there is a reason."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types import Outcome, Side
from merchants.sales.asked import InvoiceRequest
from merchants.sales.pricing import Quote
from merchants.sales.reference_prices import NoPrice, Prices, PriceTerms
from settlement.protocol.eip712 import address_of_secret
from tests.merchants.fixtures import AGE_S, DOLLAR, MAKER_SECRET, TOKEN, USD, World, due_raw

SECOND, THIEF, FRIEND = (bytes([n]) * 32 for n in (11, 12, 13))
STATED = PriceTerms(references={"TOKEN-USD": 2000 * DOLLAR})
UNSTATED = PriceTerms()


def market_of(tmp_path, terms=STATED):
    """Return a world with the maker's bids at 2000.00 and 1999.00 and his offer at 2001.00."""
    world = World(tmp_path, prices=terms)
    for secret in (SECOND, THIEF, FRIEND):
        world.venue.fund(address_of_secret(secret), TOKEN, 10**5 * DOLLAR)
        world.venue.fund(address_of_secret(secret), USD, 10**8 * DOLLAR)
    return world


def price(world, usd=50):
    """Return the price of a sale in ticks, or why there is none."""
    venue = world.venue
    found = venue.merchants.prices.quote(venue.catalog.markets[0], usd * DOLLAR, world.now_ns)
    return found.worst_ticks if isinstance(found, Quote) else found


@pytest.fixture
def world(tmp_path):
    world = market_of(tmp_path)
    world.venue.quote(Side.BUY, 199_000, 10, SECOND)
    world.pass_time(AGE_S)
    return world


def test_one_account_alone_makes_no_price(tmp_path):
    world = market_of(tmp_path)
    assert price(world) is NoPrice.ONE_OWNER
    far = world.venue.quote(Side.BUY, 150_000, 10, SECOND)
    world.pass_time(AGE_S)
    assert price(world) is NoPrice.ONE_OWNER, "a bid a quarter away stands for nothing"
    world.venue.cancel(SECOND, far)
    world.venue.quote(Side.BUY, 199_800, 10, SECOND)
    assert price(world) is NoPrice.ONE_OWNER, "nor does one of this moment"
    world.pass_time(AGE_S)
    assert price(world) == 200_000


def test_a_book_that_nobody_offers_in_or_that_is_wide_makes_no_price(world):
    venue = world.venue
    venue.quote(Side.BUY, 200_100, 1000, SECOND)  # Takes the one offer.
    assert price(world) is NoPrice.ONE_SIDED
    venue.quote(Side.SELL, 230_000, 10)
    assert price(world) is NoPrice.ONE_SIDED, "an offer of this moment"
    world.pass_time(AGE_S)
    assert price(world) is NoPrice.WIDE
    venue.quote(Side.SELL, 200_300, 10)
    world.pass_time(AGE_S)
    assert price(world) == 200_000


def test_a_market_without_trades_needs_a_stated_price(tmp_path):
    world = market_of(tmp_path, UNSTATED)
    venue = world.venue
    venue.quote(Side.BUY, 199_000, 10, SECOND)
    world.pass_time(AGE_S)
    assert price(world) is NoPrice.UNTRADED
    refused = venue.open_store()
    assert refused.outcome is Outcome.FLOOR_MISSING
    venue.quote(Side.BUY, 200_100, 24, SECOND)
    assert price(world) is NoPrice.UNTRADED, "24 lots do not say what 25 are worth"
    venue.quote(Side.BUY, 200_100, 1, SECOND)
    assert price(world) == 200_000


def test_found_a_bid_of_a_moment_made_its_owner_a_price(world):
    """Bid a hundred times the price, open an invoice, cancel the bid, pay: 2 USD paid for 90."""
    venue = world.venue
    store = venue.approved_store()
    honest = due_raw(venue.invoice(store, amount="90"))
    venue.quote(Side.BUY, 200_100, 1000, THIEF)  # The offers are out of the way.
    bid = venue.quote(Side.BUY, 20_000_000, 9, THIEF)
    made = venue.merchants.create_invoice(store.store_id, InvoiceRequest("90", tokens=("TOKEN",)))
    assert made.outcome is Outcome.NO_QUOTE and made.detail["why"] == NoPrice.ONE_SIDED

    # Even with a friend on both sides, and all the time in the world, nothing traded there.
    venue.quote(Side.SELL, 20_000_100, 9, FRIEND)
    world.pass_time(3600)
    made = venue.merchants.create_invoice(store.store_id, InvoiceRequest("90", tokens=("TOKEN",)))
    assert made.detail["why"] == NoPrice.ONE_OWNER
    venue.quote(Side.BUY, 19_999_900, 9, FRIEND)
    world.pass_time(3600)
    invoice = venue.invoice(store, amount="90")
    assert due_raw(invoice) >= honest * 2000 // 2001, "nobody pays less than at the last trade"
    venue.cancel(THIEF, bid)


def test_trades_among_friends_count_by_volume_and_the_middle_by_time(world):
    """Whoever trades with himself at a false price, with the book to it, must do it for most of the
    volume and most of the time."""
    venue = world.venue
    for _ in range(10):
        venue.quote(Side.BUY, 200_100, 50, SECOND)
        world.pass_time(20)
    assert price(world) == 200_000
    venue.quote(Side.BUY, 200_100, 500, THIEF)
    bid = venue.quote(Side.BUY, 300_000, 100, THIEF)
    venue.quote(Side.BUY, 299_900, 100, SECOND)
    venue.quote(Side.SELL, 300_000, 60, FRIEND)  # 60 of 1,060 lots.
    venue.quote(Side.SELL, 300_100, 100, FRIEND)
    world.pass_time(100)
    assert price(world) == 200_050, "the middle by time; by volume it is 200_100"
    venue.cancel(THIEF, bid)


def test_a_maker_who_prices_again_keeps_his_age_at_the_worst_price_he_showed(world):
    venue = world.venue
    first = venue.quote(Side.BUY, 200_050, 40, SECOND)
    world.pass_time(AGE_S)
    assert price(world) in (200_000, 200_050)
    for ticks in (200_040, 200_060, 200_020, 200_050):
        world.pass_time(1)
        venue.cancel(SECOND, first)
        first = venue.quote(Side.BUY, ticks, 40, SECOND)
        market, now = venue.catalog.markets[0], world.now_ns
        aged = list(venue.merchants.prices._books[market.number].aged(Side.BUY, now))
        assert aged[0].ticks <= ticks and aged[0].ticks >= 200_020
    venue.cancel(SECOND, first)
    world.pass_time(2)
    venue.quote(Side.BUY, 200_050, 40, SECOND)
    assert next(venue.merchants.prices._books[0].aged(Side.BUY, world.now_ns)).ticks == 200_000


def test_prices_are_the_same_after_a_restart_and_from_a_snapshot(world):
    venue = world.venue
    venue.quote(Side.BUY, 200_100, 30, SECOND)
    bid = venue.quote(Side.BUY, 199_950, 30, FRIEND)
    world.pass_time(1)
    venue.cancel(FRIEND, bid)
    kept = venue.merchants.prices.save()
    before = price(world)
    world.restart()
    assert world.venue.merchants.prices.save() == kept and price(world) == before
    loaded = Prices(STATED)
    loaded.load(kept)
    assert loaded.save() == kept


FREE = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([Side.BUY, Side.SELL]),
            st.sampled_from([1, 150_000, 199_999, 200_050, 250_000, 3_000_000, 2**31 - 1]),
            st.sampled_from([1, 9, 500, 10_000]),
            st.sampled_from([THIEF, FRIEND, SECOND]),
        ),
        st.tuples(st.just("pass"), st.sampled_from([1, 3, 400]), st.just(0), st.just(b"")),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0), st.just(b"")),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(FREE, st.booleans())
def test_no_sequence_of_free_orders_lowers_what_is_due_under_the_last_trades(steps, leaves):
    with tempfile.TemporaryDirectory() as directory:
        world = market_of(Path(directory))
        venue, resting = world.venue, []
        if leaves:
            for order_id in (1, 2, 3):
                venue.cancel(MAKER_SECRET, order_id)
        for kind, number, lots, secret in steps:
            if kind == "pass":
                world.pass_time(number)
            elif kind == "cancel" and resting:
                owner, order_id = resting.pop(number % len(resting))
                venue.cancel(owner, order_id)
            elif secret and not crosses(venue, kind, number):
                resting.append((secret, venue.quote(kind, number, lots, secret)))
            found = price(world)
            # Nothing was traded, so the stated price is the ceiling.
            assert isinstance(found, NoPrice) or found <= 200_000


def crosses(venue, side, ticks):
    """Return whether an order would trade: then it is not free."""
    other = venue.exchange.depth(venue.catalog.markets[0], Side(1 - side), 1)
    if not other:
        return False
    return ticks >= other[0][0] if side == Side.BUY else ticks <= other[0][0]
