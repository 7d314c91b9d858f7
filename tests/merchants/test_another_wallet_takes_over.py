"""After a day another wallet gets what a store earns; what was asked for before stays the old one's
and is sold by its grant."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.types import Outcome
from merchants.people.payouts import WAIT_S
from merchants.records.grants import Grant
from merchants.records.pots import Gift, Pot
from merchants.records.tables import Invoice
from merchants.reports.reports import ReportKind
from merchants.sales.asked import InvoiceRequest
from merchants.stores.grants import GrantRequest, key_grant
from settlement.protocol.eip712 import address_of_secret, grant_digest, sign
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOMAIN,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    option,
    sole,
)
from tests.merchants.people_site import Browser, make_store, people_site
from tests.merchants.refunding import pay
from tests.merchants.test_people_confirm_what_they_do import ask_payout
from tests.merchants.test_reports_add_up_to_the_ledger import everything

NEW_SECRET = b"\x0d" * 32
NEW = address_of_secret(NEW_SECRET)
NEW_TEXT = "0x" + NEW.hex()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store()


def change(world, store, wallet=NEW):
    return world.venue.merchants.change_wallet(store.store_id, wallet)


def approved_by_new(world, store):
    """Let the new wallet approve a grant of its own; return it."""
    grants = world.venue.merchants.grants
    grant = grants.ask(store.store_id, GrantRequest("TOKEN"))
    assert grant.wallet == NEW
    signature = sign(grant_digest(DOMAIN, key_grant(grant)), NEW_SECRET)
    return grants.approve(store.store_id, grant.id, signature)


def test_another_wallet_waits_a_day_and_is_then_the_stores(world):
    app = people_site(world)
    store = make_store(app)
    owner = Browser(app, world)
    owner.sign_in()
    owner.add_passkey()
    step_up = owner.confirm("payout.change", store, wallet=NEW_TEXT)
    assert ask_payout(owner, store, NEW_TEXT, step_up).status_code == 201
    world.pass_time(WAIT_S - 1)
    world.venue.tick()
    assert standing(world, store) == ("waiting", MERCHANT)
    world.pass_time(61)
    world.venue.tick()
    assert standing(world, store) == ("done", NEW)


def standing(world, store_id):
    """Return how far the only change is, and the store's wallet."""
    wallet, changes = world.venue.merchants.people.payouts.of(store_id)
    return sole(changes).state, wallet


def test_a_change_that_was_cancelled_changes_nothing(world):
    app = people_site(world)
    store = make_store(app)
    owner = Browser(app, world)
    owner.sign_in()
    owner.add_passkey()
    step_up = owner.confirm("payout.change", store, wallet=NEW_TEXT)
    change_id = ask_payout(owner, store, NEW_TEXT, step_up).json()["id"]
    path = f"/v1/stores/{store}/payout-changes/{change_id}/cancel"
    assert owner.ask("POST", path, {}).status_code == 200
    world.pass_time(WAIT_S)
    world.venue.tick()
    assert standing(world, store) == (
        "cancelled",
        MERCHANT,
    )


def test_an_old_invoice_is_paid_to_the_old_wallet_and_sold_by_its_grant(world, store):
    old = world.venue.invoice(store)
    assert change(world, store) is None
    approved_by_new(world, store)
    new = world.venue.invoice(store)
    with Session(world.venue.database) as session:
        wallets = [session.get(Invoice, one.id).wallet for one in (old, new)]
    assert wallets == [MERCHANT, NEW]
    old = pay(world, old)
    assert (old.status, sole(old.conversions).status) == ("settled", "filled")
    assert world.venue.pips(MERCHANT, USD) > 0 == world.venue.pips(NEW, USD)
    new = pay(world, new)
    assert (new.status, sole(new.conversions).status) == ("settled", "filled")
    assert world.venue.pips(NEW, USD) > 0
    assert world.venue.pips(NEW, TOKEN) == world.venue.pips(MERCHANT, TOKEN) == 0
    reader = world.venue.merchants.reader
    receipts = [sole(reader.sales(one.id, store.store_id)).account for one in (old, new)]
    assert receipts == [MERCHANT, NEW]


def test_a_sale_on_its_way_is_finished_for_the_old_wallet(world, store):
    """Even where the store changes its wallet between the booking and the order."""
    invoice = world.venue.invoice(store)
    world.transfer(address_bytes(invoice.deposit_address), due_raw(invoice), TOKEN, CONFIRMATIONS)
    world.venue.watch()
    world.venue.tick()
    world.venue.settle_sweeps()
    change(world, store)
    approved_by_new(world, store)
    world.venue.tick()
    done = world.venue.merchants.reader.invoice(invoice.id)
    assert sole(done.conversions).status == "filled"
    assert world.venue.pips(MERCHANT, USD) > 0 == world.venue.pips(MERCHANT, TOKEN)


def test_the_same_change_twice_is_once(world, store):
    assert change(world, store) is None
    pay(world, world.venue.invoice(store, amount="0.75", token="USD"))
    approved_by_new(world, store)
    pay(world, world.venue.invoice(store, amount="0.75"))
    with Session(world.venue.database) as session:
        gathered = session.scalar(select(Pot.pips))
    assert gathered > 0
    assert change(world, store) is None
    with Session(world.venue.database) as session:
        assert session.scalar(select(Pot.pips)) == gathered, "what is the new wallet's waits on"


def test_until_the_new_wallet_has_approved_invoices_are_in_stablecoin_alone(world, store):
    change(world, store)
    request = InvoiceRequest("50")
    invoice = world.venue.merchants.create_invoice(store.store_id, request).invoice
    assert [one.token for one in invoice.options] == ["USD"]
    only = InvoiceRequest("50", tokens=("TOKEN",))
    refused = world.venue.merchants.create_invoice(store.store_id, only)
    assert refused.outcome == Outcome.CANNOT_SELL
    invoice = pay(world, invoice)
    assert invoice.status == "settled" and world.venue.pips(NEW, USD) == 50 * 10**8


def test_what_was_gathered_stays_with_the_old_wallet_as_it_came(world, store):
    """One sale is of one account."""
    late = world.venue.invoice(store, amount="0.75")
    first = pay(world, world.venue.invoice(store, amount="0.75"))
    assert option(first).credited == "0.000375"
    change(world, store)
    approved_by_new(world, store)
    pay(world, late)
    others = [pay(world, world.venue.invoice(store, amount="0.75")) for _ in range(3)]
    with Session(world.venue.database) as session:
        kept = session.scalars(select(Gift.pips).where(Gift.is_kept)).all()
    assert list(kept) == [37_500, 37_500]
    assert world.venue.pips(MERCHANT, TOKEN) == 75_000
    assert world.venue.pips(MERCHANT, USD) == 0
    assert world.venue.pips(NEW, TOKEN) == 3 * 37_500 - LOT
    assert sole(world.venue.merchants.reader.invoice(others[-1].id).conversions).from_pot


def test_a_new_grant_of_the_new_wallet_does_not_replace_the_old_ones(world, store):
    change(world, store)
    approved_by_new(world, store)
    with Session(world.venue.database) as session:
        grants = session.scalars(select(Grant)).all()
    assert {grant.wallet: grant.replaced_by for grant in grants} == {MERCHANT: None, NEW: None}


def test_an_old_invoice_gets_no_new_price(world, store):
    invoice = world.venue.invoice(store)
    world.pass_time(3600)
    world.venue.tick()
    change(world, store)
    refused = world.venue.merchants.requote(invoice.id)
    assert refused.outcome == Outcome.INVOICE_CLOSED and "has left" in refused.detail["why"]


def test_no_store_goes_to_an_address_that_nobody_can_sign_for(world, store):
    assert change(world, store, DOMAIN.contract).outcome == Outcome.BAD_WALLET
    assert world.venue.merchants.change_wallet("sto_x", NEW).outcome == Outcome.UNKNOWN_STORE


def test_the_report_adds_up_for_the_new_wallet_and_leaves_the_old_ones_money_out(world, store):
    pay(world, world.venue.invoice(store))
    change(world, store)
    approved_by_new(world, store)
    pay(world, world.venue.invoice(store))
    rows = reconciled(world, store)
    assert {row.token: row.difference for row in rows} == {"TOKEN": "0", "USD": "0"}
    assert {row.token: row.besides for row in rows} == {"TOKEN": "0", "USD": "0"}


def reconciled(world, store):
    ledger = world.venue.merchants.reports.ledger(NEW)
    return everything(world.venue, store.store_id, ReportKind.RECONCILIATION, ledger=ledger)
