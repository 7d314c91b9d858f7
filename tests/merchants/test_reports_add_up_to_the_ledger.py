"""A report's columns are summed by people, and the sums have to be right to the unit."""

import csv
import io
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.commands import Kind, command
from engine.types import Side
from merchants.reports.page import BadCursor
from merchants.reports.reports import KINDS, ReportKind, asked
from merchants.reports.rows import DisposalRow, PaymentRow
from merchants.reports.written import csv_of, harmless
from settlement.protocol.evidence import SignedWithdrawal
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    pips_of_decimal,
)


def signed_pips(text):
    return -pips_of_decimal(text[1:]) if text.startswith("-") else pips_of_decimal(text)


def everything(venue, store_id, kind, limit=500, **question):
    """Return all rows of a report, page by page."""
    reports, cursor, rows = venue.merchants.reports, "", []
    while True:
        page = reports.page(kind, store_id, asked(cursor=cursor, limit=limit, **question))
        assert len(page.rows) <= limit
        rows += page.rows
        if not page.following:
            return rows
        cursor = page.following


def total(rows, column):
    return sum(signed_pips(getattr(row, column)) for row in rows)


def pay(world, invoice, raw):
    world.transfer(address_bytes(invoice.deposit_address), raw, confirmations=CONFIRMATIONS)


def go_on(world, times=2):
    for _ in range(times):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()


def withdraw(venue, token, pips):
    number = venue.catalog.account_number(MERCHANT)
    row = command(
        Kind.WITHDRAW,
        account=number,
        token=venue.catalog.token_by_address(token).number,
        amount=pips,
    )
    signed = SignedWithdrawal(MERCHANT, token, b"\x77" * 20, pips, 1, 0, b"", b"\x01" * 32)
    assert venue.submit(row, signed)


def check(world, store_id):
    """Hold all reports against the ledger and against each other."""
    venue = world.venue
    reports = venue.merchants.reports
    sales = everything(venue, store_id, ReportKind.CONVERSIONS, limit=3)
    mine = everything(venue, store_id, ReportKind.CONVERSIONS, by_invoice=True)
    batches = everything(venue, store_id, ReportKind.SETTLEMENT, limit=1)
    days = everything(venue, store_id, ReportKind.FEES, limit=1)
    for column in ("amount", "proceeds", "fee", "net"):
        assert total(sales, column) == total(mine, column), "lots are others, sums are not"
    settled = [row for row in sales if row.batch]
    assert total(batches, "sold") == total(settled, "amount")
    for column in ("proceeds", "fee", "net"):
        assert total(batches, column) == total(settled, column)
    for column in ("proceeds", "fee"):
        assert total(days, column) == total(sales, column)

    ledger = reports.ledger(MERCHANT)
    rows = everything(venue, store_id, ReportKind.RECONCILIATION, ledger=ledger)
    for row in rows:
        assert (row.difference, row.besides) == ("0", "0"), row
    found = {row.token: row for row in rows}
    assert total(sales, "net") == signed_pips(found["USD"].bought)
    assert signed_pips(found["USD"].ledger) == venue.pips(MERCHANT, USD)
    if "TOKEN" in found:
        assert signed_pips(found["TOKEN"].ledger) == venue.pips(MERCHANT, TOKEN)
        assert total(sales, "amount") == signed_pips(found["TOKEN"].sold)
    return sales


def test_each_payment_has_a_row_and_no_sum_of_its_invoice(tmp_path):
    """Found elsewhere: a report that repeated the invoice's total for each payment."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, order_id="7")
    raw = due_raw(invoice)
    parts = (raw // 3, raw // 3, raw - 2 * (raw // 3))
    for part in parts:
        pay(world, invoice, part)
        world.pass_time(1)
        go_on(world)
    rows = everything(venue, store.store_id, ReportKind.PAYMENTS, limit=1)
    assert [row.invoice for row in rows] == [invoice.id] * 3
    assert {row.order_id for row in rows} == {"7"}
    assert sum(int(tenths(row.amount)) for row in rows) == raw
    assert not set(PaymentRow.__struct_fields__) & {"due", "net", "price", "amount_due"}
    check(world, store.store_id)


def tenths(text):
    whole, _, places = text.partition(".")
    return whole + places.ljust(18, "0")


def test_the_oldest_lots_go_first_or_those_of_the_invoice(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    first, second = venue.invoice(store), venue.invoice(store)
    # The first is paid by halves: its first half lies there when the second invoice is sold.
    half = 25 * LOT // 2
    venue.fund(MERCHANT, TOKEN, half, bytes.fromhex(first.ref[2:]))
    go_on(world)
    world.pass_time(5)
    pay(world, second, due_raw(second))
    go_on(world)
    world.pass_time(5)
    pay(world, first, due_raw(first) - due_raw(first) // 2)
    go_on(world)
    sales = check(world, store.store_id)
    own = everything(venue, store.store_id, ReportKind.CONVERSIONS, by_invoice=True)
    assert sales[0].invoice == own[0].invoice == second.id
    assert sales[0].lot_utc < own[0].lot_utc, "FIFO takes what came for the other one"
    assert {row.lot_tx_hash for row in own} <= {row.lot_tx_hash for row in sales}
    assert all(row.worth_at_sale for row in own)


def test_what_several_invoices_gave_is_worth_what_each_had_quoted(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    for _ in range(8):
        invoice = venue.invoice(store, amount="0.25")
        pay(world, invoice, due_raw(invoice))
        go_on(world)
    sales = check(world, store.store_id)
    assert {row.conversion for row in sales} == {sales[0].conversion}, "one sale of them all"
    own = everything(venue, store.store_id, ReportKind.CONVERSIONS, by_invoice=True)
    assert total(sales, "worth_at_sale") == total(own, "worth_at_sale") == 2 * DOLLAR


COLUMNS = [
    *("time_utc", "time_local", "invoice", "order_id", "conversion", "trade", "token", "amount"),
    *("lot_utc", "lot_tx_hash", "lot_log_index", "currency", "worth_at_sale", "proceeds", "fee"),
    *("net", "status", "batch", "tx_hash", "at_middle", "spread_ppm"),
    "lot_chosen_utc",
]


def test_the_columns_and_what_is_in_them(tmp_path):
    """Accountants' programs know these columns: they are added to, behind, and never renamed."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, order_id="=HYPERLINK(1)")
    pay(world, invoice, due_raw(invoice))
    go_on(world)
    world.trades_are("final")
    venue.tick()
    withdraw(venue, USD, 10 * DOLLAR)
    zone = ZoneInfo("Asia/Kolkata")

    def page(kind, **question):
        found = venue.merchants.reports.page(kind, store.store_id, asked(zone=zone, **question))
        return list(
            csv.reader(io.StringIO(csv_of(KINDS[kind].row, found.rows, is_first=True).decode()))
        )

    header, row = page(ReportKind.CONVERSIONS)
    assert header == list(DisposalRow.__struct_fields__) == COLUMNS
    assert row[:2] == ["2027-01-15T08:00:03+00:00", "2027-01-15T13:30:03+05:30"]
    assert row[2:4] == [invoice.id, "'=HYPERLINK(1)"]
    assert row[6:8] + row[11:18] == [
        *("TOKEN", "0.025", "USD", "50", "50", "0.125", "49.875", "final", "9"),
    ]
    assert page(ReportKind.SETTLEMENT)[1][4:] == (
        ["TOKEN-USD", "TOKEN", "0.025", "USD", "50", "0.125", "49.875", "1"]
    )
    assert page(ReportKind.FEES) == [
        ["day_utc", "market", "trades", "currency", "proceeds", "fee"],
        ["2027-01-15", "TOKEN-USD", "1", "USD", "50", "0.125"],
    ]
    header, row = page(ReportKind.PAYOUTS)
    assert row[3:8] == ["USD", "10", "0x" + "77" * 20, "0", "debited"]
    ledger = venue.merchants.reports.ledger(MERCHANT)
    rows = {row[0]: row for row in page(ReportKind.RECONCILIATION, ledger=ledger)[1:]}
    assert rows["USD"][:12] == [
        "USD",
        "0",
        "0",
        "0",
        "49.875",
        "0.125",
        "10",
        "39.875",
        "39.875",
        "0",
        "0",
        "0",
    ]
    assert rows["TOKEN"][:12] == ["TOKEN", "0.025", "0", "0.025"] + 8 * ["0"]


@pytest.mark.parametrize(
    ("cell", "spelled"),
    [
        ("=1+1", "'=1+1"),
        ("+1-2", "'+1-2"),
        ("-cmd", "'-cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-12.5", "-12.5"),
        ("order 7", "order 7"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(cell, spelled):
    assert harmless(cell) == spelled


@pytest.mark.parametrize("cursor", ["x", "1", "1.2.3.4", "9" * 30 + ".1", "-1.0", "1.x", "²."])
def test_a_cursor_that_no_page_has_named_is_refused(tmp_path, cursor):
    venue = World(tmp_path).venue
    store = venue.approved_store()
    for kind in (ReportKind.CONVERSIONS, ReportKind.PAYMENTS):
        with pytest.raises(BadCursor):
            venue.merchants.reports.page(kind, store.store_id, asked(cursor=cursor))


def test_a_range_of_times_has_each_row_once(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    for _ in range(3):
        invoice = venue.invoice(store)
        pay(world, invoice, due_raw(invoice))
        go_on(world)
        world.pass_time(100)
    world.trades_are("batched")
    venue.tick()
    cut = world.now_ns - 150 * 10**9
    for kind in (ReportKind.PAYMENTS, ReportKind.CONVERSIONS):
        before = everything(venue, store.store_id, kind, to_ns=cut)
        after = everything(venue, store.store_id, kind, from_ns=cut)
        assert before + after == everything(venue, store.store_id, kind)
        assert before and after
    halves = [
        everything(venue, store.store_id, ReportKind.SETTLEMENT, **part)
        for part in ({"to_ns": cut}, {"from_ns": cut})
    ]
    (whole,) = everything(venue, store.store_id, ReportKind.SETTLEMENT)
    assert sum(total(half, "net") for half in halves) == signed_pips(whole.net)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(["0.5", "5", "50", "7.31"])),
        st.tuples(st.just("pay"), st.integers(0, 5), st.integers(1, 30)),
        st.tuples(st.just("bid"), st.integers(1, 40)),
        st.tuples(st.just("late"), st.integers(1, 2000)),
        st.tuples(st.just("chain"), st.sampled_from(["batched", "final"])),
        st.tuples(st.just("bust"), st.integers(0, 3)),
        st.tuples(st.just("withdraw"), st.integers(1, 100)),
        st.tuples(
            st.just("restart"),
        ),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A function that gives a new directory for each example."""
    counted = Counter()

    def directory():
        counted["worlds"] += 1
        return tmp_path_factory.mktemp(f"world{counted['worlds']}")

    return directory


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happened_the_sums_are_the_balances(many, steps):
    world = World(many())
    store = world.venue.approved_store()
    invoices = []
    for step in [("order", "50"), ("pay", 0, 10), *steps]:
        act(world, store, invoices, step)
        go_on(world)
    check(world, store.store_id)


def act(world, store, invoices, step):
    venue, (word, *given) = world.venue, step
    if word == "order":
        invoices.append(venue.invoice(store, amount=given[0]))
    elif word == "pay":
        which, tenths_due = given
        invoice = invoices[which % len(invoices)]
        pay(world, invoice, due_raw(invoice) * tenths_due // 10)
    elif word == "bid":
        venue.quote(Side.BUY, 199_950, given[0])
        world.pass_time(5)
    elif word == "late":
        world.pass_time(given[0])
    elif word == "chain":
        world.trades_are(given[0])
    elif word == "bust":
        sales = [
            sale for one in invoices for sale in venue.merchants.reader.invoice(one.id).conversions
        ]
        fills = [fill for sale in sales for fill in sale.fills]
        # What was paid out already cannot be taken back; that is the settler's to see.
        if fills and venue.pips(MERCHANT, USD) >= pips_of_decimal(fills[0].proceeds):
            given[0] = 0
            venue.bust(fills[given[0] % len(fills)])
    elif word == "withdraw":
        pips = venue.pips(MERCHANT, USD) * given[0] // 100
        if pips:
            withdraw(venue, USD, pips)
    else:
        venue.database.dispose()
        world.restart()
