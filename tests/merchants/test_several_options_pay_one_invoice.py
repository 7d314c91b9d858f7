"""One price, one address, several tokens: each counts at its own quote, and parts add up."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from engine.types import MONEY_MAX, Outcome, Side
from merchants.records.options import Option
from merchants.records.rejection import Rejection
from merchants.records.shares import missing_pips, received_pips
from merchants.records.tables import Invoice
from merchants.sales.asked import InvoiceRequest
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
    option,
    sole,
)

ADDRESS = {"TOKEN": TOKEN, "USD": USD}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def made(world, amount="50", store=None, **fields):
    """Ask for an invoice in all that the store accepts."""
    store = store or world.venue.approved_store()
    created = world.venue.merchants.create_invoice(store.store_id, InvoiceRequest(amount, **fields))
    assert not isinstance(created, Rejection), created
    return created.invoice


def send(world, invoice, token, raw):
    to = address_bytes(invoice.deposit_address)
    world.transfer(to, raw, ADDRESS[token], CONFIRMATIONS)
    world.venue.watch()


def settle(world, invoice, rounds=3):
    for _ in range(rounds):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def test_every_token_that_the_store_accepts_is_offered_at_one_address(world):
    invoice = made(world)
    assert (invoice.price, invoice.settle_token, invoice.fx) == ("50", "USD", None)
    assert [(one.token, one.amount_due, one.amount_due_raw) for one in invoice.options] == [
        ("USD", "50", "50000000"),
        ("TOKEN", "0.025", str(25 * 10**15)),
    ]
    assert option(invoice, "TOKEN").decimals == 18
    assert option(invoice, "TOKEN").expected.proceeds == "50"
    assert invoice.options_left_out == []


@pytest.mark.parametrize("first", ["USD", "TOKEN"])
def test_half_in_one_token_and_half_in_another_settles(world, first):
    store = world.venue.approved_store()
    invoice = made(world, store=store)
    second = {"USD": "TOKEN", "TOKEN": "USD"}[first]
    send(world, invoice, first, due_raw(invoice, first) // 2)
    half = world.venue.merchants.reader.invoice(invoice.id)
    assert (half.status, half.received, half.remaining) == ("new", "25", "25")
    assert [one.remaining for one in half.options] == ["25", "0.0125"]
    send(world, invoice, second, int(option(half, second).remaining_raw))
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.remaining, paid.over) == ("settled", "none", "0", "0")
    sale = sole(paid.conversions)
    # A lot is 0.001, so half of one waits for the rests of other invoices.
    assert (sale.amount, sole(paid.gathered).waiting) == ("0.012", "0.0005")
    assert world.venue.types(store).count("invoice.settled") == 1


def test_parts_by_deposit_and_by_transfer_in_both_tokens_count_once_each(world):
    invoice = made(world, "100")
    ref = bytes.fromhex(invoice.ref[2:])
    send(world, invoice, "TOKEN", 10**16)
    world.venue.fund(MERCHANT, TOKEN, 10 * LOT, ref)
    send(world, invoice, "USD", 20 * 10**6)
    world.venue.fund(MERCHANT, USD, 40 * DOLLAR, ref)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.received) == ("settled", "none", "100")
    assert (option(paid, "TOKEN").credited, option(paid, "USD").credited) == ("0.02", "60")
    assert sum(float(sale.amount) for sale in paid.conversions) == 0.02


def test_what_came_in_one_token_after_another_has_paid_is_over_and_sold(world):
    store = world.venue.approved_store()
    invoice = made(world, store=store)
    send(world, invoice, "USD", due_raw(invoice, "USD"))
    assert settle(world, invoice).status == "settled"
    world.pass_time(3600)
    world.venue.quote(Side.BUY, 200_000, 50)
    world.venue.quote(Side.SELL, 200_100, 50)
    send(world, invoice, "TOKEN", 5 * 10**15)
    over = settle(world, invoice)
    assert (over.exception, over.over) == ("paid_over", "10")
    assert sole(over.conversions).sold == "0.005"
    assert world.venue.types(store).count("invoice.paid_over") == 1


def test_a_late_rest_is_weighed_with_all_that_is_booked(world):
    invoice = made(world)
    send(world, invoice, "TOKEN", due_raw(invoice, "TOKEN") // 2)
    world.pass_time(901)
    world.venue.tick()
    assert settle(world, invoice).status == "expired"
    send(world, invoice, "USD", 24 * 10**6)
    short = settle(world, invoice)
    assert (short.status, short.short) == ("expired", "1")
    send(world, invoice, "USD", 10**6)
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.short) == ("settled", "paid_late", "0")


def test_what_cannot_be_sold_is_left_out_with_the_reason(world):
    venue = world.venue
    unapproved = made(world, store=venue.open_store())
    assert [one.token for one in unapproved.options] == ["USD"]
    left = sole(unapproved.options_left_out)
    assert (left.token, left.outcome) == ("TOKEN", "CANNOT_SELL")
    assert "not approved" in left.why
    dear = made(world, "999999")
    assert sole(dear.options_left_out).outcome == "NO_QUOTE"
    wanted = InvoiceRequest("999999", tokens=("TOKEN",))
    none = venue.merchants.create_invoice(venue.approved_store().store_id, wanted)
    assert (none.outcome, none.detail["token"]) == (Outcome.NO_QUOTE, "TOKEN")
    unknown = InvoiceRequest("5", tokens=("USD", "WAT"))
    refused = venue.merchants.create_invoice(venue.approved_store().store_id, unknown)
    assert (refused.outcome, refused.detail) == (Outcome.UNKNOWN_TOKEN, {"token": "WAT"})


def test_a_price_in_a_token_is_what_it_sells_for(world):
    invoice = made(world, "0.05", currency="TOKEN")
    assert (invoice.amount, invoice.currency, invoice.price) == ("0.05", "TOKEN", "100")
    assert (invoice.fx.rate, invoice.fx.source) == ("2000", "TOKEN-USD")
    assert option(invoice, "TOKEN").amount_due == "0.05"
    odd = made(world, "0.0504", currency="TOKEN")
    assert option(odd, "TOKEN").amount_due == "0.0504"
    store = world.venue.approved_store().store_id
    for currency, amount, outcome in [
        ("WAT", "5", Outcome.MALFORMED),
        ("TOKEN", "5000", Outcome.NO_QUOTE),
        ("TOKEN", "0.00001", Outcome.MALFORMED),
    ]:
        wanted = InvoiceRequest(amount, currency=currency)
        assert world.venue.merchants.create_invoice(store, wanted).outcome is outcome, currency


def test_an_order_has_one_invoice_where_the_shop_wants_it(world):
    venue = world.venue
    store, other = venue.approved_store(), venue.approved_store()
    create = venue.merchants.create_invoice
    first = create(store.store_id, InvoiceRequest("5", order_id="7")).invoice
    wanted = InvoiceRequest("5", order_id="7", unique_order=True)
    second = create(store.store_id, wanted)
    assert second.outcome is Outcome.IDEMPOTENCY_CONFLICT
    assert second.detail == {"order_id": "7", "invoice": first.id}
    assert not isinstance(create(other.store_id, wanted), Rejection), "orders are a store's own"
    assert create(store.store_id, wanted._replace(order_id="")).outcome is Outcome.MALFORMED
    assert venue.types(store) == ["invoice.created"]


def test_dust_in_every_token_of_an_open_invoice_changes_nothing(world):
    store = world.venue.approved_store()
    invoice = made(world, store=store)
    for _ in range(30):
        send(world, invoice, "USD", 10)
        send(world, invoice, "TOKEN", 10**10)
    dusty = settle(world, invoice)
    assert (dusty.status, dusty.exception) == ("new", "none")
    assert world.venue.types(store) == ["invoice.created"] and not world.sweeps_wanted
    send(world, invoice, "USD", int(option(dusty, "USD").remaining_raw))
    paid = settle(world, invoice)
    assert (paid.status, paid.exception) == ("settled", "none")


def test_a_late_payment_is_settled_though_another_token_has_no_price(world):
    venue = world.venue
    invoice = made(world)
    world.pass_time(901)
    venue.tick()
    for order_id in (1, 2, 3):
        venue.cancel(MAKER_SECRET, order_id)
    venue.fund(MERCHANT, TOKEN, LOT, bytes.fromhex(invoice.ref[2:]))
    send(world, invoice, "USD", due_raw(invoice, "USD"))
    assert settle(world, invoice).status == "settled"


PIPS = st.integers(1, MONEY_MAX)


@given(
    amount=st.integers(10**7, MONEY_MAX),
    dues=st.lists(PIPS, min_size=1, max_size=5),
    shares=st.lists(st.integers(0, 10**6), min_size=5, max_size=5),
)
def test_what_is_missing_pays_the_rest_in_any_token_and_a_pip_less_does_not(amount, dues, shares):
    """Whatever came in parts: the rest in any one option is enough, and a pip less is not."""
    options = [
        Option(due_pips=due, seen_pips=due * share // 10**7, credited_pips=0, returned_pips=0)
        for due, share in zip(dues, shares, strict=False)
    ]
    invoice = Invoice(amount_pips=amount, options=options)
    exact = sum(one.seen_pips * amount * 10**18 // one.due_pips for one in options)
    received = received_pips(invoice)
    assert 0 <= exact - received * 10**18 <= len(options) * 10**18, "rounded against the payer"
    for one in options:
        rest, before = missing_pips(invoice, one), one.seen_pips
        assert (rest == 0) == (received >= amount)
        if rest and before + rest <= MONEY_MAX:
            one.seen_pips = before + rest
            assert received_pips(invoice) >= amount
            one.seen_pips = before + rest - 1
            assert received_pips(invoice) < amount
        one.seen_pips = before


def test_amounts_that_fill_64_bits_are_counted(world):
    invoice = made(world)
    ref = bytes.fromhex(invoice.ref[2:])
    for token in (USD, TOKEN):
        world.venue.fund(MERCHANT, token, 4 * 10**18, ref)
    world.venue.tick()
    paid = world.venue.merchants.reader.invoice(invoice.id)
    assert (paid.status, paid.received) == ("settled", "46116860184.27387903")
    with Session(world.venue.database) as session:
        assert session.get_one(Invoice, invoice.id).over_pips == MONEY_MAX - 50 * DOLLAR


def test_webhooks_carry_the_options(world):
    store = world.venue.approved_store()
    made(world, store=store)
    world.venue.tick()
    told = msgspec.json.decode(sole(world.received)[1])
    about = told["data"]["invoice"]
    assert [one["token"] for one in about["options"]] == ["USD", "TOKEN"]
    assert "options_left_out" not in about
