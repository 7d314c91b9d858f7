"""Late, short or over: whatever the store has chosen, the sale ends by itself."""

from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from engine.types import Outcome
from gateway.pages.languages import HABITS, language
from merchants.documents.checkout import Phase
from merchants.records.exception_policies import ExceptionAction
from merchants.records.rejection import Rejection
from merchants.sales.exceptions import ExceptionRequest
from tests.merchants.fixtures import DOLLAR, LOT, MERCHANT, TOKEN, USD, World, pips_of_decimal, sole
from tests.merchants.refunding import chain_pays, claimed, look, wallet_signs
from tests.merchants.site import site
from tests.merchants.test_every_exception_ends_well import (
    EXPIRED,
    LOT_RAW,
    SEEN,
    SETTLED,
    SHORT,
    SOLD,
    Sale,
    late,
    over,
    over_afterwards,
    under,
)

KEEP, RETURN, REQUOTE = ExceptionAction
OPENED, REQUOTED = "refund.opened", "invoice.requoted"


class End(NamedTuple):
    """The right end of 50 USD in 25 lots: state and exception, what the shop has in USD before
    fees, in lots of TOKEN, lots that a refund gives back, and what it heard."""

    state: str
    exception: str
    usd: int
    lots: int
    returned: int
    heard: tuple


LATE = (EXPIRED, *SETTLED)
BACK = (EXPIRED, SEEN)
AGAIN = (SEEN, EXPIRED, REQUOTED, EXPIRED, SHORT)
KEPT_OVER = End("settled", "paid_over", 60, 0, 0, (*SETTLED, *SOLD))
TABLE = {
    (late, "late", KEEP): End("settled", "paid_late", 50, 0, 0, (*LATE, *SOLD)),
    (late, "late", RETURN): End("expired", "paid_partial", 0, 25, 25, (*BACK, OPENED)),
    (late, "late", REQUOTE): End(
        *("settled", "none", 50, 0, 0), (*BACK, REQUOTED, *SETTLED[1:], *SOLD)
    ),
    (under, "short", KEEP): End("expired", "paid_partial", 0, 10, 0, (SEEN, EXPIRED, SHORT)),
    (under, "short", RETURN): End(
        *("expired", "paid_partial", 0, 10, 10), (SEEN, EXPIRED, SHORT, OPENED)
    ),
    (under, "short", REQUOTE): End("expired", "paid_partial", 0, 10, 0, AGAIN),
    (over, "over", KEEP): KEPT_OVER,
    (over, "over", RETURN): End("settled", "paid_over", 50, 5, 5, (*SETTLED, OPENED, *SOLD)),
    (over, "over", REQUOTE): KEPT_OVER,
}


def sold_to(tmp_path, **actions):
    """Return an invoice of 50 USD of a store with this policy, and what it said to that."""
    world = World(tmp_path)
    store = world.venue.approved_store()
    policies = world.venue.merchants.exception_policies
    answer = policies.change(store.store_id, ExceptionRequest(**actions))
    return Sale(world, store, world.venue.invoice(store, "50")), answer


def read(sale):
    return sale.world.venue.merchants.reader.invoice(sale.invoice.id)


def said(sale):
    checkout = sale.world.venue.merchants.reader.checkout(sale.invoice.id)
    return checkout.phase, [saying.key for saying in checkout.sayings]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case[1]}-{case[2]}")
def test_it_ends(tmp_path, case):
    does, kind, action = case
    sale, answer = sold_to(tmp_path, **{kind: action})
    # What is paid has no new price: the store is told so, and keeps what it had.
    assert isinstance(answer, Rejection) is (case[1:] == ("over", REQUOTE))
    does(sale)
    sale.end()
    ended, right, world = read(sale), TABLE[case], sale.world
    assert world.venue.types(sale.store)[1:] == list(right.heard)
    assert (ended.status, ended.exception) == (right.state, right.exception)
    fee = sum(pips_of_decimal(one.fee) for one in ended.conversions)
    usd, token = world.venue.pips(MERCHANT, USD), world.venue.pips(MERCHANT, TOKEN)
    assert (usd + fee, token) == (right.usd * DOLLAR, right.lots * LOT)
    assert sum(pips_of_decimal(one.amount) for one in ended.refunds) == right.returned * LOT
    world.venue.engine.check()


def test_the_customer_says_on_the_invoices_page_where_it_goes_and_is_paid(tmp_path):
    sale, _ = sold_to(tmp_path, late=RETURN, short=RETURN)
    late(sale)
    sale.end()
    world, venue = sale.world, sale.world.venue
    refund = sole(venue.merchants.reader.checkout(sale.invoice.id).claimable)
    assert (refund.reason, refund.amount, refund.token) == ("it came late", "0.025", "TOKEN")
    assert not isinstance(claimed(world, refund), Rejection)
    assert not isinstance(wallet_signs(world, sale.store, refund), Rejection)
    venue.tick()
    chain_pays(world)
    assert look(world, sale.store, refund).status == "completed"
    assert venue.pips(MERCHANT, TOKEN) == 0
    sale.pay()
    sale.end()
    assert [one.amount for one in read(sale).refunds] == ["0.025", "0.025"], "once each"


def test_what_goes_back_whatever_it_is_worth_waits_for_no_price(tmp_path):
    sale, _ = sold_to(tmp_path, late=RETURN, short=RETURN)
    sale.expire()
    sale.price(0)
    sale.pay()
    sale.end()
    assert sole(read(sale).refunds).amount == "0.025"


def test_the_rest_is_paid_at_the_new_price(tmp_path):
    sale, _ = sold_to(tmp_path, short=REQUOTE)
    under(sale)
    sale.expire()
    for _ in range(2):
        sale.venue.watch()
        sale.venue.settle_sweeps()
        sale.venue.tick()
    fresh = read(sale)
    assert (fresh.status, fresh.received, sole(fresh.options).remaining) == ("new", "20", "0.015")
    sale.pay(15 * LOT_RAW)
    sale.end()
    assert (read(sale).status, read(sale).exception) == ("settled", "none")


def test_each_payment_on_top_is_given_back_once_and_what_was_due_is_sold(tmp_path):
    sale, _ = sold_to(tmp_path, over=RETURN)
    over_afterwards(sale)
    sale.end()
    sale.pay(2 * LOT_RAW)
    sale.pay(LOT_RAW // 100)  # Dust comes along.
    sale.end()
    ended = read(sale)
    assert [one.amount for one in ended.refunds] == ["0.005", "0.00201"]
    assert [one.proceeds for one in ended.conversions] == ["50"]
    assert sale.venue.types(sale.store).count("invoice.paid_over") == 2


def test_another_token_is_given_back(tmp_path):
    sale, _ = sold_to(tmp_path, other_token=RETURN)
    sale.pay(50 * 10**6, USD)
    sale.end()
    refund = sole(read(sale).refunds)
    assert (refund.amount, refund.token, refund.status) == ("50", "USD", "awaiting_payment")
    assert (read(sale).status, read(sale).received) == ("expired", "0"), "it pays nothing"
    heard = said(sale)[1]
    assert heard[-2:] == ["say_other_token_back", "say_giving_back"] and "say_other" not in heard


def test_what_is_less_than_may_be_withdrawn_stays(tmp_path):
    sale, _ = sold_to(tmp_path, short=RETURN)
    sale.world.least_withdrawals["TOKEN"] = 11 * LOT
    under(sale)
    sale.end()
    assert (read(sale).refunds, read(sale).short) == ([], "30")


def test_no_new_price_is_asked_for_what_is_paid(tmp_path):
    sale, answer = sold_to(tmp_path, other_token=REQUOTE)
    assert isinstance(answer, Rejection) and answer.outcome is Outcome.MALFORMED
    policies = sale.venue.merchants.exception_policies
    assert policies.of(sale.store.store_id).other_token is KEEP
    assert policies.change("nobody", ExceptionRequest()).outcome is Outcome.UNKNOWN_STORE


@pytest.mark.parametrize("case", [(late, "late"), (under, "short")], ids=["late", "short"])
def test_the_customer_reads_that_his_money_is_given_back_and_then_that_it_was(tmp_path, case):
    does, kind = case
    sale, _ = sold_to(tmp_path, **{kind: RETURN})
    does(sale)
    sale.end()
    world, venue = sale.world, sale.world.venue
    assert said(sale) == (Phase.RETURNED, ["say_returned", "say_giving_back"])
    refund = sole(venue.merchants.reader.checkout(sale.invoice.id).claimable)
    claimed(world, refund)
    wallet_signs(world, sale.store, refund)
    venue.tick()
    chain_pays(world)
    assert said(sale) == (Phase.RETURNED, ["say_returned", "say_gave_back"])
    for code in HABITS:
        page = TestClient(site(venue)).get(f"/checkout/{sale.invoice.id}?lang={code}").text
        words = language(code).words
        assert words["headline_returned"] in page, code
        assert words["say_gave_back"].partition("{back}")[2].strip() in page, code
        assert words["say_short_keep"] not in page, code


def test_the_customer_reads_that_what_was_too_much_is_given_back(tmp_path):
    sale, _ = sold_to(tmp_path, over=RETURN)
    over(sale)
    sale.end()
    assert said(sale) == (Phase.SETTLED, ["say_settled", "say_over", "say_giving_back"])
    (tmp_path / "kept").mkdir()
    kept, _ = sold_to(tmp_path / "kept", over=KEEP)
    over(kept)
    kept.end()
    assert said(kept) == (Phase.SETTLED, ["say_settled", "say_over"])
