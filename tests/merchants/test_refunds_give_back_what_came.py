"""A refund from the shop's word to the customer's address: how much, in what, and told to whom."""

import pytest
from sqlalchemy import delete

from engine.types import Outcome
from merchants.records.database import transaction
from merchants.records.refunds import RefundVariant
from merchants.records.rejection import Rejection
from merchants.records.tables import Credit, Invoice
from tests.merchants.fixtures import (
    CUSTOMER,
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    sole,
)
from tests.merchants.refunding import (
    CUSTOMER_WALLET,
    ELSEWHERE,
    chain_pays,
    claimed,
    look,
    opened,
    paid,
    wallet_signs,
    withdrawals,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store()


def refused(answer, outcome):
    assert isinstance(answer, Rejection), answer
    assert answer.outcome == outcome, answer
    return True


def test_what_came_goes_back_in_the_very_token_that_came(world, store):
    invoice = paid(world, store)
    world.venue.fund(MERCHANT, TOKEN, 25 * LOT)  # It was sold: the shop has bought it again.
    refund = opened(world, store, invoice, reason="out of stock")
    assert (refund.status, refund.token, refund.amount) == ("awaiting_payment", "TOKEN", "0.025")
    assert refused(wallet_signs(world, store, refund), Outcome.INVOICE_CLOSED), "nobody claimed it"

    assert claimed(world, refund).receiver == CUSTOMER_WALLET
    wallet_signs(world, store, refund)
    assert look(world, store, refund).status == "in_progress"
    world.venue.tick()
    chain_pays(world)

    withdrawal = sole(withdrawals(world))
    assert withdrawal.to == address_bytes(CUSTOMER_WALLET)
    assert (withdrawal.token, withdrawal.amount) == (TOKEN, 25 * LOT)
    assert look(world, store, refund).status == "completed"
    assert world.venue.pips(MERCHANT, TOKEN) == 0
    assert world.venue.types(store)[-4:] == [
        "refund.opened",
        "refund.claimed",
        "refund.in_progress",
        "refund.completed",
    ]
    document = world.venue.merchants.reader.invoice(invoice.id)
    assert document.refunded == "50"
    assert sole(document.refunds).tx_hash is not None


@pytest.mark.parametrize(
    ("variant", "fields", "token", "amount", "of_amount"),
    [
        (RefundVariant.RATE_THEN, {}, "TOKEN", "0.025", "0.025"),
        (RefundVariant.RATE_THEN, {"deduct_ppm": 100_000}, "TOKEN", "0.0225", "0.0225"),
        (RefundVariant.CURRENT_RATE, {}, "TOKEN", "0.025", "0.025"),
        (RefundVariant.FIAT, {}, "USD", "50", "0.025"),
        (RefundVariant.FIAT, {"deduct_ppm": 500_000}, "USD", "25", "0.0125"),
        (RefundVariant.CUSTOM, {"custom_pips": 10 * LOT}, "TOKEN", "0.01", "0.01"),
        (
            RefundVariant.CUSTOM,
            {"custom_pips": 20 * DOLLAR, "custom_token": "USD"},
            "USD",
            "20",
            "0.01",
        ),
    ],
)
def test_each_variant_says_how_much_in_what(
    world, store, variant, fields, token, amount, of_amount
):
    refund = opened(world, store, paid(world, store), variant, **fields)
    assert (refund.token, refund.amount, refund.of_amount) == (token, amount, of_amount)


def test_what_came_on_top_is_a_refund_of_its_own(world, store):
    invoice = paid(world, store, raw=30 * 10**15)
    refund = opened(world, store, invoice, RefundVariant.OVERPAID)
    assert (refund.amount, refund.worth) == ("0.005", "10")
    exact = paid(world, store)
    assert refused(
        opened(world, store, exact, RefundVariant.OVERPAID), Outcome.BELOW_LEAST_WITHDRAWAL
    )


def test_at_todays_price_no_more_goes_back_than_came(world, store):
    invoice = paid(world, store)
    world.prices = world.prices._replace(references={"TOKEN-USD": 1000 * DOLLAR})
    world.pass_time(3600)
    world.restart()
    half_the_price = opened(world, store, invoice, RefundVariant.CURRENT_RATE)
    assert half_the_price.amount == "0.025", "it would take twice as much to be worth the same"


def test_never_more_than_came_and_was_not_given_back(world, store):
    invoice = paid(world, store)
    much = {"custom_pips": 25 * LOT + 1}
    custom = RefundVariant.CUSTOM
    assert refused(opened(world, store, invoice, custom, **much), Outcome.AMOUNT_OUT_OF_RANGE)
    opened(world, store, invoice, custom, custom_pips=20 * LOT)
    in_dollars = {"custom_pips": 11 * DOLLAR, "custom_token": "USD"}
    assert refused(
        opened(world, store, invoice, custom, **in_dollars), Outcome.AMOUNT_OUT_OF_RANGE
    ), "whichever token it goes back in"
    rest = opened(world, store, invoice)
    assert rest.amount == "0.005"
    assert refused(opened(world, store, invoice), Outcome.AMOUNT_OUT_OF_RANGE)
    world.venue.merchants.refunding.refunds.cancel(store.store_id, rest.id)
    assert opened(world, store, invoice).amount == "0.005", "what was given up is free again"


def test_what_is_not_booked_is_not_given_back(world, store):
    invoice = world.venue.invoice(store)
    world.transfer(address_bytes(invoice.deposit_address), 25 * 10**15)
    world.venue.watch()
    assert refused(opened(world, store, invoice), Outcome.AMOUNT_OUT_OF_RANGE)


def test_dust_is_refused_before_anybody_is_asked_for_an_address(world, store):
    world.least_withdrawals["TOKEN"] = 26 * LOT
    found = opened(world, store, paid(world, store))
    assert refused(found, Outcome.BELOW_LEAST_WITHDRAWAL)
    assert found.detail == {"amount": "0.025", "least": "0.026"}


def test_money_lost_is_refused_at_the_claim(world, store):
    invoice = paid(world, store)
    refund = opened(world, store, invoice)
    for address in (
        "0x" + "00" * 20,
        "0x" + TOKEN.hex(),
        "0x" + bytes([7]).hex() * 20,  # the exchange's contract
        invoice.deposit_address,
        CUSTOMER_WALLET.swapcase().replace("0X", "0x"),
        "vitalik.eth",
        "",
    ):
        assert refused(claimed(world, refund, address), Outcome.BAD_RECEIVER), address
    assert look(world, store, refund).receiver is None


def test_the_first_claim_counts(world, store):
    refund = opened(world, store, paid(world, store))
    assert claimed(world, refund).receiver == CUSTOMER_WALLET
    assert claimed(world, refund, CUSTOMER_WALLET.lower()).receiver == CUSTOMER_WALLET, "the same"
    assert refused(claimed(world, refund, ELSEWHERE), Outcome.INVOICE_CLOSED)
    assert world.venue.types(store).count("refund.claimed") == 1


def test_until_it_is_approved_the_customer_may_think_again(world, store):
    refund = opened(world, store, paid(world, store), is_approved=False)
    claimed(world, refund)
    changed = claimed(world, refund, ELSEWHERE)
    assert (changed.revision, changed.status) == (2, "awaiting_approval")
    refunds = world.venue.merchants.refunding.refunds
    assert refused(refunds.approve(store.store_id, refund.id, 1), Outcome.INVOICE_CLOSED), "stale"
    assert refunds.approve(store.store_id, refund.id, 2).status == "awaiting_payment"
    assert refused(claimed(world, refund), Outcome.INVOICE_CLOSED)


def test_who_has_no_link_learns_nothing(world, store):
    refund = opened(world, store, paid(world, store))
    refunds = world.venue.merchants.refunding.refunds
    key = refunds.claim_key(refund.id)
    assert len(key) == 43, "256 bits"
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert refused(refunds.claim(refund.id, wrong, CUSTOMER_WALLET), Outcome.NOT_FOUND)
    assert refunds.claim_of(refund.id, wrong) is None
    world.restart()
    assert world.venue.merchants.refunding.refunds.claim_key(refund.id) == key, "a link lasts"


def test_the_sender_is_paid_only_where_the_shop_says_so(world, store):
    invoice = paid(world, store)
    half = {"custom_pips": 10 * LOT}
    assert opened(world, store, invoice, RefundVariant.CUSTOM, **half).receiver is None
    back = opened(world, store, invoice, to_sender=True)
    assert address_bytes(back.receiver) == CUSTOMER
    two = world.venue.invoice(store)
    for sender in (CUSTOMER, b"\xcd" * 20):
        world.transfer(address_bytes(two.deposit_address), 13 * 10**15, sender=sender)
    world.confirm(3)
    world.venue.watch()
    world.venue.settle_sweeps()
    world.venue.tick()
    world.venue.settle_sweeps()
    assert refused(opened(world, store, two, to_sender=True), Outcome.BAD_RECEIVER)


def test_nobody_claims_it_and_it_ends(world, store):
    refund = opened(world, store, paid(world, store))
    world.pass_time(31 * 86_400)
    world.venue.tick()
    assert look(world, store, refund).status == "cancelled"
    assert refused(claimed(world, refund), Outcome.INVOICE_CLOSED)


def test_a_refund_in_the_stablecoin_needs_no_book(world, store):
    invoice = paid(world, store, "12.34", token="USD")
    refund = opened(world, store, invoice, RefundVariant.FIAT)
    claimed(world, refund)
    wallet_signs(world, store, refund)
    world.venue.tick()
    chain_pays(world)
    assert look(world, store, refund).status == "completed"
    assert world.venue.pips(MERCHANT, USD) == 0


def test_the_shop_may_say_that_it_has_paid_otherwise(world, store):
    refund = opened(world, store, paid(world, store))
    done = world.venue.merchants.refunding.refunds.mark_paid(store.store_id, refund.id, "cash")
    assert (done.status, done.note) == ("completed", "cash")


def test_what_the_chain_takes_back_is_not_given_back(world, store):
    invoice = paid(world, store)
    refund = opened(world, store, invoice)
    claimed(world, refund)
    with transaction(world.venue.database) as session:
        session.execute(delete(Credit))
    assert refused(wallet_signs(world, store, refund), Outcome.INVOICE_CLOSED)
    with transaction(world.venue.database) as session:
        world.venue.merchants.refunding.refunds.weigh(session, session.get_one(Invoice, invoice.id))
    assert look(world, store, refund).status == "cancelled"
