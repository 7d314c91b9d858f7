"""A sale, from invoice to stablecoin on chain: what is owed, paid, sold, told, to the unit."""

import pytest

from engine.types import Outcome, Side, fee_pips
from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from settlement.protocol.eip712 import order_digest, recover
from settlement.protocol.evidence import OrderBits, decode
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    DOMAIN,
    FEE_PPM,
    LOT,
    MAKER,
    MERCHANT,
    TICK,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    lots_in_journal,
    option,
    sole,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def paid(world, invoice, raw=None):
    """Pay, confirm, sweep and step until nothing more is due now."""
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice) if raw is None else raw)
    world.venue.watch()
    world.venue.tick()
    world.confirm(CONFIRMATIONS)
    world.venue.watch()
    world.venue.tick()
    world.venue.settle_sweeps()
    world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def test_the_quote_walks_the_bids_and_is_due_to_the_pip(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="101")

    # 50 lots at 2000.00 bring 100 USD; the last dollar is half a lot at 1999.00, and a bit more.
    way = option(invoice)
    assert way.amount_due == "0.05050026"
    assert way.amount_due_raw == str(5_050_026 * 10**10)
    assert way.expected.proceeds == "101.00001974"
    fee = fee_pips(100 * DOLLAR, FEE_PPM) + fee_pips(100_001_974, FEE_PPM)
    assert way.expected.fee == "0.25250004" and fee == 25_250_004
    assert way.expected.net == "100.7475197"
    assert way.rate == "1999.99009391"


def test_a_sale_ends_final_with_every_unit_accounted_for(world):
    venue = world.venue
    store = venue.approved_store()
    maker_before = venue.pips(MAKER, TOKEN), venue.pips(MAKER, USD)

    invoice = paid(world, venue.invoice(store, amount="101.999"))
    world.trades_are("final")
    venue.tick()
    invoice = venue.merchants.reader.invoice(invoice.id)

    proceeds = 50 * 200_000 * TICK + 199_900 * TICK
    fee = fee_pips(50 * 200_000 * TICK, FEE_PPM) + fee_pips(199_900 * TICK, FEE_PPM)
    conversion = sole(invoice.conversions)
    assert (invoice.status, invoice.exception) == ("settled", "none")
    assert conversion.status == "final"
    assert [f.batch for f in conversion.fills] == [9, 9]
    assert conversion.net == "101.7440025" == invoice.net
    assert venue.pips(MERCHANT, USD) == proceeds - fee
    assert venue.pips(MERCHANT, TOKEN) == 0
    assert venue.pips(MAKER, USD) == maker_before[1] - proceeds
    assert venue.pips(MAKER, TOKEN) == maker_before[0] + 51 * LOT
    assert venue.engine.fees(1) == fee
    venue.engine.check()
    assert venue.types(store) == [
        "invoice.created",
        "invoice.received_payment",
        "invoice.processing",
        "invoice.settled",
        "conversion.filled",
        "conversion.batched",
        "conversion.final",
    ]


def test_the_order_is_signed_by_the_session_key_within_the_merchants_slippage(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(slippage_ppm=10_000))
    paid(world, invoice)

    order = decode(world.entries[-1][1])
    assert recover(order_digest(DOMAIN, order), order.signature) == order.signer
    assert order.account == MERCHANT != order.signer
    assert order.flags == OrderBits.SELL | OrderBits.SINGLE_SHOT
    assert "0x" + order.ref.hex() == invoice.ref
    assert order.base_amount == 25 * LOT
    assert order.quote_amount == 25 * 198_000 * TICK, "a hundredth under 2000.00"
    assert order.max_fee_ppm == FEE_PPM


def test_nothing_is_promised_that_the_book_cannot_pay(world):
    venue = world.venue
    store = venue.approved_store()
    whole = 50 * 200_000 * TICK + 500 * 199_900 * TICK
    assert whole == 1099_50 * DOLLAR // 100
    assert due_raw(venue.invoice(store, amount="1099.5")) == 550 * 10**15

    request = venue.merchants.create_invoice
    for amount, token, outcome in [
        ("1099.51", "TOKEN", Outcome.NO_QUOTE),
        ("0", "TOKEN", Outcome.MALFORMED),
        ("-5", "TOKEN", Outcome.MALFORMED),
        ("1e3", "TOKEN", Outcome.MALFORMED),
        ("0.000000001", "TOKEN", Outcome.MALFORMED),
        ("5", "WAT", Outcome.UNKNOWN_TOKEN),
    ]:
        answer = request(store.store_id, InvoiceRequest(amount, tokens=(token,)))
        assert isinstance(answer, Rejection) and answer.outcome == outcome, (amount, token)
    assert (
        request("sto_none", InvoiceRequest("5", tokens=("TOKEN",))).outcome == Outcome.UNKNOWN_STORE
    )
    assert venue.types(store) == ["invoice.created"], "a refusal leaves nothing behind"


def test_a_stablecoin_payment_needs_no_conversion(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="12.34", token="USD")
    assert (option(invoice).amount_due, option(invoice).amount_due_raw) == ("12.34", "12340000")

    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), token=USD)
    world.confirm(CONFIRMATIONS)
    venue.watch()
    venue.tick()
    venue.settle_sweeps()
    venue.tick()

    assert venue.merchants.reader.invoice(invoice.id).status == "settled"
    assert venue.merchants.reader.invoice(invoice.id).conversions == []
    assert venue.pips(MERCHANT, USD) == 1234 * 10**6


def test_a_partial_payment_waits_then_expires_and_is_kept(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")

    half = paid(world, invoice, raw=10 * 10**15)
    assert (half.status, half.received, half.remaining) == ("new", "20", "30")
    assert (option(half).received, option(half).remaining) == ("0.01", "0.015")
    assert world.sweeps_wanted == {}, "one sweep costs less than two"

    world.pass_time(901)
    venue.tick()
    venue.settle_sweeps()
    venue.tick()
    end = venue.merchants.reader.invoice(invoice.id)
    assert (end.status, end.exception) == ("expired", "paid_partial")
    assert option(end).credited == "0.01" and end.conversions == []
    assert sole(end.payments).status == "final"
    assert venue.pips(MERCHANT, TOKEN) == 10 * LOT, "kept as token on the merchant's account"
    assert venue.types(store)[-2:] == ["invoice.expired", "invoice.short"]
    assert end.short == "30", "ten lots were worth 20 USD when they were booked"


def test_two_halves_settle_like_one_payment(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    paid(world, invoice, raw=10 * 10**15)
    whole = paid(world, invoice, raw=15 * 10**15)
    assert (whole.status, whole.exception, whole.remaining) == ("settled", "none", "0")
    assert [p.status for p in whole.payments] == ["final", "final"]
    assert venue.pips(MERCHANT, USD) == 50 * DOLLAR - fee_pips(50 * DOLLAR, FEE_PPM)


def test_an_overpayment_is_converted_whole_and_its_dust_reported(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    over = paid(world, invoice, raw=30 * 10**15 + 123 * 10**10 + 77)
    assert (over.status, over.exception) == ("settled", "paid_over")
    assert sole(over.conversions).sold == "0.03"
    assert (sole(over.gathered).amount, sole(over.gathered).waiting) == ("0.00000123",) * 2
    assert venue.pips(MERCHANT, TOKEN) == 123, "77 raw units are less than a pip and stay behind"
    assert venue.pips(MERCHANT, USD) == 60 * DOLLAR - fee_pips(60 * DOLLAR, FEE_PPM)


def test_what_comes_on_top_after_settlement_is_converted_too(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    paid(world, invoice)
    more = paid(world, invoice, raw=5 * 10**15)
    assert (more.status, more.exception) == ("settled", "paid_over")
    assert [c.sold for c in more.conversions] == ["0.025", "0.005"]
    assert venue.types(store).count("invoice.settled") == 1
    assert lots_in_journal(world) == [25, 5]


def test_a_late_payment_that_is_still_worth_its_price_settles_and_is_sold(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="100")
    world.pass_time(901)
    venue.tick()
    assert venue.merchants.reader.invoice(invoice.id).status == "expired"
    late = paid(world, invoice)
    assert (late.status, late.exception, late.short) == ("settled", "paid_late", "0")
    assert sole(late.conversions).proceeds == "100"


def test_a_payment_mined_in_time_and_seen_late_keeps_its_price(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=3)
    world.pass_time(3600)
    venue.tick()
    assert venue.merchants.reader.invoice(invoice.id).status == "expired"
    venue.watch()
    seen = venue.merchants.reader.invoice(invoice.id)
    assert (seen.status, seen.exception) == ("processing", "none")


def test_an_orphaned_payment_reopens_the_invoice_and_counts_once_when_it_returns(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    sent = world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    venue.watch()
    assert venue.merchants.payment_orphaned(sent.tx_hash, sent.log_index)
    open_again = venue.merchants.reader.invoice(invoice.id)
    assert (open_again.status, open_again.received) == ("new", "0")
    assert venue.types(store)[-1] == "invoice.reopened"

    venue.watch()
    world.confirm(CONFIRMATIONS)
    venue.watch()
    venue.tick()
    venue.settle_sweeps()
    venue.tick()
    end = venue.merchants.reader.invoice(invoice.id)
    assert (end.status, option(end).credited) == ("settled", option(invoice).amount_due)
    assert not venue.merchants.payment_orphaned(b"\x00" * 32, 0)
    assert venue.merchants.payment_orphaned(sent.tx_hash, 0)
    assert venue.merchants.reader.invoice(invoice.id).status == "settled", "what is booked stays"


def test_what_never_becomes_final_ends_invalid_and_revives_only_when_booked(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice))
    venue.watch()
    world.pass_time(24 * 3600 + 1)
    venue.tick()
    assert venue.merchants.reader.invoice(invoice.id).status == "invalid"
    venue.watch()
    assert venue.merchants.reader.invoice(invoice.id).status == "invalid"

    venue.fund(MERCHANT, TOKEN, 25 * LOT, ref=bytes.fromhex(invoice.ref[2:]))
    venue.tick()
    end = venue.merchants.reader.invoice(invoice.id)
    assert (end.status, end.exception) == ("settled", "paid_late")


def test_a_thin_book_is_tried_again_and_the_rest_is_held(world):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    first = venue.invoice(store, amount="100")
    second = venue.invoice(store, amount="100")
    paid(world, first)
    venue.quote(Side.BUY, 200_000, 20)
    starved = paid(world, second)
    assert (sole(starved.conversions).status, sole(starved.conversions).sold) == ("pending", "0.02")

    for _ in range(10):
        world.pass_time(3600)
        venue.tick()
    world.trades_are("final")
    venue.tick()
    held = sole(venue.merchants.reader.invoice(second.id).conversions)
    assert (held.status, held.sold, held.unsold, held.attempts) == ("held", "0.02", "0.03", 8)
    assert held.reason == "IMMEDIATE_REMAINDER"
    assert [f.status for f in held.fills] == ["final"], "what was sold is still followed"
    assert venue.types(store).count("conversion.held") == 1
    assert venue.pips(MERCHANT, TOKEN) == 30 * LOT


def test_the_rest_is_sold_when_bids_come_back(world):
    venue = world.venue
    store = venue.approved_store(slippage_ppm=0)
    first = venue.invoice(store, amount="100")
    second = venue.invoice(store, amount="100")
    paid(world, first)
    starved = paid(world, second)
    assert sole(starved.conversions).sold == "0"
    venue.quote(Side.BUY, 200_000, 50)
    world.pass_time(1)
    venue.tick()
    assert sole(venue.merchants.reader.invoice(second.id).conversions).sold == "0.05"
    assert lots_in_journal(world) == [50, 50, 50]


def test_a_floor_price_of_the_wallet_binds_us(world):
    venue = world.venue
    store = venue.approved_store(floor_price=1995 * DOLLAR, slippage_ppm=10_000)
    paid(world, venue.invoice(store, amount="50"))
    order = decode(world.entries[-1][1])
    assert order.quote_amount == 25 * 199_500 * TICK, "not a hundredth under 2000.00"


def test_deposits_into_other_accounts_with_our_ref_are_not_ours(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    venue.fund(MAKER, TOKEN, 25 * LOT, ref=bytes.fromhex(invoice.ref[2:]))
    assert option(venue.merchants.reader.invoice(invoice.id)).credited == "0"


def test_another_token_that_cannot_be_sold_is_swept_and_shown_and_not_counted(world):
    venue = world.venue
    store = venue.open_store()
    invoice = venue.invoice(store, amount="50", token="USD")
    address = address_bytes(invoice.deposit_address)
    world.transfer(address, 5 * 10**15, token=TOKEN)
    world.transfer(address, 10**18, token=b"\xee" * 20)
    world.confirm(CONFIRMATIONS)
    venue.watch()
    open_still = venue.merchants.reader.checkout(invoice.id)
    assert open_still.sayings[-1].key == "say_other_token"
    world.pass_time(901)
    venue.tick()
    venue.settle_sweeps()
    end = venue.merchants.reader.invoice(invoice.id)
    stray = venue.merchants.reader.checkout(end.id).sayings[-1]
    assert (stray.key, stray.values["tokens"]) == ("say_other_token", ("TOKEN",))
    assert (end.status, end.exception, end.received) == ("expired", "none", "0")
    assert "not approved" in sole(end.others).why
    assert [(p.token, p.amount, p.status) for p in end.payments] == [("TOKEN", "0.005", "final")]
    assert venue.pips(MERCHANT, TOKEN) == 5 * LOT


def test_two_stores_of_one_wallet_never_share_a_nonce(world):
    venue = world.venue
    stores = [venue.approved_store(), venue.approved_store()]
    invoices = [venue.invoice(store, amount="20") for store in stores]
    for invoice in invoices:
        world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=3)
    venue.watch()
    venue.tick()
    venue.settle_sweeps()
    venue.tick()
    assert lots_in_journal(world) == [10, 10]
    for invoice in invoices:
        assert sole(venue.merchants.reader.invoice(invoice.id).conversions).status == "filled"
