"""What came counts once, by whatever venue; what came late counts by what it is worth."""

import msgspec
import pytest
from sqlalchemy.orm import Session

from engine.types import Outcome, Side
from merchants.records.rejection import Rejection
from merchants.records.tables import Invoice
from merchants.sales.asked import InvoiceRequest
from settlement.protocol.eip712 import address_of_secret
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    LOT,
    MAKER,
    MAKER_SECRET,
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

THIEF = b"\x0b" * 32


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.venue.fund(address_of_secret(THIEF), TOKEN, 10**5 * DOLLAR)
    world.venue.fund(address_of_secret(THIEF), USD, 10**7 * DOLLAR)
    return world


def send(world, invoice, raw, token=TOKEN):
    world.transfer(address_bytes(invoice.deposit_address), raw, token, CONFIRMATIONS)
    world.venue.watch()


def settle(world, invoice, rounds=3):
    """Let what is due happen, and the chain carry it out; return the invoice."""
    for _ in range(rounds):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
        world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def deposit(world, invoice, lots):
    """Pay straight into the vault with the invoice's ref, as the Collector does."""
    world.venue.fund(MERCHANT, TOKEN, lots * LOT, bytes.fromhex(invoice.ref[2:]))


def fall(world, ticks):
    """Let the market fall: others sell the bids out, trade and quote there."""
    venue = world.venue
    for _ in range(3):
        venue.quote(Side.SELL, ticks, 4000, THIEF)
        venue.quote(Side.BUY, ticks, 4000)
    venue.quote(Side.BUY, ticks, 1000)
    venue.quote(Side.SELL, ticks + 100, 1000, THIEF)
    world.pass_time(600)


@pytest.mark.parametrize("deposit_first", [True, False])
def test_found_half_by_deposit_and_half_by_transfer_is_paid(world, deposit_first):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="52")
    half = due_raw(invoice) // 2
    if deposit_first:
        deposit(world, invoice, 13)
        send(world, invoice, half)
    else:
        send(world, invoice, half)
        deposit(world, invoice, 13)
    assert venue.merchants.reader.invoice(invoice.id).received == "52"
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, option(paid).credited) == ("settled", "none", "0.026")
    assert world.swept[address_bytes(invoice.deposit_address), TOKEN] == 13 * LOT
    assert sum(lots_in_journal(world)) == 26


def test_found_nobody_told_the_shop_of_another_token_in_its_vault(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    ref = bytes.fromhex(invoice.ref[2:])
    venue.fund(MERCHANT, USD, 20 * DOLLAR, ref)
    venue.fund(MERCHANT, USD, DOLLAR // 100, ref)
    venue.tick()

    told = [msgspec.json.decode(body) for _, body in world.received]
    assert [event["type"] for event in told] == ["invoice.created", "invoice.other_token"]
    about = told[-1]["data"]
    assert (about["deposit"]["token"], about["deposit"]["amount"]) == ("USD", "20")
    assert about["invoice"]["status"] == "new"
    half = venue.merchants.reader.invoice(invoice.id)
    assert (half.received, option(half).remaining) == ("20", "0.015"), "it counts as what it is"

    send(world, invoice, due_raw(invoice))
    assert settle(world, invoice).status == "settled"
    assert venue.types(store).count("invoice.other_token") == 1, "dust is no event"
    assert venue.pips(MERCHANT, USD) > 20 * DOLLAR, "it is the shop's all the same"


def test_another_token_at_the_address_is_told_when_seen_and_when_booked(world):
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store, amount="50")
    send(world, invoice, 50 * 10**6, USD)
    world.pass_time(16 * 60)
    settle(world, invoice)

    kinds = venue.types(store)
    assert kinds.count("invoice.received_payment") == kinds.count("invoice.other_token") == 1
    assert kinds.index("invoice.received_payment") < kinds.index("invoice.other_token")


def test_a_deposit_that_was_waiting_for_its_confirmations_is_in_time(world):
    venue = world.venue
    waited, late = (venue.invoice(venue.approved_store(), amount="50") for _ in range(2))
    world.pass_time(900 + 12 * CONFIRMATIONS)
    venue.tick()
    deposit(world, waited, 25)
    world.pass_time(1)
    deposit(world, late, 25)
    exceptions = [settle(world, invoice).exception for invoice in (waited, late)]
    assert exceptions == ["none", "paid_late"]


def test_found_an_expired_invoice_was_a_free_option(world):
    """Pay the same tokens when they are worth half: it is short, is not settled, is not sold."""
    venue = world.venue
    store = venue.approved_store(floor_price=100 * DOLLAR)
    invoice = venue.invoice(store, amount="100")
    world.pass_time(901)
    venue.tick()
    fall(world, 100_000)
    send(world, invoice, due_raw(invoice))
    late = settle(world, invoice)
    assert (late.status, late.exception, late.short) == ("expired", "paid_partial", "50")
    assert option(late).credited == option(late).amount_due and late.conversions == []
    event = venue.merchants.reader.events_after(store.store_id, 0)[-1]
    body = msgspec.json.decode(event.body)
    assert (body["type"], body["data"]["invoice"]["short"]) == ("invoice.short", "50")
    said = venue.merchants.reader.checkout(late.id).sayings[0]
    assert (said.key, said.values["short"].amount) == ("say_short", "50")

    send(world, invoice, due_raw(invoice))
    paid = settle(world, invoice)
    assert (paid.status, paid.exception, paid.short) == ("settled", "paid_late", "0")
    assert sole(paid.conversions).proceeds == "100"


def test_what_is_weighed_short_is_not_weighed_again_when_the_price_rises(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(floor_price=100 * DOLLAR), amount="100")
    world.pass_time(901)
    fall(world, 100_000)
    send(world, invoice, due_raw(invoice))
    settle(world, invoice)
    venue.quote(Side.BUY, 100_100, 1000)
    for _ in range(3):
        venue.quote(Side.SELL, 210_000, 40_000, THIEF)
        venue.quote(Side.BUY, 210_000, 40_000)
    venue.quote(Side.BUY, 209_900, 1000)
    venue.quote(Side.SELL, 210_000, 1000, THIEF)
    world.pass_time(3600)
    assert settle(world, invoice).status == "expired"


def test_late_money_waits_for_a_price_and_no_stub_bid_makes_one(world):
    """Found: with the makers away it was sold to the only bid, 0.4001 TOKEN for 0.4 cents."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="100")
    world.pass_time(901)
    venue.tick()
    for order_id in (1, 2, 3):
        venue.cancel(MAKER_SECRET, order_id)
    venue.quote(Side.BUY, 1, 5000, THIEF)
    venue.quote(Side.SELL, 2, 1, THIEF)
    send(world, invoice, due_raw(invoice))
    world.pass_time(100)
    waits = settle(world, invoice)
    assert (waits.status, waits.short, waits.conversions) == ("expired", "0", [])
    venue.quote(Side.BUY, 200_000, 500)
    venue.quote(Side.SELL, 200_100, 500)
    world.pass_time(300)
    assert settle(world, invoice).status == "settled"


def test_what_comes_on_top_is_sold_near_the_last_trades_or_not_at_all(world):
    venue = world.venue
    store = venue.approved_store(floor_price=1 * DOLLAR)
    invoice = venue.invoice(store, amount="50")
    send(world, invoice, due_raw(invoice))
    assert settle(world, invoice).status == "settled"
    for order_id in (1, 2):
        venue.cancel(MAKER_SECRET, order_id)
    venue.quote(Side.BUY, 1, 5000, THIEF)
    send(world, invoice, 5 * 10**15)
    more = settle(world, invoice)
    assert (more.exception, more.over) == ("paid_over", "10")
    assert [c.sold for c in more.conversions] == ["0.025", "0"]
    assert venue.types(store)[-2:] == ["invoice.paid_over", "conversion.waiting"]
    assert venue.merchants.reader.checkout(more.id).sayings[0].key == "say_unsold"


def test_a_few_units_short_is_paid_and_more_is_not(world):
    venue = world.venue
    store = venue.approved_store(tolerance_ppm=1_000)
    for missing, status in ((1, "settled"), (25 * 10**12, "settled"), (30 * 10**12, "new")):
        invoice = venue.invoice(store, amount="50")
        send(world, invoice, due_raw(invoice) - missing)
        assert settle(world, invoice).status == status, missing
    store = venue.approved_store(tolerance_ppm=0, tolerance_pips=2 * DOLLAR)
    invoice = venue.invoice(store, amount="50")
    send(world, invoice, due_raw(invoice) - 10**15)
    paid = settle(world, invoice)
    assert (paid.status, paid.remaining, paid.exception) == ("settled", "0", "none")


def test_dust_costs_nobody_gas_turns_no_exception_and_is_gathered(world):
    venue = world.venue
    store = venue.approved_store()
    unpaid = venue.invoice(store, amount="50")
    paid = venue.invoice(store, amount="50")
    send(world, paid, due_raw(paid))
    settle(world, paid)
    world.sweeps_wanted.clear()
    before = len(venue.types(store))
    for invoice in (unpaid, paid):
        send(world, invoice, 10**10)
    world.pass_time(901)
    for invoice, status in ((unpaid, "expired"), (paid, "settled")):
        left = settle(world, invoice)
        assert (left.status, left.exception, option(left).received != "0") == (status, "none", True)
    assert world.sweeps_wanted == {}
    assert venue.types(store)[before:] == ["invoice.expired"]
    send(world, unpaid, due_raw(unpaid))
    assert option(settle(world, unpaid)).credited == "0.02500001", "the dust came along"


def test_a_token_that_keeps_a_part_is_counted_by_what_arrived(world):
    """The transfer says 25 lots, the vault books 24: the page asks for the rest."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    address = address_bytes(invoice.deposit_address)
    send(world, invoice, due_raw(invoice))
    venue.tick()
    left = world.transfer(b"\xdd" * 20, 25 * 10**15, TOKEN, CONFIRMATIONS, sender=address)
    world.swept[address, TOKEN] = 25 * LOT
    venue.merchants.payments_seen([left])
    venue.fund(MERCHANT, TOKEN, 24 * LOT, bytes.fromhex(invoice.ref[2:]), left.tx_hash)
    venue.tick()
    short = venue.merchants.reader.invoice(invoice.id)
    assert (short.status, short.received, option(short).remaining) == ("new", "48", "0.001")
    assert sole(short.payments).status == "final"
    send(world, invoice, 10**15)
    assert settle(world, invoice).status == "settled"


def test_what_comes_behind_a_sweep_in_its_block_is_swept_too(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    send(world, invoice, due_raw(invoice))
    assert settle(world, invoice).status == "settled"
    sweep = world.transfers[-1]
    send(world, invoice, 5 * 10**15)
    world.transfers[-1] = world.transfers[-1]._replace(block_number=sweep.block_number, log_index=0)
    venue.watch()
    over = settle(world, invoice)
    assert (option(over).credited, over.exception) == ("0.03", "paid_over")


def test_small_bids_before_the_others_do_not_stop_a_sale(world):
    """Found: 600 bids of one lot ended a sale after eight orders of 64 fills, the rest held."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="1000")
    for _ in range(150):
        venue.quote(Side.BUY, 200_050, 1, THIEF)
    send(world, invoice, due_raw(invoice))
    sold = settle(world, invoice)
    conversion = sole(sold.conversions)
    assert (conversion.status, conversion.attempts, conversion.unsold) == ("filled", 1, "0")
    assert len(lots_in_journal(world)) == 3


def test_what_cannot_be_sold_is_not_asked_for(world):
    venue = world.venue

    def why(store, usd="50"):
        made = venue.merchants.create_invoice(
            store.store_id, InvoiceRequest(usd, tokens=("TOKEN",))
        )
        assert isinstance(made, Rejection) and made.outcome is Outcome.CANNOT_SELL, made
        return made.detail["why"]

    assert "not approved" in why(venue.open_store())
    assert "floor" in why(venue.approved_store(floor_price=2001 * DOLLAR))
    assert "ends before" in why(venue.approved_store(key_lifetime_s=800))
    small = venue.approved_store(notional_cap=120 * DOLLAR)
    first = venue.invoice(small, amount="100")
    assert "notional" in why(small, "121")
    send(world, first, due_raw(first))
    settle(world, first)
    assert "notional" in why(small, "50")
    stable = InvoiceRequest("5", tokens=("USD",))
    made = venue.merchants.create_invoice(venue.open_store().store_id, stable)
    assert not isinstance(made, Rejection), "stablecoin needs neither quote nor sale"


def test_a_store_without_a_floor_price_gets_half_the_price_and_never_none(world):
    venue = world.venue
    assert venue.open_store().grants[0].grant.floor_price == 1000 * DOLLAR
    assert venue.open_store(floor_price=7).grants[0].grant.floor_price == 7
    assert venue.open_store(floor_price=0).outcome is Outcome.FLOOR_MISSING


def test_a_poll_that_shows_nothing_new_writes_nothing(world):
    venue = world.venue
    invoice = venue.invoice(venue.approved_store(), amount="50")
    for _ in range(300):
        world.transfer(address_bytes(invoice.deposit_address), 10**10, confirmations=1)
    venue.watch()
    crossed = world.crossings
    for depth in (2, 2):
        world.confirm(depth)
        venue.watch()
    assert world.crossings == crossed, "no commit"
    assert venue.merchants.reader.invoice(invoice.id).payments[0].confirmations == 2 + 299
    with Session(venue.database) as session:
        assert session.get_one(Invoice, invoice.id).event_count == 1, "dust is no event"


def test_the_maker_pays_what_the_sale_says(world):
    venue = world.venue
    before = venue.pips(MAKER, USD)
    invoice = venue.invoice(venue.approved_store(), amount="50")
    send(world, invoice, due_raw(invoice))
    settle(world, invoice)
    assert before - venue.pips(MAKER, USD) == 25 * 200_000 * TICK
