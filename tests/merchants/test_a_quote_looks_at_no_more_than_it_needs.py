"""A quote for the price of a coffee does not read a thousand levels, and reads them in order."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from engine.types import Side
from merchants.sales.depth import AgedBook, Resting
from merchants.sales.pricing import Quote
from tests.merchants.fixtures import DOLLAR, World

AGE_NS = 3 * 10**9
LEVELS = 60


def calls_of(function, act):
    """Return how often ``act`` calls a function of ours, and what it returns."""
    count = 0

    def watch(frame, word, _argument):
        nonlocal count
        count += word == "call" and frame.f_code is function.__code__

    sys.setprofile(watch)
    try:
        found = act()
    finally:
        sys.setprofile(None)
    return count, found


@given(
    st.sampled_from((Side.BUY, Side.SELL)),
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(90, 110), st.integers(1, 9), st.integers(0, 2)),
        max_size=40,
    ),
)
def test_what_counts_comes_best_first_and_the_first_in_the_book_first_among_equals(side, acts):
    """Owners who price their orders again count at their worst price since, out of the order in
    which the book has them."""
    book, mine, now_ns = AgedBook(AGE_NS), {}, 10**12
    for number, (account, ticks, lots, wait_s) in enumerate(acts, 1):
        if account in mine:
            book.cancel(mine.pop(account), now_ns)
        else:
            book.rest(number, side, account, ticks, lots, now_ns)
            mine[account] = number
        now_ns += wait_s * 10**9
    in_book = [order.aged(now_ns, AGE_NS) for order in book._walk(side)]
    sign = -1 if side == Side.BUY else 1
    expected = sorted((one for one in in_book if one), key=lambda one: sign * one.ticks)
    assert list(book.aged(side, now_ns)) == expected


def test_a_small_sale_looks_at_the_first_of_many_bids_and_at_one_offer(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    for step in range(1, LEVELS):
        venue.quote(Side.BUY, 200_000 - step, 1)
        venue.quote(Side.SELL, 200_100 + step, 1)
    world.pass_time(4)
    market = venue.catalog.markets[0]
    prices, now_ns = venue.merchants.prices, world.now_ns

    looked, quote = calls_of(Resting.aged, lambda: prices.quote(market, DOLLAR, now_ns))
    assert isinstance(quote, Quote) and looked <= 4
    looked, quote = calls_of(Resting.aged, lambda: prices.quote(market, 10**6 * DOLLAR, now_ns))
    assert not isinstance(quote, Quote) and LEVELS <= looked <= LEVELS + 4, "all bids, and once"
