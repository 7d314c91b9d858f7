"""A price in any currency means the same amount whoever reckons it, or there is none."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merchants.records.currencies import EXPONENTS
from merchants.sales.rate_reader import FAILED_AGAIN_S, RateReader, RateSource
from merchants.sales.rate_sources import ecb_table, open_exchange_rates_table
from merchants.sales.rates import SCALE, NoRate, Rates, RateTable, RateTerms

NOON = 1_795_867_200  # A Saturday in November 2026.
NS = 10**9
ECB = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><gesmes:subject>x</gesmes:subject>
<Cube><Cube time='2026-11-27'><Cube currency='USD' rate='1.1000'/>
<Cube currency='JPY' rate='165.00'/><Cube currency='KWD' rate='0.33'/>
<Cube currency='HUF' rate='nonsense'/><Cube currency='ZZZ' rate='1'/></Cube></Cube>
</gesmes:Envelope>"""
OXR = b"""{"base":"USD","timestamp":1795863600,"license":"...",
"rates":{"EUR":0.909,"JPY":150.1,"KWD":0.3,"USD":1}}"""


def rates(*tables, book=None, **terms):
    names = tuple(f"source {number}" for number in range(len(tables)))
    made = Rates(RateTerms(sources=names, **terms), lambda *_: book)
    for name, table in zip(names, tables, strict=True):
        made.take(name, table)
    return made


def table(base="USD", as_of_s=NOON, good_s=3600, **per_base):
    scaled = {code: int(value * 10**6) * SCALE // 10**6 for code, value in per_base.items()}
    return RateTable(base, as_of_s, as_of_s + good_s, scaled)


def test_both_forms_are_read_to_the_digit():
    ecb, other = ecb_table(ECB), open_exchange_rates_table(OXR)
    assert ecb.per_base == {"USD": 11 * SCALE // 10, "JPY": 165 * SCALE, "KWD": 33 * SCALE // 100}
    assert other.per_base["EUR"] == 909 * SCALE // 1000
    both = rates(ecb, other)
    rate = both.rate("JPY", "USD", NOON * NS)
    assert rate.rate == "0.006666666666" and rate.source == "source 0, source 1"
    assert rate.pips_of(150) == 10**8, "reckoned from the ratio, not from its digits"
    assert rate.pips_of(100) == 66_666_667, "rounded up: the shop is never short"


def test_the_digits_of_a_currency_are_those_of_iso_4217():
    assert [EXPONENTS[code] for code in ("JPY", "USD", "KWD", "CLF", "HUF", "IQD")] == [
        *(0, 2, 3, 4, 2, 3)
    ]
    each = rates(table(KWD=0.3, CLF=0.025, HUF=400), sources_min=1)
    rate = {code: each.rate(code, "USD", NOON * NS) for code in ("KWD", "CLF", "HUF")}
    assert rate["KWD"].pips_of(1_000) == 333_333_334
    assert rate["CLF"].pips_of(10_000) == 40 * 10**8
    assert rate["HUF"].pips_of(100) == 250_000


def test_a_currency_in_its_own_stablecoin_needs_no_source():
    one = Rates(RateTerms(pegs={"USDC": "USD"}), lambda *_: None)
    assert one.rate("USD", "USDC", NOON * NS).pips_of(123) == 123 * 10**6
    assert one.rate("EUR", "EUR", NOON * NS).rate == "1"
    assert one.rate("USD", "DOGE", NOON * NS) is NoRate.NO_PEG
    assert one.rate("ZZZ", "USD", NOON * NS) is NoRate.UNKNOWN
    assert one.rate("EUR", "USD", NOON * NS) is NoRate.UNSOURCED


@pytest.mark.parametrize(
    ("tables", "book", "why"),
    [
        ([table(EUR=0.9)], None, NoRate.UNSOURCED),
        ([table(EUR=0.9), table(JPY=150)], None, NoRate.UNSOURCED),
        ([table(EUR=0.9), table(EUR=0.92)], None, NoRate.APART),
        ([table(EUR=0.9), table(EUR=0.9, as_of_s=NOON - 3601)], None, NoRate.UNSOURCED),
        ([table(EUR=0.9), table(EUR=0.9, as_of_s=NOON + 90_000)], None, NoRate.UNSOURCED),
        ([table(EUR=0.9), table(EUR=0.905)], SCALE * 12 // 10, NoRate.CONTRADICTED),
    ],
)
def test_where_there_is_doubt_there_is_no_rate(tables, book, why):
    assert rates(*tables, book=book).rate("EUR", "USD", NOON * NS) is why


def test_what_the_book_trades_near_does_not_contradict():
    near = rates(table(EUR=0.9), table(EUR=0.905), book=SCALE * 112 // 100)
    assert near.rate("EUR", "USD", NOON * NS).rate == "1.111111111111"


def test_fridays_rates_are_good_until_mondays_are_out():
    friday = ecb_table(ECB)
    saturday, monday_evening = NOON, NOON + 2 * 86_400 + 8 * 3600
    alone = rates(friday, sources_min=1)
    assert alone.rate("USD", "EUR", saturday * NS).source == "source 0"
    assert alone.rate("USD", "EUR", monday_evening * NS) is NoRate.UNSOURCED


def test_over_christmas_and_easter_rates_are_good_until_the_next_working_day():
    christmas = ecb_table(ECB.replace(b"2026-11-27", b"2026-12-24"))
    easter = ecb_table(ECB.replace(b"2026-11-27", b"2027-03-25"))
    assert (christmas.good_until_s - christmas.as_of_s) // 3600 == 4 * 24 + 4, "28 December"
    assert (easter.good_until_s - easter.as_of_s) // 3600 == 5 * 24 + 4, "30 March"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"<Cube/>",
        b"[]",
        b"{}",
        OXR.replace(b"USD", b"usd", 1),
        OXR.replace(b"1795863600", b'"now"'),
        OXR.replace(b"1795863600", b"99999999999999"),
        ECB.replace(b"2026-11-27", b"yesterday"),
        b'{"base":"USD","timestamp":1,"rates":{"EUR":-1,"JPY":0,"GBP":1e30}}',
        b"\xff" * 100,
    ],
)
def test_what_is_not_in_its_form_is_no_table(body):
    assert ecb_table(body) is None
    assert open_exchange_rates_table(body) is None


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("ecb", ECB.replace(b"2026-11-27", b"9999-12-31")),
        ("ecb", ECB.replace(b"UTF-8", b"foo")),
        ("ecb", ECB.replace(b"UTF-8", b"base64")),
        ("openexchangerates", OXR.replace(b'"..."', b"[" * 100_000)),
        ("openexchangerates", OXR.replace(b'"..."', b"[" * 100_000 + b"]" * 100_000)),
        ("openexchangerates", OXR.replace(b"USD", b"US\xff", 1)),
    ],
)
def test_found_a_source_that_answered_nonsense_ended_the_exchange(form, body):
    now, kept = [NOON * NS], rates(table(EUR=0.9), sources_min=1)
    source = RateSource("source 0", form, "here")
    wire = Wire(here=body)
    reader = RateReader(kept, [source], wire, lambda: now[0])
    asyncio.run(reader.step())
    assert kept.rate("EUR", "USD", now[0]).rate == "1.111111111111", "the last table stands"
    now[0] += FAILED_AGAIN_S * NS
    asyncio.run(reader.step())
    assert len(wire.asked) == 2


@given(
    form=st.sampled_from((ecb_table, open_exchange_rates_table)),
    sound=st.sampled_from((ECB, OXR)),
    at=st.integers(0, 420),
    length=st.integers(0, 40),
    instead=st.binary(max_size=40) | st.sampled_from((b"9" * 30, b"-", b"\x00", b"e9", b"&#0;")),
)
def test_whatever_a_source_answers_is_a_table_or_none(form, sound, at, length, instead):
    found = form(sound[:at] + instead + sound[at + length :])
    assert found is None or found.per_base


@given(
    code=st.sampled_from(sorted(set(EXPONENTS) - {"USD"})),
    scaled=st.integers(10**6, 10**18),
    minor=st.integers(0, 10**12),
)
def test_what_is_due_covers_the_price_by_less_than_a_pip(code, scaled, minor):
    made = Rates(RateTerms(sources=("one",), sources_min=1, pegs={"COIN": "USD"}), lambda *_: None)
    made.take("one", RateTable("USD", NOON, NOON, {code: scaled}))
    rate = made.rate(code, "COIN", NOON * NS)
    pips = rate.pips_of(minor)
    exact, whole = minor * SCALE * 10**8, scaled * 10 ** EXPONENTS[code]
    if pips is not None:
        assert 0 <= pips * whole - exact < whole


class Wire:
    """Answers what it is told to; remembers who was asked."""

    def __init__(self, **bodies):
        self.bodies, self.asked = bodies, []

    async def get(self, url, size_max):
        self.asked.append(url)
        return self.bodies[url]


def test_a_source_that_fails_is_asked_again_soon_and_leaves_its_last_table():
    now, kept = [NOON * NS], rates(table(EUR=0.9), sources_min=1)
    wire = Wire(here="status 500")
    source = RateSource("source 0", "openexchangerates", "here", pace_s=3600)
    reader = RateReader(kept, [source], wire, lambda: now[0])
    asyncio.run(reader.step())
    asyncio.run(reader.step())
    assert len(wire.asked) == 1 and kept.rate("EUR", "USD", now[0]).rate == "1.111111111111"
    now[0] += FAILED_AGAIN_S * NS
    wire.bodies["here"] = OXR
    asyncio.run(reader.step())
    assert kept.rate("EUR", "USD", now[0]).rate == "1.100110011001"
    now[0] += 3599 * NS
    asyncio.run(reader.step())
    assert len(wire.asked) == 2
