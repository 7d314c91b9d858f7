"""Decimal strings lose nothing, and a quote is the smallest sale that covers the amount."""

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.types import MONEY_MAX
from merchants.records.amounts import (
    decimal_of_pips,
    pips_of_decimal,
    raw_covering,
)
from merchants.sales.pricing import limit_ticks, quote_base, quote_proceeds, ticks_covering
from settlement.orders.catalog import Market, Token
from settlement.protocol.checksum import address_of_text, checksum_address
from tests.merchants.fixtures import FEE_PPM, LOT, TICK

BASE = Token(0, "TOKEN", b"\xaa" * 20, 18, 10**10)
QUOTE = Token(1, "USD", b"\xbb" * 20, 6, -100)
MARKET = Market(0, "TOKEN-USD", BASE, QUOTE, LOT, TICK, 0, FEE_PPM)

bids_strategy = st.lists(
    st.tuples(st.integers(1, 10**6), st.integers(1, 10**5)),
    min_size=1,
    max_size=8,
    unique_by=lambda bid: bid[0],
).map(lambda bids: sorted(bids, reverse=True))


@given(st.integers(0, MONEY_MAX))
def test_pips_survive_the_way_out_and_back(pips):
    assert pips_of_decimal(decimal_of_pips(pips)) == pips


@given(st.text(alphabet="0123456789.eE+-_ ,x٣", max_size=24))
def test_what_is_no_plain_amount_is_refused(text):
    pips = pips_of_decimal(text)
    if pips is not None:
        whole, _, fraction = text.partition(".")
        assert pips == int(whole) * 10**8 + int(fraction[:8].ljust(8, "0"))
        assert not fraction[8:].strip("0") and text.isascii()


@given(st.integers(1, MONEY_MAX), st.sampled_from([BASE, QUOTE]))
def test_raw_units_asked_for_cover_the_pips_and_not_one_unit_more(pips, token):
    raw = raw_covering(token, pips)
    assert token.pips_of(raw) >= pips > token.pips_of(raw - 1)


def test_addresses_carry_their_checksum():
    for known in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ):
        address = bytes.fromhex(known[2:])
        assert checksum_address(address) == known
        for spelling in (known, known.lower(), "0x" + known[2:].upper()):
            assert address_of_text(spelling) == address


def test_a_mistyped_address_is_noticed():
    known = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    other_case, other_digit = known.replace("5aA", "5aa"), known.replace("605", "606")
    for wrong in (other_case, other_digit, "", "0x", known[:-1], known + "0", known[2:]):
        assert address_of_text(wrong) is None
    for spaced in ("0X" + known[2:], known[:40] + " d", known[:20] + " " + known[21:]):
        assert address_of_text(spaced) is None


@given(bids_strategy, st.integers(1, 10**14))
def test_a_quote_is_the_smallest_sale_that_covers(bids, wanted):
    quote = quote_proceeds(MARKET, bids, wanted)
    if quote is None:
        assert sum(MARKET.quote_pips(lots, price) for price, lots in bids) < wanted
        return
    assert sold(bids, quote.base_pips) == quote.proceeds_pips >= wanted
    assert sold(bids, quote.base_pips - 1) < wanted, "one pip fewer does not do"
    assert (quote.lots - 1) * LOT < quote.base_pips <= quote.lots * LOT
    assert quote_base(MARKET, bids, quote.base_pips) == quote
    depth = sum(lots for _, lots in bids) * LOT
    assert quote_base(MARKET, bids, depth + 1) is None
    assert 0 <= quote.fee_pips * 10**6 <= quote.proceeds_pips * FEE_PPM


@given(st.integers(1, 10**7), st.integers(0, 10**6))
def test_the_limit_is_never_under_what_was_allowed(quoted, slippage):
    limit = limit_ticks(quoted, slippage)
    exact = quoted * (10**6 - slippage)
    assume(exact > 0)
    assert limit * 10**6 >= exact > (limit - 1) * 10**6


@given(st.integers(1, 10**15))
def test_a_price_in_ticks_is_never_under_the_price_in_pips(price_pips):
    ticks = ticks_covering(MARKET, price_pips)
    exact = price_pips * MARKET.lot_pips
    unit = MARKET.tick_pips * 10**8
    assert ticks * unit >= exact > (ticks - 1) * unit


def sold(bids, pips):
    """Walk the bids one level at a time; the slow and plain way."""
    proceeds = 0
    for price, depth in bids:
        taken = min(pips, depth * LOT)
        proceeds += taken * price * TICK
        pips -= taken
    return proceeds // LOT
